//! The parts of a list: ranges of indexes with no image in common.

use core_domain::{
    image::Visibility,
    listing::{Listing, MemberStatusFilter, VisibilityFilter},
    member::MemberStatus,
    project::ProjectId,
};
use diesel::prelude::*;

use super::{Fragment, filter};
use crate::{
    connection::Dialect,
    schema::{coalesce, image_members, images},
};

/// That a membership is one of this image, said so that Postgres can only walk the memberships and look up the image of each:
/// it joins by hash or merge on `=` alone. While `images` has few pages, reading all of it for a hash table looks cheaper than
/// looking up those of a page.
const LOOKED_UP: Dialect = Dialect {
    postgres: "images.id = ANY (ARRAY[image_members.image_id])",
    sqlite: "images.id = image_members.image_id",
};

/// Images that one index has side by side, in the order of their creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range<'a> {
    /// All of this visibility: `images_by_time`, `images_by_name`.
    Everybodys(Visibility),
    /// Those of this visibility that this project owns: `images_by_owner_and_time`, `images_by_owner_and_name`.
    Of(&'a ProjectId, Visibility),
    /// Others' images that are shared with the asking project, by a membership in this status:
    /// `image_members_by_member`. The membership only leads to the image. Whether it is still shared, hidden, whose it is
    /// can change, and is read from the image itself: memberships whose image is not for the list are walked past.
    SharedWithMe(MemberStatus),
}

/// What `listing` reaches and asks for, its filters apart. No two ranges have an image in common: they differ in visibility,
/// in the status of the one membership there can be, or in the owner.
pub(super) fn ranges(listing: &Listing) -> Vec<Range<'_>> {
    let is_own_asked = listing.owner.as_ref().is_none_or(|owner| *owner == listing.project);
    let mut ranges = Vec::new();
    for visibility in Visibility::ALL.into_iter().filter(|visibility| is_asked(listing, *visibility)) {
        if is_everybodys(listing, visibility) {
            ranges.push(match &listing.owner {
                Some(owner) => Range::Of(owner, visibility),
                None => Range::Everybodys(visibility),
            });
            continue;
        }
        if is_own_asked {
            ranges.push(Range::Of(&listing.project, visibility));
        }
        if visibility == Visibility::Shared && listing.owner.as_ref() != Some(&listing.project) {
            ranges.extend(statuses(listing).into_iter().map(Range::SharedWithMe));
        }
    }
    ranges
}

fn is_asked(listing: &Listing, visibility: Visibility) -> bool {
    match listing.visibility {
        VisibilityFilter::Unasked | VisibilityFilter::All => true,
        VisibilityFilter::Only(asked) => visibility == asked,
    }
}

/// Whether everybody's images of this visibility are in the list, not just those of the asking project.
fn is_everybodys(listing: &Listing, visibility: Visibility) -> bool {
    match visibility {
        Visibility::Public => true,
        Visibility::Community => listing.visibility != VisibilityFilter::Unasked,
        Visibility::Shared | Visibility::Private => listing.admin,
    }
}

fn statuses(listing: &Listing) -> Vec<MemberStatus> {
    match listing.member_status {
        MemberStatusFilter::All => MemberStatus::ALL.to_vec(),
        MemberStatusFilter::Only(status) => vec![status],
    }
}

impl<'a> Range<'a> {
    /// What it is selected from.
    pub(super) fn tables(self) -> &'static str {
        match self {
            Self::Everybodys(_) | Self::Of(..) => "images",
            // CROSS, for SQLite then reads the memberships first, in order; to Postgres it is a join like any other.
            Self::SharedWithMe(_) => "image_members CROSS JOIN images",
        }
    }

    /// Its columns but for tags and properties, the same for all. A membership's copies of what the order goes by come in the index's order.
    pub(super) fn columns(self) -> &'static str {
        /// `$id` and `$created_at` by these names, all other columns from `images`.
        macro_rules! columns {
            ($id:literal, $created_at:literal) => {
                concat!(
                    $id,
                    " AS id, images.owner, images.visibility, images.status, images.name, images.container_format, \
                     images.disk_format, images.min_disk, images.min_ram, images.protected, images.hidden, ",
                    $created_at,
                    " AS created_at, images.updated_at, images.memory_bytes"
                )
            };
        }
        match self {
            Self::Everybodys(_) | Self::Of(..) => columns!("images.id", "images.created_at"),
            Self::SharedWithMe(_) => columns!("image_members.image_id", "image_members.image_created_at"),
        }
    }

    /// What makes an image part of it. That it is hidden or not is part of each, for every list asks for one of the two
    /// and the indexes have them apart.
    pub(super) fn conditions(self, listing: &'a Listing) -> Vec<Fragment<'a>> {
        let hidden: Fragment<'a> = Box::new(images::hidden.eq(listing.hidden));
        match self {
            Self::Everybodys(visibility) => {
                vec![Box::new(images::visibility.eq(visibility.as_str())), hidden]
            }
            Self::Of(owner, visibility) => vec![
                Box::new(images::owner.eq(owner.as_str())),
                Box::new(images::visibility.eq(visibility.as_str())),
                hidden,
            ],
            Self::SharedWithMe(status) => {
                let project = listing.project.as_str();
                let mut all: Vec<Fragment<'a>> = vec![
                    if filter::is_by_index(listing) {
                        Box::new(images::id.eq(image_members::image_id))
                    } else {
                        Box::new(LOOKED_UP)
                    },
                    Box::new(image_members::member_id.eq(project)),
                    Box::new(image_members::status.eq(status.as_str())),
                    Box::new(images::visibility.eq(Visibility::Shared.as_str())),
                    // No owner is empty, so that the empty text stands for none.
                    Box::new(coalesce(images::owner, "").ne(project)),
                    hidden,
                ];
                if let Some(owner) = &listing.owner {
                    all.push(Box::new(images::owner.eq(owner.as_str())));
                }
                all
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core_domain::testing::builders::project;

    use super::*;

    fn listing() -> Listing {
        Listing::of(project("p"), false, 25)
    }

    #[test]
    fn what_a_filter_makes_empty_is_not_asked_for() {
        let private = VisibilityFilter::Only(Visibility::Private);
        let own = Listing { visibility: private, ..listing() };
        assert_eq!(ranges(&own), [Range::Of(&project("p"), Visibility::Private)]);
        let of_another = Listing { owner: Some(project("q")), ..own };
        assert_eq!(ranges(&of_another), []);
        let any_of_another = Listing { visibility: VisibilityFilter::Unasked, ..of_another };
        assert_eq!(
            ranges(&any_of_another),
            [Range::Of(&project("q"), Visibility::Public), Range::SharedWithMe(MemberStatus::Accepted)]
        );
    }

    #[test]
    fn what_is_everybodys_is_one_range_and_what_is_shared_one_for_each_status() {
        let public = Listing { visibility: VisibilityFilter::Only(Visibility::Public), ..listing() };
        assert_eq!(ranges(&public), [Range::Everybodys(Visibility::Public)]);
        let shared = Listing {
            visibility: VisibilityFilter::Only(Visibility::Shared),
            member_status: MemberStatusFilter::All,
            ..listing()
        };
        assert_eq!(ranges(&shared).len(), 1 + MemberStatus::ALL.len());
        let everything = Listing { admin: true, visibility: VisibilityFilter::All, ..shared };
        assert_eq!(ranges(&everything), Visibility::ALL.map(Range::Everybodys));
    }
}
