//! Tokens: issue, verify, revoke. JWS with ES256 and the claims of Keystone's own JWS provider.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Error;
use crate::realm::Scope;
use crate::signing_key::SigningKey;

/// What a token says; times are whole seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) user_id: String,
    /// `None` is an unscoped token.
    pub(crate) scope: Option<Scope>,
    pub(crate) methods: Vec<String>,
    /// Its own, then, when it was made from another token, the first of that chain.
    pub(crate) audit_ids: Vec<String>,
    pub(crate) issued_at: i64,
    pub(crate) expires_at: i64,
}

/// Keystone's claims; what does not apply is left out, not null.
#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    iat: i64,
    exp: i64,
    openstack_methods: Vec<String>,
    openstack_audit_ids: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    openstack_system: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    openstack_domain_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    openstack_project_id: Option<String>,
}

/// The issuer: the key, the life of a token, and which were revoked.
pub(crate) struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    domain_id: String,
    life: i64,
    expired_window: i64,
    revoked: Mutex<HashMap<String, Revocation>>,
}

/// When a token was revoked; times are whole seconds since the epoch.
#[derive(Clone, Copy)]
struct Revocation {
    at: i64,
    /// From then on the token is dead anyway.
    dead_from: i64,
}

impl Tokens {
    /// `life` and `expired_window` are seconds, as Keystone's `[token] expiration` and `allow_expired_window`.
    pub(crate) fn new(
        key: &SigningKey,
        domain_id: &str,
        life: u32,
        expired_window: u32,
    ) -> Result<Self, Error> {
        Ok(Self {
            encoding: EncodingKey::from_ec_der(&key.private_der),
            decoding: DecodingKey::from_ec_pem(key.public_pem.as_bytes())
                .map_err(|_| Error::KeyGeneration)?,
            domain_id: domain_id.to_owned(),
            life: i64::from(life),
            expired_window: i64::from(expired_window),
            revoked: Mutex::default(),
        })
    }

    /// A new token. Made from a parent, it dies with the parent and counts as made by the parent's methods, too.
    pub(crate) fn new_token(
        &self,
        user_id: &str,
        scope: Option<Scope>,
        methods: Vec<String>,
        parent: Option<&Token>,
    ) -> Token {
        let issued_at = Utc::now().timestamp();
        let mut token = Token {
            user_id: user_id.to_owned(),
            scope,
            methods,
            audit_ids: vec![URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes())],
            issued_at,
            expires_at: issued_at + self.life,
        };
        if let Some(parent) = parent {
            token.expires_at = parent.expires_at;
            token.audit_ids.extend(parent.audit_ids.last().cloned());
            for method in &parent.methods {
                if !token.methods.contains(method) {
                    token.methods.push(method.clone());
                }
            }
        }
        token
    }

    /// The token as a string; `None` only if the cryptographic library fails.
    pub(crate) fn sign(&self, token: &Token) -> Option<String> {
        let (mut project, mut domain, mut system) = (None, None, None);
        match &token.scope {
            Some(Scope::Project(id)) => project = Some(id.clone()),
            Some(Scope::Domain) => domain = Some(self.domain_id.clone()),
            Some(Scope::System) => system = Some("all".to_owned()),
            None => {}
        }
        let claims = Claims {
            sub: token.user_id.clone(),
            iat: token.issued_at,
            exp: token.expires_at,
            openstack_methods: token.methods.clone(),
            openstack_audit_ids: token.audit_ids.clone(),
            openstack_system: system,
            openstack_domain_id: domain,
            openstack_project_id: project,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.encoding).ok()
    }

    /// What the string says, if this issuer signed it and it is neither expired nor revoked.
    /// With `allow_expired` it may have expired less than the window ago.
    pub(crate) fn verify(&self, text: &str, allow_expired: bool) -> Option<Token> {
        let token = self.decode(text)?;
        let end = token.expires_at + if allow_expired { self.expired_window } else { 0 };
        // Sub-seconds count: a token is dead from the very second it expires in, as Keystone has it.
        (Utc::now().timestamp() < end && !self.is_revoked(&token)).then_some(token)
    }

    /// From now on neither this token nor one made from it is good.
    pub(crate) fn revoke(&self, token: &Token) {
        let Some(own) = token.audit_ids.first() else { return };
        let now = Utc::now().timestamp();
        let mut revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        revoked.retain(|_, revocation| now < revocation.dead_from);
        revoked
            .insert(own.clone(), Revocation { at: now, dead_from: token.expires_at + self.expired_window });
    }

    /// The audit ids revoked after this second, or all that are remembered, with when that was; oldest first.
    pub(crate) fn revoked_after(&self, since: Option<i64>) -> Vec<(String, i64)> {
        let revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        let after = revoked.iter().filter(|(_, revocation)| since.is_none_or(|since| since < revocation.at));
        let mut after: Vec<_> = after.map(|(id, revocation)| (id.clone(), revocation.at)).collect();
        after.sort_unstable_by_key(|(_, at)| *at);
        after
    }

    fn is_revoked(&self, token: &Token) -> bool {
        let revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        token.audit_ids.iter().any(|id| revoked.contains_key(id))
    }

    fn decode(&self, text: &str) -> Option<Token> {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_required_spec_claims(&["exp", "sub"]);
        // `verify` judges the time itself: without leeway, and with Keystone's window.
        validation.validate_exp = false;
        validation.validate_aud = false;
        let claims = jsonwebtoken::decode::<Claims>(text, &self.decoding, &validation).ok()?.claims;
        let scope = match (claims.openstack_project_id, claims.openstack_domain_id, claims.openstack_system) {
            (Some(id), None, None) => Some(Scope::Project(id)),
            (None, Some(id), None) if id == self.domain_id => Some(Scope::Domain),
            (None, None, Some(_)) => Some(Scope::System),
            (None, None, None) => None,
            _ => return None,
        };
        Some(Token {
            user_id: claims.sub,
            scope,
            methods: claims.openstack_methods,
            audit_ids: claims.openstack_audit_ids,
            issued_at: claims.iat,
            expires_at: claims.exp,
        })
    }
}

/// `2026-11-21T23:02:18.000000Z`, as in every token body.
pub(crate) fn stamp(seconds: i64) -> String {
    let time = DateTime::<Utc>::from_timestamp(seconds, 0).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%S.000000Z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(life: u32, window: u32) -> Tokens {
        Tokens::new(&SigningKey::generate().unwrap(), "default", life, window).unwrap()
    }

    fn password() -> Vec<String> {
        vec!["password".to_owned()]
    }

    #[test]
    fn a_token_of_every_scope_says_after_signing_what_it_said_before() {
        let tokens = issuer(60, 0);
        for scope in [None, Some(Scope::Project("p".to_owned())), Some(Scope::Domain), Some(Scope::System)] {
            let token = tokens.new_token("u", scope, password(), None);
            assert_eq!(tokens.verify(&tokens.sign(&token).unwrap(), false), Some(token));
        }
    }

    #[test]
    fn a_project_token_is_as_long_as_keystones() {
        let tokens = issuer(60, 0);
        let id = "7f9e90c6e32f4597affb2e99c3c34882";
        let token = tokens.new_token(id, Some(Scope::Project(id.to_owned())), password(), None);
        assert_eq!(tokens.sign(&token).unwrap().len(), 412);
    }

    #[test]
    fn an_expired_token_is_good_only_within_the_window_and_only_if_asked_for() {
        let tokens = issuer(0, 60);
        let text = tokens.sign(&tokens.new_token("u", None, password(), None)).unwrap();
        assert_eq!(tokens.verify(&text, false), None);
        assert!(tokens.verify(&text, true).is_some());
        let tokens = issuer(0, 0);
        let text = tokens.sign(&tokens.new_token("u", None, password(), None)).unwrap();
        assert_eq!(tokens.verify(&text, true), None);
    }

    #[test]
    fn a_token_of_another_key_or_altered_is_nobodys() {
        let (tokens, stranger) = (issuer(60, 0), issuer(60, 0));
        let text = stranger.sign(&stranger.new_token("u", None, password(), None)).unwrap();
        assert_eq!(tokens.verify(&text, false), None);
        let own = tokens.sign(&tokens.new_token("u", None, password(), None)).unwrap();
        for altered in ["", "a.b.c", &own[1..], &format!("{own}="), &own.replacen('.', "", 1)] {
            assert_eq!(tokens.verify(altered, false), None, "{altered}");
        }
    }

    #[test]
    fn revoking_a_parent_ends_its_children_and_revoking_a_child_leaves_its_parent() {
        let tokens = issuer(60, 60);
        let parent = tokens.new_token("u", None, password(), None);
        let child = tokens.new_token("u", None, vec!["token".to_owned()], Some(&parent));
        let sibling = tokens.new_token("u", None, vec!["token".to_owned()], Some(&child));
        let [p, c, s] = [&parent, &child, &sibling].map(|token| tokens.sign(token).unwrap());
        assert_eq!(child.expires_at, parent.expires_at);
        assert_eq!(child.methods, ["token", "password"]);
        tokens.revoke(&child);
        assert!(tokens.verify(&c, false).is_none() && tokens.verify(&p, false).is_some());
        assert!(
            tokens.verify(&s, false).is_some(),
            "Keystone follows the chain's first token, not each link"
        );
        tokens.revoke(&parent);
        assert!([p, c, s].iter().all(|text| tokens.verify(text, true).is_none()));
    }

    #[test]
    fn stamps_are_utc_with_six_digits() {
        assert_eq!(stamp(1_795_298_964), "2026-11-21T22:09:24.000000Z");
    }
}
