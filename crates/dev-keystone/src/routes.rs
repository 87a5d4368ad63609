//! The URL table.

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::web::{self, ServiceConfig, resource};

use crate::{auth, catalog, discovery, domains, projects, revocations, users};

/// The largest body taken, in bytes, as oslo.middleware's `max_request_body_size`.
const BODY_LIMIT: usize = 114_688;

/// Every URL that is served. Another method on one of them is 405 with `Allow`; any other URL is 404 in HTML, as the
/// framework below Keystone answers it.
pub(crate) fn configure(config: &mut ServiceConfig) {
    config
        .app_data(web::PayloadConfig::new(BODY_LIMIT))
        .service(resource("/").get(discovery::versions))
        .service(resource("/v3").get(discovery::version))
        .service(resource("/v3/").get(discovery::version))
        .service(
            resource("/v3/auth/tokens")
                .post(auth::issue)
                .get(auth::validate)
                .head(auth::check)
                .delete(auth::revoke),
        )
        .service(resource("/v3/OS-REVOKE/events").get(revocations::events))
        .service(resource("/v3/auth/catalog").get(catalog::of_token))
        .service(resource("/v3/auth/projects").get(projects::of_caller))
        .service(resource("/v3/projects").get(projects::list))
        .service(resource("/v3/projects/{id}").get(projects::show))
        .service(resource("/v3/users").get(users::list))
        .service(resource("/v3/users/{id}").get(users::show))
        .service(resource("/v3/users/{id}/projects").get(projects::of_user))
        .service(resource("/v3/domains").get(domains::list))
        .service(resource("/v3/domains/{id}").get(domains::show))
        .service(resource("/v3/services").get(catalog::services))
        .service(resource("/v3/services/{id}").get(catalog::service))
        .service(resource("/v3/endpoints").get(catalog::endpoints))
        .service(resource("/v3/endpoints/{id}").get(catalog::endpoint))
        .default_service(web::to(not_served));
}

async fn not_served() -> HttpResponse {
    HttpResponse::NotFound()
        .content_type(ContentType::html())
        .body("<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n")
}
