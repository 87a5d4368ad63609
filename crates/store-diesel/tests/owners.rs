//! How many images a project may own, in Postgres, through two stores as two servers have them.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

use std::{
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use core_domain::{
    Context, Error, Rules,
    catalog::{self, Edit, NewImage},
    image::{Image, ImageId},
    limits::Limits,
    listing::Listing,
    store::Store,
    testing::builders::{an_image, caller, cause, project},
};
use store_diesel::{Config, DieselStore, migrate};
use testbed::{Database, Postgres, patience};

const THREADS: usize = 8;

fn two_stores(database: &Database<'_>) -> [DieselStore; 2] {
    let mut config = Config::parse(database.url()).expect("a URL");
    // A busy machine may keep a test waiting; a deadlock is noticed after one second all the same.
    config.lock_timeout = Duration::from_secs(120);
    config.statement_timeout = Duration::from_secs(120);
    config.idle_in_transaction_timeout = Duration::from_secs(120);
    config.connection_timeout = Duration::from_secs(120);
    migrate(&config, &mut |_| ()).expect("a schema");
    [(); 2].map(|()| DieselStore::open(&config).expect("a store"))
}

fn keep(store: &DieselStore, image: &Image) {
    (store as &dyn Store).write(image.id, &cause(0), |tx| tx.insert_image(image)).expect("an image");
}

fn owned(store: &DieselStore, owner: &str) -> usize {
    let owner = project(owner);
    let listing = Listing { owner: Some(owner.clone()), ..Listing::of(owner, false, 1000) };
    store.images(&listing).expect("a list").images.len()
}

fn at_most(images: usize) -> Rules {
    Rules { limits: Limits { images_per_project: Some(images), ..Limits::default() }, ..Rules::default() }
}

/// Whether the call was done; the only refusal is the limit's.
fn is_done<T>(call: Result<T, Error>) -> bool {
    match call {
        Ok(_) => true,
        Err(Error::LimitExceeded(_)) => false,
        Err(other) => unreachable!("{other:?}"),
    }
}

fn waiting_for_a_lock(database: &Database<'_>, kind: &str) -> bool {
    let waiting = database.query(&format!(
        "SELECT count(*) FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = '{kind}'"
    ));
    waiting == ["1"]
}

fn deadlocks(database: &Database<'_>) -> Vec<String> {
    database.query("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
}

#[test]
fn a_change_that_waited_for_an_owner_counts_what_was_added_meanwhile() {
    let database = Postgres::shared().database();
    let stores = two_stores(&database);
    let (owner, image) = (project("owner"), an_image("owner"));
    let mut first = stores[0].begin(image.id, &cause(0)).expect("a change");
    assert!(!first.owns_at_least(&owner, 1).expect("a look"));
    thread::scope(|scope| {
        let second = scope.spawn(|| {
            let mut second = stores[1].begin(ImageId::random(), &cause(0)).expect("a change");
            second.owns_at_least(&owner, 1).expect("a look")
        });
        patience::until("the second to wait for the owner", Duration::from_secs(60), || {
            waiting_for_a_lock(&database, "advisory").then_some(())
        });
        // Nobody else waits.
        let mut other = stores[1].begin(ImageId::random(), &cause(0)).expect("a change");
        assert!(!other.owns_at_least(&project("other"), 1).expect("a look"));
        first.insert_image(&image).expect("an image");
        first.commit().expect("an end");
        assert!(second.join().expect("a thread that did not panic"));
    });
}

#[test]
fn two_stores_never_let_a_project_own_more_than_it_may() {
    let database = Postgres::shared().database();
    let stores = two_stores(&database);
    let (owner, admin) = (caller("owner", &["member"]), caller("ops", &["admin"]));
    for maximum in (1..6).cycle().take(20) {
        let rules = at_most(maximum);
        let others: Vec<Image> = (0..THREADS).map(|_| an_image("other")).collect();
        others.iter().for_each(|image| keep(&stores[0], image));
        let (start, added) = (Barrier::new(THREADS), AtomicUsize::new(0));
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (stores, rules, others, start, added) = (&stores, &rules, &others, &start, &added);
                let (owner, admin) = (&owner, &admin);
                scope.spawn(move || {
                    let store: &dyn Store = &stores[number % 2];
                    let cx = |who| Context::now(who, rules, "req-test");
                    let for_owner = NewImage { owner: Some(Some(project("owner"))), ..NewImage::default() };
                    let give = [Edit::Owner(Some(project("owner")))];
                    start.wait();
                    let done = [
                        is_done(catalog::create(cx(owner), store, NewImage::default())),
                        is_done(catalog::change(cx(admin), store, others[number].id, &give)),
                        is_done(catalog::create(cx(admin), store, for_owner)),
                    ];
                    added.fetch_add(done.into_iter().filter(|done| *done).count(), Ordering::SeqCst);
                });
            }
        });
        assert_eq!((added.into_inner(), owned(&stores[0], "owner")), (maximum, maximum));
        let all = Listing { owner: Some(project("owner")), ..Listing::of(project("owner"), false, 1000) };
        for image in stores[1].images(&all).expect("a list").images {
            catalog::delete(Context::now(&owner, &rules, "req-test"), &stores[1], image.id)
                .expect("a deletion");
        }
    }
    drop(stores);
    assert_eq!(deadlocks(&database), ["0"]);
}

/// Images go from one project to the other and back while both make and delete images, some with the same id.
#[test]
fn makers_givers_and_deleters_wait_for_one_another_in_one_order() {
    let database = Postgres::shared().database();
    let stores = two_stores(&database);
    let names = ["a", "b"];
    let admin = caller("ops", &["admin"]);
    let rules = at_most(6);
    let images: Vec<Image> = (0..6).map(|number| an_image(names[number % 2])).collect();
    images.iter().for_each(|image| keep(&stores[0], image));
    let ids: Vec<ImageId> = (0..40).map(|_| ImageId::random()).collect();
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (stores, rules, admin, images, ids, start) = (&stores, &rules, &admin, &images, &ids, &start);
            scope.spawn(move || {
                start.wait();
                for turn in 0..ids.len() {
                    let store: &dyn Store = &stores[(thread + turn) % 2];
                    let cx = Context::now(admin, rules, "req-test");
                    let to = Some(project(names[(thread / 2 + turn) % 2]));
                    if thread % 2 == 0 {
                        is_done(catalog::change(
                            cx,
                            store,
                            images[turn % images.len()].id,
                            &[Edit::Owner(to)],
                        ));
                        continue;
                    }
                    let new = NewImage { id: Some(ids[turn]), owner: Some(to), ..NewImage::default() };
                    match catalog::create(cx, store, new) {
                        Ok(image) => catalog::delete(cx, store, image.id).expect("a deletion"),
                        Err(Error::LimitExceeded(_) | Error::Conflict(_)) => {}
                        Err(other) => unreachable!("{other:?}"),
                    }
                }
            });
        }
    });
    assert_eq!(owned(&stores[0], "a") + owned(&stores[0], "b"), images.len());
    drop(stores);
    assert_eq!(deadlocks(&database), ["0"]);
}

#[test]
fn without_a_limit_no_change_waits_for_an_owner() {
    let database = Postgres::shared().database();
    let stores = two_stores(&database);
    let mut first = stores[0].begin(ImageId::random(), &cause(0)).expect("a change");
    assert!(!first.owns_at_least(&project("owner"), 1).expect("a look"));
    let rules =
        Rules { limits: Limits { images_per_project: None, ..Limits::default() }, ..Rules::default() };
    let owner = caller("owner", &["member"]);
    let made = catalog::create(Context::now(&owner, &rules, "req-test"), &stores[1], NewImage::default());
    let made = made.expect("an image");
    // Deleting never waits for one.
    let rules = at_most(1);
    catalog::delete(Context::now(&owner, &rules, "req-test"), &stores[1], made.id).expect("a deletion");
    drop(first);
}
