//! Calls from web pages of other origins, where `cors.allowed_origins` names them.

use actix_cors::Cors;
use actix_web::{
    dev::ServiceResponse,
    http::{
        Method, StatusCode,
        header::{
            ACCEPT, ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
        },
    },
    middleware::Condition,
};

use crate::{auth::TOKEN, request_id, routes};

/// For how long a browser may remember what it was told, in seconds.
const REMEMBERED: usize = 3600;

/// What answers preflight requests, and tells browsers which answers a page may read. Without origins it does nothing.
pub(crate) fn cors(origins: &[String]) -> Condition<Cors> {
    let methods = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    let cors = Cors::default()
        .allowed_methods(methods)
        .allowed_headers([ACCEPT, CONTENT_TYPE, TOKEN, request_id::HEADER])
        .expose_headers([
            ALLOW,
            HeaderName::from_static("accept-patch"),
            LOCATION,
            RETRY_AFTER,
            WWW_AUTHENTICATE,
            request_id::HEADER,
        ])
        .max_age(REMEMBERED);
    let cors = origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin));
    Condition::new(!origins.is_empty(), cors)
}

/// Gives a preflight request the answer of every `OPTIONS`: 204 with the methods of the path. actix-cors says 200, which no
/// other `OPTIONS` is answered with.
pub(crate) fn answer_preflight<B>(response: &mut ServiceResponse<B>) {
    if *response.request().method() != Method::OPTIONS || response.status() != StatusCode::OK {
        return;
    }
    if let Some(allow) = routes::allowed(response.request().match_info().unprocessed()) {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    }
    response.response_mut().head_mut().status = StatusCode::NO_CONTENT;
}
