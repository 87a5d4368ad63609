//! What else a listing asks of an image: `Listing::holds` without what its ranges see to.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    marker::PhantomData,
};

use core_domain::listing::Listing;
use diesel::{
    QueryResult,
    dsl::sql,
    prelude::*,
    query_builder::{AstPass, QueryFragment},
    serialize::ToSql,
    sql_types::{Bool, HasSqlType, Text},
};

use super::{Fragment, order::NAME};
use crate::{
    columns::{IdArray, JsonObject, Keys, Properties, TextArray, Texts},
    connection::{Dialect, MultiBackend},
    schema::{Key, images},
};

/// Whether it asks for nothing but what its ranges see to, as most lists do.
pub(super) fn is_common(listing: &Listing) -> bool {
    listing.owner.is_none() && conditions(listing).is_empty()
}

/// Whether one of its filters has an index that may lead to the images, whatever the range.
pub(super) fn is_by_index(listing: &Listing) -> bool {
    !(listing.ids.is_empty()
        && listing.names.is_empty()
        && listing.tags.is_empty()
        && listing.properties.is_empty())
}

/// Each filter apart, and each one condition with one parameter, however many values it has: what there is to plan does not
/// grow with what a client sends.
pub(super) fn conditions(listing: &Listing) -> Vec<Fragment<'_>> {
    let mut all: Vec<Fragment<'_>> = Vec::new();
    if !listing.ids.is_empty() {
        let keys: Vec<Key> = listing.ids.iter().map(|id| Key(id.uuid())).collect();
        all.push(match keys.as_slice() {
            // SQLite knows that this is one row.
            [key] => Box::new(images::id.eq(*key)),
            _ => Box::new(With::<IdArray, _>::new("images.id", &ANY, Keys(keys))),
        });
    }
    if !listing.names.is_empty() {
        all.push(match listing.names.as_slice() {
            // Of one name the index has the images in order, of several it does not.
            [name] => Box::new(sql::<Text>(NAME).eq(name)),
            names => any_text(NAME, names),
        });
        // There no name is the empty one.
        if listing.names.iter().any(String::is_empty) {
            all.push(Box::new(images::name.is_not_null()));
        }
    }
    if !listing.statuses.is_empty() {
        let statuses: Vec<_> = listing.statuses.iter().map(|status| status.as_str()).collect();
        all.push(any_text("images.status", &statuses));
    }
    if !listing.container_formats.is_empty() {
        all.push(any_text("images.container_format", &listing.container_formats));
    }
    if !listing.disk_formats.is_empty() {
        all.push(any_text("images.disk_format", &listing.disk_formats));
    }
    all.extend(matching(listing));
    if let Some(protected) = listing.protected {
        all.push(Box::new(images::protected.eq(protected)));
    }
    if let Some(gibibytes) = listing.min_disk {
        all.push(Box::new(images::min_disk.eq(gibibytes)));
    }
    if let Some(mebibytes) = listing.min_ram {
        all.push(Box::new(images::min_ram.eq(mebibytes)));
    }
    all
}

/// Those by tags and by properties, which an index leads to.
pub(super) fn matching(listing: &Listing) -> Vec<Fragment<'_>> {
    let mut all: Vec<Fragment<'_>> = Vec::new();
    if !listing.tags.is_empty() {
        all.push(Box::new(With::<TextArray, _>::new("", &TAGS, Texts(listing.tags.clone()))));
    }
    if !listing.properties.is_empty() {
        all.push(match wanted(&listing.properties) {
            Some(value) => Box::new(With::<JsonObject, _>::new("", &PROPERTIES, value)),
            None => Box::new(sql::<Bool>("1 = 0")),
        });
    }
    all
}

/// That what stands before is one of these.
const ANY: [Dialect; 2] = [
    Dialect { postgres: " = ANY(", sqlite: " IN (SELECT value FROM json_each(" },
    Dialect { postgres: ")", sqlite: "))" },
];

/// That an image has all of these tags.
const TAGS: [Dialect; 2] = [
    Dialect { postgres: "images.tags @> ", sqlite: "NOT EXISTS (SELECT 1 FROM json_each(" },
    Dialect {
        postgres: "",
        sqlite: ") AS wanted WHERE wanted.value NOT IN (SELECT own.value FROM json_each(images.tags) AS own))",
    },
];

/// That an image has all of these properties, at these values.
const PROPERTIES: [Dialect; 2] = [
    Dialect { postgres: "images.properties @> ", sqlite: "NOT EXISTS (SELECT 1 FROM json_each(" },
    Dialect {
        postgres: "",
        sqlite: ") AS wanted WHERE NOT EXISTS (SELECT 1 FROM json_each(images.properties) AS own \
             WHERE own.key = wanted.key AND own.value = wanted.value))",
    },
];

/// What to ask for, each property once; `None`: one of them at two values, which no image has.
fn wanted(properties: &[(String, String)]) -> Option<Properties> {
    let mut wanted = BTreeMap::new();
    for (name, value) in properties {
        match wanted.entry(name.clone()) {
            Entry::Vacant(free) => {
                free.insert(value.clone());
            }
            Entry::Occupied(taken) if taken.get() == value => {}
            Entry::Occupied(_) => return None,
        }
    }
    Some(Properties(wanted))
}

/// That the text in `column` is one of these.
fn any_text<'a, T: AsRef<str>>(column: &'static str, texts: &[T]) -> Fragment<'a> {
    let texts = texts.iter().map(|text| text.as_ref().to_owned()).collect();
    Box::new(With::<TextArray, _>::new(column, &ANY, Texts(texts)))
}

/// A condition on `column`, or on none, with one value in the middle.
struct With<ST, V> {
    column: &'static str,
    around: &'static [Dialect; 2],
    value: V,
    kind: PhantomData<ST>,
}

impl<ST, V> With<ST, V> {
    fn new(column: &'static str, around: &'static [Dialect; 2], value: V) -> Self {
        Self { column, around, value, kind: PhantomData }
    }
}

impl<ST, V> QueryFragment<MultiBackend> for With<ST, V>
where
    MultiBackend: HasSqlType<ST>,
    V: ToSql<ST, MultiBackend>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        let [before, after] = self.around;
        out.push_sql(self.column);
        before.walk_ast(out.reborrow())?;
        out.push_bind_param::<ST, _>(&self.value)?;
        after.walk_ast(out)
    }
}
