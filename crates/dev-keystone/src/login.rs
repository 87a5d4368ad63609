//! The body of `POST /v3/auth/tokens`: its form, and whom it proves and what it asks for.

use serde::Deserialize;
use serde_json::Value;

use crate::keystone::Identity;
use crate::realm::{Realm, Scope, User};
use crate::refusal::Refusal;
use crate::tokens::Token;

#[derive(Deserialize)]
struct Body {
    auth: Option<Login>,
}

/// What is under `auth`.
#[derive(Deserialize)]
pub(crate) struct Login {
    identity: Proofs,
    scope: Option<Value>,
}

#[derive(Deserialize)]
struct Proofs {
    methods: Vec<String>,
    password: Option<PasswordProof>,
    token: Option<TokenProof>,
}

#[derive(Deserialize)]
struct PasswordProof {
    user: NamedUser,
}

#[derive(Deserialize)]
struct NamedUser {
    id: Option<String>,
    name: Option<String>,
    domain: Option<NamedDomain>,
    password: Option<String>,
}

#[derive(Deserialize)]
struct TokenProof {
    id: String,
}

#[derive(Deserialize)]
struct NamedProject {
    id: Option<String>,
    name: Option<String>,
    domain: Option<NamedDomain>,
}

#[derive(Deserialize)]
struct NamedDomain {
    id: Option<String>,
    name: Option<String>,
}

/// Who was proven, how, and, if a token was among the proofs, from which token.
pub(crate) struct Proven<'a> {
    pub(crate) user: &'a User,
    pub(crate) methods: Vec<String>,
    pub(crate) parent: Option<Token>,
}

impl Login {
    /// The bytes of a request, whatever they are.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        // Keystone takes an empty body for an empty object.
        let bytes = if bytes.is_empty() { b"{}" } else { bytes };
        let value: Value =
            serde_json::from_slice(bytes).map_err(|_| Refusal::missing("valid JSON", "request body"))?;
        if !value.is_object() {
            return Err(Refusal::missing("valid JSON", "request body"));
        }
        let body: Body = formed(value, "the body")?;
        body.auth.ok_or_else(|| Refusal::missing("auth", "request body"))
    }

    /// Checks every proof named in `methods`; all must prove the same user.
    pub(crate) fn prove<'a>(&self, identity: &'a Identity) -> Result<Proven<'a>, Refusal> {
        let mut proven: Option<Proven<'a>> = None;
        for method in &self.identity.methods {
            let (user, parent) = match method.as_str() {
                "password" => (self.by_password(&identity.realm)?, None),
                "token" => {
                    let (user, token) = self.by_token(identity)?;
                    (user, Some(token))
                }
                _ => return Err(Refusal::UnsupportedMethod),
            };
            let all = proven.get_or_insert_with(|| Proven { user, methods: vec![], parent: None });
            if all.user != user {
                return Err(Refusal::Unauthenticated);
            }
            all.parent = all.parent.take().or(parent);
            if !all.methods.contains(method) {
                all.methods.push(method.clone());
            }
        }
        proven.ok_or(Refusal::Unauthenticated)
    }

    fn by_password<'a>(&self, realm: &'a Realm) -> Result<&'a User, Refusal> {
        let proof =
            self.identity.password.as_ref().ok_or_else(|| Refusal::missing("password", "identity"))?;
        let named = &proof.user;
        let user = match (&named.id, &named.name) {
            (Some(id), _) => realm.user(id),
            (None, Some(name)) => {
                let domain = named.domain.as_ref().ok_or_else(|| Refusal::missing("domain", "user"))?;
                realm.user_named(name).filter(|_| domain.is_of(realm))
            }
            (None, None) => return Err(Refusal::missing("id or name", "user")),
        };
        user.filter(|user| named.password.as_ref() == Some(&user.password)).ok_or(Refusal::Unauthenticated)
    }

    fn by_token<'a>(&self, identity: &'a Identity) -> Result<(&'a User, Token), Refusal> {
        let proof = self.identity.token.as_ref().ok_or_else(|| Refusal::missing("token", "identity"))?;
        // A token that is no token is 404 here, not 401: so Keystone has it.
        let (token, _) = identity.known(&proof.id, false).ok_or(TOKEN_NOT_FOUND)?;
        let user = identity.realm.user(&token.user_id).ok_or(TOKEN_NOT_FOUND)?;
        Ok((user, token))
    }

    /// The scope asked for, else the user's default project; `None` is unscoped.
    ///
    /// 401 where the user has no role, and where there is no such place.
    pub(crate) fn scope(&self, user: &User, realm: &Realm) -> Result<Option<Scope>, Refusal> {
        let Some(asked) = &self.scope else {
            let home = user.default_project_id.clone().map(Scope::Project);
            return Ok(home.filter(|home| !user.roles(home).is_empty()));
        };
        let scope = match asked_scope(asked)? {
            Asked::Unscoped => return Ok(None),
            Asked::System => Some(Scope::System),
            Asked::Domain(domain) => domain.is_of(realm).then_some(Scope::Domain),
            Asked::Project(named) => named.in_realm(realm)?.map(Scope::Project),
        };
        let granted = scope.filter(|scope| !user.roles(scope).is_empty());
        granted.map(Some).ok_or(Refusal::Unauthenticated)
    }
}

/// 404 for every token that does not validate, whatever the reason.
pub(crate) const TOKEN_NOT_FOUND: Refusal =
    Refusal::NotFound(std::borrow::Cow::Borrowed("Failed to validate token"));

enum Asked {
    Unscoped,
    System,
    Domain(NamedDomain),
    Project(NamedProject),
}

/// `"unscoped"`, or an object with exactly one of the known keys.
fn asked_scope(asked: &Value) -> Result<Asked, Refusal> {
    let unclear = || Refusal::missing("system, project, domain, OS-TRUST:trust or unscoped", "scope");
    if asked == "unscoped" {
        return Ok(Asked::Unscoped);
    }
    let places = asked.as_object().ok_or_else(unclear)?;
    let known = ["project", "domain", "system", "unscoped"];
    let mut named = known.into_iter().filter_map(|key| places.get_key_value(key));
    let (Some((key, place)), None) = (named.next(), named.next()) else { return Err(unclear()) };
    match key.as_str() {
        "project" => Ok(Asked::Project(formed(place.clone(), "scope.project")?)),
        "domain" => Ok(Asked::Domain(formed(place.clone(), "scope.domain")?)),
        "system" => Ok(Asked::System),
        _ => Ok(Asked::Unscoped),
    }
}

impl NamedProject {
    fn in_realm(&self, realm: &Realm) -> Result<Option<String>, Refusal> {
        let project = match (&self.id, &self.name) {
            (Some(id), _) => realm.project(id),
            (None, Some(name)) => {
                let domain = self.domain.as_ref().ok_or_else(|| Refusal::missing("domain", "project"))?;
                realm.project_named(name).filter(|_| domain.is_of(realm))
            }
            (None, None) => return Err(Refusal::missing("id or name", "project")),
        };
        Ok(project.map(|project| project.id.clone()))
    }
}

impl NamedDomain {
    fn is_of(&self, realm: &Realm) -> bool {
        match (&self.id, &self.name) {
            (Some(id), _) => *id == realm.domain.id,
            (None, Some(name)) => *name == realm.domain.name,
            (None, None) => false,
        }
    }
}

/// 400 without serde's own words: they can repeat a value, and a value can be a password.
fn formed<T: serde::de::DeserializeOwned>(value: Value, what: &'static str) -> Result<T, Refusal> {
    serde_json::from_value(value).map_err(|_| {
        let said =
            format!("{what} does not have the form of an authentication request of the Identity API v3");
        Refusal::Malformed(said.into())
    })
}
