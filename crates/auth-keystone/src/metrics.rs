//! Figures for the operator; whoever exports them decides on names and format.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// A count that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn add_many(&self, number: usize) {
        self.0.fetch_add(number as u64, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of the latency buckets, in seconds; the last bucket of a [`Histogram`] has none.
pub const LATENCY_BOUNDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

#[derive(Debug, Default)]
pub(crate) struct Latency {
    buckets: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Latency {
    pub(crate) fn record(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = LATENCY_BOUNDS.iter().take_while(|bound| seconds > **bound).count();
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Relaxed);
        }
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    fn snapshot(&self) -> Histogram {
        let buckets = self.buckets.each_ref().map(|bucket| bucket.load(Relaxed));
        Histogram { buckets, sum: Duration::from_micros(self.micros.load(Relaxed)) }
    }
}

/// What is counted while the service runs.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) hits: Counter,
    pub(crate) negative_hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) coalesced: Counter,
    pub(crate) malformed: Counter,
    pub(crate) bad_signatures: Counter,
    pub(crate) expired_signed: Counter,
    pub(crate) stale: Counter,
    pub(crate) refreshes: Counter,
    pub(crate) revoked: Counter,
    pub(crate) outside_access_rules: Counter,
    pub(crate) not_services: Counter,
    pub(crate) accepted: Latency,
    pub(crate) rejected: Latency,
    pub(crate) undecided: Latency,
    pub(crate) sign_ins: Counter,
    pub(crate) failed_sign_ins: Counter,
    pub(crate) has_answered: AtomicBool,
}

impl Metrics {
    /// The figures, with those that are measured and not counted still empty.
    pub(crate) fn snapshot(&self) -> Figures {
        Figures {
            hits: self.hits.get(),
            negative_hits: self.negative_hits.get(),
            misses: self.misses.get(),
            coalesced: self.coalesced.get(),
            malformed: self.malformed.get(),
            bad_signatures: self.bad_signatures.get(),
            expired_signed: self.expired_signed.get(),
            stale: self.stale.get(),
            refreshes: self.refreshes.get(),
            revoked: self.revoked.get(),
            outside_access_rules: self.outside_access_rules.get(),
            not_services: self.not_services.get(),
            accepted: self.accepted.snapshot(),
            rejected: self.rejected.snapshot(),
            undecided: self.undecided.snapshot(),
            sign_ins: self.sign_ins.get(),
            failed_sign_ins: self.failed_sign_ins.get(),
            in_flight: 0,
            calls: 0,
            waiting: 0,
            good_entries: 0,
            bad_entries: 0,
            own_token_left: None,
            breaker_open: false,
            since_revocations: None,
        }
    }
}

/// What there is to see at one moment. Counts are since the start of the process.
///
/// Every validation counts once in `hits`, `negative_hits`, `misses` or `malformed`, so the hit rate is
/// `hits / (hits + misses)`; of the misses, `coalesced` waited for somebody else's.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Validations answered «good» from memory.
    pub hits: u64,
    /// Validations answered «rejected» from memory.
    pub negative_hits: u64,
    /// Validations that needed more than memory.
    pub misses: u64,
    /// Misses that waited for a call already under way for the same token.
    pub coalesced: u64,
    /// Validations of strings that cannot be tokens; nothing was asked.
    pub malformed: u64,
    /// Signed tokens that no public key fits; nothing was asked.
    pub bad_signatures: u64,
    /// Signed tokens that are past their end; nothing was asked.
    pub expired_signed: u64,
    /// Misses answered «good» with what Keystone said a while ago, for it could not be asked.
    pub stale: u64,
    /// Good tokens asked about again before that was necessary, while nobody waited.
    pub refreshes: u64,
    /// Good tokens forgotten since Keystone told that they were revoked.
    pub revoked: u64,
    /// Calls refused since the access rules of a good token do not list them.
    pub outside_access_rules: u64,
    /// Calls refused since the token in `X-Service-Token` was good, but no service's.
    pub not_services: u64,
    /// How long Keystone took to accept.
    pub accepted: Histogram,
    /// How long Keystone took to reject.
    pub rejected: Histogram,
    /// How long it took until it was clear that Keystone would not decide.
    pub undecided: Histogram,
    /// Tokens the service got for itself.
    pub sign_ins: u64,
    /// Attempts at that which failed.
    pub failed_sign_ins: u64,
    /// Distinct tokens being asked about now.
    pub in_flight: usize,
    /// Validations that Keystone is asked for now.
    pub calls: usize,
    /// Validations that wait for a place among them.
    pub waiting: usize,
    /// Good tokens held in memory.
    pub good_entries: usize,
    /// Rejected tokens held in memory.
    pub bad_entries: usize,
    /// How long the service's own token remains good; `None` without one.
    pub own_token_left: Option<Duration>,
    /// Keystone is away, and nobody waits for it.
    pub breaker_open: bool,
    /// How long ago Keystone last told what was revoked; `None` if it never did.
    pub since_revocations: Option<Duration>,
}

/// Durations counted by size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many were at most as long as the bound at the same place of [`LATENCY_BOUNDS`] and longer than the one
    /// before; the last: longer than all bounds.
    pub buckets: [u64; LATENCY_BOUNDS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

impl Histogram {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_the_first_bucket_that_holds_it() {
        let latency = Latency::default();
        for millis in [0, 5, 6, 4_999, 5_000, 5_001] {
            latency.record(Duration::from_millis(millis));
        }
        let histogram = latency.snapshot();
        assert_eq!(histogram.buckets, [2, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1]);
        assert_eq!((histogram.count(), histogram.sum), (6, Duration::from_millis(15_011)));
    }
}
