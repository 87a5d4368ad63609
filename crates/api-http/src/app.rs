//! What handlers share, and the ways from a request to the records: a round, or a blocking thread of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::web;
use core_domain::{
    Context, Error, Rules,
    permit::{Permit, Permitted},
    store::Store,
    tokens::Tokens,
};
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use crate::{
    auth::Auth,
    budget::{Budget, Share},
    client_address::TrustedProxies,
    edge::{BodyBuffer, Connections, Edge},
    error::ApiError,
    metrics::Metrics,
    rate::{Buckets, Rate},
    rounds::Rounds,
    times::{Times, change_within, within},
};

/// What the API is told of its surroundings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The base of absolute links, such as `https://image.example.org`; the request's host if `None`.
    pub public_endpoint: Option<String>,
    /// Where clients get tokens: goes into `WWW-Authenticate`.
    pub identity_uri: String,
    /// The largest JSON body, in bytes.
    pub body_bytes: usize,
    /// How long a request may take, from its head to its answer; its body may take as long again to arrive.
    pub deadline: Duration,
    /// How many use cases run at once: as many as there are connections to the records.
    pub connections: usize,
    /// How often each project may ask; `None`: as often as it likes.
    pub rate: Option<Rate>,
    /// How the server holds its connections.
    pub edge: Edge,
    /// The proxies that say for which client they ask.
    pub trusted_proxies: TrustedProxies,
}

/// What handlers share.
pub struct App {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) tokens: Arc<dyn Tokens>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    /// A seat for each use case that runs.
    seats: Arc<Semaphore>,
    /// Those of them that changes may take: changes of one image wait for each other, and reads must not wait for
    /// them as well.
    seats_for_changes: Arc<Semaphore>,
    waiting: AtomicUsize,
    pub(crate) connections: Arc<Connections>,
    pub(crate) bodies: Arc<BodyBuffer>,
    /// The memory of lists.
    budget: Budget,
    /// That of answers about one large image.
    large_images: Budget,
    pub(crate) rounds: Rounds,
    pub(crate) buckets: Option<Buckets>,
    ping: tokio::sync::Mutex<Option<Ping>>,
    is_leaving: AtomicBool,
}

/// What a use case does to the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It only looks.
    Read,
    /// It changes them.
    Change,
}

/// How many requests may wait for a seat; those beyond are told at once to come again.
const WAITING_ROOM: usize = 4096;
/// How long an answer to «are the records there?» is good for: readiness is asked for by anybody, without a token.
const PING_LIFE: Duration = Duration::from_millis(500);
/// How long readiness waits for that answer: probes give up after a few seconds.
const PING_PATIENCE: Duration = Duration::from_secs(1);
/// How long the last answer stands in for one that does not come: busy is not away.
const PING_MEMORY: Duration = Duration::from_secs(10);

impl App {
    /// An API over these records, vouched for by `tokens`, by these rules.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        tokens: Arc<dyn Tokens>,
        rules: Arc<Rules>,
        settings: Settings,
        metrics: Metrics,
    ) -> Self {
        let seats = settings.connections.max(1);
        let rounds = Rounds::start(&store, &rules, &metrics);
        let edge = &settings.edge;
        let connections = Connections::new(edge.max_connections, metrics.edge.clone());
        let bodies = BodyBuffer::new(edge.body_buffer_bytes, metrics.edge.clone());
        let budget = Budget::of_lists(metrics.list_memory.clone());
        let large_images = Budget::of_large_images(metrics.image_memory.clone());
        Self {
            connections: Arc::new(connections),
            bodies,
            rounds,
            buckets: settings.rate.map(Buckets::new),
            store,
            tokens,
            rules,
            metrics,
            seats: Arc::new(Semaphore::new(seats)),
            seats_for_changes: Arc::new(Semaphore::new((seats - 1).max(1))),
            waiting: AtomicUsize::new(0),
            budget,
            large_images,
            ping: tokio::sync::Mutex::new(None),
            is_leaving: AtomicBool::new(false),
            settings,
        }
    }

    /// Runs a use case that only looks.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        asker: Auth,
        use_case: impl FnOnce(Context<'_>, &dyn Store) -> core_domain::Result<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.run(Access::Read, self.times(), asker, use_case).await
    }

    /// Takes memory for a list of at most this many bytes, before the records are asked.
    ///
    /// # Errors
    /// None was free in the time in which a connection to the records would have to be.
    pub(crate) async fn memory(&self, asker: &Auth, bytes: usize) -> Result<Share, ApiError> {
        let _waits = Waits::among(&self.waiting)?;
        within(self.times().seat, self.budget.take(asker.caller.project.as_ref(), bytes)).await?
    }

    /// Takes memory for an answer about an image whose record takes so many bytes, before the records are asked.
    ///
    /// # Errors
    /// As above.
    pub(crate) async fn image_memory(&self, asker: &Auth, record: usize) -> Result<Share, ApiError> {
        let _waits = Waits::among(&self.waiting)?;
        let taken = self.large_images.take_for_image(asker.caller.project.as_ref(), record);
        within(self.times().seat, taken).await?
    }

    /// Runs a use case that only looks and whose answer is held in this memory, which is held as long as it runs: also when
    /// its client is gone meanwhile.
    pub(crate) async fn read_into<T: Send + 'static>(
        &self,
        memory: Share,
        asker: Auth,
        use_case: impl FnOnce(Context<'_>, &dyn Store) -> core_domain::Result<T> + Send + 'static,
    ) -> Result<(T, Share), ApiError> {
        self.read(asker, move |cx, store| use_case(cx, store).map(|done| (done, memory))).await
    }

    /// Runs a use case that changes the records.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        asker: Auth,
        use_case: impl FnOnce(Context<'_>, &dyn Store) -> core_domain::Result<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.run(Access::Change, self.times(), asker, use_case).await
    }

    /// The times of the request that is being answered.
    pub(crate) fn times(&self) -> Times {
        Times::of(self.settings.deadline)
    }

    /// Runs one use case for `asker` on a blocking thread: the way to the records for all but rounds.
    ///
    /// Whoever does not get a seat in half the time there is, or goes away meanwhile, was never there. Whoever has one
    /// and is not answered in time is refused, and then the change is never made.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        access: Access,
        times: Times,
        asker: Auth,
        use_case: impl FnOnce(Context<'_>, &dyn Store) -> core_domain::Result<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let seat = within(times.seat, self.seat(access)).await??;
        let (store, rules) = (Arc::clone(&self.store), Arc::clone(&self.rules));
        let permit = Arc::new(Permit::default());
        let permitted = Arc::clone(&permit);
        let work = web::block(move || {
            let store = Permitted::new(store.as_ref(), &permitted);
            let done = use_case(Context::now(&asker.caller, &rules, &asker.request), &store);
            drop(seat);
            done
        });
        let done = match access {
            Access::Read => within(times.answer, work).await?,
            Access::Change => change_within(times, &permit, work).await?,
        };
        match done {
            Ok(done) => Ok(done?),
            Err(panicked) => Err(Error::Internal(Box::new(panicked)).into()),
        }
    }

    /// Waits for a seat; for a change, for one of those first that changes may take.
    async fn seat(&self, access: Access) -> Result<Vec<OwnedSemaphorePermit>, ApiError> {
        let _waits = Waits::among(&self.waiting)?;
        let mut seat = Vec::with_capacity(2);
        if access == Access::Change {
            seat.push(taken(Arc::clone(&self.seats_for_changes).acquire_owned().await)?);
        }
        seat.push(taken(Arc::clone(&self.seats).acquire_owned().await)?);
        Ok(seat)
    }

    /// From now on it is not ready, and every answer is the last on its connection: so that whoever sends requests here
    /// goes elsewhere before it stops.
    pub fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }

    /// Every connection, of which there are at most so many.
    #[must_use]
    pub fn most_connections(&self) -> usize {
        self.connections.most()
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    /// Whether the records can be reached. Asked at most twice a second, by one at a time, and not behind requests.
    pub(crate) async fn reaches_records(&self) -> bool {
        let mut last = self.ping.lock().await;
        // What nobody answered was asked as well: or all who wait here would wait for the same in turn.
        if let Some(Ping { asked, answer, .. }) = *last
            && asked.elapsed() < PING_LIFE
        {
            return answer;
        }
        let store = Arc::clone(&self.store);
        let answered = timeout(PING_PATIENCE, web::block(move || store.ping())).await;
        let asked = Instant::now();
        let (answer, reached) = match answered {
            Ok(Ok(Ok(()))) => (true, Some(asked)),
            Ok(_) => (false, None),
            Err(_) => {
                let reached = last.and_then(|ping| ping.reached);
                (reached.is_some_and(|reached| reached.elapsed() < PING_MEMORY), reached)
            }
        };
        *last = Some(Ping { asked, answer, reached });
        answer
    }
}

/// What was last known of the records.
#[derive(Clone, Copy)]
struct Ping {
    asked: Instant,
    answer: bool,
    /// When they were last reached, unless they said since that they cannot be.
    reached: Option<Instant>,
}

fn taken(permit: Result<OwnedSemaphorePermit, AcquireError>) -> Result<OwnedSemaphorePermit, ApiError> {
    permit.map_err(|closed| Error::Internal(Box::new(closed)).into())
}

/// One of those who wait, as long as it lives.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn among(waiting: &'a AtomicUsize) -> Result<Self, ApiError> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let waits = Self(waiting);
        if before >= WAITING_ROOM {
            return Err(Error::Unavailable("too many requests wait for the records".into()).into());
        }
        Ok(waits)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::{StatusCode, header::HeaderMap};

    use super::*;

    #[test]
    fn at_most_4096_calls_wait_and_the_next_gets_503() {
        let waiting = AtomicUsize::new(0);
        let mut all: Vec<_> = (0..4096).map(|_| Waits::among(&waiting).ok().unwrap()).collect();
        for _ in 0..3 {
            let refused = Waits::among(&waiting).err().unwrap().response(&HeaderMap::new());
            assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        }
        all.pop();
        let next = Waits::among(&waiting);
        assert!(next.is_ok() && Waits::among(&waiting).is_err());
        drop((next, all));
        assert_eq!(waiting.into_inner(), 0);
    }
}
