//! The schema changes while servers that do not know the change serve on.

use std::path::Path;

use super::lengths::Lengths;
use super::stage::{Setting, Stage};
use super::{Fault, Records, Struck, plain, small_pool, unnoticed};
use crate::postgres::Database;
use crate::vitrine::older;

pub(super) fn faults() -> Vec<Fault> {
    let expanded = plain(
        "schema-expanded",
        "a later release's migration that only adds, under load; then a server of this release starts",
        expand,
    );
    let versions = plain(
        "two-versions",
        "an older program serves; this one migrates under load, and replaces it replica by replica",
        exchange,
    );
    vec![unnoticed(expanded), Fault { records: Records::Older, setting: with_older, ..versions }]
}

fn with_older(_: &Database<'_>, _: &Path, _: Lengths) -> Setting {
    Setting { older: older(), ..small_pool() }
}

/// What a later release might add: a column with a default, a table, an index. Its mark is a later version than any.
const EXPAND: &str = "SET lock_timeout = '20s'; BEGIN; \
    ALTER TABLE image_members ADD COLUMN later text NOT NULL DEFAULT 'nothing'; \
    CREATE TABLE later_things (id bigint PRIMARY KEY); \
    INSERT INTO __diesel_schema_migrations (version) VALUES ('9001'); COMMIT";
/// What one after it might remove.
const CONTRACT: &str = "INSERT INTO __diesel_schema_migrations (version) VALUES ('9002c')";

fn expand(stage: &Stage<'_>) -> Struck {
    let mut struck = Struck::default();
    stage.database.query(EXPAND);
    stage.database.query("CREATE INDEX CONCURRENTLY later_index ON image_members (later)");
    std::thread::sleep(stage.lengths.fault / 2);
    // A replica of this release is started anew, as when its node is drained in the middle of the roll-out.
    super::replicas::exchange_one(stage, 1, &mut struck);
    std::thread::sleep(stage.lengths.fault / 2);
    // After a removal it must not start.
    stage.database.query(CONTRACT);
    let (status, said) = stage.launch(1).with("VITRINE_LISTEN", "127.0.0.1:0").end();
    struck.must(status == 1 && said.contains("9002c") && said.contains("newer"), || {
        format!("on a schema that lost something a server of before ends with {status}: {said}")
    });
    stage.database.query("DELETE FROM __diesel_schema_migrations WHERE version = '9002c'");
    struck
}

/// What an older program does when it is told to stop is its own: it may lose requests.
fn exchange(stage: &Stage<'_>) -> Struck {
    stage.upgrade();
    std::thread::sleep(stage.lengths.fault);
    for number in 0..2 {
        stage.take(number).stop();
        stage.start(number);
        std::thread::sleep(stage.lengths.fault);
    }
    Struck::default()
}
