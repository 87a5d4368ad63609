//! A program started by a test, which cannot outlive the test.
//!
//! Between the two stands a small shell (`supervise.sh`) that reads a pipe held by the test process. When the pipe
//! closes, by `Drop`, by a panic or by `kill -9`, it stops the program and removes its directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// What to start and how to end it.
pub struct Program {
    command: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    signals: &'static str,
    directory: Option<PathBuf>,
}

impl Program {
    /// A program by its path or name.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            command: vec![program.as_ref().to_owned()],
            environment: Vec::new(),
            signals: "TERM KILL",
            directory: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.push(argument.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = A>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// Sets one environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The signals that stop it, in order, five seconds for each; the default is `TERM KILL`.
    #[must_use]
    pub fn stopped_by(mut self, signals: &'static str) -> Self {
        self.signals = signals;
        self
    }

    /// A directory that goes when the program has been stopped for good.
    #[must_use]
    pub fn removing(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Starts it, its output appended to `log`.
    pub fn start(self, log: &Path) -> Supervised {
        File::create(log).unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()));
        let mut supervisor = Command::new("sh")
            .args(["-c", include_str!("supervise.sh"), "supervise", self.signals])
            .arg(log)
            .arg(self.directory.as_deref().unwrap_or(Path::new("")))
            .args(&self.command)
            .envs(self.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A Ctrl-C at the terminal is for the test process; its end is what ends the program.
            .process_group(0)
            .spawn()
            .expect("`sh` can be started");
        let pipe = supervisor.stdin.take();
        let mut lines = BufReader::new(supervisor.stdout.take().expect("a piped standard output"));
        let mut pid = String::new();
        lines.read_line(&mut pid).expect("the supervisor says the pid of its program");
        let pid = pid.trim().parse().unwrap_or_else(|_| panic!("the supervisor said {pid:?}, not a pid"));
        let (ended, status) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            if lines.read_line(&mut line).is_ok()
                && let Ok(code) = line.trim().parse()
            {
                // Nobody listens any more when the test has let go of the program: fine.
                let _ = ended.send(code);
            }
        });
        Supervised {
            supervisor,
            pipe,
            pid,
            status: Mutex::new(status),
            ended: Mutex::new(None),
            log: log.to_owned(),
        }
    }
}

/// A running program; dropping it stops it and waits until it is gone.
pub struct Supervised {
    supervisor: Child,
    pipe: Option<ChildStdin>,
    pid: u32,
    status: Mutex<Receiver<i32>>,
    ended: Mutex<Option<i32>>,
    log: PathBuf,
}

impl Supervised {
    /// The program's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Everything it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// How much it has written so far, in bytes.
    pub fn log_size(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |data| data.len())
    }

    /// Sends a signal by name (`TERM`, `KILL`, `STOP`, …) if it still runs.
    pub fn signal(&self, name: &str) {
        if self.exit_status().is_none() {
            let sent = Command::new("kill").args(["-s", name, &self.pid.to_string()]).status();
            assert!(sent.is_ok_and(|status| status.success()), "cannot send {name} to process {}", self.pid);
        }
    }

    /// The exit status if it has ended: what it returned, or 128 + n when signal n ended it.
    pub fn exit_status(&self) -> Option<i32> {
        self.ended_within(Duration::ZERO)
    }

    /// Waits for its end and gives the exit status; `None` when it still runs after `limit`.
    pub fn ended_within(&self, limit: Duration) -> Option<i32> {
        let mut ended = self.ended.lock().expect("no panic while holding the status");
        if ended.is_none() {
            *ended = self.status.lock().expect("no panic while holding the channel").recv_timeout(limit).ok();
        }
        *ended
    }

    /// Ends it with one signal and gives the exit status; its directory stays.
    ///
    /// # Panics
    /// When it still runs a minute later.
    pub fn end(mut self, signal: &str) -> i32 {
        self.signal(signal);
        let Some(status) = self.ended_within(Duration::from_secs(60)) else {
            panic!("still running a minute after SIG{signal}; its log:\n{}", self.log());
        };
        if let Some(mut pipe) = self.pipe.take() {
            // The supervisor reads this line only if it has a directory to keep; else it is gone already.
            let _ = pipe.write_all(b"keep\n");
        }
        status
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.supervisor.wait();
    }
}
