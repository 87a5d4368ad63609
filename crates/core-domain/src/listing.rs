//! A list of images: who asks, for which, in what order, from where.

use std::{cmp::Ordering, str::FromStr};

use crate::{
    error::Error,
    image::{Image, ImageId, ImageStatus, Visibility},
    member::MemberStatus,
    project::ProjectId,
};

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
    /// By what to order; [`Listing::order`] makes it total.
    pub sort: Vec<(SortKey, Direction)>,
    /// Start after this image.
    pub after: Option<Box<Image>>,
    /// How many at most. A store answers one more if there are more.
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

    fn from_str(word: &str) -> Result<Self, Error> {
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

    fn from_str(word: &str) -> Result<Self, Error> {
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

    fn compare(self, a: &Image, b: &Image) -> Ordering {
        match self {
            Self::Name => a.name.as_deref().unwrap_or("").cmp(b.name.as_deref().unwrap_or("")),
            Self::Status => a.status.as_str().cmp(b.status.as_str()),
            Self::ContainerFormat => {
                a.container_format.as_deref().unwrap_or("").cmp(b.container_format.as_deref().unwrap_or(""))
            }
            Self::DiskFormat => {
                a.disk_format.as_deref().unwrap_or("").cmp(b.disk_format.as_deref().unwrap_or(""))
            }
            Self::Size => Ordering::Equal,
            Self::Id => a.id.cmp(&b.id),
            Self::CreatedAt => a.created_at.cmp(&b.created_at),
            Self::UpdatedAt => a.updated_at.cmp(&b.updated_at),
        }
    }
}

impl FromStr for SortKey {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
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

    fn from_str(word: &str) -> Result<Self, Error> {
        match word {
            "asc" => Ok(Self::Asc),
            "desc" => Ok(Self::Desc),
            _ => Err(Error::invalid("The sort direction must be \"asc\" or \"desc\".")),
        }
    }
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
            sort: Vec::new(),
            after: None,
            limit,
        }
    }

    /// The order, made total: newest first unless asked otherwise, ties broken by creation and id, as Glance does.
    #[must_use]
    pub fn order(&self) -> Vec<(SortKey, Direction)> {
        let mut order = self.sort.clone();
        for key in [SortKey::CreatedAt, SortKey::Id] {
            if !order.iter().any(|(present, _)| *present == key) {
                order.push((key, Direction::Desc));
            }
        }
        order
    }

    /// Which of two images comes first.
    #[must_use]
    pub fn compare(&self, a: &Image, b: &Image) -> Ordering {
        self.order().into_iter().fold(Ordering::Equal, |so_far, (key, direction)| {
            so_far.then_with(|| match direction {
                Direction::Asc => key.compare(a, b),
                Direction::Desc => key.compare(b, a),
            })
        })
    }

    /// Whether the list holds this image, in which `membership` is the asking project's; the place in the order and
    /// the limit apart. A store that asks a database says the same in SQL.
    #[must_use]
    pub fn holds(&self, image: &Image, membership: Option<MemberStatus>) -> bool {
        self.reaches(image, membership)
            && self.owner.as_ref().is_none_or(|owner| image.owner.as_ref() == Some(owner))
            && any_of(&self.ids, &image.id)
            && (self.names.is_empty() || image.name.as_ref().is_some_and(|name| self.names.contains(name)))
            && any_of(&self.statuses, &image.status)
            && (self.container_formats.is_empty()
                || image
                    .container_format
                    .as_ref()
                    .is_some_and(|format| self.container_formats.contains(format)))
            && (self.disk_formats.is_empty()
                || image.disk_format.as_ref().is_some_and(|format| self.disk_formats.contains(format)))
            && self.tags.iter().all(|tag| image.tags.contains(tag))
            && self.properties.iter().all(|(name, value)| image.properties.get(name) == Some(value))
            && self.hidden == image.hidden
            && self.protected.is_none_or(|protected| protected == image.protected)
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
    wanted.is_empty() || wanted.contains(value)
}
