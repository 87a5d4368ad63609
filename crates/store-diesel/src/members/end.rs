//! The end of all memberships of an image, each with its event: one statement in Postgres, two in SQLite, whatever their number.

use chrono::NaiveDateTime;
use core_domain::{
    event::{Cause, Reason},
    image::Image,
    project::ProjectId,
};
use diesel::{
    QueryResult,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{Nullable, Text, Timestamp},
};

use crate::{
    connection::{AnyConnection, Connection, MultiBackend},
    error::Fault,
    images::kept,
    schema::{Id, Key, image_members},
};

/// [`core_domain::store::Tx::end_members`], or the deletion of the image: then there is no reason. The transaction around this holds the image. A membership that is changed or
/// removed meanwhile is waited for, and its event says what it was last.
pub(crate) fn end_all(
    connection: &mut Connection,
    image: &Image,
    cause: &Cause,
    reason: Option<Reason>,
) -> Result<(), Fault> {
    let ended = connection.run(|any| {
        let is_postgres = matches!(any, AnyConnection::Postgres(_));
        let key = Key(image.id.uuid());
        let end = End {
            is_postgres,
            image: key,
            cause,
            at: kept(cause.at),
            project: cause.project.as_ref().map(ProjectId::as_str),
            name: image.name.as_deref(),
            owner: image.owner.as_ref().map(ProjectId::as_str),
            reason: reason.map(Reason::as_str),
        };
        end.execute(any)?;
        if !is_postgres {
            // Nothing comes between: SQLite has one writer at a time.
            diesel::delete(image_members::table.filter(image_members::image_id.eq(key))).execute(any)?;
        }
        Ok(())
    });
    ended.map_err(Fault::of_own_key)
}

/// The events and, in Postgres, the end of what they are about.
struct End<'a> {
    is_postgres: bool,
    image: Key,
    cause: &'a Cause,
    at: NaiveDateTime,
    project: Option<&'a str>,
    name: Option<&'a str>,
    owner: Option<&'a str>,
    reason: Option<&'static str>,
}

/// A random UUID of version 4, as Postgres makes one by default.
const SQLITE_ID: &str = "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' \
     || substr('89ab', 1 + abs(random() % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))";

impl RunQueryDsl<AnyConnection> for End<'_> {}

impl QueryFragment<MultiBackend> for End<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        if self.is_postgres {
            out.push_sql("WITH ended AS (DELETE FROM image_members WHERE image_id = ");
            out.push_bind_param::<Id, _>(&self.image)?;
            out.push_sql(" RETURNING image_id, member_id, status, created_at) ");
        }
        out.push_sql(
            "INSERT INTO events (id, image_id, member_id, old_status, member_created_at, deed, at, user_id, request_id, \
             project_id, image_name, owner, reason) SELECT ",
        );
        out.push_sql(if self.is_postgres { "gen_random_uuid()" } else { SQLITE_ID });
        out.push_sql(", image_id, member_id, status, created_at, 'delete', ");
        out.push_bind_param::<Timestamp, _>(&self.at)?;
        for text in [self.cause.user.as_str(), &self.cause.request] {
            out.push_sql(", ");
            out.push_bind_param::<Text, _>(text)?;
        }
        for text in [&self.project, &self.name, &self.owner, &self.reason] {
            out.push_sql(", ");
            out.push_bind_param::<Nullable<Text>, _>(text)?;
        }
        if self.is_postgres {
            out.push_sql(" FROM ended");
        } else {
            out.push_sql(" FROM image_members WHERE image_id = ");
            out.push_bind_param::<Id, _>(&self.image)?;
        }
        out.push_sql(" ORDER BY created_at, member_id");
        Ok(())
    }
}

impl QueryId for End<'_> {
    type QueryId = End<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}
