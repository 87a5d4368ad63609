//! Many looks and many changes of status at once: each is what it would have been alone.

use std::collections::BTreeMap;

use super::{keep, listing::of_bytes, membership, random::Random, share, together::at_once};
use crate::{
    event::Cause,
    image::{Image, ImageAccess, ImageId, Visibility},
    limits::{BATCH_ID_BYTES, BATCH_MEMBERS},
    member::{Member, MemberStatus},
    project::ProjectId,
    store::{Batched, MembersPage, SightOf, StatusChange, Store, Viewer},
    testing::builders::{an_image, at, cause, project},
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

        let viewers: Vec<_> = asked
            .iter()
            .map(|one| (one.image, Viewer { project: one.caller, admin: random.once_in(3) }))
            .collect();
        let alone = viewers.iter().map(|(id, viewer)| store.image(*id, *viewer).expect("a look"));
        let alone: Vec<_> = alone.map(Batched::Answered).collect();
        assert_eq!(store.whole_images(&viewers).expect("looks"), alone);

        let all = MembersPage::default();
        let alone = viewers.iter().map(|(id, viewer)| store.members(*id, *viewer, &all).expect("a look"));
        let alone: Vec<_> = alone.map(Batched::Answered).collect();
        assert_eq!(store.rolls(&viewers).expect("looks"), alone);
    }
}

pub(super) fn a_batch_of_images_is_bounded_in_bytes(store: &dyn Store) {
    let images: Vec<Image> = (0..64).map(|_| of_bytes(250 * 1024, an_image("owner"))).collect();
    for image in &images {
        keep(store, image);
    }
    let (owner, stranger) = (project("owner"), project("stranger"));
    // What is not seen takes no room.
    let asked: Vec<_> = images
        .iter()
        .flat_map(|image| {
            [&stranger, &owner].map(|project| (image.id, Viewer { project: Some(project), admin: false }))
        })
        .collect();
    let answers = store.whole_images(&asked).expect("looks");
    assert_eq!(answers.len(), asked.len());
    let (mut whole, mut alone) = (0, 0);
    for ((id, viewer), answer) in asked.iter().zip(answers) {
        match answer {
            Batched::Answered(found) => {
                whole += usize::from(found.as_ref().is_some_and(|found| found.image.is_some()));
                assert_eq!(found, store.image(*id, *viewer).expect("a look"));
            }
            Batched::Alone => {
                assert_eq!(viewer.project, Some(&owner));
                alone += 1;
            }
        }
    }
    // A store that asks one by one may answer all.
    assert!([(4, 60), (64, 0)].contains(&(whole, alone)), "{whole} answered, {alone} to be made alone");
}

pub(super) fn a_batch_of_member_lists_is_bounded_in_rows_and_bytes(store: &dyn Store) {
    let longest = |letter: &str| letter.repeat(BATCH_ID_BYTES);
    let too_long = |letter: &str| "é".repeat(BATCH_ID_BYTES / 2) + letter;
    let images = [
        ("owner".into(), numbered(BATCH_MEMBERS)),
        ("owner".into(), numbered(BATCH_MEMBERS + 1)),
        (longest("o"), vec![longest("a"), "p7".into()]),
        ("owner".into(), vec!["p7".into(), too_long("a")]),
        (too_long("o"), vec!["p7".into()]),
    ];
    let owned: Vec<_> = images
        .into_iter()
        .map(|(owner, members)| {
            let image = an_image(&owner);
            keep(store, &image);
            store
                .write(image.id, &cause(0), |tx| {
                    let mut projects = members.iter().map(|member| project(member));
                    projects.try_for_each(|id| tx.insert_member(&Member::offered(image.id, id, at(3))))
                })
                .expect("members");
            (image.id, project(&owner), members.len())
        })
        .collect();
    let member = project("p7");
    let viewer = |project| Viewer { project: Some(project), admin: false };
    let mut asked: Vec<_> = owned.iter().map(|(id, owner, _)| (*id, viewer(owner))).collect();
    asked.extend(owned.iter().map(|(id, ..)| (*id, viewer(&member))));
    let answers = store.rolls(&asked).expect("looks");
    let counts: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            Batched::Answered(roll) => roll.as_ref().map(|roll| roll.members.len()),
            Batched::Alone => None,
        })
        .collect();
    let by_owner = [Some(owned[0].2), None, Some(owned[2].2), None, None];
    assert_eq!(counts[..5], by_owner, "what is too much for a batch is left out, the rest is whole");
    assert_eq!(counts[5..], [Some(1), Some(1), Some(1), Some(1), None], "a member sees itself");
}

/// So many projects.
fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("p{number}")).collect()
}

pub(super) fn many_statuses_become_what_each_in_turn_would_make_them(store: &dyn Store) {
    let random = &mut Random(12);
    let (ids, mut model) = catalogue(store, random);
    let projects = PROJECTS.map(project);
    let images: Vec<ImageAccess> = ids
        .iter()
        .map(|id| match store.image(*id, Viewer::ADMIN).expect("a look") {
            Some(found) => found.access,
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
