//! What time it is, here and at Keystone.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

/// A source of time. [`SystemClock`] unless somebody needs to turn the hands.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time of day, as this machine believes.
    fn wall(&self) -> DateTime<Utc>;

    /// The time since some fixed moment; never goes back, whatever happens to the time of day.
    fn steady(&self) -> Duration;
}

/// The machine's own clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn steady(&self) -> Duration {
        self.start.elapsed()
    }
}

/// How far the clocks may be apart before an operator should know. Keystone's stamps are whole seconds and a call
/// takes time, so a little is always measured.
const WORTH_A_WARNING: TimeDelta = TimeDelta::seconds(10);

/// Time as Keystone tells it: its stamps say when tokens end, so its clock decides.
#[derive(Debug)]
pub(crate) struct KeystoneTime {
    clock: Arc<dyn Clock>,
    /// Keystone's clock minus ours, in microseconds, never too small; or [`UNKNOWN`].
    ahead: AtomicI64,
}

/// Nothing has been learnt from Keystone yet.
const UNKNOWN: i64 = i64::MIN;

impl KeystoneTime {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, ahead: AtomicI64::new(UNKNOWN) }
    }

    /// Ours.
    pub(crate) fn wall(&self) -> DateTime<Utc> {
        self.clock.wall()
    }

    pub(crate) fn steady(&self) -> Duration {
        self.clock.steady()
    }

    /// Keystone's time of day, at the earliest the true one and late by no more than a second and one sign-in.
    /// `None` until the service has signed in once.
    pub(crate) fn now(&self) -> Option<DateTime<Utc>> {
        let ahead = self.ahead.load(Ordering::Relaxed);
        (ahead != UNKNOWN).then(|| self.clock.wall() + TimeDelta::microseconds(ahead))
    }

    /// Learns from a token that Keystone stamped `issued_at` on a request sent at `sent` (our wall clock).
    ///
    /// The stamp is cut to whole seconds and was made after sending, so Keystone's clock was at most one second past
    /// it when ours showed `sent`. The upper bound is the safe one: a cached token then ends early, never late, and
    /// ending early costs one call.
    pub(crate) fn learn(&self, issued_at: DateTime<Utc>, sent: DateTime<Utc>) {
        let ahead = issued_at + TimeDelta::seconds(1) - sent;
        if ahead.abs() > WORTH_A_WARNING {
            tracing::warn!(
                seconds = ahead.num_seconds(),
                "Keystone's clock and this machine's are apart; expiry follows Keystone's"
            );
        }
        self.ahead.store(ahead.num_microseconds().unwrap_or(0), Ordering::Relaxed);
    }
}
