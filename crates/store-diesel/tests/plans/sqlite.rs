//! SQLite's plans: each part of a list is a search in an index.

use core_domain::{
    image::{ImageId, Visibility},
    listing::{Direction, Listing, SortKey},
    store::Store,
    testing::builders::an_image,
};
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection, sql_query, sql_types::Text};
use store_diesel::{Config, DieselStore, migrate};

use crate::{
    listings::{admins, after, all, inbox, named, only, page, sorted, with_ids},
    told,
};

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

/// The plan of the one statement that answers each listing.
fn plans(listings: &[Listing]) -> Vec<String> {
    told::listen();
    let directory = tempfile::tempdir().expect("a directory");
    let config =
        Config::parse(&format!("sqlite://{}/records.db", directory.path().display())).expect("a URL");
    migrate(&config, &mut |_| ()).expect("a schema");
    let store = DieselStore::open(&config).expect("a store");
    let mut sqlite = SqliteConnection::establish(&config.location()).expect("the file");
    let mut plan = |listing: &Listing| {
        let told = told::during(|| drop(store.images(listing).expect("a list")));
        let [statement] = told.run.as_slice() else { panic!("one statement, not {:?}", told.run) };
        let steps = sql_query(format!("EXPLAIN QUERY PLAN {statement}")).load(&mut sqlite);
        let steps: Vec<Step> = steps.expect("a plan");
        steps.into_iter().map(|step| step.detail).collect::<Vec<_>>().join("\n")
    };
    listings.iter().map(&mut plan).collect()
}

#[test]
fn a_list_by_creation_comes_in_the_order_of_indexes() {
    let image = an_image("p");
    let listings = [
        page("p"),
        inbox("p"),
        after(&image, page("p")),
        all(page("p")),
        only(Visibility::Private, page("p")),
        only(Visibility::Public, page("p")),
        admins(),
        after(&image, all(admins())),
    ];
    for plan in plans(&listings) {
        // The order of a part would be a step within it, before the part is read.
        let parts: Vec<&str> = plan.split("CO-ROUTINE part\n").skip(1).collect();
        assert!(!parts.is_empty(), "{plan}");
        for part in parts {
            let (read, _) = part.split_once("SCAN part").expect("the part's end");
            assert!(
                read.starts_with("SEARCH") && !read.contains("SCAN") && !read.contains("B-TREE"),
                "{plan}"
            );
        }
    }
}

#[test]
fn a_marker_is_where_the_search_begins() {
    let image = an_image("p");
    for plan in plans(&[after(&image, page("p")), after(&image, all(admins()))]) {
        assert!(plan.contains("(created_at,id)<(?,?)"), "{plan}");
        let searches = plan.lines().filter(|line| line.starts_with("SEARCH") && line.contains("hidden=?"));
        assert!(
            searches.clone().count() > 0 && searches.clone().all(|line| line.contains("<(?,?)")),
            "{plan}"
        );
    }
}

#[test]
fn names_and_ids_are_found_by_index() {
    let listings = [
        named("n", page("p")),
        sorted(SortKey::Name, Direction::Asc, page("p")),
        with_ids(&[ImageId::random()], page("p")),
    ];
    let [name, by_name, id] = <[String; 3]>::try_from(plans(&listings)).expect("three");
    assert!(name.contains("images_by_name (visibility=? AND hidden=? AND <expr>=?)"), "{name}");
    assert!(
        name.contains("images_by_owner_and_name (owner=? AND visibility=? AND hidden=? AND <expr>=?)"),
        "{name}"
    );
    assert!(by_name.contains("images_by_name") && by_name.contains("images_by_owner_and_name"), "{by_name}");
    assert!(!id.contains("images_by_") && id.contains("SEARCH images USING PRIMARY KEY (id=?)"), "{id}");
    for plan in [name, by_name, id] {
        assert!(!plan.contains("SCAN image_"), "{plan}");
    }
}
