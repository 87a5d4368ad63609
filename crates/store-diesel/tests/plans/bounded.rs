//! The text of the statements that answer a list, and the number of their parameters, do not grow with what a client sends.

use core_domain::{
    image::ImageId,
    listing::{Direction, Listing, SortKey},
    store::Store,
    testing::builders::an_image,
};
use store_diesel::{Config, DieselStore, migrate};
use testbed::Postgres;

use crate::{
    listings::{after, all, page},
    told,
};

/// A list that filters by this many values of every filter that takes several.
fn filtered(values: usize) -> Listing {
    let texts = |what: &str| -> Vec<String> { (0..values).map(|n| format!("{what} {n}")).collect() };
    Listing {
        ids: (0..values).map(|_| ImageId::random()).collect(),
        names: texts("name"),
        container_formats: texts("container"),
        disk_formats: texts("disk"),
        tags: texts("tag"),
        properties: texts("property").into_iter().map(|name| (name, "value".to_owned())).collect(),
        ..all(page("p"))
    }
}

/// The same without ids, names and formats: Postgres looks first how many images there are like that.
fn matching(values: usize) -> Listing {
    let Listing { tags, properties, .. } = filtered(values);
    Listing { tags, properties, ..all(page("p")) }
}

/// A list after a marker whose sort keys are repeated, their directions in turn.
fn ordered(keys: usize) -> Listing {
    let keys =
        [SortKey::Name, SortKey::Status, SortKey::DiskFormat, SortKey::ContainerFormat, SortKey::UpdatedAt]
            .into_iter()
            .cycle()
            .zip([Direction::Asc, Direction::Desc].into_iter().cycle())
            .take(keys);
    Listing { sort: keys.collect(), ..after(&an_image("p"), page("p")) }
}

fn bounded(store: &dyn Store) {
    let texts = |listing: &Listing| told::during(|| drop(store.images(listing).expect("a list"))).run;
    let text = |listing: &Listing| {
        let run = texts(listing);
        let [statement] = run.as_slice() else { panic!("one statement, not {run:?}") };
        statement.clone()
    };
    let few = text(&filtered(2));
    assert_eq!(few, text(&filtered(16)));
    // More than either database takes parameters, if each value were one.
    assert_eq!(few, text(&filtered(1_000)));
    assert_eq!(few, text(&filtered(40_000)));

    let few = texts(&matching(2));
    assert!(few.len() <= 3, "{few:?}");
    for values in [16, 1_000, 40_000] {
        assert_eq!(few, texts(&matching(values)));
    }

    let five = text(&ordered(5));
    assert_eq!(five, text(&ordered(10_000)), "a key counts once");
    assert!(five.len() < 10_000, "{} bytes", five.len());
}

#[test]
fn a_list_takes_statements_of_one_length_in_postgres() {
    told::listen();
    let database = Postgres::shared().database();
    let config = Config::parse(database.url()).expect("a URL");
    migrate(&config, &mut |_| ()).expect("a schema");
    bounded(&DieselStore::open(&config).expect("a store"));
}

#[test]
fn a_list_takes_statements_of_one_length_in_sqlite() {
    told::listen();
    let directory = tempfile::tempdir().expect("a directory");
    let config =
        Config::parse(&format!("sqlite://{}/records.db", directory.path().display())).expect("a URL");
    migrate(&config, &mut |_| ()).expect("a schema");
    bounded(&DieselStore::open(&config).expect("a store"));
}
