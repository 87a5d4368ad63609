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
    Context, Error, Rules, catalog,
    image::{Image, ImageId},
    limits::{BATCH_BYTES, BATCH_ID_BYTES, BATCH_MEMBERS},
    member::{Member, MemberStatus},
    permit::Permit,
    project::ProjectId,
    round::{self, Call, Outcome, SetStatus},
    sharing,
    store::Store,
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    app::{Access, App},
    auth::Auth,
    error::ApiError,
    metrics::Metrics,
    times::{change_within, within},
};

/// How many calls a round has at most: enough that the way there and back is shared, few enough that the first
/// of them hardly waits for the last.
const SIZE: usize = 64;
/// Of a round of member lists: 64 bytes beside the id hold a status and two times, also as text.
const _: () = assert!(SIZE * BATCH_MEMBERS * (BATCH_ID_BYTES + 64) <= BATCH_BYTES);
/// How many calls may wait for a round; those beyond are told at once to come again.
const WAITING_ROOM: usize = 4096;

/// The calls that are answered in rounds.
pub(crate) struct Rounds {
    members: Queue<Call<ProjectId>, Member>,
    rolls: Queue<Call<()>, Vec<Member>>,
    images: Queue<Call<()>, Image>,
    statuses: Queue<SetStatus, Member>,
}

impl Rounds {
    /// Starts a thread for each kind of call; all end with what this returns.
    pub(crate) fn start(store: &Arc<dyn Store>, rules: &Arc<Rules>, metrics: &Metrics) -> Self {
        let records = || (Arc::clone(rules), Arc::clone(store));
        Self {
            members: Queue::start("show_member", metrics, records(), round::show_member),
            rolls: Queue::start("list_members", metrics, records(), round::list_members),
            images: Queue::start("show_image", metrics, records(), round::show_image),
            statuses: Queue::start("set_status", metrics, records(), round::set_status),
        }
    }
}

impl App {
    /// [`sharing::show`]
    pub(crate) async fn show_member(
        &self,
        asker: Auth,
        image: ImageId,
        project: ProjectId,
    ) -> Result<Member, ApiError> {
        self.look(&self.rounds.members, asker, image, project, |cx, store, image, project| {
            sharing::show(cx, store, image, &project)
        })
        .await
    }

    /// [`sharing::list`] of all members; `None`: this call is to be made alone, as for an image of more members than a round
    /// lists.
    pub(crate) async fn list_members(
        &self,
        asker: Auth,
        image: ImageId,
    ) -> Result<Option<Vec<Member>>, ApiError> {
        let times = self.times();
        let call = Call::now(Arc::clone(&asker.caller), &self.rules, Arc::clone(&asker.request), image, ());
        Ok(within(times.answer, self.rounds.rolls.join(call)).await??.transpose()?)
    }

    /// [`catalog::show`]
    pub(crate) async fn show_image(&self, asker: Auth, image: ImageId) -> Result<Image, ApiError> {
        self.look(&self.rounds.images, asker, image, (), |cx, store, image, ()| {
            catalog::show(cx, store, image)
        })
        .await
    }

    /// A call that only looks: in a round, or else `alone`.
    async fn look<W: Clone + Send + 'static, T: Send + 'static>(
        &self,
        queue: &Queue<Call<W>, T>,
        asker: Auth,
        image: ImageId,
        what: W,
        alone: impl FnOnce(Context<'_>, &dyn Store, ImageId, W) -> core_domain::Result<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let times = self.times();
        let call = Call::now(
            Arc::clone(&asker.caller),
            &self.rules,
            Arc::clone(&asker.request),
            image,
            what.clone(),
        );
        match within(times.answer, queue.join(call)).await?? {
            Some(done) => Ok(done?),
            None => {
                self.run(Access::Read, times, asker, move |cx, store| alone(cx, store, image, what)).await
            }
        }
    }

    /// [`sharing::set_status`]: in a round, or else alone.
    pub(crate) async fn set_member_status(
        &self,
        asker: Auth,
        image: ImageId,
        project: ProjectId,
        status: MemberStatus,
    ) -> Result<Member, ApiError> {
        let times = self.times();
        let permit = Arc::new(Permit::default());
        let membership = Call::now(
            Arc::clone(&asker.caller),
            &self.rules,
            Arc::clone(&asker.request),
            image,
            project.clone(),
        );
        let call = SetStatus { membership, status, permit: Arc::clone(&permit) };
        match change_within(times, &permit, self.rounds.statuses.join(call)).await?? {
            Some(done) => Ok(done?),
            None => {
                let alone = move |cx: Context<'_>, store: &dyn Store| {
                    sharing::set_status(cx, store, image, &project, status)
                };
                self.run(Access::Change, times, asker, alone).await
            }
        }
    }
}

/// The calls of one kind on their way to a round.
struct Queue<C, T> {
    sender: mpsc::Sender<Waiting<C, T>>,
}

struct Waiting<C, T> {
    call: C,
    answer: oneshot::Sender<Outcome<T>>,
}

/// Answers a round.
type Work<C, T> = fn(&Rules, &dyn Store, &[C]) -> Vec<Outcome<T>>;

impl<C: Send + 'static, T: Send + 'static> Queue<C, T> {
    fn start(
        kind: &str,
        metrics: &Metrics,
        (rules, store): (Arc<Rules>, Arc<dyn Store>),
        work: Work<C, T>,
    ) -> Self {
        let (sender, mut receiver) = mpsc::channel::<Waiting<C, T>>(WAITING_ROOM);
        let sizes = metrics.round(kind);
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
                let outcomes = catch_unwind(AssertUnwindSafe(|| work(&rules, store.as_ref(), &calls)));
                for (answer, outcome) in answers.into_iter().zip(outcomes.unwrap_or_default()) {
                    // Whoever went away meanwhile needs none.
                    let _ = answer.send(outcome);
                }
            }
        };
        // Without its thread the queue is closed, and every call goes alone.
        if let Err(error) = thread::Builder::new().name(kind.replace('_', "-")).spawn(run) {
            tracing::error!(%error, "no thread for rounds: every call goes alone, which is slower");
        }
        Self { sender }
    }

    /// Puts a call into the next round and waits for its outcome; `None`: it is to go alone.
    async fn join(&self, call: C) -> Result<Outcome<T>, ApiError> {
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

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        sync::{Mutex, mpsc as channel},
        task::{Context as Waker, Poll, Waker as Wakers},
    };

    use actix_web::http::{StatusCode, header::HeaderMap};
    use core_domain::testing::memory::MemoryStore;

    use super::*;

    /// What the round of a test does: it notes its size, and waits until the test lets it go on.
    struct Gate {
        sizes: Mutex<Vec<usize>>,
        has_begun: channel::Sender<()>,
        goes_on: Mutex<channel::Receiver<()>>,
    }

    fn pass(_: &Rules, _: &dyn Store, calls: &[Arc<Gate>]) -> Vec<Outcome<()>> {
        let gate = &calls[0];
        gate.sizes.lock().unwrap().push(calls.len());
        gate.has_begun.send(()).unwrap();
        // Without an end of the test's, the gate stays open.
        let _ = gate.goes_on.lock().unwrap().recv();
        calls.iter().map(|_| Some(Ok(()))).collect()
    }

    #[test]
    fn rounds_have_64_calls_and_4096_wait_for_them() {
        let (has_begun, began) = channel::channel();
        let (go_on, goes_on) = channel::channel();
        let gate = Arc::new(Gate { sizes: Mutex::default(), has_begun, goes_on: Mutex::new(goes_on) });
        let records: (Arc<Rules>, Arc<dyn Store>) = (Arc::default(), Arc::new(MemoryStore::default()));
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let queue = Queue::start("show_image", &metrics, records, pass);
        let mut waker = Waker::from_waker(Wakers::noop());

        let mut first = pin!(queue.join(Arc::clone(&gate)));
        assert!(first.as_mut().poll(&mut waker).is_pending());
        began.recv().unwrap();
        let mut waiting: Vec<_> = (0..4096).map(|_| Box::pin(queue.join(Arc::clone(&gate)))).collect();
        for call in &mut waiting {
            assert!(call.as_mut().poll(&mut waker).is_pending());
        }
        let Poll::Ready(Err(refused)) = pin!(queue.join(Arc::clone(&gate))).poll(&mut waker) else {
            panic!("the next call does not wait")
        };
        let refused = refused.response(&HeaderMap::new());
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);

        drop(go_on);
        for _ in 0..64 {
            began.recv().unwrap();
        }
        let executor = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert!(matches!(executor.block_on(first), Ok(Some(Ok(())))));
        for call in waiting {
            assert!(matches!(executor.block_on(call), Ok(Some(Ok(())))));
        }
        let mut expected = vec![64; 64];
        expected.insert(0, 1);
        assert_eq!(*gate.sizes.lock().unwrap(), expected);
    }
}
