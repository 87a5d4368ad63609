//! The calls on image records.

mod attributes;
mod patch;
pub(crate) mod query;

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use core_domain::{
    catalog::{self, NewImage},
    image::Image,
    project::ProjectId,
};
use serde::Serialize;

pub(crate) use self::{
    attributes::{NewImageBody, READ_ONLY},
    patch::Patch,
};
use crate::{
    app::App,
    auth::Auth,
    body::{self, Body, Id, Time, ok},
    error::ApiError,
    page::Query,
    path::ImagePath,
    versions,
};

/// An image on the wire. What only its data could tell is null as long as there is none.
#[derive(Serialize)]
struct ImageBody {
    id: Id,
    name: Option<String>,
    status: &'static str,
    visibility: &'static str,
    owner: Option<String>,
    protected: bool,
    os_hidden: bool,
    container_format: Option<String>,
    disk_format: Option<String>,
    min_disk: i32,
    min_ram: i32,
    size: Option<u64>,
    virtual_size: Option<u64>,
    checksum: Option<String>,
    os_hash_algo: Option<String>,
    os_hash_value: Option<String>,
    created_at: Time,
    updated_at: Time,
    tags: Vec<String>,
    #[serde(flatten)]
    properties: BTreeMap<String, String>,
    #[serde(rename = "self")]
    this: String,
    file: String,
    schema: &'static str,
}

impl From<Image> for ImageBody {
    fn from(mut image: Image) -> Self {
        // None can be made; should there be one, it does not stand beside the attribute.
        image.properties.retain(|name, _| !attributes::is_taken(name));
        let this = format!("/v2/images/{}", image.id);
        Self {
            id: Id(image.id),
            name: image.name,
            status: image.status.as_str(),
            visibility: image.visibility.as_str(),
            owner: image.owner.as_ref().map(ProjectId::to_string),
            protected: image.protected,
            os_hidden: image.hidden,
            container_format: image.container_format,
            disk_format: image.disk_format,
            min_disk: image.min_disk,
            min_ram: image.min_ram,
            size: None,
            virtual_size: None,
            checksum: None,
            os_hash_algo: None,
            os_hash_value: None,
            created_at: Time(image.created_at),
            updated_at: Time(image.updated_at),
            tags: image.tags.into_iter().collect(),
            properties: image.properties,
            file: format!("{this}/file"),
            this,
            schema: "/v2/schemas/image",
        }
    }
}

#[derive(Serialize)]
struct ImagesBody {
    images: Vec<ImageBody>,
    first: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    schema: &'static str,
}

/// `GET /v2/images`
pub(crate) async fn list(
    app: web::Data<App>,
    asker: Auth,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let query = Query::of(&request)?;
    let asked = query::Asked::of(&query)?;
    let (images, next) = app
        .read(asker, move |cx, store| {
            catalog::list(cx, store, asked.marker(), |listing| Ok(asked.fill(listing)))
        })
        .await?;
    let link = |marker: Option<&str>| query.link("/v2/images", marker);
    ok(&ImagesBody {
        images: images.into_iter().map(ImageBody::from).collect(),
        first: link(None),
        next: next.map(|id| link(Some(&id.to_string()))),
        schema: "/v2/schemas/images",
    })
}

/// `POST /v2/images`
pub(crate) async fn create(
    app: web::Data<App>,
    asker: Auth,
    request: HttpRequest,
    Body(NewImageBody(new)): Body<NewImageBody>,
) -> Result<HttpResponse, ApiError> {
    let new: NewImage = new;
    let image = app.change(asker, move |cx, store| catalog::create(cx, store, new)).await?;
    let location = format!("{}/v2/images/{}", versions::base(&request)?, image.id);
    let mut created = HttpResponse::Created();
    created.insert_header((header::LOCATION, location));
    body::json(created, &ImageBody::from(image))
}

/// `GET /v2/images/{image_id}`
pub(crate) async fn show(
    app: web::Data<App>,
    asker: Auth,
    path: ImagePath,
) -> Result<HttpResponse, ApiError> {
    let id = path.image()?;
    let image = app.show_image(asker, id).await?;
    ok(&ImageBody::from(image))
}

/// `PATCH /v2/images/{image_id}`
pub(crate) async fn change(
    app: web::Data<App>,
    asker: Auth,
    path: ImagePath,
    Body(Patch(edits)): Body<Patch>,
) -> Result<HttpResponse, ApiError> {
    let id = path.image()?;
    let image = app.change(asker, move |cx, store| catalog::change(cx, store, id, &edits)).await?;
    ok(&ImageBody::from(image))
}

/// `DELETE /v2/images/{image_id}`
pub(crate) async fn delete(
    app: web::Data<App>,
    asker: Auth,
    path: ImagePath,
) -> Result<HttpResponse, ApiError> {
    let id = path.image()?;
    app.change(asker, move |cx, store| catalog::delete(cx, store, id)).await?;
    Ok(HttpResponse::NoContent().finish())
}
