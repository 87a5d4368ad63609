//! What Diesel says, in words to act on. Translated where the statement stands, so nothing above knows Diesel.

use core_domain::error::{Conflict, Error, Source};
use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// Why a statement failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// There is such a row already.
    Taken(Source),
    /// Others were in the way; nothing was done, and trying again may help.
    Busy(Source),
    /// The connection is gone, and with it the answer.
    Broken(Source),
    /// The records cannot be reached now: no connection, no room, no answer in time.
    Away(Source),
    /// Something is there that should not be.
    Ours(Source),
}

/// What Postgres and SQLite say when others are in the way. Diesel passes on no code for these, only the text.
const BUSY: [&str; 3] = ["deadlock detected", "database is locked", "database table is locked"];

/// What they say when they cannot do it now. The first two are timeouts of ours.
const AWAY: [&str; 14] = [
    "canceling statement due to",
    "terminating connection",
    "the database system is",
    "too many clients already",
    "remaining connection slots are reserved",
    "too many connections",
    "No space left on device",
    "could not extend file",
    "out of memory",
    "out of shared memory",
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "readonly database",
];

/// What libpq, Postgres and SQLite say of a statement, or of what it makes, that is larger than they take. However it is
/// said, such a statement is a fault of ours: it will not pass the next time either.
const TOO_LARGE: [&str; 11] = [
    "number of parameters must be between",
    "Cannot enlarge string buffer",
    "string buffer exceeds maximum allowed length",
    "invalid memory alloc request size",
    "invalid message length",
    "bind message has",
    "stack depth limit exceeded",
    "statement too complex",
    "exceeds the maximum",
    "too many SQL variables",
    "string or blob too big",
];

/// Whether an error is about the size of a statement or of a value.
fn is_about_size(message: &str, details: Option<&str>) -> bool {
    TOO_LARGE
        .iter()
        .any(|text| message.contains(text) || details.is_some_and(|details| details.contains(text)))
}

impl Fault {
    /// The same, of a statement that took as long as its timeout. Postgres may speak another language than ours.
    pub(crate) fn after_timeout(self) -> Self {
        match self {
            Self::Ours(source) if !is_about_size(&source.to_string(), None) => Self::Away(source),
            Self::Ours(_) | Self::Taken(_) | Self::Busy(_) | Self::Broken(_) | Self::Away(_) => self,
        }
    }

    /// [`Fault::Taken`] as this conflict, everything else as it is.
    pub(crate) fn taken_as(self, conflict: Conflict) -> Error {
        match self {
            Self::Taken(_) => Error::Conflict(conflict),
            Self::Busy(_) | Self::Broken(_) | Self::Away(_) | Self::Ours(_) => self.into(),
        }
    }

    /// [`Fault::Taken`] as a fault of ours, where the key was of our own choice; everything else as it is.
    pub(crate) fn of_own_key(self) -> Self {
        match self {
            Self::Taken(source) => Self::Ours(source),
            Self::Busy(_) | Self::Broken(_) | Self::Away(_) | Self::Ours(_) => self,
        }
    }
}

impl From<DieselError> for Fault {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "Diesel's enums grow; what has no name here is a fault of ours"
    )]
    fn from(error: DieselError) -> Self {
        let (kind, message) = match &error {
            DieselError::DatabaseError(_, information)
                if is_about_size(information.message(), information.details()) =>
            {
                return Self::Ours(error.into());
            }
            DieselError::DatabaseError(kind, information) => (kind, information.message()),
            // A transaction that neither commits nor rolls back: its connection is of no use any more.
            DieselError::RollbackErrorOnCommit { .. } | DieselError::BrokenTransactionManager => {
                return Self::Broken(error.into());
            }
            _ => return Self::Ours(error.into()),
        };
        let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
        match kind {
            DatabaseErrorKind::UniqueViolation => Self::Taken(error.into()),
            DatabaseErrorKind::SerializationFailure => Self::Busy(error.into()),
            DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
                Self::Broken(error.into())
            }
            // A standby, while the primary moves.
            DatabaseErrorKind::ReadOnlyTransaction => Self::Broken(error.into()),
            _ if says(&BUSY) => Self::Busy(error.into()),
            _ if says(&AWAY) => Self::Away(error.into()),
            _ => Self::Ours(error.into()),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Busy(source) => Self::Contention(source),
            Fault::Broken(source) | Fault::Away(source) => Self::Unavailable(source),
            Fault::Taken(source) | Fault::Ours(source) => Self::Internal(source),
        }
    }
}

/// Something is in the database, or not, that no statement of ours leaves so.
pub(crate) fn impossible(what: impl Into<Source>) -> Fault {
    Fault::Ours(what.into())
}

/// A word or an id of the database as the domain reads it.
pub(crate) fn read<T>(parsed: core_domain::Result<T>) -> Result<T, Fault> {
    parsed.map_err(|error| impossible(format!("in the database: {error}")))
}

#[cfg(test)]
mod tests {
    use diesel::{
        Connection, PgConnection, RunQueryDsl, SqliteConnection, pg::Pg, sql_query, sql_types::Integer,
        sqlite::Sqlite,
    };
    use testbed::Postgres;

    use super::*;

    /// More than either database takes in one statement.
    const PARAMETERS: usize = 70_000;

    #[test]
    fn a_statement_that_is_too_large_is_a_fault_of_ours() {
        let database = Postgres::shared().database();
        let mut postgres = PgConnection::establish(database.url()).expect("a connection");
        let mut sqlite = SqliteConnection::establish(":memory:").expect("a database");
        let list = |name: &dyn Fn(usize) -> String| (1..=PARAMETERS).map(name).collect::<Vec<_>>().join(", ");
        let numbered = format!("SELECT 1 WHERE 1 IN ({})", list(&|number| format!("${number}")));
        let unnumbered = format!("SELECT 1 WHERE 1 IN ({})", list(&|_| "?".to_owned()));
        let mut for_postgres = sql_query(numbered).into_boxed::<Pg>();
        let mut for_sqlite = sql_query(unnumbered).into_boxed::<Sqlite>();
        for _ in 0..PARAMETERS {
            for_postgres = for_postgres.bind::<Integer, _>(1);
            for_sqlite = for_sqlite.bind::<Integer, _>(1);
        }
        let refused = [
            for_postgres.execute(&mut postgres).expect_err("too many"),
            for_sqlite.execute(&mut sqlite).expect_err("too many"),
        ];
        for error in refused {
            let said = error.to_string();
            assert!(matches!(Fault::from(error).after_timeout(), Fault::Ours(_)), "{said}");
        }
        // The session is as good as before.
        assert!(sql_query("SELECT 1").execute(&mut postgres).is_ok());
    }

    #[test]
    fn what_took_as_long_as_its_timeout_is_away_unless_it_was_too_large() {
        let ours = |text: &str| Fault::Ours(text.to_owned().into()).after_timeout();
        assert!(matches!(ours("storniere Anfrage wegen Zeitüberschreitung"), Fault::Away(_)));
        assert!(matches!(ours("number of parameters must be between 0 and 65535"), Fault::Ours(_)));
    }
}
