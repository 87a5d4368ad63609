//! Every session says READ COMMITTED: what the server, the database or the role has as a default decides nothing.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

use core_domain::{
    Error,
    store::{Store, Viewer},
    testing::{
        builders::{an_image, cause},
        conformance,
    },
};
use store_diesel::{Config, DieselStore, Pooler, migrate};
use testbed::{Database, PgBouncer, Postgres};

/// A store whose database has this default for each transaction.
fn with_default(database: &Database<'_>, setting: &str) -> Config {
    database.query(&format!(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {setting}', current_database()); END $$"
    ));
    let config = Config::parse(database.url()).expect("a URL");
    migrate(&config, &mut |_| ()).expect("a schema");
    config
}

/// The store itself, or behind a PgBouncer whose sessions have the default.
#[derive(Clone, Copy)]
enum Way {
    Direct,
    Pooled,
}

impl Way {
    fn store(self, database: &Database<'_>, isolation: &str) -> DieselStore {
        let mut config = with_default(database, &format!("default_transaction_isolation = ''{isolation}''"));
        let mut url = database.url().to_owned();
        if let Self::Pooled = self {
            url = PgBouncer::shared().url(database);
            config = Config::parse(&url).expect("a URL");
            config.pooler = Pooler::Transaction;
            config.pool_size = 8;
        }
        let default = database.query_at(&url, "SHOW transaction_isolation");
        assert_eq!(default, [isolation], "the default is another");
        DieselStore::open(&config).expect("a store")
    }
}

#[track_caller]
fn all_that_happens_at_once_is_exact_under(isolation: &str, way: Way) {
    let cases =
        conformance::CASES.iter().map(|(name, _)| *name).filter(|name| name.starts_with("together::"));
    let mut run = 0;
    for case in cases {
        let database = Postgres::shared().database();
        conformance::run(case, &way.store(&database, isolation));
        run += 1;
    }
    assert!(run >= 10, "{run} cases");
}

#[test]
fn changes_are_exact_where_the_default_is_repeatable_read() {
    all_that_happens_at_once_is_exact_under("repeatable read", Way::Direct);
}

#[test]
fn changes_are_exact_where_the_default_is_serializable() {
    all_that_happens_at_once_is_exact_under("serializable", Way::Direct);
}

#[test]
fn changes_are_exact_behind_a_pooler_where_the_default_is_repeatable_read() {
    all_that_happens_at_once_is_exact_under("repeatable read", Way::Pooled);
}

#[test]
fn changes_are_exact_behind_a_pooler_where_the_default_is_serializable() {
    all_that_happens_at_once_is_exact_under("serializable", Way::Pooled);
}

/// An operator may have made the database read-only, for a move say: that is to last.
#[test]
fn a_database_made_read_only_answers_reads_and_no_change() {
    let database = Postgres::shared().database();
    migrate(&Config::parse(database.url()).expect("a URL"), &mut |_| ()).expect("a schema");
    database.query(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$",
    );
    let store = DieselStore::open(&Config::parse(database.url()).expect("a URL")).expect("a store");
    let store: &dyn Store = &store;
    let image = an_image("owner");
    assert!(store.image(image.id, Viewer::ADMIN).expect("a look").is_none());
    let made = store.write(image.id, &cause(0), |tx| tx.insert_image(&image));
    assert!(matches!(made, Err(Error::Unavailable(_))), "{made:?}");
}
