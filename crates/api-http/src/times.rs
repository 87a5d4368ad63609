//! By when a request must be answered: reckoned from its arrival, without the time its body took to arrive.

use std::{cell::Cell, future::Future, time::Duration};

use core_domain::{Error, permit::Permit};
use tokio::time::{Instant, timeout_at};

use crate::error::ApiError;

tokio::task_local! {
    /// When the request arrived that this task is about; later by what was waited for its body.
    static BEGAN: Cell<Instant>;
}

/// A change that is given up stops this share of the deadline early: so long one that is being made to last may still
/// take to say so.
const LAST_SHARE: u32 = 6;

/// By when a request must have what it needs.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    /// A seat.
    pub(crate) seat: Instant,
    /// For a change, that it is being made to last: a sixth of the deadline before it.
    change: Instant,
    /// An answer, whatever it is.
    pub(crate) answer: Instant,
}

/// Runs what answers a request that arrives now.
pub(crate) async fn reckoned<T>(work: impl Future<Output = T>) -> T {
    BEGAN.scope(Cell::new(Instant::now()), work).await
}

/// So long the client took to send its body: that is not our time.
pub(crate) fn put_off(by: Duration) {
    // Outside of a request there is nothing to put off.
    let _ = BEGAN.try_with(|began| began.set(began.get() + by));
}

impl Times {
    /// Those of the request that this task is about.
    pub(crate) fn of(deadline: Duration) -> Self {
        let began = BEGAN.try_with(Cell::get).unwrap_or_else(|_| Instant::now());
        let answer = began + deadline;
        Self { seat: began + deadline / 2, change: answer - deadline / LAST_SHARE, answer }
    }
}

/// Waits for `work` until then.
///
/// # Errors
/// Whoever is not answered in time is refused.
pub(crate) async fn within<T>(until: Instant, work: impl Future<Output = T>) -> Result<T, ApiError> {
    timeout_at(until, work).await.map_err(|late| Error::Unavailable(Box::new(late)).into())
}

/// Waits for a change. Given up in time, it is never made. Unless it is being made to last at that very moment: then its
/// end is waited for, but no longer than to the deadline, and then nobody knows.
///
/// # Errors
/// Whoever is not answered in time is refused.
pub(crate) async fn change_within<T>(
    times: Times,
    permit: &Permit,
    work: impl Future<Output = T>,
) -> Result<T, ApiError> {
    tokio::pin!(work);
    match timeout_at(times.change, &mut work).await {
        Ok(done) => Ok(done),
        Err(late) if permit.withdraw() => Err(Error::Unavailable(Box::new(late)).into()),
        Err(_) => within(times.answer, work).await,
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const DEADLINE: Duration = Duration::from_millis(120);

    #[tokio::test(start_paused = true)]
    async fn what_was_waited_for_before_counts_and_a_body_does_not() {
        let (waited, put_off_by) = (Duration::from_millis(20), Duration::from_secs(5));
        let left = reckoned(async {
            tokio::time::sleep(waited).await;
            let before = Times::of(DEADLINE).answer;
            assert!(before <= Instant::now() + DEADLINE - waited);
            put_off(put_off_by);
            Times::of(DEADLINE).answer - before
        });
        assert_eq!(left.await, put_off_by);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_is_being_made_is_waited_for_to_the_deadline_and_no_longer() {
        let began = Instant::now();
        let given_up = change_within(Times::of(DEADLINE), &Permit::default(), pending::<()>()).await;
        assert!(given_up.is_err() && began.elapsed() < DEADLINE);

        let (permit, began) = (Permit::default(), Instant::now());
        assert!(permit.withdraw());
        let unknown = change_within(Times::of(DEADLINE), &permit, pending::<()>()).await;
        assert!(unknown.is_err() && began.elapsed() >= DEADLINE);
    }
}
