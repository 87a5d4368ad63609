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

/// Time as Keystone tells it: its stamps say when tokens end, so its clock decides. Between two of its stamps our steady
/// clock goes on from the last: somebody may set our time of day meanwhile.
#[derive(Debug)]
pub(crate) struct KeystoneTime {
    clock: Arc<dyn Clock>,
    /// Keystone's time of day when our steady clock began, in microseconds since 1970, never too early; or [`UNKNOWN`].
    origin: AtomicI64,
}

/// Nothing has been learnt from Keystone yet.
const UNKNOWN: i64 = i64::MIN;

impl KeystoneTime {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, origin: AtomicI64::new(UNKNOWN) }
    }

    pub(crate) fn steady(&self) -> Duration {
        self.clock.steady()
    }

    /// Keystone's time of day, at the earliest the true one and late by no more than a second and one sign-in.
    /// `None` until the service has signed in once.
    pub(crate) fn now(&self) -> Option<DateTime<Utc>> {
        let origin = self.origin.load(Ordering::Relaxed);
        if origin == UNKNOWN {
            return None;
        }
        DateTime::from_timestamp_micros(origin.saturating_add(micros(self.clock.steady())))
    }

    /// Learns from a token that Keystone stamped `issued_at` on a request sent at `sent` (our steady clock).
    ///
    /// The stamp is cut to whole seconds and was made after sending, so Keystone's clock was at most one second past
    /// it when ours showed `sent`. The upper bound is the safe one: a cached token then ends early, never late, and
    /// ending early costs one call.
    pub(crate) fn learn(&self, issued_at: DateTime<Utc>, sent: Duration) {
        let at_most = issued_at + TimeDelta::seconds(1);
        self.origin.store(at_most.timestamp_micros().saturating_sub(micros(sent)), Ordering::Relaxed);
        let Some(now) = self.now() else { return };
        let ahead = now - self.clock.wall();
        if ahead.abs() > WORTH_A_WARNING {
            tracing::warn!(
                seconds = ahead.num_seconds(),
                "Keystone's clock and this machine's are apart; expiry follows Keystone's"
            );
        }
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use super::*;

    /// A time of day that somebody sets, beside a steady clock that goes on.
    #[derive(Debug, Default)]
    struct Set {
        system: SystemClock,
        by: AtomicI64,
    }

    impl Clock for Set {
        fn wall(&self) -> DateTime<Utc> {
            self.system.wall() + TimeDelta::seconds(self.by.load(Ordering::Relaxed))
        }

        fn steady(&self) -> Duration {
            self.system.steady()
        }
    }

    #[test]
    fn setting_our_time_of_day_does_not_change_keystones() {
        let clock = Arc::new(Set::default());
        let time = KeystoneTime::new(Arc::clone(&clock) as _);
        assert_eq!(time.now(), None);
        time.learn(Utc::now(), time.steady());
        for seconds in [0, 3600, -3600] {
            clock.by.store(seconds, Ordering::Relaxed);
            let late = (time.now().expect("what was learnt") - Utc::now()).num_milliseconds();
            assert!((0..2000).contains(&late), "{late} ms");
        }
    }
}
