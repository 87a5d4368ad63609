//! Headers that keep browsers and caches from doing harm with answers. Clients of the API take no notice of them.

use actix_web::{
    dev::ServiceResponse,
    http::header::{CACHE_CONTROL, HeaderValue, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS},
};

use crate::edge::Handle;

/// A year, as is usual; not for other names under ours, which are not ours to bind.
const HTTPS_ONLY: &str = "max-age=31536000";

/// Adds them to an answer.
pub(crate) fn protect<B>(response: &mut ServiceResponse<B>) {
    let per_caller = response.request().uri().path().starts_with("/v2");
    let over_tls = response.request().conn_data::<Handle>().is_some_and(Handle::is_secure);
    let headers = response.headers_mut();
    // A member's id or a tag is text that somebody else chose: it is never to be taken for a page or a script.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Each caller has answers of its own, which end with a revoked share: nothing between may keep them.
    if per_caller {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    // Only where we speak TLS ourselves: who ends it in front of us says so there.
    if over_tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HTTPS_ONLY));
    }
}
