//! Everything that can go wrong in a use case, in the field's words and without status codes.
//!
//! `Display` is for the client and says only what the client may know; `source()` is for the log.

use std::fmt;

use crate::{image::ImageId, policy::Action, project::ProjectId};

/// What a use case answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause behind an answer that a person at the other end must not see.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a use case did not do what was asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the call names is not there, or the caller may not know that it is.
    #[error("{0}")]
    NotFound(Missing),
    /// The caller may see the image but not do this.
    #[error("{0}")]
    Denied(Denied),
    /// What should be made is there already.
    #[error("{0}")]
    Conflict(Conflict),
    /// The call itself makes no sense; the text says what would.
    #[error("{0}")]
    Invalid(String),
    /// More than a limit allows.
    #[error("{0}")]
    LimitExceeded(LimitExceeded),
    /// Others changed the same records at the same time, again and again; the call may be repeated.
    #[error("The records of this image are changing too fast; try again.")]
    Contention(#[source] Source),
    /// The records cannot be reached now; the call may be repeated.
    #[error("The service cannot reach its records at the moment; try again.")]
    Unavailable(#[source] Source),
    /// A fault of ours.
    #[error("The service made a mistake. The request id will help its operator to find out which.")]
    Internal(#[source] Source),
}

impl Error {
    /// [`Error::Invalid`] with this text.
    #[must_use]
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid(reason.into())
    }
}

/// What is missing. One answer for «does not exist» and «you may not know whether it does».
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// An image; the id as the caller wrote it.
    Image(String),
    /// A membership of this project in this image.
    Member(ImageId, ProjectId),
    /// This tag of this image.
    Tag(ImageId, String),
}

/// How much of an id that names nothing is repeated in the answer, in characters.
const ECHO_CHARS: usize = 64;

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(id) => {
                let shown: String = id.chars().filter(|c| !c.is_control()).take(ECHO_CHARS).collect();
                write!(f, "Image {shown} not found.")
            }
            Self::Member(image, project) => {
                write!(f, "{project} not found in the member list of the image {image}.")
            }
            Self::Tag(image, tag) => write!(f, "Image {image} has no tag {tag}."),
        }
    }
}

/// Why somebody who may see an image may not do this to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Members exist on shared images only (API v2.5, members).
    NotShared,
    /// The policy says no.
    Policy(Action),
    /// The owner's side may not answer for a member.
    OwnerAnswers(ProjectId),
    /// The image has no owner, and the caller is not the member.
    NoOwner(ProjectId),
    /// The image is protected.
    Protected(ImageId),
    /// Only an admin may give an image to another project or to nobody.
    GivingAway,
    /// The token is for no project, and this call needs one.
    NoProject,
    /// The attribute cannot be written by a client.
    ReadOnly(String),
    /// Every image has the attribute; it cannot be removed.
    Required(String),
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotShared => f.write_str("Only shared images have members."),
            Self::Policy(action) => write!(
                f,
                "You are not authorized to complete {action} action: neither your project nor your roles allow it."
            ),
            Self::OwnerAnswers(member) => write!(
                f,
                "The owner of an image cannot set a member's status: only project {member} itself can."
            ),
            Self::NoOwner(member) => write!(
                f,
                "This image has no owner: the status of project {member} can be set by that project only."
            ),
            Self::Protected(id) => {
                write!(f, "Image {id} is protected and cannot be deleted. Set \"protected\" to false first.")
            }
            Self::GivingAway => f.write_str(
                "Only an administrator can make an image for another project or without an owner.",
            ),
            Self::NoProject => f.write_str("This call needs a token that is scoped to a project."),
            Self::ReadOnly(attribute) => write!(f, "Attribute \"{attribute}\" is read-only."),
            Self::Required(attribute) => write!(
                f,
                "Attribute \"{attribute}\" is part of every image and cannot be removed: replace its value instead."
            ),
        }
    }
}

/// What is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// This project is a member of this image; its row and status were left as they are.
    Member(ImageId, ProjectId),
    /// An image has, or had, this id.
    Image(ImageId),
    /// The patch asks for what the image does not allow: its path names nothing, or is there already.
    Patch(String),
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(image, project) => {
                write!(f, "Project {project} is already a member of image {image}.")
            }
            Self::Image(id) => write!(f, "An image with the id {id} already exists or once did."),
            Self::Patch(reason) => f.write_str(reason),
        }
    }
}

/// A limit and what was asked beyond it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitExceeded {
    /// What is counted, in the plural: "image members".
    pub what: &'static str,
    /// How many there would have been.
    pub attempted: usize,
    /// How many may be.
    pub maximum: usize,
}

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, attempted, maximum } = self;
        write!(
            f,
            "The limit has been exceeded on the number of allowed {what}. Attempted: {attempted}, maximum: {maximum}."
        )
    }
}
