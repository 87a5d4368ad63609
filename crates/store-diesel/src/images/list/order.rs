//! The order of a list and the place in it to go on from: `Comparator`.

use core_domain::listing::{Direction, Listing, Position, SortKey};
use diesel::{
    IntoSql, QueryResult,
    dsl::sql,
    query_builder::{AstPass, QueryFragment},
    sql_types::{Text, Timestamp},
};

use super::{super::kept, Fragment, range::Range};
use crate::{
    connection::MultiBackend,
    schema::{Id, Key, coalesce, image_members, images},
};

/// A name as the order has it, none as the empty one: letter for letter what `images_by_name` is made of. A bound value
/// would be another expression.
pub(super) const NAME: &str = "coalesce(images.name, '')";

/// The same, but not what `images_by_name` is made of: or Postgres may hope to meet a project's shares soon on a walk through
/// all shared images by name, and reads the catalogue to its end.
const NAME_OF_SHARED: &str = "coalesce(images.name, '') || ''";

/// `ORDER BY`, each key with its direction.
pub(super) struct Order<'a>(Vec<(Fragment<'a>, Direction)>);

impl<'a> Order<'a> {
    /// Of the page as a whole.
    pub(super) fn of_page(listing: &Listing) -> Self {
        Self(keys(listing).into_iter().map(|(key, direction)| (column(key), direction)).collect())
    }

    /// Of one range.
    pub(super) fn of_range(listing: &Listing, range: Range<'a>) -> Self {
        Self(keys(listing).into_iter().map(|(key, direction)| (column_of(range, key), direction)).collect())
    }
}

impl QueryFragment<MultiBackend> for Order<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        for (number, (key, direction)) in self.0.iter().enumerate() {
            if number > 0 {
                out.push_sql(", ");
            }
            key.walk_ast(out.reborrow())?;
            out.push_sql(match direction {
                Direction::Asc => " ASC",
                Direction::Desc => " DESC",
            });
        }
        Ok(())
    }
}

/// Whether it is the order that lists have unless asked otherwise.
pub(super) fn is_by_creation(listing: &Listing) -> bool {
    keys(listing) == [(SortKey::CreatedAt, Direction::Desc), (SortKey::Id, Direction::Desc)]
}

/// The keys that decide, each once and so at most as many as there are: what is equal in a key is equal in it the second time;
/// no two images have one id, so that nothing comes after it; and images have no bytes yet, so that `size` orders nothing.
fn keys(listing: &Listing) -> Vec<(SortKey, Direction)> {
    let mut keys: Vec<(SortKey, Direction)> = Vec::with_capacity(SortKey::ALL.len());
    for (key, direction) in listing.order() {
        if key != SortKey::Size && keys.iter().all(|(before, _)| *before != key) {
            keys.push((key, direction));
        }
        if key == SortKey::Id {
            break;
        }
    }
    keys
}

fn column<'a>(key: SortKey) -> Fragment<'a> {
    match key {
        SortKey::Name => Box::new(sql::<Text>(NAME)),
        SortKey::Status => Box::new(images::status),
        SortKey::ContainerFormat => Box::new(coalesce(images::container_format, "")),
        SortKey::DiskFormat => Box::new(coalesce(images::disk_format, "")),
        SortKey::Size => Box::new(sql::<Text>("''")),
        SortKey::Id => Box::new(images::id),
        SortKey::CreatedAt => Box::new(images::created_at),
        SortKey::UpdatedAt => Box::new(images::updated_at),
    }
}

/// The same in a range: memberships have the order of creation of their own, from their copies.
fn column_of<'a>(range: Range<'_>, key: SortKey) -> Fragment<'a> {
    match (range, key) {
        (Range::SharedWithMe(_), SortKey::CreatedAt) => Box::new(image_members::image_created_at),
        (Range::SharedWithMe(_), SortKey::Name) => Box::new(sql::<Text>(NAME_OF_SHARED)),
        (Range::SharedWithMe(_), SortKey::Id) => Box::new(image_members::image_id),
        (Range::SharedWithMe(_) | Range::Everybodys(_) | Range::Of(..), key) => column(key),
    }
}

fn value<'a>(key: SortKey, position: &'a Position) -> Fragment<'a> {
    fn text(text: Option<&str>) -> Fragment<'_> {
        Box::new(text.unwrap_or_default().into_sql::<Text>())
    }
    match key {
        SortKey::Name => text(position.name.as_deref()),
        SortKey::Status => text(Some(position.status.as_str())),
        SortKey::ContainerFormat => text(position.container_format.as_deref()),
        SortKey::DiskFormat => text(position.disk_format.as_deref()),
        SortKey::Size => text(None),
        SortKey::Id => Box::new(Key(position.id.uuid()).into_sql::<Id>()),
        SortKey::CreatedAt => Box::new(kept(position.created_at).into_sql::<Timestamp>()),
        SortKey::UpdatedAt => Box::new(kept(position.updated_at).into_sql::<Timestamp>()),
    }
}

/// That an image of this range is behind the one to start after.
pub(super) fn behind<'a>(listing: &'a Listing, range: Range<'a>) -> Option<Fragment<'a>> {
    let after = listing.after.as_deref()?;
    let keys = keys(listing)
        .into_iter()
        .map(|(key, direction)| (column_of(range, key), value(key, after), direction))
        .collect();
    Some(Box::new(Behind(keys)))
}

/// Each key with the value of the image to start after.
struct Behind<'a>(Vec<(Fragment<'a>, Fragment<'a>, Direction)>);

/// Keys of one direction are compared as one row: an index starts just there. Where directions differ, it starts at the
/// first key, and those that are equal in it are walked past: `first <= … AND (first < … OR (others …))`.
impl QueryFragment<MultiBackend> for Behind<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        let mut keys = self.0.as_slice();
        let mut open = 0;
        while let Some(((column, value, direction), others)) = keys.split_first() {
            let (beyond, at) = match direction {
                Direction::Asc => (" > ", " >= "),
                Direction::Desc => (" < ", " <= "),
            };
            if others.iter().all(|(_, _, other)| other == direction) {
                row(keys.iter().map(|(column, _, _)| column), out.reborrow())?;
                out.push_sql(beyond);
                row(keys.iter().map(|(_, value, _)| value), out.reborrow())?;
                break;
            }
            column.walk_ast(out.reborrow())?;
            out.push_sql(at);
            value.walk_ast(out.reborrow())?;
            out.push_sql(" AND (");
            column.walk_ast(out.reborrow())?;
            out.push_sql(beyond);
            value.walk_ast(out.reborrow())?;
            out.push_sql(" OR (");
            keys = others;
            open += 1;
        }
        (0..open).for_each(|_| out.push_sql("))"));
        Ok(())
    }
}

fn row<'b, 'a: 'b>(
    parts: impl Iterator<Item = &'b Fragment<'a>>,
    mut out: AstPass<'_, 'b, MultiBackend>,
) -> QueryResult<()> {
    out.push_sql("(");
    for (number, part) in parts.enumerate() {
        if number > 0 {
            out.push_sql(", ");
        }
        part.walk_ast(out.reborrow())?;
    }
    out.push_sql(")");
    Ok(())
}
