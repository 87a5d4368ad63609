//! One connection: what it is doing, for how long, and how much it may still send.
//!
//! The stream ([`super::stream`]), the middleware ([`crate::answer`]) and the reader of bodies report here; the registry
//! ([`super::connections`]) reads it from other threads when it needs room.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed},
    task::Waker,
};

use futures_util::task::AtomicWaker;

use super::unsent::Unsent;

/// The largest request head, in bytes. A buffer of 64 KiB holds it, and the server reads no further into it.
pub(super) const HEAD_BYTES: usize = 63 * 1024;
/// Head bytes that every connection may hold without being charged for them.
const FREE_HEAD_BYTES: usize = 8 * 1024;
/// Bytes that are read ahead of what the handler of a request has asked for.
const READ_AHEAD: usize = 16 * 1024;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Activity {
    /// It is new, or agrees on TLS, or a request head is arriving.
    ReadingHead = 0,
    /// A request is being answered.
    Answering = 1,
    /// It was answered, and nothing has come since.
    Idle = 2,
}

/// Why the server ends a connection: all but the last, only where no request is being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Ending {
    /// Without an answer: it was idle, or is not HTTP.
    Quiet = 1,
    /// A head did not arrive in time: 408.
    SlowHead = 2,
    /// A head is larger than [`HEAD_BYTES`]: 431.
    LargeHead = 3,
    /// The same before the first line has ended: 414.
    LongTarget = 4,
    /// Others need its place: 503.
    NoRoom = 5,
    /// The client does not take its answer: what is left of it is dropped.
    SlowReader = 6,
}

impl Ending {
    fn of(code: u8) -> Option<Self> {
        [Self::Quiet, Self::SlowHead, Self::LargeHead, Self::LongTarget, Self::NoRoom, Self::SlowReader]
            .into_iter()
            .find(|ending| *ending as u8 == code)
    }
}

/// One connection. Shared by its own thread, which writes most of it, and by the threads that need its place.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The address that shares a fair part of the connections: of IPv6 the network of a customer (/64).
    pub(super) peer: IpAddr,
    /// Where the client reached the server.
    local: Option<SocketAddr>,
    /// Whether it was let in beyond the limit, for what needs no token.
    is_surplus: bool,
    activity: AtomicU8,
    /// Milliseconds of the registry's clock.
    since: AtomicU64,
    head_bytes: AtomicUsize,
    /// The largest head so far, beyond what is free: its buffer is kept for the next one.
    charged: AtomicUsize,
    first_line_ended: AtomicBool,
    has_unread_body: AtomicBool,
    /// Read since the handler asked for more.
    read_ahead: AtomicUsize,
    /// What the client does not take.
    pub(super) unsent: Unsent,
    ending: AtomicU8,
    reader: AtomicWaker,
}

impl Connection {
    pub(super) fn new(
        peer: Option<SocketAddr>,
        local: Option<SocketAddr>,
        is_surplus: bool,
        now: u64,
    ) -> Self {
        Self {
            peer: peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| network(peer.ip())),
            local,
            is_surplus,
            activity: AtomicU8::new(Activity::ReadingHead as u8),
            since: AtomicU64::new(now),
            head_bytes: AtomicUsize::new(0),
            charged: AtomicUsize::new(0),
            first_line_ended: AtomicBool::new(false),
            has_unread_body: AtomicBool::new(false),
            read_ahead: AtomicUsize::new(0),
            unsent: Unsent::default(),
            ending: AtomicU8::new(0),
            reader: AtomicWaker::new(),
        }
    }

    /// Where the client reached the server, as it stands in a URL.
    pub(crate) fn local_address(&self) -> Option<String> {
        self.local.map(|local| local.to_string())
    }

    /// Whether only requests without a token are answered on it.
    pub(crate) fn is_surplus(&self) -> bool {
        self.is_surplus
    }

    /// Whether its current answer is the last.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_surplus || self.ending().is_some()
    }

    /// The handler wants more of the body.
    pub(crate) fn read_on(&self) {
        if self.read_ahead.swap(0, Relaxed) >= READ_AHEAD {
            self.reader.wake();
        }
    }

    /// The whole body was read.
    pub(crate) fn body_was_read(&self) {
        self.has_unread_body.store(false, Relaxed);
    }

    pub(super) fn activity(&self) -> Activity {
        match self.activity.load(Relaxed) {
            1 => Activity::Answering,
            2 => Activity::Idle,
            _ => Activity::ReadingHead,
        }
    }

    pub(super) fn since(&self) -> u64 {
        self.since.load(Relaxed)
    }

    pub(super) fn charged(&self) -> usize {
        self.charged.load(Relaxed)
    }

    /// What is charged, given back.
    pub(super) fn take_charge(&self) -> usize {
        self.charged.swap(0, Relaxed)
    }

    pub(super) fn begin_answer(&self, now: u64, has_body: bool) {
        self.enter(Activity::Answering, now);
        self.has_unread_body.store(has_body, Relaxed);
        self.read_ahead.store(0, Relaxed);
        // What was said to a head that did not come does not fit an answer.
        let _ = self.ending.fetch_update(Relaxed, Relaxed, |code| {
            (code != 0 && code != Ending::SlowReader as u8).then_some(Ending::Quiet as u8)
        });
    }

    pub(super) fn end_answer(&self, now: u64) {
        self.enter(Activity::Idle, now);
        self.head_bytes.store(0, Relaxed);
        self.first_line_ended.store(false, Relaxed);
        // While a request is being answered the reader stops only where `may_read` says so, and takes no notice of an ending. To
        // wake it for nothing would cost every request one more look at its stream.
        if self.read_ahead.load(Relaxed) >= READ_AHEAD || self.ending().is_some() {
            self.reader.wake();
        }
    }

    fn enter(&self, activity: Activity, now: u64) {
        self.activity.store(activity as u8, Relaxed);
        self.since.store(now, Relaxed);
    }

    /// Whether the stream may be read now: of a request that is being answered only a little ahead.
    pub(super) fn may_read(&self) -> bool {
        self.activity() != Activity::Answering || self.read_ahead.load(Relaxed) < READ_AHEAD
    }

    /// Why no more is read of this head, if that is so.
    pub(super) fn oversized_head(&self) -> Option<Ending> {
        let is_head = self.activity() == Activity::ReadingHead && !self.has_unread_body.load(Relaxed);
        if !is_head || self.head_bytes.load(Relaxed) < HEAD_BYTES {
            None
        } else if self.first_line_ended.load(Relaxed) {
            Some(Ending::LargeHead)
        } else {
            Some(Ending::LongTarget)
        }
    }

    /// These bytes have come; gives how much more is charged for this connection now.
    pub(super) fn received(&self, bytes: &[u8], now: u64) -> usize {
        match self.activity() {
            Activity::Answering => {
                self.read_ahead.fetch_add(bytes.len(), Relaxed);
                return 0;
            }
            Activity::Idle => self.enter(Activity::ReadingHead, now),
            Activity::ReadingHead => {}
        }
        if bytes.contains(&b'\n') {
            self.first_line_ended.store(true, Relaxed);
        }
        let head = self.head_bytes.fetch_add(bytes.len(), Relaxed) + bytes.len();
        let charge = head.min(HEAD_BYTES * 2).saturating_sub(FREE_HEAD_BYTES);
        let before = self.charged.fetch_max(charge, Relaxed);
        charge.saturating_sub(before)
    }

    /// Whether the rest of an unread body may still be arriving.
    pub(super) fn has_unread_body(&self) -> bool {
        self.has_unread_body.load(Relaxed)
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        Ending::of(self.ending.load(Relaxed))
    }

    /// Ends it, for the first reason that is given; says whether this was the first.
    pub(super) fn end(&self, ending: Ending) -> bool {
        let first = self.ending.compare_exchange(0, ending as u8, Relaxed, Relaxed).is_ok();
        if first {
            self.reader.wake();
        }
        first
    }

    /// Ends it because the client does not take its answer, whatever it was to be ended for before, which this returns.
    pub(super) fn end_slow_reader(&self) -> Option<Ending> {
        let before = Ending::of(self.ending.swap(Ending::SlowReader as u8, Relaxed));
        self.reader.wake();
        before
    }

    /// Whether what is left to be written is dropped.
    pub(super) fn is_slow_reader(&self) -> bool {
        self.ending.load(Relaxed) == Ending::SlowReader as u8
    }

    /// The client is waited for, and so is the task of this waker.
    pub(super) fn wait_for_client(&self, now: u64, waker: &Waker) {
        self.unsent.wait(now);
        // The reader does not look while it must not read; without this it might not be woken.
        self.wake_by(waker);
    }

    /// Whether it can be ended for another: nothing is being answered, and the client has taken its last answer, or else it
    /// has taken nothing for a while.
    pub(super) fn can_give_place(&self, now: u64) -> bool {
        let is_done = self.activity() != Activity::Answering && !self.unsent.is_waited_for();
        self.ending().is_none() && (is_done || self.unsent.is_stalled(now))
    }

    /// Who is woken when the connection is to be looked at.
    pub(super) fn wake_by(&self, waker: &Waker) {
        self.reader.register(waker);
    }
}

/// What one client has of the address space.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        Connection::new(None, None, false, 0)
    }

    #[test]
    fn head_is_refused_at_its_limit_by_what_is_too_long() {
        for (bytes, ending) in [(b'x', Ending::LongTarget), (b'\n', Ending::LargeHead)] {
            let connection = connection();
            connection.received(&vec![bytes; HEAD_BYTES - 1], 0);
            assert_eq!(connection.oversized_head(), None);
            connection.received(b"x", 0);
            assert_eq!(connection.oversized_head(), Some(ending));
        }
    }

    #[test]
    fn bytes_of_a_request_in_progress_are_read_a_little_ahead() {
        let connection = connection();
        connection.begin_answer(0, true);
        connection.received(&vec![0; READ_AHEAD], 0);
        assert!(!connection.may_read());
        connection.read_on();
        assert!(connection.may_read());
        connection.received(&vec![0; READ_AHEAD], 0);
        connection.end_answer(0);
        assert!(connection.may_read(), "the next head, or what is left of the body");
    }

    #[test]
    fn largest_head_of_a_connection_stays_charged() {
        let connection = connection();
        assert_eq!(connection.received(&vec![0; FREE_HEAD_BYTES], 0), 0);
        assert_eq!(connection.received(&[0; 100], 0), 100);
        connection.begin_answer(0, false);
        connection.end_answer(0);
        assert_eq!(connection.received(&vec![0; FREE_HEAD_BYTES + 50], 0), 0);
        assert_eq!((connection.received(&[0; 60], 0), connection.charged()), (10, 110));
    }

    #[test]
    fn refusal_of_a_head_is_not_said_after_an_answer() {
        let connection = connection();
        assert!(connection.end(Ending::NoRoom) && !connection.end(Ending::SlowHead));
        assert_eq!(connection.ending(), Some(Ending::NoRoom));
        connection.begin_answer(0, false);
        assert_eq!(connection.ending(), Some(Ending::Quiet));
    }

    #[test]
    fn slow_reader_stays_one_whatever_else_comes() {
        let connection = connection();
        assert!(connection.end(Ending::NoRoom));
        connection.begin_answer(0, false);
        assert_eq!(connection.end_slow_reader(), Some(Ending::Quiet));
        connection.begin_answer(0, false);
        assert!(connection.is_slow_reader() && !connection.end(Ending::NoRoom));
    }

    #[test]
    fn unsent_answer_gives_no_place_until_its_client_stalls() {
        let connection = connection();
        connection.end_answer(0);
        assert!(connection.can_give_place(0));
        connection.wait_for_client(1, Waker::noop());
        for _ in 0..2 {
            assert!(!connection.can_give_place(1) && connection.can_give_place(60_000));
            connection.begin_answer(0, false);
        }
        connection.unsent.take_all();
        assert!(!connection.can_give_place(60_000));
    }

    #[test]
    fn addresses_of_one_customer_are_one_peer() {
        let peers =
            ["[2001:db8::1]:1", "[2001:db8::ffff:2]:2", "[2001:db8:0:1::1]:3", "[::ffff:192.0.2.1]:4"]
                .map(|peer| Connection::new(peer.parse().ok(), None, false, 0).peer);
        assert_eq!(peers[0], peers[1]);
        assert_ne!(peers[0], peers[2]);
        assert_eq!(peers[3], IpAddr::from([192, 0, 2, 1]));
    }
}
