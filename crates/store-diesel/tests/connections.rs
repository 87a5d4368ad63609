//! A process holds as many connections as `MaxConnections` says, which operators size Postgres by, and no more.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

use std::{thread, time::Duration};

use core_domain::{
    Result,
    outbox::Outbox,
    store::{Store, Viewer},
    testing::builders::an_image,
};
use store_diesel::{Config, DieselStore, MaxConnections, migrate};
use testbed::{Database, Postgres, patience};

const PATIENCE: Duration = Duration::from_secs(60);

/// The connections to this database that are called so.
fn open(database: &Database<'_>, application: &str) -> u32 {
    let count =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name";
    database.query(&format!("{count} = '{application}'"))[0].parse().expect("a number")
}

/// Every pool of the store is in use, more threads ask than there are connections, and the sums are reached and kept.
#[track_caller]
fn holds_what_it_says(database: &Database<'_>, config: &Config) -> Result<()> {
    let expected = config.max_connections();
    let now = || MaxConnections { primary: open(database, "vitrine"), replica: open(database, "replica") };
    let store = DieselStore::open(config)?;
    let _lease = store.lease("sink", "one", PATIENCE)?.expect("the lease");
    patience::within(PATIENCE, || (now() == expected).then_some(()));
    let image = an_image("owner").id;
    thread::scope(|scope| {
        for _ in 0..4 * expected.primary {
            scope.spawn(|| (0..20).for_each(|_| drop(store.image(image, Viewer::ADMIN).expect("an answer"))));
        }
        assert_eq!(now(), expected);
    });
    assert_eq!(now(), expected);
    Ok(())
}

#[test]
fn a_process_holds_as_many_connections_as_it_says() -> Result<()> {
    let database = Postgres::shared().database();
    let mut config = Config::parse(database.url())?;
    config.pool_size = 3;
    migrate(&config, &mut |_| ()).expect("a schema");
    assert_eq!(config.max_connections(), MaxConnections { primary: 9, replica: 0 });
    holds_what_it_says(&database, &config)
}

#[test]
fn a_replica_adds_the_connections_that_it_says() -> Result<()> {
    let database = Postgres::shared().database();
    let mut config = Config::parse(database.url())?;
    config.pool_size = 2;
    migrate(&config, &mut |_| ()).expect("a schema");
    // No replica answers there, but the connections to it are opened and counted all the same.
    let url = format!("{}?application_name=replica", database.url());
    let config = config.with_replica(&url, Duration::from_secs(5))?;
    assert_eq!(config.max_connections(), MaxConnections { primary: 9, replica: 3 });
    holds_what_it_says(&database, &config)
}
