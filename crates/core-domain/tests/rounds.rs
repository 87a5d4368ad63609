//! Calls answered together: each has its own answer, whatever becomes of the others.
#![allow(clippy::unwrap_used, reason = "a test stops where it was surprised")]

use std::sync::Arc;

use core_domain::{
    Error, Result, Rules,
    event::{Cause, Event},
    image::{ImageAccess, ImageId},
    listing::Listing,
    member::{
        Member,
        MemberStatus::{self, Accepted, Pending},
    },
    project::ProjectId,
    round::{self, Call, Outcome, SetStatus},
    store::{
        FoundImage, HistoryPage, ImagePage, MembersPage, Roll, Sight, SightOf, StatusChange, Store, Tx,
        Viewer,
    },
    testing::{
        builders::{an_image, at, caller, cause, project},
        memory::MemoryStore,
    },
};

const PROJECTS: [&str; 3] = ["a", "b", "c"];

/// An image with three members.
fn shared_with_three(store: &dyn Store) -> ImageId {
    let image = an_image("owner");
    store
        .write(image.id, &cause(0), |tx| {
            tx.insert_image(&image)?;
            PROJECTS
                .iter()
                .try_for_each(|name| tx.insert_member(&Member::offered(image.id, project(name), at(1))))
        })
        .unwrap();
    image.id
}

fn accepting(image: ImageId, from: &str, of: &str) -> SetStatus {
    let membership = Call {
        caller: Arc::new(caller(from, &["member"])),
        image,
        what: project(of),
        now: at(2),
        request: "req-2".into(),
    };
    SetStatus { membership, status: Accepted, permit: Arc::default() }
}

fn statuses(store: &dyn Store, image: ImageId) -> [MemberStatus; 3] {
    PROJECTS.map(|name| store.sight(image, None, &project(name)).unwrap().unwrap().member.unwrap().status)
}

#[test]
fn who_is_refused_is_refused_alone() {
    let store = MemoryStore::default();
    let image = shared_with_three(&store);
    let calls = [
        accepting(image, "a", "a"),
        accepting(image, "b", "c"),
        accepting(ImageId::random(), "a", "a"),
        accepting(image, "owner", "b"),
        accepting(image, "c", "c"),
    ];
    let outcomes = round::set_status(&Rules::default(), &store, &calls);
    assert!(matches!(
        &outcomes[..],
        [
            Some(Ok(_)),
            Some(Err(Error::NotFound(_))),
            Some(Err(Error::NotFound(_))),
            Some(Err(Error::Denied(_))),
            Some(Ok(_))
        ]
    ));
    assert_eq!(statuses(&store, image), [Accepted, Pending, Accepted]);
}

#[test]
fn a_change_nobody_waits_for_is_not_made_and_those_beside_it_are() {
    let store = MemoryStore::default();
    let image = shared_with_three(&store);
    let calls = PROJECTS.map(|name| accepting(image, name, name));
    assert!(calls[1].permit.withdraw());
    let outcomes = round::set_status(&Rules::default(), &store, &calls);
    assert!(matches!(&outcomes[..], [Some(Ok(_)), Some(Err(Error::Unavailable(_))), Some(Ok(_))]));
    assert_eq!(statuses(&store, image), [Accepted, Pending, Accepted]);
    // And those that were made can be given up no more.
    assert!(!calls[0].permit.withdraw());
}

#[test]
fn records_that_are_away_are_away_for_all_and_any_other_failure_is_nobodys_yet() {
    let image = ImageId::random();
    let seen = an_image("owner").access();
    let calls = PROJECTS.map(|name| accepting(image, name, name));
    let shows = calls.clone().map(|call| call.membership);
    let both = |looks: fn() -> Error, writes: fn() -> Error, sees: bool| -> [Vec<Outcome<Member>>; 2] {
        let store = Failing { looks, writes, seen: sees.then(|| ImageAccess { id: image, ..seen.clone() }) };
        let rules = Rules::default();
        [round::show_member(&rules, &store, &shows), round::set_status(&rules, &store, &calls)]
    };
    let away = || Error::Unavailable("gone".into());
    let broken = || Error::Internal("a row that cannot be".into());
    for outcomes in both(away, away, false) {
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Some(Err(Error::Unavailable(_))))));
    }
    for outcomes in both(broken, broken, false) {
        assert!(outcomes.iter().all(Option::is_none));
    }
    let [_, outcomes] = both(away, away, true);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Some(Err(Error::Unavailable(_))))));
    let [_, outcomes] = both(broken, broken, true);
    assert!(outcomes.iter().all(Option::is_none));
}

/// Records on which one kind of call fails: looks, unless there is something to see, and writes.
struct Failing {
    looks: fn() -> Error,
    writes: fn() -> Error,
    seen: Option<ImageAccess>,
}

impl Store for Failing {
    fn ping(&self) -> Result<()> {
        Err((self.looks)())
    }

    fn sight(&self, _: ImageId, _: Option<&ProjectId>, _: &ProjectId) -> Result<Option<Sight>> {
        Err((self.looks)())
    }

    fn sights(&self, asked: &[SightOf<'_>]) -> Result<Vec<Option<Sight>>> {
        let Some(image) = &self.seen else { return Err((self.looks)()) };
        let sight = |one: &SightOf<'_>| Sight {
            image: image.clone(),
            is_member: true,
            member: Some(Member::offered(image.id, one.member.clone(), at(1))),
        };
        Ok(asked.iter().map(|one| Some(sight(one))).collect())
    }

    fn members(&self, _: ImageId, _: Viewer<'_>, _: &MembersPage) -> Result<Option<Roll>> {
        Err((self.looks)())
    }

    fn image(&self, _: ImageId, _: Viewer<'_>) -> Result<Option<FoundImage>> {
        Err((self.looks)())
    }

    fn images(&self, _: &Listing) -> Result<ImagePage> {
        Err((self.looks)())
    }

    fn history(&self, _: ImageId, _: &ProjectId, _: HistoryPage<'_>) -> Result<Vec<Event>> {
        Err((self.looks)())
    }

    fn set_status(
        &self,
        _: &ImageAccess,
        _: &ProjectId,
        _: MemberStatus,
        _: &Cause,
    ) -> Result<Option<Member>> {
        Err((self.writes)())
    }

    fn set_statuses(&self, _: &[StatusChange<'_>]) -> Result<Vec<Option<Member>>> {
        Err((self.writes)())
    }

    fn delete_member(&self, _: &ImageAccess, _: &ProjectId, _: &Cause) -> Result<bool> {
        Err((self.writes)())
    }

    fn begin(&self, _: ImageId, _: &Cause) -> Result<Box<dyn Tx + '_>> {
        Err((self.writes)())
    }
}
