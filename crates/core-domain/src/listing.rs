//! A list of images: who asks, for which, in what order, from where.

use std::{cmp::Ordering, str::FromStr};

use chrono::{DateTime, Utc};

use crate::{
    error::{Error, Result},
    image::{Image, ImageId, ImageStatus, Visibility},
    member::MemberStatus,
    project::ProjectId,
    steps,
};

/// The largest number of tags that one list is filtered by.
pub const MAX_TAGS: usize = 16;
/// The largest number of properties that one list is filtered by.
pub const MAX_PROPERTIES: usize = 16;
/// The largest number of values that one filter accepts, such as the names of `name=in:a,b`.
pub const MAX_VALUES: usize = 1000;

/// What a list of images is to hold (API v2, list images).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Whose list it is; a project, for callers without one list nothing.
    pub project: ProjectId,
    /// Whether it is an admin's: then every image is within reach, whatever the memberships say.
    pub admin: bool,
    /// Which visibilities.
    pub visibility: VisibilityFilter,
    /// Which memberships make a shared image part of the list.
    pub member_status: MemberStatusFilter,
    /// Only of this owner.
    pub owner: Option<ProjectId>,
    /// Only with one of these ids; empty: any.
    pub ids: Vec<ImageId>,
    /// Only with one of these names; empty: any.
    pub names: Vec<String>,
    /// Only in one of these states; empty: any.
    pub statuses: Vec<ImageStatus>,
    /// Only with one of these container formats; empty: any.
    pub container_formats: Vec<String>,
    /// Only with one of these disk formats; empty: any.
    pub disk_formats: Vec<String>,
    /// Only with all of these tags.
    pub tags: Vec<String>,
    /// Only with all of these properties, at these values.
    pub properties: Vec<(String, String)>,
    /// Only hidden ones, or only the others.
    pub hidden: bool,
    /// Only protected ones, or only the others.
    pub protected: Option<bool>,
    /// Only with this minimum of disk, in GiB.
    pub min_disk: Option<i32>,
    /// Only with this minimum of memory, in MiB.
    pub min_ram: Option<i32>,
    /// A filter asks for a value that no image can have: the list is empty.
    pub matches_nothing: bool,
    /// By what to order; [`Listing::order`] makes it total.
    pub sort: Vec<(SortKey, Direction)>,
    /// Start after this position.
    pub after: Option<Box<Position>>,
    /// How many at most. A store answers fewer where a page would take too much memory.
    pub limit: usize,
}

/// Which visibilities a list holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VisibilityFilter {
    /// All but the community images of others.
    #[default]
    Unasked,
    /// All.
    All,
    /// This one.
    Only(Visibility),
}

impl FromStr for VisibilityFilter {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "all" => Ok(Self::All),
            _ => word.parse().map(Self::Only).map_err(|_| {
                Error::invalid(
                    "The visibility to list must be one of \"public\", \"community\", \"shared\", \"private\" or \"all\".",
                )
            }),
        }
    }
}

/// Which memberships make a shared image part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberStatusFilter {
    /// Every one.
    All,
    /// Those in this status.
    Only(MemberStatus),
}

impl Default for MemberStatusFilter {
    fn default() -> Self {
        Self::Only(MemberStatus::Accepted)
    }
}

impl FromStr for MemberStatusFilter {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "all" => Ok(Self::All),
            _ => word.parse().map(Self::Only).map_err(|_| {
                Error::invalid(
                    "The member_status to list must be one of \"pending\", \"accepted\", \"rejected\" or \"all\".",
                )
            }),
        }
    }
}

/// By what a list may be ordered. What an image lacks sorts like the empty text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// `name`
    Name,
    /// `status`, by its word
    Status,
    /// `container_format`
    ContainerFormat,
    /// `disk_format`
    DiskFormat,
    /// `size`: the same for all as long as images have no bytes
    Size,
    /// `id`
    Id,
    /// `created_at`
    CreatedAt,
    /// `updated_at`
    UpdatedAt,
}

impl SortKey {
    /// Every key with its word.
    pub const ALL: [(&'static str, Self); 8] = [
        ("name", Self::Name),
        ("status", Self::Status),
        ("container_format", Self::ContainerFormat),
        ("disk_format", Self::DiskFormat),
        ("size", Self::Size),
        ("id", Self::Id),
        ("created_at", Self::CreatedAt),
        ("updated_at", Self::UpdatedAt),
    ];

    fn of_image(self, image: &Image) -> SortValue<'_> {
        match self {
            Self::Name => SortValue::text(image.name.as_deref()),
            Self::Status => SortValue::Text(image.status.as_str()),
            Self::ContainerFormat => SortValue::text(image.container_format.as_deref()),
            Self::DiskFormat => SortValue::text(image.disk_format.as_deref()),
            Self::Size => SortValue::text(None),
            Self::Id => SortValue::Id(image.id),
            Self::CreatedAt => SortValue::Time(image.created_at),
            Self::UpdatedAt => SortValue::Time(image.updated_at),
        }
    }

    fn of_position(self, position: &Position) -> SortValue<'_> {
        match self {
            Self::Name => SortValue::text(position.name.as_deref()),
            Self::Status => SortValue::Text(position.status.as_str()),
            Self::ContainerFormat => SortValue::text(position.container_format.as_deref()),
            Self::DiskFormat => SortValue::text(position.disk_format.as_deref()),
            Self::Size => SortValue::text(None),
            Self::Id => SortValue::Id(position.id),
            Self::CreatedAt => SortValue::Time(position.created_at),
            Self::UpdatedAt => SortValue::Time(position.updated_at),
        }
    }
}

/// What one key compares. Two values of one key are of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SortValue<'a> {
    Text(&'a str),
    Id(ImageId),
    Time(DateTime<Utc>),
}

impl<'a> SortValue<'a> {
    fn text(text: Option<&'a str>) -> Self {
        Self::Text(text.unwrap_or_default())
    }
}

/// A place in the order of a list: of an image, what an order can compare. The image need not exist any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// See [`Image::id`].
    pub id: ImageId,
    /// See [`Image::name`].
    pub name: Option<String>,
    /// See [`Image::status`].
    pub status: ImageStatus,
    /// See [`Image::container_format`].
    pub container_format: Option<String>,
    /// See [`Image::disk_format`].
    pub disk_format: Option<String>,
    /// See [`Image::created_at`].
    pub created_at: DateTime<Utc>,
    /// See [`Image::updated_at`].
    pub updated_at: DateTime<Utc>,
}

impl From<&Image> for Position {
    fn from(image: &Image) -> Self {
        Self {
            id: image.id,
            name: image.name.clone(),
            status: image.status,
            container_format: image.container_format.clone(),
            disk_format: image.disk_format.clone(),
            created_at: image.created_at,
            updated_at: image.updated_at,
        }
    }
}

/// The total order of one list, computed once and then compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparator(Vec<(SortKey, Direction)>);

impl Comparator {
    /// Which of two images comes first.
    #[must_use]
    pub fn compare(&self, a: &Image, b: &Image) -> Ordering {
        self.first_difference(|key| key.of_image(a).cmp(&key.of_image(b)))
    }

    /// Whether an image comes after a position.
    #[must_use]
    pub fn is_after(&self, image: &Image, position: &Position) -> bool {
        self.first_difference(|key| key.of_image(image).cmp(&key.of_position(position))).is_gt()
    }

    fn first_difference(&self, compare: impl Fn(SortKey) -> Ordering) -> Ordering {
        for (key, direction) in &self.0 {
            steps::count(1);
            let ordering = compare(*key);
            if ordering.is_ne() {
                return match direction {
                    Direction::Asc => ordering,
                    Direction::Desc => ordering.reverse(),
                };
            }
        }
        Ordering::Equal
    }
}

impl FromStr for SortKey {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        Self::ALL.into_iter().find_map(|(name, key)| (name == word).then_some(key)).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|(name, _)| *name).collect();
            Error::invalid(format!("Images cannot be sorted by that: there are {}.", names.join(", ")))
        })
    }
}

/// Which end comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Asc,
    /// Largest first.
    Desc,
}

impl FromStr for Direction {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "asc" => Ok(Self::Asc),
            "desc" => Ok(Self::Desc),
            _ => Err(Error::invalid("The sort direction must be \"asc\" or \"desc\".")),
        }
    }
}

/// What [`Listing::order`] makes of the keys asked for.
#[must_use]
pub fn total_order(sort: &[(SortKey, Direction)]) -> Vec<(SortKey, Direction)> {
    let ties = [SortKey::CreatedAt, SortKey::Id].map(|key| (key, Direction::Desc));
    let mut order = Vec::with_capacity(SortKey::ALL.len());
    for (key, direction) in sort.iter().copied().chain(ties) {
        steps::count(order.len() + 1);
        if !order.iter().any(|(present, _)| *present == key) {
            order.push((key, direction));
        }
        // No two images have one id: nothing comes after it.
        if key == SortKey::Id {
            break;
        }
    }
    order
}

impl Listing {
    /// The list a project gets that asks for nothing in particular.
    #[must_use]
    pub fn of(project: ProjectId, admin: bool, limit: usize) -> Self {
        Self {
            project,
            admin,
            visibility: VisibilityFilter::default(),
            member_status: MemberStatusFilter::default(),
            owner: None,
            ids: Vec::new(),
            names: Vec::new(),
            statuses: Vec::new(),
            container_formats: Vec::new(),
            disk_formats: Vec::new(),
            tags: Vec::new(),
            properties: Vec::new(),
            hidden: false,
            protected: None,
            min_disk: None,
            min_ram: None,
            matches_nothing: false,
            sort: Vec::new(),
            after: None,
            limit,
        }
    }

    /// The order, made total: newest first unless asked otherwise, ties broken by creation and id, as Glance does. A key
    /// that is given twice counts where it is given first, so the order never has more keys than there are. Its last is the id.
    #[must_use]
    pub fn order(&self) -> Vec<(SortKey, Direction)> {
        total_order(&self.sort)
    }

    /// The order, to compare images with.
    #[must_use]
    pub fn comparator(&self) -> Comparator {
        Comparator(self.order())
    }

    /// Refuses a list that asks for more than one statement should decide.
    ///
    /// # Errors
    /// [`Error::Invalid`], naming the filter and its bound.
    pub fn check(&self) -> Result<()> {
        let Self { ids, names, statuses, container_formats, disk_formats, tags, properties, .. } = self;
        let values = MAX_VALUES;
        for (what, given, bound) in [
            ("tags", tags.len(), MAX_TAGS),
            ("properties", properties.len(), MAX_PROPERTIES),
            ("ids", ids.len(), values),
            ("names", names.len(), values),
            ("statuses", statuses.len(), values),
            ("container formats", container_formats.len(), values),
            ("disk formats", disk_formats.len(), values),
        ] {
            if given > bound {
                return Err(Error::invalid(format!("Images are filtered by at most {bound} {what}.")));
            }
        }
        Ok(())
    }

    /// Whether the list holds this image, in which `membership` is the asking project's; the place in the order and
    /// the limit apart. A store that asks a database says the same in SQL.
    #[must_use]
    pub fn holds(&self, image: &Image, membership: Option<MemberStatus>) -> bool {
        !self.matches_nothing
            && self.reaches(image, membership)
            && self.owner.as_ref().is_none_or(|owner| image.owner.as_ref() == Some(owner))
            && any_of(&self.ids, &image.id)
            && any_text_of(&self.names, image.name.as_ref())
            && any_of(&self.statuses, &image.status)
            && any_text_of(&self.container_formats, image.container_format.as_ref())
            && any_text_of(&self.disk_formats, image.disk_format.as_ref())
            && all_of(&self.tags, |tag| image.tags.contains(tag))
            && all_of(&self.properties, |(name, value)| image.properties.get(name) == Some(value))
            && self.hidden == image.hidden
            && self.protected.is_none_or(|protected| protected == image.protected)
            && self.min_disk.is_none_or(|gibibytes| gibibytes == image.min_disk)
            && self.min_ram.is_none_or(|mebibytes| mebibytes == image.min_ram)
    }

    /// Whether the image is within the asking project's reach and of the right visibility (API v2.5: community images
    /// of others only when asked for; shared ones by membership and its status).
    fn reaches(&self, image: &Image, membership: Option<MemberStatus>) -> bool {
        let own = image.owner.as_ref() == Some(&self.project);
        let within_reach = self.admin
            || own
            || match image.visibility {
                Visibility::Public | Visibility::Community => true,
                Visibility::Shared => membership.is_some_and(|status| match self.member_status {
                    MemberStatusFilter::All => true,
                    MemberStatusFilter::Only(asked) => status == asked,
                }),
                Visibility::Private => false,
            };
        within_reach
            && match self.visibility {
                VisibilityFilter::All => true,
                VisibilityFilter::Only(asked) => image.visibility == asked,
                VisibilityFilter::Unasked => own || image.visibility != Visibility::Community,
            }
    }
}

fn any_of<T: PartialEq>(wanted: &[T], value: &T) -> bool {
    let is_value = |one: &T| {
        steps::count(1);
        one == value
    };
    wanted.is_empty() || wanted.iter().any(is_value)
}

fn any_text_of(wanted: &[String], value: Option<&String>) -> bool {
    wanted.is_empty() || value.is_some_and(|value| any_of(wanted, value))
}

fn all_of<T>(wanted: &[T], has: impl Fn(&T) -> bool) -> bool {
    wanted.iter().all(|one| {
        steps::count(1);
        has(one)
    })
}
