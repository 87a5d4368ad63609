//! What claims, metrics and lists of dead letters read while a hundred thousand events wait.

use std::time::Duration;

use core_domain::{
    outbox::Outbox,
    store::Store,
    testing::builders::{an_image, cause},
};
use store_diesel::{Config, DieselStore, migrate};
use testbed::{Database, Postgres, patience, postgres::Durability};

use crate::postgres::{explain_everything, plans, scan};

/// Runs `work` on a store of its own, and gives every read of a table or an index, with its rows.
fn reads(server: &Postgres, database: &Database<'_>, work: impl Fn(&DieselStore)) -> Vec<(String, u64)> {
    let known = server.log(0).len() as u64;
    let store = DieselStore::open(&Config::parse(database.url()).expect("a URL")).expect("a store");
    // Planned for the values at first, and then perhaps for all values.
    for _ in 0..8 {
        work(&store);
    }
    // What is logged last is logged: a statement of the test itself that comes after.
    database.query("SELECT 'the end of this work'");
    let log = patience::until("the end of the log", Duration::from_secs(60), || {
        let log = server.log(known);
        log.contains("the end of this work").then_some(log)
    });
    let mut scans = Vec::new();
    for plan in plans(&log) {
        scan(&plan["Plan"], &mut scans);
    }
    scans
}

/// No scan of all events, and no more rows than this in any one scan.
fn assert_bounded(what: &str, scans: &[(String, u64)], rows: u64) {
    assert!(!scans.is_empty(), "{what}: nothing was logged");
    for (kind, read) in scans {
        assert!(!kind.starts_with("Seq Scan of event") || *read <= 2, "{what}: {kind}, {read} rows");
        assert!(*read <= rows, "{what}: {kind}, {read} rows");
    }
}

#[test]
fn however_many_events_wait_claims_and_metrics_read_a_bounded_number() {
    let server = Postgres::private(Durability::Forgone);
    let database = server.database();
    let config = Config::parse(database.url()).expect("a URL");
    migrate(&config, &mut |_| ()).expect("a schema");
    let store = DieselStore::open(&config).expect("a store");
    let lease = store.lease("sink", "one", Duration::from_secs(3600)).expect("an answer").expect("the lease");
    let image = an_image("owner");
    (&store as &dyn Store).write(image.id, &cause(1), |tx| tx.insert_image(&image)).expect("an image");
    database.query(
        "INSERT INTO events (at, user_id, request_id, image_id, deed, changed, image)
         SELECT at, user_id, request_id, image_id, deed, changed, image FROM events, generate_series(2, 100000)",
    );
    database.query("VACUUM ANALYZE");
    explain_everything(&database);
    let count = |store: &DieselStore| assert!(store.backlog("sink").expect("a look").events > 0);
    let claim = |store: &DieselStore| drop(store.claim(&lease, 100).expect("an answer").expect("the lease"));

    assert_bounded("metrics, nothing placed", &reads(&server, &database, count), 1001);
    assert_bounded("claims, nothing placed", &reads(&server, &database, claim), 4096);

    database.query(
        "UPDATE events SET place = number WHERE number <= 60000;
         UPDATE event_order SET last_place = 60000;
         INSERT INTO event_dead_letters SELECT 'sink', number, 'why', at FROM events WHERE number <= 20000",
    );
    database.query("VACUUM ANALYZE");
    assert_bounded("metrics", &reads(&server, &database, count), 10_000);
    assert_bounded("claims", &reads(&server, &database, claim), 101);
    let list = |store: &DieselStore| {
        assert_eq!(store.dead_letters("sink", 7_000, 100).expect("a look").len(), 100);
    };
    assert_bounded("dead letters", &reads(&server, &database, list), 101);
}
