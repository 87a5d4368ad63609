//! Many changes of status, or one, with their events.

use chrono::NaiveDateTime;
use core_domain::{
    member::{Member, MemberStatus},
    project::ProjectId,
    store::StatusChange,
};
use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Nullable, Text, Timestamp},
};

use super::{
    fold::{Fold, fold},
    place,
};
use crate::{
    connection::Connection,
    error::{Fault, read},
    images::kept,
    members,
    schema::{Id, Key},
};

/// [`core_domain::store::Store::set_statuses`].
pub(crate) fn set_statuses(
    connection: &mut Connection,
    changes: &[StatusChange<'_>],
) -> Result<Vec<Option<Member>>, Fault> {
    let folds = fold(changes);
    let statement = Statuses::<false>::of(folds.iter().map(|fold| &fold.change));
    let Some(rows) = connection.run_on_postgres(|postgres| statement.load::<StatusRow>(postgres))? else {
        let alone = |one: &StatusChange<'_>| members::set_status(connection, one).ok().flatten();
        return Ok(changes.iter().map(alone).collect());
    };
    let mut changed = vec![None; changes.len()];
    for row in rows {
        let Fold { change, places } = &folds[place(row.0, folds.len())?];
        let member = member(change, row)?;
        for place in places {
            changed[*place] = Some(member.clone());
        }
    }
    Ok(changed)
}

/// [`core_domain::store::Store::set_status`] in Postgres, waiting for whoever holds the membership; `None` in another
/// database.
pub(crate) fn set_one_status(
    connection: &mut Connection,
    change: &StatusChange<'_>,
) -> Result<Option<Option<Member>>, Fault> {
    let statement = Statuses::<true>::of([change]);
    let rows = connection.run_on_postgres(|postgres| statement.load::<StatusRow>(postgres))?;
    rows.map(|rows| rows.into_iter().next().map(|row| member(change, row)).transpose()).transpose()
}

fn member(change: &StatusChange<'_>, (_, old, old_time, made): StatusRow) -> Result<Member, Fault> {
    let is_new = read(old.parse::<MemberStatus>())? != change.status;
    Ok(Member {
        image: change.seen.id,
        project: change.member.clone(),
        status: change.status,
        created_at: made.and_utc(),
        updated_at: if is_new { change.cause.at } else { old_time.and_utc() },
    })
}

/// The number of the change, and the membership as it was: status, time of change; time of creation.
type StatusRow = (i64, String, NaiveDateTime, NaiveDateTime);

/// Changes of status, one for each membership, in one commit. A membership that somebody else holds is waited for, or else
/// left out, so that none waits for another's lock.
struct Statuses<'a, const WAITS: bool> {
    images: Vec<Key>,
    visibilities: Vec<&'a str>,
    owners: Vec<&'a str>,
    members: Vec<&'a str>,
    statuses: Vec<&'a str>,
    times: Vec<NaiveDateTime>,
    users: Vec<&'a str>,
    projects: Vec<Option<&'a str>>,
    requests: Vec<&'a str>,
}

const HELD: &str = ", held AS MATERIALIZED (
        SELECT asked.*, image.name AS image_name, image.owner AS image_owner,
            member.status AS old, member.updated_at AS old_time, member.created_at AS made
        FROM asked
        JOIN images AS image ON image.id = asked.image AND image.visibility = asked.visibility
            AND coalesce(image.owner, '') = asked.owner
        JOIN image_members AS member ON member.image_id = asked.image AND member.member_id = asked.member
        FOR NO KEY UPDATE OF member";

/// Those that are what is asked for already are written too, as they are: an answer is one that was written.
const CHANGED: &str = "), changed AS (
        UPDATE image_members AS member SET
            status = held.new,
            updated_at = CASE WHEN held.old <> held.new THEN held.time ELSE member.updated_at END
        FROM held
        WHERE member.image_id = held.image AND member.member_id = held.member
        RETURNING held.*), told AS (
        INSERT INTO events (at, user_id, project_id, request_id, image_id, image_name, owner, member_id, deed,
            old_status, new_status, member_created_at)
        SELECT time, \"user\", project, request, image, image_name, image_owner, member, 'update', old, new, made
        FROM changed WHERE old <> new)
    SELECT number, old, old_time, made FROM changed";

impl<'a, const WAITS: bool> Statuses<'a, WAITS> {
    fn of<'c: 'a>(changes: impl IntoIterator<Item = &'a StatusChange<'c>>) -> Self {
        let mut all = Self {
            images: Vec::new(),
            visibilities: Vec::new(),
            owners: Vec::new(),
            members: Vec::new(),
            statuses: Vec::new(),
            times: Vec::new(),
            users: Vec::new(),
            projects: Vec::new(),
            requests: Vec::new(),
        };
        for change in changes {
            all.images.push(Key(change.seen.id.uuid()));
            all.visibilities.push(change.seen.visibility.as_str());
            all.owners.push(change.seen.owner.as_ref().map_or("", ProjectId::as_str));
            all.members.push(change.member.as_str());
            all.statuses.push(change.status.as_str());
            all.times.push(kept(change.cause.at));
            all.users.push(change.cause.user.as_str());
            all.projects.push(change.cause.project.as_ref().map(ProjectId::as_str));
            all.requests.push(&change.cause.request);
        }
        all
    }
}

impl<const WAITS: bool> Query for Statuses<'_, WAITS> {
    type SqlType = (BigInt, Text, Timestamp, Timestamp);
}

impl<const WAITS: bool> RunQueryDsl<PgConnection> for Statuses<'_, WAITS> {}

impl<const WAITS: bool> QueryFragment<Pg> for Statuses<'_, WAITS> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH asked AS (SELECT * FROM unnest(");
        out.push_bind_param::<Array<Id>, _>(&self.images)?;
        for texts in [&self.visibilities, &self.owners, &self.members, &self.statuses] {
            out.push_sql(", ");
            out.push_bind_param::<Array<Text>, _>(texts)?;
        }
        out.push_sql(", ");
        out.push_bind_param::<Array<Timestamp>, _>(&self.times)?;
        for texts in [&self.users, &self.requests] {
            out.push_sql(", ");
            out.push_bind_param::<Array<Text>, _>(texts)?;
        }
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.projects)?;
        out.push_sql(") WITH ORDINALITY AS asked ");
        out.push_sql("(image, visibility, owner, member, new, time, \"user\", request, project, number))");
        out.push_sql(HELD);
        out.push_sql(if WAITS { "" } else { " SKIP LOCKED" });
        out.push_sql(CHANGED);
        Ok(())
    }
}

impl<const WAITS: bool> QueryId for Statuses<'_, WAITS> {
    type QueryId = Statuses<'static, WAITS>;
    const HAS_STATIC_QUERY_ID: bool = true;
}
