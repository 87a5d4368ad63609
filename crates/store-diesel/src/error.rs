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

impl Fault {
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
