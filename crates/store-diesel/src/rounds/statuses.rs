//! Many changes of status.

use chrono::NaiveDateTime;
use core_domain::{member::Member, store::StatusChange};
use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Bool, Text, Timestamp},
};

use super::{
    fold::{Fold, fold},
    place,
};
use crate::{
    connection::Connection,
    error::Fault,
    members,
    schema::{Id, Key},
};

/// [`core_domain::store::Store::set_statuses`].
pub(crate) fn set_statuses(
    connection: &mut Connection,
    changes: &[StatusChange<'_>],
) -> Result<Vec<Option<Member>>, Fault> {
    let folds = fold(changes);
    let rows = connection.run_on_postgres(|postgres| Statuses::of(&folds).load::<StatusRow>(postgres))?;
    let Some(rows) = rows else {
        let alone = |one: &StatusChange<'_>| {
            members::set_status(connection, one.seen, one.member, one.status, one.now)
        };
        return Ok(changes.iter().map(alone).map(|done| done.ok().flatten()).collect());
    };
    let mut changed = vec![None; changes.len()];
    for (number, status, updated_at, created_at) in rows {
        let fold = &folds[place(number, folds.len())?];
        for (place, member) in fold.answers(&status, updated_at, created_at)? {
            changed[place] = Some(member);
        }
    }
    Ok(changed)
}

/// The number of the fold, and the membership as it was: status, time of change; time of creation.
type StatusRow = (i64, String, NaiveDateTime, NaiveDateTime);

/// Many changes of status, one for each membership, in one commit.
///
/// A membership that somebody else holds is left out, so that none waits for another's lock. Otherwise each is what
/// [`members::set_status`] does.
struct Statuses<'a> {
    images: Vec<Key>,
    visibilities: Vec<&'a str>,
    owners: Vec<&'a str>,
    members: Vec<&'a str>,
    statuses: Vec<&'a str>,
    times: Vec<NaiveDateTime>,
    certain: Vec<bool>,
}

const STATUSES: &str = ", held AS MATERIALIZED (
        SELECT asked.*, member.status AS old, member.updated_at AS old_time, member.created_at AS made
        FROM asked
        JOIN images AS image ON image.id = asked.image AND image.visibility = asked.visibility
            AND coalesce(image.owner, '') = asked.owner
        JOIN image_members AS member ON member.image_id = asked.image AND member.member_id = asked.project
        FOR NO KEY UPDATE OF member SKIP LOCKED)
    UPDATE image_members AS member SET
        status = held.new,
        updated_at = CASE WHEN held.certain OR member.status <> held.new THEN held.time ELSE member.updated_at END
    FROM held
    WHERE member.image_id = held.image AND member.member_id = held.project
    RETURNING held.number, held.old, held.old_time, held.made";

impl<'a> Statuses<'a> {
    fn of(folds: &[Fold<'a>]) -> Self {
        Self {
            images: folds.iter().map(|fold| Key(fold.seen.id.uuid())).collect(),
            visibilities: folds.iter().map(|fold| fold.seen.visibility.as_str()).collect(),
            owners: folds
                .iter()
                .map(|fold| fold.seen.owner.as_ref().map_or("", |owner| owner.as_str()))
                .collect(),
            members: folds.iter().map(|fold| fold.member.as_str()).collect(),
            statuses: folds.iter().map(|fold| fold.last_status().as_str()).collect(),
            times: folds.iter().map(Fold::time).collect(),
            certain: folds.iter().map(Fold::is_certain).collect(),
        }
    }
}

impl Query for Statuses<'_> {
    type SqlType = (BigInt, Text, Timestamp, Timestamp);
}

impl RunQueryDsl<PgConnection> for Statuses<'_> {}

impl QueryFragment<Pg> for Statuses<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH asked AS (SELECT * FROM unnest(");
        out.push_bind_param::<Array<Id>, _>(&self.images)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.visibilities)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.owners)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.members)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.statuses)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Timestamp>, _>(&self.times)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Bool>, _>(&self.certain)?;
        out.push_sql(") WITH ORDINALITY ");
        out.push_sql("AS asked (image, visibility, owner, project, new, time, certain, number))");
        out.push_sql(STATUSES);
        Ok(())
    }
}

impl QueryId for Statuses<'_> {
    type QueryId = Statuses<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}
