//! The members of an image, a page of them.

use chrono::NaiveDateTime;
use core_domain::{
    image::ImageId,
    store::{MembersPage, Roll, Viewer},
};
use diesel::{
    QueryResult,
    dsl::exists,
    expression::AsExpression,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Bool, Nullable, Text, Timestamp},
};

use super::{AccessRow, MemberRow, domain};
use crate::{
    connection::{Connection, MultiBackend},
    error::Fault,
    images::{access, kept},
    schema::{Id, Key, image_members, images},
};

/// Earlier than any membership; SQLite compares times as text, so it has four digits for the year.
const LONG_AGO: NaiveDateTime = match chrono::NaiveDate::from_ymd_opt(1000, 1, 1) {
    Some(day) => day.and_time(chrono::NaiveTime::MIN),
    None => NaiveDateTime::MIN,
};

/// [`core_domain::store::Store::members`]: one statement, whose rows repeat the image and the viewer's own membership.
pub(crate) fn roll(
    connection: &mut Connection,
    image: ImageId,
    viewer: Viewer<'_>,
    page: &MembersPage,
) -> Result<Option<Roll>, Fault> {
    let owned = diesel::alias!(images as owned);
    let id = Key(image.uuid());
    let project = viewer.project.map(ToString::to_string);
    let (time, last) = match &page.after {
        Some((time, last)) => (kept(*time), last.to_string()),
        None => (LONG_AGO, String::new()),
    };
    let limit = page.limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
    let sees_all = AsExpression::<Bool>::as_expression(viewer.admin).or(exists(
        owned.filter(owned.field(images::id).eq(id)).filter(owned.field(images::owner).eq(project.clone())),
    ));
    // The first condition is asked once: the page is empty for whoever sees only its own row.
    let listed = image_members::table
        .filter(sees_all)
        .filter(image_members::image_id.eq(id))
        // Said twice, so that an index can start there.
        .filter(image_members::created_at.ge(time))
        .filter(image_members::created_at.gt(time).or(image_members::member_id.gt(last.clone())))
        .order_by((image_members::created_at, image_members::member_id))
        .limit(limit);
    let statement = Statement { image: id, project, listed };
    let found: Vec<(AccessRow, Option<MemberRow>, Option<MemberRow>)> =
        connection.run(|any| statement.load(any))?;
    let mut rows = found.into_iter();
    let Some((first, own, listed)) = rows.next() else { return Ok(None) };
    let (seen, is_member) = (access(first)?, own.is_some());
    let is_owner = seen.owner.is_some() && seen.owner.as_ref() == viewer.project;
    let members: Vec<MemberRow> = if viewer.admin || is_owner {
        listed.into_iter().chain(rows.filter_map(|(_, _, listed)| listed)).collect()
    } else {
        let is_behind = |row: &MemberRow| (row.2, row.0.as_str()) > (time, last.as_str());
        own.into_iter().filter(is_behind).take(page.limit.unwrap_or(usize::MAX)).collect()
    };
    let members = members.into_iter().map(|row| domain(image, row)).collect::<Result<_, _>>()?;
    Ok(Some(Roll { image: seen, is_member, members }))
}

/// The image, the viewer's own membership, the page. Diesel cannot join a select that has a limit; said as `IN (select)`, which
/// it can, Postgres may ask the select again for each of the members.
struct Statement<P> {
    image: Key,
    project: Option<String>,
    listed: P,
}

impl<P: QueryFragment<MultiBackend>> QueryFragment<MultiBackend> for Statement<P> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        out.push_sql(
            "SELECT images.id, images.owner, images.visibility, \
             own.member_id, own.status, own.created_at, own.updated_at, \
             listed.member_id, listed.status, listed.created_at, listed.updated_at \
             FROM images LEFT JOIN image_members AS own ON own.image_id = images.id AND own.member_id = ",
        );
        out.push_bind_param::<Nullable<Text>, _>(&self.project)?;
        out.push_sql(" LEFT JOIN (");
        self.listed.walk_ast(out.reborrow())?;
        out.push_sql(") AS listed ON listed.image_id = images.id WHERE images.id = ");
        out.push_bind_param::<Id, _>(&self.image)?;
        out.push_sql(" ORDER BY listed.created_at, listed.member_id");
        Ok(())
    }
}

/// The columns of a [`MemberRow`].
type Member = (Text, Text, Timestamp, Timestamp);

impl<P> Query for Statement<P> {
    type SqlType = ((Id, Nullable<Text>, Text), Nullable<Member>, Nullable<Member>);
}

impl<P> QueryId for Statement<P> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<P, Conn> RunQueryDsl<Conn> for Statement<P> {}
