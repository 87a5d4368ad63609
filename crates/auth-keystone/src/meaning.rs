//! What Keystone's answers mean.

use serde::Deserialize;

use crate::{
    outage::Outage,
    revocation::Event,
    vouched::{Unusable, Vouched},
};

/// What an answer to a validation means.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// The token is good.
    Vouched(Box<Vouched>),
    /// The token is not good: decided.
    Rejected,
    /// The token is good, but this user's credential has so many access rules that it is refused.
    TooManyRules { rules: usize, user: Box<str> },
    /// Our own token is not good; nothing is said about the other.
    OwnTokenRejected,
    /// Nothing was decided.
    Undecided(Outage),
}

impl Meaning {
    /// Reads an answer; `may_validate`: whether our own token is known to be allowed to ask. Bodies may contain whole
    /// tokens: nothing of them leaves this function.
    pub(crate) fn of(status: u16, body: &[u8], may_validate: bool) -> Self {
        match status {
            200 => match Vouched::parse(body) {
                Ok(vouched) => Self::Vouched(Box::new(vouched)),
                Err(Unusable::TooManyRules { rules, user }) => Self::TooManyRules { rules, user },
                Err(Unusable::Malformed(reason)) => Self::Undecided(Outage::Unreadable(reason)),
            },
            // Keystone's own 404 has a body of its own; anybody else's means that Keystone is elsewhere.
            404 if is_keystones_error(body, 404) => Self::Rejected,
            404 | 300..=399 => Self::Undecided(Outage::WrongAddress(status)),
            401 => Self::OwnTokenRejected,
            // Either we may not ask at all, or the token is by a trust whose trustor is gone or lost the role. The
            // texts tell, but are no interface; that we may ask is known from our own roles or from an earlier answer.
            403 if may_validate => Self::Rejected,
            403 => Self::Undecided(Outage::NotAllowed),
            other => Self::Undecided(Outage::Failing(other)),
        }
    }
}

fn is_keystones_error(body: &[u8], code: u16) -> bool {
    #[derive(Deserialize)]
    struct Body {
        error: Error,
    }
    #[derive(Deserialize)]
    struct Error {
        code: u16,
    }
    serde_json::from_slice(body).is_ok_and(|body: Body| body.error.code == code)
}

/// What Keystone tells of revocations.
#[derive(Debug)]
pub(crate) enum Told {
    /// These.
    Events(Vec<Event>),
    /// Nothing, not to us: with this status.
    Nothing(u16),
    /// Our own token is not good.
    OwnTokenRejected,
}

#[derive(Deserialize)]
struct List {
    events: Vec<Event>,
}

impl Told {
    /// Reads an answer.
    ///
    /// # Errors
    /// It says nothing about revocations.
    pub(crate) fn of(status: u16, body: &[u8]) -> Result<Self, Outage> {
        match status {
            200 => serde_json::from_slice(body)
                .map(|List { events }| Self::Events(events))
                .map_err(|_| Outage::Unreadable("the body is no list of revocations")),
            401 => Ok(Self::OwnTokenRejected),
            403 | 404 | 410 => Ok(Self::Nothing(status)),
            other => Err(Outage::Failing(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"token": {"methods": ["password"], "user": {"id": "u"}, "audit_ids": ["a"],
        "issued_at": "2026-11-21T23:02:18.000000Z", "expires_at": "2026-11-22T00:02:18.000000Z"}}"#;
    const PAGE: &str = "<!doctype html>\n<title>404 Not Found</title>";

    fn error(code: u16) -> String {
        format!(
            r#"{{"error": {{"code": {code}, "title": "T", "message": "Could not find token: gAAAAABsecret."}}}}"#
        )
    }

    #[test]
    fn every_answer_of_keystone_means_what_the_exchange_says() {
        let said = |status, body: &str, may_validate| match Meaning::of(status, body.as_bytes(), may_validate)
        {
            Meaning::Vouched(_) => "vouched",
            Meaning::Rejected => "rejected",
            Meaning::TooManyRules { .. } => "too many rules",
            Meaning::OwnTokenRejected => "own token",
            Meaning::Undecided(Outage::WrongAddress(_)) => "wrong address",
            Meaning::Undecided(Outage::NotAllowed) => "not allowed",
            Meaning::Undecided(Outage::Unreadable(_)) => "unreadable",
            Meaning::Undecided(Outage::Failing(_)) => "failing",
            Meaning::Undecided(other) => panic!("{other}"),
        };
        for (status, body, may_validate, means) in [
            (200, GOOD.to_owned(), true, "vouched"),
            (200, GOOD.to_owned(), false, "vouched"),
            (200, "{}".to_owned(), true, "unreadable"),
            (200, PAGE.to_owned(), true, "unreadable"),
            (200, String::new(), true, "unreadable"),
            (404, error(404), true, "rejected"),
            (404, error(404), false, "rejected"),
            (404, PAGE.to_owned(), true, "wrong address"),
            (404, String::new(), true, "wrong address"),
            (404, "{}".to_owned(), true, "wrong address"),
            (404, error(200), true, "wrong address"),
            (404, r#"{"error": "not found"}"#.to_owned(), true, "wrong address"),
            (301, String::new(), true, "wrong address"),
            (401, error(401), true, "own token"),
            (401, PAGE.to_owned(), true, "own token"),
            (403, error(403), false, "not allowed"),
            (403, error(403), true, "rejected"),
            (400, error(400), true, "failing"),
            (405, error(405), true, "failing"),
            (429, error(429), true, "failing"),
            (500, error(500), true, "failing"),
            (502, PAGE.to_owned(), true, "failing"),
            (503, PAGE.to_owned(), true, "failing"),
            (504, PAGE.to_owned(), true, "failing"),
            (204, String::new(), true, "failing"),
        ] {
            assert_eq!(said(status, &body, may_validate), means, "{status} {body} {may_validate}");
        }
    }

    #[test]
    fn no_meaning_repeats_what_keystone_said() {
        for status in [200, 400, 401, 403, 404, 500] {
            for may_validate in [true, false] {
                let shown = format!("{:?}", Meaning::of(status, error(status).as_bytes(), may_validate));
                assert!(!shown.contains("gAAAAAB"), "{shown}");
            }
        }
    }
}
