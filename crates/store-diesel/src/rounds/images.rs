//! Many looks at one whole image each.

use core_domain::{
    image::ImageId,
    limits::BATCH_BYTES,
    store::{Batched, FoundImage, Viewer},
};
use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Bool, Nullable, Text},
};

use super::place;
use crate::{
    connection::Connection,
    error::Fault,
    images::{
        self,
        look::{COLUMNS, IS_SEEN, LookRow, LookTypes, found},
    },
    schema::{Id, Key},
};

/// [`core_domain::store::Store::whole_images`].
pub(crate) fn whole_images(
    connection: &mut Connection,
    asked: &[(ImageId, Viewer<'_>)],
) -> Result<Vec<Batched<Option<FoundImage>>>, Fault> {
    let statement = Images {
        ids: asked.iter().map(|(id, _)| Key(id.uuid())).collect(),
        projects: asked.iter().map(|(_, viewer)| viewer.project.map(|project| project.as_str())).collect(),
        admins: asked.iter().map(|(_, viewer)| viewer.admin).collect(),
        bytes: i64::try_from(BATCH_BYTES).unwrap_or(i64::MAX),
    };
    let rows = connection.run_on_postgres(|postgres| statement.load::<Row>(postgres))?;
    let Some(rows) = rows else {
        let alone = |(id, viewer): &(ImageId, Viewer<'_>)| {
            images::find(connection, *id, *viewer).map(Batched::Answered)
        };
        return asked.iter().map(alone).collect();
    };
    let mut looks = vec![Batched::Answered(None); asked.len()];
    for (number, is_too_much, row) in rows {
        let place = place(number, looks.len())?;
        looks[place] = if is_too_much { Batched::Alone } else { Batched::Answered(Some(found(row)?)) };
    }
    Ok(looks)
}

/// The number of the look, whether its record is beyond what the batch may hold, and what was seen.
type Row = (i64, bool, LookRow);

/// Many looks.
struct Images<'a> {
    ids: Vec<Key>,
    projects: Vec<Option<&'a str>>,
    admins: Vec<bool>,
    bytes: i64,
}

impl Query for Images<'_> {
    type SqlType = (BigInt, Bool, LookTypes);
}

impl RunQueryDsl<PgConnection> for Images<'_> {}

impl QueryFragment<Pg> for Images<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH asked AS (SELECT * FROM unnest(");
        out.push_bind_param::<Array<Id>, _>(&self.ids)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.projects)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Bool>, _>(&self.admins)?;
        out.push_sql(") WITH ORDINALITY AS asked (id, project, is_admin, number)), ");
        out.push_sql("seen AS (SELECT asked.number, images.*, own.member_id IS NOT NULL AS is_member, ");
        out.push_sql(IS_SEEN);
        out.push_sql(" AS is_seen FROM asked ");
        out.push_sql("CROSS JOIN LATERAL (SELECT * FROM images WHERE id = asked.id LIMIT 1) AS images ");
        out.push_sql("LEFT JOIN LATERAL (SELECT member_id FROM image_members WHERE image_id = asked.id ");
        out.push_sql("AND member_id = asked.project LIMIT 1) AS own ON true), ");
        // What is not seen is not read, and takes no room.
        out.push_sql("counted AS (SELECT seen.*, sum(CASE WHEN is_seen THEN memory_bytes ELSE 0 END) ");
        out.push_sql("OVER (ORDER BY number ROWS UNBOUNDED PRECEDING) <= ");
        out.push_bind_param::<BigInt, _>(&self.bytes)?;
        out.push_sql(
            " AS has_room FROM seen) SELECT images.number, images.is_seen AND NOT images.has_room, ",
        );
        out.push_sql(COLUMNS);
        out.push_sql(" FROM (SELECT counted.*, is_seen AND has_room AS is_read FROM counted) AS images");
        Ok(())
    }
}

impl QueryId for Images<'_> {
    type QueryId = Images<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}
