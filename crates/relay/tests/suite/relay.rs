//! The relay, on the store in memory.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use core_domain::{
    Result,
    image::ImageId,
    outbox::{Backlog, Claim, DeadLetter, Lease, Outbox},
    store::Store as _,
    testing::{
        builders::{an_image, cause},
        memory::MemoryStore,
    },
};
use relay::{Audit, Pace, Relay, Sink, Webhook};
use serde_json::Value;
use testbed::{Webhooks, patience};

use crate::some_events::{SECRET, signing_keys};

/// Events of the builders are from the beginning of 2026.
const YEARS: Duration = Duration::from_secs(50 * 365 * 86_400);

/// Who does not come to run for a while keeps its lease.
fn quick() -> Pace {
    Pace {
        lease: Duration::from_secs(60),
        poll: Duration::from_millis(10),
        longest_wait: Duration::from_millis(200),
    }
}

/// The same of one that waits for another's lease, and for that looks every two seconds or so.
fn watchful() -> Pace {
    Pace { lease: Duration::from_secs(12), ..quick() }
}

/// The same for a test in which leases run out.
fn fleeting() -> Pace {
    Pace { lease: Duration::from_millis(900), ..quick() }
}

fn webhook(receiver: &Webhooks) -> Box<dyn Sink> {
    let port = receiver.url().chars().filter(char::is_ascii_digit).collect::<String>();
    Box::new(Webhook::new(&port, &receiver.url(), signing_keys(&[SECRET]), YEARS).unwrap())
}

fn audit(path: &Path) -> Box<dyn Sink> {
    Box::new(Audit::file(path.to_owned(), "image"))
}

/// Makes so many images, one event each, and gives their ids.
fn make(store: &MemoryStore, count: usize) -> Vec<ImageId> {
    let made = |_| {
        let image = an_image("owner");
        let id = image.id;
        let mut change = store.begin(id, &cause(1)).unwrap();
        change.insert_image(&image).unwrap();
        change.commit().unwrap();
        id
    };
    (0..count).map(made).collect()
}

fn images(receiver: &Webhooks) -> Vec<String> {
    let image = |call: testbed::webhooks::Told| call.json()["image"]["id"].as_str().unwrap().to_owned();
    receiver.taken().into_iter().map(image).collect()
}

fn until(what: &str, condition: impl Fn() -> bool) {
    patience::until(what, Duration::from_secs(60), || condition().then_some(()));
}

fn started(store: &Arc<MemoryStore>, holder: &str, sinks: Vec<Box<dyn Sink>>) -> Relay {
    started_at(quick(), store, holder, sinks)
}

fn started_at(pace: Pace, store: &Arc<MemoryStore>, holder: &str, sinks: Vec<Box<dyn Sink>>) -> Relay {
    let outbox: Arc<dyn Outbox> = Arc::clone(store) as _;
    Relay::start(&outbox, sinks, holder, pace).unwrap()
}

fn is_leased(relay: &Relay) -> bool {
    relay.figures().iter().all(|(_, figures)| figures.leased)
}

#[test]
fn every_sink_is_told_of_everything_in_order_and_one_that_is_away_delays_only_itself() {
    let store = Arc::new(MemoryStore::default());
    let [well, ill] = [Webhooks::new(), Webhooks::new()];
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("audit.log");
    ill.answer(503);
    let relay = started(&store, "one", vec![webhook(&well), webhook(&ill), audit(&log)]);
    until("leases", || is_leased(&relay));
    let made: Vec<_> = make(&store, 50).iter().map(ToString::to_string).collect();
    until("the well one's calls", || well.taken().len() == 50);
    until("the audit log", || fs::read_to_string(&log).is_ok_and(|text| text.lines().count() == 50));
    assert_eq!(images(&well), made);
    assert!(ill.taken().is_empty());
    until("figures", || relay.figures()[1].1.waiting == 50);
    ill.answer(200);
    until("the ill one's calls", || ill.taken().len() == 50);
    assert_eq!(images(&ill), made);
    // Only what was tried is marked: the first.
    let marked: Vec<_> =
        ill.taken().iter().filter(|call| call.json()["redelivered"] == true).map(|_| ()).collect();
    assert_eq!(marked.len(), 1);
    let audited: Vec<String> = fs::read_to_string(&log)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["target"]["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(audited, made);
    until("nothing to wait", || relay.figures().iter().all(|(_, figures)| figures.waiting == 0));
    relay.end(Duration::from_secs(30));
}

#[test]
fn of_two_relays_one_tells_and_the_other_goes_on_where_it_ended() {
    let store = Arc::new(MemoryStore::default());
    let receiver = Webhooks::new();
    let first = started(&store, "first", vec![webhook(&receiver)]);
    until("the first's lease", || is_leased(&first));
    let second = started_at(watchful(), &store, "second", vec![webhook(&receiver)]);
    make(&store, 20);
    until("the calls", || receiver.taken().len() == 20);
    assert!(!is_leased(&second));
    let ended = Instant::now();
    first.end(Duration::from_secs(30));
    make(&store, 20);
    until("more calls", || receiver.taken().len() == 40);
    // It gave the lease back: nobody waited for its end.
    assert!(ended.elapsed() < Duration::from_secs(30), "{:?}", ended.elapsed());
    assert!(is_leased(&second));
    assert!(receiver.taken().iter().all(|call| call.json()["redelivered"] == false));
    second.end(Duration::from_secs(30));
}

#[test]
fn what_was_claimed_by_one_who_is_gone_is_told_marked() {
    let store = Arc::new(MemoryStore::default());
    let receiver = Webhooks::new();
    let sink = webhook(&receiver);
    let lease = store.lease(sink.name(), "gone", Duration::from_secs(3)).unwrap().unwrap();
    make(&store, 3);
    assert_eq!(store.claim(&lease, 2).unwrap().unwrap().deliveries.len(), 2);
    let relay = started_at(watchful(), &store, "next", vec![sink]);
    until("the calls", || receiver.taken().len() == 3);
    let marks: Vec<_> =
        receiver.taken().iter().map(|call| call.json()["redelivered"].as_bool().unwrap()).collect();
    assert_eq!(marks, [true, true, false]);
    relay.end(Duration::from_secs(30));
}

#[test]
fn an_event_that_is_refused_becomes_a_dead_letter_and_the_next_ones_are_told() {
    let store = Arc::new(MemoryStore::default());
    let receiver = Webhooks::new();
    receiver.answer(410);
    let sink = webhook(&receiver);
    let name = sink.name().to_owned();
    let relay = started(&store, "one", vec![sink]);
    until("the lease", || is_leased(&relay));
    make(&store, 1);
    until("a dead letter", || store.dead_letters(&name, 0, 10).unwrap().len() == 1);
    receiver.answer(200);
    make(&store, 2);
    until("the calls", || receiver.taken().len() == 2);
    assert_eq!(store.dead_letters(&name, 0, 10).unwrap()[0].why, "answered 410");
    until("figures", || relay.figures()[0].1.dead == 1);
    relay.end(Duration::from_secs(30));
}

#[test]
fn a_sink_that_is_away_for_long_is_left_to_another_who_may_reach_it() {
    let store = Arc::new(MemoryStore::default());
    let directory = tempfile::tempdir().unwrap();
    let unreachable = directory.path().join("missing").join("audit.log");
    let reachable = directory.path().join("audit.log");
    let first = started_at(fleeting(), &store, "first", vec![audit(&unreachable)]);
    until("the first's lease", || is_leased(&first));
    make(&store, 3);
    let second = started_at(fleeting(), &store, "second", vec![audit(&reachable)]);
    until("the log", || fs::read_to_string(&reachable).is_ok_and(|text| text.lines().count() == 3));
    [first, second].into_iter().for_each(|relay| relay.end(Duration::from_secs(30)));
}

/// A store that counts how often it is asked how much waits.
#[derive(Default)]
struct Counting {
    store: MemoryStore,
    asked: AtomicUsize,
}

impl Outbox for Counting {
    fn lease(&self, sink: &str, holder: &str, life: Duration) -> Result<Option<Lease>> {
        self.store.lease(sink, holder, life)
    }

    fn release(&self, lease: &Lease) -> Result<()> {
        self.store.release(lease)
    }

    fn claim(&self, lease: &Lease, most: usize) -> Result<Option<Claim>> {
        self.store.claim(lease, most)
    }

    fn settle(&self, lease: &Lease, place: i64) -> Result<bool> {
        self.store.settle(lease, place)
    }

    fn bury(&self, lease: &Lease, place: i64, why: &str) -> Result<bool> {
        self.store.bury(lease, place, why)
    }

    fn dead_letters(&self, sink: &str, number: i64, most: usize) -> Result<Vec<DeadLetter>> {
        self.store.dead_letters(sink, number, most)
    }

    fn exhume(&self, sink: &str, number: i64) -> Result<bool> {
        self.store.exhume(sink, number)
    }

    fn backlog(&self, sink: &str) -> Result<Backlog> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.store.backlog(sink)
    }

    fn forget(&self, before: DateTime<Utc>, sinks: &[&str], most: usize) -> Result<usize> {
        self.store.forget(before, sinks, most)
    }
}

#[test]
fn the_size_of_the_backlog_is_asked_for_metrics_and_never_to_deliver() {
    let counting = Arc::new(Counting::default());
    let receiver = Webhooks::new();
    let sink = webhook(&receiver);
    // The sink is known, so that all of this is for it.
    let lease = counting.store.lease(sink.name(), "gone", Duration::ZERO).unwrap().unwrap();
    make(&counting.store, 30);
    counting.store.release(&lease).unwrap();
    let outbox: Arc<dyn Outbox> = Arc::clone(&counting) as _;
    let relay = Relay::start(&outbox, vec![sink], "one", quick()).unwrap();
    until("the calls", || receiver.taken().len() == 30);
    assert_eq!(counting.asked.load(Ordering::SeqCst), 0);
    assert_eq!(relay.figures().len(), 1);
    assert_eq!(counting.asked.load(Ordering::SeqCst), 1);
    relay.end(Duration::from_secs(30));
}
