//! What happens when the database is not there, goes away or is too slow: an answer soon, and recovery by itself.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

use std::{
    error::Error as _,
    time::{Duration, Instant},
};

use core_domain::{
    Error,
    image::{Image, ImageId},
    member::{Member, MemberStatus},
    store::{Store, Viewer},
    testing::builders::{an_image, at, cause, project},
};
use store_diesel::{Config, DieselStore, migrate};
use testbed::{
    Database, Postgres, patience,
    postgres::{Durability, free_port},
};

/// Soon enough for whoever waits for an answer: a few seconds, and what a busy machine adds.
const SOON: Duration = Duration::from_secs(25);

fn config(database: &Database<'_>) -> Config {
    let config = Config::parse(database.url()).expect("a URL");
    migrate(&config, &mut |_| ()).expect("a schema");
    config
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

/// That an answer is «not now», and came soon.
fn is_away<T>(what: &str, call: impl FnOnce() -> Result<T, Error>) -> String {
    let start = Instant::now();
    let error = call().err().expect(what);
    assert!(start.elapsed() < SOON, "{what} took {:?}", start.elapsed());
    assert!(matches!(error, Error::Unavailable(_)), "{what}: {error:?}");
    format!("{error} {:?}", error.source())
}

fn end_all_connections(database: &Database<'_>) {
    let ended = database.query(
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity \
         WHERE datname = current_database() AND application_name = 'vitrine'",
    );
    assert_ne!(ended, ["0"]);
}

#[test]
fn a_server_that_dies_is_reported_soon_and_found_again_by_itself() {
    let postgres = Postgres::private(Durability::Kept);
    let database = postgres.database();
    let (store, image) = with_an_image(&config(&database));
    let member = Member::offered(image.id, project("p"), at(3));

    let mut under_way = store.begin(image.id, &cause(0)).expect("a change");
    under_way.insert_member(&member).expect("a membership");
    postgres.kill();
    is_away("a commit", || under_way.commit());
    is_away("a ping", || store.ping());
    is_away("a read", || find(&store, image.id));
    is_away("a change", || store.begin(image.id, &cause(0)).map(drop));
    is_away("a status", || {
        store.set_status(&image.access(), &member.project, MemberStatus::Accepted, &cause(4))
    });
    is_away("a removal", || store.delete_member(&image.access(), &member.project, &cause(9)));

    // Nobody waits for long once it is known: those behind would wait as well.
    is_away("many reads", || (0..40).map(|_| find(&store, image.id)).reduce(|_, last| last).expect("a read"));

    postgres.start();
    patience::until("the store to find the server again", Duration::from_secs(60), || store.ping().ok());
    assert!(find(&store, image.id).expect("a look"));
    let left = store.sight(image.id, None, &member.project).expect("a look").expect("the image").member;
    assert_eq!(left, None, "a change that was not committed");
}

#[test]
fn a_read_does_not_notice_that_its_connection_was_ended() {
    let database = Postgres::shared().database();
    let (store, image) = with_an_image(&config(&database));
    for _ in 0..3 {
        end_all_connections(&database);
        assert!(find(&store, image.id).expect("a look"));
        end_all_connections(&database);
        store.ping().expect("a server that is there");
    }
}

#[test]
fn a_change_does_not_notice_that_its_connection_was_ended_before() {
    let database = Postgres::shared().database();
    let (store, image) = with_an_image(&config(&database));
    for number in 0..3 {
        end_all_connections(&database);
        let member = Member::offered(image.id, project(&format!("p{number}")), at(3));
        let mut tx = store.begin(image.id, &cause(0)).expect("a change");
        tx.insert_member(&member).expect("a membership");
        tx.commit().expect("an end");
    }
}

#[test]
fn a_change_whose_connection_is_ended_never_was() {
    let database = Postgres::shared().database();
    let (store, image) = with_an_image(&config(&database));
    let mut tx = store.begin(image.id, &cause(0)).expect("a change");
    tx.insert_member(&Member::offered(image.id, project("p"), at(3))).expect("a membership");
    end_all_connections(&database);
    is_away("a look", || tx.sharing(Viewer::ADMIN, &project("p"), Some(9)));
    drop(tx);
    let sight = store.sight(image.id, None, &project("p")).expect("a look").expect("the image");
    assert_eq!(sight.member, None);
    // Nor can a change be kept of which a part failed.
    let mut tx = store.begin(image.id, &cause(0)).expect("a change");
    tx.insert_member(&Member::offered(image.id, project("p"), at(3))).expect("a membership");
    assert!(tx.insert_member(&Member::offered(image.id, project("p"), at(3))).is_err());
    assert!(matches!(tx.commit(), Err(Error::Internal(_))));
}

#[test]
fn whoever_waits_too_long_for_an_image_is_told_so() {
    let database = Postgres::shared().database();
    let mut config = config(&database);
    config.lock_timeout = Duration::from_millis(300);
    config.statement_timeout = Duration::from_secs(60);
    let (store, image) = with_an_image(&config);
    let held = store.begin(image.id, &cause(0)).expect("a change");
    is_away("a second change", || store.begin(image.id, &cause(0)).map(drop));
    // Another image is nobody's business, and a read waits for nobody.
    drop(store.begin(ImageId::random(), &cause(0)).expect("another change"));
    assert!(find(&store, image.id).expect("a look"));
    drop(held);
    drop(store.begin(image.id, &cause(0)).expect("a change"));
}

#[test]
fn an_image_made_while_a_change_of_it_is_under_way_is_held_before_it_is_shown() {
    let database = Postgres::shared().database();
    let mut config = config(&database);
    config.lock_timeout = Duration::from_millis(300);
    config.statement_timeout = Duration::from_secs(60);
    let (store, _) = with_an_image(&config);
    let image = an_image("owner");
    let mut early = store.begin(image.id, &cause(0)).expect("a change of what is not there");
    assert_eq!(early.image(Viewer::ADMIN).expect("a look"), None);
    let mut maker = store.begin(image.id, &cause(0)).expect("a change");
    maker.insert_image(&image).expect("a new image");
    maker.commit().expect("an end");
    let held = store.begin(image.id, &cause(0)).expect("a change");
    is_away("a look at an image that another holds", || early.image(Viewer::ADMIN));
    drop((early, held));
    let mut late = store.begin(image.id, &cause(0)).expect("a change");
    assert_eq!(late.image(Viewer::ADMIN).expect("a look").and_then(|found| found.image), Some(image));
}

#[test]
fn a_statement_that_takes_too_long_is_ended() {
    let database = Postgres::shared().database();
    let mut config = config(&database);
    let (store, image) = with_an_image(&config);
    config.statement_timeout = Duration::from_millis(300);
    config.lock_timeout = Duration::from_secs(60);
    let hasty = DieselStore::open(&config).expect("a store");
    let held = store.begin(image.id, &cause(0)).expect("a change");
    is_away("a second change", || hasty.begin(image.id, &cause(0)).map(drop));
    drop(held);
}

#[test]
fn whoever_gets_no_connection_is_told_so() {
    let database = Postgres::shared().database();
    let mut config = config(&database);
    let (_, image) = with_an_image(&config);
    config.pool_size = 1;
    config.connection_timeout = Duration::from_secs(2);
    let store = DieselStore::open(&config).expect("a store");
    let held = store.begin(image.id, &cause(0)).expect("a change");
    let figures = store.figures();
    assert_eq!((figures.size, figures.open, figures.idle), (1, 1, 0));
    is_away("a read", || find(&store, image.id));
    drop(held);
    assert!(find(&store, image.id).expect("a look"));
    assert_eq!(store.figures().idle, 1);
}

#[test]
fn an_address_where_nobody_listens_is_reported_without_the_password() {
    let url = format!("postgres://u:s3cret@127.0.0.1:{}/d", free_port());
    let store = DieselStore::open(&Config::parse(&url).expect("a URL")).expect("a store");
    let said = is_away("a ping", || store.ping());
    assert!(said.contains("refused") && !said.contains("s3cret"), "{said}");
    let said = is_away("a look", || store_diesel::schema_state(&Config::parse(&url)?));
    assert!(said.contains("refused") && !said.contains("s3cret"), "{said}");
}

#[test]
fn tls_is_built_in() {
    let postgres = Postgres::private(Durability::Forgone);
    let database = postgres.database();
    let url = format!("{}?sslmode=require", database.url());
    let said = is_away("a look", || store_diesel::schema_state(&Config::parse(&url)?));
    // The server's refusal, not the library's.
    assert!(said.contains("server does not support SSL"), "{said}");
}
