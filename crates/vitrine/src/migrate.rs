//! `vitrine migrate`

use store_diesel::{Progress, SchemaState};

use crate::{
    Failure,
    config::{BadConfig, Config},
    print,
};

/// Brings the schema up to date and says what it does.
///
/// # Errors
/// No database, a schema that is newer than this program, a migration that fails.
pub(crate) fn migrate(config: &Config) -> Result<(), Failure> {
    let store = config.migration()?;
    let failed = |error| Failure::other("cannot migrate", describe(&error));
    print(&format!("Migrating {}\n", store.location()))?;
    must_have_sessions("database.migrate_url", &store)?;
    if let SchemaState::Ahead { unknown } = store_diesel::schema_state(&store).map_err(failed)? {
        return Err(Failure::Other(newer(&unknown)));
    }
    let applied = store_diesel::migrate(&store, &mut |progress| {
        // Progress that nobody reads is no reason to stop half-way.
        let _ = print(&match progress {
            Progress::Waiting => "another migration is under way; waiting for it\n".to_owned(),
            Progress::Applying(name) => format!("applying {name}\n"),
        });
    })
    .map_err(failed)?;
    print(&match applied {
        0 => "The schema is up to date; nothing was to be done.\n".to_owned(),
        1 => "Done: 1 migration applied.\n".to_owned(),
        _ => format!("Done: {applied} migrations applied.\n"),
    })
}

/// Refuses a pooler that nobody told us of: behind one, settings and locks are lost.
///
/// # Errors
/// As said, by the key that says otherwise.
pub(crate) fn must_have_sessions(key: &str, store: &store_diesel::Config) -> Result<(), Failure> {
    let shares = store_diesel::shares_sessions(store)
        .map_err(|error| Failure::other("cannot reach the database", describe(&error)))?;
    if !shares {
        return Ok(());
    }
    let reason = format!(
        "{} is a pooler that lends a session for one transaction at a time (PgBouncer in transaction mode); set \
         database.pooler to \"transaction\", and database.migrate_url to Postgres itself",
        store.location()
    );
    Err(BadConfig::new(key, reason).into())
}

/// Refuses a schema that this program does not know, and says what to run.
///
/// # Errors
/// As said.
pub(crate) fn must_be_current(store: &store_diesel::Config) -> Result<(), Failure> {
    let state = store_diesel::schema_state(store)
        .map_err(|error| Failure::other("cannot read the database's schema", describe(&error)))?;
    match state {
        SchemaState::Current => Ok(()),
        SchemaState::Expanded { unknown } => {
            let unknown = unknown.join(", ");
            tracing::warn!(unknown, "the schema is a newer program's, which has only added to it so far");
            Ok(())
        }
        SchemaState::Empty => Err(Failure::Other(format!(
            "the database {} has no schema yet. Run: vitrine migrate",
            store.location()
        ))),
        SchemaState::Behind { pending } => Err(Failure::Other(format!(
            "the database's schema is older than this program (missing: {}). Run: vitrine migrate",
            pending.join(", ")
        ))),
        SchemaState::Ahead { unknown } => Err(Failure::Other(newer(&unknown))),
    }
}

fn newer(unknown: &[String]) -> String {
    format!(
        "the database's schema is newer than this program (it does not know {}). Run a newer vitrine, or restore the \
         database to before that migration",
        unknown.join(", ")
    )
}

/// An error with its causes: at the console the operator is the client.
fn describe(error: &core_domain::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
