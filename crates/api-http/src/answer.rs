//! Around every request: its id, the version in its path, the form of its errors, its line in the log, its figures.

use std::time::{Duration, Instant};

use actix_cors::CorsError;
use actix_web::{
    HttpMessage, HttpRequest,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType,
        header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, VARY},
    },
    middleware::Next,
    web,
};

use crate::{
    app::App,
    auth::Auth,
    cors::answer_preflight,
    edge::{Handle, Tracked},
    error::ApiError,
    metrics::known_method,
    protection::protect,
    request_id::{self, RequestId},
    routes::matched,
    target,
    times::reckoned,
};

pub(crate) async fn answer<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<Tracked<EitherBody<B, BoxBody>>>, actix_web::Error> {
    let started = Instant::now();
    let id = RequestId::new(request.headers());
    let id_header = HeaderValue::from_str(&id.local);
    request.extensions_mut().insert(id);
    let connection = request.request().conn_data::<Handle>().cloned();
    let has_body = has_body(&request);
    let answering = connection.clone().map(|connection| connection.answer(has_body));
    let admitted = target::check_length(request.uri());
    if admitted.is_ok() {
        target::normalize(&mut request);
    }
    let admitted = admitted.and_then(|()| may_enter(&request, connection.as_ref()));

    // Whoever refuses below answers, with the error in the answer; the request itself goes with it and must not be
    // kept here meanwhile: actix routes requests that nobody else holds.
    let response = match admitted {
        Ok(()) => reckoned(next.call(request)).await?.map_into_left_body(),
        Err(error) => request.error_response(error).map_into_right_body(),
    };
    let error = response.response().error();
    let of_cors = error
        .and_then(|error| error.as_error::<CorsError>())
        .map(|error| ApiError::Request(format!("{error}.")));
    let mut response = match of_cors.as_ref().or_else(|| error?.as_error::<ApiError>()) {
        Some(error) => {
            let mut rendered = error.response(response.request().headers());
            keep_cors(response.headers(), rendered.headers_mut());
            log_cause(response.request(), error);
            response.into_response(rendered).map_into_right_body()
        }
        None => response,
    };
    answer_preflight(&mut response);
    if let Ok(id) = id_header {
        response.headers_mut().insert(request_id::HEADER, id);
    }
    protect(&mut response);
    let app = response.request().app_data::<web::Data<App>>();
    let is_ending = connection.is_some_and(|connection| connection.is_ending());
    if is_ending || app.is_some_and(|app| app.is_leaving()) {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    note(response.request(), response.status().as_u16(), started.elapsed());
    Ok(response.map_body(|_, body| Tracked::new(body, answering)))
}

/// Whether a body comes with this request.
fn has_body(request: &ServiceRequest) -> bool {
    let length = request.headers().get(CONTENT_LENGTH);
    length.is_some_and(|length| length.as_bytes() != b"0")
        || request.headers().contains_key(TRANSFER_ENCODING)
}

/// Beyond the limit of connections only what needs no token is answered: probes, above all.
fn may_enter(request: &ServiceRequest, connection: Option<&Handle>) -> Result<(), ApiError> {
    let is_surplus = connection.is_some_and(|connection| connection.is_surplus());
    if is_surplus && request.path().starts_with("/v2") {
        return Err(ApiError::Overloaded("The server has as many connections as it can hold"));
    }
    Ok(())
}

/// What a browser is told of an answer holds for its other form as well.
fn keep_cors(from: &HeaderMap, to: &mut HeaderMap) {
    let of_cors = |name: &HeaderName| name.as_str().starts_with("access-control-") || *name == VARY;
    for (name, value) in from.iter().filter(|(name, _)| of_cors(name)) {
        to.append(name.clone(), value.clone());
    }
}

/// One line a request, and its figures. The query is left out: it may name things that are nobody's business.
fn note(request: &HttpRequest, status: u16, took: Duration) {
    let id = RequestId::of(request);
    let route = matched(request).unwrap_or("unmatched");
    let app = request.app_data::<web::Data<App>>();
    let client = app.and_then(|app| app.settings.trusted_proxies.client(request));
    let method = known_method(request.method().as_str());
    if let Some(app) = app {
        app.metrics.answered(method, route, status, took);
    }
    let extensions = request.extensions();
    let caller = extensions.get::<Auth>().map(|auth| auth.caller.as_ref());
    tracing::info!(
        target: "vitrine::request",
        request_id = &*id.local,
        global_request_id = id.global.as_deref(),
        method,
        route,
        path = &*target::logged(request.uri().path()),
        status,
        duration_ms = milliseconds(took),
        client = client.map(tracing::field::display),
        project = caller.and_then(|caller| caller.project.as_ref()).map(tracing::field::display),
        user = caller.map(|caller| tracing::field::display(&caller.user)),
        "answered"
    );
}

/// To the microsecond.
fn milliseconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1e3
}

/// What the client must not see and the operator must: the chain of causes of a 5xx.
fn log_cause(request: &HttpRequest, error: &ApiError) {
    let Some(cause) = error.cause() else { return };
    let mut chain = cause.to_string();
    let mut deeper = cause.source();
    while let Some(cause) = deeper {
        chain.push_str(": ");
        chain.push_str(&cause.to_string());
        deeper = cause.source();
    }
    tracing::error!(target: "vitrine::request", request_id = &*RequestId::of(request).local, cause = chain, "{error}");
}
