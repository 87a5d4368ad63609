use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use proptest::prelude::*;
use tokio::task::unconstrained;

use super::*;

const LONG: Duration = Duration::from_secs(3600);

/// An address of its own for each number.
fn peer(number: u32) -> Peer {
    Peer::from(Some(IpAddr::from(number.to_be_bytes())))
}

type Entering<'a> = Pin<Box<dyn Future<Output = Result<Place, Outage>> + 'a>>;

/// Calls before a queue, polled by hand, so that nothing happens but what a test does.
struct Calls<'a> {
    queue: &'a Queue,
    /// By whom each is, until it is answered.
    entering: Vec<(u32, Entering<'a>)>,
}

impl<'a> Calls<'a> {
    fn of(queue: &'a Queue) -> Self {
        Self { queue, entering: Vec::new() }
    }

    /// One more call of a peer.
    fn enter(&mut self, number: u32) {
        // Without the runtime's budget for one task, as each is a task of its own outside of tests.
        self.entering.push((number, Box::pin(unconstrained(self.queue.enter(peer(number))))));
    }

    /// Polls all: who got a place, and who was sent away.
    fn answered(&mut self) -> (Vec<(u32, Place)>, Vec<u32>) {
        let (mut placed, mut sent_away) = (Vec::new(), Vec::new());
        let mut context = Context::from_waker(Waker::noop());
        // The last one polled may have sent away one before it, and that one no other.
        for _ in 0..2 {
            self.entering.retain_mut(|(number, entering)| {
                match entering.as_mut().poll(&mut context) {
                    Poll::Pending => return true,
                    Poll::Ready(Ok(place)) => placed.push((*number, place)),
                    Poll::Ready(Err(_)) => sent_away.push(*number),
                }
                false
            });
        }
        (placed, sent_away)
    }

    /// Gives back one place again and again: whose calls come in which order.
    fn order(&mut self, place: Place) -> Vec<u32> {
        let (mut order, mut place) = (Vec::new(), Some(place));
        while let Some(given_back) = place.take() {
            drop(given_back);
            let (placed, sent_away) = self.answered();
            assert!(placed.len() <= 1 && sent_away.is_empty());
            for (number, next) in placed {
                order.push(number);
                place = Some(next);
            }
        }
        order
    }
}

#[tokio::test(start_paused = true)]
async fn peers_take_turns_however_many_calls_one_has() {
    let queue = Queue::new(1, 1024, LONG);
    let place = queue.enter(peer(0)).await.unwrap();
    let mut calls = Calls::of(&queue);
    (0..1000).for_each(|_| calls.enter(0));
    calls.answered();
    for number in 1..=20 {
        calls.enter(number);
    }
    calls.answered();
    assert_eq!(queue.len(), (1, 1020));
    let order = calls.order(place);
    assert_eq!(order.len(), 1020);
    assert_eq!(order[..21], (0..=20).collect::<Vec<_>>());
    assert_eq!(queue.len(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_makes_room_for_other_peers_from_the_longest() {
    let queue = Queue::new(1, 8, LONG);
    let place = queue.enter(peer(0)).await.unwrap();
    let mut calls = Calls::of(&queue);
    (0..10).for_each(|_| calls.enter(0));
    assert_eq!(calls.answered().1, [0, 0], "one peer alone may have all there is");
    for number in 1..=4 {
        calls.enter(number);
        calls.enter(number);
    }
    // 8 of one peer, then always the longest gives way, until nobody has more than the newcomer would.
    let sent_away = calls.answered().1;
    assert_eq!(sent_away.iter().filter(|number| **number == 0).count(), 6);
    calls.enter(0);
    assert_eq!(queue.len(), (1, 8));
    assert_eq!(calls.answered().1.len() + sent_away.len(), 9);
    let mut order = calls.order(place);
    order.sort_unstable();
    order.dedup();
    assert_eq!(order, [0, 1, 2, 3, 4], "every peer had its turn");
}

#[tokio::test(start_paused = true)]
async fn calls_of_one_peer_come_in_their_order() {
    let queue = Queue::new(1, 8, LONG);
    let place = queue.enter(peer(0)).await.unwrap();
    let mut entering: Vec<Entering<'_>> =
        (0..8).map(|_| Box::pin(queue.enter(peer(1))) as Entering<'_>).collect();
    let mut context = Context::from_waker(Waker::noop());
    for entering in &mut entering {
        assert!(entering.as_mut().poll(&mut context).is_pending());
    }
    let mut place = Some(place);
    for turn in 0..8 {
        drop(place.take());
        for (number, entering) in entering.iter_mut().enumerate().skip(turn) {
            match entering.as_mut().poll(&mut context) {
                Poll::Ready(next) => {
                    assert_eq!(number, turn);
                    place = Some(next.unwrap());
                    break;
                }
                Poll::Pending => assert_ne!(number, turn),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waited_its_time_is_sent_away() {
    let queue = Queue::new(1, 8, Duration::from_secs(2));
    let _place = queue.enter(peer(0)).await.unwrap();
    assert!(matches!(queue.enter(peer(0)).await, Err(Outage::Busy)));
    assert_eq!(queue.len(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_place_given_to_a_call_that_ended_goes_on() {
    let queue = Queue::new(1, 8, LONG);
    let place = queue.enter(peer(0)).await.unwrap();
    let mut calls = Calls::of(&queue);
    calls.enter(1);
    calls.enter(2);
    calls.answered();
    drop(place);
    // Given to the first, who is gone before it sees it.
    drop(calls.entering.remove(0));
    let (placed, _) = calls.answered();
    assert_eq!(placed.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2]);
    drop(placed);
    assert_eq!(queue.len(), (0, 0));
}

#[test]
fn addresses_of_one_v6_network_are_one_peer() {
    let peer = |address: &str| Peer::from(Some(address.parse().unwrap()));
    assert_eq!(peer("2001:db8:1:2::1"), peer("2001:db8:1:2:ffff:ffff:ffff:ffff"));
    assert_ne!(peer("2001:db8:1:2::1"), peer("2001:db8:1:3::1"));
    assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
    assert_ne!(peer("192.0.2.1"), peer("192.0.2.2"));
    assert_ne!(peer("192.0.2.1"), Peer::from(None));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Enter(u32),
    Leave(usize),
    GiveBack(usize),
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u32..5).prop_map(Step::Enter),
        1 => (0_usize..64).prop_map(Step::Leave),
        2 => (0_usize..64).prop_map(Step::GiveBack),
        3 => Just(Step::Look),
    ]
}

proptest! {
    #[test]
    fn no_place_and_no_call_is_lost_whatever_happens(
        places in 1_usize..4, longest in 0_usize..6, steps in prop::collection::vec(step(), 0..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let _entered = runtime.enter();
        let queue = Queue::new(places, longest, LONG);
        let mut calls = Calls::of(&queue);
        let mut held = Vec::new();
        for step in steps {
            match step {
                Step::Enter(number) => calls.enter(number),
                Step::Leave(at) if at < calls.entering.len() => drop(calls.entering.remove(at)),
                Step::GiveBack(at) if at < held.len() => drop(held.remove(at)),
                Step::Leave(_) | Step::GiveBack(_) | Step::Look => {}
            }
            if matches!(step, Step::Look) {
                held.extend(calls.answered().0);
                let (running, waiting) = queue.len();
                prop_assert_eq!((running, waiting), (held.len(), calls.entering.len()));
                prop_assert!(running <= places && waiting <= longest);
                prop_assert!(waiting == 0 || running == places, "a place is free, and a call waits");
            }
            let state = queue.shared.lock();
            let lengths: usize = state.waiting.values().map(|peer| peer.calls.len()).sum();
            prop_assert_eq!(state.total, lengths);
            prop_assert_eq!(state.turns.len(), state.waiting.len());
            prop_assert_eq!(state.lengths.len(), state.waiting.len());
            prop_assert!(state.waiting.values().all(|peer| !peer.calls.is_empty()));
        }
        drop((calls, held));
        prop_assert_eq!(queue.len(), (0, 0));
    }
}
