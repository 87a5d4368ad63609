//! Who asks: the token in `X-Auth-Token`, and what it permits.

use std::collections::BTreeSet;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};

use crate::keystone::Identity;
use crate::realm::{Role, Scope};
use crate::refusal::Refusal;
use crate::tokens::Token;

/// A valid token and its roles; extracting it from a request without one is 401.
pub(crate) struct Caller {
    pub(crate) token: Token,
    roles: BTreeSet<Role>,
}

impl Caller {
    /// Keystone's `rule:admin_required`.
    pub(crate) fn is_admin(&self) -> bool {
        self.roles.contains(&Role::Admin)
    }

    /// Keystone's `rule:admin_required or (role:reader and system_scope:all)`: who may look at everything.
    pub(crate) fn sees_all(&self) -> bool {
        self.is_admin() || (self.roles.contains(&Role::Reader) && self.token.scope == Some(Scope::System))
    }

    /// Keystone's `rule:service_role`.
    pub(crate) fn is_service(&self) -> bool {
        self.roles.contains(&Role::Service)
    }

    /// Keystone's `rule:token_subject` and `rule:owner`: any token of this user.
    pub(crate) fn is(&self, user_id: &str) -> bool {
        self.token.user_id == user_id
    }

    /// `Err` names the action unless allowed.
    pub(crate) fn permit(allowed: bool, action: &'static str) -> Result<(), Refusal> {
        if allowed { Ok(()) } else { Err(Refusal::Forbidden(Some(action))) }
    }
}

impl FromRequest for Caller {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(caller(request).ok_or(Refusal::Unauthenticated))
    }
}

fn caller(request: &HttpRequest) -> Option<Caller> {
    let identity = request.app_data::<web::Data<Identity>>()?;
    let text = header(request, "x-auth-token")?;
    let (token, roles) = identity.known(text, false)?;
    Some(Caller { token, roles })
}

/// The header's text without blanks around it; `None` if it is absent, empty or not text.
pub(crate) fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    let text = request.headers().get(name)?.to_str().ok()?.trim();
    (!text.is_empty()).then_some(text)
}

impl Identity {
    /// A token of this identity whose user is still in the realm and still has a role in its scope.
    /// The roles of an unscoped token are empty.
    pub(crate) fn known(&self, text: &str, allow_expired: bool) -> Option<(Token, BTreeSet<Role>)> {
        let token = self.tokens.verify(text, allow_expired)?;
        let user = self.realm.user(&token.user_id)?;
        let roles = match &token.scope {
            None => BTreeSet::new(),
            Some(scope) => Some(user.roles(scope)).filter(|roles| !roles.is_empty())?,
        };
        Some((token, roles))
    }
}
