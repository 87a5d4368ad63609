//! The answer to a viewer that does not see an image reads nothing of what makes the image large.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

use std::time::Duration;

use core_domain::{
    Context, Error, Result, Rules,
    catalog::{self, Edit, NewImage},
    error::Conflict,
    image::{Image, ImageId, Visibility},
    project::ProjectId,
    sharing,
    store::{Batched, Store, Viewer},
    testing::builders::{an_image, at, caller, cause, project},
};
use store_diesel::{Config, DieselStore, migrate};
use testbed::{Database, Postgres, patience};

const LOOKS: u64 = 40;

/// A private and protected image whose tags and properties Postgres keeps outside the row: ids are as good as random to a compressor.
fn fat() -> Image {
    let noise = |count: usize| (0..count).map(|_| ImageId::random().to_string()).collect::<String>();
    Image {
        visibility: Visibility::Private,
        protected: true,
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

/// A database that has the image.
fn with(image: &Image) -> Database<'static> {
    let database = Postgres::shared().database();
    let config = Config::parse(database.url()).expect("a URL");
    migrate(&config, &mut |_| ()).expect("a schema");
    let store = DieselStore::open(&config).expect("a store");
    (&store as &dyn Store).write(image.id, &cause(0), |tx| tx.insert_image(image)).expect("an image");
    database
}

#[test]
fn an_unseen_image_is_answered_without_its_tags_and_properties() {
    let image = fat();
    let database = with(&image);
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

#[test]
fn a_refused_change_of_an_unseen_image_reads_no_tags_and_properties() {
    let image = fat();
    let database = with(&image);
    let id = image.id;
    let tag = image.tags.first().expect("a tag").clone();
    type Call<'a> = &'a dyn Fn(Context<'_>, &dyn Store) -> Result<()>;
    let change = |cx: Context<'_>, store: &dyn Store, edit| catalog::change(cx, store, id, &[edit]).map(drop);
    let calls: [(&str, Call<'_>); 6] = [
        ("PATCH image", &|cx, store| change(cx, store, Edit::Name(image.name.clone()))),
        ("PUT tag", &|cx, store| change(cx, store, Edit::AddTag(tag.clone()))),
        ("DELETE tag", &|cx, store| change(cx, store, Edit::RemoveTag("no such tag".to_owned()))),
        ("DELETE image", &|cx, store| catalog::delete(cx, store, id)),
        ("POST image", &|cx, store| {
            catalog::create(cx, store, NewImage { id: Some(id), ..NewImage::default() }).map(drop)
        }),
        // For the owner, this one makes the image shared.
        ("POST member", &|cx, store| sharing::add(cx, store, id, &project("p")).map(drop)),
    ];
    let rules = Rules::default();
    for (what, call) in calls {
        let read = |who: &str| {
            let by = caller(who, &["member"]);
            let cx = Context { caller: &by, rules: &rules, now: at(1), request: "req-0" };
            large_values_read(&database, |store| {
                for _ in 0..LOOKS {
                    let is_refused = matches!(
                        call(cx, store),
                        Err(Error::NotFound(_) | Error::Conflict(Conflict::Image(_)))
                    );
                    assert!(is_refused || who == "owner", "{what}");
                }
            })
        };
        assert_eq!(read("stranger"), 0, "{what}");
        assert!(read("owner") >= LOOKS, "{what}: the image is not as large as it should be");
    }
}
