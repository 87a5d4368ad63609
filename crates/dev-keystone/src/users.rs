//! `/v3/users`.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::keystone::Identity;
use crate::listing::Kind;
use crate::realm::User;
use crate::refusal::Refusal;

const USERS: Kind = Kind { many: "users", one: "user" };

/// `GET /v3/users`: for those who see everything.
pub(crate) async fn list(
    request: HttpRequest,
    caller: Caller,
    identity: web::Data<Identity>,
) -> Result<HttpResponse, Refusal> {
    Caller::permit(caller.sees_all(), "identity:list_users")?;
    let users = identity.realm.users.iter().map(|user| body(&identity, user));
    Ok(identity.list(&USERS, users, &request))
}

/// `GET /v3/users/{id}`: also for the user.
pub(crate) async fn show(
    id: web::Path<String>,
    caller: Caller,
    identity: web::Data<Identity>,
) -> Result<HttpResponse, Refusal> {
    Caller::permit(caller.is(&id) || caller.sees_all(), "identity:get_user")?;
    let users = identity.realm.users.iter().map(|user| body(&identity, user));
    identity.show(&USERS, users, &id)
}

fn body(identity: &Identity, user: &User) -> Value {
    let mut body = json!({
        "id": user.id,
        "name": user.name,
        "domain_id": identity.realm.domain.id,
        "enabled": true,
        "password_expires_at": null,
        "options": {},
    });
    // Keystone leaves the key out rather than null.
    if let Some(project) = &user.default_project_id {
        body["default_project_id"] = json!(project);
    }
    body
}
