//! The readers of tokens and of Keystone's answers, for `fuzz/`: they are private, and what they read is nobody
//! else's.

use std::{
    path::Path,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use chrono::{DateTime, Utc};
use reqwest::header::HeaderValue;

use crate::{
    access_rules::MAX_RULES,
    config::JwsAlgorithm,
    format::Formats,
    jws::{Jws, Look},
    known::{Known, Lives},
    meaning::{Meaning, Told},
    revocation::Events,
    token,
};

const LONGEST: usize = 3072;

/// Reads what came as a token. What is let through is its own one spelling, can stand in a header, and has a shape
/// only if that is one of the formats'.
pub fn form(given: &str, now: Option<DateTime<Utc>>) {
    let Some(token) = token::canonical(given, LONGEST) else { return };
    assert_eq!(token::canonical(token, LONGEST), Some(token), "two spellings");
    assert!((token::SHORTEST..=LONGEST).contains(&token.len()) && given.contains(token));
    assert!(HeaderValue::from_str(token).is_ok(), "cannot be sent");
    // Padded, it is still the same.
    assert_eq!(token::canonical(&format!("\t {token}== "), LONGEST), Some(token));

    let algorithms = [JwsAlgorithm::Es256, JwsAlgorithm::EdDsa];
    let fits = |formats: Formats| formats.fit(token, &algorithms, now);
    let [fernet, jws] = [(true, false), (false, true)].map(|(fernet, jws)| Formats::Only { fernet, jws });
    let (fernet, jws) = (fits(fernet), fits(jws));
    assert!(fits(Formats::Any) && fits(Formats::default()) == (fernet || jws));
    assert!(!(fernet && jws), "of both formats");
    assert!(!fernet || (token.starts_with(token::FERNET) && !token.contains('.')));
    assert!(!jws || token.split('.').count() == 3);
}

/// Whoever looks at signed tokens, with the keys of a folder.
#[derive(Debug)]
pub struct Looker(Jws);

/// What it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Keystone would be asked.
    Nothing,
    /// It would be refused without.
    Forged,
    /// The same.
    Expired,
}

impl Looker {
    /// Allows ES256 and EdDSA, with 5 s of leeway. The folder is read now and never again.
    ///
    /// # Panics
    /// The folder holds no public key.
    pub fn new(folder: &Path) -> Self {
        let algorithms = [JwsAlgorithm::Es256, JwsAlgorithm::EdDsa];
        match Jws::new(folder, &algorithms, Duration::from_secs(5), Duration::ZERO) {
            Ok(jws) => Self(jws),
            Err(error) => panic!("{error}"),
        }
    }

    /// Looks at a token.
    pub fn look(&self, token: &str, now: Option<DateTime<Utc>>) -> Seen {
        // At the moment the keys were read, so that it waits for nothing.
        let look = pin!(self.0.look(token, now, Duration::ZERO));
        match look.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Look::Ask) => Seen::Nothing,
            Poll::Ready(Look::Forged) => Seen::Forged,
            Poll::Ready(Look::Expired) => Seen::Expired,
            Poll::Pending => panic!("it waits"),
        }
    }
}

/// Reads Keystone's answer to a validation. Nobody is vouched for but by a 200, nobody rejected but by what decides;
/// whoever is vouched for is used, and held against `events`.
pub fn answer(status: u16, body: &[u8], may_validate: bool, events: &[u8], call: &str) {
    match Meaning::of(status, body, may_validate) {
        Meaning::Vouched(vouched) => {
            assert_eq!(status, 200);
            assert!(!vouched.caller.user.as_str().is_empty(), "vouched for nobody");
            let minute = Duration::from_secs(60);
            let lives = Lives {
                good: 1,
                good_for: minute,
                privileged_for: minute,
                stale_for: minute,
                bad: 1,
                bad_for: minute,
            };
            let known = Known::new(*vouched, Duration::ZERO, &lives, false);
            let _ = (known.size(), known.allows("GET", call), known.is_privileged());
            let Ok(Told::Events(events)) = Told::of(200, events) else { return };
            let events = Events::new(events);
            assert!(events.may_hit(known.print()) || !known.is_hit(&events), "the print hides it");
        }
        Meaning::Rejected => assert!(status == 404 || (status == 403 && may_validate), "{status}"),
        Meaning::TooManyRules { rules, .. } => {
            assert!(status == 200 && rules > MAX_RULES, "{status} {rules}")
        }
        Meaning::OwnTokenRejected => assert_eq!(status, 401),
        Meaning::Undecided(_) => {}
    }
}
