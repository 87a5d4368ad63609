//! Glance 33 from PyPI: uwsgi with two processes of four threads, as DevStack runs it, memcached for its tokens, and a
//! Postgres database of its own.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use testbed::{
    Call, Keystone, patience,
    postgres::free_port,
    python::{self, Python},
    supervised::{Program, Supervised},
};

use crate::{
    cluster::{scratch, write},
    failure::{Failure, Result},
    say::say,
};

const REQUIREMENTS: &str = include_str!("../python/requirements.txt");
const CONSTRAINTS: &str = include_str!("../python/constraints.txt");
/// What to do when there is none.
const MISSING: &str = "memcached is needed for Glance's tokens (Debian: `apt-get install memcached`)";

/// Glance's programs.
pub(crate) struct Installation {
    python: Python,
}

/// A running Glance.
pub(crate) struct Glance {
    server: Supervised,
    memcached: Supervised,
    host: String,
    /// From the start to the first 200, in milliseconds.
    pub(crate) start: f64,
}

impl Installation {
    /// Installs it, the first time.
    pub(crate) fn get() -> Result<Self> {
        let found = std::process::Command::new("memcached").arg("-V").output();
        found.map_err(|error| Failure::doing(MISSING, error))?;
        Ok(Self { python: Python::with("glance", "Glance", REQUIREMENTS, CONSTRAINTS) })
    }

    /// Changes when another version is installed.
    pub(crate) fn fingerprint(&self) -> &str {
        self.python.fingerprint()
    }

    /// The versions that matter.
    pub(crate) fn versions(&self) -> Vec<String> {
        ["glance==", "keystonemiddleware==", "SQLAlchemy==", "pyuwsgi=="]
            .into_iter()
            .filter_map(|name| CONSTRAINTS.lines().find(|line| line.starts_with(name)))
            .map(|line| line.replace("==", " "))
            .collect()
    }

    /// `glance-manage db sync`.
    pub(crate) fn migrate(&self, database_url: &str) -> Result<()> {
        let directory = scratch()?;
        say("making Glance's schema");
        let file = directory.path().join("glance-api.conf");
        write(&file, &self.configuration(directory.path(), database_url, None))?;
        let mut command = self.python.command("glance-manage", directory.path());
        python::run(command.arg("--config-file").arg(&file).args(["db", "sync"]));
        Ok(())
    }

    /// Starts it in `directory`, which must last as long.
    pub(crate) fn start(&self, directory: &Path, database_url: &str, keystone: &Keystone) -> Result<Glance> {
        self.start_with_quota(directory, database_url, keystone, 128)
    }

    /// The same with so many members for an image at most.
    pub(crate) fn start_with_quota(
        &self,
        directory: &Path,
        database_url: &str,
        keystone: &Keystone,
        quota: usize,
    ) -> Result<Glance> {
        let data = directory.join("images");
        std::fs::create_dir_all(&data).map_err(|error| Failure::doing("a directory for images", error))?;
        let memcached_port = free_port();
        let memcached = Program::new("memcached")
            .args(["-l", "127.0.0.1", "-u", "nobody", "-p", &memcached_port.to_string()])
            .start(&directory.join("memcached.log"));
        let identity = Identity { keystone, memcached_port, quota };
        write(
            &directory.join("glance-api.conf"),
            &self.configuration(directory, database_url, Some(&identity)),
        )?;
        let host = format!("127.0.0.1:{}", free_port());
        let log = directory.join("glance.log");
        let started = Instant::now();
        let server = Program::new(self.python.program("uwsgi"))
            .env("OS_GLANCE_CONFIG_DIR", directory)
            .env("PATH", self.path())
            .env("PYTHONWARNINGS", "ignore")
            .args(["--http-socket", &host, "--module", "glance.wsgi.api:application"])
            .arg("--virtualenv")
            .arg(self.python.directory())
            .args(["--master", "--processes", "2", "--threads", "4", "--enable-threads", "--lazy-apps"])
            .args(["--thunder-lock", "--need-app", "--die-on-term", "--buffer-size", "65535"])
            .args(["--add-header", "Connection: close", "--listen", "100", "--logto", "/dev/null"])
            .stopped_by("TERM KILL")
            .start(&log);
        let up = patience::within(Duration::from_secs(90), || {
            if server.exit_status().is_some() {
                return Some(false);
            }
            let answer = Call::new("GET", format!("http://{host}/healthcheck")).try_send();
            answer.filter(|answer| answer.status == 200).map(|_| true)
        });
        let start = started.elapsed().as_secs_f64() * 1000.0;
        if up != Some(true) {
            return Err(Failure::new(format!("Glance does not start: {}", server.log())));
        }
        Ok(Glance { server, memcached, host, start })
    }

    fn path(&self) -> std::ffi::OsString {
        let ours = self.python.program("python");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all = ours.parent().map(PathBuf::from).into_iter().chain(std::env::split_paths(&path));
        std::env::join_paths(all).unwrap_or(path)
    }

    fn configuration(&self, directory: &Path, database_url: &str, identity: Option<&Identity<'_>>) -> String {
        let database = database_url.replacen("postgres://", "postgresql+psycopg2://", 1);
        let paste = self.python.directory().join("etc/glance/glance-api-paste.ini");
        let directory = directory.display();
        let mut text = format!(
            "[DEFAULT]\nenabled_import_methods = []\nlog_file = {directory}/glance-api.log\n\
             use_keystone_limits = false\n\
             [database]\nconnection = {database}\n\
             [glance_store]\nstores = file\ndefault_store = file\nfilesystem_store_datadir = {directory}/images\n\
             [paste_deploy]\nflavor = keystone\nconfig_file = {}\n",
            paste.display()
        );
        if let Some(identity) = identity {
            text = text.replacen(
                "[DEFAULT]\n",
                &format!("[DEFAULT]\nimage_member_quota = {}\n", identity.quota),
                1,
            );
            text.push_str(&identity.section());
        }
        text
    }
}

/// Where Glance asks about tokens.
struct Identity<'a> {
    keystone: &'a Keystone,
    memcached_port: u16,
    quota: usize,
}

impl Identity<'_> {
    fn section(&self) -> String {
        let settings = self.keystone.service_settings();
        let of = |name: &str| {
            let found = settings.iter().find(|(known, _)| *known == format!("VITRINE_KEYSTONE__{name}"));
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let url = self.keystone.auth_url();
        format!(
            "[keystone_authtoken]\nauth_type = password\nauth_url = {url}\nwww_authenticate_uri = {url}\n\
             username = {}\npassword = {}\nproject_name = {}\nuser_domain_id = default\n\
             project_domain_id = default\nmemcached_servers = 127.0.0.1:{}\ntoken_cache_time = 86400\n",
            of("USERNAME"),
            of("PASSWORD"),
            of("PROJECT_NAME"),
            self.memcached_port
        )
    }
}

impl Glance {
    /// The first of its processes.
    pub(crate) fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// memcached's.
    pub(crate) fn memcached(&self) -> u32 {
        self.memcached.pid()
    }

    /// Where it listens.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}
