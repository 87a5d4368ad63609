//! Rounds on Postgres: one statement, in which nobody waits for somebody else's lock.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

use std::time::{Duration, Instant};

use core_domain::{
    Result,
    member::{Member, MemberStatus},
    store::{StatusChange, Store},
    testing::builders::{an_image, at, cause, project},
};
use store_diesel::{Config, DieselStore, migrate};
use testbed::Postgres;

#[test]
fn a_membership_that_somebody_holds_keeps_no_other_waiting() -> Result<()> {
    let database = Postgres::shared().database();
    let mut config = Config::parse(database.url())?;
    config.lock_timeout = Duration::from_secs(60);
    config.statement_timeout = Duration::from_secs(60);
    config.idle_in_transaction_timeout = Duration::from_secs(120);
    migrate(&config, &mut |_| ()).expect("a schema");
    let store = DieselStore::open(&config)?;
    let store: &dyn Store = &store;
    let images = ["owner", "owner", "owner"].map(an_image);
    for image in &images {
        store.write(image.id, &cause(0), |tx| {
            tx.insert_image(image)?;
            tx.insert_member(&Member::offered(image.id, project("p"), at(1)))
        })?;
    }
    let (seen, member) = (images.each_ref().map(|image| image.access()), project("p"));
    let accepted = cause(2);
    let changes = seen.each_ref().map(|seen| StatusChange {
        seen,
        member: &member,
        status: MemberStatus::Accepted,
        cause: &accepted,
    });

    // Whoever deletes an image holds its memberships until the end.
    let mut deletion = store.begin(images[1].id, &cause(0))?;
    deletion.delete_image()?;
    let start = Instant::now();
    let answers = store.set_statuses(&changes)?;
    assert!(start.elapsed() < Duration::from_secs(30), "it waited for {:?}", start.elapsed());
    assert_eq!(answers.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);

    drop(deletion);
    let answers = store.set_statuses(&changes)?;
    assert!(answers.iter().all(Option::is_some));
    Ok(())
}
