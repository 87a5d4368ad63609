//! The schema: which migrations there are, which were applied, and applying the rest.

use std::{collections::BTreeSet, path::Path, thread::sleep, time::Duration};

use core_domain::error::Source;
use diesel::{
    PgConnection, QueryResult,
    backend::Backend,
    connection::SimpleConnection,
    dsl::sql,
    migration::{Migration, MigrationSource},
    pg::Pg,
    prelude::*,
    sql_types::{Bool, Text},
};
use diesel_migrations::{EmbeddedMigrations, FileBasedMigrations, MigrationHarness, embed_migrations};

use crate::{
    config::{Address, Config, Pooler},
    connection::{AnyConnection, Breaks, Connection, Purpose},
    error::{Fault, impossible},
};

pub(crate) const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");
pub(crate) const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");

/// The advisory lock of whoever migrates: «vitrine» in ASCII.
const TURN: &str = "pg_try_advisory_lock(33329996108492389)";

/// What [`migrate`] is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Another migrates; told once.
    Waiting,
    /// This migration is being applied.
    Applying(&'a str),
}

/// How the schema of a database relates to the one this program knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// They are the same.
    Current,
    /// There is none: [`migrate`] was never run.
    Empty,
    /// These migrations are missing, [`migrate`] applies them.
    Behind {
        /// Their versions.
        pending: Vec<String>,
    },
    /// A newer program has applied these migrations as well, all of which only add: this one can serve.
    Expanded {
        /// Their versions.
        unknown: Vec<String>,
    },
    /// These migrations were applied by a newer program, and at least one of them removes something.
    Ahead {
        /// Their versions.
        unknown: Vec<String>,
    },
}

/// Looks at the schema; changes nothing.
///
/// # Errors
/// [`core_domain::Error::Invalid`] if the configuration cannot work, [`core_domain::Error::Unavailable`] if the
/// database cannot be reached.
pub fn schema_state(config: &Config) -> core_domain::Result<SchemaState> {
    if let Address::Sqlite(path) = &config.checked()?.address
        && !path.exists()
    {
        return Ok(SchemaState::Empty);
    }
    let applied = open(config, Purpose::Looking)?.applied()?;
    let known = known().map_err(impossible)?;
    Ok(match applied {
        Some(applied) if !applied.is_empty() => compare(&known, &applied.into_iter().collect()),
        Some(_) | None => SchemaState::Empty,
    })
}

/// Applies every migration that is missing and answers how many; a SQLite file is made if there is none. When two
/// start at once, one waits for the other.
///
/// # Errors
/// As [`schema_state`]; and [`core_domain::Error::Internal`] if a migration fails: then it was not applied. Through
/// [`Pooler::Transaction`] it is refused.
pub fn migrate(config: &Config, progress: &mut dyn FnMut(Progress<'_>)) -> core_domain::Result<usize> {
    if config.pooler == Pooler::Transaction {
        return Err(core_domain::Error::invalid(
            "A migration holds a lock for as long as it takes, and no pooler of transactions may stand before Postgres.",
        ));
    }
    let mut connection = open(config.checked()?, Purpose::Migrating)?;
    Ok(connection.migrate(progress).map_err(impossible)?)
}

/// Applies what is missing of the migrations in `folder`, in the way of [`migrate`] and on Postgres alone: to try a
/// migration before it is one of the program's own, as the test does that migrates under load.
///
/// # Errors
/// As [`migrate`]; no such folder.
pub fn migrate_from(
    config: &Config,
    folder: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> core_domain::Result<usize> {
    let source = FileBasedMigrations::from_path(folder).map_err(|error| impossible(error.to_string()))?;
    let mut connection = open(config.checked()?, Purpose::Migrating)?;
    Ok(connection.migrate_from(source, progress).map_err(impossible)?)
}

fn open(config: &Config, purpose: Purpose) -> Result<Connection, Fault> {
    Connection::open(config, purpose, &Breaks::default()).map_err(|error| Fault::Away(error.into()))
}

/// Every version this program knows. Both databases have the same ones; a test sees to that.
fn known() -> Result<BTreeSet<String>, Source> {
    let migrations: Vec<Box<dyn Migration<Pg>>> = POSTGRES.migrations()?;
    Ok(migrations.iter().map(|migration| migration.name().version().to_string()).collect())
}

/// Whether a migration removes something that the program before it may need: its version ends with `c`, for «contract»,
/// as in `0012c_drop_old_column`. All else only adds.
fn contracts(version: &str) -> bool {
    version.ends_with('c')
}

fn compare(known: &BTreeSet<String>, applied: &BTreeSet<String>) -> SchemaState {
    let unknown: Vec<String> = applied.difference(known).cloned().collect();
    let pending: Vec<String> = known.difference(applied).cloned().collect();
    if unknown.iter().any(|version| contracts(version)) {
        SchemaState::Ahead { unknown }
    } else if !pending.is_empty() {
        SchemaState::Behind { pending }
    } else if !unknown.is_empty() {
        SchemaState::Expanded { unknown }
    } else {
        SchemaState::Current
    }
}

diesel::table! {
    __diesel_schema_migrations (version) {
        version -> Text,
        run_on -> Timestamp,
    }
}

pub(crate) fn versions(any: &mut AnyConnection) -> QueryResult<Vec<String>> {
    __diesel_schema_migrations::table.select(__diesel_schema_migrations::version).load(any)
}

/// Waits until no other migrates. Trying again and again, because waiting would be a statement with a snapshot, and
/// that stands in the way of `CREATE INDEX CONCURRENTLY`.
pub(crate) fn wait_for_turn(
    postgres: &mut PgConnection,
    progress: &mut dyn FnMut(Progress<'_>),
) -> QueryResult<()> {
    let mut is_told = false;
    while !diesel::select(sql::<Bool>(TURN)).get_result::<bool>(postgres)? {
        if !is_told {
            progress(Progress::Waiting);
            is_told = true;
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Applies what is missing of `source`, each by `run`, in order.
pub(crate) fn apply<DB: Backend, H: MigrationHarness<DB>>(
    harness: &mut H,
    source: impl MigrationSource<DB>,
    progress: &mut dyn FnMut(Progress<'_>),
    run: fn(&mut H, &dyn Migration<DB>) -> Result<(), Source>,
) -> Result<usize, Source> {
    let pending = harness.pending_migrations(source)?;
    for migration in &pending {
        progress(Progress::Applying(&migration.name().to_string()));
        run(harness, migration.as_ref())?;
    }
    Ok(pending.len())
}

/// How often a migration tries to get its lock, and how long it lets others go on in between.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_secs(1);
/// What Postgres says when a lock was not to be had for `lock_timeout`.
const NO_LOCK: &str = "due to lock timeout";

/// Runs one migration. In a transaction: changes of images wait behind a lock that is waited for, so it is given up
/// before they would be refused, and tried for again. Outside of one: what an earlier try left half-way goes first.
///
/// # Errors
/// What the migration says.
pub(crate) fn run_on_postgres(
    postgres: &mut PgConnection,
    migration: &dyn Migration<Pg>,
) -> Result<(), Source> {
    if !migration.metadata().run_in_transaction() {
        return run_outside(postgres, migration);
    }
    let mut tries = 1;
    loop {
        match postgres.run_migration(migration) {
            Err(error) if tries < TRIES && is_without_lock(&error) => sleep(PAUSE),
            done => return done.map(drop),
        }
        tries += 1;
    }
}

fn is_without_lock(error: &Source) -> bool {
    error.to_string().contains(NO_LOCK)
        || error.source().is_some_and(|cause| cause.to_string().contains(NO_LOCK))
}

/// `CREATE INDEX CONCURRENTLY` waits for transactions that are under way, and no change waits for it meanwhile.
const OUTSIDE: &str = "SET lock_timeout = '10min'";

fn run_outside(postgres: &mut PgConnection, migration: &dyn Migration<Pg>) -> Result<(), Source> {
    let timeout: String =
        diesel::select(sql::<Text>("current_setting('lock_timeout')")).get_result(postgres)?;
    postgres.batch_execute(OUTSIDE)?;
    if let Some(index) = index_of(&migration.name().to_string()) {
        drop_unfinished(postgres, index)?;
    }
    postgres.run_migration(migration)?;
    Ok(postgres.batch_execute(&format!("SET lock_timeout = '{timeout}'"))?)
}

/// The index that a migration outside of a transaction makes: `0007_index_images_by_tag` makes `images_by_tag`.
fn index_of(migration: &str) -> Option<&str> {
    let index = migration.split_once("_index_")?.1;
    let is_name = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_';
    (!index.is_empty() && index.bytes().all(is_name)).then_some(index)
}

/// Drops the index of this name if Postgres calls it invalid: its `CREATE INDEX CONCURRENTLY` did not come to its end, and
/// `IF NOT EXISTS` would take it for made. No other program is making it now: one migrates at a time.
fn drop_unfinished(postgres: &mut PgConnection, index: &str) -> QueryResult<()> {
    let unfinished = diesel::select(
        sql::<Bool>(
            "EXISTS (SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid \
             WHERE relnamespace = current_schema()::regnamespace AND NOT indisvalid AND relname = ",
        )
        .bind::<Text, _>(index)
        .sql(")"),
    );
    if unfinished.get_result(postgres)? {
        postgres.batch_execute(&format!("DROP INDEX CONCURRENTLY IF EXISTS {index}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(versions: &[&str]) -> BTreeSet<String> {
        versions.iter().map(|version| (*version).to_owned()).collect()
    }

    #[test]
    fn a_migration_of_an_index_names_it() {
        assert_eq!(index_of("0007_index_images_by_tag"), Some("images_by_tag"));
        for none in ["0007_images", "0007_index_", "0007_index_a\"b", "0007_index_A"] {
            assert_eq!(index_of(none), None, "{none}");
        }
    }

    #[test]
    fn a_schema_is_current_behind_or_ahead() {
        let known = set(&["1", "2"]);
        assert_eq!(compare(&known, &set(&["1", "2"])), SchemaState::Current);
        assert_eq!(compare(&known, &set(&["1"])), SchemaState::Behind { pending: vec!["2".to_owned()] });
        let three = || vec!["3".to_owned()];
        assert_eq!(compare(&known, &set(&["1", "2", "3"])), SchemaState::Expanded { unknown: three() });
        assert_eq!(compare(&known, &set(&["1", "3"])), SchemaState::Behind { pending: vec!["2".to_owned()] });
        let removed = ["3".to_owned(), "4c".to_owned()];
        let state = compare(&known, &set(&["1", "2", "3", "4c"]));
        assert_eq!(state, SchemaState::Ahead { unknown: removed.to_vec() });
    }
}
