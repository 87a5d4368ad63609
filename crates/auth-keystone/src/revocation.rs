//! Which tokens a revocation event of Keystone's hits (`GET /v3/OS-REVOKE/events`).

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::vouched::stamp;

/// What a revocation may know a token by.
#[derive(Debug)]
pub(crate) struct Marks {
    pub(crate) issued_at: Option<DateTime<Utc>>,
    pub(crate) expires_at: DateTime<Utc>,
    /// Its own, then that of the token it was made from. They identify a token in logs and revocation events
    /// without being of use to a thief.
    pub(crate) audit_ids: Vec<Box<str>>,
    /// The bearer and, by trust, who gave it and who got it.
    pub(crate) users: Vec<Box<str>>,
    pub(crate) project: Option<Box<str>>,
    /// Of the bearer, of the project, or what the token is for.
    pub(crate) domains: Vec<Box<str>>,
    pub(crate) trust: Option<Box<str>>,
}

impl Marks {
    /// Roughly the memory their texts hold, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.ids().map(|id| id.len() + size_of::<Box<str>>()).sum()
    }

    /// Of all ids.
    pub(crate) fn print(&self) -> Print {
        self.ids().fold(Print::default(), |all, id| Print(all.0 | Print::of(id).0))
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        let single = [&self.project, &self.trust].into_iter().flatten();
        [&self.audit_ids, &self.users, &self.domains].into_iter().flatten().chain(single).map(|id| &**id)
    }
}

/// Bits that ids leave, two each: where those of an id are missing, it is not among them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Print(u128);

impl Print {
    fn of(id: &str) -> Self {
        let mut hash = DefaultHasher::new();
        id.hash(&mut hash);
        let hash = hash.finish();
        Self(1 << (hash % 128) | 1 << (hash / 128 % 128))
    }

    fn may_contain(self, id: Self) -> bool {
        self.0 & id.0 == id.0
    }
}

/// With more events, whatever may be hit is most of what there is: then prints are not looked at.
const PRINTS: usize = 64;

/// Events, by what they name, so that many can be held against many tokens.
#[derive(Debug, Default)]
pub(crate) struct Events {
    by_id: HashMap<Box<str>, Vec<Event>>,
    /// Of the ids; empty if there are many.
    prints: Vec<Print>,
    /// Those that name nothing we know of, and so may mean anybody.
    broad: Vec<Event>,
    /// All tokens are hit: more was revoked than could be told.
    all: bool,
}

/// An event. What it does not say it does not ask for; what it says and we do not know is taken to be true: a token too
/// many costs a call, one too few a revocation.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Hash)]
pub(crate) struct Event {
    pub(crate) revoked_at: Option<String>,
    issued_before: Option<String>,
    audit_id: Option<Box<str>>,
    audit_chain_id: Option<Box<str>>,
    user_id: Option<Box<str>>,
    project_id: Option<Box<str>>,
    domain_id: Option<Box<str>>,
    domain_scope_id: Option<Box<str>>,
    expires_at: Option<String>,
    #[serde(rename = "OS-TRUST:trust_id")]
    trust_id: Option<Box<str>>,
}

/// What somebody knows to be revoked without Keystone telling.
#[derive(Clone, Copy, Debug)]
pub enum Revoked<'a> {
    /// The token with this audit id.
    Audit(&'a str),
    /// That token, and all that were made from it.
    Chain(&'a str),
    /// All tokens of this user, and those by trusts it gave or got.
    User(&'a str),
    /// All tokens for this project.
    Project(&'a str),
    /// All tokens by this trust.
    Trust(&'a str),
}

impl From<Revoked<'_>> for Event {
    fn from(revoked: Revoked<'_>) -> Self {
        let mut event = Self::default();
        let (field, id) = match revoked {
            Revoked::Audit(id) => (&mut event.audit_id, id),
            Revoked::Chain(id) => (&mut event.audit_chain_id, id),
            Revoked::User(id) => (&mut event.user_id, id),
            Revoked::Project(id) => (&mut event.project_id, id),
            Revoked::Trust(id) => (&mut event.trust_id, id),
        };
        *field = Some(id.into());
        event
    }
}

impl Event {
    /// The id that fewest tokens have.
    fn key(&self) -> Option<&str> {
        let keys = [&self.audit_id, &self.audit_chain_id, &self.trust_id, &self.user_id, &self.project_id];
        keys.into_iter().find_map(Option::as_deref)
    }

    fn hits(&self, marks: &Marks) -> bool {
        let is = |asked: &Option<Box<str>>, has: Option<&Box<str>>| {
            asked.as_ref().is_none_or(|asked| Some(asked) == has)
        };
        let is_among = |asked: &Option<Box<str>>, has: &[Box<str>]| {
            asked.as_ref().is_none_or(|asked| has.contains(asked))
        };
        let ends = self.expires_at.as_deref().and_then(stamp);
        let before = self.issued_before.as_deref().and_then(stamp);
        is(&self.audit_id, marks.audit_ids.first())
            && is(&self.audit_chain_id, marks.audit_ids.last())
            && is(&self.project_id, marks.project.as_ref())
            && is(&self.trust_id, marks.trust.as_ref())
            && is_among(&self.user_id, &marks.users)
            && is_among(&self.domain_id, &marks.domains)
            && is_among(&self.domain_scope_id, &marks.domains)
            && ends.is_none_or(|ends| ends.timestamp() == marks.expires_at.timestamp())
            && match (marks.issued_at, before) {
                (Some(issued), Some(before)) => issued <= before,
                (None, _) | (_, None) => true,
            }
    }
}

impl Events {
    /// These.
    pub(crate) fn new(events: impl IntoIterator<Item = Event>) -> Self {
        let mut all = Self::default();
        for event in events {
            match event.key() {
                Some(key) => all.by_id.entry(key.into()).or_default().push(event),
                None => all.broad.push(event),
            }
        }
        if all.by_id.len() <= PRINTS {
            all.prints = all.by_id.keys().map(|id| Print::of(id)).collect();
        }
        all
    }

    /// Too many to tell.
    pub(crate) fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Whether one of them may hit a token whose marks leave this print; if not, none does.
    pub(crate) fn may_hit(&self, print: Print) -> bool {
        self.all
            || !self.broad.is_empty()
            || self.by_id.len() > self.prints.len()
            || self.prints.iter().any(|id| print.may_contain(*id))
    }

    /// Whether one of them hits a token with these marks.
    pub(crate) fn hit(&self, marks: &Marks) -> bool {
        self.all
            || self.broad.iter().any(|event| event.hits(marks))
            || marks.ids().any(|id| {
                self.by_id.get(id).is_some_and(|events| events.iter().any(|event| event.hits(marks)))
            })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ISSUED: &str = "2026-11-21T23:02:18.000000Z";
    const LATER: &str = "2026-11-21T23:02:19.000000Z";
    const EARLIER: &str = "2026-11-21T23:02:17.000000Z";
    const EXPIRES: &str = "2026-11-22T00:02:18.000000Z";

    fn marks() -> Marks {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).into()).collect();
        Marks {
            issued_at: stamp(ISSUED),
            expires_at: stamp(EXPIRES).unwrap(),
            audit_ids: ids(&["own", "chain"]),
            users: ids(&["bearer", "trustor", "trustee"]),
            project: Some("project".into()),
            domains: ids(&["domain"]),
            trust: Some("trust".into()),
        }
    }

    fn hits(mut event: Value) -> bool {
        if event.get("issued_before").is_none() {
            event["issued_before"] = json!(LATER);
        }
        event["revoked_at"] = json!(LATER);
        let events = Events::new([serde_json::from_value(event).unwrap()]);
        let hit = events.hit(&marks());
        assert!(events.may_hit(marks().print()) || !hit, "the print hides it");
        hit
    }

    #[test]
    fn an_event_hits_a_token_that_has_all_it_names() {
        for (event, hit) in [
            (json!({"audit_id": "own"}), true),
            (json!({"audit_id": "chain"}), false),
            (json!({"audit_chain_id": "chain"}), true),
            (json!({"audit_chain_id": "own"}), false),
            (json!({"user_id": "bearer"}), true),
            (json!({"user_id": "trustor"}), true),
            (json!({"user_id": "trustee"}), true),
            (json!({"user_id": "project"}), false),
            (json!({"project_id": "project"}), true),
            (json!({"project_id": "other"}), false),
            (json!({"user_id": "bearer", "project_id": "project"}), true),
            (json!({"user_id": "bearer", "project_id": "other"}), false),
            (json!({"OS-TRUST:trust_id": "trust"}), true),
            (json!({"OS-TRUST:trust_id": "other"}), false),
            (json!({"domain_id": "domain"}), true),
            (json!({"domain_scope_id": "other"}), false),
            (json!({"user_id": "bearer", "expires_at": EXPIRES}), true),
            (json!({"user_id": "bearer", "expires_at": LATER}), false),
            (json!({"audit_id": null, "user_id": "bearer"}), true),
            // What is not known here is taken to be true.
            (json!({"user_id": "bearer", "role_id": "r"}), true),
            (json!({"role_id": "r"}), true),
            (json!({"OS-OAUTH1:consumer_id": "c"}), true),
        ] {
            assert_eq!(hits(event.clone()), hit, "{event}");
        }
    }

    #[test]
    fn an_event_hits_tokens_made_up_to_its_second() {
        for (before, hit) in [(LATER, true), (ISSUED, true), (EARLIER, false), ("some day", true)] {
            assert_eq!(hits(json!({"user_id": "bearer", "issued_before": before})), hit, "{before}");
        }
    }

    #[test]
    fn of_many_events_one_is_enough() {
        let event = |user: &str| -> Event {
            serde_json::from_value(json!({"user_id": user, "issued_before": LATER})).unwrap()
        };
        let others = || (0..5_000).map(|number| event(&number.to_string()));
        assert!(!Events::new(others()).hit(&marks()));
        assert!(Events::new(others().chain([event("trustor")])).hit(&marks()));
        assert!(Events::all().hit(&marks()));
        assert!(!Events::default().hit(&marks()));
    }
}
