//! Vitrine as in production, on records that were loaded.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use testbed::{
    Call, Keystone, patience,
    postgres::free_port,
    supervised::{Program, Supervised},
};

use crate::{
    cast::Cast,
    failure::{Failure, Result},
};

/// What is needed to start it.
#[derive(Clone)]
pub(crate) struct Launch {
    /// The program.
    pub(crate) program: PathBuf,
    /// Settings besides those it needs, `key=value`.
    pub(crate) settings: Vec<String>,
    /// Where its standard error goes.
    pub(crate) directory: PathBuf,
}

/// A running one.
pub(crate) struct Service {
    process: Supervised,
    host: String,
}

/// How long a start takes, in milliseconds.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Start {
    /// To the first 200 of `/healthcheck`.
    pub(crate) answers: f64,
    /// To the first 200 of a membership, by a token that Keystone has to be asked about.
    pub(crate) reads: f64,
    /// What Keystone takes for the questions of a start, asked right after it.
    pub(crate) keystone: f64,
}

/// Tokens are known throughout: a token a minute less would be a question to a slow Keystone in one measurement and
/// not in the other. What an unknown one costs is a measurement of its own.
const TRUST: [&str; 1] = ["keystone.token_cache_ttl=86400"];
const PATIENCE: Duration = Duration::from_secs(30);

impl Launch {
    /// `vitrine migrate`.
    pub(crate) fn migrate(&self, database_url: &str) -> Result<()> {
        let mut command = std::process::Command::new(&self.program);
        let done = command.arg("migrate").env_clear().env("VITRINE_DATABASE__URL", database_url).output();
        let done = done.map_err(|error| Failure::doing("vitrine cannot be started", error))?;
        if done.status.success() {
            return Ok(());
        }
        Err(Failure::new(format!("vitrine migrate: {}", String::from_utf8_lossy(&done.stderr))))
    }

    /// Starts it without waiting. It writes its log, a line of JSON a request as in production, to `/dev/null`: so the
    /// disk is for Postgres alone, and everything but the disk's part is counted.
    fn spawn(&self, database_url: &str, keystone: &Keystone) -> Service {
        let port = free_port();
        let host = format!("127.0.0.1:{port}");
        let mut program = Program::new("env").arg("-i").arg("-C").arg(&self.directory);
        for (name, value) in keystone.service_settings() {
            program = program.arg(format!("{name}={value}"));
        }
        program = program
            .arg(format!("VITRINE_DATABASE__URL={database_url}"))
            .arg(format!("VITRINE_LISTEN={host}"))
            .args(["sh", "-c", "exec \"$0\" \"$@\" >/dev/null"])
            .arg(&self.program)
            .arg("serve");
        for setting in TRUST.into_iter().chain(self.settings.iter().map(String::as_str)) {
            program = program.args(["--set", setting]);
        }
        Service { process: program.start(&self.directory.join("vitrine.log")), host }
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(&self, database_url: &str, keystone: &Keystone) -> Result<Service> {
        let service = self.spawn(database_url, keystone);
        let ready = patience::within(PATIENCE, || {
            let answer = Call::new("GET", format!("http://{}/readyz", service.host)).try_send();
            let is_ready = answer.is_some_and(|answer| answer.status == 200);
            (is_ready || service.process.exit_status().is_some()).then_some(is_ready)
        });
        if ready == Some(true) { Ok(service) } else { Err(service.failed("is not ready")) }
    }

    /// Starts it once, only to see how long that takes; `path` is a membership that `token` sees.
    pub(crate) fn time(&self, database_url: &str, cast: &Cast, path: &str, token: &str) -> Result<Start> {
        let started = Instant::now();
        let service = self.spawn(database_url, &cast.keystone);
        let answers = service.until_200("/healthcheck", "", started)?;
        let reads = service.until_200(path, token, started)?;
        Ok(Start { answers, reads, keystone: cast.questions() })
    }
}

impl Service {
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Where it listens.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// A call that has to succeed.
    pub(crate) fn call(&self, method: &str, path: &str, token: &str, body: Option<&str>) -> Result<String> {
        call(&self.host, method, path, token, body)
    }

    /// How it ended, if it did though nobody asked it to.
    pub(crate) fn end(&self) -> Option<String> {
        let status = self.process.exit_status()?;
        Some(format!("vitrine has ended with {status}. Standard error: {}", self.process.log()))
    }

    fn until_200(&self, path: &str, token: &str, started: Instant) -> Result<f64> {
        while started.elapsed() < PATIENCE {
            if status(&self.host, path, token) == Some(200) {
                return Ok(started.elapsed().as_secs_f64() * 1000.0);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Err(self.failed("never answered 200"))
    }

    fn failed(&self, how: &str) -> Failure {
        Failure::new(format!(
            "vitrine {how}; `vitrine serve` writes why to standard output, which is not kept here. Standard error: {}",
            self.process.log()
        ))
    }
}

/// A call that has to succeed; gives the body.
pub(crate) fn call(host: &str, method: &str, path: &str, token: &str, body: Option<&str>) -> Result<String> {
    let mut call = Call::new(method, format!("http://{host}{path}")).token(token);
    if let Some(body) = body {
        let body = serde_json::from_str(body).map_err(|error| Failure::doing("our own JSON", error))?;
        call = call.json(&body);
    }
    let answer = call.try_send().ok_or_else(|| Failure::new(format!("no answer to {method} {path}")))?;
    if (200..300).contains(&answer.status) {
        return Ok(answer.body);
    }
    Err(Failure::new(format!("{method} {path} was answered {}: {}", answer.status, answer.body)))
}

/// The status of one call on a connection of its own, as soon as there is one.
pub(crate) fn status(host: &str, path: &str, token: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(host).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let call =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Auth-Token: {token}\r\nConnection: close\r\n\r\n");
    stream.write_all(call.as_bytes()).ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    std::str::from_utf8(head.get(9..)?).ok()?.parse().ok()
}

/// The version that the program says it is.
pub(crate) fn version(program: &Path) -> Result<String> {
    let output = std::process::Command::new(program).arg("--version").output();
    let output = output.map_err(|error| Failure::doing(program.display(), error))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
