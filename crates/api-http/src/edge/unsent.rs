//! What is written to a client and not taken by it: since when it is waited for, and whether it takes enough meanwhile.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use super::PIECE;

/// How long the server waits for a client that does not take its answer; then it ends the connection. In this time the client
/// must take all that is ready for it, or 16 KiB.
pub const READER_TIMEOUT: Duration = Duration::from_millis(TIMEOUT);
/// The same in milliseconds of the registry's clock.
const TIMEOUT: u64 = 30_000;
/// After so many milliseconds without that, the connection's place is given to a new one that finds no other.
const STALLED: u64 = 5_000;

/// The wait of one connection for its client. Costs nothing while there is none.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    /// When the wait began, in milliseconds of the registry's clock; 0: there is none.
    since: AtomicU64,
    /// Bytes that were taken since.
    taken: AtomicUsize,
}

impl Unsent {
    /// The client is waited for.
    pub(super) fn wait(&self, now: u64) {
        if !self.is_waited_for() {
            self.taken.store(0, Relaxed);
            self.since.store(now.max(1), Relaxed);
        }
    }

    /// It has taken so many bytes.
    pub(super) fn take(&self, bytes: usize) {
        if self.is_waited_for() && self.taken.fetch_add(bytes, Relaxed) + bytes >= PIECE {
            self.since.store(0, Relaxed);
        }
    }

    /// It has taken all that there was.
    pub(super) fn take_all(&self) {
        if self.is_waited_for() {
            self.since.store(0, Relaxed);
        }
    }

    pub(super) fn is_waited_for(&self) -> bool {
        self.since.load(Relaxed) != 0
    }

    /// Whether the client is waited for longer than it may take.
    pub(super) fn is_late(&self, now: u64) -> bool {
        self.has_waited(TIMEOUT, now)
    }

    /// Whether the place of its connection is for others.
    pub(super) fn is_stalled(&self, now: u64) -> bool {
        self.has_waited(STALLED, now)
    }

    fn has_waited(&self, milliseconds: u64, now: u64) -> bool {
        let since = self.since.load(Relaxed);
        since != 0 && now.saturating_sub(since) > milliseconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_that_takes_a_piece_in_time_is_not_late() {
        let unsent = Unsent::default();
        unsent.wait(0);
        assert!(!unsent.is_late(TIMEOUT + 1) && unsent.is_late(TIMEOUT + 2));
        unsent.take(PIECE);
        assert!(!unsent.is_late(u64::MAX));
        // Little by little counts as well, and all that there is, however little.
        unsent.wait(100);
        for _ in 0..PIECE / 1024 {
            assert!(unsent.is_late(u64::MAX));
            unsent.take(1024);
        }
        assert!(!unsent.is_late(u64::MAX));
        unsent.wait(200);
        unsent.take(1);
        unsent.take_all();
        assert!(!unsent.is_late(u64::MAX));
    }

    #[test]
    fn client_that_takes_less_than_a_piece_is_late() {
        let unsent = Unsent::default();
        unsent.wait(1);
        unsent.take(PIECE - 1);
        // That it waits again does not begin a new time.
        unsent.wait(TIMEOUT);
        assert!(unsent.is_late(TIMEOUT + 2));
        // What it took before is not counted the next time.
        unsent.take(1);
        unsent.wait(TIMEOUT);
        unsent.take(PIECE - 1);
        assert!(unsent.is_late(2 * TIMEOUT + 1));
    }

    #[test]
    fn stalled_client_is_noticed_before_a_late_one() {
        let unsent = Unsent::default();
        unsent.wait(1);
        assert!(!unsent.is_stalled(1 + STALLED) && unsent.is_stalled(2 + STALLED));
        assert!(!unsent.is_late(2 + STALLED));
    }
}
