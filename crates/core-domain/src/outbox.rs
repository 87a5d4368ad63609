//! The seam to events that wait to be told, on one page.
//!
//! A *sink* is whoever is told: each has a name and its own place in the one order of all events, so that none waits for
//! another. Many servers may want to tell a sink; whoever has its *lease* does. A lease ends by itself when it is not
//! renewed, and everything done under one that has ended is refused, whatever its holder believes.
//!
//! An event is told at least once. It is told unmarked at most once: [`Outbox::claim`] keeps what is about to be told
//! before it is, and whoever claims it again, not knowing whether it was, gets it marked [`Delivery::again`].

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{error::Result, event::Event};

/// A claim and a page of dead letters hold at most so many bytes of events, as the store keeps them; a single event that
/// takes more is answered alone.
pub const MAX_BYTES: usize = 8 << 20;

/// [`Outbox::backlog`] counts so many dead letters of a sink at most.
pub const MAX_COUNTED: usize = 10_000;

/// Where events wait for sinks.
///
/// Every method answers [`crate::Error::Unavailable`] when the records cannot be reached and
/// [`crate::Error::Contention`] when trying again may help.
pub trait Outbox: Send + Sync {
    /// Takes the lease of a sink, for as long as `life` from now; for a holder that has it, renews it. `None`: another has it. A
    /// sink that was never leased before is told of what happens from now on. A store with much to put in order before a new
    /// sink can begin does a bounded part of it in each call and answers `None` until it is done.
    ///
    /// # Errors
    /// As said above.
    fn lease(&self, sink: &str, holder: &str, life: Duration) -> Result<Option<Lease>>;

    /// Gives a lease back, so that another need not wait for its end. Of a lease that has ended, nothing.
    ///
    /// # Errors
    /// As said above.
    fn release(&self, lease: &Lease) -> Result<()>;

    /// The next events for the sink, in order, at most so many and at most [`MAX_BYTES`]: those that were claimed and not
    /// settled, marked, and then new ones. They are claimed when this returns. Events that cannot be read are kept as dead
    /// letters and do not hold up the ones after them. `None`: the lease has ended.
    ///
    /// # Errors
    /// As said above.
    fn claim(&self, lease: &Lease, most: usize) -> Result<Option<Claim>>;

    /// The sink has been told of everything up to this place. `false`, and nothing done: the lease has ended.
    ///
    /// # Errors
    /// As said above.
    fn settle(&self, lease: &Lease, place: i64) -> Result<bool>;

    /// The sink cannot be told of what is at this place: it is kept as a dead letter, and everything up to it is settled.
    /// `false`, and nothing done: the lease has ended.
    ///
    /// # Errors
    /// As said above.
    fn bury(&self, lease: &Lease, place: i64, why: &str) -> Result<bool>;

    /// The dead letters of a sink, of events with greater numbers than this and by their numbers, at most so many and at
    /// most [`MAX_BYTES`]. None are left only if this answers none.
    ///
    /// # Errors
    /// As said above.
    fn dead_letters(&self, sink: &str, number: i64, most: usize) -> Result<Vec<DeadLetter>>;

    /// Takes a letter off the dead: it was told after all, or nobody wants it any more. `false`: there was none.
    ///
    /// # Errors
    /// As said above.
    fn exhume(&self, sink: &str, number: i64) -> Result<bool>;

    /// How much waits for a sink, for metrics: a bounded number of steps, however much it is. Nothing that delivers events
    /// asks for this.
    ///
    /// # Errors
    /// As said above.
    fn backlog(&self, sink: &str) -> Result<Backlog>;

    /// Forgets events from before this time, at most so many, that none of these sinks waits for and that are no dead
    /// letters; answers how many. Histories begin later then.
    ///
    /// # Errors
    /// As said above.
    fn forget(&self, before: DateTime<Utc>, sinks: &[&str], most: usize) -> Result<usize>;
}

/// The right to tell a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The sink.
    pub sink: String,
    /// Which of its leases this is. It grows whenever another takes it, so that a holder who slept too long is known.
    pub fence: i64,
}

/// An event for a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its place in the order of all events; places have no gaps.
    pub place: i64,
    /// The event.
    pub event: Event,
    /// Whether the sink may have been told of it before.
    pub again: bool,
}

/// What [`Outbox::claim`] answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// The events to deliver, in order.
    pub deliveries: Vec<Delivery>,
    /// The events among them, or before or after them, that cannot be read; each is a dead letter now.
    pub unreadable: Vec<Unreadable>,
}

/// An event that is stored and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its number.
    pub number: i64,
    /// Why it cannot be read, in at most a few hundred characters.
    pub why: String,
}

/// An event that a sink could not be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The number of the event.
    pub number: i64,
    /// The event; `None`: it cannot be read.
    pub event: Option<Event>,
    /// Why.
    pub why: String,
    /// When it was given up.
    pub at: DateTime<Utc>,
}

/// What waits for a sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// So many events; an estimate, never too small, where many have no place yet.
    pub events: u64,
    /// The oldest of them was so long ago.
    pub age: Duration,
    /// So many dead letters; a store may stop counting at [`MAX_COUNTED`].
    pub dead: u64,
}
