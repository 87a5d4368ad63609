//! How many calls may run at once, and which peer's call gets the next place among them.
//!
//! Waiting calls are kept by peer, and the peers take turns. So a peer with a thousand calls delays another peer by one
//! call, not by a thousand. When as many wait as may, the peer with the most gives way.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use crate::outage::Outage;

/// Who shares a turn: one IPv4 address, one /64 of IPv6 (which is what one customer gets), or all calls without an
/// address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Peer(Option<IpAddr>);

impl From<Option<IpAddr>> for Peer {
    fn from(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from(network))
            }
            address @ IpAddr::V4(_) => address,
        }))
    }
}

/// Places for calls, and a queue before them. Keystone answers no faster when it is asked more at once.
#[derive(Debug)]
pub(crate) struct Queue {
    shared: Arc<Shared>,
    places: usize,
    longest: usize,
    patience: Duration,
}

#[derive(Debug)]
struct Shared(Mutex<State>);

/// A free place means that no call waits. A peer is kept as long as calls of it wait: no more peers than calls may wait.
#[derive(Debug, Default)]
struct State {
    free: usize,
    waiting: BTreeMap<Peer, Calls>,
    /// The peers by their turn: the first is next.
    turns: BTreeMap<u64, Peer>,
    /// How many calls of each peer wait, to find the peer with the most.
    lengths: BTreeSet<(usize, Peer)>,
    total: usize,
    /// Numbers for turns and calls.
    last: u64,
}

/// The calls of one peer that wait, in their order.
#[derive(Debug)]
struct Calls {
    turn: u64,
    calls: VecDeque<Waiting>,
}

/// A call that waits; dropped without a word, it was sent away.
#[derive(Debug)]
struct Waiting {
    /// Grows from call to call.
    number: u64,
    answer: oneshot::Sender<Place>,
}

/// A place among the calls that run, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Place {
    /// `None` when it is nobody's: then its end gives nothing back.
    shared: Option<Arc<Shared>>,
}

impl Queue {
    /// So many places, so many calls that may wait, so long.
    pub(crate) fn new(places: usize, longest: usize, patience: Duration) -> Self {
        let state = State { free: places, ..State::default() };
        Self { shared: Arc::new(Shared(Mutex::new(state))), places, longest, patience }
    }

    /// A place, for as long as the value lives. Peers take turns; the calls of one peer come in their order.
    ///
    /// # Errors
    /// Too many wait already and no peer has more waiting than this one, or a peer with fewer needed the room, or it
    /// took too long.
    pub(crate) async fn enter(&self, peer: Peer) -> Result<Place, Outage> {
        let (waits, place) = match self.begin(peer) {
            Begun::Place(place) => return Ok(place),
            Begun::Busy => return Err(Outage::Busy),
            Begun::Waits(waits, place) => (waits, place),
        };
        let place = timeout(self.patience, place).await;
        drop(waits);
        place.ok().and_then(Result::ok).ok_or(Outage::Busy)
    }

    fn begin(&self, peer: Peer) -> Begun {
        let mut state = self.shared.lock();
        if state.free > 0 {
            state.free -= 1;
            return Begun::Place(self.shared.place());
        }
        let displaced = match state.total >= self.longest {
            true => match state.displace_for(peer) {
                None => return Begun::Busy,
                displaced => displaced,
            },
            false => None,
        };
        let (answer, place) = oneshot::channel();
        let number = state.add(peer, answer);
        drop(state);
        // That wakes the task that is sent away.
        drop(displaced);
        Begun::Waits(Waits { shared: Arc::clone(&self.shared), peer, number }, place)
    }

    /// How many calls run, and how many wait.
    pub(crate) fn len(&self) -> (usize, usize) {
        let state = self.shared.lock();
        (self.places.saturating_sub(state.free), state.total)
    }
}

/// What comes of a call at first.
enum Begun {
    Place(Place),
    Waits(Waits, oneshot::Receiver<Place>),
    Busy,
}

impl Shared {
    /// No panic can leave the state half written.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place that was counted as taken.
    fn place(self: &Arc<Self>) -> Place {
        Place { shared: Some(Arc::clone(self)) }
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Puts a call behind its peer's others; a peer that has none waits for its turn behind all peers. The call's
    /// number.
    fn add(&mut self, peer: Peer, answer: oneshot::Sender<Place>) -> u64 {
        let number = self.number();
        let Calls { turn, calls } =
            self.waiting.entry(peer).or_insert_with(|| Calls { turn: number, calls: VecDeque::new() });
        self.turns.insert(*turn, peer);
        self.lengths.remove(&(calls.len(), peer));
        calls.push_back(Waiting { number, answer });
        self.lengths.insert((calls.len(), peer));
        self.total += 1;
        number
    }

    /// Takes a call of this peer out, if there is one by this choice.
    fn take(
        &mut self,
        peer: Peer,
        choice: impl FnOnce(&mut VecDeque<Waiting>) -> Option<Waiting>,
    ) -> Option<Waiting> {
        let Calls { turn, calls } = self.waiting.get_mut(&peer)?;
        let before = calls.len();
        let taken = choice(calls)?;
        self.total -= 1;
        self.lengths.remove(&(before, peer));
        if before > 1 {
            self.lengths.insert((before - 1, peer));
        } else {
            self.turns.remove(turn);
            self.waiting.remove(&peer);
        }
        Some(taken)
    }

    /// The next call, by turns.
    fn next(&mut self) -> Option<Waiting> {
        let peer = *self.turns.first_key_value()?.1;
        let next = self.take(peer, VecDeque::pop_front)?;
        let number = self.number();
        if let Some(Calls { turn, .. }) = self.waiting.get_mut(&peer) {
            self.turns.remove(turn);
            self.turns.insert(number, peer);
            *turn = number;
        }
        Some(next)
    }

    /// Takes the newest call out of the longest queue to make room for a call of `peer`, unless that would have the
    /// longest then.
    fn displace_for(&mut self, peer: Peer) -> Option<Waiting> {
        let own = self.waiting.get(&peer).map_or(0, |own| own.calls.len());
        let (longest, other) = *self.lengths.last()?;
        if longest > own + 1 { self.take(other, VecDeque::pop_back) } else { None }
    }
}

impl Drop for Place {
    /// Gives the place to the next call.
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else { return };
        loop {
            let mut state = shared.lock();
            let Some(next) = state.next() else {
                state.free += 1;
                return;
            };
            drop(state);
            match next.answer.send(shared.place()) {
                Ok(()) => return,
                // That call has just ended: the place is the next one's.
                Err(mut place) => place.shared = None,
            }
        }
    }
}

/// One of the calls that wait, until it lives no more.
struct Waits {
    shared: Arc<Shared>,
    peer: Peer,
    number: u64,
}

impl Drop for Waits {
    fn drop(&mut self) {
        let taken = self.shared.lock().take(self.peer, |calls| {
            let at = calls.binary_search_by_key(&self.number, |waiting| waiting.number).ok()?;
            calls.remove(at)
        });
        drop(taken);
    }
}

#[cfg(test)]
mod tests;
