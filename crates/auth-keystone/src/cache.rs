//! What is remembered about tokens, in this process and for a short while.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use aws_lc_rs::{hmac, rand};
use core_domain::caller::Caller;
use quick_cache::{Weighter, sync::Cache};

use crate::{
    access_rules::AccessRule,
    backoff,
    clock::KeystoneTime,
    revocation::{Events, Marks},
    vouched::Vouched,
};

/// The name of a token in here: useless to whoever reads it, for the key is made at random when the process starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

/// What a token's end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It ends.
    Counts,
    /// A service asks for its bearer: it is good for a while after its end, as Keystone decides.
    Waived,
}

/// Somebody vouched for.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) caller: Arc<Caller>,
    access_rules: Option<Vec<AccessRule>>,
    marks: Marks,
    /// When Keystone was asked, on the steady clock.
    asked: Duration,
    /// Then Keystone is asked again.
    fresh_until: Duration,
    /// Then Keystone is asked behind the back of who uses it; in microseconds.
    refresh_from: AtomicU64,
}

impl Known {
    /// Roughly the memory this holds, in bytes.
    fn size(&self) -> usize {
        let texts = self.caller.roles().iter().map(|role| role.len() + size_of::<String>()).sum::<usize>()
            + self.caller.user.as_str().len()
            + self.caller.project.as_ref().map_or(0, |project| project.as_str().len());
        let rules = self.access_rules.iter().flatten().map(AccessRule::size).sum::<usize>();
        texts + rules + self.marks.size() + size_of::<Self>() + size_of::<Caller>() + size_of::<Digest>()
    }

    /// Whether the token is good for this call.
    pub(crate) fn allows(&self, method: &str, path: &str) -> bool {
        self.access_rules.as_ref().is_none_or(|rules| rules.iter().any(|rule| rule.allows(method, path)))
    }

    /// Whether much can be done with it: Keystone is asked more often, and never done without.
    pub(crate) fn is_privileged(&self) -> bool {
        is_privileged(&self.caller)
    }

    /// Whether it is past its end, or nobody knows what time it is.
    pub(crate) fn ends(&self, end: End, time: &KeystoneTime) -> bool {
        end == End::Counts && time.now().is_none_or(|now| self.marks.expires_at <= now)
    }

    /// Whether it is time to ask again; said to one of those who ask, and after a while to another.
    fn is_due(&self, now: Duration) -> bool {
        let due = self.refresh_from.load(Relaxed);
        let now = micros(now);
        now >= due && {
            let again = now + micros(self.fresh_until).saturating_sub(now) / 4 + 1_000_000;
            self.refresh_from.compare_exchange(due, again, Relaxed, Relaxed).is_ok()
        }
    }
}

/// Roles with which one reads and changes what is others'.
const PRIVILEGED_ROLES: [&str; 2] = ["admin", "service"];

fn is_privileged(caller: &Caller) -> bool {
    PRIVILEGED_ROLES.iter().any(|role| caller.has_role(role))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
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
    Good {
        /// Who that is.
        known: Arc<Known>,
        /// Whoever is told this should ask Keystone again, without waiting for it.
        due: bool,
    },
    /// Keystone rejected it.
    Bad,
    /// Keystone has to be asked.
    Nothing,
}

/// How long things are remembered, and how many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lives {
    /// Good tokens …
    pub(crate) good: usize,
    pub(crate) good_for: Duration,
    /// … with much power …
    pub(crate) privileged_for: Duration,
    /// … and when Keystone cannot be asked.
    pub(crate) stale_for: Duration,
    /// Rejected ones.
    pub(crate) bad: usize,
    pub(crate) bad_for: Duration,
}

/// Good tokens and bad ones, each in bounds of their own: no flood of bad ones drives a good one out.
pub(crate) struct TokenCache {
    key: hmac::Key,
    good: Cache<Digest, Arc<Known>, Places>,
    bad: Cache<Digest, Duration>,
    lives: Lives,
    /// Good ones older than this are asked about, whatever was meant for them; in microseconds.
    oldest: AtomicU64,
}

impl TokenCache {
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn new(lives: Lives) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new())?;
        Ok(Self {
            key,
            good: Cache::with_weighter(lives.good, lives.good as u64, Places),
            bad: Cache::new(lives.bad),
            lives,
            oldest: AtomicU64::new(u64::MAX),
        })
    }

    /// The name of a canonical token. One that may be used past its end has another then.
    pub(crate) fn digest(&self, token: &str, end: End) -> Digest {
        let mut tag = hmac::Context::with_key(&self.key);
        tag.update(token.as_bytes());
        if end == End::Waived {
            // No letter of a token.
            tag.update(b"\n");
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(tag.sign().as_ref());
        Digest(digest)
    }

    /// What is known. Nothing is served past its expiry by Keystone's clock, nor past its time in here.
    pub(crate) fn recall(&self, digest: &Digest, end: End, time: &KeystoneTime) -> Memory {
        let now = time.steady();
        if let Some(known) = self.good.get(digest) {
            let old = micros(now.saturating_sub(known.asked)) >= self.oldest.load(Relaxed);
            if known.ends(end, time) || now >= known.asked + self.lives.stale_for.max(self.lives.good_for) {
                self.good.remove_if(digest, |other| Arc::ptr_eq(other, &known));
            } else if now < known.fresh_until && !old {
                let due = known.is_due(now);
                return Memory::Good { known, due };
            }
        }
        match self.bad.get(digest) {
            Some(until) if now < until => Memory::Bad,
            Some(until) => {
                self.bad.remove_if(digest, |other| *other == until);
                Memory::Nothing
            }
            None => Memory::Nothing,
        }
    }

    /// What was known a while ago, for when Keystone cannot be asked. Nothing about those with much power, and nothing
    /// past its expiry.
    pub(crate) fn stale(&self, digest: &Digest, end: End, time: &KeystoneTime) -> Option<Arc<Known>> {
        let known = self.good.get(digest)?;
        let usable = time.steady() < known.asked + self.lives.stale_for
            && !known.is_privileged()
            && !known.ends(end, time);
        usable.then_some(known)
    }

    /// What came of a question asked at `asked`, with its times in here: up to a tenth less than the full ones, for
    /// tokens that came together are not to be asked for together again.
    pub(crate) fn known(&self, vouched: Vouched, asked: Duration) -> Arc<Known> {
        let Vouched { caller, access_rules, marks } = vouched;
        let life = if is_privileged(&caller) {
            self.lives.good_for.min(self.lives.privileged_for)
        } else {
            self.lives.good_for
        };
        let kept = backoff::within(life.mul_f64(0.9)..life);
        Arc::new(Known {
            caller: Arc::new(caller),
            access_rules,
            marks,
            asked,
            fresh_until: asked + kept,
            refresh_from: AtomicU64::new(micros(asked + kept.mul_f64(0.8))),
        })
    }

    /// Remembers a good one.
    pub(crate) fn remember_good(&self, digest: Digest, known: &Arc<Known>) {
        self.good.insert(digest, Arc::clone(known));
    }

    /// Remembers that this one was rejected.
    pub(crate) fn remember_bad(&self, digest: Digest, time: &KeystoneTime) {
        self.good.remove(&digest);
        self.bad.insert(digest, time.steady() + self.lives.bad_for);
    }

    /// Forgets good ones that these events hit, and says how many were. One walk, however many events.
    pub(crate) fn forget(&self, events: &Events) -> usize {
        let hit: Vec<_> = self
            .good
            .iter()
            .filter(|(_, known)| events.hit(&known.marks))
            .map(|(digest, _)| digest)
            .collect();
        hit.iter().for_each(|digest| drop(self.good.remove(digest)));
        hit.len()
    }

    /// Forgets this one.
    pub(crate) fn forget_one(&self, digest: &Digest) {
        self.good.remove(digest);
    }

    /// Good ones are good for no longer than this from now on; `None`: as long as they were meant to be.
    pub(crate) fn limit(&self, oldest: Option<Duration>) {
        self.oldest.store(oldest.map_or(u64::MAX, micros), Relaxed);
    }

    /// How many good and bad ones are held, expired ones included until they are asked for or pushed out.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.good.len(), self.bad.len())
    }
}

impl Known {
    /// Whether one of these events hits it.
    pub(crate) fn is_hit(&self, events: &Events) -> bool {
        events.hit(&self.marks)
    }

    /// The ids by which Keystone's operators find it.
    pub(crate) fn audit_ids(&self) -> &[Box<str>] {
        &self.marks.audit_ids
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
    use chrono::{TimeDelta, Utc};
    use core_domain::project::{ProjectId, UserId};

    use super::*;
    use crate::clock::SystemClock;

    fn time() -> KeystoneTime {
        let time = KeystoneTime::new(Arc::new(SystemClock::default()));
        time.learn(Utc::now(), time.steady());
        time
    }

    fn vouched(role: &str) -> Vouched {
        let id = "6c81211a796a4ae3940cca1e6af77c96";
        let roles = ["manager", "member", "reader", role];
        Vouched {
            caller: Caller::new(UserId::new(id), ProjectId::parse(id).ok(), roles),
            access_rules: None,
            marks: Marks {
                issued_at: Some(Utc::now()),
                expires_at: Utc::now() + TimeDelta::hours(1),
                audit_ids: vec!["rgcW7j_IRzyqiN2CxTRjGQ".into(), "rgcW7j_IRzyqiN2CxTRjGQ".into()],
                users: vec![id.into(), id.into(), id.into()],
                project: Some(id.into()),
                domains: vec![id.into(), id.into()],
                trust: Some(id.into()),
            },
        }
    }

    fn cache(good: usize, bad: usize) -> TokenCache {
        let minute = Duration::from_secs(60);
        let lives = Lives {
            good,
            good_for: minute,
            privileged_for: minute / 2,
            stale_for: 10 * minute,
            bad,
            bad_for: minute,
        };
        TokenCache::new(lives).unwrap()
    }

    fn remember(tokens: &TokenCache, digest: Digest, vouched: Vouched, time: &KeystoneTime) {
        tokens.remember_good(digest, &tokens.known(vouched, time.steady()));
    }

    #[test]
    fn ten_thousand_entries_are_held_in_sixteen_mebibytes() {
        let time = time();
        let tokens = cache(10_000, 10_000);
        for number in 0..30_000 {
            remember(&tokens, tokens.digest(&number.to_string(), End::Counts), vouched("owner"), &time);
        }
        let (good, _) = tokens.len();
        assert!((9_000..=10_000).contains(&good), "{good}");
        let bytes: usize = tokens.good.iter().map(|(_, known)| known.size()).sum();
        assert!(bytes <= 16 * 1024 * 1024, "{bytes} bytes");

        let large = "r".repeat(100_000);
        for number in 0..1_000 {
            let digest = tokens.digest(&format!("large {number}"), End::Counts);
            remember(&tokens, digest, vouched(&large), &time);
        }
        let bytes: usize = tokens.good.iter().map(|(_, known)| known.size()).sum();
        assert!(bytes <= 17 * 1024 * 1024, "{bytes} bytes");
    }

    #[test]
    fn a_flood_of_a_hundred_thousand_bad_tokens_evicts_no_good_entry() {
        let time = time();
        let tokens = cache(10_000, 10_000);
        let good: Vec<_> =
            (0..5_000).map(|number| tokens.digest(&format!("good {number}"), End::Counts)).collect();
        for digest in &good {
            remember(&tokens, *digest, vouched("owner"), &time);
        }
        for number in 0..100_000 {
            tokens.remember_bad(tokens.digest(&format!("bad {number}"), End::Counts), &time);
        }
        let held = good
            .iter()
            .filter(|digest| matches!(tokens.recall(digest, End::Counts, &time), Memory::Good { .. }))
            .count();
        assert_eq!(held, good.len());
        assert!(tokens.len().1 <= 10_000);
    }

    #[test]
    fn the_same_token_has_another_name_in_another_process_and_past_its_end() {
        let (one, other) = (cache(1, 1), cache(1, 1));
        assert_eq!(one.digest("token", End::Counts), one.digest("token", End::Counts));
        assert_ne!(one.digest("token", End::Counts), other.digest("token", End::Counts));
        assert_ne!(one.digest("token", End::Counts), one.digest("token", End::Waived));
    }

    #[test]
    fn one_of_those_who_use_an_old_entry_is_told_to_ask_again() {
        let time = time();
        let tokens = cache(10, 10);
        let digest = tokens.digest("token", End::Counts);
        let due = || match tokens.recall(&digest, End::Counts, &time) {
            Memory::Good { due, .. } => due,
            Memory::Bad | Memory::Nothing => panic!("forgotten"),
        };
        remember(&tokens, digest, vouched("owner"), &time);
        assert!(!due());
        let known = tokens.known(vouched("owner"), time.steady());
        known.refresh_from.store(0, Relaxed);
        tokens.remember_good(digest, &known);
        assert_eq!((0..100).filter(|_| due()).count(), 1);
    }

    #[test]
    fn the_powerful_are_asked_about_more_often_and_never_served_stale() {
        let tokens = cache(10, 10);
        for (role, longest, privileged) in
            [("owner", 60, false), ("admin", 30, true), ("service", 30, true), ("Admin", 30, true)]
        {
            let known = tokens.known(vouched(role), Duration::ZERO);
            let longest = Duration::from_secs(longest);
            assert!((longest.mul_f64(0.9)..=longest).contains(&known.fresh_until), "{role}");
            assert_eq!(known.is_privileged(), privileged, "{role}");
            let time = time();
            let digest = tokens.digest(role, End::Counts);
            remember(&tokens, digest, vouched(role), &time);
            assert_eq!(tokens.stale(&digest, End::Counts, &time).is_none(), privileged, "{role}");
        }
    }

    #[test]
    fn a_limit_makes_older_entries_unknown_until_it_is_lifted() {
        let time = time();
        let tokens = cache(10, 10);
        let digest = tokens.digest("token", End::Counts);
        remember(&tokens, digest, vouched("owner"), &time);
        let is_known = || matches!(tokens.recall(&digest, End::Counts, &time), Memory::Good { .. });
        tokens.limit(Some(Duration::ZERO));
        assert!(!is_known());
        tokens.limit(Some(Duration::from_secs(60)));
        assert!(is_known());
        tokens.limit(None);
        assert!(is_known());
    }
}
