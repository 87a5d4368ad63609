//! The Python environment with Keystone, the OpenStack clients and Tempest, from PyPI.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use crate::kept;

const REQUIREMENTS: &str = include_str!("../python/requirements.txt");
const CONSTRAINTS: &str = include_str!("../python/constraints.txt");
const MISSING: &str = "Python 3.11 or newer with its `venv` module is needed for Keystone and the OpenStack clients. \
    Install it (Debian: `apt-get install python3 python3-venv`)";

/// An environment holding what `tests/python/requirements.txt` asks for.
pub struct Python {
    directory: PathBuf,
}

impl Python {
    /// The environment, made (in about a minute) the first time and kept under the target directory.
    pub fn environment() -> &'static Self {
        static ENVIRONMENT: LazyLock<Python> = LazyLock::new(|| {
            Python::with("venv", "Keystone and the OpenStack clients", REQUIREMENTS, CONSTRAINTS)
        });
        &ENVIRONMENT
    }

    /// Another environment, made from these files of requirements and constraints; kept likewise, as `name-…`. `what`
    /// says for a person what is installed.
    pub fn with(name: &str, what: &str, requirements: &str, constraints: &str) -> Self {
        let fingerprint = kept::fingerprint(&[requirements, constraints, &version()]);
        let directory = kept::directory(&format!("{name}-{fingerprint}"), |directory| {
            install(directory, what, requirements, constraints);
        });
        Python { directory }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Changes when the installed packages do.
    pub fn fingerprint(&self) -> &str {
        self.directory.file_name().and_then(OsStr::to_str).expect("a name made of ASCII")
    }

    /// The path of an installed program, such as `openstack`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join("bin").join(name)
    }

    /// The path of a script in `tests/python/`.
    pub fn script(name: &str) -> PathBuf {
        kept::repository().join("tests/python").join(name)
    }

    /// A program of the environment (or else of the system) that sees nothing of the caller's own OpenStack settings, proxies or home.
    ///
    /// Its standard input is a terminal where nobody types: `at_a_terminal.py` says why.
    pub fn command(&self, program: &str, home: &Path) -> Command {
        let mut command = Command::new(self.program("python"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let programs = std::iter::once(self.directory.join("bin")).chain(std::env::split_paths(&path));
        command
            .arg("-I")
            .arg(Self::script("at_a_terminal.py"))
            .arg(program)
            .env_clear()
            .env("PATH", std::env::join_paths(programs).expect("directories without a colon"))
            .env("HOME", home)
            .env("TMPDIR", home)
            .env("LC_ALL", "C.UTF-8")
            .env("PYTHONWARNINGS", "ignore")
            .current_dir(home);
        command
    }
}

/// Runs a command that has to succeed and gives its standard output.
///
/// # Panics
/// When it fails, with all it said.
pub fn run(command: &mut Command) -> String {
    let output = output(command);
    assert!(output.status.success(), "{command:?}\nended with {}\n{}", output.status, said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a command that has to be refused and gives all it said.
///
/// # Panics
/// When it succeeds.
pub fn refused(command: &mut Command) -> String {
    let output = output(command);
    assert!(
        !output.status.success(),
        "{command:?}\nsucceeded, but should have been refused\n{}",
        said(&output)
    );
    said(&output)
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{:?} cannot be started: {error}", command.get_program()))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The interpreter's version, `3.11`; the environment is made anew for another.
fn version() -> String {
    let asked = Command::new("python3")
        .args(["-c", "import ensurepip, sys, venv; assert sys.version_info >= (3, 11); print('%d.%d' % sys.version_info[:2])"])
        .output();
    match asked {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(output) => panic!("{MISSING}. It said:\n{}", said(&output)),
        Err(error) => panic!("{MISSING}. `python3` cannot be started: {error}"),
    }
}

fn install(directory: &Path, what: &str, required: &str, constrained: &str) {
    eprintln!("testbed: installing {what} from PyPI into {}", directory.display());
    run(Command::new("python3").args(["-m", "venv"]).arg(directory));
    let requirements = directory.join("requirements.txt");
    let constraints = directory.join("constraints.txt");
    fs::write(&requirements, required).expect("the new environment can be written");
    fs::write(&constraints, constrained).expect("the new environment can be written");
    let installed = Command::new(directory.join("bin/pip"))
        .args([
            "install",
            "--disable-pip-version-check",
            "--no-input",
            "--progress-bar",
            "off",
            "--quiet",
            "-r",
        ])
        .arg(&requirements)
        .arg("-c")
        .arg(&constraints)
        .status()
        .expect("the new environment has pip");
    assert!(installed.success(), "pip could not install the requirements; it says why above");
    eprintln!("testbed: installed");
}
