//! New memberships in Postgres, where one statement makes them and their events.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

use std::{thread, time::Duration};

use core_domain::{
    Error,
    error::Conflict,
    image::Image,
    member::Member,
    store::{HistoryPage, Store, Viewer},
    testing::builders::{an_image, at, cause, project},
};
use store_diesel::{Config, DieselStore, migrate};
use testbed::{Database, Postgres, patience};

fn with_an_image(database: &Database<'_>) -> (DieselStore, Image) {
    let mut config = Config::parse(database.url()).expect("a URL");
    // Whoever waits here waits for a test that a busy machine may keep waiting.
    config.lock_timeout = Duration::from_secs(120);
    config.statement_timeout = Duration::from_secs(120);
    config.idle_in_transaction_timeout = Duration::from_secs(120);
    migrate(&config, &mut |_| ()).expect("a schema");
    let store = DieselStore::open(&config).expect("a store");
    let image = an_image("owner");
    (&store as &dyn Store).write(image.id, &cause(0), |tx| tx.insert_image(&image)).expect("an image");
    (store, image)
}

#[test]
fn whoever_waited_for_an_image_sees_who_was_added_meanwhile() {
    let database = Postgres::shared().database();
    let (store, image) = with_an_image(&database);
    let mut first = store.begin(image.id, &cause(0)).expect("a change");
    first.insert_member(&Member::offered(image.id, project("p"), at(3))).expect("a membership");
    thread::scope(|scope| {
        let second = scope.spawn(|| {
            let own = project("p");
            let viewer = Viewer { project: Some(&own), admin: false };
            let mut second = store.begin(image.id, &cause(0)).expect("a change");
            second.sharing(viewer, &project("p"), Some(9)).expect("a look").expect("the image")
        });
        patience::until("the second to wait for the image", Duration::from_secs(60), || {
            let waiting = database.query(
                "SELECT count(*) FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event_type = 'Lock'",
            );
            (waiting == ["1"]).then_some(())
        });
        first.commit().expect("an end");
        let seen = second.join().expect("a thread that did not panic");
        assert_eq!((seen.found.is_member, seen.is_shared_already, seen.members), (true, true, 1));
    });
}

#[test]
fn an_event_whose_key_is_taken_is_no_membership_that_is_there() {
    let database = Postgres::shared().database();
    let (store, image) = with_an_image(&database);
    let store: &dyn Store = &store;
    let add = |name| {
        let member = Member::offered(image.id, project(name), at(3));
        store.write(image.id, &cause(0), |tx| tx.insert_member(&member))
    };
    add("p").expect("a membership");
    // Numbers that were given are given again, as after a copy that was put back without its sequences.
    database.query("ALTER TABLE events ALTER number RESTART WITH 1");
    let added = add("q");
    assert!(matches!(added, Err(Error::Internal(_))), "{added:?}");
    let again = add("p");
    assert!(matches!(again, Err(Error::Conflict(Conflict::Member(..)))), "{again:?}");
    let kept = |name| {
        let member = store.sight(image.id, None, &project(name)).expect("a look").expect("the image").member;
        let history =
            store.history(image.id, &project(name), HistoryPage { after: None, owner: None, limit: 9 });
        (member.is_some(), history.expect("a history").len())
    };
    assert_eq!((kept("p"), kept("q")), ((true, 1), (false, 0)));
}
