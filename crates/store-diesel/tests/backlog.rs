//! Many events that wait: positions in bounded steps, delivery in order, and a size that is known without a scan.
//!
//! `VITRINE_TEST_BACKLOG=5000000` runs the first test with so many events; it says what it measured.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

use std::time::{Duration, Instant};

use core_domain::{
    outbox::{Lease, Outbox},
    store::Store,
    testing::builders::{an_image, cause},
};
use store_diesel::{Config, DieselStore, migrate};
use testbed::{Database, Postgres};

const LEASE: Duration = Duration::from_secs(60);
/// As many as `store-diesel` gives positions in one transaction.
const STEP: i64 = 4096;

fn backlog() -> i64 {
    std::env::var("VITRINE_TEST_BACKLOG").map_or(100_000, |count| count.parse().expect("a number of events"))
}

/// A store, and a trigger that notes of each transaction how many events it gave positions to.
fn store(database: &Database<'_>) -> DieselStore {
    let config = Config::parse(database.url()).expect("a URL");
    migrate(&config, &mut |_| ()).expect("a schema");
    database.query(
        "CREATE TABLE steps (transaction bigint, events bigint);
         CREATE FUNCTION note_step() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO steps SELECT txid_current(), count(*) FROM placed; RETURN NULL; END $$;
         CREATE TRIGGER note_step AFTER UPDATE ON events REFERENCING NEW TABLE AS placed
             FOR EACH STATEMENT EXECUTE FUNCTION note_step()",
    );
    DieselStore::open(&config).expect("a store")
}

fn keep_one(store: &DieselStore) {
    let image = an_image("owner");
    (store as &dyn Store).write(image.id, &cause(1), |tx| tx.insert_image(&image)).expect("an image");
}

/// So many events like the last one.
fn multiply(database: &Database<'_>, count: i64) {
    database.query(&format!(
        "INSERT INTO events (at, user_id, project_id, request_id, image_id, image_name, owner, deed, changed, image)
         SELECT at, user_id, project_id, request_id, image_id, image_name, owner, deed, changed, image
         FROM (SELECT * FROM events ORDER BY number DESC LIMIT 1) AS last, generate_series(1, {count})"
    ));
    database.query("VACUUM ANALYZE events");
}

/// The most events that one transaction gave positions to.
fn largest_step(database: &Database<'_>) -> i64 {
    let largest =
        "SELECT max(total) FROM (SELECT sum(events) AS total FROM steps GROUP BY transaction) AS steps";
    database.query(largest)[0].parse().expect("a number")
}

fn lease(store: &DieselStore) -> Option<Lease> {
    store.lease("sink", "one", LEASE).expect("an answer")
}

#[test]
fn a_large_backlog_is_delivered_in_order_and_in_bounded_steps() {
    let database = Postgres::shared().database();
    let store = store(&database);
    lease(&store).expect("the lease");
    keep_one(&store);
    let loading = Instant::now();
    multiply(&database, backlog() - 1);
    let loaded = loading.elapsed();
    // Loading may take longer than a lease.
    let held = lease(&store).expect("the lease");
    let delivering = Instant::now();
    assert!(store.backlog("sink").expect("a look").events >= backlog().unsigned_abs());

    let (mut last, mut told, mut longest) = (0, 0, Duration::ZERO);
    loop {
        assert_eq!(lease(&store).as_ref(), Some(&held), "the lease was lost in between");
        let started = Instant::now();
        let deliveries = store.claim(&held, 1000).expect("an answer").expect("still the lease").deliveries;
        longest = longest.max(started.elapsed());
        let Some(end) = deliveries.last() else { break };
        for delivery in &deliveries {
            assert!(delivery.event.number > last && !delivery.again);
            last = delivery.event.number;
            told += 1;
        }
        assert!(store.settle(&held, end.place).expect("an answer"));
    }
    assert_eq!(told, backlog());
    assert_eq!(store.backlog("sink").expect("a look").events, 0);
    assert!(largest_step(&database) <= STEP);
    println!(
        "{told} events: loaded in {loaded:?}, delivered in {:?}, the longest claim {longest:?}",
        delivering.elapsed()
    );
}

#[test]
fn a_first_sink_gives_positions_to_a_long_history_in_bounded_steps() {
    let database = Postgres::shared().database();
    let store = store(&database);
    keep_one(&store);
    multiply(&database, 99_999);
    let mut calls = 1;
    let held = loop {
        match lease(&store) {
            Some(held) => break held,
            None => calls += 1,
        }
        assert!(calls < 10, "it never begins");
    };
    // Sixteen steps a call.
    assert_eq!(calls, 2);
    assert!(largest_step(&database) <= STEP);
    assert_eq!(store.backlog("sink").expect("a look").events, 0, "the history is not for a new sink");
    keep_one(&store);
    let claim = store.claim(&held, 10).expect("an answer").expect("still the lease");
    assert_eq!(claim.deliveries.len(), 1);
}

#[test]
fn old_events_are_forgotten_in_statements_of_bounded_size() {
    let database = Postgres::shared().database();
    let store = store(&database);
    keep_one(&store);
    multiply(&database, 1_199);
    database.query(
        "CREATE TABLE deletions (events bigint);
         CREATE FUNCTION note_deletion() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO deletions SELECT count(*) FROM gone; RETURN NULL; END $$;
         CREATE TRIGGER note_deletion AFTER DELETE ON events REFERENCING OLD TABLE AS gone
             FOR EACH STATEMENT EXECUTE FUNCTION note_deletion()",
    );
    // The time of the tests' images is the beginning of 2026.
    let later = "2026-02-01T00:00:00Z".parse().expect("a time");
    let forgotten: Vec<_> = (0..4).map(|_| store.forget(later, &[], 500).expect("an answer")).collect();
    assert_eq!(forgotten, [500, 500, 200, 0]);
    assert_eq!(database.query("SELECT events FROM deletions"), ["500", "500", "200"]);
}
