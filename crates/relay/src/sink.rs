//! Whoever is told of events.

use std::time::{Duration, Instant};

use core_domain::outbox::Delivery;

/// Somebody who is told of events, in order. Each has its own thread, which may be kept waiting.
pub trait Sink: Send {
    /// Its name, the same as long as it is the same for who is told; its place among the events is kept by it.
    fn name(&self) -> &str;

    /// How many events it takes at once, at most.
    fn most(&self) -> usize;

    /// Gets ready for telling, before anything is claimed: what is claimed and then not told is marked for nothing.
    ///
    /// # Errors
    /// Why it cannot be told now.
    fn prepare(&mut self, _: Time) -> Result<(), String> {
        Ok(())
    }

    /// Tells it of these, in order, for as long as there is time.
    fn tell(&mut self, deliveries: &[Delivery], time: Time) -> Told;

    /// Nothing will be told for a while: lets go of what is kept for telling.
    fn rest(&mut self) {}
}

/// How long there is for telling: nothing is begun when `begin` has passed, and nothing waited for when `end` has, for then
/// another may be telling the same.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// Nothing is begun later.
    pub begin: Instant,
    /// Nothing is waited for longer.
    pub end: Instant,
}

impl Time {
    /// As long as somebody waits who has no lease to lose.
    #[must_use]
    pub fn of_one_try(patience: Duration) -> Self {
        let now = Instant::now();
        Self { begin: now + patience, end: now + 2 * patience }
    }

    /// Whether nothing may be begun any more.
    pub(crate) fn is_up(self) -> bool {
        Instant::now() >= self.begin
    }

    /// How long what is begun now may take: all between `begin` and `end`.
    pub(crate) fn left(self) -> Duration {
        let most = self.end.saturating_duration_since(self.begin);
        self.end.saturating_duration_since(Instant::now()).min(most)
    }
}

/// What became of telling.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// So many, from the first, are certain to have been told.
    pub done: usize,
    /// So many, from the first, may have been told. Never less than `done`.
    pub tried: usize,
    /// Why it ended before all were told, if not for the time.
    pub failure: Option<Failure>,
}

impl Told {
    /// All of so many.
    #[must_use]
    pub const fn all(count: usize) -> Self {
        Self { done: count, tried: count, failure: None }
    }

    /// None, and nothing was begun.
    pub(crate) const fn nothing(failure: Option<Failure>) -> Self {
        Self { done: 0, tried: 0, failure }
    }
}

/// Why something was not told.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The sink cannot be told now; it may later.
    Away(String),
    /// The sink answers, and will not have the first event that is not done. Asked again soon it may.
    Refused(String),
    /// The sink cannot be told of the first event that is not done, ever; of others it may.
    Hopeless(String),
}
