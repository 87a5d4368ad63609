//! Behind a PgBouncer in transaction mode nothing of a session is relied on, and nothing is left in one.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

use std::{
    thread,
    time::{Duration, Instant},
};

use core_domain::{
    Error,
    image::{Image, ImageId},
    member::Member,
    store::{Store, Viewer},
    testing::builders::{an_image, at, cause, project},
};
use store_diesel::{Config, DieselStore, Pooler, SchemaState, migrate, schema_state, shares_sessions};
use testbed::{Database, PgBouncer, Postgres, patience, postgres::Durability};

fn at_url(url: &str) -> Config {
    Config::parse(url).expect("a URL")
}

fn through(mut config: Config, pooler: Pooler) -> Config {
    config.pooler = pooler;
    config
}

/// Through PgBouncer, to a database that has a schema.
fn behind(pgbouncer: &PgBouncer, database: &Database<'_>) -> Config {
    migrate(&at_url(database.url()), &mut |_| ()).expect("a schema");
    through(at_url(&pgbouncer.url(database)), Pooler::Transaction)
}

fn with_an_image(config: &Config) -> (DieselStore, Image) {
    let store = DieselStore::open(config).expect("a store");
    let image = an_image("owner");
    let stored: &dyn Store = &store;
    stored.write(image.id, &cause(0), |tx| tx.insert_image(&image)).expect("an image");
    (store, image)
}

fn find(store: &DieselStore, id: ImageId) -> Result<bool, Error> {
    store.image(id, Viewer::ADMIN).map(|found| found.is_some())
}

/// That an answer is «not now», and came after this long and what a busy machine adds; how long it took.
#[track_caller]
fn is_away_after(least: Duration, call: impl FnOnce() -> Result<(), Error>) -> Duration {
    let start = Instant::now();
    let error = call().expect_err("an answer that is none");
    let took = start.elapsed();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    assert!(took >= least && took < least + Duration::from_secs(25), "took {took:?}: {error:?}");
    took
}

#[test]
fn a_pooler_that_nobody_told_us_of_is_noticed_also_while_others_use_it() {
    let database = Postgres::shared().database();
    let config = behind(PgBouncer::shared(), &database);
    let untold = through(config.clone(), Pooler::None);
    let (store, image) = with_an_image(&config);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..200).for_each(|_| assert!(find(&store, image.id).expect("a look"))));
        }
        // A busy pooler may give, by chance, what looks like one session; it does not go on doing so.
        assert!((0..10).any(|_| shares_sessions(&untold).expect("a look")));
    });
    assert!(shares_sessions(&untold).expect("a look"));
    assert!(!shares_sessions(&at_url(database.url())).expect("a look"));
}

#[test]
fn the_schema_is_looked_at_through_a_pooler_and_never_changed() {
    let database = Postgres::shared().database();
    let pooled = through(at_url(&PgBouncer::shared().url(&database)), Pooler::Transaction);
    assert_eq!(schema_state(&pooled).expect("a look"), SchemaState::Empty);
    assert!(matches!(migrate(&pooled, &mut |_| ()), Err(Error::Invalid(_))));
    behind(PgBouncer::shared(), &database);
    assert_eq!(schema_state(&pooled).expect("a look"), SchemaState::Current);
}

#[test]
fn timeouts_come_with_every_transaction_and_stay_in_none() {
    let database = Postgres::shared().database();
    let pgbouncer = PgBouncer::before(Postgres::shared(), 2);
    let mut config = behind(&pgbouncer, &database);
    config.lock_timeout = Duration::from_millis(300);
    config.statement_timeout = Duration::from_secs(60);
    config.idle_in_transaction_timeout = Duration::from_secs(60);
    let (store, image) = with_an_image(&config);
    let held = store.begin(image.id, &cause(0)).expect("a change");
    is_away_after(config.lock_timeout, || store.begin(image.id, &cause(0)).map(drop));
    assert!(find(&store, image.id).expect("a look"));
    drop(held);
    drop(store.begin(image.id, &cause(0)).expect("a change"));

    // The same sessions as somebody else finds them.
    let left = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), \
                current_setting('idle_in_transaction_session_timeout'), (SELECT count(*) FROM pg_prepared_statements)";
    for _ in 0..4 {
        assert_eq!(database.query_at(&pgbouncer.url(&database), left), ["0|0|0|0"]);
    }

    config.lock_timeout = Duration::from_secs(60);
    config.statement_timeout = Duration::from_millis(300);
    let impatient = DieselStore::open(&config).expect("a store");
    let held = store.begin(image.id, &cause(0)).expect("a change");
    is_away_after(config.statement_timeout, || impatient.begin(image.id, &cause(0)).map(drop));
    drop(held);
}

#[test]
fn a_change_that_falls_silent_is_ended_and_holds_its_image_no_longer() {
    let database = Postgres::shared().database();
    let mut config = behind(PgBouncer::shared(), &database);
    config.lock_timeout = Duration::from_secs(30);
    config.statement_timeout = Duration::from_secs(60);
    let (store, image) = with_an_image(&config);
    config.idle_in_transaction_timeout = Duration::from_secs(3);
    let silent = DieselStore::open(&config).expect("a store");
    let mut held = silent.begin(image.id, &cause(0)).expect("a change");
    held.insert_member(&Member::offered(image.id, project("p"), at(3))).expect("a membership");
    // It waits for the image for as long as the other is silent.
    drop(store.begin(image.id, &cause(0)).expect("a change"));
    assert!(matches!(held.commit(), Err(Error::Unavailable(_))));
    let sight = store.sight(image.id, None, &project("p")).expect("a look").expect("the image");
    assert_eq!(sight.member, None);
}

#[test]
fn a_pooler_or_a_server_that_dies_is_reported_soon_and_found_again() {
    let postgres = Postgres::private(Durability::Kept);
    let database = postgres.database();
    let pgbouncer = PgBouncer::before(&postgres, 2);
    let (store, image) = with_an_image(&behind(&pgbouncer, &database));
    let back = || {
        patience::until("the store to find the server again", Duration::from_secs(60), || store.ping().ok());
        assert!(find(&store, image.id).expect("a look"));
        drop(store.begin(image.id, &cause(0)).expect("a change"));
    };

    pgbouncer.kill();
    is_away_after(Duration::ZERO, || find(&store, image.id).map(drop));
    is_away_after(Duration::ZERO, || store.begin(image.id, &cause(0)).map(drop));
    pgbouncer.start();
    back();

    postgres.kill();
    // Whoever asks first waits with PgBouncer for the server, for its query_wait_timeout.
    is_away_after(Duration::from_secs(2), || find(&store, image.id).map(drop));
    is_away_after(Duration::ZERO, || store.begin(image.id, &cause(0)).map(drop));
    is_away_after(Duration::ZERO, || store.ping());
    postgres.start();
    back();
}

#[test]
fn whoever_gets_no_session_of_the_pooler_is_told_so() {
    let database = Postgres::shared().database();
    let pgbouncer = PgBouncer::before(Postgres::shared(), 1);
    let mut config = behind(&pgbouncer, &database);
    config.idle_in_transaction_timeout = Duration::from_secs(60);
    let (store, image) = with_an_image(&config);
    // Whoever logs in before PgBouncer has greeted anybody waits for a session as well, and its connection is not there
    // yet: what would be told then is that, and sooner.
    patience::until("a second connection to the pooler", Duration::from_secs(60), || {
        (store.figures().idle >= 2).then_some(())
    });
    let held = store.begin(image.id, &cause(0)).expect("a change");
    // PgBouncer waits five seconds (query_wait_timeout), once. A busy machine may make it look like twice, but not always.
    let patience = Duration::from_secs(5);
    let asks = || is_away_after(patience, || store.begin(ImageId::random(), &cause(0)).map(drop));
    assert!((0..3).any(|_| asks() < 2 * patience));
    drop(held);
    assert!(find(&store, image.id).expect("a look"));
}
