//! A webhook's address that nobody answers at any more.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use core_domain::{
    event::Cause,
    outbox::Outbox,
    store::Store as _,
    testing::{
        builders::{an_image, cause},
        memory::MemoryStore,
    },
};
use relay::{Pace, Relay, Sink as _, Webhook};
use testbed::{Webhooks, patience};

use crate::some_events::{SECRET, signing_keys};

/// What all relays of this program log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Listens to all threads, as no other test of this program does.
    fn new() -> Self {
        let log = Self::default();
        let kept = log.clone();
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || kept.clone()).init();
        log
    }

    /// How many lines say this of this sink.
    fn count(&self, sink: &str, what: &str) -> usize {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(sink) && line.contains(what)).count()
    }
}

fn make(store: &MemoryStore, cause: &Cause) {
    let image = an_image("owner");
    let mut change = store.begin(image.id, cause).unwrap();
    change.insert_image(&image).unwrap();
    change.commit().unwrap();
}

fn until(what: &str, condition: impl Fn() -> bool) {
    patience::until(what, Duration::from_secs(60), || condition().then_some(()));
}

#[test]
fn a_dead_addresses_backlog_is_worked_off_and_said_once_and_what_is_young_waits() {
    const OLD: usize = 1000;
    let log = Log::new();
    let store = Arc::new(MemoryStore::default());
    let receiver = Webhooks::new();
    receiver.answer(503);
    let keys = signing_keys(&[SECRET]);
    let sink = Webhook::new("dead", &receiver.url(), keys, Duration::from_secs(1)).unwrap();
    let name = sink.name().to_owned();
    let outbox: Arc<dyn Outbox> = Arc::clone(&store) as _;
    let pace = Pace {
        lease: Duration::from_secs(5),
        poll: Duration::from_millis(10),
        longest_wait: Duration::from_millis(200),
    };
    let relay = Relay::start(&outbox, vec![Box::new(sink)], "one", pace).unwrap();
    until("the lease", || relay.figures()[0].1.leased);
    for _ in 0..OLD {
        make(&store, &cause(1));
    }
    // Younger than the patience, however long this takes.
    let young = Cause { at: Utc::now() + TimeDelta::hours(1), ..cause(1) };
    make(&store, &young);
    // One at a time, each tried five times, would take ten minutes.
    let dead = || store.dead_letters(&name, 0, 2 * OLD).unwrap().len();
    until("dead letters", || dead() == OLD);
    let tries = receiver.count();
    assert!(tries < 100, "nobody asks a dead address {tries} times");
    until("more tries", || receiver.count() >= tries + 3);
    assert_eq!(dead(), OLD, "what is young waits");
    assert_eq!(log.count(&name, "the sink is away"), 1);
    assert_eq!(log.count(&name, "the sink is back"), 0);
    receiver.answer(200);
    assert_eq!(receiver.taken_at_least(1).len(), 1);
    until("the log", || log.count(&name, "the sink is back") == 1);
    relay.end(Duration::from_secs(5));
}
