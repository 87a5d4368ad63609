//! Why a measurement cannot be made.

use std::fmt::Display;

/// What went wrong, for a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(String);

/// What can go wrong here ends the run.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure that says this.
    pub(crate) fn new(said: impl Into<String>) -> Self {
        Self(said.into())
    }

    /// What was being done, and why it failed.
    pub(crate) fn doing(what: impl Display, error: impl Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}
