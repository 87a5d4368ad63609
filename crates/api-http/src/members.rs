//! The five member calls.

use actix_web::{HttpRequest, HttpResponse, web};
use core_domain::{
    Error,
    image::ImageId,
    member::{Member, MemberStatus},
    project::ProjectId,
    sharing,
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    app::App,
    auth::Auth,
    body::{Body, FromJson, Id, Time, ok},
    error::ApiError,
    page::{self, Query},
    path::{ImagePath, MemberPath},
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

#[derive(Serialize)]
struct MembersBody<'a> {
    members: Vec<MemberBody<'a>>,
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
    let marker = query.last("marker").map(|marker| {
        ProjectId::parse(marker).map_err(|_| Error::invalid("The marker must be the id of a member."))
    });
    let marker = marker.transpose()?;
    let image: ImageId = path.image()?;
    let (members, more) = if limit.is_none() && marker.is_none() {
        (app.list_members(asker, image).await?, false)
    } else {
        app.read(asker, move |cx, store| sharing::list(cx, store, image, limit, marker.as_ref())).await?
    };
    let next = members
        .last()
        .filter(|_| more)
        .map(|last| query.link(&format!("/v2/images/{image}/members"), Some(last.project.as_str())));
    ok(&MembersBody {
        members: members.iter().map(MemberBody::from).collect(),
        schema: "/v2/schemas/members",
        next,
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
