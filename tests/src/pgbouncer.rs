//! A PgBouncer in transaction mode before a Postgres: each transaction gets whichever session is free.
//!
//! `VITRINE_TEST_PGBOUNCER` names another program than the one on the path, such as another version.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use crate::patience;
use crate::postgres::{Database, Postgres, free_port, on_path, unprivileged};
use crate::supervised::{Program, Supervised};

const PROGRAM: &str = "VITRINE_TEST_PGBOUNCER";
const MISSING: &str = "no pgbouncer on PATH or in /usr/sbin. Install it (Debian: `apt-get install pgbouncer`; no service \
    needs to run), or name the program in VITRINE_TEST_PGBOUNCER";

/// A running PgBouncer; dropping it stops it.
pub struct PgBouncer {
    program: PathBuf,
    directory: PathBuf,
    port: u16,
    server: Mutex<Option<Supervised>>,
}

impl PgBouncer {
    /// One before the server that this test process shares among its tests, with few sessions for each database.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<PgBouncer> = LazyLock::new(|| PgBouncer::before(Postgres::shared(), 4));
        &SHARED
    }

    /// One before this server, with at most `sessions` for each database.
    pub fn before(postgres: &Postgres, sessions: u32) -> Self {
        let program = program();
        let directory = tempfile::Builder::new()
            .prefix("vitrine-pgbouncer-")
            .tempdir()
            .expect("a temporary directory")
            .keep();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o711)).expect("its mode");
        let address = postgres.address();
        for _ in 0..5 {
            let port = free_port();
            let settings = format!(
                "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n{SETTINGS}\
                 auth_file = {}/users\ndefault_pool_size = {sessions}\n",
                address.host,
                address.port,
                directory.display(),
            );
            write(&directory, "settings", &settings);
            write(&directory, "users", &format!("\"{}\" \"{}\"\n", address.role, address.password));
            let pgbouncer = Self {
                program: program.clone(),
                directory: directory.clone(),
                port,
                server: Mutex::new(None),
            };
            if pgbouncer.try_start() {
                return pgbouncer;
            }
        }
        panic!("PgBouncer found no free port in five tries");
    }

    /// The URL of a database of the server behind it.
    pub fn url(&self, database: &Database<'_>) -> String {
        let (credentials, rest) = database.url().rsplit_once('@').expect("a URL with a role");
        let (_, name) = rest.split_once('/').expect("a URL with a database");
        format!("{credentials}@127.0.0.1:{}/{name}", self.port)
    }

    /// Kills it at once; [`PgBouncer::start`] brings it back at the same address.
    pub fn kill(&self) {
        let server = self.server.lock().expect("no panic while holding the server").take();
        server.expect("a PgBouncer that runs").end("KILL");
    }

    /// Starts it again.
    pub fn start(&self) {
        assert!(self.try_start(), "the port of the killed PgBouncer was taken by another");
    }

    /// False when another has the port.
    fn try_start(&self) -> bool {
        let program = match unprivileged(&self.directory) {
            // PgBouncer refuses to run as root.
            Some(user) => Program::new("setpriv")
                .args([
                    &format!("--reuid={}", user.uid),
                    &format!("--regid={}", user.gid),
                    "--clear-groups",
                    "--",
                ])
                .arg(&self.program),
            None => Program::new(&self.program),
        };
        let server = program
            .arg(self.directory.join("settings"))
            .removing(&self.directory)
            .start(&self.directory.join("log"));
        let listens = patience::until("PgBouncer to listen", Duration::from_secs(60), || {
            if let Some(status) = server.exit_status() {
                let said = server.log();
                assert!(said.contains("Address already in use"), "PgBouncer ended with {status}:\n{said}");
                return Some(false);
            }
            TcpStream::connect(("127.0.0.1", self.port)).is_ok().then_some(true)
        });
        if listens {
            *self.server.lock().expect("no panic while holding the server") = Some(server);
        } else {
            server.end("KILL");
        }
        listens
    }
}

/// Waits as `docs/operating.md` advises, and no session kept for a test that has ended; the rest is what comes with it.
const SETTINGS: &str = "\
unix_socket_dir =
auth_type = scram-sha-256
pool_mode = transaction
max_client_conn = 200
query_wait_timeout = 5
server_connect_timeout = 3
server_login_retry = 1
server_idle_timeout = 3
";

/// A file that PgBouncer alone may read.
fn write(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::write(&path, text).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
    if let Some(user) = unprivileged(directory) {
        std::os::unix::fs::chown(&path, Some(user.uid), Some(user.gid)).expect("its owner");
    }
}

fn program() -> PathBuf {
    let named = std::env::var_os(PROGRAM).map(PathBuf::from);
    let usual = || Some(PathBuf::from("/usr/sbin/pgbouncer")).filter(|path| path.is_file());
    named.or_else(|| on_path("pgbouncer")).or_else(usual).unwrap_or_else(|| panic!("{MISSING}"))
}
