//! What is remembered about tokens, in this process and for a short while.

use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use aws_lc_rs::{hmac, rand};
use quick_cache::{Weighter, sync::Cache};

use crate::{
    clock::KeystoneTime,
    config::Administrators,
    known::{End, Known, Lives, micros},
    revocation::{Events, Print},
    vouched::Vouched,
};

/// The name of a token in here: useless to whoever reads it, for the key is made at random when the process starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

/// What one place in the cache may weigh: 10,000 of them are 16 MiB.
const PLACE: usize = 16 * 1024 * 1024 / 10_000;

/// Entries that are larger than a place take several.
#[derive(Clone)]
struct Places;

/// A good token, with what is looked at first when something is revoked: nearly all have nothing to do with it, and
/// following the pointers of ten thousand takes milliseconds.
#[derive(Clone)]
struct Entry {
    known: Arc<Known>,
    print: Print,
}

impl Entry {
    /// Roughly the memory this holds, in bytes.
    fn size(&self) -> usize {
        self.known.size() + size_of::<Self>() + size_of::<Digest>()
    }
}

impl Weighter<Digest, Entry> for Places {
    fn weight(&self, _: &Digest, entry: &Entry) -> u64 {
        entry.size().div_ceil(PLACE) as u64
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

/// Good tokens and bad ones, each in bounds of their own: no flood of bad ones drives a good one out.
pub(crate) struct TokenCache {
    key: hmac::Key,
    good: Cache<Digest, Entry, Places>,
    bad: Cache<Digest, Duration>,
    lives: Lives,
    administrators: Administrators,
    /// Good ones older than this are asked about, whatever was meant for them; in microseconds.
    oldest: AtomicU64,
}

impl TokenCache {
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn new(
        lives: Lives,
        administrators: Administrators,
    ) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new())?;
        Ok(Self {
            key,
            good: Cache::with_weighter(lives.good, lives.good as u64, Places),
            bad: Cache::new(lives.bad),
            lives,
            administrators,
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
        if let Some(Entry { known, .. }) = self.good.get(digest) {
            let age = known.age(now);
            if known.ends(end, time) || age >= self.lives.stale_for.max(self.lives.good_for) {
                self.good.remove_if(digest, |other| Arc::ptr_eq(&other.known, &known));
            } else if known.is_fresh(now) && micros(age) < self.oldest.load(Relaxed) {
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
        let Entry { known, .. } = self.good.get(digest)?;
        let usable = known.age(time.steady()) < self.lives.stale_for
            && !known.is_privileged()
            && !known.ends(end, time);
        usable.then_some(known)
    }

    /// What came of a question asked at `asked`, with its times in here.
    pub(crate) fn known(&self, vouched: Vouched, asked: Duration) -> Arc<Known> {
        let is_admin = self.administrators.include(&vouched.caller);
        Arc::new(Known::new(vouched, asked, &self.lives, is_admin))
    }

    /// Remembers a good one.
    pub(crate) fn remember_good(&self, digest: Digest, known: &Arc<Known>) {
        self.good.insert(digest, Entry { known: Arc::clone(known), print: known.print() });
    }

    /// Remembers that this one was rejected.
    pub(crate) fn remember_bad(&self, digest: Digest, time: &KeystoneTime) {
        self.good.remove(&digest);
        self.bad.insert(digest, time.steady() + self.lives.bad_for);
    }

    /// Forgets good ones that these events hit, and says how many were. One walk, however many events.
    pub(crate) fn forget(&self, events: &Events) -> usize {
        let hit = Cell::new(0);
        self.good.retain(|_, Entry { known, print }| {
            let is_hit = events.may_hit(*print) && known.is_hit(events);
            hit.update(|hit| hit + usize::from(is_hit));
            !is_hit
        });
        hit.get()
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

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (good, bad) = self.len();
        f.debug_struct("TokenCache").field("good", &good).field("bad", &bad).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::{
        access_rules::{AccessRule, AccessRules, MAX_RULES},
        clock::SystemClock,
        known::tests::{lives, vouched},
        path_pattern::COMPILED,
        revocation::Revoked,
    };

    fn time() -> KeystoneTime {
        let time = KeystoneTime::new(Arc::new(SystemClock::default()));
        time.learn(Utc::now(), time.steady());
        time
    }

    fn cache(good: usize, bad: usize) -> TokenCache {
        let administrators = Administrators::new(|caller| caller.has_role("cloud_operator"));
        TokenCache::new(lives(good, bad), administrators).unwrap()
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
        let bytes: usize = tokens.good.iter().map(|(_, entry)| entry.size()).sum();
        assert!(bytes <= 16 * 1024 * 1024, "{bytes} bytes");

        let large = "r".repeat(100_000);
        for number in 0..1_000 {
            let digest = tokens.digest(&format!("large {number}"), End::Counts);
            remember(&tokens, digest, vouched(&large), &time);
        }
        let bytes: usize = tokens.good.iter().map(|(_, entry)| entry.size()).sum();
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
    fn a_token_with_as_many_rules_as_may_be_takes_the_places_of_its_size() {
        let (time, tokens) = (time(), cache(10_000, 10));
        let rule = format!(r#"{{"service": "image", "method": "GET", "path": "/{}"}}"#, "*a".repeat(112));
        let rules = vec![rule; MAX_RULES].join(",");
        let rules: Vec<AccessRule> = serde_json::from_str(&format!("[{rules}]")).unwrap();
        let ruled = Vouched { access_rules: AccessRules::compile(rules).ok(), ..vouched("owner") };
        let digest = tokens.digest("ruled", End::Counts);
        remember(&tokens, digest, ruled, &time);
        let entry = tokens.good.get(&digest).unwrap();
        assert!(entry.size() > MAX_RULES * 225, "{} bytes", entry.size());
        assert_eq!(tokens.good.weight(), entry.size().div_ceil(PLACE) as u64);
    }

    #[test]
    fn access_rules_are_compiled_once_for_many_requests() {
        let (time, tokens) = (time(), cache(10, 10));
        let rule = |path: &str| format!(r#"{{"service": "image", "method": "GET", "path": "{path}"}}"#);
        let body = format!(
            r#"{{"token": {{"user": {{"id": "u"}}, "expires_at": "2999-11-22T00:02:18Z",
                "application_credential": {{"access_rules": [{}, {}, {}]}}}}}}"#,
            rule("/v2/images"),
            rule("/v2/images/*"),
            rule("/v2/images/*/members/**"),
        );
        let before = COMPILED.get();
        let digest = tokens.digest("ruled", End::Counts);
        remember(&tokens, digest, Vouched::parse(body.as_bytes()).unwrap(), &time);
        assert_eq!(COMPILED.get() - before, 3);
        for (path, allowed) in [("/v2/images", true), ("/v2/images/a", true), ("/v2/images/a/tags/b", false)]
        {
            for _ in 0..100 {
                let Memory::Good { known, .. } = tokens.recall(&digest, End::Counts, &time) else {
                    panic!("it is remembered")
                };
                assert_eq!(known.allows("GET", path), allowed, "{path}");
            }
        }
        assert_eq!(COMPILED.get() - before, 3);
    }

    #[test]
    fn the_same_token_has_another_name_in_another_process_and_past_its_end() {
        let (one, other) = (cache(1, 1), cache(1, 1));
        assert_eq!(one.digest("token", End::Counts), one.digest("token", End::Counts));
        assert_ne!(one.digest("token", End::Counts), other.digest("token", End::Counts));
        assert_ne!(one.digest("token", End::Counts), one.digest("token", End::Waived));
    }

    #[test]
    fn the_powerful_are_never_served_stale() {
        let (time, tokens) = (time(), cache(10, 10));
        for (role, privileged) in [
            ("owner", false),
            ("admin", true),
            ("service", true),
            ("Admin", true),
            ("cloud_operator", true),
            ("Cloud_Operator", true),
        ] {
            let digest = tokens.digest(role, End::Counts);
            remember(&tokens, digest, vouched(role), &time);
            assert_eq!(tokens.stale(&digest, End::Counts, &time).is_none(), privileged, "{role}");
        }
    }

    #[test]
    fn of_a_thousand_tokens_those_that_are_hit_are_forgotten_and_no_other() {
        let (time, tokens) = (time(), cache(2_000, 10));
        let digests: Vec<_> =
            (0..1_000).map(|number| tokens.digest(&number.to_string(), End::Counts)).collect();
        for (number, digest) in digests.iter().enumerate() {
            let mut one = vouched("owner");
            one.marks.users = vec![format!("user {}", number % 100).into()];
            one.marks.audit_ids = vec![format!("audit {number}").into()];
            remember(&tokens, *digest, one, &time);
        }
        let is_known = |number: usize| {
            matches!(tokens.recall(&digests[number], End::Counts, &time), Memory::Good { .. })
        };
        assert_eq!(tokens.forget(&Events::new([Revoked::Audit("audit 7").into()])), 1);
        assert_eq!(tokens.forget(&Events::new([Revoked::User("user 7").into()])), 9);
        // More than are held against the prints.
        let many = (0..500).map(|number| format!("audit {}", number + 500)).collect::<Vec<_>>();
        let many = Events::new(many.iter().map(|id| Revoked::Audit(id).into()));
        assert_eq!(tokens.forget(&many), 500 - 5);
        for number in 0..1_000 {
            assert_eq!(is_known(number), number < 500 && number % 100 != 7, "{number}");
        }
        assert_eq!(tokens.forget(&Events::all()), 500 - 5);
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
