//! Changes of one membership, each with its event: one statement in Postgres, several in a transaction in SQLite, which
//! knows no statement that changes two tables.

use chrono::NaiveDateTime;
use core_domain::{
    event::{Cause, Deed},
    image::{Image, ImageAccess},
    member::{Member, MemberStatus},
    project::ProjectId,
    store::StatusChange,
};
use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{Nullable, Text, Timestamp},
};

use super::{AccessRow, find};
use crate::{
    connection::Connection,
    error::Fault,
    events::{self, MemberDeed},
    images::{access, kept},
    rounds,
    schema::{Id, Key, image_members, images},
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
        let Some((name, before)) = seen(connection, change.seen, change.member)? else { return Ok(None) };
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
        events::keep_of_member(connection, change.cause, change.seen, name.as_deref(), &deed)?;
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
        let Some((name, member)) = seen(connection, seen_as, project)? else { return Ok(false) };
        connection.run(|any| {
            diesel::delete(image_members::table.find((Key(seen_as.id.uuid()), project.as_str()))).execute(any)
        })?;
        let deed = MemberDeed { deed: Deed::Delete, member: &member, old: Some(member.status), new: None };
        events::keep_of_member(connection, cause, seen_as, name.as_deref(), &deed)?;
        Ok(true)
    })
}

/// Keeps a new membership in `image`, which the transaction around this holds; [`Fault::Taken`] if the project is a member.
pub(crate) fn insert(
    connection: &mut Connection,
    image: &Image,
    member: &Member,
    cause: &Cause,
) -> Result<(), Fault> {
    let statement = Addition {
        key: Key(image.id.uuid()),
        name: image.name.as_deref(),
        owner: image.owner.as_ref().map(ProjectId::as_str),
        project: &member.project,
        status: member.status,
        times: [member.created_at, member.updated_at, image.created_at].map(kept),
        cause,
        at: kept(cause.at),
    };
    let added = connection.run_on_postgres(|postgres| statement.execute(postgres));
    if let Some(added) = added.map_err(Fault::of_own_key)? {
        return if added > 0 { Ok(()) } else { Err(Fault::Taken("there is such a membership".into())) };
    }
    connection.run(|any| {
        diesel::insert_into(image_members::table)
            .values((
                image_members::image_id.eq(Key(image.id.uuid())),
                image_members::member_id.eq(member.project.as_str()),
                image_members::status.eq(member.status.as_str()),
                image_members::created_at.eq(kept(member.created_at)),
                image_members::updated_at.eq(kept(member.updated_at)),
                image_members::image_created_at.eq(kept(image.created_at)),
            ))
            .execute(any)
    })?;
    let deed = MemberDeed { deed: Deed::Create, member, old: None, new: Some(member.status) };
    events::keep_of_member(connection, cause, &image.access(), image.name.as_deref(), &deed)
        .map_err(Fault::of_own_key)
}

/// The image's name and the membership, if the image still is what was seen.
fn seen(
    connection: &mut Connection,
    seen: &ImageAccess,
    project: &ProjectId,
) -> Result<Option<(Option<String>, Member)>, Fault> {
    let found: Option<(AccessRow, Option<String>)> = connection.run(|any| {
        images::table
            .find(Key(seen.id.uuid()))
            .select(((images::id, images::owner, images::visibility), images::name))
            .get_result(any)
            .optional()
    })?;
    let Some((row, name)) = found else { return Ok(None) };
    if access(row)? != *seen {
        return Ok(None);
    }
    Ok(find(connection, seen.id, project)?.map(|member| (name, member)))
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
        push_cause(out.reborrow(), &self.at, self.cause)?;
        out.push_sql(" FROM gone");
        Ok(())
    }
}

/// Why, as values of `at, user_id, request_id, project_id`.
fn push_cause<'b>(mut out: AstPass<'_, 'b, Pg>, at: &'b NaiveDateTime, cause: &'b Cause) -> QueryResult<()> {
    out.push_bind_param::<Timestamp, _>(at)?;
    for text in [cause.user.as_str(), cause.request.as_str()] {
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(text)?;
    }
    out.push_sql(", ");
    match &cause.project {
        Some(project) => out.push_bind_param::<Nullable<Text>, _>(project.as_str()),
        None => out.push_bind_param::<Nullable<Text>, _>(&None::<&str>),
    }
}

impl QueryId for Deletion<'_> {
    type QueryId = Deletion<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

/// The beginning of a membership. If there is one already, no row is inserted; a key that is taken is one of the event's,
/// which must not be answered as if the project were a member.
struct Addition<'a> {
    key: Key,
    name: Option<&'a str>,
    owner: Option<&'a str>,
    project: &'a ProjectId,
    status: MemberStatus,
    /// Of its creation, its last change, and the creation of its image.
    times: [NaiveDateTime; 3],
    cause: &'a Cause,
    at: NaiveDateTime,
}

impl RunQueryDsl<PgConnection> for Addition<'_> {}

impl QueryFragment<Pg> for Addition<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH added AS (INSERT INTO image_members \
             (image_id, member_id, status, created_at, updated_at, image_created_at) VALUES (",
        );
        out.push_bind_param::<Id, _>(&self.key)?;
        for text in [self.project.as_str(), self.status.as_str()] {
            out.push_sql(", ");
            out.push_bind_param::<Text, _>(text)?;
        }
        for time in &self.times {
            out.push_sql(", ");
            out.push_bind_param::<Timestamp, _>(time)?;
        }
        out.push_sql(
            ") ON CONFLICT DO NOTHING \
             RETURNING image_id, member_id, status, created_at) \
             INSERT INTO events (image_id, member_id, new_status, member_created_at, deed, image_name, owner, at, \
             user_id, request_id, project_id) SELECT added.*, 'create', ",
        );
        for text in [&self.name, &self.owner] {
            out.push_bind_param::<Nullable<Text>, _>(text)?;
            out.push_sql(", ");
        }
        push_cause(out.reborrow(), &self.at, self.cause)?;
        out.push_sql(" FROM added");
        Ok(())
    }
}

impl QueryId for Addition<'_> {
    type QueryId = Addition<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}
