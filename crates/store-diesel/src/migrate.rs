//! The schema: which migrations there are, which were applied, and applying the rest.

use std::{collections::BTreeSet, thread::sleep, time::Duration};

use core_domain::error::Source;
use diesel::{
    PgConnection, QueryResult,
    backend::Backend,
    dsl::sql,
    migration::{Migration, MigrationSource},
    pg::Pg,
    prelude::*,
    sql_types::Bool,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

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

pub(crate) fn apply<DB: Backend>(
    harness: &mut impl MigrationHarness<DB>,
    source: EmbeddedMigrations,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<usize, Source> {
    let pending = harness.pending_migrations(source)?;
    for migration in &pending {
        progress(Progress::Applying(&migration.name().to_string()));
        harness.run_migration(migration.as_ref())?;
    }
    Ok(pending.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(versions: &[&str]) -> BTreeSet<String> {
        versions.iter().map(|version| (*version).to_owned()).collect()
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
