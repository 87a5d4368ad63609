//! `GET /` and `GET /v3`: which versions there are, for clients that are given a URL only.

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::keystone::Identity;

/// `GET /`: 300, with the one choice also in `Location`.
pub(crate) async fn versions(identity: web::Data<Identity>) -> HttpResponse {
    HttpResponse::MultipleChoices()
        .insert_header((LOCATION, format!("{}/", identity.url)))
        .json(json!({"versions": {"values": [v3(&identity)]}}))
}

/// `GET /v3`.
pub(crate) async fn version(identity: web::Data<Identity>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"version": v3(&identity)}))
}

fn v3(identity: &Identity) -> Value {
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": format!("{}/", identity.url)}],
        "media-types": [{
            "base": "application/json",
            "type": "application/vnd.openstack.identity-v3+json",
        }],
    })
}
