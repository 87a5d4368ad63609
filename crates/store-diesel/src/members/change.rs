//! Changes of one membership, each with its event: one statement in Postgres, a transaction in SQLite, which knows no
//! statement that changes two tables.

use chrono::NaiveDateTime;
use core_domain::{
    event::{Cause, Deed},
    image::{Image, ImageAccess},
    member::Member,
    project::ProjectId,
    store::StatusChange,
};
use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{Nullable, Text, Timestamp},
};

use super::find;
use crate::{
    connection::Connection,
    error::Fault,
    events::{self, MemberDeed},
    images::{self, kept},
    rounds,
    schema::{Id, Key, image_members},
};

/// [`core_domain::store::Store::set_status`].
pub(crate) fn set_status(
    connection: &mut Connection,
    change: &StatusChange<'_>,
) -> Result<Option<Member>, Fault> {
    if let Some(changed) = rounds::set_one_status(connection, change)? {
        return Ok(changed);
    }
    connection.transaction(|connection| {
        let Some((image, before)) = seen(connection, change.seen, change.member)? else { return Ok(None) };
        if before.status == change.status {
            return Ok(Some(before));
        }
        let member = Member { status: change.status, updated_at: change.cause.at, ..before.clone() };
        connection.run(|any| {
            diesel::update(image_members::table.find((Key(change.seen.id.uuid()), change.member.as_str())))
                .set((
                    image_members::status.eq(change.status.as_str()),
                    image_members::updated_at.eq(kept(change.cause.at)),
                ))
                .execute(any)
        })?;
        let (old, new) = (Some(before.status), Some(change.status));
        let deed = MemberDeed { deed: Deed::Update, member: &member, old, new };
        events::keep_of_members(connection, change.cause, &image, &[deed])?;
        Ok(Some(member))
    })
}

/// [`core_domain::store::Store::delete_member`].
pub(crate) fn delete(
    connection: &mut Connection,
    seen_as: &ImageAccess,
    project: &ProjectId,
    cause: &Cause,
) -> Result<bool, Fault> {
    let statement =
        Deletion { seen: seen_as, image: Key(seen_as.id.uuid()), project, cause, at: kept(cause.at) };
    if let Some(deleted) = connection.run_on_postgres(|postgres| statement.execute(postgres))? {
        return Ok(deleted > 0);
    }
    connection.transaction(|connection| {
        let Some((image, member)) = seen(connection, seen_as, project)? else { return Ok(false) };
        connection.run(|any| {
            diesel::delete(image_members::table.find((Key(image.id.uuid()), project.as_str()))).execute(any)
        })?;
        let deed = MemberDeed { deed: Deed::Delete, member: &member, old: Some(member.status), new: None };
        events::keep_of_members(connection, cause, &image, &[deed])?;
        Ok(true)
    })
}

/// The image, if it still is what was seen, and the membership.
fn seen(
    connection: &mut Connection,
    seen: &ImageAccess,
    project: &ProjectId,
) -> Result<Option<(Image, Member)>, Fault> {
    let image = images::find(connection, seen.id, None)?.map(|(image, _)| image);
    let Some(image) = image.filter(|image| image.access() == *seen) else { return Ok(None) };
    Ok(find(connection, seen.id, project)?.map(|member| (image, member)))
}

/// The end of a membership. No owner is empty, so that the empty text stands for none.
struct Deletion<'a> {
    seen: &'a ImageAccess,
    image: Key,
    project: &'a ProjectId,
    cause: &'a Cause,
    at: NaiveDateTime,
}

impl RunQueryDsl<PgConnection> for Deletion<'_> {}

impl QueryFragment<Pg> for Deletion<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH gone AS (DELETE FROM image_members AS member USING images AS image \
             WHERE image.id = member.image_id AND member.image_id = ",
        );
        out.push_bind_param::<Id, _>(&self.image)?;
        out.push_sql(" AND member.member_id = ");
        out.push_bind_param::<Text, _>(self.project.as_str())?;
        out.push_sql(" AND image.visibility = ");
        out.push_bind_param::<Text, _>(self.seen.visibility.as_str())?;
        out.push_sql(" AND coalesce(image.owner, '') = ");
        out.push_bind_param::<Text, _>(self.seen.owner.as_ref().map_or("", ProjectId::as_str))?;
        out.push_sql(
            " RETURNING image.id, image.name, image.owner, member.member_id, member.status, member.created_at) \
             INSERT INTO events (image_id, image_name, owner, member_id, old_status, member_created_at, deed, at, \
             user_id, request_id, project_id) SELECT gone.*, 'delete', ",
        );
        out.push_bind_param::<Timestamp, _>(&self.at)?;
        for text in [self.cause.user.as_str(), self.cause.request.as_str()] {
            out.push_sql(", ");
            out.push_bind_param::<Text, _>(text)?;
        }
        out.push_sql(", ");
        match &self.cause.project {
            Some(project) => out.push_bind_param::<Nullable<Text>, _>(project.as_str())?,
            None => out.push_bind_param::<Nullable<Text>, _>(&None::<&str>)?,
        }
        out.push_sql(" FROM gone");
        Ok(())
    }
}

impl QueryId for Deletion<'_> {
    type QueryId = Deletion<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}
