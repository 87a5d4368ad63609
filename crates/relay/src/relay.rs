//! The relay: takes events from the outbox and tells sinks.
//!
//! What may go wrong at which point, and why nothing is told unmarked that may have been told before:
//!
//! - *Killed, or the answer lost, while claiming.* The claim is kept before it is answered; whoever claims next, this relay
//!   or another, gets these events marked.
//! - *Killed, or the confirm lost, while telling.* The same; in this process, what was tried is marked before it is tried
//!   again ([`Work::told`]).
//! - *Killed, or the answer lost, while settling.* Settling twice is settling once. If it was never kept, the next claim
//!   gives the events again, marked.
//! - *Stopped and continued, or the records away.* A sink begins nothing once half of the lease's life has passed, by a
//!   clock that runs on meanwhile ([`Time`]). Whoever took the lease over gets what was claimed here marked, so that it is
//!   unmarked once whatever this one still does; and the outbox refuses this one's claims, settlements and burials.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use core_domain::outbox::{Delivery, Lease, Outbox, Unreadable};

use crate::{
    away::Away,
    figures::{Board, Figures},
    pace,
    sink::{Failure, Sink, Time, Told},
    stop::Stop,
    text,
};

/// How quick everything is.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long a lease lives that nobody renews. A sink has half of this to answer.
    pub lease: Duration,
    /// How often is looked whether there is something to tell.
    pub poll: Duration,
    /// The longest wait before a sink that is away is tried again.
    pub longest_wait: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            poll: Duration::from_millis(200),
            longest_wait: Duration::from_secs(15),
        }
    }
}

/// After so many lives of its lease a sink that is away from here may be told by another server, if it is not away from
/// there.
const LIVES_AWAY: u32 = 3;
/// A sink whose lease is left to others looks so often whether that is over.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The longest wait before the records are tried again.
const LONGEST_WAIT_FOR_RECORDS: Duration = Duration::from_secs(2);

/// Tells sinks, each by a thread of its own.
pub struct Relay {
    outbox: Arc<dyn Outbox>,
    stop: Arc<Stop>,
    sinks: Vec<(String, Arc<Board>)>,
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Relay {
    /// Starts telling these. `holder` is this process's name among those that tell, and no other's, ever.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(
        outbox: &Arc<dyn Outbox>,
        sinks: Vec<Box<dyn Sink>>,
        holder: &str,
        pace: Pace,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(Stop::default());
        let (ending, ended) = mpsc::channel();
        let mut told = Vec::new();
        for sink in sinks {
            let board = Arc::new(Board::default());
            told.push((sink.name().to_owned(), Arc::clone(&board)));
            let name = sink.name().to_owned();
            let work = Work {
                outbox: Arc::clone(outbox),
                name: name.clone(),
                sink,
                holder: holder.to_owned(),
                pace,
                board,
                held: None,
                resting_until: None,
                sink_away: Away::default(),
                refusals: 0,
                records_away: Away::default(),
            };
            let (stop, ending) = (Arc::clone(&stop), ending.clone());
            thread::Builder::new().name(name).spawn(move || {
                work.until(&stop);
                // Nobody listens any more when the program was in a hurry: fine.
                let _ = ending.send(());
            })?;
        }
        Ok(Self { outbox: Arc::clone(outbox), stop, sinks: told, ended: Mutex::new(ended) })
    }

    /// What is known of each sink, by its name. Asks the outbox how much waits, which may take as long as a statement may; if
    /// it cannot be asked, what it said last.
    #[must_use]
    pub fn figures(&self) -> Vec<(String, Figures)> {
        let mut is_reachable = true;
        let mut figures = |(name, board): &(String, Arc<Board>)| {
            if is_reachable {
                is_reachable = self.count(name, board);
            }
            (name.clone(), board.read())
        };
        self.sinks.iter().map(&mut figures).collect()
    }

    /// Keeps how much waits for a sink; whether the outbox could say.
    fn count(&self, sink: &str, board: &Board) -> bool {
        match self.outbox.backlog(sink) {
            Ok(backlog) => {
                board.write(|figures| {
                    (figures.waiting, figures.age, figures.dead) =
                        (backlog.events, backlog.age, backlog.dead);
                });
                true
            }
            Err(error) => {
                tracing::debug!(sink, error = %text::reasons(&error), "the size of the backlog is not known now");
                false
            }
        }
    }

    /// Asks for the end of telling, and does not wait for it: leases are given back as soon as nobody is just being told.
    pub fn ask_to_end(&self) {
        self.stop.ask();
    }

    /// Ends telling and gives the leases back, if that can be done in this time.
    pub fn end(&self, patience: Duration) {
        self.stop.ask();
        let end = Instant::now() + patience;
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in &self.sinks {
            if ended.recv_timeout(end.saturating_duration_since(Instant::now())).is_err() {
                tracing::warn!("a sink is still being told; another server will take it over");
                return;
            }
        }
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("sinks", &self.sinks).finish_non_exhaustive()
    }
}

/// What a thread does.
struct Work {
    outbox: Arc<dyn Outbox>,
    name: String,
    sink: Box<dyn Sink>,
    holder: String,
    pace: Pace,
    board: Arc<Board>,
    held: Option<Held>,
    /// The lease is left to others until then.
    resting_until: Option<Instant>,
    sink_away: Away,
    /// How often in a row the sink would not have the event whose turn it is.
    refusals: u32,
    records_away: Away,
}

/// A lease, and what was claimed under it.
struct Held {
    lease: Lease,
    /// It was renewed at this moment or later.
    renewed: Instant,
    /// Claimed and not told.
    waiting: VecDeque<Delivery>,
    /// Told up to this place, and not settled.
    told: Option<i64>,
    /// This place is to be buried, for this reason; it is before all that waits.
    hopeless: Option<(i64, String)>,
}

/// The lease has ended, or was never had.
struct Lost;

/// What a step came to: how long to wait before the next.
type Step = Result<Duration, Stumble>;

/// Why a step ended early.
enum Stumble {
    /// The lease is another's.
    Lost,
    /// The records failed.
    Records(core_domain::Error),
}

impl From<Lost> for Stumble {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

impl From<core_domain::Error> for Stumble {
    fn from(error: core_domain::Error) -> Self {
        Self::Records(error)
    }
}

impl Work {
    /// Works until told to end, then gives the lease back.
    fn until(mut self, stop: &Stop) {
        let mut wait = Duration::ZERO;
        while !stop.asked_within(wait) {
            wait = catch_unwind(AssertUnwindSafe(|| self.go_on(stop))).unwrap_or_else(|_| {
                // What was tried is not known any more: the next claim gives it, marked.
                tracing::error!(sink = self.name, "telling this sink failed by a mistake of ours");
                self.held = None;
                Duration::from_secs(1)
            });
        }
        let _ = catch_unwind(AssertUnwindSafe(|| self.release()));
    }

    /// One step, whatever becomes of it; how long to wait before the next.
    fn go_on(&mut self, stop: &Stop) -> Duration {
        let step = self.step(stop);
        let wait = match step {
            Ok(wait) => {
                if self.records_away.is_back().is_some() {
                    tracing::info!(sink = self.name, "the records are back; events are told");
                }
                wait
            }
            Err(Stumble::Lost) => {
                self.lose();
                pace::spread(self.pace.lease / 6)
            }
            Err(Stumble::Records(error)) => {
                if self.records_away.failed() {
                    tracing::warn!(sink = self.name, error = %text::reasons(&error), "the records are away; events wait");
                }
                pace::after_failure(self.records_away.failures, LONGEST_WAIT_FOR_RECORDS)
            }
        };
        self.board.write(|figures| figures.leased = self.held.is_some());
        wait
    }

    fn step(&mut self, stop: &Stop) -> Step {
        if let Some(until) = self.resting_until {
            let left = until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Ok(left.min(LOOK_EVERY));
            }
            self.resting_until = None;
        }
        self.lease()?;
        self.settle()?;
        let Some(held) = &mut self.held else { return Err(Stumble::Lost) };
        let time = Time { begin: held.renewed + self.pace.lease / 2, end: held.renewed + self.pace.lease };
        if held.waiting.is_empty() {
            if let Err(why) = self.sink.prepare(time) {
                return Ok(self.told(Told::nothing(Some(Failure::Away(why)))));
            }
            let claim = self.outbox.claim(&held.lease, self.sink.most())?.ok_or(Lost)?;
            for Unreadable { number, why } in &claim.unreadable {
                tracing::warn!(sink = self.name, number, why, "an event became a dead letter");
            }
            held.waiting = claim.deliveries.into();
            if held.waiting.is_empty() {
                // Behind events that cannot be read there may be others.
                return Ok(if claim.unreadable.is_empty() { self.pace.poll } else { Duration::ZERO });
            }
        }
        if stop.asked() {
            return Ok(Duration::ZERO);
        }
        let waiting = held.waiting.make_contiguous();
        let told = self.sink.tell(waiting, time);
        let wait = self.told(told);
        // What was told is settled even if the next thing is to wait.
        self.settle()?;
        Ok(wait)
    }

    /// Has the lease, renewed not long ago.
    fn lease(&mut self) -> Result<(), Stumble> {
        let now = Instant::now();
        if let Some(held) = &self.held
            && now.duration_since(held.renewed) < self.pace.lease / 3
        {
            return Ok(());
        }
        let lease = self.outbox.lease(&self.name, &self.holder, self.pace.lease)?.ok_or(Lost)?;
        match &mut self.held {
            Some(held) if held.lease == lease => held.renewed = now,
            held => {
                tracing::info!(sink = self.name, fence = lease.fence, "telling this sink from here");
                *held =
                    Some(Held { lease, renewed: now, waiting: VecDeque::new(), told: None, hopeless: None });
            }
        }
        Ok(())
    }

    /// Keeps what was told, and what never will be.
    fn settle(&mut self) -> Result<(), Stumble> {
        let Some(held) = &mut self.held else { return Err(Stumble::Lost) };
        if let Some(place) = held.told {
            if !self.outbox.settle(&held.lease, place)? {
                return Err(Stumble::Lost);
            }
            held.told = None;
        }
        if let Some((place, why)) = &held.hopeless {
            if !self.outbox.bury(&held.lease, *place, why)? {
                return Err(Stumble::Lost);
            }
            tracing::warn!(sink = self.name, why, "an event became a dead letter");
            held.hopeless = None;
        }
        Ok(())
    }

    /// Keeps in mind what became of telling; how long to wait before the next.
    fn told(&mut self, told: Told) -> Duration {
        let Told { done, tried, failure } = told;
        let Some(held) = &mut self.held else { return Duration::ZERO };
        for delivery in held.waiting.iter_mut().take(tried) {
            delivery.again = true;
        }
        if let Some(last) = held.waiting.drain(..done).next_back() {
            held.told = Some(last.place);
        }
        self.board.write(|figures| {
            figures.told += done as u64;
            figures.failures += u64::from(failure.is_some());
        });
        let back = if done > 0 { self.sink_away.is_back() } else { None };
        if back.is_some() {
            tracing::info!(sink = self.name, "the sink is back; events are told");
        }
        let refusals = std::mem::take(&mut self.refusals);
        match failure {
            None => Duration::ZERO,
            // A sink that is away stays so until it takes something. The next event is tried at once: if it is hopeless
            // too, a long backlog is worked off, and if not, the wait goes on where it was.
            Some(Failure::Hopeless(why)) => {
                held.hopeless = held.waiting.pop_front().map(|delivery| (delivery.place, why));
                Duration::ZERO
            }
            Some(Failure::Refused(why)) => {
                tracing::debug!(sink = self.name, why, "the sink refuses an event");
                self.refusals = if done > 0 { 1 } else { refusals.saturating_add(1) };
                pace::after_failure(self.refusals, self.pace.longest_wait)
            }
            Some(Failure::Away(why)) => {
                if self.sink_away.failed() {
                    tracing::warn!(sink = self.name, why, "the sink is away; events wait");
                }
                let away = self.sink_away.since.map_or(Duration::ZERO, |since| since.elapsed());
                if away > self.pace.lease * LIVES_AWAY {
                    self.leave_to_others();
                }
                pace::after_failure(self.sink_away.failures, self.pace.longest_wait)
            }
        }
    }

    /// Gives the lease back for a while, because the sink may be away from here only.
    fn leave_to_others(&mut self) {
        // Once in so many lives.
        self.sink_away.since = Some(Instant::now());
        self.resting_until = Some(Instant::now() + pace::spread(self.pace.lease / 2));
        self.release();
    }

    fn release(&mut self) {
        let Some(held) = self.held.take() else { return };
        self.sink.rest();
        let settled = held.told.map_or(Ok(true), |place| self.outbox.settle(&held.lease, place));
        if let Err(error) = settled.and_then(|_| self.outbox.release(&held.lease)) {
            tracing::debug!(sink = self.name, %error, "the lease will end by itself");
        }
    }

    fn lose(&mut self) {
        if self.held.take().is_some() {
            tracing::info!(sink = self.name, "another server tells this sink");
            self.sink.rest();
        }
    }
}
