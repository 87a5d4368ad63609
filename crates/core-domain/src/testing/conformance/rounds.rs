//! Many looks and many changes of status at once: each is what it would have been alone.

use std::{collections::BTreeMap, sync::Arc};

use super::{keep, membership, random::Random, share, together::at_once};
use crate::{
    caller::{Context, Rules},
    event::Cause,
    image::{Image, ImageAccess, ImageId, Visibility},
    member::{Member, MemberStatus},
    project::ProjectId,
    round::{self, Call},
    sharing,
    store::{MembersPage, ROLL_MEMBERS, SightOf, StatusChange, Store, Viewer},
    testing::builders::{an_image, at, caller, cause, project},
};

const PROJECTS: [&str; 4] = ["owner", "p", "q", "r"];

/// Images of several kinds, some of whose possible memberships are there; and one id that names none.
fn catalogue(
    store: &dyn Store,
    random: &mut Random,
) -> (Vec<ImageId>, BTreeMap<(ImageId, ProjectId), Member>) {
    let mut members = BTreeMap::new();
    let kinds = [
        an_image("owner"),
        Image { owner: None, ..an_image("owner") },
        Image {
            visibility: Visibility::Private,
            tags: ["x".to_owned(), "y".to_owned()].into(),
            properties: [("k".to_owned(), "v".to_owned()), ("l".to_owned(), String::new())].into(),
            ..an_image("q")
        },
    ];
    let mut ids = vec![ImageId::random()];
    for image in kinds {
        keep(store, &image);
        ids.push(image.id);
        for name in random.some_of(&PROJECTS) {
            // Some at the same time, some not in the order of their names.
            let second = 3 + i64::from(name < "q");
            let member = share(store, &image, name, random.one_of(&MemberStatus::ALL), second);
            members.insert((image.id, member.project.clone()), member);
        }
    }
    (ids, members)
}

pub(super) fn many_looks_see_what_each_alone_would(store: &dyn Store) {
    let random = &mut Random(11);
    let (ids, _) = catalogue(store, random);
    let projects = PROJECTS.map(project);
    let callers: Vec<Option<&ProjectId>> = projects.iter().map(Some).chain([None]).collect();
    assert_eq!(store.sights(&[]).expect("no look"), []);
    assert_eq!(store.whole_images(&[]).expect("no look"), []);
    assert_eq!(store.rolls(&[]).expect("no look"), []);
    for size in [1, 2, 7, 64, 300] {
        let asked: Vec<SightOf<'_>> = (0..size)
            .map(|_| SightOf {
                image: random.one_of(&ids),
                caller: random.one_of(&callers),
                member: &projects[random.below(projects.len())],
            })
            .collect();
        let alone = asked.iter().map(|one| store.sight(one.image, one.caller, one.member).expect("a look"));
        assert_eq!(store.sights(&asked).expect("looks"), alone.collect::<Vec<_>>());

        let images: Vec<_> = asked.iter().map(|one| (one.image, one.caller)).collect();
        let alone = images.iter().map(|(id, caller)| store.image(*id, *caller).expect("a look"));
        assert_eq!(store.whole_images(&images).expect("looks"), alone.collect::<Vec<_>>());

        let viewers: Vec<_> = images
            .iter()
            .map(|(id, project)| (*id, Viewer { project: *project, admin: random.once_in(3) }))
            .collect();
        let all = MembersPage::default();
        let alone = viewers.iter().map(|(id, viewer)| store.members(*id, *viewer, &all).expect("a look"));
        assert_eq!(store.rolls(&viewers).expect("looks"), alone.collect::<Vec<_>>());
    }
}

pub(super) fn a_look_at_many_members_has_one_more_than_it_may(store: &dyn Store) {
    let (few, many) = (an_image("owner"), an_image("owner"));
    for (image, count) in [(&few, ROLL_MEMBERS), (&many, ROLL_MEMBERS + 40)] {
        keep(store, image);
        for number in 0..count {
            share(store, image, &number.to_string(), MemberStatus::Pending, 3);
        }
    }
    let owner = project("owner");
    let viewer = Viewer { project: Some(&owner), admin: false };
    let rolls = store.rolls(&[(few.id, viewer), (many.id, viewer), (few.id, viewer)]).expect("looks");
    let counts: Vec<usize> =
        rolls.iter().map(|roll| roll.as_ref().expect("an image").members.len()).collect();
    assert_eq!(counts, [ROLL_MEMBERS, ROLL_MEMBERS + 1, ROLL_MEMBERS]);
    let whole = store.members(few.id, viewer, &MembersPage::default()).expect("a look");
    assert_eq!((&rolls[0], &rolls[2]), (&whole, &whole));

    // Such a list is not for a round.
    let caller = Arc::new(caller("owner", &["reader"]));
    let rules = Rules::default();
    let call =
        |image| Call { caller: Arc::clone(&caller), image, what: (), now: at(9), request: "req-9".into() };
    let listed = round::list_members(&rules, store, &[call(few.id), call(many.id)]);
    assert_eq!(listed.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
    let context = Context { caller: &caller, rules: &rules, now: at(9), request: "req-9" };
    let (alone, more) = sharing::list(context, store, many.id, None, None, None).expect("a list");
    assert_eq!((alone.len(), more), (ROLL_MEMBERS + 40, false));
}

pub(super) fn many_statuses_become_what_each_in_turn_would_make_them(store: &dyn Store) {
    let random = &mut Random(12);
    let (ids, mut model) = catalogue(store, random);
    let projects = PROJECTS.map(project);
    let images: Vec<ImageAccess> = ids
        .iter()
        .map(|id| match store.image(*id, None).expect("a look") {
            Some((image, _)) => image.access(),
            None => ImageAccess { id: *id, owner: None, visibility: Visibility::Shared },
        })
        .collect();
    assert_eq!(store.set_statuses(&[]).expect("no change"), []);
    for round in 0..60 {
        // A few times the image is another than it was seen as, and that change must not be made.
        let seen: Vec<ImageAccess> = (0..random.below(20))
            .map(|_| {
                let access = random.one_of(&images);
                if random.once_in(8) {
                    ImageAccess { owner: Some(project("somebody else")), ..access }
                } else {
                    access
                }
            })
            .collect();
        let causes: Vec<Cause> = (0..20).map(|second| cause(100 * round + second)).collect();
        let changes: Vec<StatusChange<'_>> = causes
            .iter()
            .zip(&seen)
            .map(|(cause, seen)| StatusChange {
                seen,
                member: &projects[random.below(projects.len())],
                status: random.one_of(&MemberStatus::ALL),
                cause,
            })
            .collect();
        let answers = store.set_statuses(&changes).expect("changes");
        assert_eq!(answers.len(), changes.len());
        // Whoever was not answered goes alone, afterwards.
        let (done, left): (Vec<_>, Vec<_>) =
            changes.iter().zip(answers).partition(|(_, answer)| answer.is_some());
        let alone = left.into_iter().map(|(change, _)| {
            let answer = store.set_status(change.seen, change.member, change.status, change.cause);
            (change, answer.expect("a change"))
        });
        for (change, answer) in done.into_iter().chain(alone.collect::<Vec<_>>()) {
            let fits = images.contains(change.seen);
            let member = model.get_mut(&(change.seen.id, change.member.clone())).filter(|_| fits);
            if let Some(member) = member {
                if member.status != change.status {
                    (member.status, member.updated_at) = (change.status, change.cause.at);
                }
                assert_eq!(answer.as_ref(), Some(&*member));
            } else {
                assert_eq!(answer, None);
            }
        }
    }
    for ((image, project), member) in model {
        assert_eq!(membership(store, image, &project), Some(member));
    }
}

pub(super) fn of_many_answers_for_one_membership_each_has_its_own(store: &dyn Store) {
    let image = an_image("owner");
    keep(store, &image);
    let other = share(store, &image, "q", MemberStatus::Pending, 3);
    let member = share(store, &image, "p", MemberStatus::Pending, 3);
    let access = image.access();
    let threads = at_once(4, |thread| {
        let thread = i64::try_from(thread).unwrap_or(0);
        let status = |second: i64| MemberStatus::ALL[usize::try_from(second).unwrap_or(0) % 3];
        let causes: Vec<Cause> = (0_i64..64).map(|second| cause(1000 * thread + second)).collect();
        let changes: Vec<_> = (0_i64..64)
            .zip(&causes)
            .map(|(second, cause)| StatusChange {
                seen: &access,
                member: &member.project,
                status: status(second),
                cause,
            })
            .collect();
        let answers = store.set_statuses(&changes).expect("changes");
        for (change, answer) in changes.iter().zip(&answers) {
            assert!(answer.as_ref().is_none_or(|answer| answer.status == change.status));
        }
        answers
    });
    let now = membership(store, image.id, &member.project).expect("the member");
    assert!(threads.concat().contains(&Some(now.clone())), "{now:?} is nobody's answer: {threads:?}");
    assert_eq!(membership(store, image.id, &other.project), Some(other));
}
