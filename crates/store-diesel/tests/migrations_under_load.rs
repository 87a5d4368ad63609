//! Migrations while images are changed: no change fails, and no migration.
//!
//! The program's own migrations after the initial ones are applied to a catalogue that is in use, by the code of
//! `vitrine migrate`. So are an example that must pass and two that must not, so that the judge is judged as well.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

use std::{
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use core_domain::{
    Result,
    image::Image,
    member::{Member, MemberStatus},
    store::{Store, Viewer},
    testing::builders::{an_image, at, cause, project},
};
use store_diesel::{Config, DieselStore, migrate, migrate_from};
use testbed::{Database, Postgres, patience};

mod initial;

const WRITERS: usize = 4;
/// Changes of all writers before a migration starts, and after it has ended.
const ENOUGH: usize = 40;
const PATIENCE: Duration = Duration::from_secs(120);

/// What became of migrations under load.
#[derive(Debug)]
struct Outcome {
    /// How many were applied.
    migrated: std::result::Result<usize, String>,
    /// Changes that failed.
    failed: Vec<String>,
    /// Transactions that were open when a migration began to wait.
    met: usize,
}

impl Outcome {
    fn is_well(&self) -> bool {
        self.migrated.is_ok() && self.failed.is_empty()
    }
}

struct Load<'a> {
    store: &'a dyn Store,
    is_over: AtomicBool,
    changes: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

impl Load<'_> {
    /// Changes an image of its own, and its members, until it is over.
    fn write(&self, mut image: Image) {
        let member = project("member");
        let mut round = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            round += 1;
            let cause = cause(round);
            self.note(self.store.write(image.id, &cause, |tx| {
                tx.insert_member(&Member::offered(image.id, member.clone(), at(round)))
            }));
            self.note(self.store.set_status(&image.access(), &member, MemberStatus::Accepted, &cause));
            image.name = Some(format!("poster-{round}"));
            self.note(self.store.write(image.id, &cause, |tx| tx.update_image(&image)));
            self.note(self.store.delete_member(&image.access(), &member, &cause));
        }
    }

    fn note<T>(&self, done: Result<T>) {
        match done {
            Ok(_) => drop(self.changes.fetch_add(1, Ordering::Relaxed)),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                let failed = format!("{error} {}", cause.unwrap_or_default());
                self.failed.lock().expect("no panic").push(failed);
                // A failure that repeats says no more.
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn more_changes(&self) {
        let enough = self.changes.load(Ordering::Relaxed) + ENOUGH;
        let is_failing = || !self.failed.lock().expect("no panic").is_empty();
        patience::until("changes", PATIENCE, || {
            (self.changes.load(Ordering::Relaxed) >= enough || is_failing()).then_some(())
        });
    }

    /// A change that has begun when the migration comes, and goes on when that waits for it.
    fn be_in_the_way(&self, image: &Image, round: i64, waits: impl Fn() -> bool) -> bool {
        let mut has_met = false;
        let cause = cause(1_000_000 + round);
        let mut change = || -> Result<()> {
            let mut tx = self.store.begin(image.id, &cause)?;
            tx.image(Viewer::ADMIN)?;
            has_met = patience::within(Duration::from_millis(500), || waits().then_some(())).is_some();
            tx.update_image(&Image { name: Some(format!("slow-{round}")), ..image.clone() })?;
            tx.insert_member(&Member::offered(image.id, project(&format!("guest-{round}")), cause.at))?;
            tx.commit()
        };
        let done = change();
        self.note(done);
        has_met
    }
}

/// A catalogue with the schema of this program, in use, to which `migrate` is done.
fn under_load(database: &Database<'_>, run: impl Fn(&Config) -> Result<usize> + Sync) -> Outcome {
    let mut config = Config::parse(database.url()).expect("a URL");
    config.pool_size = 8;
    let store = DieselStore::open(&config).expect("a store");
    let store: &dyn Store = &store;
    let images: Vec<Image> = (0..=WRITERS).map(|_| an_image("owner")).collect();
    for image in &images {
        store.write(image.id, &cause(0), |tx| tx.insert_image(image)).expect("an image");
    }
    let load = Load { store, is_over: false.into(), changes: 0.into(), failed: Mutex::default() };
    let migrating = Config::parse(&format!("{}?application_name=migrating", database.url())).expect("a URL");
    let is_waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'migrating' \
                      AND wait_event_type = 'Lock' AND datname = current_database()";
    let (migrated, met) = thread::scope(|scope| {
        let (slow, quick) = images.split_last().expect("images");
        for image in quick {
            scope.spawn(|| load.write(image.clone()));
        }
        load.more_changes();
        let migration = scope.spawn(|| run(&migrating).map_err(|error| format!("{error:?}")));
        let waits = || migration.is_finished() || database.query(is_waiting) != ["0"];
        let (mut round, mut met) = (0, 0);
        while !migration.is_finished() {
            round += 1;
            met += usize::from(load.be_in_the_way(slow, round, waits) && !migration.is_finished());
        }
        let migrated = migration.join().expect("no panic");
        load.more_changes();
        load.is_over.store(true, Ordering::Relaxed);
        (migrated, met)
    });
    Outcome { migrated, met, failed: load.failed.into_inner().expect("no panic") }
}

fn migrated(database: &Database<'_>) {
    migrate(&Config::parse(database.url()).expect("a URL"), &mut |_| ()).expect("a schema");
}

/// A folder with one migration: its name, its SQL, and whether that is a transaction.
fn add(folder: &Path, name: &str, sql: &str, in_transaction: bool) {
    let migration = folder.join(name);
    fs::create_dir_all(&migration).expect("a folder");
    fs::write(migration.join("up.sql"), sql).expect("a file");
    if !in_transaction {
        fs::write(migration.join("metadata.toml"), "run_in_transaction = false\n").expect("a file");
    }
}

fn example_under_load(migrations: &[(&str, &str, bool)]) -> (Outcome, Vec<String>) {
    let (postgres, folder) = (Postgres::shared(), tempfile::tempdir().expect("a folder"));
    let database = postgres.database();
    migrated(&database);
    for (name, sql, in_transaction) in migrations {
        add(folder.path(), name, sql, *in_transaction);
    }
    let outcome = under_load(&database, |config| migrate_from(config, folder.path(), &mut |_| ()));
    let valid = "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid \
                 WHERE indisvalid AND relname = 'images_by_disk'";
    (outcome, database.query(valid))
}

#[test]
fn migrations_after_the_initial_ones_fail_no_change() {
    let later = initial::later("../../migrations/postgres");
    let (database, folder) = (Postgres::shared().database(), tempfile::tempdir().expect("a folder"));
    for name in initial::present("../../migrations/postgres") {
        let sql =
            fs::read_to_string(format!("../../migrations/postgres/{name}/up.sql")).expect("a migration");
        add(folder.path(), &name, &sql, true);
    }
    let config = Config::parse(database.url()).expect("a URL");
    migrate_from(&config, folder.path(), &mut |_| ()).expect("the first schema");
    // The changes are made by this program. Where its statements need what a later migration adds, those of the release before
    // have to make them: `two-versions` in docs/reliability.md has an older program for that.
    // As long as there is no later one, this says that migrating a schema that is up to date is in nobody's way.
    let outcome = under_load(&database, |config| migrate(config, &mut |_| ()));
    assert_eq!(outcome.migrated, Ok(later.len()), "{outcome:?}");
    assert!(outcome.is_well(), "{outcome:?}");
}

#[test]
fn a_column_and_an_index_are_added_under_load() {
    let (outcome, indexes) = example_under_load(&[
        ("9001_disk", "ALTER TABLE images ADD COLUMN disk text COLLATE \"C\";", true),
        (
            "9002_index_images_by_disk",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS images_by_disk ON images (disk, id);",
            false,
        ),
    ]);
    assert!(outcome.is_well() && outcome.migrated == Ok(2), "{outcome:?}");
    assert!(outcome.met > 0, "no migration met a change that was under way: {outcome:?}");
    assert_eq!(indexes, ["images_by_disk"]);
}

/// As 0002_list_indexes once was: it held changes off, and then wanted more.
#[test]
fn a_migration_that_wants_a_stronger_lock_later_is_noticed() {
    let sql = "CREATE INDEX images_by_disk ON images (min_disk, id); DROP INDEX images_by_name;";
    // That index is there or not, as the schema goes; a second one of the same table serves as well.
    let sql =
        format!("CREATE INDEX IF NOT EXISTS images_by_name ON images (min_ram); SELECT pg_sleep(1); {sql}");
    let (outcome, _) = example_under_load(&[("9001_indexes", &sql, true)]);
    assert!(!outcome.is_well(), "{outcome:?}");
    let said = format!("{outcome:?}");
    eprintln!("{said}");
    assert!(said.contains("deadlock detected") || said.contains("timeout"), "{said}");
}

#[test]
fn a_migration_that_holds_changes_off_for_long_is_noticed() {
    // As long as an index of a large table takes, and longer than a change waits.
    let sql = "CREATE INDEX images_by_disk ON images (min_disk, id); SELECT pg_sleep(7);";
    let (outcome, _) = example_under_load(&[("9001_indexes", sql, true)]);
    assert!(!outcome.failed.is_empty() && outcome.failed[0].contains("lock timeout"), "{outcome:?}");
}

/// A connection that ends half-way leaves an index behind that no query uses and that `IF NOT EXISTS` takes for made.
#[test]
fn an_index_that_was_left_half_made_is_made_anew() {
    let (database, folder) = (Postgres::shared().database(), tempfile::tempdir().expect("a folder"));
    migrated(&database);
    let (name, sql) = (
        "9001_index_images_by_disk",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS images_by_disk ON images (min_disk, id);",
    );
    add(folder.path(), name, sql, false);
    let config = Config::parse(&format!("{}?application_name=migrating", database.url())).expect("a URL");
    let store = DieselStore::open(&Config::parse(database.url()).expect("a URL")).expect("a store");
    let store: &dyn Store = &store;
    let image = an_image("owner");
    store.write(image.id, &cause(0), |tx| tx.insert_image(&image)).expect("an image");
    let is_there = |valid: &str| {
        let found = "SELECT count(*) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid \
                     WHERE relname = 'images_by_disk' AND ";
        database.query(&format!("{found}{valid}")) == ["1"]
    };
    thread::scope(|scope| {
        // A change that is under way keeps it from its end.
        let mut under_way = store.begin(image.id, &cause(1)).expect("a change");
        under_way
            .update_image(&Image { name: Some("poster".to_owned()), ..image.clone() })
            .expect("a change");
        let migration = scope.spawn(|| migrate_from(&config, folder.path(), &mut |_| ()));
        patience::until("a half-made index", PATIENCE, || is_there("NOT indisvalid").then_some(()));
        database.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name = 'migrating' AND datname = current_database()",
        );
        migration.join().expect("no panic").expect_err("its connection was ended");
        under_way.commit().expect("the change");
    });
    assert!(is_there("NOT indisvalid"));
    assert_eq!(migrate_from(&config, folder.path(), &mut |_| ()).expect("once more"), 1);
    assert!(is_there("indisvalid"));
    // Made, but ended before that was written down: also then it goes on.
    database.query(&format!("DELETE FROM __diesel_schema_migrations WHERE version = '{}'", &name[..4]));
    assert_eq!(migrate_from(&config, folder.path(), &mut |_| ()).expect("once more"), 1);
    assert!(is_there("indisvalid"));
}
