//! The answer to a viewer that does not see an image reads nothing of what makes the image large.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

use std::time::Duration;

use core_domain::{
    image::{Image, ImageId, Visibility},
    project::ProjectId,
    store::{Batched, Store, Viewer},
    testing::builders::{an_image, cause, project},
};
use store_diesel::{Config, DieselStore, migrate};
use testbed::{Database, Postgres, patience};

const LOOKS: u64 = 40;

/// A private image whose tags and properties Postgres keeps outside the row: ids are as good as random to a compressor.
fn fat() -> Image {
    let noise = |count: usize| (0..count).map(|_| ImageId::random().to_string()).collect::<String>();
    Image {
        visibility: Visibility::Private,
        tags: (0..100).map(|_| noise(5)).collect(),
        properties: (0..20).map(|number| (number.to_string(), noise(100))).collect(),
        ..an_image("owner")
    }
}

/// Pages of large values that were read meanwhile, as Postgres counts them.
fn large_values_read(database: &Database<'_>, looks: impl Fn(&DieselStore)) -> u64 {
    database.query("SELECT pg_stat_reset()");
    let store = DieselStore::open(&Config::parse(database.url()).expect("a URL")).expect("a store");
    looks(&store);
    // A session reports what it counted at its end at the latest.
    drop(store);
    patience::until("the statistics", Duration::from_secs(60), || {
        let count = |of: &str| -> u64 {
            let sql = format!(
                "SELECT coalesce({of}_blks_hit, 0) + coalesce({of}_blks_read, 0) FROM pg_statio_user_tables WHERE relname = 'images'"
            );
            database.query(&sql).first().and_then(|count| count.parse().ok()).unwrap_or(0)
        };
        (count("heap") >= LOOKS).then(|| count("toast"))
    })
}

fn viewer(project: &ProjectId) -> Viewer<'_> {
    Viewer { project: Some(project), admin: false }
}

#[test]
fn an_unseen_image_is_answered_without_its_tags_and_properties() {
    let database = Postgres::shared().database();
    let config = Config::parse(database.url()).expect("a URL");
    migrate(&config, &mut |_| ()).expect("a schema");
    let image = fat();
    {
        let store = DieselStore::open(&config).expect("a store");
        let store: &dyn Store = &store;
        store.write(image.id, &cause(0), |tx| tx.insert_image(&image)).expect("an image");
    }
    let alone = |store: &DieselStore, project: &ProjectId| {
        for _ in 0..LOOKS {
            let found = store.image(image.id, viewer(project)).expect("a look").expect("the image");
            assert_eq!(found.image.is_some(), project.as_str() == "owner");
        }
    };
    let together = |store: &DieselStore, project: &ProjectId| {
        let asked = [(image.id, viewer(project)); 4];
        for _ in 0..LOOKS {
            let found = store.whole_images(&asked).expect("a look");
            let is_whole = |one: &Batched<Option<_>>| matches!(one, Batched::Answered(Some(_)));
            assert!(found.iter().all(is_whole));
        }
    };
    for look in [&alone as &dyn Fn(&DieselStore, &ProjectId), &together] {
        let read = |name| large_values_read(&database, |store| look(store, &project(name)));
        assert_eq!(read("stranger"), 0);
        assert!(read("owner") >= LOOKS, "the image is not as large as it should be");
    }
}
