//! The SQL of image records.

mod list;
pub(crate) mod look;

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDateTime, SubsecRound, Utc};
use core_domain::{
    image::{Image, ImageAccess, ImageId},
    project::ProjectId,
    store::{FoundImage, Sharing, Viewer},
};
use diesel::prelude::*;

pub(crate) use self::list::list;
use crate::{
    columns::{Properties, Texts},
    connection::Connection,
    error::{Fault, impossible, read},
    schema::{Key, image_ids, images},
};

/// A row of `images`, for reading and inserting: a whole image.
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
    memory_bytes: i32,
    tags: Texts,
    properties: Properties,
}

/// [`core_domain::store::Store::image`]: one statement.
pub(crate) fn find(
    connection: &mut Connection,
    id: ImageId,
    viewer: Viewer<'_>,
) -> Result<Option<FoundImage>, Fault> {
    let statement = look::Look::of(id, viewer);
    let rows: Vec<look::LookRow> = connection.run(|any| statement.load(any))?;
    rows.into_iter().next().map(look::found).transpose()
}

/// [`core_domain::store::Tx::sharing`]: one statement. Its own, after the one that holds the image: Postgres sees a
/// statement's members as they were before it waited.
pub(crate) fn sharing(
    connection: &mut Connection,
    id: ImageId,
    viewer: Viewer<'_>,
    with: &ProjectId,
    most: Option<usize>,
) -> Result<Option<Sharing>, Fault> {
    let most = i64::try_from(most.unwrap_or(0)).unwrap_or(i64::MAX);
    let statement = look::SharingLook { look: look::Look::of(id, viewer), with, most };
    let rows: Vec<(look::LookRow, bool, i64)> = connection.run(|any| statement.load(any))?;
    let Some((row, is_shared_already, counted)) = rows.into_iter().next() else { return Ok(None) };
    let members = usize::try_from(counted).map_err(|_| impossible("the database could not count members"))?;
    Ok(Some(Sharing { found: look::found(row)?, is_shared_already, members }))
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
        diesel::insert_into(images::table).values(ImageRow::from(image)).execute(any).map(drop)
    })
}

/// Keeps what changed since `before`, all but the time the image was made. Tags and properties are written only if they
/// are others: what Postgres keeps of them beside the row then stays where it is.
pub(crate) fn update(connection: &mut Connection, before: &Image, image: &Image) -> Result<(), Fault> {
    let row = ImageRow::from(image);
    let tags = (image.tags != before.tags).then(|| images::tags.eq(row.tags));
    let properties = (image.properties != before.properties).then(|| images::properties.eq(row.properties));
    connection.run(|any| {
        diesel::update(images::table.find(row.id))
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
                images::memory_bytes.eq(row.memory_bytes),
                tags,
                properties,
            ))
            .execute(any)
            .map(drop)
    })
}

/// Removes the image, and by a foreign key its members; its id stays given.
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
            memory_bytes: i32::try_from(image.memory_bytes()).unwrap_or(i32::MAX),
            tags: Texts(image.tags.iter().cloned().collect()),
            properties: Properties(image.properties.clone()),
        }
    }
}

/// The image of a row.
pub(crate) fn image(row: ImageRow) -> Result<Image, Fault> {
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
        tags: row.tags.0.into_iter().collect::<BTreeSet<_>>(),
        properties: row.properties.0,
    })
}
