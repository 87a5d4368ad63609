//! What a token looks like on the way in, and what Keystone says about it on the way back.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use core_domain::{
    caller::Caller,
    project::{ProjectId, UserId},
};
use serde::Deserialize;

/// Nothing shorter is a token of any provider; a UUID without dashes has 32.
pub(crate) const SHORTEST: usize = 20;

/// What every Fernet token starts with: version 0x80 and the upper bytes of a time stamp.
const FERNET: &str = "gAAAA";

/// The one spelling of a token that we deal with, or `None` if it cannot be a token. Allocates nothing.
///
/// Keystone reads several strings as the same token: it ignores blanks around it, padding behind it and, within a
/// Fernet token, whatever is not base64 and the unused bits of the last letter. Here blanks and padding are taken off
/// and all the rest is refused, so that nobody can make one token fill the cache under many names.
pub(crate) fn canonical(given: &str, longest: usize) -> Option<&str> {
    // Room for blanks and padding, but no long walk over them.
    if given.len() > longest + 64 {
        return None;
    }
    let token = given.trim_matches([' ', '\t']).trim_end_matches('=');
    let fits = (SHORTEST..=longest).contains(&token.len());
    let letters =
        token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    (fits && letters && ends_exactly(token)).then_some(token)
}

/// Whether each base64 part ends as an encoder would end it: no leftover letter, unused bits zero.
fn ends_exactly(token: &str) -> bool {
    match token.bytes().filter(|byte| *byte == b'.').count() {
        0 => !token.starts_with(FERNET) || part_ends_exactly(token),
        2 => token.split('.').all(part_ends_exactly),
        _ => true,
    }
}

fn part_ends_exactly(part: &str) -> bool {
    let unused_bits = match part.len() % 4 {
        0 => return true,
        2 => 0b1111,
        3 => 0b11,
        _ => return false,
    };
    part.bytes().last().and_then(sextet).is_some_and(|value| value & unused_bits == 0)
}

/// The value of a letter of the URL-safe alphabet.
fn sextet(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

/// What Keystone said about a token it vouches for.
#[derive(Debug)]
pub(crate) struct Vouched {
    pub(crate) caller: Caller,
    pub(crate) issued_at: Option<DateTime<Utc>>,
    pub(crate) expires_at: DateTime<Utc>,
    /// Its own, then that of the token it was made from. They identify a token in logs and revocation events
    /// without being of use to a thief.
    pub(crate) audit_ids: Vec<Box<str>>,
    /// The token is good for some calls only, which its application credential lists.
    pub(crate) has_access_rules: bool,
}

impl Vouched {
    /// Reads the body of a good answer.
    ///
    /// # Errors
    /// What is missing or of the wrong shape.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, &'static str> {
        let Body { token } =
            serde_json::from_slice(body).map_err(|_| "the body is not a token's description")?;
        let project = match token.project {
            Some(project) => Some(ProjectId::parse(&project.id).map_err(|_| "the project has no usable id")?),
            None => None,
        };
        if token.user.id.is_empty() {
            return Err("the user has no id");
        }
        // A set: Keystone lists roles in no stable order.
        let roles: BTreeSet<_> = token.roles.unwrap_or_default().into_iter().map(|role| role.name).collect();
        Ok(Self {
            caller: Caller::new(UserId::new(&token.user.id), project, roles),
            issued_at: token.issued_at.as_deref().and_then(stamp),
            expires_at: stamp(&token.expires_at).ok_or("expires_at is not a time")?,
            audit_ids: token.audit_ids,
            has_access_rules: token
                .application_credential
                .is_some_and(|made_by| made_by.access_rules.is_some()),
        })
    }
}

fn stamp(text: &str) -> Option<DateTime<Utc>> {
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
    application_credential: Option<ApplicationCredential>,
}

#[derive(Deserialize)]
struct User {
    id: String,
}

#[derive(Deserialize)]
struct Project {
    id: String,
}

#[derive(Deserialize)]
struct Role {
    name: String,
}

#[derive(Deserialize)]
struct ApplicationCredential {
    access_rules: Option<serde::de::IgnoredAny>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONGEST: usize = 3072;

    #[test]
    fn blanks_and_padding_are_taken_off() {
        let token = "gAAAAABpIk5mAAAAAAAAAAAAAA";
        for spelled in [" {}", "{} ", "\t{}\t ", "{}=", "{}==", " {}== "] {
            assert_eq!(canonical(&spelled.replace("{}", token), LONGEST), Some(token), "{spelled:?}");
        }
    }

    #[test]
    fn tokens_as_providers_make_them_are_left_alone() {
        let uuid = "6c81211a796a4ae3940cca1e6af77c96";
        let jws = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.AAAAAAAAAAAAAAAAAAAAAA";
        for token in [uuid, jws, &"a".repeat(20), &"a".repeat(LONGEST)] {
            assert_eq!(canonical(token, LONGEST), Some(token));
        }
    }

    #[test]
    fn what_cannot_be_a_token_is_refused() {
        for given in [
            "",
            "short",
            &"a".repeat(19),
            &"a".repeat(LONGEST + 1),
            &"a".repeat(1_000_000),
            &"=".repeat(40),
            "gAAAAABp!!!!!!!!!!!!Ik5mAAAAAAAA",
            "gAAAAABpIk5mAAAA=AAAAAAAAAAA",
            "gAAAAABpIk5m AAAAAAAAAAAAAAA",
            "gAAAAABpIk5m\0AAAAAAAAAAAAAAA",
            "gAAAAABpIk5m\nAAAAAAAAAAAAAAA",
            "gAAAAABpIk5mAAAAAAAAAAAAAé",
            "gAAAAABpIk5m+AAAAAAAA/AAAAAA",
        ] {
            assert_eq!(canonical(given, LONGEST), None, "{given:.60}");
        }
    }

    #[test]
    fn the_unused_bits_of_the_last_letter_name_no_second_token() {
        assert!(canonical("gAAAAABpIk5mAAAAAAAAAAAAAA", LONGEST).is_some());
        for last in ["B", "C", "P", "f", "_"] {
            assert_eq!(canonical(&format!("gAAAAABpIk5mAAAAAAAAAAAAA{last}"), LONGEST), None);
            let jws = format!("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.AAAAAAAAAAAAAAAAAAAAA{last}");
            assert_eq!(canonical(&jws, LONGEST), None);
        }
    }

    proptest! {
        #[test]
        fn a_canonical_token_is_its_own_canonical_form(given in "[ \\t]{0,3}[A-Za-z0-9_.=-]{0,80}[ \\t=]{0,3}") {
            if let Some(token) = canonical(&given, LONGEST) {
                prop_assert_eq!(canonical(token, LONGEST), Some(token));
                prop_assert!(given.contains(token));
            }
        }
    }

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
        assert_eq!(vouched.audit_ids, ["own".into(), "parent".into()]);
        assert!(!vouched.has_access_rules);
    }

    #[test]
    fn access_rules_are_noticed_even_when_the_list_is_empty() {
        let made_by = |rules: &str| vouched(&format!(r#", "application_credential": {{"id": "c"{rules}}}"#));
        assert!(made_by(r#", "access_rules": [{"method": "GET"}]"#).has_access_rules);
        assert!(made_by(r#", "access_rules": []"#).has_access_rules);
        assert!(!made_by("").has_access_rules);
        assert!(!made_by(r#", "access_rules": null"#).has_access_rules);
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
