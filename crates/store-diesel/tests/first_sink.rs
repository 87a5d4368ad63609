//! The first sink of a service that is at work.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

use std::time::Duration;

use core_domain::{
    Result,
    event::Change,
    image::ImageId,
    outbox::{Delivery, Outbox},
    store::Store,
    testing::builders::{an_image, cause},
};
use store_diesel::{Config, DieselStore, migrate};
use testbed::Postgres;

const LONG: Duration = Duration::from_secs(60);

#[test]
fn what_is_committed_after_the_first_sink_came_is_told_though_its_number_is_smaller() -> Result<()> {
    let database = Postgres::shared().database();
    let config = Config::parse(database.url())?;
    migrate(&config, &mut |_| ()).expect("a schema");
    let store = DieselStore::open(&config)?;
    let store: &dyn Store = &store;
    let [slow, quick, later] = ["owner", "owner", "owner"].map(an_image);
    // It has its event, and the event its number.
    let mut under_way = store.begin(slow.id, &cause(1))?;
    under_way.insert_image(&slow)?;
    store.write(quick.id, &cause(2), |tx| tx.insert_image(&quick))?;

    let outbox = DieselStore::open(&config)?;
    let lease = outbox.lease("sink", "one", LONG)?.expect("the lease");
    under_way.commit()?;
    store.write(later.id, &cause(3), |tx| tx.insert_image(&later))?;
    let told = outbox.claim(&lease, 10)?.expect("still the lease").deliveries;
    let images: Vec<ImageId> = told.iter().map(|delivery| delivery.event.image).collect();
    assert_eq!(images, [slow.id, later.id]);
    assert!(told[0].event.number < told[1].event.number);
    // When that was made, nobody wanted the record.
    let has_record =
        |delivery: &Delivery| matches!(delivery.event.change, Change::Image { image: Some(_), .. });
    assert_eq!(told.iter().map(has_record).collect::<Vec<_>>(), [false, true]);
    Ok(())
}
