//! The schema is made once, looked at without touching it, and never by accident.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

use std::{fs, path::Path, sync::Barrier, thread};

use core_domain::{Error, store::Store};
use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use store_diesel::{Config, DieselStore, Progress, SchemaState, migrate, schema_state};
use testbed::Postgres;

const NEWER: &str = "INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')";

fn at(url: &str) -> Config {
    Config::parse(url).expect("a URL")
}

fn sqlite_in(directory: &Path) -> Config {
    at(&format!("sqlite://{}/vitrine.db", directory.display()))
}

fn state(config: &Config) -> SchemaState {
    schema_state(config).expect("a look")
}

/// Eight start at once: each migration is applied by one of them, and all end well.
fn is_applied_once(config: &Config) {
    let start = Barrier::new(8);
    let applied: usize = thread::scope(|scope| {
        let running: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let mut told = Vec::new();
                    let applied = migrate(config, &mut |progress| match progress {
                        Progress::Applying(name) => told.push(name.to_owned()),
                        Progress::Waiting => {}
                    });
                    let applied = applied.expect("a schema");
                    assert_eq!(applied, told.len());
                    applied
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(applied, fs::read_dir("../../migrations/postgres").expect("the migrations").count());
    assert_eq!(state(config), SchemaState::Current);
    assert_eq!(migrate(config, &mut |_| ()).expect("nothing to do"), 0);
}

#[test]
fn migrations_that_start_at_once_are_applied_once_in_postgres() {
    let database = Postgres::shared().database();
    assert_eq!(state(&at(database.url())), SchemaState::Empty);
    is_applied_once(&at(database.url()));
}

#[test]
fn migrations_that_start_at_once_are_applied_once_in_sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    assert_eq!(state(&sqlite_in(directory.path())), SchemaState::Empty);
    is_applied_once(&sqlite_in(directory.path()));
}

#[test]
fn looking_at_a_schema_changes_nothing() {
    let database = Postgres::shared().database();
    assert_eq!(state(&at(database.url())), SchemaState::Empty);
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(database.query(tables), ["0"]);

    let directory = tempfile::tempdir().expect("a directory");
    assert_eq!(state(&sqlite_in(directory.path())), SchemaState::Empty);
    assert_eq!(fs::read_dir(directory.path()).expect("it").count(), 0);
}

#[test]
fn a_schema_that_a_newer_program_made_is_recognized() {
    let database = Postgres::shared().database();
    migrate(&at(database.url()), &mut |_| ()).expect("a schema");
    database.query(NEWER);
    let ahead = SchemaState::Expanded { unknown: vec!["9999".to_owned()] };
    assert_eq!(state(&at(database.url())), ahead);
    database.query(&NEWER.replace("9999", "99991c"));
    let unknown = ["9999", "99991c"].map(str::to_owned).to_vec();
    assert_eq!(state(&at(database.url())), SchemaState::Ahead { unknown });

    let directory = tempfile::tempdir().expect("a directory");
    let config = sqlite_in(directory.path());
    migrate(&config, &mut |_| ()).expect("a schema");
    SqliteConnection::establish(&config.location()).expect("the file").batch_execute(NEWER).expect("a row");
    assert_eq!(state(&config), ahead);
}

#[test]
fn serving_never_makes_a_sqlite_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut config = sqlite_in(directory.path());
    config.connection_timeout = std::time::Duration::from_millis(200);
    let store = DieselStore::open(&config).expect("a store");
    assert!(matches!(store.ping(), Err(Error::Unavailable(_))));
    assert_eq!(fs::read_dir(directory.path()).expect("it").count(), 0);
}

#[test]
fn both_databases_have_the_same_migrations() {
    let names = |folder: &str| {
        let entries = fs::read_dir(folder).expect(folder).map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = entries.collect();
        names.sort();
        names
    };
    assert_eq!(names("../../migrations/postgres"), names("../../migrations/sqlite"));
}
