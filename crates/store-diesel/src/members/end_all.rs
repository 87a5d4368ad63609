//! The end of all memberships of an image, each with its event: by statements whose size does not depend on how many there
//! are.

use core_domain::{event::Cause, image::Image, project::ProjectId};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Nullable, Text, Timestamp},
};

use crate::{
    connection::{AnyConnection, Connection},
    error::Fault,
    images::kept,
    schema::{Id, Key},
};

/// Binds the image, then of the event: time, user, project, request, name and owner of the image.
macro_rules! bound {
    ($statement:expr, $image:expr, $cause:expr) => {
        sql_query($statement)
            .bind::<Id, _>(Key($image.id.uuid()))
            .bind::<Timestamp, _>(kept($cause.at))
            .bind::<Text, _>($cause.user.as_str())
            .bind::<Nullable<Text>, _>($cause.project.as_ref().map(ProjectId::as_str))
            .bind::<Text, _>($cause.request.as_str())
            .bind::<Nullable<Text>, _>($image.name.as_deref())
            .bind::<Nullable<Text>, _>($image.owner.as_ref().map(ProjectId::as_str))
    };
}

/// One statement: a membership cannot change between its end and its event.
const IN_POSTGRES: &str = "WITH ended AS (DELETE FROM image_members WHERE image_id = $1
        RETURNING image_id, member_id, status, created_at)
    INSERT INTO events (deed, image_id, member_id, old_status, member_created_at,
        at, user_id, project_id, request_id, image_name, owner)
    SELECT 'delete', image_id, member_id, status, created_at, $2, $3, $4, $5, $6, $7
    FROM ended ORDER BY created_at, member_id";

/// The transaction holds the whole file. SQLite has no function for a random UUID (version 4, variant 1).
const IN_SQLITE: &str = "INSERT INTO events (id, deed, image_id, member_id, old_status, member_created_at,
        at, user_id, project_id, request_id, image_name, owner)
    SELECT lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)
            || '-' || substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2)
            || '-' || hex(randomblob(6))),
        'delete', image_id, member_id, status, created_at, ?2, ?3, ?4, ?5, ?6, ?7
    FROM image_members WHERE image_id = ?1 ORDER BY created_at, member_id";

/// Ends all memberships of an image, which the transaction around this holds. The events are in the order of the
/// memberships' creation.
pub(crate) fn end_all(connection: &mut Connection, image: &Image, cause: &Cause) -> Result<(), Fault> {
    connection
        .run(|any| match any {
            AnyConnection::Postgres(postgres) => bound!(IN_POSTGRES, image, cause).execute(postgres),
            AnyConnection::Sqlite(sqlite) => {
                bound!(IN_SQLITE, image, cause).execute(sqlite)?;
                sql_query("DELETE FROM image_members WHERE image_id = ?")
                    .bind::<Id, _>(Key(image.id.uuid()))
                    .execute(sqlite)
            }
        })
        .map(drop)
        .map_err(Fault::of_own_key)
}
