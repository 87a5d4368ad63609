//! The members of one image.

use super::{find, images::full, keep, membership, outdated, share, sight};
use crate::{
    error::{Conflict, Error},
    image::{Image, ImageAccess, ImageId},
    member::{Member, MemberStatus},
    project::ProjectId,
    store::{FoundImage, MembersPage, Roll, Sharing, Sight, Store, Viewer},
    testing::builders::{an_image, at, cause, project},
    text,
};

pub(super) fn a_membership_comes_back_as_it_was_kept(store: &dyn Store) {
    let image = an_image("owner");
    keep(store, &image);
    for status in MemberStatus::ALL {
        let id = project(status.as_str());
        let member = Member { status, updated_at: at(9), ..Member::offered(image.id, id, at(3)) };
        store.write(image.id, &cause(0), |tx| tx.insert_member(&member)).expect("a new membership");
        assert_eq!(membership(store, image.id, &member.project), Some(member));
    }
}

pub(super) fn there_is_no_sight_of_an_image_that_is_not_there(store: &dyn Store) {
    let image = an_image("owner");
    keep(store, &image);
    share(store, &image, "p", MemberStatus::Accepted, 3);
    let seen = store.sight(ImageId::random(), Some(&project("p")), &project("p"));
    assert_eq!(seen.expect("a look"), None);
}

pub(super) fn a_sight_tells_the_callers_membership_and_the_one_asked_about_apart(store: &dyn Store) {
    let (image, other) = (an_image("owner"), an_image("owner"));
    keep(store, &image);
    keep(store, &other);
    let member = share(store, &image, "p", MemberStatus::Rejected, 3);
    share(store, &other, "q", MemberStatus::Accepted, 3);
    let expected = |is_member, member: Option<&Member>| Sight {
        image: image.access(),
        is_member,
        member: member.cloned(),
    };
    assert_eq!(sight(store, &image, "p", "p"), expected(true, Some(&member)));
    assert_eq!(sight(store, &image, "p", "q"), expected(true, None));
    assert_eq!(sight(store, &image, "q", "p"), expected(false, Some(&member)));
    assert_eq!(sight(store, &image, "q", "q"), expected(false, None));
    assert_eq!(sight(store, &image, "owner", "owner"), expected(false, None));
}

pub(super) fn a_caller_without_a_project_has_no_membership(store: &dyn Store) {
    let image = Image { owner: None, ..an_image("owner") };
    keep(store, &image);
    let member = share(store, &image, "p", MemberStatus::Accepted, 3);
    let seen = store.sight(image.id, None, &member.project).expect("a look");
    assert_eq!(seen, Some(Sight { image: image.access(), is_member: false, member: Some(member) }));
}

pub(super) fn member_ids_of_every_shape_are_kept_apart(store: &dyn Store) {
    let image = an_image("owner");
    keep(store, &image);
    let longest = "🦀".repeat(text::MAX_CHARS);
    let ids = [
        "p", "P", "p ", " p", "p/", "/", "..", ".", "../p", "p/q", "%70", "p\n", "\t", "\u{1}", "\u{1f}",
        "'", "\"", "\\", "p\\", "%", "_", "*", "?", "a\u{301}", "\u{e1}", "ß", "SS", "ss", "ı", "i", "I",
        "0", "00", "0.0", "null", "NULL", "true", "🦀", &longest, "\u{feff}", "\u{200b}",
    ];
    for (second, id) in (3..).zip(ids) {
        assert_eq!(sight(store, &image, id, id).member, None, "{id:?} was there already");
        share(store, &image, id, MemberStatus::Pending, second);
    }
    for (second, id) in (3..).zip(ids) {
        let seen = sight(store, &image, id, id);
        assert!(seen.is_member, "{id:?}");
        assert_eq!(
            seen.member.map(|member| (member.project, member.created_at)),
            Some((project(id), at(second)))
        );
    }
}

pub(super) fn a_second_membership_is_a_conflict_and_the_first_stays(store: &dyn Store) {
    let image = an_image("owner");
    keep(store, &image);
    let first = share(store, &image, "p", MemberStatus::Accepted, 3);
    let second = Member::offered(image.id, project("p"), at(4));
    let added = store.write(image.id, &cause(0), |tx| tx.insert_member(&second));
    assert!(
        matches!(&added, Err(Error::Conflict(Conflict::Member(id, p))) if *id == image.id && *p == second.project),
        "{added:?}"
    );
    assert_eq!(membership(store, image.id, &first.project), Some(first));
}

fn sharing(
    store: &dyn Store,
    image: &Image,
    caller: Option<&str>,
    with: &str,
    most: Option<usize>,
) -> Sharing {
    let caller = caller.map(project);
    let viewer = Viewer { project: caller.as_ref(), admin: true };
    let sharing = store.write(image.id, &cause(0), |tx| tx.sharing(viewer, &project(with), most));
    sharing.expect("a look").expect("the image")
}

pub(super) fn members_are_counted_for_each_image_apart(store: &dyn Store) {
    let (image, other) = (an_image("owner"), an_image("owner"));
    keep(store, &image);
    keep(store, &other);
    let count = |image| sharing(store, image, None, "p", Some(9)).members;
    for number in 0..5 {
        assert_eq!(count(&image), number);
        share(store, &image, &format!("p{number}"), MemberStatus::Rejected, 3);
    }
    share(store, &other, "p", MemberStatus::Pending, 3);
    assert_eq!((count(&image), count(&other)), (5, 1));
}

pub(super) fn members_are_counted_as_far_as_is_asked(store: &dyn Store) {
    let image = an_image("owner");
    keep(store, &image);
    for number in 0..4 {
        share(store, &image, &format!("p{number}"), MemberStatus::ALL[number % 3], 3);
    }
    for (most, counted) in [
        (None, 0),
        (Some(0), 0),
        (Some(1), 1),
        (Some(3), 3),
        (Some(4), 4),
        (Some(5), 4),
        (Some(usize::MAX), 4),
    ] {
        for (with, is_shared_already) in [("p3", true), ("q", false)] {
            let seen = sharing(store, &image, None, with, most);
            assert_eq!((seen.members, seen.is_shared_already), (counted, is_shared_already), "{most:?}");
        }
    }
}

pub(super) fn a_change_tells_with_whom_the_whole_image_is_shared(store: &dyn Store) {
    let (image, other) = (full("owner"), an_image("owner"));
    keep(store, &image);
    keep(store, &other);
    share(store, &other, "q", MemberStatus::Accepted, 3);
    for (number, status) in MemberStatus::ALL.into_iter().enumerate() {
        share(store, &image, status.as_str(), status, 3);
        let expected = |is_member, is_shared_already| Sharing {
            found: FoundImage { access: image.access(), is_member, image: Some(image.clone()) },
            is_shared_already,
            members: number + 1,
        };
        let word = status.as_str();
        assert_eq!(sharing(store, &image, Some(word), word, Some(9)), expected(true, true));
        assert_eq!(sharing(store, &image, Some(word), "q", Some(9)), expected(true, false));
        assert_eq!(sharing(store, &image, Some("owner"), word, Some(9)), expected(false, true));
        assert_eq!(sharing(store, &image, None, &word.to_uppercase(), Some(9)), expected(false, false));
    }
}

pub(super) fn a_membership_that_is_dropped_never_was(store: &dyn Store) {
    let image = an_image("owner");
    keep(store, &image);
    let member = Member::offered(image.id, project("p"), at(3));
    let mut tx = store.begin(image.id, &cause(0)).expect("a change");
    tx.insert_member(&member).expect("a new membership");
    drop(tx);
    assert_eq!(membership(store, image.id, &member.project), None);
    store.write(image.id, &cause(0), |tx| tx.insert_member(&member)).expect("it is free");
}

fn roll(store: &dyn Store, image: &Image, viewer: Option<&str>, admin: bool, page: &MembersPage) -> Roll {
    let project = viewer.map(project);
    let viewer = Viewer { project: project.as_ref(), admin };
    store.members(image.id, viewer, page).expect("a look").expect("the image")
}

fn names(roll: &Roll) -> Vec<&str> {
    roll.members.iter().map(|member| member.project.as_str()).collect()
}

pub(super) fn the_owner_and_admins_see_all_members_others_themselves(store: &dyn Store) {
    let (image, other) = (an_image("owner"), an_image("owner"));
    keep(store, &image);
    keep(store, &other);
    let all = [
        share(store, &image, "p", MemberStatus::Pending, 3),
        share(store, &image, "q", MemberStatus::Rejected, 4),
        share(store, &image, "r", MemberStatus::Accepted, 5),
    ];
    share(store, &other, "elsewhere", MemberStatus::Accepted, 3);
    let page = MembersPage::default();
    let expected =
        |is_member, members: &[Member]| Roll { image: image.access(), is_member, members: members.to_vec() };
    assert_eq!(roll(store, &image, Some("owner"), false, &page), expected(false, &all));
    assert_eq!(roll(store, &image, Some("elsewhere"), true, &page), expected(false, &all));
    assert_eq!(roll(store, &image, Some("q"), true, &page), expected(true, &all));
    assert_eq!(roll(store, &image, None, true, &page), expected(false, &all));
    assert_eq!(roll(store, &image, Some("q"), false, &page), expected(true, &all[1..2]));
    assert_eq!(roll(store, &image, Some("elsewhere"), false, &page), expected(false, &[]));
    assert_eq!(roll(store, &image, None, false, &page), expected(false, &[]));
    let viewer = Viewer { project: Some(&all[0].project), admin: true };
    assert_eq!(store.members(ImageId::random(), viewer, &page).expect("a look"), None);
}

pub(super) fn nobody_owns_an_image_without_an_owner(store: &dyn Store) {
    let image = Image { owner: None, ..an_image("owner") };
    keep(store, &image);
    share(store, &image, "p", MemberStatus::Pending, 3);
    let page = MembersPage::default();
    assert_eq!(names(&roll(store, &image, None, false, &page)), Vec::<&str>::new());
    assert_eq!(names(&roll(store, &image, Some("owner"), false, &page)), Vec::<&str>::new());
    assert_eq!(names(&roll(store, &image, Some("p"), false, &page)), ["p"]);
    assert_eq!(names(&roll(store, &image, None, true, &page)), ["p"]);
}

pub(super) fn members_are_ordered_by_creation_then_project(store: &dyn Store) {
    let image = an_image("owner");
    keep(store, &image);
    for (name, second) in
        [("late", 9), ("é", 5), ("b", 5), ("a", 5), ("B", 5), ("a b", 5), ("early", 3), ("z", 4)]
    {
        share(store, &image, name, MemberStatus::Pending, second);
    }
    let listed = roll(store, &image, Some("owner"), false, &MembersPage::default());
    assert_eq!(names(&listed), ["early", "z", "B", "a", "a b", "b", "é", "late"]);
}

pub(super) fn pages_of_members_hold_each_once(store: &dyn Store) {
    let image = an_image("owner");
    keep(store, &image);
    for number in 0..10 {
        share(store, &image, &format!("p{number}"), MemberStatus::Pending, 3 + number % 3);
    }
    let all = roll(store, &image, Some("owner"), false, &MembersPage::default());
    assert_eq!(all.members.len(), 10);
    for limit in 1..=11 {
        let mut walked = Vec::new();
        let mut page = MembersPage { after: None, limit: Some(limit) };
        loop {
            let listed = roll(store, &image, Some("owner"), false, &page).members;
            assert!(listed.len() <= limit);
            let Some(last) = listed.last() else { break };
            page.after = Some((last.created_at, last.project.clone()));
            walked.extend(listed);
        }
        assert_eq!(walked, all.members, "in pages of {limit}");
    }
    // Whose membership is not on the page still has it; a member's own page holds no others.
    let page = MembersPage { after: Some((at(5), project("p5"))), limit: Some(1) };
    let own = roll(store, &image, Some("p0"), false, &page);
    assert!(own.is_member && own.members.is_empty());
    assert_eq!(names(&roll(store, &image, Some("p8"), false, &page)), ["p8"]);
    let gone = MembersPage { after: Some((at(4), project("p3"))), limit: None };
    assert_eq!(names(&roll(store, &image, Some("owner"), false, &gone)), ["p4", "p7", "p2", "p5", "p8"]);
}

pub(super) fn a_page_of_no_members_still_tells_the_image(store: &dyn Store) {
    let image = an_image("owner");
    keep(store, &image);
    let nothing = MembersPage { after: None, limit: Some(0) };
    let expected = |is_member| Roll { image: image.access(), is_member, members: Vec::new() };
    assert_eq!(roll(store, &image, Some("owner"), false, &MembersPage::default()), expected(false));
    assert_eq!(roll(store, &image, Some("owner"), false, &nothing), expected(false));
    share(store, &image, "p", MemberStatus::Pending, 3);
    assert_eq!(roll(store, &image, Some("owner"), false, &nothing), expected(false));
    assert_eq!(roll(store, &image, Some("p"), false, &nothing), expected(true));
}

pub(super) fn a_status_is_set_and_the_time_moves_only_if_it_changed(store: &dyn Store) {
    let image = an_image("owner");
    keep(store, &image);
    let other = share(store, &image, "q", MemberStatus::Pending, 3);
    let mut expected = share(store, &image, "p", MemberStatus::Pending, 3);
    let mut second = 3;
    for from in MemberStatus::ALL {
        for to in [from].into_iter().chain(MemberStatus::ALL) {
            second += 1;
            if expected.status != to {
                expected.updated_at = at(second);
            }
            expected.status = to;
            let set = store.set_status(&image.access(), &expected.project, to, &cause(second));
            assert_eq!(set.expect("a write").as_ref(), Some(&expected));
            assert_eq!(membership(store, image.id, &expected.project).as_ref(), Some(&expected));
        }
    }
    assert_eq!(membership(store, image.id, &other.project), Some(other));
    assert_eq!(find(store, image.id), Some(image));
}

pub(super) fn a_status_is_set_only_if_the_image_is_as_it_was_seen(store: &dyn Store) {
    let image = an_image("owner");
    let ownerless = Image { owner: None, ..an_image("owner") };
    for image in [image, ownerless] {
        keep(store, &image);
        let member = share(store, &image, "p", MemberStatus::Pending, 3);
        let set = |seen: &ImageAccess, project: &ProjectId| {
            store.set_status(seen, project, MemberStatus::Accepted, &cause(4)).expect("a write")
        };
        for seen in outdated(&image.access()).iter().filter(|seen| **seen != image.access()) {
            assert_eq!(set(seen, &member.project), None, "{seen:?}");
        }
        assert_eq!(set(&image.access(), &project("q")), None);
        assert_eq!(membership(store, image.id, &member.project).as_ref(), Some(&member));
        assert!(set(&image.access(), &member.project).is_some());
    }
}

pub(super) fn a_membership_is_deleted_once(store: &dyn Store) {
    let (image, other) = (an_image("owner"), an_image("owner"));
    keep(store, &image);
    keep(store, &other);
    let gone = share(store, &image, "p", MemberStatus::Accepted, 3);
    let stay = [
        share(store, &image, "q", MemberStatus::Accepted, 3),
        share(store, &other, "p", MemberStatus::Accepted, 3),
    ];
    assert!(!store.delete_member(&image.access(), &project("nobody"), &cause(9)).expect("a write"));
    assert!(store.delete_member(&image.access(), &gone.project, &cause(9)).expect("a write"));
    assert!(!store.delete_member(&image.access(), &gone.project, &cause(9)).expect("a write"));
    assert_eq!(membership(store, image.id, &gone.project), None);
    for member in stay {
        assert_eq!(membership(store, member.image, &member.project), Some(member));
    }
}

pub(super) fn a_membership_is_deleted_only_if_the_image_is_as_it_was_seen(store: &dyn Store) {
    let image = an_image("owner");
    let ownerless = Image { owner: None, ..an_image("owner") };
    for image in [image, ownerless] {
        keep(store, &image);
        let member = share(store, &image, "p", MemberStatus::Pending, 3);
        for seen in outdated(&image.access()).iter().filter(|seen| **seen != image.access()) {
            assert!(!store.delete_member(seen, &member.project, &cause(9)).expect("a write"), "{seen:?}");
        }
        assert_eq!(membership(store, image.id, &member.project).as_ref(), Some(&member));
        assert!(store.delete_member(&image.access(), &member.project, &cause(9)).expect("a write"));
    }
}

pub(super) fn a_project_that_is_added_again_starts_anew(store: &dyn Store) {
    let image = an_image("owner");
    keep(store, &image);
    share(store, &image, "p", MemberStatus::Accepted, 3);
    store.delete_member(&image.access(), &project("p"), &cause(9)).expect("a write");
    let again = share(store, &image, "p", MemberStatus::Pending, 9);
    assert_eq!(sight(store, &image, "p", "p").member, Some(again));
}
