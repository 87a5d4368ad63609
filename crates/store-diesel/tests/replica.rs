//! A list that a streaming replica answered is never older than it may be; everything else never comes from there.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use core_domain::{
    Error,
    image::ImageId,
    listing::Listing,
    store::{Store, Viewer},
    testing::builders::{an_image, cause, project},
};
use store_diesel::{Config, DieselStore, ReplicaFigures, migrate};
use testbed::{Database, Postgres, patience, postgres::Durability};

const BOUND: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(60);

/// A role that is nobody special, as Vitrine's is.
const ROLE: &str = "CREATE ROLE plain LOGIN PASSWORD 'plain'; \
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO plain";

struct Pair<'a> {
    primary: &'a Database<'a>,
    standby: Postgres,
    store: DieselStore,
}

impl<'a> Pair<'a> {
    fn of(postgres: &Postgres, primary: &'a Database<'a>) -> Self {
        migrate(&Config::parse(primary.url()).expect("a URL"), &mut |_| ()).expect("a schema");
        primary.query(ROLE);
        let standby = postgres.standby();
        let as_plain = |url: &str| {
            let (_, rest) = url.split_once('@').expect("a role");
            format!("postgres://plain:plain@{rest}")
        };
        let config = Config::parse(&as_plain(primary.url())).expect("a URL");
        let config = config.with_replica(&as_plain(&primary.url_at(&standby)), BOUND).expect("a URL");
        let pair = Self { primary, standby, store: DieselStore::open(&config).expect("a store") };
        pair.serves();
        pair
    }

    fn at_standby(&self, sql: &str) -> Vec<String> {
        self.primary.query_at(&self.primary.url_at(&self.standby), sql)
    }

    fn figures(&self) -> ReplicaFigures {
        self.store.replica_figures().expect("a replica")
    }

    /// Waits until the replica answers lists.
    fn serves(&self) {
        let before = self.figures().by_replica;
        patience::until("a list from the replica", SOON, || {
            self.list();
            (self.figures().by_replica > before).then_some(())
        });
    }

    fn make(&self) -> ImageId {
        let image = an_image("owner");
        let store: &dyn Store = &self.store;
        store.write(image.id, &cause(0), |tx| tx.insert_image(&image)).expect("an image");
        image.id
    }

    fn list(&self) -> BTreeSet<ImageId> {
        let listing = Listing::of(project("owner"), false, 10_000);
        self.store.images(&listing).expect("a list").images.into_iter().map(|image| image.id).collect()
    }
}

#[test]
fn whatever_the_replica_does_a_list_holds_all_that_was_there_before_the_bound() {
    let postgres = Postgres::private(Durability::Forgone);
    let database = postgres.database();
    let pair = Pair::of(&postgres, &database);
    let mut made: Vec<(Instant, ImageId)> = Vec::new();
    let start = Instant::now();
    let mut is_paused = false;
    let is_enough = |figures: &ReplicaFigures| figures.by_replica > 10 && figures.not_fresh > 10;
    // A busy machine gets as many turns as it needs.
    while start.elapsed() < 8 * BOUND || (start.elapsed() < 60 * BOUND && !is_enough(&pair.figures())) {
        // Of every four bounds two and a half without replay.
        let pause = start.elapsed().as_millis() % (4 * BOUND.as_millis()) > BOUND.as_millis() * 3 / 2;
        if pause != is_paused {
            pair.at_standby(if pause {
                "SELECT pg_wal_replay_pause()"
            } else {
                "SELECT pg_wal_replay_resume()"
            });
            is_paused = pause;
        }
        let id = pair.make();
        made.push((Instant::now(), id));
        // How old the replica is was looked at after this moment: of what came later nothing is promised.
        let asked = Instant::now();
        let listed = pair.list();
        let due = made.iter().filter(|(at, _)| asked.duration_since(*at) > BOUND);
        let missing = due.filter(|(_, id)| !listed.contains(id)).count();
        assert_eq!(missing, 0, "of {} images, {:?}", made.len(), pair.figures());
        assert!(
            pair.store.image(id, Viewer::ADMIN).expect("a look").is_some(),
            "a single image is always there"
        );
    }
    let figures = pair.figures();
    assert!(is_enough(&figures), "{figures:?}");
}

#[test]
fn a_list_from_the_replica_goes_on_after_an_image_that_is_gone() {
    let postgres = Postgres::private(Durability::Forgone);
    let database = postgres.database();
    let pair = Pair::of(&postgres, &database);
    let made: Vec<ImageId> = (0..3).map(|_| pair.make()).collect();
    // By what the replica answers, until it has caught up.
    let listed = |listing: &Listing, count: usize| {
        patience::until("a list from the replica", SOON, || {
            let before = pair.figures().by_replica;
            let listed = pair.store.images(listing).expect("a list").images;
            (pair.figures().by_replica > before && listed.len() == count).then_some(listed)
        })
    };
    let own = || Listing::of(project("owner"), false, 10);
    let whole = listed(&own(), made.len());
    let first = &whole[0];
    (&pair.store as &dyn Store).write(first.id, &cause(1), |tx| tx.delete_image()).expect("a deletion");
    listed(&own(), made.len() - 1);
    let rest = listed(&Listing { after: Some(Box::new(first.into())), ..own() }, made.len() - 1);
    assert_eq!(rest, whole[1..]);
}

#[test]
fn a_replica_that_dies_hides_no_list_and_is_found_again() {
    let postgres = Postgres::private(Durability::Forgone);
    let database = postgres.database();
    let pair = Pair::of(&postgres, &database);
    pair.standby.kill();
    let id = pair.make();
    for _ in 0..40 {
        let asked = Instant::now();
        assert!(pair.list().contains(&id));
        assert!(asked.elapsed() < Duration::from_secs(15), "took {:?}", asked.elapsed());
    }
    pair.standby.start();
    pair.serves();
}

#[test]
fn a_replica_that_was_promoted_or_never_was_one_answers_nothing() {
    let postgres = Postgres::private(Durability::Forgone);
    let database = postgres.database();
    let pair = Pair::of(&postgres, &database);
    pair.at_standby("SELECT pg_promote()");
    let id = pair.make();
    patience::until("the primary alone to answer", SOON, || {
        let before = pair.figures().by_replica;
        let listed = pair.list();
        (listed.contains(&id) && pair.figures().by_replica == before).then_some(())
    });
    let before = pair.figures().by_replica;
    pair.list();
    assert_eq!(pair.figures().by_replica, before);

    let primary = Config::parse(database.url()).expect("a URL").with_replica(database.url(), BOUND);
    let store = DieselStore::open(&primary.expect("a URL")).expect("a store");
    store.ping().expect("a server");
    store.images(&Listing::of(project("owner"), false, 10)).expect("a list");
    let figures = store.replica_figures().expect("a replica");
    assert_eq!((figures.age, figures.by_replica), (None, 0));
}

#[test]
fn only_postgres_has_a_replica() {
    let postgres = Config::parse("postgres://h/d").expect("a URL");
    let sqlite = Config::parse("sqlite:///a").expect("a URL");
    for refused in [postgres.with_replica("sqlite:///b", BOUND), sqlite.with_replica("postgres://h/d", BOUND)]
    {
        assert!(matches!(refused, Err(Error::Invalid(_))));
    }
}
