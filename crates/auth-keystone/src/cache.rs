//! What is remembered about tokens, in this process and for a short while.

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::{hmac, rand};
use chrono::{DateTime, Utc};
use core_domain::caller::Caller;
use quick_cache::{Weighter, sync::Cache};

use crate::{backoff, clock::KeystoneTime, token::Vouched};

/// The name of a token in here: useless to whoever reads it, for the key is made at random when the process starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

/// Somebody vouched for.
struct Known {
    caller: Arc<Caller>,
    expires_at: DateTime<Utc>,
    /// On the steady clock; then Keystone is asked again.
    fresh_until: Duration,
    /// For the revocation events to come: they name tokens by these.
    audit_ids: Vec<Box<str>>,
}

impl Known {
    /// Roughly the memory this holds, in bytes.
    fn size(&self) -> usize {
        let texts = self.caller.roles().iter().map(|role| role.len() + size_of::<String>()).sum::<usize>()
            + self.audit_ids.iter().map(|id| id.len() + size_of::<Box<str>>()).sum::<usize>()
            + self.caller.user.as_str().len()
            + self.caller.project.as_ref().map_or(0, |project| project.as_str().len());
        texts + size_of::<Self>() + size_of::<Caller>() + size_of::<Digest>()
    }
}

/// What one place in the cache may weigh: 10,000 of them are 16 MiB.
const PLACE: usize = 16 * 1024 * 1024 / 10_000;

/// Entries that are larger than a place take several.
#[derive(Clone)]
struct Places;

impl Weighter<Digest, Arc<Known>> for Places {
    fn weight(&self, _: &Digest, known: &Arc<Known>) -> u64 {
        known.size().div_ceil(PLACE) as u64
    }
}

/// What the cache knows about a token.
pub(crate) enum Memory {
    /// Keystone vouched for its bearer.
    Good(Arc<Caller>),
    /// Keystone rejected it.
    Bad,
    /// Keystone has to be asked.
    Nothing,
}

/// Good tokens and bad ones, each in bounds of their own: no flood of bad ones drives a good one out.
pub(crate) struct TokenCache {
    key: hmac::Key,
    good: Cache<Digest, Arc<Known>, Places>,
    bad: Cache<Digest, Duration>,
    good_for: Duration,
    bad_for: Duration,
}

impl TokenCache {
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn new(
        (good, good_for): (usize, Duration),
        (bad, bad_for): (usize, Duration),
    ) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new())?;
        Ok(Self {
            key,
            good: Cache::with_weighter(good, good as u64, Places),
            bad: Cache::new(bad),
            good_for,
            bad_for,
        })
    }

    /// The name of a canonical token. Tokens that may be used past their end will get names of their own.
    pub(crate) fn digest(&self, token: &str) -> Digest {
        let tag = hmac::sign(&self.key, token.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(tag.as_ref());
        Digest(digest)
    }

    /// What is known. Nothing is served past its expiry by Keystone's clock, nor past its time in here.
    pub(crate) fn recall(&self, digest: &Digest, time: &KeystoneTime) -> Memory {
        let steady = time.steady();
        if let Some(known) = self.good.get(digest) {
            if steady < known.fresh_until && time.now().is_some_and(|now| now < known.expires_at) {
                return Memory::Good(Arc::clone(&known.caller));
            }
            self.good.remove_if(digest, |other| Arc::ptr_eq(other, &known));
        }
        match self.bad.get(digest) {
            Some(until) if steady < until => Memory::Bad,
            Some(until) => {
                self.bad.remove_if(digest, |other| *other == until);
                Memory::Nothing
            }
            None => Memory::Nothing,
        }
    }

    /// Remembers a good one, for up to a tenth less than the full time: tokens that came together are not asked for
    /// together again.
    pub(crate) fn remember_good(&self, digest: Digest, vouched: Vouched, time: &KeystoneTime) -> Arc<Caller> {
        let caller = Arc::new(vouched.caller);
        let kept = backoff::within(self.good_for.mul_f64(0.9)..self.good_for);
        let known = Known {
            caller: Arc::clone(&caller),
            expires_at: vouched.expires_at,
            fresh_until: time.steady() + kept,
            audit_ids: vouched.audit_ids,
        };
        self.good.insert(digest, Arc::new(known));
        caller
    }

    /// Remembers that this one was rejected.
    pub(crate) fn remember_bad(&self, digest: Digest, time: &KeystoneTime) {
        self.good.remove(&digest);
        self.bad.insert(digest, time.steady() + self.bad_for);
    }

    /// How many good and bad ones are held, expired ones included until they are asked for or pushed out.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.good.len(), self.bad.len())
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (good, bad) = self.len();
        f.debug_struct("TokenCache").field("good", &good).field("bad", &bad).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use core_domain::project::{ProjectId, UserId};

    use super::*;
    use crate::clock::SystemClock;

    fn time() -> KeystoneTime {
        let time = KeystoneTime::new(Arc::new(SystemClock::default()));
        time.learn(Utc::now(), Utc::now());
        time
    }

    fn vouched(role: &str) -> Vouched {
        let id = "6c81211a796a4ae3940cca1e6af77c96";
        let roles = ["admin", "manager", "member", "reader", role];
        Vouched {
            caller: Caller::new(UserId::new(id), ProjectId::parse(id).ok(), roles),
            issued_at: Some(Utc::now()),
            expires_at: Utc::now() + TimeDelta::hours(1),
            audit_ids: vec!["rgcW7j_IRzyqiN2CxTRjGQ".into(), "rgcW7j_IRzyqiN2CxTRjGQ".into()],
            has_access_rules: false,
        }
    }

    #[test]
    fn ten_thousand_entries_are_held_in_sixteen_mebibytes() {
        let time = time();
        let minute = Duration::from_secs(60);
        let tokens = TokenCache::new((10_000, minute), (10_000, minute)).unwrap();
        for number in 0..30_000 {
            tokens.remember_good(tokens.digest(&number.to_string()), vouched("owner"), &time);
        }
        let (good, _) = tokens.len();
        assert!((9_000..=10_000).contains(&good), "{good}");
        let bytes: usize = tokens.good.iter().map(|(_, known)| known.size()).sum();
        assert!(bytes <= 16 * 1024 * 1024, "{bytes} bytes");

        let large = "r".repeat(100_000);
        for number in 0..1_000 {
            tokens.remember_good(tokens.digest(&format!("large {number}")), vouched(&large), &time);
        }
        let bytes: usize = tokens.good.iter().map(|(_, known)| known.size()).sum();
        assert!(bytes <= 17 * 1024 * 1024, "{bytes} bytes");
    }

    #[test]
    fn a_flood_of_a_hundred_thousand_bad_tokens_evicts_no_good_entry() {
        let time = time();
        let minute = Duration::from_secs(60);
        let tokens = TokenCache::new((10_000, minute), (10_000, minute)).unwrap();
        let good: Vec<_> = (0..5_000).map(|number| tokens.digest(&format!("good {number}"))).collect();
        for digest in &good {
            tokens.remember_good(*digest, vouched("owner"), &time);
        }
        for number in 0..100_000 {
            tokens.remember_bad(tokens.digest(&format!("bad {number}")), &time);
        }
        let held =
            good.iter().filter(|digest| matches!(tokens.recall(digest, &time), Memory::Good(_))).count();
        assert_eq!(held, good.len());
        assert!(tokens.len().1 <= 10_000);
    }

    #[test]
    fn the_same_token_has_another_name_in_another_process() {
        let minute = Duration::from_secs(60);
        let one = TokenCache::new((1, minute), (1, minute)).unwrap();
        let other = TokenCache::new((1, minute), (1, minute)).unwrap();
        assert_eq!(one.digest("token"), one.digest("token"));
        assert_ne!(one.digest("token"), other.digest("token"));
    }
}
