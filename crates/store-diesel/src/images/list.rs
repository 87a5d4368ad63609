//! The list of images: [`Listing`] said in SQL. `Listing::holds` and `Listing::compare` say the same in Rust, and the
//! conformance suite compares the two.

use core_domain::{
    image::{Image, Visibility},
    listing::{Direction, Listing, MemberStatusFilter, SortKey, VisibilityFilter},
    member::MemberStatus,
};
use diesel::{
    BoxableExpression, dsl::exists, expression::expression_types::NotSelectable, prelude::*, sql_types::Bool,
};

use super::{RECORD, UNIT, Whole, image, kept, whole};
use crate::{
    connection::{Connection, MultiBackend},
    error::Fault,
    schema::{Key, coalesce, image_members, image_properties, image_tags, images, string_agg},
};

/// A condition on `images`.
type Condition<'a> = Box<dyn BoxableExpression<images::table, MultiBackend, SqlType = Bool> + 'a>;

/// A key of the order.
type Order = Box<dyn BoxableExpression<images::table, MultiBackend, SqlType = NotSelectable>>;

/// One page: one statement.
pub(crate) fn list(connection: &mut Connection, listing: &Listing) -> Result<Vec<Image>, Fault> {
    let mut query = images::table.select(whole!()).into_boxed::<MultiBackend>();
    for condition in conditions(listing) {
        query = query.filter(condition);
    }
    if let Some(condition) = listing.after.as_deref().and_then(|after| behind(listing, after)) {
        query = query.filter(condition);
    }
    for (key, direction) in listing.order() {
        if let Some(order) = order(key, direction) {
            query = query.then_order_by(order);
        }
    }
    let query = query.limit(i64::try_from(listing.limit).unwrap_or(i64::MAX).saturating_add(1));
    let found: Vec<Whole> = connection.run(|any| query.load(any))?;
    found.into_iter().map(image).collect()
}

/// `Listing::holds`, each condition apart.
fn conditions(listing: &Listing) -> Vec<Condition<'_>> {
    let mut all: Vec<Condition<'_>> = vec![Box::new(images::hidden.eq(listing.hidden))];
    all.extend(within_reach(listing));
    all.extend(of_visibility(listing));
    if let Some(owner) = &listing.owner {
        all.push(Box::new(images::owner.assume_not_null().eq(owner.as_str())));
    }
    if !listing.ids.is_empty() {
        all.push(Box::new(images::id.eq_any(listing.ids.iter().map(|id| Key(id.uuid())))));
    }
    if !listing.names.is_empty() {
        all.push(Box::new(images::name.assume_not_null().eq_any(&listing.names)));
    }
    if !listing.statuses.is_empty() {
        all.push(Box::new(images::status.eq_any(listing.statuses.iter().map(|status| status.as_str()))));
    }
    if !listing.container_formats.is_empty() {
        all.push(Box::new(images::container_format.assume_not_null().eq_any(&listing.container_formats)));
    }
    if !listing.disk_formats.is_empty() {
        all.push(Box::new(images::disk_format.assume_not_null().eq_any(&listing.disk_formats)));
    }
    for tag in &listing.tags {
        all.push(Box::new(exists(
            image_tags::table.filter(image_tags::image_id.eq(images::id)).filter(image_tags::tag.eq(tag)),
        )));
    }
    for (name, value) in &listing.properties {
        all.push(Box::new(exists(
            image_properties::table
                .filter(image_properties::image_id.eq(images::id))
                .filter(image_properties::name.eq(name))
                .filter(image_properties::value.eq(value)),
        )));
    }
    if let Some(protected) = listing.protected {
        all.push(Box::new(images::protected.eq(protected)));
    }
    all
}

/// The asking project's own images, those of everybody, and those shared with it; everything for an admin.
fn within_reach(listing: &Listing) -> Option<Condition<'_>> {
    if listing.admin {
        return None;
    }
    let statuses: Vec<&str> = match listing.member_status {
        MemberStatusFilter::All => MemberStatus::ALL.iter().map(|status| status.as_str()).collect(),
        MemberStatusFilter::Only(status) => vec![status.as_str()],
    };
    let is_shared_so = exists(
        image_members::table
            .filter(image_members::image_id.eq(images::id))
            .filter(image_members::member_id.eq(listing.project.as_str()))
            .filter(image_members::status.eq_any(statuses)),
    );
    Some(Box::new(
        is_own(listing)
            .or(images::visibility.eq_any([Visibility::Public.as_str(), Visibility::Community.as_str()]))
            .or(images::visibility.eq(Visibility::Shared.as_str()).and(is_shared_so)),
    ))
}

fn of_visibility(listing: &Listing) -> Option<Condition<'_>> {
    match listing.visibility {
        VisibilityFilter::All => None,
        VisibilityFilter::Only(asked) => Some(Box::new(images::visibility.eq(asked.as_str()))),
        VisibilityFilter::Unasked => {
            Some(Box::new(is_own(listing).or(images::visibility.ne(Visibility::Community.as_str()))))
        }
    }
}

/// NULL, which an image without an owner makes of this, counts as false: it is only ever one side of an OR.
fn is_own(listing: &Listing) -> Condition<'_> {
    Box::new(images::owner.assume_not_null().eq(listing.project.as_str()))
}

/// One key of `Listing::compare`. Images have no bytes yet, so that `size` orders nothing.
fn order(key: SortKey, direction: Direction) -> Option<Order> {
    macro_rules! by {
        ($column:expr) => {
            match direction {
                Direction::Asc => Some(Box::new($column.asc()) as Order),
                Direction::Desc => Some(Box::new($column.desc()) as Order),
            }
        };
    }
    match key {
        SortKey::Name => by!(coalesce(images::name, "")),
        SortKey::Status => by!(images::status),
        SortKey::ContainerFormat => by!(coalesce(images::container_format, "")),
        SortKey::DiskFormat => by!(coalesce(images::disk_format, "")),
        SortKey::Size => None,
        SortKey::Id => by!(images::id),
        SortKey::CreatedAt => by!(images::created_at),
        SortKey::UpdatedAt => by!(images::updated_at),
    }
}

/// Behind `after` in the list's order: further by the first key, or equal by it and further by the others.
fn behind<'a>(listing: &Listing, after: &'a Image) -> Option<Condition<'a>> {
    listing.order().into_iter().rev().fold(None, |by_the_others, (key, direction)| {
        let Some((further, equal)) = further_or_equal(key, direction, after) else { return by_the_others };
        Some(match by_the_others {
            None => further,
            Some(others) => Box::new(further.or(equal.and(others))),
        })
    })
}

/// Further than `after` by one key, and equal to it.
fn further_or_equal(
    key: SortKey,
    direction: Direction,
    after: &Image,
) -> Option<(Condition<'_>, Condition<'_>)> {
    macro_rules! by {
        ($column:expr, $value:expr) => {{
            let further: Condition<'_> = match direction {
                Direction::Asc => Box::new($column.gt($value)),
                Direction::Desc => Box::new($column.lt($value)),
            };
            let equal: Condition<'_> = Box::new($column.eq($value));
            Some((further, equal))
        }};
    }
    let or_empty = |text: &'_ Option<String>| text.clone().unwrap_or_default();
    match key {
        SortKey::Name => by!(coalesce(images::name, ""), or_empty(&after.name)),
        SortKey::Status => by!(images::status, after.status.as_str()),
        SortKey::ContainerFormat => {
            by!(coalesce(images::container_format, ""), or_empty(&after.container_format))
        }
        SortKey::DiskFormat => by!(coalesce(images::disk_format, ""), or_empty(&after.disk_format)),
        SortKey::Size => None,
        SortKey::Id => by!(images::id, Key(after.id.uuid())),
        SortKey::CreatedAt => by!(images::created_at, kept(after.created_at)),
        SortKey::UpdatedAt => by!(images::updated_at, kept(after.updated_at)),
    }
}
