//! Who asks: before anything else under `/v2`, the token.

use std::{
    future::{Ready, ready},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{Method, header::HeaderName},
    middleware::Next,
    web,
};
use core_domain::{
    caller::Caller,
    tokens::{Intent, Shown, TokenError},
};
use tokio::time::timeout_at;

use crate::{app::App, error::ApiError, request_id::RequestId};

/// The header that carries the token.
pub(crate) const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
/// The header that carries the token of a service that asks for somebody.
const SERVICE_TOKEN: HeaderName = HeaderName::from_static("x-service-token");

/// Who asks, vouched for, and in which request. No other header says who a caller is.
#[derive(Clone)]
pub(crate) struct Auth {
    pub(crate) caller: Arc<Caller>,
    /// Its id, as the answer names it.
    pub(crate) request: Arc<str>,
}

/// Lets a request under `/v2` pass if somebody vouches for its bearer, and if its project does not ask too often: 401, 503
/// and 429 come before 404 and 405.
pub(crate) async fn authenticate<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, actix_web::Error> {
    let admitted = vouched_for(request.request()).await.and_then(|caller| {
        let may_ask = App::of(request.request())?.takes_one_more(&caller);
        // Who was refused for asking too often is named in the log.
        let id = RequestId::of(request.request()).local;
        request.extensions_mut().insert(Auth { caller, request: id });
        may_ask
    });
    match admitted {
        Ok(()) => next.call(request).await.map(ServiceResponse::map_into_left_body),
        Err(error) => Ok(request.error_response(error).map_into_right_body()),
    }
}

async fn vouched_for(request: &HttpRequest) -> Result<Arc<Caller>, ApiError> {
    let app = App::of(request)?;
    let id = RequestId::of(request);
    let method = request.method();
    let intent = if matches!(*method, Method::GET | Method::HEAD) { Intent::Look } else { Intent::Change };
    let verdict = match (header(request, &TOKEN), header(request, &SERVICE_TOKEN)) {
        (Ok(Some(token)), Ok(service_token)) => {
            let peer = app.settings.trusted_proxies.client(request);
            let (method, path, request) = (method.as_str(), request.path(), id.handed_on());
            let shown = Shown { token, service_token, intent, method, path, request, peer };
            let verdict = timeout_at(app.times().answer, app.tokens.validate(shown)).await;
            let again_in = Duration::from_secs(1);
            verdict.unwrap_or_else(|late| Err(TokenError::Unavailable { source: Box::new(late), again_in }))
        }
        _ => Err(TokenError::Rejected),
    };
    verdict.map_err(|error| ApiError::Token(error, app.settings.identity_uri.clone()))
}

/// The value of a header, if there is one that is not blank; what is no text is nobody's token.
fn header<'a>(request: &'a HttpRequest, name: &HeaderName) -> Result<Option<&'a str>, NotText> {
    let Some(value) = request.headers().get(name) else { return Ok(None) };
    let text = value.to_str().map_err(|_| NotText)?.trim();
    Ok((!text.is_empty()).then_some(text))
}

/// A header with other letters than ASCII's.
struct NotText;

impl App {
    /// The application behind a request.
    pub(crate) fn of(request: &HttpRequest) -> Result<&web::Data<Self>, ApiError> {
        request.app_data::<web::Data<Self>>().ok_or_else(|| {
            ApiError::Domain(core_domain::Error::Internal("the application has no data".into()))
        })
    }
}

impl FromRequest for Auth {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Self>().cloned().ok_or_else(|| {
            ApiError::Domain(core_domain::Error::Internal("a route with a caller outside /v2".into()))
        }))
    }
}
