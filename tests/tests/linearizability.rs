//! Whether memberships behave as if every call happened at once, at some moment between its request and its answer: the
//! attack of `testbed::attack::history` through two services on one Postgres.
//!
//! `VITRINE_TEST_SEEDS` (three) runs of ten thousand calls each; a failure names its seed.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]

use std::sync::Arc;

use testbed::attack::history::{Happened, Mix, Stage};
use testbed::{Database, Keystone, Postgres, Vitrine};
use tokio::task::block_in_place;

const CALLS: usize = 10_000;
const QUOTA: usize = 2;

fn services(database: &Database<'_>) -> [Vitrine; 2] {
    let (keystone, quota) = (Keystone::shared(), QUOTA.to_string());
    let service =
        || Vitrine::serve(database, keystone).with("VITRINE_LIMITS__MEMBERS_PER_IMAGE", &quota).start();
    [service(), service()]
}

fn stage(services: &[Vitrine; 2]) -> Arc<Stage> {
    let urls = [services[0].url().to_owned(), services[1].url().to_owned()];
    Arc::new(Stage::new(urls, Keystone::shared(), Mix::Everything, CALLS))
}

fn seeds() -> u64 {
    std::env::var("VITRINE_TEST_SEEDS")
        .map_or(3, |seeds| seeds.parse().expect("VITRINE_TEST_SEEDS: a number"))
}

/// Whether a call that was not answered happened, and when, is for the check to find out: of many it never would.
fn assert_few_are_lost(happened: &Happened) {
    let lost = happened.unanswered();
    assert!(lost <= CALLS / 100, "{lost} of {CALLS} calls were not answered, or with a 5xx");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_through_two_services_are_explained_by_an_order() {
    let database = Postgres::shared().database();
    let services = block_in_place(|| services(&database));
    let stage = block_in_place(|| stage(&services));
    for seed in 1..=seeds() {
        let happened = stage.run(seed).await;
        assert_few_are_lost(&happened);
        let answered = happened.len();
        assert!(answered >= (CALLS - 12) * 2, "seed {seed}: {answered}");
        let unexplained = block_in_place(|| happened.unexplained::<QUOTA>());
        assert!(unexplained.is_empty(), "seed {seed}: no order explains images {unexplained:?}");
    }
}

/// The check itself is checked: on a database that has lost its unique key it must fail. Losing it alone changes nothing, for
/// who adds a member holds the image as well; so every tenth addition is made twice, which the key would not let happen. They are
/// counted, not drawn: by chance there could be none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_are_there_twice_without_a_unique_key_are_noticed() {
    let database = Postgres::shared().database();
    let services = block_in_place(|| services(&database));
    let stage = block_in_place(|| stage(&services));
    block_in_place(|| {
        database.query(
            "ALTER TABLE image_members DROP CONSTRAINT image_members_pkey; \
             CREATE SEQUENCE additions; \
             CREATE FUNCTION twice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF pg_trigger_depth() = 1 AND nextval('additions') % 10 = 0 THEN \
                     INSERT INTO image_members SELECT NEW.*; END IF; RETURN NULL; \
             END $$; \
             CREATE TRIGGER twice AFTER INSERT ON image_members FOR EACH ROW EXECUTE FUNCTION twice()",
        )
    });
    let happened = stage.run(1).await;
    assert_few_are_lost(&happened);
    let doubled = block_in_place(|| database.query("SELECT last_value / 10 FROM additions"));
    assert_ne!(doubled, ["0"], "no addition was made twice");
    let unexplained = block_in_place(|| happened.unexplained::<QUOTA>());
    assert!(!unexplained.is_empty(), "every image's history was explained");
}
