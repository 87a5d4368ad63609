//! Projects and users: opaque ids that Keystone gives out.

use std::fmt;

use crate::{error::Error, text};

/// A project's id: a non-empty string of at most 255 characters without NUL; in practice a UUID without dashes.
///
/// A member of an image *is* a project, so member ids have this type too (API v2, members: any string is an id).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectId(Box<str>);

impl ProjectId {
    /// Takes an id as it came from outside.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is empty, longer than 255 characters or contains NUL.
    pub fn parse(id: &str) -> Result<Self, Error> {
        if id.is_empty() {
            return Err(Error::invalid("The member id must not be empty."));
        }
        if id.contains('\0') {
            return Err(Error::invalid("The member id must not contain a NUL character."));
        }
        if id.chars().count() > text::MAX_CHARS {
            return Err(Error::invalid(format!(
                "The member id must not be longer than {} characters.",
                text::MAX_CHARS
            )));
        }
        Ok(Self(id.into()))
    }

    /// The id as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A user's id, for the log and for `user_id:` rules of the policy; never compared with a project's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserId(Box<str>);

impl UserId {
    /// Takes the id as Keystone gave it.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The id as Keystone gave it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
