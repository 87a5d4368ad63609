//! `GET /openapi.json`: the API as an OpenAPI 3.1 document, for tools and for people. Needs no token, as the versions do
//! not, and names no host: paths are relative to where the document was found.
//!
//! Paths and methods are those of [`crate::routes::TABLE`]; what a call takes and answers is described in [`operation`];
//! which refusals are possible follows from the order in which requests are judged (`docs/status-codes.md`).

mod operation;
mod schema;

use std::sync::LazyLock;

use actix_web::{HttpResponse, http::StatusCode};
use serde_json::{Map, Value, json};

use self::operation::{Answer, Operation, Takes};
use crate::{
    body::PATCH_TYPES,
    error::ApiError,
    routes::{Route, TABLE},
};

static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// `GET /openapi.json`
pub(crate) async fn show() -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().insert_header(("Content-Type", "application/json")).body(DOCUMENT.as_str()))
}

/// Everything that a request under `/v2` may be refused with, whatever it asks for.
const OF_ALL_UNDER_V2: [u16; 6] = [401, 414, 429, 431, 500, 503];
/// What reading a body may end with.
const OF_BODIES: [u16; 4] = [400, 408, 413, 415];

fn document() -> Value {
    let mut paths = Map::new();
    for route in &TABLE {
        // A line without a description is left out, and then the test of this crate fails.
        let Some(operation) = operation::of(route) else { continue };
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = described(route, &operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Vitrine: image records and image members, the OpenStack Image API v2",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schema::all(),
            "parameters": operation::parameters(),
            "headers": headers(),
            "securitySchemes": {"token": {
                "type": "apiKey", "in": "header", "name": "X-Auth-Token", "description": "A token of Keystone's",
            }},
        },
    })
}

fn described(route: &Route, operation: &Operation) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": responses(route, operation),
        "security": [],
    });
    if route.needs_token() {
        described["security"] = json!([{"token": []}]);
    }
    let named: Vec<&str> = in_path(route).chain(operation.query.iter().copied()).collect();
    if !named.is_empty() {
        let parameters: Vec<Value> = named.into_iter().map(|name| to("parameters", name)).collect();
        described["parameters"] = parameters.into();
    }
    match operation.takes {
        Takes::Nothing => {}
        Takes::Json(name) => {
            described["requestBody"] =
                json!({"required": true, "content": {"application/json": {"schema": to("schemas", name)}}});
        }
        Takes::Patch => {
            described["requestBody"] = json!({"required": true, "content": {
                PATCH_TYPES[0]: {"schema": to("schemas", "Patch")},
                PATCH_TYPES[1]: {"schema": to("schemas", "DraftPatch")},
            }});
        }
    }
    described
}

/// The names in braces.
fn in_path(route: &Route) -> impl Iterator<Item = &'static str> {
    route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn to(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

fn responses(route: &Route, operation: &Operation) -> Value {
    let mut responses = Map::new();
    let code = operation.success.to_string();
    let request_id = json!({"X-Openstack-Request-Id": to("headers", "RequestId")});
    let mut success = json!({"description": reason(operation.success), "headers": request_id});
    match operation.answers {
        Answer::Nothing => {}
        Answer::Json(name) => {
            success["content"] = json!({"application/json": {"schema": to("schemas", name)}});
        }
        Answer::AnyJson => success["content"] = json!({"application/json": {"schema": {"type": "object"}}}),
        Answer::Text => success["content"] = json!({"text/plain": {"schema": {"type": "string"}}}),
    }
    if operation.success == 201 {
        success["headers"]["Location"] = to("headers", "Location");
    }
    responses.insert(code, success);
    for code in refusals(route, operation) {
        responses.insert(code.to_string(), refusal(route, operation, code));
    }
    Value::Object(responses)
}

/// In the order of the codes, each once.
fn refusals(route: &Route, operation: &Operation) -> Vec<u16> {
    let mut codes = operation.refusals.to_vec();
    if route.needs_token() {
        codes.extend(OF_ALL_UNDER_V2);
    }
    if in_path(route).next().is_some() {
        // An id that is not UTF-8, and one that names nothing.
        codes.extend([400, 404]);
    }
    if route.names_image_inside() {
        // A blank image id.
        codes.push(405);
    }
    if !matches!(operation.takes, Takes::Nothing) {
        codes.extend(OF_BODIES);
    }
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn refusal(route: &Route, operation: &Operation, code: u16) -> Value {
    let text = json!({"schema": {"type": "string"}});
    let mut headers = json!({"X-Openstack-Request-Id": to("headers", "RequestId")});
    match code {
        401 => headers["WWW-Authenticate"] = to("headers", "Authenticate"),
        405 => headers["Allow"] = to("headers", "Allow"),
        415 if matches!(operation.takes, Takes::Patch) => {
            headers["Accept-Patch"] = to("headers", "AcceptPatch")
        }
        429 | 503 => headers["Retry-After"] = to("headers", "RetryAfter"),
        _ => {}
    }
    let mut content = json!({"text/plain": text});
    if route.needs_token() {
        content["application/json"] = json!({"schema": to("schemas", "Error")});
        content["text/html"] = text;
    }
    json!({"description": reason(code), "headers": headers, "content": content})
}

fn reason(code: u16) -> &'static str {
    StatusCode::from_u16(code).ok().and_then(|code| code.canonical_reason()).unwrap_or_default()
}

fn headers() -> Value {
    let header = |description: &str, schema: Value| json!({"description": description, "required": true, "schema": schema});
    json!({
        "RequestId": header("The id of this request, for its operator", json!({
            "type": "string", "pattern": "^req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        })),
        "Location": header("Where the new image is", json!({"type": "string"})),
        "Authenticate": header("Where to get a token", json!({"type": "string", "pattern": "^Keystone uri="})),
        "Allow": header("The methods there are", json!({"type": "string"})),
        "AcceptPatch": header("The media types of patches", json!({"type": "string"})),
        "RetryAfter": header("In how many seconds to ask again", json!({"type": "integer", "minimum": 1})),
    })
}
