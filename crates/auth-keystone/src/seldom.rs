//! What happens with every request and is worth a line in the log now and then.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Seconds between two lines.
const PAUSE: u64 = 10;

/// Says yes to the first who asks, and then to one every ten seconds.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    /// When it last said yes, in seconds on the steady clock, from 1 on.
    last: AtomicU64,
}

impl Seldom {
    /// `now` is on the steady clock.
    pub(crate) fn is_time(&self, now: Duration) -> bool {
        let now = now.as_secs() + 1;
        let last = self.last.load(Relaxed);
        (last == 0 || now >= last + PAUSE) && self.last.compare_exchange(last, now, Relaxed, Relaxed).is_ok()
    }
}
