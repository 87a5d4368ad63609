//! Rounds: the calls that wait while the records are asked go to them together, next.
//!
//! One thread for each kind of call takes whatever has arrived, asks, and hands out the answers. Nobody waits for a
//! round to fill: a call that finds the thread idle is a round of its own.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use core_domain::{
    Error, Rules,
    round::{self, Outcome, SetStatus, Show},
    store::Store,
};
use prometheus::Histogram;
use tokio::sync::{mpsc, oneshot};

use crate::{error::ApiError, metrics::Metrics};

/// How many calls a round has at most: enough that the way there and back is shared, few enough that the first
/// of them hardly waits for the last.
const SIZE: usize = 64;
/// How many calls may wait for a round; those beyond are told at once to come again.
const WAITING_ROOM: usize = 4096;

/// Both kinds of rounds.
pub(crate) struct Rounds {
    pub(crate) shows: Queue<Show>,
    pub(crate) statuses: Queue<SetStatus>,
}

impl Rounds {
    /// Starts a thread for each kind; both end with what this returns.
    pub(crate) fn start(store: &Arc<dyn Store>, rules: &Arc<Rules>, metrics: &Metrics) -> Self {
        let (of_shows, of_statuses) =
            ((Arc::clone(store), Arc::clone(rules)), (Arc::clone(store), Arc::clone(rules)));
        Self {
            shows: Queue::start("round-show", metrics.round("show"), move |calls| {
                round::show(&of_shows.1, of_shows.0.as_ref(), calls)
            }),
            statuses: Queue::start("round-status", metrics.round("status"), move |calls| {
                round::set_status(&of_statuses.1, of_statuses.0.as_ref(), calls)
            }),
        }
    }
}

/// The calls of one kind on their way to a round.
pub(crate) struct Queue<C> {
    sender: mpsc::Sender<Waiting<C>>,
}

struct Waiting<C> {
    call: C,
    answer: oneshot::Sender<Outcome>,
}

impl<C: Send + 'static> Queue<C> {
    fn start(name: &str, sizes: Histogram, work: impl Fn(&[C]) -> Vec<Outcome> + Send + 'static) -> Self {
        let (sender, mut receiver) = mpsc::channel::<Waiting<C>>(WAITING_ROOM);
        let run = move || {
            let mut waiting = Vec::with_capacity(SIZE);
            while receiver.blocking_recv_many(&mut waiting, SIZE) > 0 {
                // Whoever went away meanwhile was never there.
                waiting.retain(|one| !one.answer.is_closed());
                let (calls, answers): (Vec<C>, Vec<_>) =
                    waiting.drain(..).map(|one| (one.call, one.answer)).unzip();
                if calls.is_empty() {
                    continue;
                }
                sizes.observe(f64::from(u32::try_from(calls.len()).unwrap_or(u32::MAX)));
                // After a panic nobody gets an answer, which is to say: each goes alone, and finds out whose fault it is.
                let outcomes = catch_unwind(AssertUnwindSafe(|| work(&calls))).unwrap_or_default();
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    // Whoever went away meanwhile needs none.
                    let _ = answer.send(outcome);
                }
            }
        };
        if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(run) {
            tracing::error!(%error, "no thread for rounds: every call goes alone, which is slower");
        }
        Self { sender }
    }

    /// Puts a call into the next round and waits for its outcome; `None`: it is to go alone.
    pub(crate) async fn join(&self, call: C) -> Result<Outcome, ApiError> {
        let (answer, outcome) = oneshot::channel();
        match self.sender.try_send(Waiting { call, answer }) {
            Ok(()) => Ok(outcome.await.ok().flatten()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err(Error::Unavailable("too many requests wait for the records".into()).into())
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Ok(None),
        }
    }
}
