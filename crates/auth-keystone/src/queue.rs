//! How many calls may run at once, and who waits for a place among them.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use crate::outage::Outage;

/// Places for calls, and a queue before them. Keystone answers no faster when it is asked more at once.
#[derive(Debug)]
pub(crate) struct Queue {
    places: Semaphore,
    all: usize,
    waiting: AtomicUsize,
    longest: usize,
    patience: Duration,
}

impl Queue {
    /// So many places, so many who may wait, so long.
    pub(crate) fn new(places: usize, longest: usize, patience: Duration) -> Self {
        let places = places.min(Semaphore::MAX_PERMITS);
        Self { places: Semaphore::new(places), all: places, waiting: AtomicUsize::new(0), longest, patience }
    }

    /// A place, for as long as the value lives. First come, first served.
    ///
    /// # Errors
    /// Too many wait already, or it took too long.
    pub(crate) async fn enter(&self) -> Result<SemaphorePermit<'_>, Outage> {
        if let Ok(place) = self.places.try_acquire() {
            return Ok(place);
        }
        let before = self.waiting.fetch_add(1, Relaxed);
        let _waits = Waits(&self.waiting);
        if before >= self.longest {
            return Err(Outage::Busy);
        }
        // Closed it never is.
        timeout(self.patience, self.places.acquire()).await.ok().and_then(Result::ok).ok_or(Outage::Busy)
    }

    /// How many calls run, and how many wait.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.all.saturating_sub(self.places.available_permits()), self.waiting.load(Relaxed))
    }
}

/// One of those who wait, as long as it lives.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_finds_no_place_waits_and_who_finds_too_many_waiting_does_not() {
        let queue = Queue::new(1, 1, Duration::from_secs(60));
        let place = queue.enter().await.unwrap();
        let waiting = queue.enter();
        tokio::pin!(waiting);
        assert!(timeout(Duration::ZERO, &mut waiting).await.is_err());
        assert_eq!(queue.len(), (1, 1));
        assert!(matches!(queue.enter().await, Err(Outage::Busy)));
        drop(place);
        let place = waiting.await.unwrap();
        assert_eq!(queue.len(), (1, 0));
        drop(place);
        assert_eq!(queue.len(), (0, 0));
    }

    #[tokio::test]
    async fn nobody_waits_for_ever_and_who_goes_away_is_not_counted() {
        let queue = Queue::new(1, 8, Duration::from_millis(1));
        let _place = queue.enter().await.unwrap();
        assert!(matches!(queue.enter().await, Err(Outage::Busy)));
        let patient = Queue::new(0, 8, Duration::from_secs(60));
        assert!(timeout(Duration::from_millis(1), patient.enter()).await.is_err());
        assert_eq!((queue.len().1, patient.len().1), (0, 0));
    }
}
