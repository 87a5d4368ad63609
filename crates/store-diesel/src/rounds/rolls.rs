//! Many looks at all members of an image each.

use core_domain::{
    image::ImageId,
    limits::{BATCH_ID_BYTES, BATCH_MEMBERS},
    store::{Batched, MembersPage, Roll, Viewer},
};
use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamp},
};

use super::place;
use crate::{
    connection::Connection,
    error::Fault,
    images::access,
    members::{self, AccessRow, MemberRow, domain},
    schema::{Id, Key},
};

/// [`core_domain::store::Store::rolls`].
pub(crate) fn rolls(
    connection: &mut Connection,
    asked: &[(ImageId, Viewer<'_>)],
) -> Result<Vec<Batched<Option<Roll>>>, Fault> {
    let statement = Rolls {
        images: asked.iter().map(|(image, _)| Key(image.uuid())).collect(),
        viewers: asked.iter().map(|(_, viewer)| viewer.project.map(|project| project.as_str())).collect(),
        admins: asked.iter().map(|(_, viewer)| viewer.admin).collect(),
    };
    let rows = connection.run_on_postgres(|postgres| statement.load::<RollRow>(postgres))?;
    let Some(rows) = rows else {
        let all = MembersPage::default();
        return asked
            .iter()
            .map(|(image, viewer)| members::roll(connection, *image, *viewer, &all).map(Batched::of_roll))
            .collect();
    };
    let mut rolls: Vec<Batched<Option<Roll>>> = vec![Batched::Answered(None); asked.len()];
    for (number, image, is_member, member) in rows {
        let place = place(number, rolls.len())?;
        if image.1.as_deref() == Some(TOO_LONG) || member.as_ref().is_some_and(|row| row.0 == TOO_LONG) {
            rolls[place] = Batched::Alone;
        }
        let Batched::Answered(seen) = &mut rolls[place] else { continue };
        let roll = match seen {
            Some(roll) => roll,
            empty @ None => empty.insert(Roll { image: access(image)?, is_member, members: Vec::new() }),
        };
        roll.members.extend(member.map(|row| domain(asked[place].0, row)).transpose()?);
    }
    // Cheaper here than one sort for each image there.
    for answer in &mut rolls {
        let Batched::Answered(Some(roll)) = answer else { continue };
        if roll.members.len() > BATCH_MEMBERS {
            *answer = Batched::Alone;
        } else {
            roll.members.sort_by(|a, b| (a.created_at, &a.project).cmp(&(b.created_at, &b.project)));
        }
    }
    Ok(rolls)
}

/// The number of the look, the image, whether the viewer is a member, and one of the members it sees.
type RollRow = (i64, AccessRow, bool, Option<MemberRow>);

/// Many looks. Whoever sees only its own membership is not made to read the others.
struct Rolls<'a> {
    images: Vec<Key>,
    viewers: Vec<Option<&'a str>>,
    admins: Vec<bool>,
}

/// In place of a project's id of more than [`BATCH_ID_BYTES`]: no project has this one.
const TOO_LONG: &str = "";

const FROM: &str = "
    FROM asked
    CROSS JOIN LATERAL (SELECT * FROM images WHERE id = asked.image LIMIT 1) AS image
    LEFT JOIN LATERAL (SELECT * FROM image_members
        WHERE image_id = asked.image AND member_id = asked.viewer LIMIT 1) AS own ON true
    LEFT JOIN LATERAL (SELECT * FROM image_members
        WHERE image_id = asked.image AND (asked.admin OR image.owner = asked.viewer) LIMIT ";

/// An id if it is short enough.
fn short(out: &mut AstPass<'_, '_, Pg>, id: &str) {
    let most = BATCH_ID_BYTES;
    out.push_sql(&format!("CASE WHEN octet_length({id}) > {most} THEN '{TOO_LONG}' ELSE {id} END"));
}

impl Query for Rolls<'_> {
    type SqlType = (BigInt, (Id, Nullable<Text>, Text), Bool, Nullable<(Text, Text, Timestamp, Timestamp)>);
}

impl RunQueryDsl<PgConnection> for Rolls<'_> {}

impl QueryFragment<Pg> for Rolls<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH asked AS (SELECT * FROM unnest(");
        out.push_bind_param::<Array<Id>, _>(&self.images)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.viewers)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Bool>, _>(&self.admins)?;
        out.push_sql(") WITH ORDINALITY AS asked (image, viewer, admin, number))");
        out.push_sql(" SELECT asked.number, image.id, ");
        short(&mut out, "image.owner");
        out.push_sql(", image.visibility, own.member_id IS NOT NULL, ");
        short(&mut out, "coalesce(listed.member_id, own.member_id)");
        out.push_sql(", coalesce(listed.status, own.status), coalesce(listed.created_at, own.created_at), ");
        out.push_sql("coalesce(listed.updated_at, own.updated_at)");
        out.push_sql(FROM);
        // One more tells that the list is too long for a batch.
        out.push_sql(&(BATCH_MEMBERS + 1).to_string());
        out.push_sql(") AS listed ON true");
        Ok(())
    }
}

impl QueryId for Rolls<'_> {
    type QueryId = Rolls<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}
