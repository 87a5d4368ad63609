//! The SQL of rounds: many looks, or many changes of status, in one statement. Postgres alone has it; in SQLite, where
//! one writes at a time and nothing is far away, a round is what it says: one after another.

mod fold;

use chrono::NaiveDateTime;
use core_domain::{
    member::Member,
    store::{Sight, SightOf, StatusChange},
};
use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamp},
};

use self::fold::{Fold, fold};
use crate::{
    connection::Connection,
    error::{Fault, impossible},
    images::access,
    members::{self, AccessRow, MemberRow, domain},
    schema::{Id, Key},
};

/// [`core_domain::store::Store::sights`].
pub(crate) fn sights(
    connection: &mut Connection,
    asked: &[SightOf<'_>],
) -> Result<Vec<Option<Sight>>, Fault> {
    let one_by_one = |connection: &mut Connection| {
        asked.iter().map(|one| members::sight(connection, one.image, one.caller, one.member)).collect()
    };
    if let [_] = asked {
        return one_by_one(connection);
    }
    let statement = Sights {
        images: asked.iter().map(|one| Key(one.image.uuid())).collect(),
        callers: asked.iter().map(|one| one.caller.map(|caller| caller.as_str())).collect(),
        members: asked.iter().map(|one| one.member.as_str()).collect(),
    };
    let rows = connection.run_on_postgres(|postgres| statement.load::<SightRow>(postgres))?;
    let Some(rows) = rows else { return one_by_one(connection) };
    let mut sights = vec![None; asked.len()];
    for (number, image, is_member, member) in rows {
        let place = place(number, sights.len())?;
        let id = asked[place].image;
        sights[place] = Some(Sight {
            image: access(image)?,
            is_member,
            member: member.map(|row| domain(id, row)).transpose()?,
        });
    }
    Ok(sights)
}

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

/// The place in a list of what Postgres numbers from one.
fn place(number: i64, length: usize) -> Result<usize, Fault> {
    usize::try_from(number - 1)
        .ok()
        .filter(|place| *place < length)
        .ok_or_else(|| impossible("a round was answered with a row that nobody asked for"))
}

/// The number of the look, the image, whether the caller is a member, and the membership.
type SightRow = (i64, AccessRow, bool, Option<MemberRow>);

/// Many looks. Each row is found by its key: `LATERAL … LIMIT 1` leaves a planner no other way, however it guesses how
/// long the arrays are.
struct Sights<'a> {
    images: Vec<Key>,
    callers: Vec<Option<&'a str>>,
    members: Vec<&'a str>,
}

const SIGHTS: &str = "
    SELECT asked.number, image.id, image.owner, image.visibility,
        CASE WHEN asked.caller = asked.member THEN member.member_id IS NOT NULL
            ELSE EXISTS (SELECT FROM image_members AS own
                WHERE own.image_id = asked.image AND own.member_id = asked.caller) END,
        member.member_id, member.status, member.created_at, member.updated_at
    FROM asked
    CROSS JOIN LATERAL (SELECT * FROM images WHERE id = asked.image LIMIT 1) AS image
    LEFT JOIN LATERAL (SELECT * FROM image_members
        WHERE image_id = asked.image AND member_id = asked.member LIMIT 1) AS member ON true";

impl Query for Sights<'_> {
    type SqlType = (BigInt, (Id, Nullable<Text>, Text), Bool, Nullable<(Text, Text, Timestamp, Timestamp)>);
}

impl RunQueryDsl<PgConnection> for Sights<'_> {}

impl QueryFragment<Pg> for Sights<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH asked AS (SELECT * FROM unnest(");
        out.push_bind_param::<Array<Id>, _>(&self.images)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.callers)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.members)?;
        out.push_sql(") WITH ORDINALITY AS asked (image, caller, member, number))");
        out.push_sql(SIGHTS);
        Ok(())
    }
}

impl QueryId for Sights<'_> {
    type QueryId = Sights<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
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
