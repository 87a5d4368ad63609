//! An image: its record, never its bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{error::Error, project::ProjectId, steps};

/// An image's id. On the wire the hyphenated form, in either case; answers have it in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId(Uuid);

impl ImageId {
    /// A new id, random.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The id as a UUID.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for ImageId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for ImageId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // 36 characters leave only the hyphenated form of those that the uuid crate reads.
        (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten().map(Self).ok_or_else(|| {
            Error::invalid("An image id is a UUID such as 71c675ab-d94f-49cd-a114-e12490b328d9.")
        })
    }
}

/// One image record. Tags and properties are part of it and travel with it; members have a life of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The id, never given twice.
    pub id: ImageId,
    /// The project that owns it; an image without one is made by an admin only.
    pub owner: Option<ProjectId>,
    /// Who sees it.
    pub visibility: Visibility,
    /// Where its data stands; `queued` as long as there is none.
    pub status: ImageStatus,
    /// A name for people; not unique.
    pub name: Option<String>,
    /// One of [`CONTAINER_FORMATS`].
    pub container_format: Option<String>,
    /// One of [`DISK_FORMATS`].
    pub disk_format: Option<String>,
    /// Disk needed to boot it, in GiB.
    pub min_disk: i32,
    /// Memory needed to boot it, in MiB.
    pub min_ram: i32,
    /// May not be deleted.
    pub protected: bool,
    /// Left out of lists unless asked for (`os_hidden` on the wire).
    pub hidden: bool,
    /// When the record was made; never changes.
    pub created_at: DateTime<Utc>,
    /// When the record last changed; calls on members leave it alone.
    pub updated_at: DateTime<Utc>,
    /// Free words to find it by.
    pub tags: BTreeSet<String>,
    /// Free properties, text to text.
    pub properties: BTreeMap<String, String>,
}

/// What deciding about an image takes. Reads of members fetch this and never the whole image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageAccess {
    /// The image.
    pub id: ImageId,
    /// The project that owns it.
    pub owner: Option<ProjectId>,
    /// Who sees it.
    pub visibility: Visibility,
}

impl Image {
    /// The part of the image that decisions are made on.
    #[must_use]
    pub fn access(&self) -> ImageAccess {
        self.access_as(self.visibility)
    }

    /// The same for the image as it would be with another visibility.
    #[must_use]
    pub fn access_as(&self, visibility: Visibility) -> ImageAccess {
        ImageAccess { id: self.id, owner: self.owner.clone(), visibility }
    }

    /// The size of the record in bytes: its owner, name and formats, its tags, and the names and values of its properties.
    /// What has a fixed size, such as times and numbers, is not counted.
    #[must_use]
    pub fn record_bytes(&self) -> usize {
        steps::count(4 + self.tags.len() + self.properties.len());
        let owner = self.owner.as_ref().map(ProjectId::as_str);
        [owner, self.name.as_deref(), self.container_format.as_deref(), self.disk_format.as_deref()]
            .into_iter()
            .flatten()
            .chain(self.tags.iter().map(String::as_str))
            .chain(self.properties.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]))
            .map(str::len)
            .sum()
    }

    /// What the record takes in memory, in bytes, at most: its texts, each with what allocating it costs, and the rest of
    /// it. This is what budgets of memory count.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        memory_of(self.record_bytes(), &self.tags, &self.properties)
    }
}

/// What a record with so many bytes of text takes in memory.
pub(crate) fn memory_of(
    record_bytes: usize,
    tags: &BTreeSet<String>,
    properties: &BTreeMap<String, String>,
) -> usize {
    let texts = 4 + tags.len() + 2 * properties.len();
    let nodes = usize::from(!tags.is_empty()) + usize::from(!properties.is_empty());
    size_of::<Image>() + record_bytes + texts * BYTES_OF_A_TEXT + nodes * BYTES_OF_A_NODE
}

/// What a text costs beside its bytes: its place in a node that may be half empty, and what its allocation is rounded up by.
const BYTES_OF_A_TEXT: usize = 64;
/// What the first node of a map or a set costs, however few it holds.
const BYTES_OF_A_NODE: usize = 640;

/// Formats an image's container may have: the defaults of Glance 33.
pub const CONTAINER_FORMATS: [&str; 8] = ["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"];

/// Formats an image's disk may have: the defaults of Glance 33.
pub const DISK_FORMATS: [&str; 11] =
    ["ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"];

/// Who sees an image (API v2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Everybody sees and lists it.
    Public,
    /// Everybody sees it, only its owner lists it unasked.
    Community,
    /// Its owner and its members see it.
    Shared,
    /// Its owner sees it.
    Private,
}

impl Visibility {
    /// Every visibility, in the order in which the API names them.
    pub const ALL: [Self; 4] = [Self::Public, Self::Community, Self::Shared, Self::Private];

    /// The word on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Community => "community",
            Self::Shared => "shared",
            Self::Private => "private",
        }
    }
}

impl fmt::Display for Visibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Visibility {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|visibility| visibility.as_str() == word).ok_or_else(|| {
            Error::invalid(
                "The visibility must be one of \"public\", \"community\", \"shared\" or \"private\".",
            )
        })
    }
}

/// Where an image's data stands (API v2). Only `Queued` is written until images have bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageStatus {
    /// A record without data.
    Queued,
    /// Data is being stored.
    Saving,
    /// Data is being staged.
    Uploading,
    /// Data is being imported.
    Importing,
    /// Data is there.
    Active,
    /// Data is there and may not be read.
    Deactivated,
    /// Storing the data failed.
    Killed,
    /// Gone.
    Deleted,
    /// Data is to be removed.
    PendingDelete,
}

impl ImageStatus {
    /// Every status.
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Saving,
        Self::Uploading,
        Self::Importing,
        Self::Active,
        Self::Deactivated,
        Self::Killed,
        Self::Deleted,
        Self::PendingDelete,
    ];

    /// The word on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Saving => "saving",
            Self::Uploading => "uploading",
            Self::Importing => "importing",
            Self::Active => "active",
            Self::Deactivated => "deactivated",
            Self::Killed => "killed",
            Self::Deleted => "deleted",
            Self::PendingDelete => "pending_delete",
        }
    }
}

impl fmt::Display for ImageStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ImageStatus {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or_else(|| Error::invalid(format!("There is no image status \"{word}\".")))
    }
}
