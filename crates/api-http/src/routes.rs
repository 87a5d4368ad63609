//! Every path and method of the API, on one page. What is not in [`TABLE`] does not exist, and the access matrix in
//! `tests/` has a row for each line of it.

use std::sync::LazyLock;

use actix_web::{
    HttpRequest, HttpResponse, Resource,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ResourceDef, ServiceRequest, ServiceResponse},
    http::{Method, header::ALLOW},
    middleware::{Next, from_fn},
    web,
};

use crate::{auth, error::ApiError, health, history, images, members, openapi, schemas, tags, versions};

/// One line of the table.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with names in braces for what varies.
    pub path: &'static str,
    /// The methods of this path, for `Allow`.
    pub allow: &'static str,
    handler: fn() -> actix_web::Route,
}

impl Route {
    /// Whether the call needs a token: all of `/v2` do.
    #[must_use]
    pub fn needs_token(&self) -> bool {
        self.path.starts_with(V2)
    }

    /// Whether its path goes on after an image's id, so that this may be blank.
    pub(crate) fn names_image_inside(&self) -> bool {
        self.path.contains(&format!("{IMAGE_ID}/"))
    }
}

/// Goes with a request from the moment its path was found in the table, so that nobody has to search again for what to
/// call it in the log and among the figures.
struct Matched(&'static str);

/// The path of the table that a request was sent to.
pub(crate) fn matched(request: &HttpRequest) -> Option<&'static str> {
    request.app_data::<Matched>().map(|matched| matched.0)
}

const V2: &str = "/v2";
const IMAGES: &str = "/v2/images";
const IMAGE: &str = "/v2/images/{image_id}";
const MEMBERS: &str = "/v2/images/{image_id}/members";
const MEMBER: &str = "/v2/images/{image_id}/members/{member_id}";
const HISTORY: &str = "/v2/images/{image_id}/members/{member_id}/history";
/// Where a path names its image.
const IMAGE_ID: &str = "{image_id}";

/// The table.
#[rustfmt::skip]
pub static TABLE: [Route; 28] = [
    Route { method: Method::GET,    path: "/",            allow: "GET, HEAD", handler: || web::get().to(versions::choices) },
    Route { method: Method::HEAD,   path: "/",            allow: "GET, HEAD", handler: || web::head().to(versions::choices) },
    Route { method: Method::GET,    path: "/versions",    allow: "GET, HEAD", handler: || web::get().to(versions::list) },
    Route { method: Method::HEAD,   path: "/versions",    allow: "GET, HEAD", handler: || web::head().to(versions::list) },
    Route { method: Method::GET,    path: "/openapi.json", allow: "GET", handler: || web::get().to(openapi::show) },
    Route { method: Method::GET,    path: "/healthcheck", allow: "GET, HEAD", handler: || web::get().to(health::healthcheck) },
    Route { method: Method::HEAD,   path: "/healthcheck", allow: "GET, HEAD", handler: || web::head().to(health::healthcheck) },
    Route { method: Method::GET,    path: "/livez",       allow: "GET, HEAD", handler: || web::get().to(health::livez) },
    Route { method: Method::HEAD,   path: "/livez",       allow: "GET, HEAD", handler: || web::head().to(health::livez) },
    Route { method: Method::GET,    path: "/readyz",      allow: "GET, HEAD", handler: || web::get().to(health::readyz) },
    Route { method: Method::HEAD,   path: "/readyz",      allow: "GET, HEAD", handler: || web::head().to(health::readyz) },

    Route { method: Method::GET,    path: IMAGES,  allow: "GET, POST",          handler: || web::get().to(images::list) },
    Route { method: Method::POST,   path: IMAGES,  allow: "GET, POST",          handler: || web::post().to(images::create) },
    Route { method: Method::GET,    path: IMAGE,   allow: "GET, PATCH, DELETE", handler: || web::get().to(images::show) },
    Route { method: Method::PATCH,  path: IMAGE,   allow: "GET, PATCH, DELETE", handler: || web::patch().to(images::change) },
    Route { method: Method::DELETE, path: IMAGE,   allow: "GET, PATCH, DELETE", handler: || web::delete().to(images::delete) },

    Route { method: Method::GET,    path: MEMBERS, allow: "GET, POST",          handler: || web::get().to(members::list) },
    Route { method: Method::POST,   path: MEMBERS, allow: "GET, POST",          handler: || web::post().to(members::add) },
    Route { method: Method::GET,    path: MEMBER,  allow: "GET, PUT, DELETE",   handler: || web::get().to(members::show) },
    Route { method: Method::PUT,    path: MEMBER,  allow: "GET, PUT, DELETE",   handler: || web::put().to(members::set_status) },
    Route { method: Method::DELETE, path: MEMBER,  allow: "GET, PUT, DELETE",   handler: || web::delete().to(members::remove) },
    Route { method: Method::GET,    path: HISTORY, allow: "GET",                handler: || web::get().to(history::show) },

    Route { method: Method::PUT,    path: "/v2/images/{image_id}/tags/{tag}", allow: "PUT, DELETE", handler: || web::put().to(tags::add) },
    Route { method: Method::DELETE, path: "/v2/images/{image_id}/tags/{tag}", allow: "PUT, DELETE", handler: || web::delete().to(tags::remove) },

    Route { method: Method::GET,    path: "/v2/schemas/image",   allow: "GET", handler: || web::get().to(schemas::image) },
    Route { method: Method::GET,    path: "/v2/schemas/images",  allow: "GET", handler: || web::get().to(schemas::images) },
    Route { method: Method::GET,    path: "/v2/schemas/member",  allow: "GET", handler: || web::get().to(schemas::member) },
    Route { method: Method::GET,    path: "/v2/schemas/members", allow: "GET", handler: || web::get().to(schemas::members) },
];

/// Puts the table to work. Under `/v2` the token comes first, then the path (404), then the method (405).
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    // What names no image is not tried against the patterns of what does: each is a regular expression.
    let (mut v2, mut images) = (web::scope(V2), web::scope("/images"));
    for path in paths() {
        if let Some(rest) = path.strip_prefix(IMAGES).filter(|rest| !rest.is_empty()) {
            images = images.service(resource(path, rest));
            if rest.contains(&format!("{IMAGE_ID}/")) {
                images = images.service(blank_image(path, &rest.replace(IMAGE_ID, "")));
            }
        } else if let Some(rest) = path.strip_prefix(V2) {
            v2 = v2.service(resource(path, rest));
        } else {
            config.service(resource(path, path));
        }
    }
    let v2 = v2.service(images.default_service(web::to(no_such_path)));
    config.service(v2.default_service(web::to(no_such_path)).wrap(from_fn(auth::authenticate)));
    config.default_service(web::to(no_such_path));
}

/// Each path once.
fn paths() -> Vec<&'static str> {
    let mut paths: Vec<&'static str> = Vec::new();
    for route in &TABLE {
        if !paths.contains(&route.path) {
            paths.push(route.path);
        }
    }
    paths
}

fn of(path: &str) -> impl Iterator<Item = &'static Route> {
    TABLE.iter().filter(move |route| route.path == path)
}

fn allow(path: &str) -> &'static str {
    of(path).next().map_or("", |route| route.allow)
}

fn resource(path: &'static str, pattern: &str) -> Resource {
    let allow = allow(path);
    let resource = web::resource(pattern).app_data(Matched(path));
    of(path)
        .fold(resource, |resource, route| resource.route((route.handler)()))
        .default_service(web::to(move || async move { Err::<HttpResponse, _>(ApiError::Method(allow)) }))
}

/// `/v2/images//members/P` names no image: whatever the method, it is not allowed (sharing API, section 3).
fn blank_image(path: &'static str, pattern: &str) -> Resource {
    let allow = allow(path);
    web::resource(pattern)
        .app_data(Matched(path))
        .default_service(web::to(move || async move { Err::<HttpResponse, _>(ApiError::BlankImage(allow)) }))
}

/// The methods of a path of the table, as a request has it.
pub(crate) fn allowed(path: &str) -> Option<&'static str> {
    static PATHS: LazyLock<Vec<(ResourceDef, &str)>> =
        LazyLock::new(|| paths().into_iter().map(|path| (ResourceDef::new(path), allow(path))).collect());
    PATHS.iter().find(|(known, _)| known.is_match(path)).map(|(_, allow)| *allow)
}

/// Answers `OPTIONS` for every path of the table, before the token is looked at: 204 with the methods of the path.
pub(crate) async fn answer_options<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, actix_web::Error> {
    if *request.method() == Method::OPTIONS
        && let Some(allow) = allowed(request.match_info().unprocessed())
    {
        let answer = HttpResponse::NoContent().insert_header((ALLOW, allow)).finish();
        return Ok(request.into_response(answer).map_into_right_body());
    }
    next.call(request).await.map(ServiceResponse::map_into_left_body)
}

async fn no_such_path() -> Result<HttpResponse, ApiError> {
    Err(ApiError::NoSuchPath)
}

#[cfg(test)]
mod tests {
    use super::TABLE;

    #[test]
    fn every_line_allows_exactly_the_methods_of_its_path() {
        for route in &TABLE {
            let methods: Vec<_> = TABLE
                .iter()
                .filter(|other| other.path == route.path)
                .map(|other| other.method.as_str())
                .collect();
            assert_eq!(route.allow, methods.join(", "), "{}", route.path);
        }
    }
}
