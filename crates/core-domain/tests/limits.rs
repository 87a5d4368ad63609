//! How much of everything, at the edges: the last that fits, the first that does not.
#![allow(clippy::unwrap_used, reason = "a test stops where it was surprised")]

use core_domain::{
    Context, Error, Rules,
    catalog::{self, Edit, NewImage},
    error::LimitExceeded,
    image::{Image, Visibility},
    limits::{self, Limits},
    member::{Member, MemberStatus},
    project::ProjectId,
    sharing,
    store::{Batched, Store, Viewer},
    testing::{
        builders::{an_image, at, caller, cause, project},
        memory::MemoryStore,
    },
    text,
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
    let Limits { members_per_image, properties_per_image, tags_per_image, page_default, page_max, .. } =
        Limits::default();
    assert_eq!((members_per_image, properties_per_image, tags_per_image), (Some(128), Some(128), Some(128)));
    assert_eq!((page_default, page_max), (25, 1000));
}

#[test]
fn a_record_has_256_kib_and_a_project_10_000_images_by_default() {
    let Limits { record_bytes, images_per_project, .. } = Limits::default();
    assert_eq!((record_bytes, images_per_project), (Some(262_144), Some(10_000)));
}

/// What comes of a change of an image under these limits; a refusal leaves the image as it was.
fn change(before: &Image, limits: Limits, edits: &[Edit]) -> Result<Image, Error> {
    let store: &dyn Store = &MemoryStore::default();
    store.write(before.id, &cause(0), |tx| tx.insert_image(before)).unwrap();
    let rules = Rules { limits, ..Rules::default() };
    let owner = caller("owner", &["member"]);
    let cx = Context { caller: &owner, rules: &rules, now: at(60), request: "req-0" };
    let changed = catalog::change(cx, store, before.id, edits);
    let now = store.image(before.id, Viewer::ADMIN).unwrap().and_then(|found| found.image).unwrap();
    assert_eq!(&now, changed.as_ref().unwrap_or(before), "a refusal changed something");
    changed
}

fn property(name: &str, value: &str) -> Edit {
    Edit::AddProperty(name.into(), value.into())
}

#[test]
fn the_bytes_of_a_record_are_counted_on_making_and_on_changing() {
    let store: &dyn Store = &MemoryStore::default();
    let owner = caller("owner", &["member"]);
    let named = |name: &str| NewImage { name: Some(name.into()), ..NewImage::default() };
    // "owner" and "name".
    for (most, expected) in [(Some(9), None), (Some(8), Some((9, 8))), (None, None)] {
        let limits = Limits { record_bytes: most, ..Limits::default() };
        let rules = Rules { limits, ..Rules::default() };
        let cx = Context { caller: &owner, rules: &rules, now: at(0), request: "req-0" };
        assert_eq!(exceeded(catalog::create(cx, store, named("name"))), expected);
    }
    let image = an_image("owner");
    let at_most = |bytes| Limits { record_bytes: Some(bytes), ..Limits::default() };
    for edit in [
        Edit::Name(Some("123".into())),
        Edit::AddTag("123".into()),
        property("1", "23"),
        Edit::ContainerFormat(Some("ova".into())),
        Edit::DiskFormat(Some("raw".into())),
        Edit::AddTag("\u{20ac}".into()),
    ]
    .map(|edit| [edit])
    {
        assert_eq!(exceeded(change(&image, at_most(8), &edit)), None, "{edit:?}");
        assert_eq!(exceeded(change(&image, at_most(7), &edit)), Some((8, 7)), "{edit:?}");
    }
}

/// An image with more of everything than `NONE` allows.
fn an_image_above_every_limit() -> Image {
    Image {
        name: Some("name".into()),
        visibility: Visibility::Shared,
        protected: true,
        tags: ["a", "b"].map(Into::into).into(),
        properties: [("p", "x"), ("q", "y")].map(|(name, value)| (name.into(), value.into())).into(),
        ..an_image("owner")
    }
}

const NONE: Limits = Limits {
    members_per_image: Some(0),
    properties_per_image: Some(0),
    tags_per_image: Some(0),
    record_bytes: Some(0),
    images_per_project: Some(0),
    page_default: 25,
    page_max: 1000,
};

#[test]
fn a_change_that_does_not_grow_is_refused_by_no_limit() {
    let image = an_image_above_every_limit();
    for edits in [
        vec![Edit::Name(Some("eman".into()))],
        vec![Edit::Name(None)],
        vec![Edit::Visibility(Visibility::Private)],
        vec![Edit::Protected(false), Edit::Hidden(true), Edit::MinDisk(7)],
        vec![Edit::RemoveTag("a".into())],
        vec![Edit::RemoveTag("a".into()), Edit::AddTag("c".into())],
        vec![Edit::AddTag("b".into()), Edit::Hidden(true)],
        vec![Edit::Tags(["z".to_owned()].into())],
        vec![Edit::RemoveProperty("p".into())],
        vec![Edit::ReplaceProperty("p".into(), "z".into())],
        vec![Edit::RemoveProperty("p".into()), property("r", "z")],
        // One grows while another shrinks by as much.
        vec![Edit::Name(None), Edit::ReplaceProperty("p".into(), "12345".into())],
    ] {
        assert!(change(&image, NONE, &edits).is_ok(), "{edits:?}");
    }
    for edits in [
        vec![Edit::Name(Some("longer".into()))],
        vec![Edit::Name(None), Edit::AddTag("c".into())],
        vec![Edit::Name(None), property("r", "")],
        vec![Edit::ReplaceProperty("p".into(), "xx".into())],
    ] {
        assert!(exceeded(change(&image, NONE, &edits)).is_some(), "{edits:?}");
    }
}

#[test]
fn a_value_that_stays_is_not_judged_again() {
    let long = "x".repeat(text::MAX_VALUE_BYTES + 1);
    let image = Image {
        name: Some("n".repeat(text::MAX_CHARS + 1)),
        container_format: Some("tar".into()),
        disk_format: Some("zip".into()),
        tags: ["t".repeat(text::MAX_CHARS + 1)].into(),
        properties: [("p".to_owned(), long.clone()), ("q".repeat(text::MAX_CHARS + 1), String::new())].into(),
        ..an_image("owner")
    };
    let limits = Limits::default();
    for edits in [
        vec![Edit::Protected(true)],
        vec![Edit::Visibility(Visibility::Private)],
        vec![Edit::Name(Some("short".into()))],
        vec![Edit::AddTag("b".into())],
        vec![property("r", "z")],
        vec![Edit::ReplaceProperty("p".into(), "z".into())],
        vec![Edit::ReplaceProperty("p".into(), long.clone()), Edit::Hidden(true)],
    ] {
        assert!(change(&image, limits, &edits).is_ok(), "{edits:?}");
    }
    for edits in [
        vec![Edit::Name(Some("n".repeat(text::MAX_CHARS + 2)))],
        vec![Edit::DiskFormat(Some("rar".into()))],
        vec![Edit::AddTag("u".repeat(text::MAX_CHARS + 1))],
        vec![Edit::ReplaceProperty("p".into(), long.replace('x', "y"))],
        vec![property("r", &long)],
    ] {
        assert!(matches!(change(&image, limits, &edits), Err(Error::Invalid(_))), "{edits:?}");
    }
}

#[test]
fn a_property_value_has_65_535_bytes_at_most() {
    let image = an_image("owner");
    for (value, fits) in [
        ("x".repeat(65_535), true),
        ("x".repeat(65_536), false),
        // Two bytes each, three each.
        ("é".repeat(32_767), true),
        ("é".repeat(32_768), false),
        ("\u{20ac}".repeat(21_845), true),
        ("\u{20ac}".repeat(21_846), false),
    ] {
        let changed = change(&image, Limits::default(), &[property("p", &value)]);
        assert_eq!(changed.is_ok(), fits, "{} bytes", value.len());
        assert!(matches!(changed, Ok(_) | Err(Error::Invalid(_))));
    }
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

/// As text, the longest that there is of a member: the id of the project, the longest word of a status, and two times.
#[test]
fn the_largest_batch_of_member_lists_is_below_its_bytes() {
    const CALLS: usize = 64;
    let store: &dyn Store = &MemoryStore::default();
    let owner = project(&"o".repeat(limits::BATCH_ID_BYTES));
    let images: Vec<_> = (0..CALLS).map(|_| an_image(owner.as_str())).collect();
    for image in &images {
        let filled = store.write(image.id, &cause(0), |tx| {
            tx.insert_image(image)?;
            (0..limits::BATCH_MEMBERS).try_for_each(|number| {
                let member = project(&format!("{number:0width$}", width = limits::BATCH_ID_BYTES));
                let offered = Member::offered(image.id, member, at(3));
                tx.insert_member(&Member { status: MemberStatus::Accepted, ..offered })
            })
        });
        filled.unwrap();
    }
    let viewer = Viewer { project: Some(&owner), admin: false };
    let asked: Vec<_> = images.iter().map(|image| (image.id, viewer)).collect();
    let (mut members, mut bytes) = (0, 0);
    for answer in store.rolls(&asked).unwrap() {
        let Batched::Answered(Some(roll)) = answer else { panic!("left out") };
        members += roll.members.len();
        for member in roll.members {
            let times = [member.created_at, member.updated_at].map(|time| time.to_rfc3339().len());
            bytes += member.project.as_str().len() + member.status.as_str().len();
            bytes += times.iter().sum::<usize>();
        }
    }
    assert_eq!(members, CALLS * limits::BATCH_MEMBERS);
    assert!(bytes < limits::BATCH_BYTES, "{bytes} bytes");
}
