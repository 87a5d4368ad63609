//! Events: what changed, who changed it and for which request.
//!
//! Whoever changes the records says why ([`Cause`]); the store keeps an event with every change, in the same
//! transaction, so that there is none without the other. What becomes of events is [`crate::outbox`].

use std::{collections::BTreeSet, str::FromStr};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    error::Error,
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
        /// The attributes that changed; empty for [`Deed::Create`] and [`Deed::Delete`].
        changed: BTreeSet<Attribute>,
        /// The image afterwards; for [`Deed::Delete`], before. Kept for sinks only: `None` if no sink was configured at
        /// the time of the change.
        image: Option<Box<Image>>,
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

/// An attribute of an image's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// The owner.
    Owner,
    /// The visibility.
    Visibility,
    /// The status.
    Status,
    /// The name.
    Name,
    /// The container format.
    ContainerFormat,
    /// The disk format.
    DiskFormat,
    /// The disk needed to boot it.
    MinDisk,
    /// The memory needed to boot it.
    MinRam,
    /// Whether it may not be deleted.
    Protected,
    /// Whether lists leave it out.
    Hidden,
    /// The set of tags.
    Tags,
    /// The set of properties.
    Properties,
}

impl Attribute {
    /// Every attribute.
    pub const ALL: [Self; 12] = [
        Self::Owner,
        Self::Visibility,
        Self::Status,
        Self::Name,
        Self::ContainerFormat,
        Self::DiskFormat,
        Self::MinDisk,
        Self::MinRam,
        Self::Protected,
        Self::Hidden,
        Self::Tags,
        Self::Properties,
    ];

    /// The name of the attribute on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Visibility => "visibility",
            Self::Status => "status",
            Self::Name => "name",
            Self::ContainerFormat => "container_format",
            Self::DiskFormat => "disk_format",
            Self::MinDisk => "min_disk",
            Self::MinRam => "min_ram",
            Self::Protected => "protected",
            Self::Hidden => "os_hidden",
            Self::Tags => "tags",
            Self::Properties => "properties",
        }
    }

    /// The attributes in which two records of one image differ. The times are not among them.
    #[must_use]
    pub fn changed(before: &Image, after: &Image) -> BTreeSet<Self> {
        let differs = |attribute: &Self| match attribute {
            Self::Owner => before.owner != after.owner,
            Self::Visibility => before.visibility != after.visibility,
            Self::Status => before.status != after.status,
            Self::Name => before.name != after.name,
            Self::ContainerFormat => before.container_format != after.container_format,
            Self::DiskFormat => before.disk_format != after.disk_format,
            Self::MinDisk => before.min_disk != after.min_disk,
            Self::MinRam => before.min_ram != after.min_ram,
            Self::Protected => before.protected != after.protected,
            Self::Hidden => before.hidden != after.hidden,
            Self::Tags => before.tags != after.tags,
            Self::Properties => before.properties != after.properties,
        };
        Self::ALL.into_iter().filter(differs).collect()
    }
}

impl FromStr for Attribute {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|attribute| attribute.as_str() == text);
        found.ok_or_else(|| Error::invalid("An image has no such attribute."))
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
