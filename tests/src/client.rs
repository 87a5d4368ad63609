//! The real OpenStack clients, signed in as somebody.

use std::ffi::OsStr;
use std::process::Command;

use serde_json::Value;

use crate::python::{self, Python};

/// Somebody at a terminal with the OpenStack clients installed and a home of their own.
pub struct Client {
    settings: Vec<(String, String)>,
    home: tempfile::TempDir,
}

impl Client {
    /// With these environment variables (`OS_CLOUD`, `OS_AUTH_URL`, …) and nothing else.
    pub fn new<N: Into<String>, V: Into<String>>(settings: impl IntoIterator<Item = (N, V)>) -> Self {
        let settings = settings.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { settings, home: tempfile::tempdir().expect("a temporary directory") }
    }

    /// Signed in nowhere: for scripts that are told all they need.
    pub fn stranger() -> Self {
        Self::new(std::iter::empty::<(&str, &str)>())
    }

    /// A program of the Python environment, ready to run.
    pub fn command<A: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Python::environment().command(program, self.home.path());
        command.args(arguments).envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// `openstack …`, which has to succeed; gives what it printed.
    pub fn openstack(&self, arguments: &[&str]) -> String {
        python::run(&mut self.command("openstack", arguments))
    }

    /// `openstack … -f json`, which has to succeed.
    pub fn openstack_json(&self, arguments: &[&str]) -> Value {
        let said = self.openstack(&[arguments, &["-f", "json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("not JSON ({error}): {said}"))
    }

    /// `openstack …`, which has to be refused; gives what it printed.
    pub fn openstack_refused(&self, arguments: &[&str]) -> String {
        python::refused(&mut self.command("openstack", arguments))
    }

    /// `glance …`, which has to succeed; gives what it printed.
    pub fn glance(&self, arguments: &[&str]) -> String {
        python::run(&mut self.command("glance", arguments))
    }

    /// `glance …`, which has to be refused; gives what it printed.
    pub fn glance_refused(&self, arguments: &[&str]) -> String {
        python::refused(&mut self.command("glance", arguments))
    }

    /// A script of `tests/python/`, which has to succeed; gives what it printed.
    pub fn script(&self, name: &str, arguments: &[&str]) -> String {
        let mut command = self.command("python", [Python::script(name)]);
        python::run(command.args(arguments))
    }
}
