//! Many looks at one whole image each.

use core_domain::{
    image::{Image, ImageId},
    project::ProjectId,
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
    images::{self, ImageRow, image},
    schema::{Id, Key, images as table},
};

/// [`core_domain::store::Store::whole_images`].
pub(crate) fn whole_images(
    connection: &mut Connection,
    asked: &[(ImageId, Option<&ProjectId>)],
) -> Result<Vec<Option<(Image, bool)>>, Fault> {
    let statement = Images {
        ids: asked.iter().map(|(id, _)| Key(id.uuid())).collect(),
        callers: asked.iter().map(|(_, caller)| caller.map(ProjectId::as_str)).collect(),
    };
    let rows = connection.run_on_postgres(|postgres| statement.load::<Found>(postgres))?;
    let Some(rows) = rows else {
        return asked.iter().map(|(id, caller)| images::find(connection, *id, *caller)).collect();
    };
    let mut found = vec![None; asked.len()];
    for (number, row, is_member) in rows {
        let place = place(number, found.len())?;
        found[place] = Some((image(row)?, is_member));
    }
    Ok(found)
}

/// The number of the look, the image, and whether the caller is a member.
type Found = (i64, ImageRow, bool);

/// Many looks.
struct Images<'a> {
    ids: Vec<Key>,
    callers: Vec<Option<&'a str>>,
}

impl Query for Images<'_> {
    type SqlType = (BigInt, table::SqlType, Bool);
}

impl RunQueryDsl<PgConnection> for Images<'_> {}

impl QueryFragment<Pg> for Images<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH asked AS (SELECT * FROM unnest(");
        out.push_bind_param::<Array<Id>, _>(&self.ids)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.callers)?;
        out.push_sql(") WITH ORDINALITY AS asked (id, caller, number)) SELECT asked.number, ");
        out.push_sql("images.id, images.owner, images.visibility, images.status, images.name, ");
        out.push_sql("images.container_format, images.disk_format, images.min_disk, images.min_ram, ");
        out.push_sql("images.protected, images.hidden, images.created_at, images.updated_at, ");
        out.push_sql("images.record_bytes, images.tags, images.properties, ");
        out.push_sql("EXISTS (SELECT FROM image_members AS own ");
        out.push_sql("WHERE own.image_id = images.id AND own.member_id = asked.caller) FROM asked ");
        out.push_sql("CROSS JOIN LATERAL (SELECT * FROM images WHERE id = asked.id LIMIT 1) AS images");
        Ok(())
    }
}

impl QueryId for Images<'_> {
    type QueryId = Images<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}
