//! `/v3/domains`: the one there is.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::keystone::Identity;
use crate::listing::Kind;
use crate::realm::Scope;
use crate::refusal::Refusal;

const DOMAINS: Kind = Kind { many: "domains", one: "domain" };

/// `GET /v3/domains`: for those who see everything.
pub(crate) async fn list(
    request: HttpRequest,
    caller: Caller,
    identity: web::Data<Identity>,
) -> Result<HttpResponse, Refusal> {
    Caller::permit(caller.sees_all(), "identity:list_domains")?;
    Ok(identity.list(&DOMAINS, std::iter::once(body(&identity)), &request))
}

/// `GET /v3/domains/{id}`: also for a token of the domain or of a project in it.
pub(crate) async fn show(
    id: web::Path<String>,
    caller: Caller,
    identity: web::Data<Identity>,
) -> Result<HttpResponse, Refusal> {
    let within = matches!(caller.token.scope, Some(Scope::Project(_) | Scope::Domain));
    let own = within && *id == identity.realm.domain.id;
    Caller::permit(own || caller.sees_all(), "identity:get_domain")?;
    identity.show(&DOMAINS, std::iter::once(body(&identity)), &id)
}

fn body(identity: &Identity) -> Value {
    json!({
        "id": identity.realm.domain.id,
        "name": identity.realm.domain.name,
        "description": "The default domain",
        "enabled": true,
        "tags": [],
        "options": {},
    })
}
