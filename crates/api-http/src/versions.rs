//! Which versions of the API there are, and what a version in a path means.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde_json::{Value, json};

use crate::{app::App, body, edge::Handle, error::ApiError};

/// The minor versions whose calls are built, newest first: 2.7 hidden images, 2.5 shared and community images, 2.1
/// members, 2.0 image records. Those between and above them brought calls that are not here.
const MINORS: [&str; 4] = ["v2.7", "v2.5", "v2.1", "v2.0"];

/// `GET /`: 300, since the client has to choose.
pub(crate) async fn choices(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    body::json(HttpResponse::MultipleChoices(), &document(&request)?)
}

/// `GET /versions`: the same as a plain answer.
pub(crate) async fn list(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    body::ok(&document(&request)?)
}

fn document(request: &HttpRequest) -> Result<Value, ApiError> {
    let href = format!("{}/v2/", base(request)?);
    let version = |(place, id): (usize, &&str)| {
        let status = if place == 0 { "CURRENT" } else { "SUPPORTED" };
        json!({"id": id, "status": status, "links": [{"rel": "self", "href": href}]})
    };
    Ok(json!({"versions": MINORS.iter().enumerate().map(version).collect::<Vec<_>>()}))
}

/// Where clients reach this service: as configured, else as this client did.
pub(crate) fn base(request: &HttpRequest) -> Result<String, ApiError> {
    let app: &web::Data<App> = App::of(request)?;
    Ok(match &app.settings.public_endpoint {
        Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
        None => {
            let is_secure = request.conn_data::<Handle>().is_some_and(Handle::is_secure);
            format!("{}://{}", if is_secure { "https" } else { "http" }, host(request))
        }
    })
}

/// The host this client asked, not one that it says another was asked for (`Forwarded`, `X-Forwarded-Host`): who stands
/// in front of the service says so by `public_endpoint`.
fn host(request: &HttpRequest) -> String {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let named = named.filter(|host| !host.is_empty()).map(str::to_owned);
    // HTTP/1.0 has no Host: then it is the address that this client reached.
    let reached = || request.conn_data::<Handle>().and_then(|connection| connection.local_address());
    named.or_else(reached).unwrap_or_else(|| request.app_config().host().to_owned())
}

/// What is left of a path after its version, where this is `/v2.N` for a minor version that is announced.
pub(crate) fn after_minor(path: &str) -> Option<&str> {
    let rest = path.strip_prefix('/')?;
    let minor = rest.split('/').next().filter(|first| MINORS.contains(first))?;
    rest.strip_prefix(minor)
}
