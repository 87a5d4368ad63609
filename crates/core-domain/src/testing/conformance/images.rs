//! One image at a time.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::{find, keep, membership, random::Random, share};
use crate::{
    error::{Conflict, Error},
    image::{Image, ImageId, ImageStatus, Visibility},
    listing::Listing,
    member::{Member, MemberStatus},
    project::ProjectId,
    store::{Batched, FoundImage, Sharing, Store, Viewer},
    testing::builders::{an_image, at, cause, project},
    text,
};

/// An image with something everywhere.
pub(super) fn full(owner: &str) -> Image {
    Image {
        visibility: Visibility::Community,
        status: ImageStatus::Active,
        name: Some("Debian 13".to_owned()),
        container_format: Some("bare".to_owned()),
        disk_format: Some("qcow2".to_owned()),
        min_disk: i32::MAX,
        min_ram: 512,
        protected: true,
        hidden: true,
        updated_at: at(1),
        tags: BTreeSet::from(["b".to_owned(), "a".to_owned(), "B".to_owned()]),
        properties: BTreeMap::from([
            ("os_distro".to_owned(), "debian".to_owned()),
            ("arch".to_owned(), "x86_64".to_owned()),
        ]),
        ..an_image(owner)
    }
}

pub(super) fn an_image_comes_back_as_it_was_kept(store: &dyn Store) {
    for status in ImageStatus::ALL {
        for visibility in Visibility::ALL {
            let image = Image { id: ImageId::random(), status, visibility, ..full("owner") };
            keep(store, &image);
            assert_eq!(find(store, image.id), Some(image));
        }
    }
}

pub(super) fn an_image_that_is_not_there_is_none(store: &dyn Store) {
    keep(store, &full("owner"));
    assert_eq!(store.image(ImageId::random(), Viewer::ADMIN).expect("a look"), None);
    store.ping().expect("a store that answers");
}

pub(super) fn what_an_image_lacks_it_lacks_when_it_comes_back(store: &dyn Store) {
    let image = Image { owner: None, ..an_image("owner") };
    keep(store, &image);
    assert_eq!(find(store, image.id), Some(image));
}

pub(super) fn empty_tags_and_values_are_kept(store: &dyn Store) {
    let empty = Image {
        name: Some(String::new()),
        tags: BTreeSet::from([String::new()]),
        properties: BTreeMap::from([("empty".to_owned(), String::new())]),
        ..an_image("owner")
    };
    keep(store, &empty);
    assert_eq!(find(store, empty.id), Some(empty.clone()));
    let fuller = Image {
        tags: BTreeSet::from([String::new(), "a".to_owned()]),
        properties: BTreeMap::from([("a".to_owned(), String::new()), ("b".to_owned(), String::new())]),
        ..empty
    };
    store.write(fuller.id, &cause(0), |tx| tx.update_image(&fuller)).expect("a change");
    assert_eq!(find(store, fuller.id), Some(fuller));
}

pub(super) fn texts_are_kept_to_the_letter(store: &dyn Store) {
    let odd = [
        "Robert'); DROP TABLE images;--",
        "\"quoted\" `and` \\slashed/ %percent_ {} []",
        " blanks around\t\r\n",
        "Zürich Ελλάδα 日本 🦀 a\u{301} \u{e1} \u{202e}left",
        "\u{10ffff}",
        &"é".repeat(text::MAX_CHARS),
    ];
    for text in odd {
        let image = Image {
            name: Some(text.to_owned()),
            tags: odd.into_iter().map(ToOwned::to_owned).collect(),
            properties: BTreeMap::from([(text.to_owned(), text.to_owned())]),
            ..an_image("owner")
        };
        keep(store, &image);
        assert_eq!(find(store, image.id), Some(image));
    }
}

pub(super) fn times_are_kept_to_the_microsecond(store: &dyn Store) {
    for micros in [0, 1, 10, 999, 1000, 120_000, 999_999] {
        let made = at(5) + TimeDelta::microseconds(micros);
        let image =
            Image { created_at: made, updated_at: at(7) - TimeDelta::microseconds(1), ..an_image("owner") };
        keep(store, &image);
        let member = Member { updated_at: at(9), ..Member::offered(image.id, project("p"), made) };
        store.write(image.id, &cause(0), |tx| tx.insert_member(&member)).expect("a membership");
        assert_eq!(membership(store, image.id, &member.project), Some(member));
        assert_eq!(find(store, image.id), Some(image));
    }
}

pub(super) fn as_many_tags_and_properties_as_allowed_are_kept(store: &dyn Store) {
    let image = Image {
        tags: (0..500).map(|number| format!("tag {number}")).collect(),
        properties: (0..500).map(|number| (format!("p{number}"), "v".repeat(number))).collect(),
        ..an_image("owner")
    };
    keep(store, &image);
    assert_eq!(find(store, image.id), Some(image));
}

/// A text of this many characters of four bytes each, that no compression makes much smaller.
fn noise(random: &mut Random, characters: usize) -> String {
    let any =
        |random: &mut Random| u32::try_from(0x1_0000 + random.below(0x8_0000)).ok().and_then(char::from_u32);
    (0..characters).filter_map(|_| any(random)).collect()
}

/// What an index could refuse: the entries of most have a size that they must not exceed.
pub(super) fn the_longest_tags_and_values_are_kept(store: &dyn Store) {
    let random = &mut Random(3);
    let value = format!("{}abc", noise(random, 65_535 / 4));
    assert_eq!(value.len(), 65_535);
    let image = Image {
        name: Some(noise(random, text::MAX_CHARS)),
        tags: (0..50).map(|_| noise(random, text::MAX_CHARS)).collect(),
        properties: BTreeMap::from([
            (noise(random, text::MAX_CHARS), value.clone()),
            ("long".to_owned(), value.clone()),
        ]),
        ..an_image("owner")
    };
    keep(store, &image);
    assert_eq!(find(store, image.id), Some(image.clone()));
    let listing = Listing {
        tags: image.tags.iter().cloned().collect(),
        properties: image.properties.clone().into_iter().collect(),
        ..Listing::of(project("owner"), false, 10)
    };
    assert_eq!(store.images(&listing).expect("a list").images, [image]);
}

pub(super) fn a_record_as_large_as_allowed_is_kept(store: &dyn Store) {
    let longest = |letter: &str| letter.repeat(text::MAX_VALUE_BYTES / letter.len());
    let values = ["x", "é", "\u{20ac}", "🦀"].map(longest);
    let image = Image {
        properties: values.into_iter().map(|value| (value.chars().take(255).collect(), value)).collect(),
        ..an_image("owner")
    };
    keep(store, &image);
    assert_eq!(find(store, image.id), Some(image.clone()));
    let changed = Image { name: Some("another".to_owned()), ..image };
    store.write(changed.id, &cause(0), |tx| tx.update_image(&changed)).expect("a change");
    assert_eq!(find(store, changed.id), Some(changed));
}

/// What an admin sees of the image.
fn whole(image: &Image, is_member: bool) -> FoundImage {
    FoundImage { access: image.access(), is_member, image: Some(image.clone()) }
}

pub(super) fn a_change_sees_what_it_did(store: &dyn Store) {
    let image = full("owner");
    let changed = Image { tags: BTreeSet::new(), name: None, ..image.clone() };
    let member = Member::offered(image.id, project("p"), at(3));
    let mut tx = store.begin(image.id, &cause(0)).expect("a change");
    tx.insert_image(&image).expect("a new image");
    assert_eq!(tx.image(Viewer::ADMIN).expect("a look"), Some(whole(&image, false)));
    tx.update_image(&changed).expect("another name");
    assert_eq!(tx.image(Viewer::ADMIN).expect("a look"), Some(whole(&changed, false)));
    tx.insert_member(&member).expect("a new membership");
    let sharing = tx.sharing(Viewer::ADMIN, &member.project, Some(9)).expect("a look");
    let expected = Sharing { found: whole(&changed, false), is_shared_already: true, members: 1 };
    assert_eq!(sharing, Some(expected));
    tx.update_image(&image).expect("the name of before");
    let own = Viewer { project: Some(&member.project), admin: false };
    assert_eq!(tx.image(own).expect("a look"), Some(whole(&image, true)));
    let sharing = tx.sharing(own, &project("q"), Some(9)).expect("a look");
    let expected = Sharing { found: whole(&image, true), is_shared_already: false, members: 1 };
    assert_eq!(sharing, Some(expected));
    tx.delete_image().expect("a deletion");
    assert_eq!(tx.image(Viewer::ADMIN).expect("a look"), None);
    assert_eq!(tx.sharing(Viewer::ADMIN, &member.project, Some(9)).expect("a look"), None);
    tx.commit().expect("an end");
    assert_eq!(find(store, member.image), None);
}

pub(super) fn a_change_that_is_dropped_never_was(store: &dyn Store) {
    let image = full("owner");
    keep(store, &image);
    let member = share(store, &image, "p", MemberStatus::Accepted, 3);
    let mut tx = store.begin(image.id, &cause(0)).expect("a change");
    tx.update_image(&Image { name: None, tags: BTreeSet::new(), ..image.clone() }).expect("another name");
    tx.insert_member(&Member::offered(image.id, project("q"), at(4))).expect("a new membership");
    drop(tx);
    assert_eq!(membership(store, image.id, &project("q")), None);
    let mut tx = store.begin(image.id, &cause(0)).expect("a change");
    tx.delete_image().expect("a deletion");
    drop(tx);
    assert_eq!(membership(store, image.id, &project("p")), Some(member));
    assert_eq!(find(store, image.id), Some(image));
}

pub(super) fn a_change_of_an_image_that_is_not_there_sees_nothing(store: &dyn Store) {
    keep(store, &full("owner"));
    let mut tx = store.begin(ImageId::random(), &cause(0)).expect("a change");
    assert_eq!(tx.image(Viewer::ADMIN).expect("a look"), None);
    assert_eq!(tx.sharing(Viewer::ADMIN, &project("owner"), Some(9)).expect("a look"), None);
    tx.commit().expect("an end");
}

fn is_taken(store: &dyn Store, image: &Image) -> bool {
    let inserted = store.write(image.id, &cause(0), |tx| tx.insert_image(image));
    matches!(inserted, Err(Error::Conflict(Conflict::Image(id))) if id == image.id)
}

pub(super) fn an_id_is_not_given_twice(store: &dyn Store) {
    let first = full("owner");
    keep(store, &first);
    assert!(is_taken(store, &Image { id: first.id, ..an_image("another owner") }));
    assert_eq!(find(store, first.id), Some(first));
}

pub(super) fn an_id_is_not_given_again_after_a_deletion(store: &dyn Store) {
    let image = full("owner");
    keep(store, &image);
    store.write(image.id, &cause(0), |tx| tx.delete_image()).expect("a deletion");
    assert!(is_taken(store, &image));
    assert_eq!(find(store, image.id), None);
}

pub(super) fn an_id_is_free_again_when_its_change_was_dropped(store: &dyn Store) {
    let image = full("owner");
    let mut tx = store.begin(image.id, &cause(0)).expect("a change");
    tx.insert_image(&image).expect("a new image");
    drop(tx);
    assert_eq!(find(store, image.id), None);
    keep(store, &image);
    assert_eq!(find(store, image.id), Some(image));
}

pub(super) fn an_update_replaces_every_attribute_tag_and_property(store: &dyn Store) {
    let bare = an_image("owner");
    let full = Image { id: bare.id, ..full("another owner") };
    let other = Image {
        tags: BTreeSet::from(["a".to_owned(), "c".to_owned()]),
        properties: BTreeMap::from([("arch".to_owned(), "arm".to_owned())]),
        visibility: Visibility::Private,
        ..full.clone()
    };
    let ownerless = Image { owner: None, ..bare.clone() };
    keep(store, &bare);
    for image in [full, other, ownerless, bare] {
        store.write(image.id, &cause(0), |tx| tx.update_image(&image)).expect("a change");
        assert_eq!(find(store, image.id), Some(image.clone()));
        // And by a change that looks first, as the use cases do.
        let again = Image { name: Some("again".to_owned()), ..image };
        store
            .write(again.id, &cause(0), |tx| {
                tx.image(Viewer::ADMIN)?;
                tx.update_image(&again)
            })
            .expect("a change");
        assert_eq!(find(store, again.id), Some(again));
    }
}

pub(super) fn an_update_leaves_members_and_other_images_alone(store: &dyn Store) {
    let (image, other) = (an_image("owner"), full("owner"));
    keep(store, &image);
    keep(store, &other);
    let member = share(store, &image, "p", MemberStatus::Rejected, 3);
    let changed = Image { visibility: Visibility::Private, owner: Some(project("p")), ..image };
    store.write(changed.id, &cause(0), |tx| tx.update_image(&changed)).expect("a change");
    assert_eq!(membership(store, changed.id, &member.project), Some(member));
    assert_eq!(find(store, other.id), Some(other));
}

pub(super) fn deleting_an_image_ends_its_memberships_and_no_others(store: &dyn Store) {
    let (image, other) = (full("owner"), full("owner"));
    keep(store, &image);
    keep(store, &other);
    share(store, &image, "p", MemberStatus::Accepted, 3);
    let stays = share(store, &other, "p", MemberStatus::Accepted, 3);
    store.write(image.id, &cause(0), |tx| tx.delete_image()).expect("a deletion");
    assert_eq!(find(store, image.id), None);
    assert_eq!(store.sight(image.id, Some(&project("p")), &project("p")).expect("a look"), None);
    assert_eq!(membership(store, other.id, &stays.project), Some(stays));
    assert_eq!(find(store, other.id), Some(other));
}

pub(super) fn an_image_tells_whether_the_caller_is_a_member(store: &dyn Store) {
    let (image, other) = (an_image("owner"), an_image("owner"));
    keep(store, &image);
    keep(store, &other);
    for status in MemberStatus::ALL {
        share(store, &image, status.as_str(), status, 3);
    }
    share(store, &other, "elsewhere", MemberStatus::Accepted, 3);
    let is_member = |caller: Option<&str>| {
        let caller = caller.map(project);
        let viewer = Viewer { project: caller.as_ref(), admin: true };
        let found = store.image(image.id, viewer).expect("a look").expect("the image");
        assert_eq!((found.access, found.image), (image.access(), Some(image.clone())));
        found.is_member
    };
    assert!(MemberStatus::ALL.iter().all(|status| is_member(Some(status.as_str()))));
    assert!(!is_member(Some("elsewhere")) && !is_member(Some("owner")) && !is_member(None));
}

pub(super) fn a_project_owns_the_images_that_are_its_own(store: &dyn Store) {
    let images =
        [an_image("owner"), an_image("owner"), an_image("other"), Image { owner: None, ..an_image("owner") }];
    let owned = |name: &str| -> usize {
        let id = ImageId::random();
        let at_least =
            |count| store.write(id, &cause(0), |tx| tx.owns_at_least(&project(name), count)).expect("a look");
        assert!(at_least(0));
        let first_not = (1..9).find(|count| !at_least(*count)).expect("an end");
        assert!((first_not..9).chain([usize::MAX]).all(|count| !at_least(count)));
        first_not - 1
    };
    assert_eq!((owned("owner"), owned("other")), (0, 0));
    images.iter().for_each(|image| keep(store, image));
    assert_eq!((owned("owner"), owned("other"), owned("Owner")), (2, 1, 0));
    let given = Image { owner: Some(project("other")), visibility: Visibility::Private, ..images[0].clone() };
    store.write(given.id, &cause(0), |tx| tx.update_image(&given)).expect("a change");
    assert_eq!((owned("owner"), owned("other")), (1, 2));
    store.write(given.id, &cause(0), |tx| tx.delete_image()).expect("a deletion");
    assert_eq!((owned("owner"), owned("other")), (1, 1));
    // A change sees what it did itself.
    let new = an_image("owner");
    let mut tx = store.begin(new.id, &cause(0)).expect("a change");
    tx.insert_image(&new).expect("a new image");
    assert!(tx.owns_at_least(&project("owner"), 2).expect("a look"));
    assert!(!tx.owns_at_least(&project("owner"), 3).expect("a look"));
}

pub(super) fn an_image_is_answered_whole_only_to_those_who_see_it(store: &dyn Store) {
    let projects = ["owner", "pending", "rejected", "stranger"].map(project);
    let mut whole = 0;
    for visibility in Visibility::ALL {
        for owner in [Some(project("owner")), None] {
            let image = Image { id: ImageId::random(), owner, visibility, ..full("owner") };
            keep(store, &image);
            share(store, &image, "pending", MemberStatus::Pending, 3);
            share(store, &image, "rejected", MemberStatus::Rejected, 3);
            for project in projects.iter().map(Some).chain([None]) {
                for admin in [false, true] {
                    let viewer = Viewer { project, admin };
                    let is_member = matches!(project.map(ProjectId::as_str), Some("pending" | "rejected"));
                    let seen = viewer.sees(&image.access(), is_member).then(|| image.clone());
                    whole += usize::from(seen.is_some());
                    let expected = Some(FoundImage { access: image.access(), is_member, image: seen });
                    assert_eq!(store.image(image.id, viewer).expect("a look"), expected, "{viewer:?}");
                    let together = store.whole_images(&[(image.id, viewer)]).expect("a look");
                    assert_eq!(together, [Batched::Answered(expected.clone())], "{viewer:?}");
                    let mut tx = store.begin(image.id, &cause(0)).expect("a change");
                    assert_eq!(tx.image(viewer).expect("a look"), expected, "{viewer:?}");
                    let expected = expected.map(|found| Sharing {
                        is_shared_already: found.image.is_some(),
                        members: if found.image.is_some() { 2 } else { 0 },
                        found,
                    });
                    assert_eq!(
                        tx.sharing(viewer, &projects[1], Some(9)).expect("a look"),
                        expected,
                        "{viewer:?}"
                    );
                }
            }
        }
    }
    // To an admin always, as any of 5. With an owner: to the owner 4 times, to each of two members 3 times, to the stranger twice.
    // Without: to each of 4 projects 4 times.
    assert_eq!(whole, 40 + 4 + 2 * 3 + 2 + 4 * 4);
}
