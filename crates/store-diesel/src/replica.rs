//! A streaming replica that may answer lists, while it is proven to be fresh.
//!
//! The proof: a [`Mark`] says how far the primary's log reached at a moment, so that every change committed before that
//! moment is within it. A replica that has replayed so far shows all of them. Each list asks for how far, on the very
//! session that answers it, before it reads; so nothing depends on what stands behind the replica's address. If the
//! newest mark that was reached is older than the bound when the list has been read, the primary is asked instead. All
//! moments are of this process's one clock, that never goes back.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use core_domain::{Error, Result, listing::Listing, store::ImagePage};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Integer},
};

use crate::{
    config::Config,
    connection::{Connection, Purpose},
    error::Fault,
    images,
    pool::Pool,
};

/// How far the primary's log reaches. The name of a log file starts with its timeline, in eight hexadecimal digits.
const REACHED: &str = "SELECT system_identifier AS system, \
    ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer AS timeline, \
    pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS position FROM pg_control_system()";

/// How far a replica has replayed it; nothing if it is none. The timeline is that of its last checkpoint: after the
/// primary has moved it is behind for a while, never ahead.
const REPLAYED: &str = "SELECT system_identifier AS system, timeline_id AS timeline, \
    pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint AS position \
    FROM pg_control_system(), pg_control_checkpoint() \
    WHERE pg_is_in_recovery() AND pg_last_wal_replay_lsn() IS NOT NULL";

/// Connections to each of the two for the watch alone, so that it waits for no call. Counted by
/// [`crate::MaxConnections`].
pub(crate) const WATCHING: u32 = 1;

/// A place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
struct Place {
    /// Which cluster's, primary and replicas alike.
    #[diesel(sql_type = BigInt)]
    system: i64,
    /// Which branch of it: another one after each promotion.
    #[diesel(sql_type = Integer)]
    timeline: i32,
    /// How far, in bytes.
    #[diesel(sql_type = BigInt)]
    position: i64,
}

/// What was committed before `at` is within `place`.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    place: Place,
}

/// Where lists were answered, and how fresh the replica is, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaFigures {
    /// The replica shows everything committed before so long ago; `None`: it never was proven to show anything.
    pub age: Option<Duration>,
    /// Lists answered by the replica.
    pub by_replica: u64,
    /// Lists that the primary answered because the replica was not proven fresh.
    pub not_fresh: u64,
    /// Lists that the primary answered because the replica did not.
    pub failed: u64,
}

/// A replica under watch; dropped, the watch ends.
pub(crate) struct Replica {
    shared: Arc<Shared>,
    _watch: Sender<()>,
}

struct Shared {
    /// To take marks; one connection of its own, so that it waits for no call.
    primary: Pool,
    replica: Pool,
    bound: Duration,
    /// The newest last; none older than the bound.
    marks: Mutex<VecDeque<Mark>>,
    /// The newest moment that the replica was seen to have reached. Only a hint: each list proves it anew.
    reached: Mutex<Option<Instant>>,
    by_replica: AtomicU64,
    not_fresh: AtomicU64,
    failed: AtomicU64,
}

impl Replica {
    /// Watches the replica of `config`, if it names one.
    ///
    /// # Errors
    /// No thread to watch it with.
    pub(crate) fn watch(config: &Config) -> Result<Option<Self>> {
        let Some((replica, bound)) = config.replica() else { return Ok(None) };
        // The primary is there: nobody waits long for a replica that is not.
        let open = |config: &Config, connections| {
            let brief = Config { connection_timeout: Duration::from_millis(500), ..config.clone() };
            Pool::open(&brief, Purpose::Calls, connections)
        };
        let shared = Arc::new(Shared {
            primary: open(config, WATCHING),
            replica: open(&replica, config.pool_size.saturating_add(WATCHING)),
            bound,
            marks: Mutex::default(),
            reached: Mutex::default(),
            by_replica: AtomicU64::new(0),
            not_fresh: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        let (sender, end) = mpsc::channel();
        let watched = Arc::clone(&shared);
        thread::Builder::new()
            .name("replica".to_owned())
            .spawn(move || watched.watch(&end))
            .map_err(|error| Error::Internal(error.into()))?;
        Ok(Some(Self { shared, _watch: sender }))
    }

    /// The list, if the replica is proven to show everything committed before the bound. Else the primary must answer.
    pub(crate) fn list(&self, listing: &Listing) -> Option<ImagePage> {
        self.shared.list(listing)
    }

    pub(crate) fn figures(&self) -> ReplicaFigures {
        let Shared { by_replica, not_fresh, failed, .. } = &*self.shared;
        ReplicaFigures {
            age: self.shared.reached().map(|reached| reached.elapsed()),
            by_replica: by_replica.load(Ordering::Relaxed),
            not_fresh: not_fresh.load(Ordering::Relaxed),
            failed: failed.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    fn watch(&self, end: &Receiver<()>) {
        // So often that a bound of five seconds is met by a replica that lags by four.
        let every = (self.bound / 10).clamp(Duration::from_millis(100), Duration::from_secs(1));
        while end.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
            // What fails is no news: marks grow old, and with them the proof.
            let _ = self.look();
        }
    }

    /// Takes a mark and sees which one the replica has reached.
    fn look(&self) -> Result<(), Fault> {
        let at = Instant::now();
        if let Some(place) = self.primary.read(|connection| place(connection, REACHED))? {
            let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
            marks.retain(|mark| mark.at.elapsed() <= self.bound);
            marks.push_back(Mark { at, place });
        }
        let replayed = self.replica.read(|connection| place(connection, REPLAYED))?;
        if let Some(proven) = replayed.and_then(|replayed| self.proven(replayed)) {
            self.note(Some(proven));
        }
        Ok(())
    }

    fn list(&self, listing: &Listing) -> Option<ImagePage> {
        if self.reached().is_none_or(|reached| reached.elapsed() > self.bound) {
            self.not_fresh.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let answer = self.replica.read(|connection| {
            connection.together(|session| {
                let proven = place(session, REPLAYED)?.and_then(|replayed| self.proven(replayed));
                let Some(proven) = proven else { return Ok(None) };
                let found = images::list(session, listing)?;
                Ok((proven.elapsed() <= self.bound).then_some(found))
            })
        });
        let count = match &answer {
            Ok(Some(_)) => &self.by_replica,
            Ok(None) => &self.not_fresh,
            Err(_) => {
                // Until the watch finds it well, nobody else tries.
                self.note(None);
                &self.failed
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
        answer.ok().flatten()
    }

    /// The newest moment before which everything committed is within `replayed`.
    fn proven(&self, replayed: Place) -> Option<Instant> {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.iter().rev().find(|mark| replayed.holds(mark.place)).map(|mark| mark.at)
    }

    fn reached(&self) -> Option<Instant> {
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, reached: Option<Instant>) {
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = reached;
    }
}

impl Place {
    /// Whether the log up to here holds the log up to there. Between branches positions say nothing.
    fn holds(self, there: Self) -> bool {
        (self.system, self.timeline) == (there.system, there.timeline) && self.position >= there.position
    }
}

fn place(connection: &mut Connection, question: &str) -> Result<Option<Place>, Fault> {
    let found = connection.run_on_postgres(|postgres| sql_query(question).get_result(postgres).optional())?;
    Ok(found.flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_holds_what_is_before_it_on_the_same_branch_and_nothing_else() {
        let here = Place { system: 1, timeline: 2, position: 100 };
        assert!(here.holds(here) && here.holds(Place { position: 99, ..here }));
        assert!(!here.holds(Place { position: 101, ..here }));
        // Replicas of a primary that moved may be ahead of where it moved to.
        assert!(!here.holds(Place { timeline: 3, position: 50, ..here }));
        assert!(!here.holds(Place { timeline: 1, position: 50, ..here }));
        assert!(!here.holds(Place { system: 7, position: 50, ..here }));
    }
}
