//! Many looks at one membership each.

use core_domain::store::{Sight, SightOf};
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

/// [`core_domain::store::Store::sights`].
pub(crate) fn sights(
    connection: &mut Connection,
    asked: &[SightOf<'_>],
) -> Result<Vec<Option<Sight>>, Fault> {
    let statement = Sights {
        images: asked.iter().map(|one| Key(one.image.uuid())).collect(),
        callers: asked.iter().map(|one| one.caller.map(|caller| caller.as_str())).collect(),
        members: asked.iter().map(|one| one.member.as_str()).collect(),
    };
    let rows = connection.run_on_postgres(|postgres| statement.load::<SightRow>(postgres))?;
    let Some(rows) = rows else {
        return asked
            .iter()
            .map(|one| members::sight(connection, one.image, one.caller, one.member))
            .collect();
    };
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

/// The number of the look, the image, whether the caller is a member, and the membership.
type SightRow = (i64, AccessRow, bool, Option<MemberRow>);

/// Many looks.
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
