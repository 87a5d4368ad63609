//! The catalog: identity and image, each with its public, internal and admin endpoint; `/v3/auth/catalog`,
//! `/v3/services`, `/v3/endpoints`.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::keystone::Identity;
use crate::listing::Kind;
use crate::refusal::Refusal;

const SERVICES: Kind = Kind { many: "services", one: "service" };
const ENDPOINTS: Kind = Kind { many: "endpoints", one: "endpoint" };
const REGION: &str = "RegionOne";
const IDENTITY: Entry = Entry {
    id: "0e224286806144bc8de8fc07830ba9e9",
    name: "keystone",
    kind: "identity",
    endpoint_ids: [
        "4f800442adeb4aa9b17c3bd627a34755",
        "45883e02e07442758b7bdec6566e25c4",
        "f1ebd616545d4ea1971ae4ec0e12c92e",
    ],
};
const IMAGE: Entry = Entry {
    id: "91557ce47ce24060add74ce83ec24370",
    name: "vitrine",
    kind: "image",
    endpoint_ids: [
        "d9c629939b7b4248ac90fbb99665ee7c",
        "9d029ef7d44f453385675880ca03022c",
        "e15122585f2946e9afb62d553539c683",
    ],
};

/// One service, the same on every machine but for its URL.
struct Entry {
    id: &'static str,
    name: &'static str,
    kind: &'static str,
    /// Of the public, the internal and the admin endpoint.
    endpoint_ids: [&'static str; 3],
}

/// Where the services are.
pub(crate) struct Catalog {
    entries: [(Entry, String); 2],
}

impl Catalog {
    /// Each URL stands for all three interfaces.
    pub(crate) fn new(identity_url: &str, image_url: &str) -> Self {
        Self { entries: [(IDENTITY, identity_url.to_owned()), (IMAGE, image_url.to_owned())] }
    }

    /// The value of `catalog` in a token.
    pub(crate) fn body(&self) -> Value {
        self.entries
            .iter()
            .map(|(entry, url)| {
                let endpoints = interfaces(entry).map(|(id, interface)| endpoint_body(id, interface, url));
                json!({
                    "endpoints": Vec::from_iter(endpoints),
                    "id": entry.id,
                    "type": entry.kind,
                    "name": entry.name,
                })
            })
            .collect()
    }

    fn services(&self) -> impl Iterator<Item = Value> {
        self.entries.iter().map(
            |(entry, _)| json!({"name": entry.name, "id": entry.id, "type": entry.kind, "enabled": true}),
        )
    }

    fn endpoints(&self) -> impl Iterator<Item = Value> {
        self.entries.iter().flat_map(|(entry, url)| {
            interfaces(entry).map(|(id, interface)| {
                let mut body = endpoint_body(id, interface, url);
                body["service_id"] = json!(entry.id);
                body["enabled"] = json!(true);
                body
            })
        })
    }
}

fn interfaces(entry: &Entry) -> impl Iterator<Item = (&'static str, &'static str)> {
    entry.endpoint_ids.into_iter().zip(["public", "internal", "admin"])
}

fn endpoint_body(id: &str, interface: &str, url: &str) -> Value {
    json!({"id": id, "interface": interface, "region_id": REGION, "url": url, "region": REGION})
}

/// `GET /v3/auth/catalog`: of the caller's scope; an unscoped token has none.
pub(crate) async fn of_token(caller: Caller, identity: web::Data<Identity>) -> Result<HttpResponse, Refusal> {
    caller.token.scope.as_ref().ok_or(Refusal::Forbidden(None))?;
    let own = format!("{}/auth/catalog", identity.url);
    Ok(HttpResponse::Ok().json(json!({"catalog": identity.catalog.body(), "links": {"self": own}})))
}

/// `GET /v3/services`: for those who see everything.
pub(crate) async fn services(
    request: HttpRequest,
    caller: Caller,
    identity: web::Data<Identity>,
) -> Result<HttpResponse, Refusal> {
    Caller::permit(caller.sees_all(), "identity:list_services")?;
    Ok(identity.list(&SERVICES, identity.catalog.services(), &request))
}

/// `GET /v3/services/{id}`: for those who see everything.
pub(crate) async fn service(
    id: web::Path<String>,
    caller: Caller,
    identity: web::Data<Identity>,
) -> Result<HttpResponse, Refusal> {
    Caller::permit(caller.sees_all(), "identity:get_service")?;
    identity.show(&SERVICES, identity.catalog.services(), &id)
}

/// `GET /v3/endpoints`: for those who see everything.
pub(crate) async fn endpoints(
    request: HttpRequest,
    caller: Caller,
    identity: web::Data<Identity>,
) -> Result<HttpResponse, Refusal> {
    Caller::permit(caller.sees_all(), "identity:list_endpoints")?;
    Ok(identity.list(&ENDPOINTS, identity.catalog.endpoints(), &request))
}

/// `GET /v3/endpoints/{id}`: for those who see everything.
pub(crate) async fn endpoint(
    id: web::Path<String>,
    caller: Caller,
    identity: web::Data<Identity>,
) -> Result<HttpResponse, Refusal> {
    Caller::permit(caller.sees_all(), "identity:get_endpoint")?;
    identity.show(&ENDPOINTS, identity.catalog.endpoints(), &id)
}
