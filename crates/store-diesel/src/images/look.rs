//! A look at one image, alone or in a batch: what decisions are made on, and the record if the viewer sees it.
//!
//! What Postgres keeps outside the row is not read for a viewer that does not see the image: the `CASE` that answers it is not
//! taken. The predicate is that of [`core_domain::store::Viewer::sees`], and the suite compares the two.

use core_domain::{
    image::ImageId,
    project::ProjectId,
    store::{FoundImage, Viewer},
};
use diesel::{
    QueryResult,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Bool, Nullable, Text},
};

use super::{ImageRow, access, image};
use crate::{
    connection::MultiBackend,
    error::Fault,
    members::AccessRow,
    schema::{Id, Key, images as table},
};

/// Whether the viewer `asked` sees the image; `own` is its membership, if it has one.
pub(crate) const IS_SEEN: &str = "asked.is_admin OR (asked.project IS NOT NULL AND (images.owner IS NULL \
    OR images.owner = asked.project OR images.visibility IN ('public', 'community') \
    OR (images.visibility = 'shared' AND own.member_id IS NOT NULL)))";

/// The columns of a [`LookRow`], of an image with `is_member` and `is_read`.
pub(crate) const COLUMNS: &str = "images.id, images.owner, images.visibility, images.is_member, \
    images.id, images.owner, images.visibility, images.status, \
    CASE WHEN images.is_read THEN images.name END, images.container_format, images.disk_format, \
    images.min_disk, images.min_ram, images.protected, images.hidden, images.created_at, images.updated_at, \
    images.memory_bytes, CASE WHEN images.is_read THEN images.tags END, \
    CASE WHEN images.is_read THEN images.properties END";

/// What decisions are made on, whether the viewer is a member, and the record if it was read: tags are never NULL.
pub(crate) type LookRow = (AccessRow, bool, Option<ImageRow>);

/// The types of a [`LookRow`].
pub(crate) type LookTypes = ((Id, Nullable<Text>, Text), Bool, Nullable<table::SqlType>);

/// What was seen.
pub(crate) fn found((seen, is_member, record): LookRow) -> Result<FoundImage, Fault> {
    Ok(FoundImage { access: access(seen)?, is_member, image: record.map(image).transpose()? })
}

/// One look.
pub(super) struct Look<'a> {
    id: Key,
    project: Option<&'a ProjectId>,
    is_admin: bool,
}

impl<'a> Look<'a> {
    pub(super) fn of(id: ImageId, viewer: Viewer<'a>) -> Self {
        Self { id: Key(id.uuid()), project: viewer.project, is_admin: viewer.admin }
    }

    /// A select of [`COLUMNS`] and `more`, which may name `images.is_read`.
    fn select<'b>(
        &'b self,
        mut out: AstPass<'_, 'b, MultiBackend>,
        more: impl FnOnce(AstPass<'_, 'b, MultiBackend>) -> QueryResult<()>,
    ) -> QueryResult<()> {
        out.push_sql("WITH asked AS (SELECT ");
        match self.project {
            Some(project) => out.push_bind_param::<Nullable<Text>, _>(project.as_str())?,
            None => out.push_bind_param::<Nullable<Text>, _>(&None::<&str>)?,
        }
        // The cast is for those who prepare the statement without types, as pgbench does.
        out.push_sql(" AS project, CAST(");
        out.push_bind_param::<Bool, _>(&self.is_admin)?;
        out.push_sql(" AS boolean) AS is_admin) SELECT ");
        out.push_sql(COLUMNS);
        more(out.reborrow())?;
        out.push_sql(" FROM (SELECT images.*, own.member_id IS NOT NULL AS is_member, ");
        out.push_sql(IS_SEEN);
        out.push_sql(
            " AS is_read FROM asked CROSS JOIN images LEFT JOIN image_members AS own \
             ON own.image_id = images.id AND own.member_id = asked.project WHERE images.id = ",
        );
        out.push_bind_param::<Id, _>(&self.id)?;
        out.push_sql(") AS images");
        Ok(())
    }
}

impl QueryFragment<MultiBackend> for Look<'_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        self.select(out, |_| Ok(()))
    }
}

impl Query for Look<'_> {
    type SqlType = LookTypes;
}

impl QueryId for Look<'_> {
    type QueryId = Look<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Conn> RunQueryDsl<Conn> for Look<'_> {}

/// A look that also tells whether the project `with` has a membership, and how many memberships there are, counted up to `most`.
/// Neither is looked up for a viewer that does not see the image; at 0 the database counts nothing.
///
/// The order and the `SELECT` within `LIMIT` are for the plan. Postgres expects few members of any image, and would make a bitmap of
/// them all before it takes as many as the limit says. Of a limit that it does not know when it plans it expects that a tenth is read, and
/// that is cheapest from the primary key.
pub(super) struct SharingLook<'a> {
    pub(super) look: Look<'a>,
    pub(super) with: &'a ProjectId,
    pub(super) most: i64,
}

impl QueryFragment<MultiBackend> for SharingLook<'_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        self.look.select(out, |mut out| {
            out.push_sql(
                ", CASE WHEN images.is_read THEN EXISTS (SELECT 1 FROM image_members AS member \
                 WHERE member.image_id = images.id AND member.member_id = ",
            );
            out.push_bind_param::<Text, _>(self.with.as_str())?;
            out.push_sql(
                ") ELSE FALSE END, CASE WHEN images.is_read THEN (SELECT count(*) FROM (SELECT 1 \
                 FROM image_members AS member WHERE member.image_id = images.id ORDER BY member.member_id \
                 LIMIT (SELECT CAST(",
            );
            out.push_bind_param::<BigInt, _>(&self.most)?;
            out.push_sql(" AS bigint))) AS counted) ELSE 0 END");
            Ok(())
        })
    }
}

impl Query for SharingLook<'_> {
    type SqlType = (LookTypes, Bool, BigInt);
}

impl QueryId for SharingLook<'_> {
    type QueryId = SharingLook<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Conn> RunQueryDsl<Conn> for SharingLook<'_> {}
