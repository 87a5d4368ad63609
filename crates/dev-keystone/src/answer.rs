//! The headers that every answer has.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue, VARY, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, web};
use uuid::Uuid;

use crate::keystone::Identity;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// Adds `X-Openstack-Request-Id` (always a new one), `Vary`, and to a 401 where to authenticate.
pub(crate) fn finish<B>(response: &mut HttpResponse<B>, identity: &web::Data<Identity>) {
    let unauthenticated = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("X-Auth-Token"));
    let texts = [
        (REQUEST_ID, Some(format!("req-{}", Uuid::new_v4()))),
        (WWW_AUTHENTICATE, unauthenticated.then(|| format!("Keystone uri=\"{}\"", identity.url))),
    ];
    for (name, text) in texts {
        if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(name, value);
        }
    }
}
