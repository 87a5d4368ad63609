//! A streaming replica of a private cluster.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use crate::patience;
use crate::postgres::{Cluster, Database, Postgres, directory, unprivileged};

impl Postgres {
    /// A new streaming replica of this private cluster. [`Postgres::kill`] and [`Postgres::start`] do what they do
    /// with any other.
    pub fn standby(&self) -> Self {
        let (cluster, address) = (self.cluster(), self.address());
        let directory = directory();
        let data = directory.join("data");
        fs::create_dir(&data).expect("a data directory");
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("its mode");
        let mut copy = Command::new(cluster.bin.join("pg_basebackup"));
        if let Some(user) = unprivileged(&directory) {
            std::os::unix::fs::chown(&data, Some(user.uid), Some(user.gid)).expect("its owner");
            copy = Command::new("setpriv");
            copy.args([&format!("--reuid={}", user.uid), &format!("--regid={}", user.gid)])
                .args(["--clear-groups", "--"])
                .arg(cluster.bin.join("pg_basebackup"));
        }
        let source = format!("{}?application_name=standby", self.url());
        copy.args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"])
            .args(["--dbname", &source])
            .arg("--pgdata")
            .arg(&data);
        let output = copy.output().expect("pg_basebackup can be started");
        assert!(output.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&output.stderr));
        let standby =
            Cluster::on_a_free_port(cluster.bin.clone(), directory, false, cluster.durability, Vec::new());
        Self::of(standby, &address.password)
    }
}

impl Postgres {
    /// A new streaming replica without which nothing is committed any more (`synchronous_standby_names`): what was
    /// acknowledged is there as well.
    pub fn synchronous_standby(&self, database: &Database<'_>) -> Self {
        let standby = self.standby();
        database.query("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
        database.query("SELECT pg_reload_conf()");
        patience::until("the standby to be synchronous", Duration::from_secs(30), || {
            (database.query("SELECT sync_state FROM pg_stat_replication") == ["sync"]).then_some(())
        });
        standby
    }
}

impl Database<'_> {
    /// One URL for the same database at this server and at its standby: whichever takes changes.
    pub fn url_at_either(&self, standby: &Postgres) -> String {
        let (server, name) = self.url().rsplit_once('/').expect("a URL with a database");
        let other = standby.address();
        format!("{server},{}:{}/{name}?target_session_attrs=read-write", other.host, other.port)
    }

    /// The URL of the same database at another address, which leads to the same server.
    pub fn url_through(&self, address: SocketAddr) -> String {
        let (who, _) = self.url().rsplit_once('@').expect("a URL with a role");
        let (_, name) = self.url().rsplit_once('/').expect("a URL with a database");
        format!("{who}@{address}/{name}")
    }

    /// The URL of the same database at its server's standby.
    pub fn url_at(&self, standby: &Postgres) -> String {
        let (server, _) = standby.url().rsplit_once('/').expect("a URL with a database");
        let (_, name) = self.url().rsplit_once('/').expect("a URL with a database");
        format!("{server}/{name}")
    }
}
