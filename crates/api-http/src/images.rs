//! The calls on image records.

mod attributes;
mod patch;
pub(crate) mod query;

use std::{collections::BTreeMap, sync::Arc};

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, http::header, web};
use core_domain::{
    Context,
    catalog::{self, NewImage},
    image::Image,
    project::ProjectId,
    store::Store,
};
use serde::Serialize;

pub(crate) use self::{
    attributes::{NewImageBody, READ_ONLY},
    patch::Patch,
};
use crate::{
    app::App,
    auth::Auth,
    body::{self, Body, Id, Time},
    budget::{IMAGES_BYTES, Share, covered},
    error::ApiError,
    list_body::{self, Item},
    page::Query,
    path::ImagePath,
    position, versions,
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

impl Item for Image {
    fn memory_bytes(&self) -> usize {
        Self::memory_bytes(self)
    }

    fn write(self, json: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(json, &ImageBody::from(self))
    }
}

/// What comes after the images of a page.
#[derive(Serialize)]
struct AfterImages {
    first: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    schema: &'static str,
}

/// Where the list is.
const PATH: &str = "/v2/images";

/// `GET /v2/images`
pub(crate) async fn list(
    app: web::Data<App>,
    asker: Auth,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let query = Query::of(&request)?;
    let asked = query::Asked::of(&query)?;
    let order = asked.order();
    let memory = app.memory(&asker, IMAGES_BYTES).await?;
    let (page, memory) = app
        .read_into(memory, asker, move |cx, store| {
            let start = asked.start();
            catalog::list(cx, store, start, |listing| Ok(asked.fill(listing)))
        })
        .await?;
    let next = page.next.map(|next| {
        let position = next.position.map(|position| position::of_image(&position, &order));
        query.next(PATH, &next.marker.to_string(), position.as_deref())
    });
    let after = AfterImages { first: query.first(PATH), next, schema: "/v2/schemas/images" };
    list_body::list("images", page.images, &after, memory)
}

/// `POST /v2/images`
pub(crate) async fn create(
    app: web::Data<App>,
    asker: Auth,
    request: HttpRequest,
    Body(NewImageBody(new)): Body<NewImageBody>,
) -> Result<HttpResponse, ApiError> {
    let new: NewImage = new;
    // Its answer must not wait for memory when it is made.
    let bytes = new.memory_bytes();
    let memory = if bytes > covered(None) { Some(app.image_memory(&asker, bytes).await?) } else { None };
    let (image, memory) =
        app.change(asker, move |cx, store| Ok((catalog::create(cx, store, new)?, memory))).await?;
    let location = format!("{}/v2/images/{}", versions::base(&request)?, image.id);
    let mut created = HttpResponse::Created();
    created.insert_header((header::LOCATION, location));
    shown(created, image, memory)
}

/// `GET /v2/images/{image_id}`
pub(crate) async fn show(
    app: web::Data<App>,
    asker: Auth,
    path: ImagePath,
) -> Result<HttpResponse, ApiError> {
    let id = path.image()?;
    let mut image = app.show_image(asker.clone(), id).await?;
    let mut memory = None;
    // A large one is read again when there is memory for its answer. It may have grown meanwhile.
    while image.memory_bytes() > covered(memory.as_ref()) {
        let bytes = image.memory_bytes();
        drop((image, memory.take()));
        let share = app.image_memory(&asker, bytes).await?;
        let look = move |cx: Context<'_>, store: &dyn Store| catalog::show(cx, store, id);
        let (again, share) = app.read_into(share, asker.clone(), look).await?;
        (image, memory) = (again, Some(share));
    }
    shown(HttpResponse::Ok(), image, memory)
}

/// `PATCH /v2/images/{image_id}`
pub(crate) async fn change(
    app: web::Data<App>,
    asker: Auth,
    path: ImagePath,
    Body(Patch(edits)): Body<Patch>,
) -> Result<HttpResponse, ApiError> {
    let id = path.image()?;
    let edits = Arc::new(edits);
    let mut memory = None;
    // A small request may be about a large image. Nothing is changed before there is memory for the answer.
    loop {
        let (edits, most) = (Arc::clone(&edits), covered(memory.as_ref()));
        let change = move |cx: Context<'_>, store: &dyn Store| {
            catalog::change_within(cx, store, id, &edits, most).map(|done| (done, memory))
        };
        match app.change(asker.clone(), change).await? {
            (Ok(image), memory) => return shown(HttpResponse::Ok(), image, memory),
            (Err(larger), held) => {
                drop(held);
                memory = Some(app.image_memory(&asker, larger.bytes).await?);
            }
        }
    }
}

/// An answer with this image: a large one holds its memory until it is sent.
fn shown(
    response: HttpResponseBuilder,
    image: Image,
    memory: Option<Share>,
) -> Result<HttpResponse, ApiError> {
    match memory {
        Some(memory) => list_body::one(response, image, memory),
        None => body::json(response, &ImageBody::from(image)),
    }
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
