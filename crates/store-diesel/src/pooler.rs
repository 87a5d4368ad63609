//! A pooler between this program and Postgres that lends a session for one transaction at a time, as PgBouncer does in
//! transaction mode.
//!
//! What a session keeps is lost behind one, or worse, found by somebody else: settings, prepared statements, advisory
//! locks. So [`Pooler::Transaction`] makes every statement part of a transaction that brings its own timeouts, and
//! prepares nothing by name; migrations, which need a lock for longer than a transaction, refuse.

use core_domain::Result;
use diesel::{QueryResult, dsl::sql, prelude::*, sql_types::Integer};

use crate::{
    config::{Config, Pooler},
    connection::{AnyConnection, Breaks, Connection, Purpose},
    error::Fault,
};

/// How often to look for a second session: a pooler may give the same one by chance.
const LOOKS: usize = 3;

/// Whether what looks like one session at `config`'s address is several. True is certain. False is not quite: while
/// others keep the pooler busy, it may by chance have given a session that looks like our own.
///
/// # Errors
/// [`core_domain::Error::Unavailable`] if the database cannot be reached.
pub fn shares_sessions(config: &Config) -> Result<bool> {
    if config.is_embedded() {
        return Ok(false);
    }
    // What is not known to be a session must not be given settings.
    let careful = Config { pooler: Pooler::Transaction, ..config.clone() };
    let open = || {
        Connection::open(&careful, Purpose::Looking, &Breaks::default())
            .map_err(|error| Fault::Away(error.into()))
    };
    let (mut ours, mut other) = (open()?, open()?);
    for _ in 0..LOOKS {
        let before = ours.run(session)?;
        // The pooler's next free session is most likely the one that we have just used: the other takes and keeps it.
        let is_shared = other.together(|other| {
            let theirs = other.run(session)?;
            Ok::<_, Fault>(theirs == before || ours.run(session)? != before)
        })?;
        if is_shared {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The process that serves the session.
fn session(any: &mut AnyConnection) -> QueryResult<i32> {
    diesel::select(sql::<Integer>("pg_backend_pid()")).get_result(any)
}
