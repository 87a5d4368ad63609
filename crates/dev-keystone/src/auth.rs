//! `/v3/auth/tokens`: POST issues, GET validates, HEAD checks, DELETE revokes.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use actix_web::http::header::{CONTENT_TYPE, HeaderName};
use actix_web::web::{Bytes, Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use crate::caller::{Caller, header};
use crate::keystone::Identity;
use crate::listing::is_true;
use crate::login::{Login, TOKEN_NOT_FOUND};
use crate::realm::{Role, Scope};
use crate::refusal::Refusal;
use crate::tokens::{Token, stamp};

const SUBJECT: HeaderName = HeaderName::from_static("x-subject-token");

type Flags = Query<HashMap<String, String>>;

/// `POST /v3/auth/tokens`: 201, the token in `X-Subject-Token`.
pub(crate) async fn issue(
    request: HttpRequest,
    flags: Flags,
    bytes: Bytes,
    identity: Data<Identity>,
) -> Result<HttpResponse, Refusal> {
    let said = request.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    if !bytes.is_empty() && said.is_some_and(|said| !said.starts_with("application/json")) {
        return Err(Refusal::missing("application/json", "Content-Type header"));
    }
    let login = Login::parse(&bytes)?;
    let proven = login.prove(&identity)?;
    let scope = login.scope(proven.user, &identity.realm)?;
    let roles = scope.as_ref().map(|scope| proven.user.roles(scope)).unwrap_or_default();
    let token = identity.tokens.new_token(&proven.user.id, scope, proven.methods, proven.parent.as_ref());
    let text = identity.tokens.sign(&token).ok_or(Refusal::Broken)?;
    let body = identity.body(&token, &roles, &flags)?;
    Ok(HttpResponse::Created().insert_header((SUBJECT, text)).json(body))
}

/// `GET /v3/auth/tokens`: for `admin`, `service`, a reader on the system, and any token of the same user.
///
/// The subject is looked at before the permission: a bad one is 404 for every caller.
pub(crate) async fn validate(
    request: HttpRequest,
    flags: Flags,
    caller: Caller,
    identity: Data<Identity>,
) -> Result<HttpResponse, Refusal> {
    let (text, token, roles) = subject(&request, &flags, &identity)?;
    let allowed = caller.sees_all() || caller.is_service() || caller.is(&token.user_id);
    Caller::permit(allowed, "identity:validate_token")?;
    let body = identity.body(&token, &roles, &flags)?;
    Ok(HttpResponse::Ok().insert_header((SUBJECT, text)).json(body))
}

/// `HEAD /v3/auth/tokens`: another policy, which `service` does not pass.
pub(crate) async fn check(
    request: HttpRequest,
    flags: Flags,
    caller: Caller,
    identity: Data<Identity>,
) -> Result<HttpResponse, Refusal> {
    let (text, token, _) = subject(&request, &flags, &identity)?;
    Caller::permit(caller.sees_all() || caller.is(&token.user_id), "identity:check_token")?;
    Ok(HttpResponse::Ok().insert_header((SUBJECT, text)).finish())
}

/// `DELETE /v3/auth/tokens`: 204; for `admin` and any token of the same user.
pub(crate) async fn revoke(
    request: HttpRequest,
    flags: Flags,
    caller: Caller,
    identity: Data<Identity>,
) -> Result<HttpResponse, Refusal> {
    let (_, token, _) = subject(&request, &flags, &identity)?;
    Caller::permit(caller.is_admin() || caller.is(&token.user_id), "identity:revoke_token")?;
    identity.tokens.revoke(&token);
    Ok(HttpResponse::NoContent().finish())
}

fn subject<'a>(
    request: &'a HttpRequest,
    flags: &Flags,
    identity: &Identity,
) -> Result<(&'a str, Token, BTreeSet<Role>), Refusal> {
    let text = header(request, SUBJECT.as_str())
        .ok_or(Refusal::NotFound(Cow::Borrowed("No token in the request")))?;
    let allow_expired = flags.get("allow_expired").is_some_and(|value| is_true(value));
    let (token, roles) = identity.known(text, allow_expired).ok_or(TOKEN_NOT_FOUND)?;
    Ok((text, token, roles))
}

impl Identity {
    /// `{"token": …}` with the keys that Keystone has for this scope; `nocatalog` counts by being there.
    fn body(&self, token: &Token, roles: &BTreeSet<Role>, flags: &Flags) -> Result<Value, Refusal> {
        let user = self.realm.user(&token.user_id).ok_or(TOKEN_NOT_FOUND)?;
        let domain = json!({"id": self.realm.domain.id, "name": self.realm.domain.name});
        let mut body = json!({
            "methods": token.methods,
            "user": {"domain": domain, "id": user.id, "name": user.name, "password_expires_at": null},
            "audit_ids": token.audit_ids,
            "expires_at": stamp(token.expires_at),
            "issued_at": stamp(token.issued_at),
        });
        let Some(scope) = &token.scope else { return Ok(json!({"token": body})) };
        match scope {
            Scope::Project(id) => {
                let project = self.realm.project(id).ok_or(TOKEN_NOT_FOUND)?;
                body["project"] = json!({"domain": domain, "id": project.id, "name": project.name});
                body["is_domain"] = json!(false);
            }
            Scope::Domain => body["domain"] = domain,
            Scope::System => body["system"] = json!({"all": true}),
        }
        body["roles"] = roles.iter().map(|role| json!({"id": role.id(), "name": role.name()})).collect();
        if !flags.contains_key("nocatalog") {
            body["catalog"] = self.catalog.body();
        }
        Ok(json!({"token": body}))
    }
}
