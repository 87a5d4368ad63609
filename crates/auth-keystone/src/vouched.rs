//! What Keystone says about a token it vouches for.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use core_domain::{
    caller::Caller,
    project::{ProjectId, UserId},
};
use serde::Deserialize;

use crate::{
    access_rules::{AccessRule, AccessRules, TooManyRules},
    revocation::Marks,
};

/// What Keystone said about a token it vouches for.
#[derive(Debug)]
pub(crate) struct Vouched {
    pub(crate) caller: Caller,
    /// The only calls the token is good for; all if `None`.
    pub(crate) access_rules: Option<AccessRules>,
    /// When it was made and ends, and what else a revocation may go by.
    pub(crate) marks: Marks,
}

/// Why a description of a token is not used.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// What is missing or of the wrong shape.
    Malformed(&'static str),
    /// The token has more access rules than are read.
    TooManyRules {
        /// How many.
        rules: usize,
        /// Whose it is.
        user: Box<str>,
    },
}

impl From<&'static str> for Unusable {
    fn from(reason: &'static str) -> Self {
        Self::Malformed(reason)
    }
}

impl Vouched {
    /// Reads the body of a good answer.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Unusable> {
        let Body { token } =
            serde_json::from_slice(body).map_err(|_| "the body is not a token's description")?;
        let (project, project_domain) = match token.project {
            Some(Project { id, domain }) => {
                (Some(ProjectId::parse(&id).map_err(|_| "the project has no usable id")?), domain)
            }
            None => (None, None),
        };
        if token.user.id.is_empty() {
            return Err("the user has no id".into());
        }
        let access_rules = token.application_credential.and_then(|made_by| made_by.access_rules);
        let access_rules = access_rules
            .map(AccessRules::compile)
            .transpose()
            .map_err(|TooManyRules(rules)| Unusable::TooManyRules { rules, user: token.user.id.clone() })?;
        // A set: Keystone lists roles in no stable order.
        let roles: BTreeSet<_> = token.roles.unwrap_or_default().into_iter().map(|role| role.name).collect();
        let trust = token.trust.unwrap_or_default();
        let users = [trust.trustor_user, trust.trustee_user].into_iter().flatten().map(|user| user.id);
        let domains = [token.user.domain, project_domain, token.domain].into_iter().flatten();
        let marks = Marks {
            issued_at: token.issued_at.as_deref().and_then(stamp),
            expires_at: stamp(&token.expires_at).ok_or("expires_at is not a time")?,
            audit_ids: token.audit_ids,
            users: std::iter::once(token.user.id.clone()).chain(users).collect(),
            project: project.as_ref().map(|project| project.as_str().into()),
            domains: domains.map(|domain| domain.id).collect::<BTreeSet<_>>().into_iter().collect(),
            trust: trust.id,
        };
        Ok(Self { caller: Caller::new(UserId::new(&token.user.id), project, roles), access_rules, marks })
    }
}

pub(crate) fn stamp(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
}

#[derive(Deserialize)]
struct Body {
    token: Token,
}

/// Keys nobody here needs are ignored, as the API asks of its clients. An unscoped token has no roles at all; only a
/// token for a project (also one by trust or application credential) has `project`.
#[derive(Deserialize)]
struct Token {
    user: User,
    project: Option<Project>,
    roles: Option<Vec<Role>>,
    issued_at: Option<String>,
    expires_at: String,
    #[serde(default)]
    audit_ids: Vec<Box<str>>,
    domain: Option<Domain>,
    application_credential: Option<ApplicationCredential>,
    #[serde(rename = "OS-TRUST:trust")]
    trust: Option<Trust>,
}

#[derive(Deserialize)]
struct User {
    id: Box<str>,
    domain: Option<Domain>,
}

#[derive(Deserialize)]
struct Project {
    id: String,
    domain: Option<Domain>,
}

#[derive(Deserialize)]
struct Domain {
    id: Box<str>,
}

#[derive(Deserialize)]
struct Role {
    name: String,
}

#[derive(Deserialize)]
struct ApplicationCredential {
    access_rules: Option<Vec<AccessRule>>,
}

#[derive(Default, Deserialize)]
struct Trust {
    id: Option<Box<str>>,
    trustor_user: Option<Somebody>,
    trustee_user: Option<Somebody>,
}

#[derive(Deserialize)]
struct Somebody {
    id: Box<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(more: &str) -> String {
        format!(
            r#"{{"token": {{"methods": ["password"], "user": {{"id": "u", "name": "alice"}}, "audit_ids": ["own", "parent"],
                "issued_at": "2026-11-21T23:02:18.000000Z", "expires_at": "2026-11-22T00:02:18.000000Z" {more}}}}}"#
        )
    }

    fn vouched(more: &str) -> Vouched {
        Vouched::parse(body(more).as_bytes()).unwrap()
    }

    #[test]
    fn only_a_token_for_a_project_has_a_project() {
        for other in [
            "",
            r#", "domain": {"id": "default"}, "roles": [{"id": "1", "name": "admin"}]"#,
            r#", "system": {"all": true}, "roles": [{"id": "1", "name": "admin"}]"#,
            r#", "project": null"#,
        ] {
            assert_eq!(vouched(other).caller.project, None, "{other}");
        }
        let project =
            vouched(r#", "project": {"id": "p", "domain": {"id": "d"}}, "is_domain": false"#).caller.project;
        assert_eq!(project, Some(ProjectId::parse("p").unwrap()));
    }

    #[test]
    fn roles_are_a_set_in_lower_case() {
        let roles =
            r#", "roles": [{"name": "Member"}, {"name": "reader", "options": {}}, {"name": "Member"}]"#;
        let vouched = vouched(roles);
        let mut roles = vouched.caller.roles().to_vec();
        roles.sort();
        assert_eq!(roles, ["member", "reader"]);
    }

    #[test]
    fn unknown_keys_are_ignored_everywhere() {
        let vouched = vouched(
            r#", "OS-TRUST:trust": {"id": "t"}, "service_providers": [], "project": {"id": "p", "is_domain": 7}, "catalog": [1]"#,
        );
        assert_eq!(vouched.marks.audit_ids, ["own".into(), "parent".into()]);
        assert!(vouched.access_rules.is_none());
    }

    #[test]
    fn an_empty_list_of_access_rules_is_not_none() {
        let made_by = |rules: &str| {
            let vouched = vouched(&format!(r#", "application_credential": {{"id": "c"{rules}}}"#));
            vouched.access_rules.map(|rules| rules.allow("GET", "/"))
        };
        let one = r#"[{"id": "1", "service": "image", "method": "GET", "path": "/"}]"#;
        assert_eq!(made_by(&format!(r#", "access_rules": {one}"#)), Some(true));
        assert_eq!(made_by(r#", "access_rules": []"#), Some(false));
        assert_eq!(
            made_by(r#", "access_rules": [{"service": "image"}]"#),
            Some(false),
            "half a rule allows nothing"
        );
        assert_eq!(made_by(""), None);
        assert_eq!(made_by(r#", "access_rules": null"#), None);
    }

    #[test]
    fn a_token_is_marked_by_all_that_a_revocation_may_go_by() {
        let marks = vouched(
            r#", "project": {"id": "p", "domain": {"id": "d"}}, "OS-TRUST:trust": {"id": "t", "impersonation": true,
                "trustor_user": {"id": "or"}, "trustee_user": {"id": "ee"}}"#,
        )
        .marks;
        assert_eq!(marks.users, ["u".into(), "or".into(), "ee".into()]);
        assert_eq!((marks.project.as_deref(), marks.trust.as_deref()), (Some("p"), Some("t")));
        assert_eq!(marks.domains, ["d".into()]);
        assert_eq!(marks.issued_at, stamp("2026-11-21T23:02:18Z"));
    }

    #[test]
    fn bodies_that_describe_no_token_are_refused() {
        let times = r#""issued_at": "2026-11-21T23:02:18Z", "expires_at""#;
        for body in [
            "",
            "<html>",
            "null",
            "{}",
            r#"{"token": {}}"#,
            &format!(r#"{{"token": {{"user": {{"id": ""}}, {times}: "2026-11-21T23:02:18Z"}}}}"#),
            &format!(r#"{{"token": {{"user": {{"id": "u"}}, {times}: "tomorrow"}}}}"#),
            &format!(
                r#"{{"token": {{"user": {{"id": "u"}}, "project": {{"id": ""}}, {times}: "2026-11-21T23:02:18Z"}}}}"#
            ),
        ] {
            assert!(Vouched::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
