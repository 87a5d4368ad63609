//! A member: one project's membership in one image.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};

use crate::{error::Error, image::ImageId, project::ProjectId};

/// One project's membership in one image. There is at most one for each (image, project), ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The image that is shared.
    pub image: ImageId,
    /// The project it is shared with.
    pub project: ProjectId,
    /// What that project made of the offer.
    pub status: MemberStatus,
    /// When it was added; a project that is removed and added again starts anew.
    pub created_at: DateTime<Utc>,
    /// When its status last changed.
    pub updated_at: DateTime<Utc>,
}

impl Member {
    /// A new offer: pending, both times `now`.
    #[must_use]
    pub fn offered(image: ImageId, project: ProjectId, now: DateTime<Utc>) -> Self {
        Self { image, project, status: MemberStatus::Pending, created_at: now, updated_at: now }
    }
}

/// What a project made of an offer (API v2, members). It governs listing only: a member sees the image by id in
/// every status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemberStatus {
    /// Offered, not answered.
    Pending,
    /// Wanted: the image is in the project's list.
    Accepted,
    /// Not wanted: the image is not in the project's list.
    Rejected,
}

impl MemberStatus {
    /// Every status, in the order in which the API names them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Accepted, Self::Rejected];

    /// The word on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
        }
    }
}

impl fmt::Display for MemberStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MemberStatus {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|status| status.as_str() == word).ok_or_else(|| {
            Error::invalid("The status must be one of \"pending\", \"accepted\" or \"rejected\".")
        })
    }
}
