//! The real `vitrine` program, started from outside as an operator would.
//!
//! It is built from this workspace once per test process; `VITRINE_TEST_BINARY` names another to be tested instead.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;

use crate::http::Call;
use crate::keystone::Keystone;
use crate::memory::MemoryLimit;
use crate::patience;
use crate::postgres::Database;
use crate::supervised::{Program, Supervised};

/// How long a start, migrations and the first call to Keystone included, or an end may take on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A service that is going to be started.
pub struct Launch {
    arguments: Vec<String>,
    settings: Vec<(String, String)>,
    descriptors: Option<u32>,
    memory: Option<PathBuf>,
    program: Option<PathBuf>,
}

/// A running service.
pub struct Vitrine {
    process: Supervised,
    url: String,
}

impl Vitrine {
    /// `vitrine serve` on a migrated database.
    pub fn serve(database: &Database<'_>, keystone: &Keystone) -> Launch {
        let migrated = command(&["migrate"]).env("VITRINE_DATABASE__URL", database.url()).output();
        let migrated = migrated.expect("vitrine can be started");
        assert!(migrated.status.success(), "vitrine migrate failed:\n{}", said(&migrated));
        // Keystone here is one process of Python on a machine that does other things as well.
        Self::serve_as_it_is(database.url(), keystone).with("VITRINE_KEYSTONE__TIMEOUT", "20")
    }

    /// `vitrine serve` on a database as it is.
    pub fn serve_as_it_is(database_url: &str, keystone: &Keystone) -> Launch {
        Self::serve_asking(database_url, keystone.service_settings())
    }

    /// The same with the Keystone that these settings name.
    pub fn serve_asking(database_url: &str, keystone: Vec<(&'static str, String)>) -> Launch {
        let launch = Launch {
            arguments: vec!["serve".to_owned()],
            settings: Vec::new(),
            descriptors: None,
            memory: None,
            program: None,
        };
        keystone
            .into_iter()
            .fold(launch, |launch, (name, value)| launch.with(name, &value))
            .with("VITRINE_DATABASE__URL", database_url)
            .with("VITRINE_LISTEN", "127.0.0.1:0")
            .with("VITRINE_METRICS_LISTEN", "127.0.0.1:0")
            .with("VITRINE_LOG__FORMAT", "json")
            // Nobody asks it whether it is ready, but where somebody does.
            .with("VITRINE_SHUTDOWN__DRAIN", "0")
    }

    /// `vitrine dev --ephemeral`: no Keystone and no Postgres.
    pub fn dev() -> Launch {
        Self::dev_with(["--ephemeral".to_owned()])
    }

    /// `vitrine dev` keeping its records in `directory`.
    pub fn dev_in(directory: &Path) -> Launch {
        Self::dev_with(["--data-dir".to_owned(), directory.display().to_string()])
    }

    fn dev_with(arguments: impl IntoIterator<Item = String>) -> Launch {
        let anywhere =
            ["dev", "--listen", "127.0.0.1:0", "--keystone-listen", "127.0.0.1:0"].map(str::to_owned);
        let arguments = anywhere.into_iter().chain(arguments).collect();
        Launch { arguments, settings: Vec::new(), descriptors: None, memory: None, program: None }
            .with("VITRINE_LOG__FORMAT", "json")
    }

    /// Where it listens: `http://127.0.0.1:PORT`, `https://…` where it speaks TLS.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A call to it; `path` starts with a slash.
    pub fn call(&self, method: &str, path: &str) -> Call {
        Call::new(method, format!("{}{path}", self.url))
    }

    /// The path of the `clouds.yaml` that `vitrine dev` announced.
    ///
    /// # Panics
    /// When it announced none, with what it wrote.
    pub fn clouds(&self) -> String {
        let log = self.log();
        let path = log.split(|letter: char| letter.is_whitespace() || "\"'`=".contains(letter));
        let path = path
            .map(|word| word.trim_end_matches(['.', ',', ';', ':']))
            .find(|word| word.ends_with("clouds.yaml"));
        path.unwrap_or_else(|| panic!("no path of a clouds.yaml in\n{log}")).to_owned()
    }

    /// All it has written so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// What `/metrics` shows.
    ///
    /// # Panics
    /// When it is nowhere.
    pub fn figures(&self) -> String {
        let address = self.log().lines().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["message"] == "metrics").then(|| line["address"].as_str().map(str::to_owned)).flatten()
        });
        let address = address.expect("a line with the address of /metrics");
        Call::new("GET", format!("http://{address}/metrics")).send().expect(200).body
    }

    /// The process itself.
    pub fn process(&self) -> &Supervised {
        &self.process
    }

    /// Asks it to stop, as Kubernetes does, and gives what it wrote.
    ///
    /// # Panics
    /// When it does not end with exit status 0 within a minute.
    pub fn stop(self) -> String {
        self.process.signal("TERM");
        let status = self.process.ended_within(START);
        let log = self.process.log();
        assert_eq!(status, Some(0), "exit status after SIGTERM (none: it still runs); its log:\n{log}");
        log
    }
}

impl Launch {
    /// Sets one environment variable, such as `VITRINE_LIMITS__MEMBERS_PER_IMAGE`.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another program than the one under test, such as an older one.
    #[must_use]
    pub fn of(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// Without this environment variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.settings.retain(|(known, _)| known != name);
        self
    }

    /// With a soft limit of so many open files.
    #[must_use]
    pub fn with_descriptors(mut self, number: u32) -> Self {
        self.descriptors = Some(number);
        self
    }

    /// With no more memory than this allows.
    #[must_use]
    pub fn with_memory(mut self, limit: &MemoryLimit) -> Self {
        self.memory = limit.entrance();
        self
    }

    /// Starts it and waits until it is ready to answer.
    ///
    /// # Panics
    /// When it ends instead or is not ready in a minute, with its log.
    pub fn start(self) -> Vitrine {
        let vitrine = self.start_unready();
        let ready = patience::within(START, || {
            let answer = vitrine.call("GET", "/readyz").try_send();
            assert!(vitrine.process.exit_status().is_none(), "vitrine ended:\n{}", vitrine.log());
            answer.filter(|answer| answer.status == 200)
        });
        assert!(ready.is_some(), "vitrine is not ready; its log:\n{}", vitrine.log());
        vitrine
    }

    /// Starts it and waits only until it listens.
    ///
    /// # Panics
    /// When it ends instead or does not listen in a minute, with its log.
    pub fn start_unready(self) -> Vitrine {
        let process = self.launch();
        let url = patience::within(START, || {
            assert!(process.exit_status().is_none(), "vitrine ended:\n{}", process.log());
            process.log().lines().find_map(listening)
        });
        let Some(url) = url else {
            panic!("vitrine wrote no line with the message `listening`; its log:\n{}", process.log());
        };
        Vitrine { process, url }
    }

    /// Starts it and waits for its end; gives the exit status and what it wrote.
    ///
    /// # Panics
    /// When it goes on running for a minute.
    pub fn end(self) -> (i32, String) {
        let process = self.launch();
        let Some(status) = process.ended_within(START) else {
            panic!("vitrine should have refused to start; its log:\n{}", process.log());
        };
        (status, process.log())
    }

    fn launch(self) -> Supervised {
        let directory = tempfile::Builder::new()
            .prefix("vitrine-service-")
            .tempdir()
            .expect("a temporary directory")
            .keep();
        // A clean environment: nothing of the caller's own settings, and a home that goes with the process.
        let mut program = Program::new("env").arg("-i").arg("-C").arg(&directory);
        program = program
            .arg(variable("HOME", directory.as_os_str()))
            .arg(variable("TMPDIR", directory.as_os_str()));
        for (name, value) in self.settings {
            program = program.arg(variable(&name, value.as_ref()));
        }
        if let Some(number) = self.descriptors {
            let limit = format!("ulimit -Sn {number} && exec \"$0\" \"$@\"");
            program = program.args(["/bin/sh", "-c", &limit]);
        }
        if let Some(entrance) = &self.memory {
            let enter = "echo $$ >\"$0\" && exec \"$@\"";
            program = program.args(["/bin/sh", "-c", enter]).arg(entrance);
        }
        let log = directory.join("log");
        program
            .arg(self.program.as_deref().unwrap_or_else(|| executable()))
            .args(self.arguments)
            .stopped_by("TERM KILL")
            .removing(&directory)
            .start(&log)
    }
}

fn variable(name: &str, value: &std::ffi::OsStr) -> std::ffi::OsString {
    let mut variable = std::ffi::OsString::from(name);
    variable.push("=");
    variable.push(value);
    variable
}

/// An older program to be tested together with this one, if `VITRINE_TEST_OLDER_BINARY` names one.
pub fn older() -> Option<PathBuf> {
    std::env::var_os("VITRINE_TEST_OLDER_BINARY").map(|path| std::path::absolute(path).expect("a path"))
}

/// A `vitrine` command that runs to its end, in an environment without any other setting.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(executable());
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Both outputs of a finished command.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The URL in a log line `{"message":"listening","address":"127.0.0.1:PORT","scheme":"http",…}`, fields nested or not.
fn listening(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").unwrap_or(&line);
    let here = fields["message"] == "listening";
    let (scheme, address) = (fields["scheme"].as_str().unwrap_or("http"), fields["address"].as_str());
    address.filter(|_| here).map(|address| format!("{scheme}://{address}"))
}

/// The program under test.
pub fn executable() -> &'static Path {
    static EXECUTABLE: LazyLock<PathBuf> = LazyLock::new(|| match std::env::var_os("VITRINE_TEST_BINARY") {
        Some(path) => std::path::absolute(path).expect("a path in VITRINE_TEST_BINARY"),
        None => build(&[]),
    });
    &EXECUTABLE
}

/// Builds the program with these further arguments to `cargo build`, such as `--release`, and says where it is.
///
/// # Panics
/// When it does not build.
pub fn build(arguments: &[&str]) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "--package",
            "vitrine",
            "--bin",
            "vitrine",
            "--message-format",
            "json-render-diagnostics",
        ])
        .args(arguments)
        .current_dir(crate::kept::repository())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "the vitrine program does not build");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "vitrine")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo names the executable it built")
}
