//! Who sees an image and whose list holds it: two rules that must agree, tried on random images, members and callers.
#![allow(clippy::unwrap_used, reason = "a test stops where it was surprised")]

use std::sync::Arc;

use core_domain::{
    Caller, Context, Rules,
    catalog::{self, Next, Page, Start},
    image::{Image, ImageId, Visibility},
    listing::{Listing, MemberStatusFilter, VisibilityFilter},
    member::{Member, MemberStatus},
    project::UserId,
    round::{self, Call},
    sharing,
    store::{Store, Viewer},
    testing::{
        builders::{an_image, at, cause, project},
        memory::MemoryStore,
    },
};
use proptest::prelude::*;

const PROJECTS: [&str; 4] = ["a", "b", "c", "d"];

/// One image of a world, and who is its member in which status.
#[derive(Clone, Debug)]
struct Kept {
    owner: Option<&'static str>,
    visibility: Visibility,
    members: Vec<(&'static str, MemberStatus)>,
}

fn kept() -> impl Strategy<Value = Kept> {
    let members = prop::collection::btree_map(
        prop::sample::select(&PROJECTS[..]),
        prop::sample::select(&MemberStatus::ALL[..]),
        0..4,
    );
    let owner = prop::option::weighted(0.8, prop::sample::select(&PROJECTS[..3]));
    (owner, prop::sample::select(&Visibility::ALL[..]), members).prop_map(|(owner, visibility, members)| {
        Kept { owner, visibility, members: members.into_iter().collect() }
    })
}

/// Keeps them all; the ids in the order given.
fn world(images: &[Kept]) -> (Box<dyn Store>, Vec<ImageId>) {
    let store: Box<dyn Store> = Box::new(MemoryStore::default());
    let keep = |kept: &Kept| {
        let image =
            Image { owner: kept.owner.map(project), visibility: kept.visibility, ..an_image("nobody") };
        store
            .write(image.id, &cause(0), |tx| {
                tx.insert_image(&image)?;
                for (name, status) in &kept.members {
                    let offer = Member::offered(image.id, project(name), at(0));
                    tx.insert_member(&Member { status: *status, ..offer })?;
                }
                Ok(())
            })
            .unwrap();
        image.id
    };
    let ids = images.iter().map(keep).collect();
    (store, ids)
}

fn reader_in(name: &str) -> Caller {
    Caller::new(UserId::new("someone"), Some(project(name)), ["reader"])
}

fn listed(
    caller: &Caller,
    store: &dyn Store,
    visibility: VisibilityFilter,
    member_status: MemberStatusFilter,
) -> Vec<ImageId> {
    let rules = Rules::default();
    let cx = Context { caller, rules: &rules, now: at(1), request: "req-1" };
    let ask = |listing: Listing| Ok(Listing { visibility, member_status, limit: 1000, ..listing });
    catalog::list(cx, store, Start::Beginning, ask)
        .unwrap()
        .images
        .into_iter()
        .map(|image| image.id)
        .collect()
}

fn is_shown(caller: &Caller, store: &dyn Store, image: ImageId) -> bool {
    let rules = Rules::default();
    let alone =
        catalog::show(Context { caller, rules: &rules, now: at(1), request: "req-1" }, store, image).is_ok();
    let call =
        Call { caller: Arc::new(caller.clone()), image, what: (), now: at(1), request: "req-1".into() };
    let together = round::show_image(&rules, store, &[call]).pop().flatten().map(|shown| shown.is_ok());
    assert_eq!(together, Some(alone), "in a round");
    alone
}

const FILTERS: [MemberStatusFilter; 4] = [
    MemberStatusFilter::All,
    MemberStatusFilter::Only(MemberStatus::Pending),
    MemberStatusFilter::Only(MemberStatus::Accepted),
    MemberStatusFilter::Only(MemberStatus::Rejected),
];

proptest! {
    #[test]
    fn what_is_listed_can_be_shown(images in prop::collection::vec(kept(), 0..12)) {
        let (store, _) = world(&images);
        for name in PROJECTS {
            let caller = reader_in(name);
            for filter in FILTERS {
                for visibility in [VisibilityFilter::Unasked, VisibilityFilter::All] {
                    for id in listed(&caller, store.as_ref(), visibility, filter) {
                        prop_assert!(is_shown(&caller, store.as_ref(), id));
                    }
                }
            }
        }
    }

    #[test]
    fn what_a_member_is_shown_its_status_lists(images in prop::collection::vec(kept(), 1..12)) {
        let (store, ids) = world(&images);
        for (kept, id) in images.iter().zip(ids) {
            for (name, status) in &kept.members {
                let caller = reader_in(name);
                let by = |filter| {
                    let only = VisibilityFilter::Only(Visibility::Shared);
                    listed(&caller, store.as_ref(), only, filter).contains(&id)
                };
                let shared = kept.visibility == Visibility::Shared;
                let own = kept.owner == Some(*name);
                prop_assert_eq!(by(MemberStatusFilter::Only(*status)), shared);
                prop_assert_eq!(by(MemberStatusFilter::All), shared);
                for other in MemberStatus::ALL.into_iter().filter(|other| other != status) {
                    prop_assert_eq!(by(MemberStatusFilter::Only(other)), shared && own);
                }
                if shared {
                    prop_assert!(is_shown(&caller, store.as_ref(), id));
                }
            }
        }
    }

    #[test]
    fn a_stranger_sees_what_is_open_and_nothing_else(images in prop::collection::vec(kept(), 1..12)) {
        let (store, ids) = world(&images);
        let stranger = reader_in("stranger");
        let all = listed(&stranger, store.as_ref(), VisibilityFilter::All, MemberStatusFilter::All);
        for (kept, id) in images.iter().zip(ids) {
            let open = matches!(kept.visibility, Visibility::Public | Visibility::Community);
            prop_assert_eq!(all.contains(&id), open);
            // By id, also what nobody owns.
            prop_assert_eq!(is_shown(&stranger, store.as_ref(), id), open || kept.owner.is_none());
        }
    }

    #[test]
    fn an_owner_lists_all_of_its_own_and_an_admin_everything(images in prop::collection::vec(kept(), 1..12)) {
        let (store, ids) = world(&images);
        let admin = Caller::new(UserId::new("someone"), Some(project("d")), ["admin", "reader"]);
        for filter in FILTERS {
            let everything = listed(&admin, store.as_ref(), VisibilityFilter::All, filter);
            prop_assert_eq!(everything.len(), images.len());
            for (kept, id) in images.iter().zip(&ids) {
                if let Some(owner) = kept.owner {
                    let own = listed(&reader_in(owner), store.as_ref(), VisibilityFilter::Unasked, filter);
                    prop_assert!(own.contains(id));
                }
                prop_assert!(is_shown(&admin, store.as_ref(), *id));
            }
        }
    }

    #[test]
    fn nobody_without_a_project_sees_or_lists_anything(images in prop::collection::vec(kept(), 1..12)) {
        let (store, ids) = world(&images);
        for roles in [&[][..], &["reader"], &["admin", "member", "reader"]] {
            let nobody = Caller::new(UserId::new("someone"), None, roles);
            let rules = Rules::default();
            let cx = Context { caller: &nobody, rules: &rules, now: at(1), request: "req-1" };
            prop_assert!(catalog::list(cx, store.as_ref(), Start::Beginning, Ok).is_err());
            for id in &ids {
                prop_assert!(!is_shown(&nobody, store.as_ref(), *id));
            }
        }
    }

    #[test]
    fn a_membership_is_shown_exactly_if_it_is_listed(images in prop::collection::vec(kept(), 1..8)) {
        let (store, ids) = world(&images);
        let rules = Rules::default();
        for name in PROJECTS {
            let caller = reader_in(name);
            let cx = Context { caller: &caller, rules: &rules, now: at(1), request: "req-1" };
            for id in &ids {
                let rows = sharing::list(cx, store.as_ref(), *id, None, None, None).map(|(rows, _)| rows);
                let rows = rows.unwrap_or_default();
                // Those of a private image are listed to its owner and shown to nobody (sharing API, section 3).
                let found = store.image(*id, Viewer::ADMIN).unwrap().unwrap();
                let is_private = found.access.visibility == Visibility::Private;
                for member in PROJECTS {
                    let shown = sharing::show(cx, store.as_ref(), *id, &project(member)).ok();
                    let listed = rows.iter().find(|row| row.project == project(member));
                    prop_assert_eq!(shown.as_ref(), listed.filter(|_| !is_private));
                }
            }
        }
    }

    #[test]
    fn pages_of_any_size_make_up_the_whole_list(
        images in prop::collection::vec(kept(), 0..20),
        size in 1..7_usize,
    ) {
        let (store, _) = world(&images);
        let caller = reader_in("a");
        let rules = Rules::default();
        let cx = Context { caller: &caller, rules: &rules, now: at(1), request: "req-1" };
        let whole = listed(&caller, store.as_ref(), VisibilityFilter::All, MemberStatusFilter::All);
        let mut gathered = Vec::new();
        let mut start = Start::Beginning;
        loop {
            let ask = |listing: Listing| Ok(Listing {
                visibility: VisibilityFilter::All,
                member_status: MemberStatusFilter::All,
                limit: size,
                ..listing
            });
            let Page { images, next } = catalog::list(cx, store.as_ref(), start, ask).unwrap();
            prop_assert!(images.len() <= size);
            gathered.extend(images.into_iter().map(|image| image.id));
            // By its image and by its position in turn.
            start = match next {
                Some(Next { position: Some(position), .. }) if gathered.len().is_multiple_of(2) => {
                    Start::Position(Box::new(position))
                }
                Some(Next { marker, .. }) => Start::Marker(marker),
                None => break,
            };
        }
        prop_assert_eq!(gathered, whole);
    }
}
