//! A private Postgres cluster for one test process, and a fresh database for each test.
//!
//! With `VITRINE_TEST_POSTGRES_URL` (a `postgres://` URL of a role that may create databases) that server is used
//! instead, and each test's database is dropped when the test lets go of it.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use crate::patience;
use crate::room;
use crate::supervised::{Program, Supervised};

const SERVER_URL: &str = "VITRINE_TEST_POSTGRES_URL";
const ROLE: &str = "vitrine";
const MISSING: &str = "no Postgres server programs (initdb, postgres, psql) on PATH, in /usr/lib/postgresql/*/bin or where \
    `pg_config --bindir` says. Install them (Debian: `apt-get install postgresql`; no service needs to run), or name \
    a server in VITRINE_TEST_POSTGRES_URL=postgres://role:password@host/database whose role may create databases";

/// What a cluster promises about a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A committed transaction survives `kill -9`: Postgres' own defaults.
    Kept,
    /// Nothing is flushed: for tests that never end the server.
    Forgone,
}

/// Sends a signal to these processes; one that has ended meanwhile needs none.
fn signal_all(name: &str, pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    let _ = Command::new("kill").args(["-s", name]).args(pids).stderr(Stdio::null()).status();
}

/// A Postgres server.
pub struct Postgres {
    psql: PathBuf,
    pub(crate) admin_url: String,
    cluster: Option<Cluster>,
}

/// What it takes to start the same cluster again.
pub(crate) struct Cluster {
    pub(crate) bin: PathBuf,
    pub(crate) directory: PathBuf,
    is_kept: bool,
    port: u16,
    pub(crate) durability: Durability,
    settings: Vec<String>,
    /// The MiB of a disk of its own for what stands in the tablespace `room`.
    pub(crate) room: Option<u32>,
    server: Mutex<Option<Supervised>>,
}

impl Postgres {
    /// The server this test process shares among its tests; stopped when the process ends.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Postgres> = LazyLock::new(|| match std::env::var(SERVER_URL) {
            Ok(url) => Postgres::at(url),
            Err(_) => Postgres::private(Durability::Forgone),
        });
        &SHARED
    }

    /// A cluster of the caller's own, to be stopped and started at will.
    pub fn private(durability: Durability) -> Self {
        Self::in_directory(directory(), false, durability, &[])
    }

    /// A cluster in a directory that stays, made there the first time. `settings` (`name=value`) go before ours. One
    /// program at a time may have it.
    pub fn kept(directory: &Path, durability: Durability, settings: &[&str]) -> Self {
        fs::create_dir_all(directory).expect("a directory for the cluster");
        Self::in_directory(directory.to_owned(), true, durability, settings)
    }

    fn in_directory(directory: PathBuf, is_kept: bool, durability: Durability, settings: &[&str]) -> Self {
        let password = prepare(&directory);
        let settings = settings.iter().map(ToString::to_string).collect();
        Self::of(Cluster::on_a_free_port(programs(), directory, is_kept, durability, settings), &password)
    }

    /// A cluster that runs.
    pub(crate) fn of(cluster: Cluster, password: &str) -> Self {
        let admin_url = format!("postgres://{ROLE}:{password}@127.0.0.1:{}/postgres", cluster.port);
        Self { psql: cluster.bin.join("psql"), admin_url, cluster: Some(cluster) }
    }

    /// A server that already runs.
    fn at(admin_url: String) -> Self {
        let psql = on_path("psql").unwrap_or_else(|| programs().join("psql"));
        Self { psql, admin_url, cluster: None }
    }

    /// A new, empty database that no other test sees.
    pub fn database(&self) -> Database<'_> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let thread = std::thread::current();
        let test: String = thread
            .name()
            .unwrap_or("test")
            .chars()
            .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' })
            .take(30)
            .collect();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vitrine_{}_{number}_{test}", std::process::id());
        self.query(&self.admin_url, &format!("CREATE DATABASE {name} TEMPLATE template0"));
        let (server, _) = self.admin_url.rsplit_once('/').expect("a URL with a database");
        let options =
            self.admin_url.split_once('?').map(|(_, options)| format!("?{options}")).unwrap_or_default();
        Database { url: format!("{server}/{name}{options}"), name, postgres: self }
    }

    /// The URL of the database that no test uses, as the cluster's first role.
    pub(crate) fn url(&self) -> &str {
        &self.admin_url
    }

    /// Where it is and who may use it.
    pub(crate) fn address(&self) -> Address {
        let shape = "a URL such as postgres://role:password@host:port/database";
        let rest = self.admin_url.split_once("://").expect(shape).1;
        let (credentials, rest) = rest.rsplit_once('@').expect(shape);
        let (role, password) = credentials.split_once(':').expect(shape);
        let (host, port) = match rest.split('/').next().expect(shape).split_once(':') {
            Some((host, port)) => (host, port.parse().expect(shape)),
            None => (rest.split('/').next().expect(shape), 5432),
        };
        let [host, role, password] = [host, role, password].map(str::to_owned);
        Address { host, port, role, password }
    }

    /// Where a private server listens.
    pub(crate) fn socket(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.cluster().port))
    }

    /// The database of this name, which somebody else makes.
    pub fn named(&self, name: &str) -> Database<'_> {
        let (server, _) = self.admin_url.rsplit_once('/').expect("a URL with a database");
        Database { url: format!("{server}/{name}"), name: name.to_owned(), postgres: self }
    }

    /// One of the server's own programs, such as `pgbench`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.psql.with_file_name(name)
    }

    /// The process id of the server's first process, the parent of all others.
    pub fn pid(&self) -> u32 {
        let server = self.cluster().server.lock().expect("no panic while holding the server");
        server.as_ref().expect("a server that runs").pid()
    }

    /// Stops every process of a private server where it is: connections stay open and nothing is answered, as when its disk
    /// or its machine stands still. [`Postgres::thaw`] lets them go on.
    pub fn freeze(&self) {
        // First the parent, that there are no new ones.
        signal_all("STOP", &[self.pid()]);
        signal_all("STOP", &self.backends());
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        signal_all("CONT", &self.backends());
        signal_all("CONT", &[self.pid()]);
    }

    /// The process ids of the children of the server's first process.
    fn backends(&self) -> Vec<u32> {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.expect("the server's processes");
        children.split_whitespace().map(|pid| pid.parse().expect("a process id")).collect()
    }

    /// Kills the server at once, as a power cut would; [`Postgres::start`] brings it back at the same address.
    pub fn kill(&self) {
        self.stop_with("QUIT");
    }

    /// Stops the server in order; [`Postgres::start`] brings it back at the same address.
    pub fn stop(&self) {
        self.stop_with("INT");
    }

    fn stop_with(&self, signal: &str) {
        let server = self.cluster().server.lock().expect("no panic while holding the server").take();
        server.expect("a server that runs").end(signal);
    }

    /// Starts a stopped server again.
    pub fn start(&self) {
        assert!(self.cluster().start(), "the port of the stopped Postgres was taken by another");
    }

    /// What a private server wrote to its log so far, after the first `known` bytes.
    pub fn log(&self, known: u64) -> String {
        let mut log = fs::File::open(self.cluster().directory.join("log")).expect("the server's log");
        let mut new = Vec::new();
        log.seek(SeekFrom::Start(known)).and_then(|_| log.read_to_end(&mut new)).expect("what it says");
        String::from_utf8_lossy(&new).into_owned()
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        self.cluster
            .as_ref()
            .expect("a private cluster: a server named by VITRINE_TEST_POSTGRES_URL is not ours to stop")
    }

    /// The rows a statement gives, their columns separated by `|`.
    pub(crate) fn query(&self, url: &str, sql: &str) -> Vec<String> {
        let output = Command::new(&self.psql)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql])
            .output()
            .expect("psql can be started");
        assert!(output.status.success(), "psql refused `{sql}`: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }
}

impl Cluster {
    pub(crate) fn on_a_free_port(
        bin: PathBuf,
        directory: PathBuf,
        is_kept: bool,
        durability: Durability,
        settings: Vec<String>,
    ) -> Self {
        Self::new(bin, directory, is_kept, durability, settings).at_a_free_port()
    }

    pub(crate) fn new(
        bin: PathBuf,
        directory: PathBuf,
        is_kept: bool,
        durability: Durability,
        settings: Vec<String>,
    ) -> Self {
        let server = Mutex::new(None);
        Self { bin, directory, is_kept, port: 0, durability, settings, room: None, server }
    }

    pub(crate) fn at_a_free_port(self) -> Self {
        let mut cluster = self;
        // A free port may be taken by another before Postgres binds it: then the next one.
        for _ in 0..5 {
            cluster.port = free_port();
            if cluster.start() {
                return cluster;
            }
        }
        panic!("Postgres found no free port in five tries");
    }

    /// Starts the server, making the cluster the first time; false when another has the port.
    fn start(&self) -> bool {
        let data = self.directory.join("data");
        let log = self.directory.join("log");
        let user = unprivileged(&self.directory);
        let mut program = match self.room {
            Some(megabytes) => room::mounted(&self.directory, megabytes),
            None => Program::new("env"),
        };
        // Postgres refuses to run as root.
        if let Some(user) = &user {
            let (uid, gid) = (format!("--reuid={}", user.uid), format!("--regid={}", user.gid));
            program = program.args(["setpriv", &uid, &gid, "--clear-groups", "--"]);
        }
        program = program.arg("sh");
        program = program
            .args(["-c", FIRST_INITDB_THEN_SERVE, "postgres"])
            .arg(&self.bin)
            .arg(&data)
            .arg(&self.directory);
        program = program.args(["-p", &self.port.to_string()]);
        for setting in SETTINGS {
            program = program.args(["-c", setting]);
        }
        for setting in &self.settings {
            program = program.args(["-c", setting]);
        }
        if self.durability == Durability::Forgone {
            for setting in ["fsync=off", "synchronous_commit=off", "full_page_writes=off"] {
                program = program.args(["-c", setting]);
            }
        }
        program = program.stopped_by("INT QUIT KILL");
        let server = if self.is_kept { program } else { program.removing(&self.directory) }.start(&log);
        let ready = patience::until("Postgres to be ready", Duration::from_secs(60), || {
            if let Some(status) = server.exit_status() {
                let said = server.log();
                assert!(said.contains("could not bind"), "Postgres ended with {status}:\n{said}");
                return Some(false);
            }
            // The eighth line of this file is the server's own word on its state.
            let state = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            let pid: Option<u32> = state.lines().next().and_then(|pid| pid.trim().parse().ok());
            let ready = state.lines().nth(7).is_some_and(|state| state.trim() == "ready");
            (ready && pid == Some(server.pid())).then_some(true)
        });
        if ready {
            *self.server.lock().expect("no panic while holding the server") = Some(server);
        } else {
            server.end("KILL");
        }
        ready
    }
}

impl Drop for Cluster {
    /// A server that runs takes its directory along; after one that was stopped nobody else does.
    fn drop(&mut self) {
        let is_stopped = self.server.get_mut().map_or(true, |server| server.is_none());
        if is_stopped && !self.is_kept {
            // What is left is told of by the test command.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// Makes the directory ready for a cluster and gives the password of its role.
pub(crate) fn prepare(directory: &Path) -> String {
    // The server may run as another user than the tests; it only passes through here.
    fs::set_permissions(directory, fs::Permissions::from_mode(0o711)).expect("its mode");
    assert!(
        is_reachable(directory),
        "the user whom Postgres runs as, because the tests run as root, cannot enter {}: a directory above is closed to \
         others. Let TMPDIR name one that all may enter",
        directory.display()
    );
    let (data, password_file) = (directory.join("data"), directory.join("password"));
    if let Ok(password) = fs::read_to_string(&password_file) {
        return password;
    }
    let password = crate::kept::fingerprint(&[&directory.display().to_string(), "password"]);
    fs::write(&password_file, &password).expect("a password file");
    fs::set_permissions(&password_file, fs::Permissions::from_mode(0o600)).expect("its mode");
    fs::create_dir(&data).expect("a data directory");
    if let Some(user) = unprivileged(directory) {
        for path in [&data, &password_file] {
            std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid)).expect("its owner");
        }
    }
    password
}

/// `$1` programs, `$2` data directory, `$3` the cluster's directory, the rest for the server.
const FIRST_INITDB_THEN_SERVE: &str = r#"
bin=$1 data=$2 directory=$3
shift 3
[ -f "$data/PG_VERSION" ] || "$bin/initdb" --pgdata="$data" --username=vitrine --pwfile="$directory/password" \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync --no-instructions || exit 1
exec "$bin/postgres" -D "$data" "$@"
"#;

/// Loopback only; nothing in shared memory that outlives the data directory; room for several services at once.
const SETTINGS: [&str; 6] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "dynamic_shared_memory_type=mmap",
    "max_connections=200",
    "shared_buffers=64MB",
    "autovacuum_naptime=5s",
];

/// A database of one test's own.
pub struct Database<'server> {
    url: String,
    name: String,
    postgres: &'server Postgres,
}

impl Database<'_> {
    /// Its URL, `postgres://…`, password included.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The rows a statement gives, their columns separated by `|`.
    ///
    /// # Panics
    /// When the server refuses the statement, with what it said.
    pub fn query(&self, sql: &str) -> Vec<String> {
        self.postgres.query(&self.url, sql)
    }

    /// Its name in the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same by another way to it, such as a pooler.
    ///
    /// # Panics
    /// When the server refuses the statement, with what it said.
    pub fn query_at(&self, url: &str, sql: &str) -> Vec<String> {
        self.postgres.query(url, sql)
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        // A private cluster goes as a whole; a server that was there before us is left as it was.
        if self.postgres.cluster.is_none() && !std::thread::panicking() {
            self.postgres
                .query(&self.postgres.admin_url, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

/// A server's address, taken apart.
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) role: String,
    pub(crate) password: String,
}

/// Whom a server runs as when the tests run as root.
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The owner for the cluster: `None` when the tests are not root and it is simply theirs.
pub(crate) fn unprivileged(ours: &Path) -> Option<User> {
    if fs::metadata(ours).expect("our own directory").uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    ["postgres", "nobody"].into_iter().find_map(|name| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some(User { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    })
}

/// Whether the user whom a server would run as can reach this directory: root's own, or one in a home, cannot be entered by
/// others.
pub fn is_reachable(directory: &Path) -> bool {
    let Some(User { uid, gid }) = unprivileged(directory) else { return true };
    let mut look = Command::new("setpriv");
    look.args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups", "--", "test", "-x"]);
    look.arg(directory).status().is_ok_and(|status| status.success())
}

/// A new directory for a cluster.
pub(crate) fn directory() -> PathBuf {
    let directory = tempfile::Builder::new().prefix("vitrine-postgres-").tempdir();
    let directory = directory.expect("a temporary directory").keep();
    // The server may run as another user than the tests; it only passes through here.
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o711)).expect("its mode");
    directory
}

/// The directory with the server's programs, the newest version if there are several.
pub(crate) fn programs() -> PathBuf {
    let complete = |bin: &PathBuf| ["initdb", "postgres", "psql"].iter().all(|name| bin.join(name).is_file());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    debian.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    let asked = Command::new("pg_config").arg("--bindir").output().ok();
    let asked = asked.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    std::env::split_paths(&path)
        .chain(debian.into_iter().map(|(_, bin)| bin))
        .chain(asked)
        .find(complete)
        .unwrap_or_else(|| panic!("{MISSING}"))
}

pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// A loopback port that nobody has at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
    listener.local_addr().expect("its address").port()
}
