//! Statements that a connection keeps prepared: few, whatever is asked.

use std::collections::BTreeSet;

use core_domain::{
    image::{ImageId, Visibility},
    listing::{Listing, MemberStatusFilter, VisibilityFilter},
    member::MemberStatus,
    store::Store,
    testing::builders::{an_image, project},
};
use store_diesel::{Config, DieselStore, migrate};

use crate::{
    listings::{named, page, with_ids},
    told,
};

/// Every mix of what most lists are made of.
fn common() -> Vec<Listing> {
    let mut all = Vec::new();
    for (name, admin) in [("p", false), ("q", false), ("p", true)] {
        for visibility in [VisibilityFilter::Unasked, VisibilityFilter::All]
            .into_iter()
            .chain(Visibility::ALL.map(VisibilityFilter::Only))
        {
            for member_status in
                [MemberStatusFilter::All].into_iter().chain(MemberStatus::ALL.map(MemberStatusFilter::Only))
            {
                for after in [None, Some(Box::new((&an_image("p")).into()))] {
                    for limit in (1..=1000).step_by(37) {
                        let listing = Listing::of(project(name), admin, limit);
                        all.push(Listing { visibility, member_status, after: after.clone(), ..listing });
                    }
                }
            }
        }
    }
    all
}

#[test]
fn a_connection_keeps_few_statements_however_many_lists_are_asked_for() {
    told::listen();
    let directory = tempfile::tempdir().expect("a directory");
    let config =
        Config::parse(&format!("sqlite://{}/records.db", directory.path().display())).expect("a URL");
    migrate(&config, &mut |_| ()).expect("a schema");
    let store = DieselStore::open(&config).expect("a store");
    let ask = |listing: &Listing| drop(store.images(listing).expect("a list"));

    let told = told::during(|| common().iter().for_each(ask));
    let kept: BTreeSet<String> = told.kept.into_iter().collect();
    assert!(told.run.len() > 3_000 && kept.len() <= 80, "{} of {}", kept.len(), told.run.len());

    // What has values in any number, or is planned for them, is not kept at all.
    let told = told::during(|| {
        for number in 1..50 {
            let ids: Vec<ImageId> = (0..number).map(|_| ImageId::random()).collect();
            ask(&with_ids(&ids, page("p")));
            ask(&named(&format!("image {number}"), page("p")));
            ask(&Listing { limit: 3_000 * number, ..page("p") });
        }
    });
    assert_eq!(told.kept, Vec::<String>::new());
}
