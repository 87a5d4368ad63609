//! Lists that people ask for.

use core_domain::{
    image::{Image, ImageId, Visibility},
    listing::{Direction, Listing, MemberStatusFilter, SortKey, VisibilityFilter},
    member::MemberStatus,
    testing::builders::project,
};

/// The first page of the list that a project gets that asks for nothing in particular.
pub(crate) fn page(of: &str) -> Listing {
    Listing::of(project(of), false, 25)
}

/// The same of an admin.
pub(crate) fn admins() -> Listing {
    Listing::of(project("admins"), true, 25)
}

pub(crate) fn only(visibility: Visibility, listing: Listing) -> Listing {
    Listing { visibility: VisibilityFilter::Only(visibility), ..listing }
}

pub(crate) fn all(listing: Listing) -> Listing {
    Listing { visibility: VisibilityFilter::All, member_status: MemberStatusFilter::All, ..listing }
}

/// What waits for an answer.
pub(crate) fn inbox(of: &str) -> Listing {
    let pending = MemberStatusFilter::Only(MemberStatus::Pending);
    Listing { member_status: pending, ..only(Visibility::Shared, page(of)) }
}

pub(crate) fn named(name: &str, listing: Listing) -> Listing {
    Listing { names: vec![name.to_owned()], ..listing }
}

pub(crate) fn tagged(tag: &str, listing: Listing) -> Listing {
    Listing { tags: vec![tag.to_owned()], ..listing }
}

pub(crate) fn having(name: &str, value: &str, listing: Listing) -> Listing {
    Listing { properties: vec![(name.to_owned(), value.to_owned())], ..listing }
}

pub(crate) fn with_ids(ids: &[ImageId], listing: Listing) -> Listing {
    Listing { ids: ids.to_vec(), ..listing }
}

pub(crate) fn sorted(key: SortKey, direction: Direction, listing: Listing) -> Listing {
    Listing { sort: vec![(key, direction)], ..listing }
}

/// The page after this image.
pub(crate) fn after(image: &Image, listing: Listing) -> Listing {
    Listing { after: Some(Box::new(image.into())), ..listing }
}
