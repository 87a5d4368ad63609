//! How much of everything, at the edges: the last that fits, the first that does not.
#![allow(clippy::unwrap_used, reason = "a test stops where it was surprised")]

use core_domain::{
    Context, Error, Rules,
    catalog::{self, Edit, NewImage},
    error::LimitExceeded,
    limits::{self, Limits},
    member::{Member, MemberStatus},
    project::ProjectId,
    sharing,
    store::Store,
    testing::{
        builders::{an_image, at, caller, cause, project},
        memory::MemoryStore,
    },
};

fn exceeded<T>(result: Result<T, Error>) -> Option<(usize, usize)> {
    match result {
        Ok(_) => None,
        Err(Error::LimitExceeded(LimitExceeded { attempted, maximum, .. })) => Some((attempted, maximum)),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_limit_is_the_largest_number_that_fits() {
    assert_eq!(exceeded(limits::keep("members", 3, Some(3))), None);
    assert_eq!(exceeded(limits::keep("members", 4, Some(3))), Some((4, 3)));
    assert_eq!(exceeded(limits::keep("members", 1, Some(0))), Some((1, 0)));
    assert_eq!(exceeded(limits::keep("members", usize::MAX, None)), None);
}

#[test]
fn members_are_counted_on_every_addition_admins_included() {
    let store: &dyn Store = &MemoryStore::default();
    let image = an_image("owner");
    store.write(image.id, &cause(0), |tx| tx.insert_image(&image)).unwrap();
    let limits = Limits { members_per_image: Some(2), ..Limits::default() };
    let rules = Rules { limits, ..Rules::default() };
    for who in [caller("owner", &["member"]), caller("ops", &["admin"])] {
        let cx = Context { caller: &who, rules: &rules, now: at(0), request: "req-0" };
        for member in ["a", "b"] {
            let _ = sharing::add(cx, store, image.id, &project(member));
        }
        assert_eq!(exceeded(sharing::add(cx, store, image.id, &project("c"))), Some((3, 2)));
        sharing::remove(cx, store, image.id, &project("a")).unwrap();
        assert_eq!(exceeded(sharing::add(cx, store, image.id, &project("c"))), None);
        sharing::remove(cx, store, image.id, &project("c")).unwrap();
    }
}

#[test]
fn tags_and_properties_are_counted_on_making_and_on_changing() {
    let store: &dyn Store = &MemoryStore::default();
    let limits = Limits { tags_per_image: Some(1), properties_per_image: Some(1), ..Limits::default() };
    let rules = Rules { limits, ..Rules::default() };
    let owner = caller("owner", &["member"]);
    let cx = Context { caller: &owner, rules: &rules, now: at(0), request: "req-0" };
    let tagged = |names: &[&str]| NewImage {
        tags: names.iter().map(|name| (*name).to_owned()).collect(),
        ..NewImage::default()
    };
    assert_eq!(exceeded(catalog::create(cx, store, tagged(&["a", "b"]))), Some((2, 1)));
    let image = catalog::create(cx, store, tagged(&["a"])).unwrap();
    let change = |edits: &[Edit]| exceeded(catalog::change(cx, store, image.id, edits));
    assert_eq!(change(&[Edit::AddTag("b".into())]), Some((2, 1)));
    assert_eq!(change(&[Edit::AddTag("a".into())]), None);
    assert_eq!(change(&[Edit::RemoveTag("a".into()), Edit::AddTag("b".into())]), None);
    let property = |name: &str| Edit::AddProperty(name.into(), "x".into());
    assert_eq!(change(&[property("p")]), None);
    assert_eq!(change(&[property("q")]), Some((2, 1)));
    assert_eq!(change(&[property("p")]), None);
}

#[test]
fn an_id_of_a_project_has_1_to_255_characters_and_no_nul() {
    for good in ["a", " ", "..", "a/b", "\u{1}", &"x".repeat(255), &"🦀".repeat(255)] {
        assert_eq!(ProjectId::parse(good).unwrap().as_str(), good);
    }
    for bad in ["", "\0", "a\0", &"x".repeat(256), &"é".repeat(256)] {
        assert!(matches!(ProjectId::parse(bad), Err(Error::Invalid(_))), "{bad:?}");
    }
}

#[test]
fn the_defaults_are_glance_s() {
    let Limits { members_per_image, properties_per_image, tags_per_image, page_default, page_max } =
        Limits::default();
    assert_eq!((members_per_image, properties_per_image, tags_per_image), (Some(128), Some(128), Some(128)));
    assert_eq!((page_default, page_max), (25, 1000));
}

#[test]
fn a_page_of_a_history_has_a_thousand_events_at_most() {
    let store: &dyn Store = &MemoryStore::default();
    let image = an_image("owner");
    let member = Member::offered(image.id, project("p"), at(1));
    store
        .write(image.id, &cause(0), |tx| {
            tx.insert_image(&image)?;
            tx.insert_member(&member)
        })
        .unwrap();
    for second in 0..1_100 {
        let status = [MemberStatus::Accepted, MemberStatus::Rejected][second % 2];
        let cause = cause(i64::try_from(second).unwrap());
        store.set_status(&image.access(), &member.project, status, &cause).unwrap().unwrap();
    }
    let limits = Limits { page_max: 100_000, ..Limits::default() };
    let rules = Rules { limits, ..Rules::default() };
    let admin = caller("ops", &["admin"]);
    let cx = Context { caller: &admin, rules: &rules, now: at(2), request: "req-1" };
    let (page, more) = sharing::history(cx, store, image.id, &member.project, None, Some(50_000)).unwrap();
    assert_eq!((page.len(), more), (1000, true));
    let after = page.last().map(|event| event.number);
    let (rest, more) = sharing::history(cx, store, image.id, &member.project, after, Some(50_000)).unwrap();
    assert_eq!((rest.len(), more), (101, false));
}
