//! The private Postgres: catalogues are loaded once and kept under the target directory (or where Postgres can reach them), and
//! every run measures on copies of them.

use std::{
    fs::{self, DirBuilder, File},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    process::Command,
};

use testbed::{
    Postgres, kept,
    postgres::{Durability, is_reachable},
};

use crate::{
    catalogue::{self, Catalogue},
    failure::{Failure, Result},
    glance::Installation,
    say::say,
    service::Launch,
    statements::LOG_LINE_PREFIX,
};

/// While loading nothing need survive a crash: a catalogue that is not whole is made anew.
const LOADING: [&str; 7] = [
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=8GB",
    "autovacuum=off",
    "shared_buffers=1GB",
    "max_parallel_maintenance_workers=2",
    "checkpoint_timeout=1h",
];

/// While measuring: Postgres' own defaults, but for these. No checkpoint falls into one measurement and not the other.
pub(crate) const MEASURING: [&str; 5] = [
    "shared_buffers=256MB",
    "max_wal_size=8GB",
    "checkpoint_timeout=1h",
    "autovacuum_naptime=1min",
    LOG_LINE_PREFIX,
];

/// The server, and the lock on its directory.
pub(crate) struct Cluster {
    pub(crate) postgres: Postgres,
    _lock: File,
}

/// A database that is measured on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Records {
    Vitrine(Catalogue),
    Glance(Catalogue),
    GlanceIndexed(Catalogue),
}

impl Records {
    /// The database's name.
    pub(crate) fn database(self) -> String {
        match self {
            Self::Vitrine(catalogue) => format!("run_vitrine_{}", catalogue.images),
            Self::Glance(catalogue) => format!("run_glance_{}", catalogue.images),
            Self::GlanceIndexed(catalogue) => format!("run_glance_indexed_{}", catalogue.images),
        }
    }

    fn catalogue(self) -> Catalogue {
        match self {
            Self::Vitrine(catalogue) | Self::Glance(catalogue) | Self::GlanceIndexed(catalogue) => catalogue,
        }
    }
}

impl Cluster {
    /// Makes a fresh copy of each of these, loading what was never loaded, and starts the server for measuring.
    pub(crate) fn prepare(
        records: &[Records],
        launch: &Launch,
        installation: Option<&Installation>,
    ) -> Result<Self> {
        let home = home()?;
        let lock = File::create(home.join("lock")).map_err(|error| Failure::doing("a lock file", error))?;
        if lock.try_lock().is_err() {
            return Err(Failure::new(format!("another run is under way with {}", home.display())));
        }
        let directory = place(&home)?.join("postgres");
        say(format!("starting Postgres in {}", directory.display()));
        let loading = Postgres::kept(&directory, Durability::Forgone, &LOADING);
        let prepared = Preparing { postgres: &loading, launch, installation }.all(records);
        loading.stop();
        drop(loading);
        prepared?;
        // What was written without care is made safe before it counts.
        let synced = Command::new("sync").status();
        synced.map_err(|error| Failure::doing("sync", error))?;
        let postgres = Postgres::kept(&directory, Durability::Kept, &MEASURING);
        Ok(Self { postgres, _lock: lock })
    }

    /// The URL of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        self.postgres.named(database).url().to_owned()
    }

    /// The first row of a query's answer.
    pub(crate) fn ask(&self, database: &str, sql: &str) -> String {
        self.postgres.named(database).query(sql).into_iter().next().unwrap_or_default()
    }
}

impl Drop for Cluster {
    /// The copies go; what they were copied from stays.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let server = self.postgres.named("postgres");
        for name in server.query("SELECT datname FROM pg_database WHERE datname LIKE 'run\\_%'") {
            server.query(&format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

/// Where the server's files are: in `home`, or, where its user cannot enter that (a clone of root's own), beside the system's
/// temporary files that stay; by a name that this clone alone has.
fn place(home: &Path) -> Result<PathBuf> {
    let own = kept::fingerprint(&[&home.display().to_string()]);
    place_among(home, &[PathBuf::from(format!("/var/tmp/vitrine-bench-{own}"))])
}

fn place_among(home: &Path, others: &[PathBuf]) -> Result<PathBuf> {
    if is_reachable(home) {
        return Ok(home.to_owned());
    }
    let home_owner = fs::metadata(home).ok().map(|home| home.uid());
    for other in others {
        // One that is there must be ours: anybody may have made it.
        let made = DirBuilder::new().mode(0o711).create(other);
        let is_ours = |found: fs::Metadata| found.is_dir() && home_owner == Some(found.uid());
        if (made.is_ok() || fs::symlink_metadata(other).is_ok_and(is_ours)) && is_reachable(other) {
            say(format!(
                "Postgres' user cannot enter {}; its files are in {}",
                home.display(),
                other.display()
            ));
            return Ok(other.clone());
        }
    }
    Err(Failure::new(format!(
        "the user whom Postgres runs as can enter none of {} and {others:?}",
        home.display()
    )))
}

/// Where results are kept, and catalogues where Postgres can: `<target>/bench`.
pub(crate) fn home() -> Result<PathBuf> {
    let home = kept::target().join("bench");
    fs::create_dir_all(&home).map_err(|error| Failure::doing(home.display(), error))?;
    Ok(home)
}

/// Loading and copying, in a server that forgets.
struct Preparing<'a> {
    postgres: &'a Postgres,
    launch: &'a Launch,
    installation: Option<&'a Installation>,
}

impl Preparing<'_> {
    fn all(&self, records: &[Records]) -> Result<()> {
        for name in self.databases("run_%") {
            self.sql(&format!("DROP DATABASE {name}"));
        }
        let schema = self.vitrine_schema()?;
        for one in records {
            let kept = self.kept(*one, &schema)?;
            say(format!("copying {kept}"));
            self.sql(&format!("CREATE DATABASE {} TEMPLATE {kept} STRATEGY file_copy", one.database()));
        }
        Ok(())
    }

    /// The name of a whole catalogue, which is made if there is none.
    fn kept(&self, records: Records, schema: &str) -> Result<String> {
        let catalogue = records.catalogue();
        let name = match records {
            Records::Vitrine(_) => {
                let recipe = [&catalogue::recipe()[..], &[schema]].concat();
                format!("vitrine_{}_{}", catalogue.images, kept::fingerprint(&recipe))
            }
            Records::Glance(_) | Records::GlanceIndexed(_) => {
                let mut recipe = catalogue::glance_recipe().to_vec();
                recipe.push(self.glance()?.fingerprint());
                let indexed = if matches!(records, Records::GlanceIndexed(_)) { "indexed_" } else { "" };
                format!("glance_{indexed}{}_{}", catalogue.images, kept::fingerprint(&recipe))
            }
        };
        if self.databases(&name).is_empty() {
            self.make(records, &name, schema)?;
        }
        Ok(name)
    }

    fn make(&self, records: Records, name: &str, schema: &str) -> Result<()> {
        let catalogue = records.catalogue();
        // One of another recipe takes room for nothing.
        let prefix = name.rsplit_once('_').map_or(name, |(prefix, _)| prefix);
        for old in self.databases(&format!("{prefix}_%")) {
            self.sql(&format!("DROP DATABASE {old}"));
        }
        let half = "being_loaded";
        self.sql(&format!("DROP DATABASE IF EXISTS {half}"));
        match records {
            Records::Vitrine(_) => {
                self.sql(&format!("CREATE DATABASE {half} TEMPLATE template0"));
                self.launch.migrate(self.postgres.named(half).url())?;
                catalogue::load(self.postgres, half, catalogue)?;
            }
            Records::Glance(_) => {
                self.sql(&format!("CREATE DATABASE {half} TEMPLATE template0"));
                self.glance()?.migrate(self.postgres.named(half).url())?;
                catalogue::load_glance(self.postgres, half, catalogue)?;
            }
            Records::GlanceIndexed(_) => {
                let stock = self.kept(Records::Glance(catalogue), schema)?;
                self.sql(&format!("CREATE DATABASE {half} TEMPLATE {stock} STRATEGY file_copy"));
                catalogue::index_glance(self.postgres, half, catalogue)?;
            }
        }
        self.sql(&format!("ALTER DATABASE {half} RENAME TO {name}"));
        Ok(())
    }

    /// The schema that this program's migrations make, as SQL.
    fn vitrine_schema(&self) -> Result<String> {
        let name = "only_migrated";
        self.sql(&format!("DROP DATABASE IF EXISTS {name}"));
        self.sql(&format!("CREATE DATABASE {name} TEMPLATE template0"));
        self.launch.migrate(self.postgres.named(name).url())?;
        let output = Command::new(self.postgres.program("pg_dump"))
            .args(["--schema-only", "-d", self.postgres.named(name).url()])
            .output()
            .map_err(|error| Failure::doing("pg_dump cannot be started", error))?;
        self.sql(&format!("DROP DATABASE {name}"));
        let dump = String::from_utf8_lossy(&output.stdout);
        // pg_dump writes a word by chance into each dump.
        Ok(dump.lines().filter(|line| !line.starts_with('\\')).collect::<Vec<_>>().join("\n"))
    }

    fn glance(&self) -> Result<&Installation> {
        self.installation.ok_or_else(|| Failure::new("records of Glance, but no Glance"))
    }

    fn databases(&self, like: &str) -> Vec<String> {
        let like = like.replace('_', "\\_");
        self.sql(&format!("SELECT datname FROM pg_database WHERE datname LIKE '{like}'"))
    }

    fn sql(&self, sql: &str) -> Vec<String> {
        self.postgres.named("postgres").query(sql)
    }
}

/// What Postgres says it is.
pub(crate) fn version(postgres: &Postgres) -> String {
    let output = Command::new(postgres.program("postgres")).arg("--version").output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// The directory of a run: logs and configurations of what it starts.
pub(crate) fn scratch() -> Result<tempfile::TempDir> {
    let directory = tempfile::Builder::new().prefix("vitrine-bench-").tempdir();
    directory.map_err(|error| Failure::doing("a temporary directory", error))
}

/// A file with this text.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| Failure::doing(path.display(), error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Where the tests are not root, Postgres is theirs and reaches what they reach: then the first place serves.
    #[test]
    fn a_clone_that_only_its_owner_can_enter_keeps_postgres_elsewhere() {
        let (closed, open) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(open.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let home = closed.path().join("target/bench");
        fs::create_dir_all(&home).unwrap();
        let other = open.path().join("vitrine-bench");
        let chosen = place_among(&home, &[closed.path().join("no"), other.clone()]).unwrap();
        let is_root = fs::metadata(&home).unwrap().uid() == 0;
        assert_eq!(chosen, if is_root { other } else { home.clone() });
        // And Postgres starts there, which makes its cluster as its own user; the next run takes the same place.
        let postgres = Postgres::kept(&chosen.join("postgres"), Durability::Forgone, &[]);
        assert_eq!(postgres.named("postgres").query("SELECT 1"), ["1"]);
        postgres.stop();
        assert_eq!(
            place_among(&home, &[closed.path().join("no"), open.path().join("vitrine-bench")]).unwrap(),
            chosen
        );
    }
}
