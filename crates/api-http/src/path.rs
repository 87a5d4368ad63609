//! What a path names: an image, and a member of it.
//!
//! Segments are taken from the path as it was sent and decoded here, once: a member id may hold slashes, dots and
//! blanks of any script.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use core_domain::{Error, error::Missing, image::ImageId, project::ProjectId};
use percent_encoding::percent_decode_str;

use crate::error::ApiError;

/// `…/images/{image_id}…`. An id that is none names no image: it is missing like any other, when it is looked for.
pub(crate) struct ImagePath(String);

/// `…/images/{image_id}/members/{member_id}`
pub(crate) struct MemberPath {
    image: ImagePath,
    member: ProjectId,
}

impl ImagePath {
    /// The image's id.
    pub(crate) fn image(&self) -> Result<ImageId, ApiError> {
        self.0.parse().map_err(|_| Error::NotFound(Missing::Image(self.0.clone())).into())
    }

    fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        segment(request, 3).map(Self)
    }
}

impl MemberPath {
    /// The ids of the image and of the member.
    pub(crate) fn ids(self) -> Result<(ImageId, ProjectId), ApiError> {
        Ok((self.image.image()?, self.member))
    }
}

/// The segment at this place, decoded; `/v2/images/X` has X at 3.
pub(crate) fn segment(request: &HttpRequest, place: usize) -> Result<String, ApiError> {
    let raw = request.uri().path().split('/').nth(place).unwrap_or_default();
    match percent_decode_str(raw).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => {
            Err(ApiError::Request("The path is not UTF-8 when decoded: percent-encode ids as UTF-8.".into()))
        }
    }
}

impl FromRequest for ImagePath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

impl FromRequest for MemberPath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(ImagePath::of(request).and_then(|image| {
            // What cannot be a member's id is no path of ours.
            let member = ProjectId::parse(&segment(request, 5)?).map_err(|_| ApiError::NoSuchPath)?;
            Ok(Self { image, member })
        }))
    }
}
