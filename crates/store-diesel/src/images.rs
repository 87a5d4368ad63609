//! The SQL of image records.

mod list;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDateTime, SubsecRound, Utc};
use core_domain::{
    image::{Image, ImageAccess, ImageId},
    project::ProjectId,
    store::Sharing,
};
use diesel::{QueryResult, dsl::exists, prelude::*, query_builder::QueryFragment, sql_types::Text};

pub(crate) use self::list::list;
use crate::{
    connection::{AnyConnection, Connection, MultiBackend},
    error::{Fault, impossible, read},
    schema::{Id, Key, image_ids, image_members, image_properties, image_tags, images, string_agg},
};

/// Stands between tags, and between properties, where several come as one text. The domain keeps no such character.
pub(crate) const UNIT: &str = "\u{1f}";
/// Stands between a property's name and its value.
pub(crate) const RECORD: &str = "\u{1e}";

/// A row of `images`, for reading and inserting.
#[derive(Insertable, Queryable)]
#[diesel(table_name = images)]
pub(crate) struct ImageRow {
    id: Key,
    owner: Option<String>,
    visibility: String,
    status: String,
    name: Option<String>,
    container_format: Option<String>,
    disk_format: Option<String>,
    min_disk: i32,
    min_ram: i32,
    protected: bool,
    hidden: bool,
    created_at: NaiveDateTime,
    updated_at: NaiveDateTime,
}

/// A whole image: its row, its tags in one text, its properties in another.
pub(crate) type Whole = (ImageRow, Option<String>, Option<String>);

/// The columns of [`Whole`], for a select from `images`.
macro_rules! whole {
    () => {
        (
            images::all_columns,
            image_tags::table
                .filter(image_tags::image_id.eq(images::id))
                .select(string_agg(image_tags::tag, UNIT))
                .single_value(),
            image_properties::table
                .filter(image_properties::image_id.eq(images::id))
                .select(string_agg(
                    image_properties::name.concat(RECORD).concat(image_properties::value),
                    UNIT,
                ))
                .single_value(),
        )
    };
}
use whole;

/// One image, and whether `caller` is a member: one statement.
pub(crate) fn find(
    connection: &mut Connection,
    id: ImageId,
    caller: Option<&ProjectId>,
) -> Result<Option<(Image, bool)>, Fault> {
    let caller = caller.map(ProjectId::as_str);
    let found: Option<(Whole, Option<String>)> = connection.run(|any| {
        images::table
            .left_join(image_members::table.on(
                image_members::image_id.eq(images::id).and(image_members::member_id.nullable().eq(caller)),
            ))
            .filter(images::id.eq(Key(id.uuid())))
            .select((whole!(), image_members::member_id.nullable()))
            .get_result(any)
            .optional()
    })?;
    found.map(|(whole, member)| Ok((image(whole)?, member.is_some()))).transpose()
}

/// [`core_domain::store::Tx::sharing`]: one statement. Its own, after the one that holds the image: Postgres sees a
/// statement's members as they were before it waited.
pub(crate) fn sharing(
    connection: &mut Connection,
    id: ImageId,
    caller: Option<&ProjectId>,
    with: &ProjectId,
) -> Result<Option<Sharing>, Fault> {
    let caller = caller.map(ProjectId::as_str);
    let members = || {
        image_members::table.filter(image_members::image_id.eq(images::id)).select(image_members::member_id)
    };
    let found: Option<(Whole, bool, bool, Option<i64>)> = connection.run(|any| {
        images::table
            .filter(images::id.eq(Key(id.uuid())))
            .select((
                whole!(),
                exists(members().filter(image_members::member_id.nullable().eq(caller))),
                exists(members().filter(image_members::member_id.eq(with.as_str()))),
                members().count().single_value(),
            ))
            .get_result(any)
            .optional()
    })?;
    let Some((whole, is_member, is_shared_already, counted)) = found else { return Ok(None) };
    let members = counted.and_then(|counted| usize::try_from(counted).ok());
    let members = members.ok_or_else(|| impossible("the database could not count members"))?;
    Ok(Some(Sharing { image: image(whole)?, is_member, is_shared_already, members }))
}

/// [`core_domain::store::Tx::owns_at_least`]: at most so many entries of an index on the owner are read. Two statements:
/// one that waited for its lock would count as of before the wait.
pub(crate) fn owns_at_least(
    connection: &mut Connection,
    owner: &ProjectId,
    count: usize,
) -> Result<bool, Fault> {
    connection.hold_owner(owner)?;
    let Some(others) = count.checked_sub(1) else { return Ok(true) };
    let found: Option<Key> = connection.run(|any| {
        images::table
            .filter(images::owner.eq(owner.as_str()))
            .select(images::id)
            .limit(1)
            .offset(i64::try_from(others).unwrap_or(i64::MAX))
            .get_result(any)
            .optional()
    })?;
    Ok(found.is_some())
}

/// Keeps a new image; [`Fault::Taken`] if its id was ever given.
pub(crate) fn insert(connection: &mut Connection, image: &Image) -> Result<(), Fault> {
    let id = Key(image.id.uuid());
    connection.run(|any| {
        diesel::insert_into(image_ids::table).values(image_ids::id.eq(id)).execute(any)?;
        diesel::insert_into(images::table).values(ImageRow::from(image)).execute(any)?;
        insert_tags(any, image)?;
        insert_properties(any, image)
    })
}

/// Keeps what changed since `before`, all but the time the image was made.
pub(crate) fn update(connection: &mut Connection, before: &Image, image: &Image) -> Result<(), Fault> {
    let row = ImageRow::from(image);
    let id = row.id;
    connection.run(|any| {
        diesel::update(images::table.find(id))
            .set((
                images::owner.eq(row.owner),
                images::visibility.eq(row.visibility),
                images::status.eq(row.status),
                images::name.eq(row.name),
                images::container_format.eq(row.container_format),
                images::disk_format.eq(row.disk_format),
                images::min_disk.eq(row.min_disk),
                images::min_ram.eq(row.min_ram),
                images::protected.eq(row.protected),
                images::hidden.eq(row.hidden),
                images::updated_at.eq(row.updated_at),
            ))
            .execute(any)?;
        if image.tags != before.tags {
            diesel::delete(image_tags::table.filter(image_tags::image_id.eq(id))).execute(any)?;
            insert_tags(any, image)?;
        }
        if image.properties != before.properties {
            diesel::delete(image_properties::table.filter(image_properties::image_id.eq(id))).execute(any)?;
            insert_properties(any, image)?;
        }
        Ok(())
    })
}

/// Removes the image, and by foreign keys its members, tags and properties; its id stays given.
pub(crate) fn delete(connection: &mut Connection, id: ImageId) -> Result<(), Fault> {
    connection.run(|any| diesel::delete(images::table.find(Key(id.uuid()))).execute(any)).map(drop)
}

/// What decisions are made on, from three columns.
pub(crate) fn access((id, owner, visibility): (Key, Option<String>, String)) -> Result<ImageAccess, Fault> {
    Ok(ImageAccess {
        id: id.0.into(),
        owner: owner.map(|owner| read(ProjectId::parse(&owner))).transpose()?,
        visibility: read(visibility.parse())?,
    })
}

/// A time as the database keeps it: UTC, in whole microseconds.
pub(crate) fn kept(time: DateTime<Utc>) -> NaiveDateTime {
    time.naive_utc().trunc_subsecs(6)
}

impl From<&Image> for ImageRow {
    fn from(image: &Image) -> Self {
        Self {
            id: Key(image.id.uuid()),
            owner: image.owner.as_ref().map(ToString::to_string),
            visibility: image.visibility.as_str().to_owned(),
            status: image.status.as_str().to_owned(),
            name: image.name.clone(),
            container_format: image.container_format.clone(),
            disk_format: image.disk_format.clone(),
            min_disk: image.min_disk,
            min_ram: image.min_ram,
            protected: image.protected,
            hidden: image.hidden,
            created_at: kept(image.created_at),
            updated_at: kept(image.updated_at),
        }
    }
}

pub(crate) fn image((row, tags, properties): Whole) -> Result<Image, Fault> {
    let ImageAccess { id, owner, visibility } = access((row.id, row.owner, row.visibility))?;
    Ok(Image {
        id,
        owner,
        visibility,
        status: read(row.status.parse())?,
        name: row.name,
        container_format: row.container_format,
        disk_format: row.disk_format,
        min_disk: row.min_disk,
        min_ram: row.min_ram,
        protected: row.protected,
        hidden: row.hidden,
        created_at: row.created_at.and_utc(),
        updated_at: row.updated_at.and_utc(),
        tags: parts(tags.as_deref()).map(ToOwned::to_owned).collect::<BTreeSet<_>>(),
        properties: parts(properties.as_deref()).map(property).collect::<Result<BTreeMap<_, _>, _>>()?,
    })
}

fn parts(joined: Option<&str>) -> impl Iterator<Item = &str> {
    joined.into_iter().flat_map(|joined| joined.split(UNIT))
}

fn property(joined: &str) -> Result<(String, String), Fault> {
    let (name, value) = joined
        .split_once(RECORD)
        .ok_or_else(|| impossible("a property in the database contains the character U+001F"))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn insert_tags(any: &mut AnyConnection, image: &Image) -> QueryResult<()> {
    let rows = image.tags.iter().map(|tag| vec![tag.as_str()]).collect();
    Details { into: "image_tags (image_id, tag)", image: Key(image.id.uuid()), rows }.insert(any)
}

fn insert_properties(any: &mut AnyConnection, image: &Image) -> QueryResult<()> {
    let rows = image.properties.iter().map(|(name, value)| vec![name.as_str(), value.as_str()]).collect();
    Details { into: "image_properties (image_id, name, value)", image: Key(image.id.uuid()), rows }
        .insert(any)
}

/// Rows of texts that belong to one image, inserted by one statement; Diesel has no such word for two databases.
struct Details<'a> {
    into: &'static str,
    image: Key,
    rows: Vec<Vec<&'a str>>,
}

impl Details<'_> {
    fn insert(self, any: &mut AnyConnection) -> QueryResult<()> {
        if !self.rows.is_empty() {
            self.execute(any)?;
        }
        Ok(())
    }
}

impl QueryFragment<MultiBackend> for Details<'_> {
    fn walk_ast<'b>(
        &'b self,
        mut out: diesel::query_builder::AstPass<'_, 'b, MultiBackend>,
    ) -> QueryResult<()> {
        out.push_sql("INSERT INTO ");
        out.push_sql(self.into);
        for (number, row) in self.rows.iter().enumerate() {
            out.push_sql(if number == 0 { " VALUES (" } else { "), (" });
            out.push_bind_param::<Id, _>(&self.image)?;
            for text in row {
                out.push_sql(", ");
                out.push_bind_param::<Text, _>(text)?;
            }
        }
        out.push_sql(")");
        Ok(())
    }
}

impl diesel::query_builder::QueryId for Details<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Conn> RunQueryDsl<Conn> for Details<'_> {}
