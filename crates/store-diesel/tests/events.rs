//! What events keep, and events that cannot be read.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

use std::time::Duration;

use core_domain::{
    event::{Attribute, Change},
    image::Image,
    member::{Member, MemberStatus},
    outbox::{Claim, Lease, Outbox},
    store::{Store, Viewer},
    testing::builders::{an_image, at, cause, project},
};
use diesel::{
    Connection as _, PgConnection, SqliteConnection, connection::SimpleConnection, prelude::*, sql_query,
};
use store_diesel::{Config, DieselStore, migrate};
use testbed::Postgres;

const LONG: Duration = Duration::from_secs(60);

#[derive(diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    value: i64,
}

/// SQL beside the store.
enum Sql {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Sql {
    fn run(&mut self, sql: &str) {
        match self {
            Self::Postgres(postgres) => postgres.batch_execute(sql),
            Self::Sqlite(sqlite) => sqlite.batch_execute(sql),
        }
        .expect(sql);
    }

    /// The one number that a query of this expression and the rest gives.
    fn number(&mut self, expression: &str, rest: &str) -> i64 {
        let query = sql_query(format!("SELECT CAST({expression} AS bigint) AS value {rest}"));
        let row: Number = match self {
            Self::Postgres(postgres) => query.get_result(postgres),
            Self::Sqlite(sqlite) => query.get_result(sqlite),
        }
        .expect("a number");
        row.value
    }
}

/// Runs a case on an empty store of either database.
fn with_both(case: impl Fn(&Config, &DieselStore, &mut Sql)) {
    let database = Postgres::shared().database();
    let config = Config::parse(database.url()).expect("a URL");
    migrate(&config, &mut |_| ()).expect("a schema");
    let sql = PgConnection::establish(database.url()).expect("a connection");
    case(&config, &DieselStore::open(&config).expect("a store"), &mut Sql::Postgres(sql));

    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("records.db");
    let config = Config::parse(&format!("sqlite://{}", path.display())).expect("a URL");
    migrate(&config, &mut |_| ()).expect("a schema");
    let mut sqlite = SqliteConnection::establish(&path.display().to_string()).expect("the file");
    sqlite.batch_execute("PRAGMA busy_timeout = 10000").expect("patience");
    case(&config, &DieselStore::open(&config).expect("a store"), &mut Sql::Sqlite(sqlite));
}

fn keep(store: &dyn Store, image: &Image) {
    store.write(image.id, &cause(1), |tx| tx.insert_image(image)).expect("an image");
}

fn lease(store: &DieselStore) -> Lease {
    store.lease("sink", "one", LONG).expect("an answer").expect("the lease")
}

fn claim(store: &DieselStore, lease: &Lease, most: usize) -> Claim {
    store.claim(lease, most).expect("an answer").expect("still the lease")
}

#[test]
fn records_are_kept_in_events_only_while_a_sink_is_configured() {
    with_both(|config, store, sql| {
        let properties = (0..4).map(|number| (format!("p{number}"), "x".repeat(64 << 10))).collect();
        let mut image = Image { properties, ..an_image("owner") };
        let mut tags = 0;
        // Adds a tag, and says how many bytes the event of that takes and whether it has the record.
        let mut tagged = |by: &DieselStore, sql: &mut Sql| {
            tags += 1;
            image.tags.insert(format!("tag{tags}"));
            let by: &dyn Store = by;
            by.write(image.id, &cause(2), |tx| {
                if tx.image(Viewer::ADMIN)?.is_none() {
                    tx.insert_image(&image)
                } else {
                    tx.update_image(&image)
                }
            })
            .expect("a change");
            let last = "FROM events ORDER BY number DESC LIMIT 1";
            (sql.number("bytes", last), sql.number("CASE WHEN image IS NULL THEN 0 ELSE 1 END", last) == 1)
        };
        tagged(store, sql);
        for _ in 0..2 {
            let (bytes, has_record) = tagged(store, sql);
            assert!(bytes < 1024 && !has_record, "{bytes} bytes");
        }
        let is_tags = "CASE WHEN changed = '[\"tags\"]' THEN 1 ELSE 0 END";
        assert_eq!(sql.number(is_tags, "FROM events ORDER BY number DESC LIMIT 1"), 1);

        // A sink of another server is a sink of this one too, held or not.
        let other = DieselStore::open(config).expect("a store");
        let held = lease(&other);
        let (bytes, has_record) = tagged(store, sql);
        assert!(bytes > 256 << 10 && has_record, "{bytes} bytes");
        other.release(&held).expect("an answer");
        assert!(tagged(store, sql).1);

        // One that no server has leased for more than a week is configured nowhere.
        let now = if config.is_embedded() { "unixepoch()" } else { "extract(epoch FROM now())" };
        for (days, has_record) in [(6, true), (8, false)] {
            sql.run(&format!("UPDATE event_sinks SET leased_until = {now} - {days} * 86400"));
            assert_eq!(tagged(store, sql).1, has_record, "{days} days");
        }
        // Back again, it gets what there is of what happened meanwhile.
        let held = lease(&other);
        let told: Vec<(bool, bool)> = claim(&other, &held, 10)
            .deliveries
            .into_iter()
            .map(|delivery| match delivery.event.change {
                Change::Image { changed, image, .. } => {
                    (changed == [Attribute::Tags].into(), image.is_some())
                }
                Change::Member { .. } => panic!("no member was changed"),
            })
            .collect();
        assert_eq!(told, [(true, true), (true, true), (true, true), (true, false)]);
    });
}

#[test]
fn events_that_cannot_be_read_become_dead_letters_and_hold_up_no_other() {
    with_both(|config, store, sql| {
        let held = lease(store);
        let image = an_image("owner");
        keep(store, &image);
        for (second, name) in (2..).zip(["p", "q", "r"]) {
            let member = Member::offered(image.id, project(name), at(second));
            let write = store as &dyn Store;
            write.write(image.id, &cause(second), |tx| tx.insert_member(&member)).expect("a member");
        }
        for _ in 0..8 {
            keep(store, &an_image("owner"));
        }
        let mut numbers = Vec::new();
        for offset in 0..12 {
            numbers
                .push(sql.number("number", &format!("FROM events ORDER BY number LIMIT 1 OFFSET {offset}")));
        }
        // The first two, some in the middle, the last.
        let mut damage = vec![
            (0, "image = 'no JSON \u{1b}[2J'"),
            (1, "new_status = 'perhaps'"),
            (3, "member_id = ''"),
            (5, "changed = '[\"colour\"]'"),
            (6, "image = '{}'"),
            (11, "changed = 'tags'"),
        ];
        if config.is_embedded() {
            damage.push((8, "at = 'yesterday'"));
            damage.push((9, "id = 'xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx'"));
        }
        let mut bad = Vec::new();
        for (index, set) in damage {
            sql.run(&format!("UPDATE events SET {set} WHERE number = {}", numbers[index]));
            bad.push(numbers[index]);
        }
        bad.sort_unstable();
        let good: Vec<i64> = numbers.iter().copied().filter(|number| !bad.contains(number)).collect();

        // Two at a time, so that there are claims with nothing but what cannot be read.
        let (mut told, mut unreadable) = (Vec::new(), Vec::new());
        for _ in 0..24 {
            let Claim { deliveries, unreadable: bad } = claim(store, &held, 2);
            assert!(bad.iter().all(|one| one.why.starts_with("the event cannot be read: ")), "{bad:?}");
            unreadable.extend(bad.iter().map(|one| one.number));
            if let Some(last) = deliveries.last() {
                assert!(store.settle(&held, last.place).expect("an answer"));
            }
            told.extend(deliveries.iter().map(|delivery| delivery.event.number));
        }
        assert_eq!(told, good);
        unreadable.sort_unstable();
        unreadable.dedup();
        assert_eq!(unreadable, bad);
        assert_eq!(store.backlog("sink").expect("a look").events, 0);

        let letters = store.dead_letters("sink", 0, 100).expect("a look");
        assert_eq!(letters.iter().map(|letter| letter.number).collect::<Vec<_>>(), bad);
        assert!(letters.iter().all(|letter| letter.event.is_none() && !letter.why.is_empty()));
        assert!(letters.iter().all(|letter| letter.why.chars().count() < 400));
        // Mended, it is an event again.
        sql.run(&format!("UPDATE events SET new_status = 'pending' WHERE number = {}", bad[1]));
        let mended = store.dead_letters("sink", bad[0], 1).expect("a look").remove(0);
        let Some(Change::Member { new, .. }) = mended.event.map(|event| event.change) else {
            panic!("{}", mended.why)
        };
        assert_eq!(new, Some(MemberStatus::Pending));
        for number in bad {
            assert!(store.exhume("sink", number).expect("an answer"));
        }
        assert_eq!(store.dead_letters("sink", 0, 100).expect("a look"), []);
    });
}

#[test]
fn a_reason_that_repeats_a_long_text_is_cut() {
    with_both(|_, store, sql| {
        let held = lease(store);
        keep(store, &an_image("owner"));
        let text = "x".repeat(100_000);
        sql.run(&format!("UPDATE events SET changed = '\"{text}\"'"));
        let unreadable = claim(store, &held, 1).unreadable;
        assert_eq!(unreadable.len(), 1);
        assert!(unreadable[0].why.len() < 400, "{}", unreadable[0].why.len());
    });
}

#[test]
fn an_image_with_seventy_thousand_members_can_be_deleted() {
    const MEMBERS: i64 = 70_000;
    let database = Postgres::shared().database();
    let mut config = Config::parse(database.url()).expect("a URL");
    // However busy the machine: this is about what fits into a statement.
    config.statement_timeout = Duration::from_secs(300);
    migrate(&config, &mut |_| ()).expect("a schema");
    let store = DieselStore::open(&config).expect("a store");
    let image = an_image("owner");
    keep(&store, &image);
    let write: &dyn Store = &store;
    let first = Member::offered(image.id, project("a"), at(0));
    write.write(image.id, &cause(1), |tx| tx.insert_member(&first)).expect("a member");
    database.query(&format!(
        "INSERT INTO image_members SELECT (jsonb_populate_record(member, jsonb_build_object('member_id', 'p' || n))).* \
         FROM image_members AS member, generate_series(2, {MEMBERS}) AS n"
    ));
    write.write(image.id, &cause(2), |tx| tx.delete_image()).expect("a deletion");
    let ended = "SELECT count(*), count(DISTINCT member_id) FROM events WHERE deed = 'delete' AND member_id IS NOT NULL";
    assert_eq!(database.query(ended), [format!("{MEMBERS}|{MEMBERS}")]);
    assert_eq!(database.query("SELECT count(*) FROM image_members"), ["0"]);
    let order = "SELECT count(*) FROM (SELECT member_id, lag(member_id) OVER (ORDER BY number) AS before FROM events \
                 WHERE deed = 'delete' AND member_id IS NOT NULL) AS pairs WHERE member_id <= before";
    assert_eq!(database.query(order), ["0"]);
}
