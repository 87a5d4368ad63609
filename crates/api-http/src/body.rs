//! Bodies: read within limits, refused in the order media type (415), size (413), form (400).

use std::{future::Future, pin::Pin};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest, HttpResponse,
    dev::Payload,
    http::header,
    rt::time::{Instant, timeout},
    web::{self, BytesMut},
};
use chrono::{DateTime, SecondsFormat, Utc};
use core_domain::image::ImageId;
use futures_util::StreamExt;
use serde::{Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    app::App,
    auth::Auth,
    edge::{BodyRoom, Handle},
    error::ApiError,
    numbers::put_within_range,
    parsed_size::parsed_size,
    times::put_off,
};

/// A JSON body, read into what a handler needs of it.
pub(crate) struct Body<T>(pub(crate) T);

/// What can be read from a JSON body.
pub(crate) trait FromJson: Sized {
    /// Which media types carry it.
    const MEDIA: Media = Media::Json;

    /// Reads it; the error says what would be right.
    fn from_json(body: Value) -> Result<Self, ApiError>;

    /// As above, where the media type makes a difference.
    fn from_json_as(_media_type: &str, body: Value) -> Result<Self, ApiError> {
        Self::from_json(body)
    }
}

/// Families of media types.
#[derive(Clone, Copy)]
pub(crate) enum Media {
    /// JSON by any of the names under which clients send it.
    Json,
    /// The JSON patches of images.
    ImagePatch,
}

/// `curl -d` calls everything a form, and one of the sources' examples sends JSON so.
const JSON_TYPES: [&str; 2] = ["application/json", "application/x-www-form-urlencoded"];
/// The two dialects of image patches.
pub(crate) const PATCH_TYPES: [&str; 2] =
    ["application/openstack-images-v2.1-json-patch", "application/openstack-images-v2.0-json-patch"];

impl Media {
    fn accepts(self, media_type: &str) -> Result<(), ApiError> {
        let fits = |types: &[&str]| types.iter().any(|fit| media_type.eq_ignore_ascii_case(fit));
        match self {
            Self::Json if media_type.is_empty() || fits(&JSON_TYPES) => Ok(()),
            Self::Json => Err(ApiError::MediaType("application/json")),
            Self::ImagePatch if fits(&PATCH_TYPES) => Ok(()),
            Self::ImagePatch => Err(ApiError::PatchMediaType(
                "application/openstack-images-v2.1-json-patch, application/openstack-images-v2.0-json-patch",
            )),
        }
    }
}

/// What of an oversized body is read and thrown away, so that the connection stays usable: this many times the limit.
const DRAINED: usize = 16;

/// A body and what is made of it may take so many times the limit of bodies; see [`parsed_size`].
const PARSED: usize = 4;
/// A limit that is lower counts as this much there: it must not refuse the few values of small bodies.
const LEAST_LIMIT: usize = 256 << 10;

/// Bytes that a body of at most `limit` bytes and what is made of it may take together.
fn most_parsed_bytes(limit: usize) -> usize {
    limit.max(LEAST_LIMIT).saturating_mul(PARSED)
}

/// The least [`crate::Edge::body_buffer_bytes`] with which any body of at most so many bytes finds room: a project gets half.
#[must_use]
pub fn least_body_buffer(body_bytes: usize) -> usize {
    most_parsed_bytes(body_bytes).saturating_mul(2)
}

impl<T: FromJson + 'static> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            let app = App::of(&request)?;
            let limit = app.settings.body_bytes;
            let began = Instant::now();
            let project = request.extensions().get::<Auth>().and_then(|auth| auth.caller.project.clone());
            let mut room = app.bodies.begin(project)?;
            let connection = request.conn_data::<Handle>();
            let read = timeout(app.settings.deadline, read(payload, limit, connection, &mut room)).await;
            put_off(began.elapsed());
            let bytes = read.map_err(|_| ApiError::SlowBody)??;
            let media_type = media_type(&request);
            if bytes.as_ref().is_none_or(|bytes| !bytes.is_empty()) {
                T::MEDIA.accepts(media_type)?;
                if is_encoded(&request) {
                    return Err(ApiError::MediaType("the body as it is, without a Content-Encoding"));
                }
            }
            let mut bytes = bytes.ok_or(ApiError::TooLarge(limit))?;
            let (size, most) = (parsed_size(&bytes), most_parsed_bytes(limit));
            if size > most {
                return Err(ApiError::TooManyValues(most));
            }
            // What is made of it is held until the request is answered.
            room.complete(size)?;
            let body = parse(media_type, &mut bytes).map(Body)?;
            request.extensions_mut().insert(room);
            Ok(body)
        })
    }
}

/// Reads a whole body of a media type that fits.
pub(crate) fn parse<T: FromJson>(media_type: &str, bytes: &mut [u8]) -> Result<T, ApiError> {
    if bytes.is_empty() {
        return Err(ApiError::Request("Body expected in request.".into()));
    }
    put_within_range(bytes);
    let body = serde_json::from_slice(bytes)
        .map_err(|error| ApiError::Request(format!("Malformed JSON in request body: {error}.")))?;
    T::from_json_as(media_type, body)
}

/// Whether the body is compressed or the like; nobody here undoes that.
fn is_encoded(request: &HttpRequest) -> bool {
    request
        .headers()
        .get_all(header::CONTENT_ENCODING)
        .any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// The media type without its parameters; empty if none is given.
fn media_type(request: &HttpRequest) -> &str {
    let value =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// The whole body; `None` if it is larger than `limit`.
async fn read(
    mut payload: Payload,
    limit: usize,
    connection: Option<&Handle>,
    room: &mut BodyRoom,
) -> Result<Option<BytesMut>, ApiError> {
    let mut bytes = BytesMut::new();
    let mut size = 0_usize;
    while let Some(chunk) = payload.next().await {
        if let Some(connection) = connection {
            connection.read_on();
        }
        let chunk =
            chunk.map_err(|error| ApiError::Request(format!("The body could not be read: {error}.")))?;
        size = size.saturating_add(chunk.len());
        if size <= limit {
            room.receive(chunk.len())?;
            bytes.extend_from_slice(&chunk);
        } else if size > limit.saturating_mul(DRAINED) {
            return Ok(None);
        }
    }
    if let Some(connection) = connection {
        connection.body_was_read();
    }
    Ok((size <= limit).then_some(bytes))
}

/// An answer with a JSON body.
pub(crate) fn json<T: Serialize>(
    mut response: actix_web::HttpResponseBuilder,
    body: &T,
) -> Result<HttpResponse, ApiError> {
    let mut bytes = Vec::with_capacity(512);
    serde_json::to_writer(&mut bytes, body)
        .map_err(|error| ApiError::Domain(core_domain::Error::Internal(Box::new(error))))?;
    Ok(response
        .insert_header((header::CONTENT_TYPE, "application/json; charset=UTF-8"))
        .body(web::Bytes::from(bytes)))
}

/// `200 OK` with a JSON body.
pub(crate) fn ok<T: Serialize>(body: &T) -> Result<HttpResponse, ApiError> {
    json(HttpResponse::Ok(), body)
}

/// A time as the API writes it: whole seconds, UTC.
pub(crate) struct Time(pub(crate) DateTime<Utc>);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

/// An image's id as the API writes it.
pub(crate) struct Id(pub(crate) ImageId);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.uuid().hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}
