//! Events: what changed, who changed it and for which request.
//!
//! Whoever changes the records says why ([`Cause`]); the store keeps an event with every change, in the same
//! transaction, so that there is none without the other. What becomes of events is [`crate::outbox`].

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    image::{Image, ImageId},
    member::MemberStatus,
    project::{ProjectId, UserId},
};

/// Why the records are changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The user who asked.
    pub user: UserId,
    /// The project the user acted for.
    pub project: Option<ProjectId>,
    /// The id of the request, as the client got it in `X-Openstack-Request-Id`.
    pub request: String,
    /// When, in whole microseconds.
    pub at: DateTime<Utc>,
}

/// One change of the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its id, the same wherever and however often it is told.
    pub id: Uuid,
    /// Grows with time: of two changes of which one was answered before the other was asked for, and of any two of one
    /// membership or one image record, the earlier has the smaller number. Numbers may be missing.
    pub number: i64,
    /// Who, for which request, when.
    pub cause: Cause,
    /// The image.
    pub image: ImageId,
    /// What it is called, at that moment.
    pub image_name: Option<String>,
    /// Who owns it, at that moment.
    pub owner: Option<ProjectId>,
    /// Why it happened, where the change alone does not say so.
    pub reason: Option<Reason>,
    /// What happened.
    pub change: Change,
}

/// Why something happened that was not asked for by itself (sharing extensions, section 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A private image was shared anew, which ends its former memberships.
    Reshared,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 1] = [Self::Reshared];

    /// The word for it, in answers and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reshared => "reshared",
        }
    }
}

/// What happened, to an image's record or to one of its memberships.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// To the record.
    Image {
        /// What was done.
        deed: Deed,
        /// The image afterwards; for [`Deed::Delete`], before.
        image: Box<Image>,
    },
    /// To a membership. When an image is deleted, each of its memberships has an event of its own before the image's.
    Member {
        /// What was done.
        deed: Deed,
        /// The project whose membership it is.
        project: ProjectId,
        /// What its status was; `None`: there was no membership.
        old: Option<MemberStatus>,
        /// What its status is; `None`: there is no membership any more.
        new: Option<MemberStatus>,
        /// When the membership was made.
        created_at: DateTime<Utc>,
    },
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// It is new.
    Create,
    /// It is another.
    Update,
    /// It is gone.
    Delete,
}

impl Deed {
    /// Every deed.
    pub const ALL: [Self; 3] = [Self::Create, Self::Update, Self::Delete];

    /// The word for it: `create`, `update` or `delete`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl Event {
    /// Its type, as Glance's notifications name it: `image.member.create` and so on.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match &self.change {
            Change::Image { deed: Deed::Create, .. } => "image.create",
            Change::Image { deed: Deed::Update, .. } => "image.update",
            Change::Image { deed: Deed::Delete, .. } => "image.delete",
            Change::Member { deed: Deed::Create, .. } => "image.member.create",
            Change::Member { deed: Deed::Update, .. } => "image.member.update",
            Change::Member { deed: Deed::Delete, .. } => "image.member.delete",
        }
    }
}
