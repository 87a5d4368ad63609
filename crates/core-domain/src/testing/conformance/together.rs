//! Many at once. Whatever the interleaving, the outcome must be one that some order of whole calls has too.

use std::{
    collections::BTreeSet,
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use super::{find, keep, membership};
use crate::{
    caller::{Context, Rules},
    catalog,
    error::{Conflict, Error, Missing},
    image::{Image, ImageId, Visibility},
    limits::Limits,
    listing::Listing,
    member::{Member, MemberStatus},
    sharing,
    store::{MembersPage, Store, Viewer},
    testing::builders::{an_image, at, caller, cause, project},
};

const THREADS: usize = 8;

/// Runs `work` in many threads that start together; what each answered.
pub(super) fn at_once<T: Send>(threads: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        let (start, work) = (&start, &work);
        let running: Vec<_> = (0..threads)
            .map(|number| {
                scope.spawn(move || {
                    start.wait();
                    work(number)
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().expect("a thread that did not panic")).collect()
    })
}

fn members(store: &dyn Store, id: ImageId) -> Vec<Member> {
    let everybody = Viewer { project: None, admin: true };
    let roll = store.members(id, everybody, &MembersPage::default()).expect("a look");
    roll.expect("the image").members
}

fn at_most(members: usize) -> Rules {
    Rules { limits: Limits { members_per_image: Some(members), ..Limits::default() }, ..Rules::default() }
}

/// Every thread adds projects of its own until the image is full, and beyond.
fn fill_up(store: &dyn Store, id: ImageId, rules: &Rules, maximum: usize) {
    let owner = caller("owner", &["member"]);
    let added: usize = at_once(THREADS, |thread| {
        let each = (0..4).filter(|number| {
            let added = loop {
                let project = project(&format!("p{thread}.{number}"));
                match sharing::add(Context::now(&owner, rules, "req-test"), store, id, &project) {
                    // Not made yet.
                    Err(Error::NotFound(_)) => thread::yield_now(),
                    other => break other,
                }
            };
            match added {
                Ok(_) => true,
                Err(Error::LimitExceeded(refused)) => {
                    assert_eq!((refused.attempted, refused.maximum), (maximum + 1, maximum));
                    false
                }
                Err(other) => unreachable!("{other:?}"),
            }
        });
        each.count()
    })
    .into_iter()
    .sum();
    assert_eq!((added, members(store, id).len()), (maximum, maximum));
}

pub(super) fn the_limit_of_members_is_exact(store: &dyn Store) {
    for maximum in [1, 7, 20] {
        let image = an_image("owner");
        keep(store, &image);
        fill_up(store, image.id, &at_most(maximum), maximum);
    }
}

pub(super) fn the_limit_of_members_is_exact_for_an_image_just_being_made(store: &dyn Store) {
    for _ in 0..20 {
        let image = an_image("owner");
        thread::scope(|scope| {
            scope.spawn(|| fill_up(store, image.id, &at_most(3), 3));
            scope.spawn(|| keep(store, &image));
        });
    }
}

fn images_at_most(images: usize) -> Rules {
    Rules { limits: Limits { images_per_project: Some(images), ..Limits::default() }, ..Rules::default() }
}

fn owned(store: &dyn Store, owner: &str) -> Vec<Image> {
    let owner = project(owner);
    let listing = Listing { owner: Some(owner.clone()), ..Listing::of(owner, false, 1000) };
    store.images(&listing).expect("a list").images
}

/// Whether a call that adds an image to a project was done; the only refusal is the limit's.
fn is_done<T>(added: Result<T, Error>, maximum: usize) -> bool {
    match added {
        Ok(_) => true,
        Err(Error::LimitExceeded(refused)) => {
            assert_eq!((refused.attempted, refused.maximum), (maximum + 1, maximum));
            false
        }
        Err(other) => unreachable!("{other:?}"),
    }
}

/// The owner makes images, an admin makes some for it and gives it others', all at once, until there is no room and beyond;
/// and what is deleted makes room for as many.
pub(super) fn the_limit_of_images_is_exact(store: &dyn Store) {
    let (owner, admin) = (caller("owner", &["member"]), caller("ops", &["admin"]));
    for maximum in [1, 7] {
        let rules = images_at_most(maximum);
        let others: Vec<Image> = (0..THREADS).map(|_| an_image("other")).collect();
        others.iter().for_each(|image| keep(store, image));
        let done = |thread: usize| {
            let cx = |who| Context::now(who, &rules, "req-test");
            let mine =
                || catalog::NewImage { owner: Some(Some(project("owner"))), ..catalog::NewImage::default() };
            let give = [catalog::Edit::Owner(Some(project("owner")))];
            [
                is_done(catalog::create(cx(&owner), store, catalog::NewImage::default()), maximum),
                is_done(catalog::change(cx(&admin), store, others[thread].id, &give), maximum),
                is_done(catalog::create(cx(&admin), store, mine()), maximum),
            ]
        };
        let added = at_once(THREADS, done).concat().into_iter().filter(|done| *done).count();
        let kept = owned(store, "owner");
        assert_eq!((added, kept.len()), (maximum, maximum));
        let cx = Context::now(&owner, &rules, "req-test");
        catalog::delete(cx, store, kept[0].id).expect("a deletion");
        let added = at_once(THREADS, |_| {
            let cx = Context::now(&owner, &rules, "req-test");
            is_done(catalog::create(cx, store, catalog::NewImage::default()), maximum)
        });
        let kept = owned(store, "owner");
        assert_eq!((added.into_iter().filter(|done| *done).count(), kept.len()), (1, maximum));
        kept.iter().for_each(|image| catalog::delete(cx, store, image.id).expect("a deletion"));
    }
}

/// Two projects near their limit are given each other's images, back and forth: neither ever owns more than it may, and no
/// change waits for another that waits for it.
pub(super) fn images_that_change_hands_at_once_keep_the_limit(store: &dyn Store) {
    let admin = caller("ops", &["admin"]);
    let rules = images_at_most(3);
    let names = ["a", "b"];
    let images: Vec<Image> = (0..5).map(|number| an_image(names[number % 2])).collect();
    images.iter().for_each(|image| keep(store, image));
    at_once(THREADS, |thread| {
        for turn in 0..20 {
            let to = names[(thread + turn) % 2];
            let give = [catalog::Edit::Owner(Some(project(to)))];
            let cx = Context::now(&admin, &rules, "req-test");
            let is_given = is_done(catalog::change(cx, store, images[turn % images.len()].id, &give), 3);
            let count = owned(store, to).len();
            assert!(count <= 3, "{to} owns {count} after {is_given}");
        }
    });
    assert_eq!(owned(store, "a").len() + owned(store, "b").len(), images.len());
}

pub(super) fn one_of_many_adding_the_same_project_succeeds(store: &dyn Store) {
    let (owner, rules) = (caller("owner", &["member"]), Rules::default());
    for _ in 0..20 {
        let image = an_image("owner");
        keep(store, &image);
        let added = at_once(THREADS, |_| {
            match sharing::add(Context::now(&owner, &rules, "req-test"), store, image.id, &project("p")) {
                Ok(member) => Some(member),
                Err(Error::Conflict(Conflict::Member(..))) => None,
                Err(other) => unreachable!("{other:?}"),
            }
        });
        let added: Vec<Member> = added.into_iter().flatten().collect();
        assert_eq!(added, members(store, image.id));
        assert_eq!(added.len(), 1);
    }
}

pub(super) fn one_of_many_making_the_same_image_succeeds(store: &dyn Store) {
    for _ in 0..20 {
        let id = ImageId::random();
        let made = at_once(THREADS, |thread| {
            let (owner, rules) = (caller(&format!("p{thread}"), &["member"]), Rules::default());
            let new = catalog::NewImage { id: Some(id), ..catalog::NewImage::default() };
            match catalog::create(Context::now(&owner, &rules, "req-test"), store, new) {
                Ok(image) => {
                    // And deleting it gives nobody else a chance.
                    catalog::delete(Context::now(&owner, &rules, "req-test"), store, id).expect("a deletion");
                    Some(image)
                }
                Err(Error::Conflict(Conflict::Image(_))) => None,
                Err(other) => unreachable!("{other:?}"),
            }
        });
        assert_eq!(made.into_iter().flatten().count(), 1);
        assert_eq!(find(store, id), None);
    }
}

pub(super) fn changes_of_one_image_come_one_after_another(store: &dyn Store) {
    let image = an_image("owner");
    keep(store, &image);
    at_once(THREADS, |_| {
        for _ in 0..20 {
            store
                .write(image.id, &cause(0), |tx| {
                    let mut image =
                        tx.image(Viewer::ADMIN)?.and_then(|found| found.image).expect("the image");
                    image.min_disk += 1;
                    image.properties.insert("count".to_owned(), image.min_disk.to_string());
                    tx.update_image(&image)
                })
                .expect("a change");
        }
    });
    let last = find(store, image.id).expect("the image");
    assert_eq!(last.min_disk, i32::try_from(THREADS * 20).expect("a small number"));
    assert_eq!(last.properties["count"], last.min_disk.to_string());
}

pub(super) fn adding_and_removing_at_once_leaves_a_serial_outcome(store: &dyn Store) {
    let (owner, rules) = (caller("owner", &["member"]), Rules::default());
    let image = an_image("owner");
    keep(store, &image);
    let (added, removed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    at_once(THREADS, |thread| {
        for _ in 0..25 {
            let cx = Context::now(&owner, &rules, "req-test");
            if thread % 2 == 0 {
                match sharing::add(cx, store, image.id, &project("p")) {
                    Ok(_) => added.fetch_add(1, Ordering::SeqCst),
                    Err(Error::Conflict(_)) => 0,
                    Err(other) => unreachable!("{other:?}"),
                };
            } else {
                match sharing::remove(cx, store, image.id, &project("p")) {
                    Ok(()) => removed.fetch_add(1, Ordering::SeqCst),
                    // Gone and back between every look and every write: then nothing was done.
                    Err(Error::NotFound(Missing::Member(..)) | Error::Contention(_)) => 0,
                    Err(other) => unreachable!("{other:?}"),
                };
            }
        }
    });
    // In every order of whole calls each removal ends one adding.
    let left = members(store, image.id).len();
    assert_eq!(added.into_inner() - removed.into_inner(), left);
    assert!(left <= 1);
}

pub(super) fn answering_while_removed_and_added_leaves_a_serial_outcome(store: &dyn Store) {
    let (owner, member, rules) = (caller("owner", &["member"]), caller("p", &["member"]), Rules::default());
    for _ in 0..20 {
        let image = an_image("owner");
        keep(store, &image);
        sharing::add(Context::now(&owner, &rules, "req-test"), store, image.id, &project("p"))
            .expect("a member");
        let answers = at_once(2, |thread| {
            if thread == 0 {
                let cx = Context::now(&member, &rules, "req-test");
                sharing::set_status(cx, store, image.id, &project("p"), MemberStatus::Accepted).map(Some)
            } else {
                let cx = Context::now(&owner, &rules, "req-test");
                sharing::remove(cx, store, image.id, &project("p"))?;
                sharing::add(cx, store, image.id, &project("p")).map(|_| None)
            }
        });
        let now = membership(store, image.id, &project("p")).expect("the member");
        match &answers[..] {
            // The answer came before the removal, and is gone, or after the second offer, and is there.
            [Ok(Some(answered)), Ok(None)] => {
                assert!(now == *answered || now.status == MemberStatus::Pending, "{now:?} {answered:?}");
            }
            // Between the two.
            [Err(Error::NotFound(_)), Ok(None)] => assert_eq!(now.status, MemberStatus::Pending),
            other => unreachable!("{other:?}"),
        }
    }
}

pub(super) fn whoever_was_removed_stays_removed(store: &dyn Store) {
    let (owner, member, rules) = (caller("owner", &["member"]), caller("p", &["member"]), Rules::default());
    for _ in 0..20 {
        let image = an_image("owner");
        keep(store, &image);
        sharing::add(Context::now(&owner, &rules, "req-test"), store, image.id, &project("p"))
            .expect("a member");
        at_once(3, |thread| {
            if thread == 0 {
                sharing::remove(Context::now(&owner, &rules, "req-test"), store, image.id, &project("p"))
                    .expect("a removal");
                assert!(catalog::show(Context::now(&member, &rules, "req-test"), store, image.id).is_err());
                assert!(
                    sharing::show(Context::now(&member, &rules, "req-test"), store, image.id, &project("p"))
                        .is_err()
                );
            } else {
                for status in MemberStatus::ALL {
                    let cx = Context::now(&member, &rules, "req-test");
                    match sharing::set_status(cx, store, image.id, &project("p"), status) {
                        Ok(_) | Err(Error::NotFound(_)) => {}
                        Err(other) => unreachable!("{other:?}"),
                    }
                }
            }
        });
        assert_eq!(membership(store, image.id, &project("p")), None);
    }
}

pub(super) fn readers_see_a_change_whole_or_not_at_all(store: &dyn Store) {
    let before = an_image("owner");
    let after = Image {
        name: Some("after".to_owned()),
        tags: BTreeSet::from(["x".to_owned(), "y".to_owned()]),
        properties: [("k".to_owned(), "v".to_owned())].into(),
        ..before.clone()
    };
    keep(store, &before);
    let is_over = AtomicBool::new(false);
    at_once(3, |thread| {
        if thread == 0 {
            for round in 0..40 {
                let image = if round % 2 == 0 { &after } else { &before };
                store
                    .write(image.id, &cause(0), |tx| {
                        tx.update_image(image)?;
                        for name in ["p", "q"] {
                            tx.insert_member(&Member::offered(
                                image.id,
                                project(&format!("{name}{round}")),
                                at(3),
                            ))?;
                        }
                        Ok(())
                    })
                    .expect("a change");
            }
            is_over.store(true, Ordering::SeqCst);
        } else {
            let listing = Listing::of(project("owner"), false, 10);
            while !is_over.load(Ordering::SeqCst) {
                let seen = find(store, before.id).expect("the image");
                assert!(seen == before || seen == after, "{seen:?}");
                let listed = store.images(&listing).expect("a list").images;
                assert!(listed == [before.clone()] || listed == [after.clone()], "{listed:?}");
                assert!(members(store, before.id).len().is_multiple_of(2));
            }
        }
    });
}

pub(super) fn a_private_image_is_never_seen_with_members(store: &dyn Store) {
    let (owner, rules) = (caller("owner", &["member"]), Rules::default());
    for _ in 0..20 {
        let image = Image { visibility: Visibility::Private, ..an_image("owner") };
        keep(store, &image);
        at_once(3, |thread| {
            if thread == 0 {
                sharing::add(Context::now(&owner, &rules, "req-test"), store, image.id, &project("p"))
                    .expect("a member");
            } else {
                loop {
                    let seen = store.sight(image.id, Some(&project("p")), &project("p"));
                    let seen = seen.expect("a look").expect("the image");
                    assert_eq!(seen.is_member, seen.member.is_some());
                    assert_eq!(seen.is_member, seen.image.visibility == Visibility::Shared);
                    if seen.is_member {
                        break;
                    }
                }
            }
        });
    }
}
