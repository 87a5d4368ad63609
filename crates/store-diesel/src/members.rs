//! The SQL of memberships.

mod change;
mod end;
mod roll;

use chrono::NaiveDateTime;
use core_domain::{image::ImageId, member::Member, project::ProjectId, store::Sight};
use diesel::prelude::*;

pub(crate) use self::{
    change::{delete, insert, set_status},
    end::end_all,
    roll::roll,
};
use crate::{
    connection::Connection,
    error::{Fault, read},
    images::access,
    schema::{Key, image_members, images},
};

/// What is read of a membership: project, status, times of creation and change.
pub(crate) type MemberRow = (String, String, NaiveDateTime, NaiveDateTime);

/// The columns of [`MemberRow`].
macro_rules! member_row {
    () => {
        (
            image_members::member_id,
            image_members::status,
            image_members::created_at,
            image_members::updated_at,
        )
    };
}

/// What is read of an image when it is about members.
pub(crate) type AccessRow = (Key, Option<String>, String);

/// [`core_domain::store::Store::sight`]: one statement.
pub(crate) fn sight(
    connection: &mut Connection,
    image: ImageId,
    caller: Option<&ProjectId>,
    member: &ProjectId,
) -> Result<Option<Sight>, Fault> {
    let (own, asked) = diesel::alias!(image_members as own, image_members as asked);
    // Texts in a query with aliases must be its own, Diesel asks.
    let (caller, member) = (caller.map(ToString::to_string), member.to_string());
    let found: Option<(AccessRow, Option<String>, Option<MemberRow>)> = connection.run(|any| {
        images::table
            .left_join(
                own.on(own
                    .field(image_members::image_id)
                    .eq(images::id)
                    .and(own.field(image_members::member_id).nullable().eq(caller))),
            )
            .left_join(
                asked.on(asked
                    .field(image_members::image_id)
                    .eq(images::id)
                    .and(asked.field(image_members::member_id).eq(member))),
            )
            .filter(images::id.eq(Key(image.uuid())))
            .select((
                (images::id, images::owner, images::visibility),
                own.field(image_members::member_id).nullable(),
                asked.fields(member_row!()).nullable(),
            ))
            .get_result(any)
            .optional()
    })?;
    let Some((row, own, asked)) = found else { return Ok(None) };
    Ok(Some(Sight {
        image: access(row)?,
        is_member: own.is_some(),
        member: asked.map(|row| domain(image, row)).transpose()?,
    }))
}

/// One membership.
pub(crate) fn find(
    connection: &mut Connection,
    image: ImageId,
    project: &ProjectId,
) -> Result<Option<Member>, Fault> {
    let found: Option<MemberRow> = connection.run(|any| {
        image_members::table
            .find((Key(image.uuid()), project.as_str()))
            .select(member_row!())
            .get_result(any)
            .optional()
    })?;
    found.map(|row| domain(image, row)).transpose()
}

pub(crate) fn domain(
    image: ImageId,
    (project, status, created_at, updated_at): MemberRow,
) -> Result<Member, Fault> {
    Ok(Member {
        image,
        project: read(ProjectId::parse(&project))?,
        status: read(status.parse())?,
        created_at: created_at.and_utc(),
        updated_at: updated_at.and_utc(),
    })
}
