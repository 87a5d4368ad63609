//! The five member calls.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use core_domain::{
    Error,
    image::ImageId,
    limits::{BATCH_MEMBERS, MEMBERS_PAGE},
    member::{Member, MemberStatus},
    project::ProjectId,
    sharing,
    text::MAX_CHARS,
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    app::App,
    auth::Auth,
    body::{Body, FromJson, Id, Time, ok},
    budget::{OVERHEAD_BYTES, Share},
    error::ApiError,
    list_body::{self, Item},
    page::{self, Query},
    path::{ImagePath, MemberPath},
    position::{self, MARKER_POSITION},
};

/// A membership on the wire; the keys in the order of the API.
#[derive(Serialize)]
struct MemberBody<'a> {
    member_id: &'a str,
    image_id: Id,
    status: &'static str,
    created_at: Time,
    updated_at: Time,
    schema: &'static str,
}

impl<'a> From<&'a Member> for MemberBody<'a> {
    fn from(member: &'a Member) -> Self {
        Self {
            member_id: member.project.as_str(),
            image_id: Id(member.image),
            status: member.status.as_str(),
            created_at: Time(member.created_at),
            updated_at: Time(member.updated_at),
            schema: "/v2/schemas/member",
        }
    }
}

impl Item for Member {
    fn memory_bytes(&self) -> usize {
        MEMBER_BYTES + self.project.as_str().len()
    }

    fn write(self, json: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(json, &MemberBody::from(&self))
    }
}

/// What a membership takes in memory beside its project's id, at most; an id has at most four bytes a character.
const MEMBER_BYTES: usize = size_of::<Member>() + 32;
const LARGEST_MEMBER_BYTES: usize = MEMBER_BYTES + 4 * MAX_CHARS;

/// What comes after the members of a page.
#[derive(Serialize)]
struct AfterMembers {
    schema: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// `{"member_id": P}` or the older `{"member": P}`; with both, the former.
pub(crate) struct NewMember(ProjectId);

impl FromJson for NewMember {
    fn from_json(body: Value) -> Result<Self, ApiError> {
        let form = "Expected a member in the form: {\"member_id\": \"project id\"}.";
        let Value::Object(body) = body else { return Err(ApiError::Request(form.into())) };
        let id = body.get("member_id").or_else(|| body.get("member"));
        match id {
            Some(Value::String(id)) => Ok(Self(ProjectId::parse(id)?)),
            Some(_) => Err(ApiError::Request("The member id must be a string: a project's id.".into())),
            None => Err(ApiError::Request(format!("The member to be added is not specified. {form}"))),
        }
    }
}

/// `{"status": S}`
pub(crate) struct NewStatus(MemberStatus);

impl FromJson for NewStatus {
    fn from_json(body: Value) -> Result<Self, ApiError> {
        let form = "Expected a status in the form: {\"status\": \"accepted\"}.";
        let Value::Object(body) = body else { return Err(ApiError::Request(form.into())) };
        match body.get("status") {
            Some(Value::String(word)) => Ok(Self(word.parse()?)),
            Some(_) => Err(ApiError::Request(
                "The status must be one of the strings \"pending\", \"accepted\" or \"rejected\".".into(),
            )),
            None => Err(ApiError::Request(format!("The status is not specified. {form}"))),
        }
    }
}

/// `POST /v2/images/{image_id}/members`
pub(crate) async fn add(
    app: web::Data<App>,
    asker: Auth,
    path: ImagePath,
    Body(NewMember(project)): Body<NewMember>,
) -> Result<HttpResponse, ApiError> {
    let image = path.image()?;
    let member = app.change(asker, move |cx, store| sharing::add(cx, store, image, &project)).await?;
    ok(&MemberBody::from(&member))
}

/// `GET /v2/images/{image_id}/members`: all of them, unless `limit` or `marker` asks for a page.
pub(crate) async fn list(
    app: web::Data<App>,
    asker: Auth,
    path: ImagePath,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let query = Query::of(&request)?;
    let limit = page::limit(&query)?;
    let (marker, made) = start(&query)?;
    let image: ImageId = path.image()?;
    let few = if limit.is_none() && marker.is_none() {
        // While it is read there is no text yet; written, so few members are no larger than they were.
        let memory = app.memory(&asker, BATCH_MEMBERS * LARGEST_MEMBER_BYTES).await?;
        app.list_members(asker.clone(), image).await?.map(|members| (members, memory))
    } else {
        None
    };
    let ((members, more), memory) = match few {
        Some((members, memory)) => ((members, false), memory),
        None => page_of(&app, asker, image, limit, marker, made).await?,
    };
    let next = members.last().filter(|_| more).map(|last| {
        let position = position::of_member(&last.project, last.created_at);
        query.next(&format!("/v2/images/{image}/members"), last.project.as_str(), Some(&position))
    });
    list_body::list("members", members, &AfterMembers { schema: "/v2/schemas/members", next }, memory)
}

/// How many members are asked for first. Few images have more, and a list that takes memory for the most there may be waits
/// until that is free, and lets the project's other lists wait behind it.
const FIRST_MEMBERS: usize = 1_000;

/// A page of the members, whether more follow, and the memory that it takes.
async fn page_of(
    app: &App,
    asker: Auth,
    image: ImageId,
    limit: Option<usize>,
    marker: Option<ProjectId>,
    made: Option<DateTime<Utc>>,
) -> Result<((Vec<Member>, bool), Share), ApiError> {
    let wanted = limit.unwrap_or(usize::MAX).min(MEMBERS_PAGE);
    let mut most = wanted.min(FIRST_MEMBERS);
    loop {
        let memory = app.memory(&asker, memory_of(most + 1)).await?;
        let marker = marker.clone();
        let found = app
            .read_into(memory, asker.clone(), move |cx, store| {
                sharing::list(cx, store, image, Some(most), marker.as_ref(), made)
            })
            .await?;
        let ((_, more), _) = &found;
        if !more || most == wanted {
            return Ok(found);
        }
        most = wanted;
    }
}

/// What a list of so many members takes in memory, at most.
fn memory_of(members: usize) -> usize {
    OVERHEAD_BYTES + members * LARGEST_MEMBER_BYTES
}

/// The member to start after, and when its membership was made, where the position says so. A position counts beside the
/// marker that it was given for, and alone.
fn start(query: &Query) -> Result<(Option<ProjectId>, Option<DateTime<Utc>>), ApiError> {
    let marker = query.last("marker").map(|marker| {
        ProjectId::parse(marker).map_err(|_| Error::invalid("The marker must be the id of a member."))
    });
    let marker = marker.transpose()?;
    let position = query.last(MARKER_POSITION).map(position::to_member).transpose()?;
    Ok(match position {
        Some((project, made)) if marker.as_ref().is_none_or(|marker| *marker == project) => {
            (Some(project), Some(made))
        }
        Some(_) | None => (marker, None),
    })
}

/// `GET /v2/images/{image_id}/members/{member_id}`
pub(crate) async fn show(
    app: web::Data<App>,
    asker: Auth,
    path: MemberPath,
) -> Result<HttpResponse, ApiError> {
    let (image, project) = path.ids()?;
    let member = app.show_member(asker, image, project).await?;
    ok(&MemberBody::from(&member))
}

/// `PUT /v2/images/{image_id}/members/{member_id}`
pub(crate) async fn set_status(
    app: web::Data<App>,
    asker: Auth,
    path: MemberPath,
    Body(NewStatus(status)): Body<NewStatus>,
) -> Result<HttpResponse, ApiError> {
    let (image, project) = path.ids()?;
    let member = app.set_member_status(asker, image, project, status).await?;
    ok(&MemberBody::from(&member))
}

/// `DELETE /v2/images/{image_id}/members/{member_id}`: 204 without a body and so without a Content-Type.
pub(crate) async fn remove(
    app: web::Data<App>,
    asker: Auth,
    path: MemberPath,
) -> Result<HttpResponse, ApiError> {
    let (image, project) = path.ids()?;
    app.change(asker, move |cx, store| sharing::remove(cx, store, image, &project)).await?;
    Ok(HttpResponse::NoContent().finish())
}
