//! Every connection there is: how many may be, and whose place a new one takes when there is no other.
//!
//! A new connection is always accepted at once. When the limit is reached, room is made by ending connections on which no
//! request is being answered, those of the address that has most of them first, and of these the oldest.

use std::{
    collections::{BinaryHeap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed},
    },
    task::Waker,
    time::{Duration, Instant},
};

use super::{
    HEAD_TIMEOUT,
    connection::{Activity, Connection, Ending},
};
use crate::metrics::EdgeMetrics;

/// Bytes beyond the free ones that unfinished heads of all connections may hold together.
const HEADS_BYTES: usize = 16 << 20;
/// What a connection weighs besides what is charged for its head, when the heaviest address is looked for.
const WEIGHT: usize = 16 << 10;
/// Of so many connections one more is let in for probes when all are being answered.
const SURPLUS_SHARE: usize = 8;
/// For so many connections one may be there that is being ended: beyond, none is accepted until one of these has gone.
const ENDING_SHARE: usize = 4;
/// Connections whose clients may be listened to for a moment after a refusal: until then their buffers are held.
const LINGERING: usize = 64;
/// Of so many connections one is ended when room is made, so that not every new connection looks for one.
const BATCH_SHARE: usize = 16;
/// Later than the HTTP library's own timeout, which knows only the first head of a connection.
const LATER_HEAD_TIMEOUT: Duration = HEAD_TIMEOUT.saturating_add(Duration::from_secs(1));

/// Every connection.
pub(crate) struct Connections {
    limit: usize,
    started: Instant,
    open: Mutex<Open>,
    /// Those that are not being ended.
    live: AtomicUsize,
    /// The sum of what connections are charged for their heads; below zero for a moment where one is ended while it reads.
    heads: AtomicIsize,
    lingering: AtomicUsize,
    pub(super) metrics: EdgeMetrics,
}

#[derive(Default)]
struct Open {
    next: u64,
    all: HashMap<u64, Arc<Connection>>,
}

impl Connections {
    /// At most `limit` at once, and an eighth more for what needs no token.
    pub(crate) fn new(limit: usize, metrics: EdgeMetrics) -> Self {
        Self {
            limit: limit.max(1),
            started: Instant::now(),
            open: Mutex::new(Open::default()),
            live: AtomicUsize::new(0),
            heads: AtomicIsize::new(0),
            lingering: AtomicUsize::new(0),
            metrics,
        }
    }

    /// How many there can be at most, those that are just being ended included.
    pub(crate) fn most(&self) -> usize {
        self.limit + self.surplus() + self.limit.div_ceil(ENDING_SHARE)
    }

    fn surplus(&self) -> usize {
        (self.limit / SURPLUS_SHARE).max(1)
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in; `None` if there is no room for it, and none can be made.
    pub(super) fn admit(
        self: &Arc<Self>,
        peer: Option<SocketAddr>,
        local: Option<SocketAddr>,
    ) -> Option<Admitted> {
        let mut open = self.open();
        let mut live = self.live.load(Relaxed);
        if live >= self.limit {
            let needed = live - self.limit + (self.limit / BATCH_SHARE).max(1);
            self.make_room(&open, |ended, _| ended < needed);
            live = self.live.load(Relaxed);
        }
        if live >= self.limit + self.surplus() {
            self.metrics.rejected("full");
            return None;
        }
        let is_surplus = live >= self.limit;
        let connection = Arc::new(Connection::new(peer, local, is_surplus, self.now()));
        let id = open.next;
        open.next += 1;
        open.all.insert(id, Arc::clone(&connection));
        self.live.fetch_add(1, Relaxed);
        self.metrics.open(open.all.len());
        drop(open);
        Some(Admitted { connections: Arc::clone(self), connection, id, lingers: false })
    }

    /// Ends connections without a request in progress, for as long as `more` says of their number and of the bytes that were
    /// charged for them.
    fn make_room(&self, open: &Open, more: impl Fn(usize, usize) -> bool) {
        let mut peers: HashMap<IpAddr, Peer> = HashMap::new();
        let now = self.now();
        for connection in open.all.values().filter(|connection| connection.can_give_place(now)) {
            let peer = peers.entry(connection.peer).or_default();
            peer.weight += WEIGHT + connection.charged();
            peer.connections.push(Arc::clone(connection));
        }
        // The heaviest address first, and of its connections the oldest.
        let mut heaviest: BinaryHeap<Peer> = peers.into_values().map(Peer::oldest_last).collect();
        let (mut ended, mut bytes) = (0, 0);
        while more(ended, bytes) {
            let Some(mut peer) = heaviest.pop() else { break };
            let Some(connection) = peer.connections.pop() else { continue };
            let charged = connection.charged();
            peer.weight = peer.weight.saturating_sub(WEIGHT + charged);
            heaviest.push(peer);
            if connection.unsent.is_stalled(now) {
                if self.end_slow_reader(&connection) {
                    ended += 1;
                    bytes += charged;
                }
                continue;
            }
            let (ending, reason) = match connection.activity() {
                Activity::Idle => (Ending::Quiet, "idle"),
                Activity::ReadingHead | Activity::Answering => (Ending::NoRoom, "no_room"),
            };
            if self.end(&connection, ending) {
                self.metrics.rejected(reason);
                ended += 1;
                bytes += charged;
            }
        }
    }

    /// Ends a connection, whose place and bytes are others' from now on; says whether this was the first reason to.
    fn end(&self, connection: &Connection, ending: Ending) -> bool {
        let first = connection.end(ending);
        if first {
            self.leave(connection);
        }
        first
    }

    /// Ends a connection whose client does not take its answer, even if that was to be the last; says whether there was no
    /// reason to end it before.
    fn end_slow_reader(&self, connection: &Connection) -> bool {
        let before = connection.end_slow_reader();
        if before != Some(Ending::SlowReader) {
            self.metrics.rejected("slow_reader");
        }
        if before.is_none() {
            self.leave(connection);
        }
        before.is_none()
    }

    /// The place and the bytes of a connection are others' from now on.
    fn leave(&self, connection: &Connection) {
        self.live.fetch_sub(1, Relaxed);
        self.heads.fetch_sub(connection.take_charge().cast_signed(), Relaxed);
    }

    /// So many bytes more are charged for heads; ends connections if that is too much.
    fn charge(&self, bytes: usize) {
        let limit = HEADS_BYTES.cast_signed();
        let more = bytes.cast_signed();
        if bytes == 0 || self.heads.fetch_add(more, Relaxed).saturating_add(more) <= limit {
            return;
        }
        let open = self.open();
        let held = usize::try_from(self.heads.load(Relaxed)).unwrap_or_default();
        if held > HEADS_BYTES {
            let excess = held - HEADS_BYTES + HEADS_BYTES / BATCH_SHARE;
            self.make_room(&open, |_, bytes| bytes < excess);
        }
    }

    /// Ends connections whose later heads do not arrive in time.
    pub(super) fn end_slow_heads(&self) {
        let timeout = u64::try_from(LATER_HEAD_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
        let now = self.now();
        for connection in self.open().all.values() {
            let is_late = connection.activity() == Activity::ReadingHead
                && now.saturating_sub(connection.since()) > timeout;
            if is_late {
                let said = !connection.has_unread_body();
                self.end(connection, if said { Ending::SlowHead } else { Ending::Quiet });
            }
        }
    }

    /// Ends connections whose clients do not take their answers: what these hold is given back.
    pub(super) fn end_slow_readers(&self) {
        self.end_slow_readers_at(self.now());
    }

    pub(super) fn end_slow_readers_at(&self, now: u64) {
        let open = self.open();
        for connection in open.all.values().filter(|connection| connection.unsent.is_late(now)) {
            self.end_slow_reader(connection);
        }
    }
}

/// The connections of one address that can be ended.
#[derive(Default)]
struct Peer {
    weight: usize,
    connections: Vec<Arc<Connection>>,
}

impl Peer {
    fn oldest_last(mut self) -> Self {
        self.connections.sort_unstable_by_key(|connection| std::cmp::Reverse(connection.since()));
        self
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Peer {}

impl PartialOrd for Peer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Peer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let oldest = |peer: &Self| peer.connections.last().map_or(u64::MAX, |connection| connection.since());
        self.weight.cmp(&other.weight).then_with(|| oldest(other).cmp(&oldest(self)))
    }
}

/// A connection that was let in, for as long as it is open.
pub(super) struct Admitted {
    connections: Arc<Connections>,
    connection: Arc<Connection>,
    id: u64,
    lingers: bool,
}

impl Admitted {
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What a request knows its connection by.
    pub(super) fn handle(&self, is_secure: bool) -> Handle {
        Handle {
            connections: Arc::clone(&self.connections),
            connection: Arc::clone(&self.connection),
            is_secure,
        }
    }

    pub(super) fn end(&self, ending: Ending) {
        self.connections.end(&self.connection, ending);
    }

    pub(super) fn metrics(&self) -> &EdgeMetrics {
        &self.connections.metrics
    }

    /// Whether the client may be listened to for a moment after a refusal. Only a few at once: the place and the bytes of a
    /// connection that has ended are others' already.
    pub(super) fn may_linger(&mut self) -> bool {
        let lingering = &self.connections.lingering;
        self.lingers = self.lingers || lingering.fetch_add(1, Relaxed) < LINGERING || {
            lingering.fetch_sub(1, Relaxed);
            false
        };
        self.lingers
    }

    /// The client is waited for, and so is the task of this waker.
    pub(super) fn wait_for_client(&self, waker: &Waker) {
        self.connection.wait_for_client(self.connections.now(), waker);
    }

    /// These bytes have come.
    pub(super) fn received(&self, bytes: &[u8]) {
        self.connections.charge(self.connection.received(bytes, self.connections.now()));
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.connections.end(&self.connection, Ending::Quiet);
        self.connections.lingering.fetch_sub(usize::from(self.lingers), Relaxed);
        self.connections.heads.fetch_sub(self.connection.take_charge().cast_signed(), Relaxed);
        let mut open = self.connections.open();
        open.all.remove(&self.id);
        self.connections.metrics.open(open.all.len());
    }
}

/// What a request knows its connection by.
#[derive(Clone)]
pub(crate) struct Handle {
    connections: Arc<Connections>,
    connection: Arc<Connection>,
    is_secure: bool,
}

impl Handle {
    /// Whether it is over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// From now on a request is being answered, until what this returns is dropped.
    pub(crate) fn answer(self, has_body: bool) -> Answering {
        self.connection.begin_answer(self.connections.now(), has_body);
        Answering(self)
    }
}

impl std::ops::Deref for Handle {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

/// A request is being answered on this connection.
pub(crate) struct Answering(Handle);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.connection.end_answer(self.0.connections.now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(limit: usize) -> Arc<Connections> {
        Arc::new(Connections::new(limit, EdgeMetrics::new(&prometheus::Registry::new()).unwrap()))
    }

    fn from(connections: &Arc<Connections>, last: u8) -> Option<Admitted> {
        connections.admit(Some(SocketAddr::from(([127, 0, 0, last], 1))), None)
    }

    #[test]
    fn new_connection_takes_the_place_of_the_heaviest_address() {
        let connections = connections(4);
        let other = from(&connections, 1).unwrap();
        let heavy: Vec<_> = (0..3).map(|_| from(&connections, 2).unwrap()).collect();
        let new = from(&connections, 3).unwrap();
        assert!(!new.connection.is_surplus() && other.connection.ending().is_none());
        let ended = heavy.iter().filter(|heavy| heavy.connection.ending() == Some(Ending::NoRoom));
        assert_eq!(ended.count(), 1);
    }

    #[test]
    fn of_one_address_the_oldest_connection_is_ended_first() {
        let connections = connections(3);
        let all: Vec<_> = (0..3).map(|_| from(&connections, 1).unwrap()).collect();
        for (admitted, since) in all.iter().zip([30, 10, 20]) {
            admitted.connection.end_answer(since);
        }
        let _new = from(&connections, 1).unwrap();
        let endings: Vec<_> = all.iter().map(|admitted| admitted.connection.ending()).collect();
        assert_eq!(endings, [None, Some(Ending::Quiet), None]);
    }

    #[test]
    fn request_in_progress_is_never_ended_and_probes_find_room() {
        let connections = connections(8);
        let busy: Vec<_> = (0..8).map(|_| from(&connections, 1).unwrap()).collect();
        let answering: Vec<_> = busy.iter().map(|busy| busy.handle(false).answer(false)).collect();
        let probe = from(&connections, 2).unwrap();
        assert!(probe.connection.is_surplus());
        let _answering = probe.handle(false).answer(false);
        assert!(from(&connections, 3).is_none(), "all of them are being answered");
        assert!(busy.iter().all(|busy| busy.connection.ending().is_none()));
        drop(answering);
        assert!(!from(&connections, 3).unwrap().connection.is_surplus());
    }

    /// Counts how often a task is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn ended_slow_readers(connections: &Connections) -> u64 {
        connections.metrics.count_rejected("slow_reader")
    }

    #[test]
    fn reader_that_takes_nothing_is_ended_and_its_task_woken() {
        let connections = connections(8);
        let [slow, reads, idle] = [1, 2, 3].map(|last| from(&connections, last).unwrap());
        let woken = Arc::new(Woken::default());
        let _answering = [&slow, &reads].map(|admitted| {
            let answering = admitted.handle(false).answer(false);
            admitted.connection.wait_for_client(1, &Arc::clone(&woken).into());
            answering
        });
        connections.end_slow_readers_at(30_001);
        assert!(slow.connection.ending().is_none());
        reads.connection.unsent.take(super::super::PIECE);
        connections.end_slow_readers_at(30_002);
        connections.end_slow_readers_at(90_000);
        assert!(slow.connection.is_slow_reader() && slow.connection.is_ending());
        assert!([&reads, &idle].iter().all(|other| other.connection.ending().is_none()));
        assert_eq!((woken.0.load(Relaxed), ended_slow_readers(&connections)), (1, 1));
        assert_eq!(connections.live.load(Relaxed), 2);
        drop(slow);
        assert_eq!(connections.live.load(Relaxed), 2);
    }

    #[test]
    fn stalled_readers_give_place_to_a_new_connection() {
        let mut connections = connections(8);
        let minute = Duration::from_mins(1);
        Arc::get_mut(&mut connections).unwrap().started = Instant::now().checked_sub(minute).unwrap();
        let busy: Vec<_> = (0..8).map(|_| from(&connections, 1).unwrap()).collect();
        let _answering: Vec<_> = busy.iter().map(|busy| busy.handle(false).answer(false)).collect();
        assert!(from(&connections, 2).unwrap().connection.is_surplus());
        busy[3].connection.wait_for_client(1, std::task::Waker::noop());
        assert!(!from(&connections, 2).unwrap().connection.is_surplus());
        let ended: Vec<_> = busy.iter().map(|busy| busy.connection.is_slow_reader()).collect();
        assert_eq!(ended, [false, false, false, true, false, false, false, false]);
        assert_eq!(ended_slow_readers(&connections), 1);
    }

    #[test]
    fn unfinished_heads_of_all_connections_are_bounded_in_bytes() {
        let connections = connections(100_000);
        let kilobytes = 60 * 1024;
        let mut heavy = Vec::new();
        for _ in 0..(2 * HEADS_BYTES / kilobytes) {
            let admitted = from(&connections, 1).unwrap();
            admitted.received(&vec![b'x'; kilobytes]);
            heavy.retain(|heavy: &Admitted| heavy.connection.ending().is_none());
            heavy.push(admitted);
            assert!(connections.heads.load(Relaxed) <= (HEADS_BYTES + kilobytes).cast_signed());
        }
        heavy.clear();
        assert_eq!(connections.heads.load(Relaxed), 0);
    }

    #[test]
    fn few_refused_connections_linger_at_once() {
        let connections = connections(1024);
        let mut refused: Vec<_> = (0..200).map(|_| from(&connections, 1).unwrap()).collect();
        for _ in 0..2 {
            assert_eq!(
                refused.iter_mut().filter_map(|one| one.may_linger().then_some(())).count(),
                LINGERING
            );
        }
        refused.clear();
        assert!(from(&connections, 1).unwrap().may_linger());
        assert_eq!(connections.lingering.load(Relaxed), 0);
    }

    #[test]
    fn ten_thousand_connections_never_exceed_the_limit() {
        let connections = connections(64);
        let mut open = Vec::new();
        for number in 0..10_000_u32 {
            let last = u8::try_from(number % 16).unwrap();
            open.retain(|open: &Admitted| open.connection.ending().is_none());
            open.push(from(&connections, last).unwrap());
            let live = open.iter().filter(|open| open.connection.ending().is_none()).count();
            assert!(live <= 64);
        }
    }
}
