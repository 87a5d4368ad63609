//! Events: one for each change and none without, in order, told at least once and unmarked at most once.

use std::{collections::BTreeMap, time::Duration};

use super::{Records, keep, random::Random, share, together::at_once};
use crate::{
    event::{Attribute, Cause, Change, Deed, Event, Reason},
    image::{Image, ImageId, Visibility},
    member::{Member, MemberStatus},
    outbox::{Backlog, DeadLetter, Delivery, Lease, MAX_BYTES},
    project::ProjectId,
    store::{HistoryPage, StatusChange, Viewer},
    testing::builders::{an_image, at, cause, project},
};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);
const ALL: usize = 10_000;

/// The lease of a sink, which starts with what happens from now on.
fn lease(records: &dyn Records, sink: &str, holder: &str) -> Lease {
    records.lease(sink, holder, LONG).expect("an answer").expect("the lease")
}

fn claimed(records: &dyn Records, lease: &Lease, most: usize) -> Vec<Delivery> {
    let claim = records.claim(lease, most).expect("an answer").expect("still the lease");
    assert_eq!(claim.unreadable, []);
    claim.deliveries
}

/// What a sink that was leased before is told now, all of it for the first time.
fn told(records: &dyn Records, lease: &Lease) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let deliveries = claimed(records, lease, ALL);
        assert!(deliveries.iter().all(|delivery| !delivery.again), "{deliveries:#?}");
        let Some(last) = deliveries.last() else { return events };
        assert!(records.settle(lease, last.place).expect("an answer"));
        events.extend(deliveries.into_iter().map(|delivery| delivery.event));
    }
}

fn history(records: &dyn Records, image: ImageId, member: &str) -> Vec<Event> {
    let page = HistoryPage { after: None, owner: None, limit: ALL };
    records.history(image, &project(member), page).expect("a look")
}

fn of_member(
    name: &str,
    deed: Deed,
    old: Option<MemberStatus>,
    new: Option<MemberStatus>,
    made: i64,
) -> Change {
    Change::Member { deed, project: project(name), old, new, created_at: at(made) }
}

pub(super) fn every_change_has_its_event_in_order(records: &dyn Records) {
    use MemberStatus::{Accepted, Pending, Rejected};
    let sink = lease(records, "sink", "holder");
    let image = Image {
        name: Some("poster \u{1f5bc} \"'\\".to_owned()),
        tags: ["a".to_owned(), "b".to_owned()].into(),
        properties: [("k".to_owned(), "v\n".to_owned())].into(),
        ..an_image("owner")
    };
    let renamed = Image { name: None, owner: None, updated_at: at(5), ..image.clone() };
    let member = Member::offered(image.id, project("p"), at(2));
    let write = |second, work: &dyn Fn(&mut dyn crate::store::Tx) -> crate::Result<()>| {
        let done = (records as &dyn crate::store::Store).write(image.id, &cause(second), |tx| work(tx));
        done.expect("a change");
    };
    write(1, &|tx| tx.insert_image(&image));
    write(2, &|tx| tx.insert_member(&member));
    let access = image.access();
    records.set_status(&access, &member.project, Accepted, &cause(3)).expect("a write").expect("a member");
    let change = |status, cause| StatusChange { seen: &access, member: &member.project, status, cause };
    let causes = [cause(4)];
    let done = records.set_statuses(&[change(Rejected, &causes[0])]).expect("a write");
    assert_eq!(done.iter().flatten().count(), 1);
    write(5, &|tx| tx.update_image(&renamed));
    assert!(records.delete_member(&renamed.access(), &member.project, &cause(6)).expect("a write"));
    let again = Member::offered(image.id, project("p"), at(7));
    let other = Member::offered(image.id, project("q"), at(8));
    write(7, &|tx| tx.insert_member(&again));
    write(8, &|tx| tx.insert_member(&other));
    write(9, &|tx| tx.delete_image());

    let of_image = |deed, image: &Image| {
        let is_update = deed == Deed::Update;
        let changed = [Attribute::Owner, Attribute::Name].into_iter().filter(|_| is_update).collect();
        Change::Image { deed, changed, image: Some(Box::new(image.clone())) }
    };
    let expected = [
        (1, of_image(Deed::Create, &image)),
        (2, of_member("p", Deed::Create, None, Some(Pending), 2)),
        (3, of_member("p", Deed::Update, Some(Pending), Some(Accepted), 2)),
        (4, of_member("p", Deed::Update, Some(Accepted), Some(Rejected), 2)),
        (5, of_image(Deed::Update, &renamed)),
        (6, of_member("p", Deed::Delete, Some(Rejected), None, 2)),
        (7, of_member("p", Deed::Create, None, Some(Pending), 7)),
        (8, of_member("q", Deed::Create, None, Some(Pending), 8)),
        (9, of_member("p", Deed::Delete, Some(Pending), None, 7)),
        (9, of_member("q", Deed::Delete, Some(Pending), None, 8)),
        (9, of_image(Deed::Delete, &renamed)),
    ];
    let events = told(records, &sink);
    for (event, (second, change)) in events.iter().zip(&expected) {
        let now = if *second < 5 { &image } else { &renamed };
        assert_eq!(event.cause, cause(*second));
        assert_eq!(event.image, image.id);
        assert_eq!((&event.image_name, &event.owner), (&now.name, &now.owner), "{event:?}");
        assert_eq!((&event.change, event.reason), (change, None));
    }
    assert_eq!(events.len(), expected.len());
    assert!(events.windows(2).all(|pair| pair[0].number < pair[1].number && pair[0].id != pair[1].id));
    let of_p: Vec<Event> = events.iter().filter(|event| is_of(event, "p")).cloned().collect();
    assert_eq!(history(records, image.id, "p"), of_p);
}

pub(super) fn members_that_end_together_have_each_its_event_with_the_reason(records: &dyn Records) {
    use MemberStatus::{Accepted, Pending};
    let (image, other) = (an_image("owner"), an_image("owner"));
    keep(records, &image);
    keep(records, &other);
    // None yet: no event.
    let end = |tx: &mut dyn crate::store::Tx| tx.end_members(Reason::Reshared);
    let store = records as &dyn crate::store::Store;
    store.write(image.id, &cause(1), end).expect("a change");
    share(records, &image, "q", Accepted, 1);
    share(records, &image, "r", Pending, 1);
    share(records, &image, "p", Pending, 2);
    let stays = share(records, &other, "p", Accepted, 2);
    let sink = lease(records, "sink", "holder");
    let again = Member::offered(image.id, project("p"), at(3));
    let done = store.write(image.id, &cause(3), |tx| {
        end(tx)?;
        assert_eq!(
            tx.sharing(Viewer::ADMIN, &project("q"), Some(9))?.map(|sharing| sharing.members),
            Some(0)
        );
        tx.insert_member(&again)
    });
    done.expect("a change");
    let events = told(records, &sink);
    let expected = [
        (Some(Reason::Reshared), of_member("q", Deed::Delete, Some(Accepted), None, 1)),
        (Some(Reason::Reshared), of_member("r", Deed::Delete, Some(Pending), None, 1)),
        (Some(Reason::Reshared), of_member("p", Deed::Delete, Some(Pending), None, 2)),
        (None, of_member("p", Deed::Create, None, Some(Pending), 3)),
    ];
    for (event, (reason, change)) in events.iter().zip(&expected) {
        assert_eq!((&event.reason, &event.change, &event.cause), (reason, change, &cause(3)));
        assert_eq!((event.image, &event.owner, &event.image_name), (image.id, &image.owner, &image.name));
    }
    assert_eq!(events.len(), expected.len());
    assert!(events.windows(2).all(|pair| pair[0].number < pair[1].number && pair[0].id != pair[1].id));
    assert!(events.iter().all(|event| event.id.get_version_num() == 4), "{events:#?}");
    assert_eq!(history(records, image.id, "q").last(), events.first());
    assert_eq!(super::membership(records, image.id, &project("p")), Some(again));
    assert_eq!(super::membership(records, other.id, &project("p")), Some(stays));
    for name in ["q", "r"] {
        assert_eq!(super::membership(records, image.id, &project(name)), None);
    }
    // What is dropped never was.
    let mut tx = store.begin(image.id, &cause(4)).expect("a change");
    end(tx.as_mut()).expect("an end");
    drop(tx);
    assert!(super::membership(records, image.id, &project("p")).is_some());
    assert_eq!(told(records, &sink), []);
}

pub(super) fn more_members_end_together_than_a_statement_has_parameters(records: &dyn Records) {
    const MEMBERS: usize = 6_000;
    let image = an_image("owner");
    keep(records, &image);
    let store = records as &dyn crate::store::Store;
    let add = |tx: &mut dyn crate::store::Tx| {
        (0..MEMBERS).try_for_each(|number| {
            tx.insert_member(&Member::offered(image.id, project(&format!("p{number}")), at(1)))
        })
    };
    store.write(image.id, &cause(1), add).expect("members");
    let sink = lease(records, "sink", "holder");
    store.write(image.id, &cause(2), |tx| tx.end_members(Reason::Reshared)).expect("their end");
    assert_eq!(told(records, &sink).len(), MEMBERS);
    let seen = store.sight(image.id, None, &project("p5999")).expect("a look").expect("the image");
    assert_eq!(seen.member, None);
}

fn is_of(event: &Event, member: &str) -> bool {
    matches!(&event.change, Change::Member { project, .. } if project.as_str() == member)
}

pub(super) fn what_changes_nothing_has_no_event(records: &dyn Records) {
    let image = an_image("owner");
    keep(records, &image);
    let member = share(records, &image, "p", MemberStatus::Accepted, 1);
    let sink = lease(records, "sink", "holder");
    let access = image.access();
    let causes = [cause(2), cause(3)];
    let set = records.set_status(&access, &member.project, MemberStatus::Accepted, &causes[0]);
    assert_eq!(set.expect("a write"), Some(member.clone()));
    let same = |cause| StatusChange {
        seen: &access,
        member: &member.project,
        status: MemberStatus::Accepted,
        cause,
    };
    records.set_statuses(&[same(&causes[0]), same(&causes[1])]).expect("a write");
    let private = crate::image::ImageAccess { visibility: Visibility::Private, ..access };
    assert!(!records.delete_member(&private, &member.project, &cause(4)).expect("a write"));
    let dropped = records.begin(image.id, &cause(5)).and_then(|mut tx| tx.delete_image());
    dropped.expect("a deletion that does not last");
    assert_eq!(told(records, &sink), []);
    assert_eq!(history(records, image.id, "p").len(), 1);
}

pub(super) fn a_history_comes_in_pages(records: &dyn Records) {
    let image = an_image("owner");
    keep(records, &image);
    share(records, &image, "q", MemberStatus::Pending, 1);
    share(records, &image, "p", MemberStatus::Pending, 1);
    for second in 2..9 {
        let status = MemberStatus::ALL[usize::try_from(second).unwrap_or(0) % 3];
        records.set_status(&image.access(), &project("p"), status, &cause(second)).expect("a write");
    }
    let whole = history(records, image.id, "p");
    assert!(whole.len() > 6 && whole.iter().all(|event| is_of(event, "p")));
    for limit in [1, 3, ALL] {
        let mut walked: Vec<Event> = Vec::new();
        loop {
            let page = HistoryPage { after: walked.last().map(|event| event.number), owner: None, limit };
            let more = records.history(image.id, &project("p"), page).expect("a look");
            assert!(more.len() <= limit);
            if more.is_empty() {
                break;
            }
            walked.extend(more);
        }
        assert_eq!(walked, whole);
    }
    assert_eq!(history(records, image.id, "nobody"), []);
    assert_eq!(history(records, ImageId::random(), "p"), []);
}

pub(super) fn an_owners_history_begins_when_the_image_became_its_own(records: &dyn Records) {
    use MemberStatus::{Accepted, Pending, Rejected};
    let store = records as &dyn crate::store::Store;
    let (image, other) = (an_image("a"), an_image("a"));
    keep(records, &image);
    keep(records, &other);
    for kept in [&image, &other] {
        share(records, kept, "p", Pending, 1);
    }
    let owned_by = |owner: Option<&str>| Image { owner: owner.map(project), ..image.clone() };
    let change =
        |image: Image| store.write(image.id, &cause(9), |tx| tx.update_image(&image)).expect("a change");
    let answer = |owner: Option<&str>, status| {
        let set = records.set_status(&owned_by(owner).access(), &project("p"), status, &cause(9));
        set.expect("a write").expect("a member");
    };
    let statuses = |image: &Image, owner: Option<&str>, limit| -> Vec<Option<MemberStatus>> {
        let owner = owner.map(project);
        let walk = |after| {
            let page = HistoryPage { after, owner: owner.as_ref(), limit };
            records.history(image.id, &project("p"), page).expect("a look")
        };
        let mut walked: Vec<Event> = walk(None);
        while let more @ [_, ..] = &walk(walked.last().map(|event| event.number))[..] {
            walked.extend(more.iter().cloned());
        }
        let status = |event: Event| match event.change {
            Change::Member { new, .. } => new,
            Change::Image { .. } => unreachable!("{event:?}"),
        };
        walked.into_iter().map(status).collect()
    };
    // One owner all the time, whatever else of the record changes.
    answer(Some("a"), Rejected);
    change(Image { name: Some("renamed".to_owned()), ..owned_by(Some("a")) });
    assert_eq!(statuses(&image, Some("a"), 1), [Some(Pending), Some(Rejected)]);
    // Nothing yet since the change; then only what came after it.
    change(owned_by(Some("b")));
    assert_eq!(statuses(&image, Some("b"), 1), []);
    answer(Some("b"), Accepted);
    change(Image { name: Some("renamed again".to_owned()), ..owned_by(Some("b")) });
    answer(Some("b"), Pending);
    for limit in [1, 2, ALL] {
        assert_eq!(statuses(&image, Some("b"), limit), [Some(Accepted), Some(Pending)]);
        assert_eq!(statuses(&image, Some("a"), limit), [], "it is not its own any more");
        let whole = [Some(Pending), Some(Rejected), Some(Accepted), Some(Pending)];
        assert_eq!(statuses(&image, None, limit), whole);
        // Nobody changed the other image.
        assert_eq!(statuses(&other, Some("a"), limit), [Some(Pending)]);
        assert_eq!(statuses(&other, Some("b"), limit), []);
    }
    // By way of no owner, and back to the first, which sees nothing of its first time.
    change(owned_by(None));
    answer(None, Rejected);
    change(owned_by(Some("a")));
    assert_eq!(statuses(&image, Some("a"), ALL), []);
    answer(Some("a"), Accepted);
    assert_eq!(statuses(&image, Some("a"), ALL), [Some(Accepted)]);
    assert_eq!(statuses(&image, Some("b"), ALL), []);
    // The end of the image is its owner's to know.
    store.write(image.id, &cause(9), |tx| tx.delete_image()).expect("a deletion");
    assert_eq!(statuses(&image, Some("a"), ALL), [Some(Accepted), None]);
}

pub(super) fn a_lease_has_one_holder_and_an_end(records: &dyn Records) {
    let first = lease(records, "sink", "one");
    assert_eq!(records.lease("sink", "another", LONG).expect("an answer"), None);
    // A sink of another name is another matter.
    lease(records, "other", "another");
    assert_eq!(lease(records, "sink", "one"), first, "renewed");
    records.release(&first).expect("an answer");
    let second = lease(records, "sink", "another");
    assert!(second.fence > first.fence);
    assert_eq!(records.claim(&first, 1).expect("an answer"), None);
    assert!(!records.settle(&first, 1).expect("an answer"));
    assert!(!records.bury(&first, 1, "why").expect("an answer"));
    records.release(&first).expect("an answer");
    assert_eq!(
        records.lease("sink", "one", LONG).expect("an answer"),
        None,
        "not the old one's to give back"
    );

    let third = records.lease("short", "one", SHORT).expect("an answer").expect("the lease");
    let fourth = loop {
        if let Some(lease) = records.lease("short", "another", LONG).expect("an answer") {
            break lease;
        }
    };
    assert!(fourth.fence > third.fence);
    assert_eq!(records.claim(&third, 1).expect("an answer"), None);
}

pub(super) fn what_may_have_been_told_is_told_again_and_marked(records: &dyn Records) {
    let one = lease(records, "sink", "one");
    let images: Vec<Image> = (0..6).map(|_| an_image("owner")).collect();
    images.iter().for_each(|image| keep(records, image));
    let first = claimed(records, &one, 4);
    assert_eq!(first.len(), 4);
    assert!(first.iter().all(|delivery| !delivery.again));
    assert!(first.windows(2).all(|pair| pair[0].place < pair[1].place));
    assert!(records.settle(&one, first[1].place).expect("an answer"));
    // Whoever comes next cannot know whether the third and the fourth were told.
    records.release(&one).expect("an answer");
    let two = lease(records, "sink", "two");
    let second = claimed(records, &two, ALL);
    let marks: Vec<bool> = second.iter().map(|delivery| delivery.again).collect();
    assert_eq!(marks, [true, true, false, false]);
    let told: Vec<ImageId> = first[..2].iter().chain(&second).map(|delivery| delivery.event.image).collect();
    assert_eq!(told, images.iter().map(|image| image.id).collect::<Vec<_>>());
    // Nothing was settled: all four again, and all of them marked.
    let third = claimed(records, &two, ALL);
    assert!(third.len() == 4 && third.iter().all(|delivery| delivery.again));
    assert!(records.settle(&two, third[3].place).expect("an answer"));
    assert_eq!(claimed(records, &two, ALL), []);
}

pub(super) fn a_sink_waits_for_no_other(records: &dyn Records) {
    let (quick, slow) = (lease(records, "quick", "one"), lease(records, "slow", "one"));
    let image = an_image("owner");
    keep(records, &image);
    share(records, &image, "p", MemberStatus::Pending, 1);
    let all = told(records, &quick);
    assert_eq!(all.len(), 2);
    assert_eq!(records.backlog("quick").expect("a look"), Backlog::default());
    let waiting = records.backlog("slow").expect("a look");
    assert_eq!((waiting.events, waiting.dead), (2, 0));
    assert!(waiting.age > LONG, "{waiting:?}");
    // A sink that begins now is told nothing of the past.
    let late = lease(records, "late", "one");
    assert_eq!(told(records, &late), []);
    assert_eq!(told(records, &slow), all);
    assert_eq!(records.backlog("nobody").expect("a look"), Backlog::default());
}

pub(super) fn a_dead_letter_is_kept_until_it_is_taken_away(records: &dyn Records) {
    let sink = lease(records, "sink", "one");
    let (bad, good) = (an_image("owner"), an_image("owner"));
    keep(records, &bad);
    keep(records, &good);
    let first = claimed(records, &sink, 1).remove(0);
    assert!(records.bury(&sink, first.place, "410 Gone").expect("an answer"));
    let letters = records.dead_letters("sink", 0, ALL).expect("a look");
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].event.as_ref(), letters[0].why.as_str()), (Some(&first.event), "410 Gone"));
    assert_eq!(letters[0].number, first.event.number);
    assert_eq!(records.dead_letters("other", 0, ALL).expect("a look"), []);
    assert_eq!(records.backlog("sink").expect("a look").dead, 1);
    // The next one is not held up, and nothing of a dead letter is forgotten.
    let next = told(records, &sink);
    assert_eq!(next.iter().map(|event| event.image).collect::<Vec<_>>(), [good.id]);
    assert_eq!(records.forget(at(1_000_000_000), &["sink"], ALL).expect("an answer"), 1);
    assert_eq!(records.dead_letters("sink", 0, ALL).expect("a look"), letters);
    let after = |number| records.dead_letters("sink", number, ALL).expect("a look");
    assert_eq!((after(first.event.number - 1), after(first.event.number)), (letters, Vec::new()));
    assert!(!records.exhume("other", first.event.number).expect("an answer"));
    assert!(records.exhume("sink", first.event.number).expect("an answer"));
    assert!(!records.exhume("sink", first.event.number).expect("an answer"));
    assert_eq!(records.dead_letters("sink", 0, ALL).expect("a look"), []);
}

/// An image whose record takes some 256 KiB, or another size.
fn fat_image(bytes: usize) -> Image {
    let properties = (0..4).map(|number| (format!("p{number}"), "x".repeat(bytes / 4)));
    Image { properties: properties.collect(), ..an_image("owner") }
}

fn record_bytes(event: &Event) -> usize {
    match &event.change {
        Change::Image { image: Some(image), .. } => image.record_bytes(),
        Change::Image { image: None, .. } | Change::Member { .. } => 0,
    }
}

/// Ninety events of 256 KiB, then one of more than a claim holds, then a small one.
fn fat_events(records: &dyn Records) -> Vec<ImageId> {
    let mut images: Vec<Image> = (0..90).map(|_| fat_image(256 << 10)).collect();
    images.push(fat_image(MAX_BYTES + 4096));
    images.push(an_image("owner"));
    images.iter().for_each(|image| keep(records, image));
    images.iter().map(|image| image.id).collect()
}

fn assert_bounded(events: &[&Event]) {
    let bytes: usize = events.iter().map(|event| record_bytes(event)).sum();
    assert!(bytes <= MAX_BYTES || events.len() == 1, "{bytes} bytes of {} events", events.len());
}

pub(super) fn a_claim_holds_at_most_eight_mebibytes_or_one_event(records: &dyn Records) {
    let sink = lease(records, "sink", "one");
    let images = fat_events(records);
    let (mut told, mut claims) = (Vec::new(), 0);
    loop {
        let deliveries = claimed(records, &sink, ALL);
        let Some(last) = deliveries.last() else { break };
        assert_bounded(&deliveries.iter().map(|delivery| &delivery.event).collect::<Vec<_>>());
        assert!(records.settle(&sink, last.place).expect("an answer"));
        told.extend(deliveries.iter().map(|delivery| delivery.event.image));
        claims += 1;
    }
    assert_eq!(told, images);
    // 31 a claim, the last of them with what is left; the large one alone; the small one.
    assert!((5..=6).contains(&claims), "{claims}");
}

pub(super) fn dead_letters_come_in_pages_of_bounded_bytes(records: &dyn Records) {
    let sink = lease(records, "sink", "one");
    let images = fat_events(records);
    loop {
        let deliveries = claimed(records, &sink, ALL);
        if deliveries.is_empty() {
            break;
        }
        for delivery in deliveries {
            assert!(records.bury(&sink, delivery.place, "why").expect("an answer"));
        }
    }
    let (mut listed, mut last) = (Vec::new(), 0);
    loop {
        let letters: Vec<DeadLetter> = records.dead_letters("sink", last, ALL).expect("a look");
        let Some(letter) = letters.last() else { break };
        last = letter.number;
        let events: Vec<&Event> = letters.iter().filter_map(|letter| letter.event.as_ref()).collect();
        assert_bounded(&events);
        listed.extend(events.iter().map(|event| event.image));
    }
    assert_eq!(listed, images);
}

pub(super) fn an_image_with_thousands_of_members_can_be_deleted(records: &dyn Records) {
    const MEMBERS: usize = 5_000;
    let image = an_image("owner");
    keep(records, &image);
    let store = records as &dyn crate::store::Store;
    let added = store.write(image.id, &cause(1), |tx| {
        for number in 0..MEMBERS {
            tx.insert_member(&Member::offered(image.id, project(&format!("p{number:05}")), at(1)))?;
        }
        Ok(())
    });
    added.expect("members");
    let sink = lease(records, "sink", "one");
    store.write(image.id, &cause(2), |tx| tx.delete_image()).expect("a deletion");
    assert_eq!(records.image(image.id, Viewer::ADMIN).expect("a look"), None);
    let events = told(records, &sink);
    assert_eq!(events.len(), MEMBERS + 1);
    for (number, event) in events[..MEMBERS].iter().enumerate() {
        let ended = of_member(&format!("p{number:05}"), Deed::Delete, Some(MemberStatus::Pending), None, 1);
        assert_eq!((&event.change, &event.cause, event.image), (&ended, &cause(2), image.id));
    }
    assert_eq!(events[MEMBERS].kind(), "image.delete");
}

pub(super) fn only_old_events_that_nobody_waits_for_are_forgotten(records: &dyn Records) {
    let sink = lease(records, "sink", "one");
    let image = an_image("owner");
    keep(records, &image);
    share(records, &image, "p", MemberStatus::Pending, 1);
    records.set_status(&image.access(), &project("p"), MemberStatus::Accepted, &cause(50)).expect("a write");
    assert_eq!(records.forget(at(100), &["sink"], ALL).expect("an answer"), 0, "all are waited for");
    let deliveries = claimed(records, &sink, ALL);
    assert!(records.settle(&sink, deliveries[0].place).expect("an answer"));
    assert_eq!(records.forget(at(100), &["sink"], ALL).expect("an answer"), 1, "one was told");
    assert_eq!(records.forget(at(10), &[], 1).expect("an answer"), 1, "nobody waits any more");
    assert_eq!(records.forget(at(10), &[], ALL).expect("an answer"), 0, "the last is too young");
    let left = history(records, image.id, "p");
    assert_eq!(left.iter().map(|event| event.cause.clone()).collect::<Vec<Cause>>(), [cause(50)]);
    assert_eq!(claimed(records, &sink, ALL).len(), 1);
}

/// What a membership is after each of its events must be what the next one says it was before: for every membership, at
/// every sink, whoever changed it and whoever told of it meanwhile.
pub(super) fn events_of_many_at_once_tell_one_story(records: &dyn Records) {
    const WRITERS: usize = 4;
    let images: Vec<Image> = (0..3).map(|_| an_image("owner")).collect();
    let first = lease(records, "sink", "teller 0");
    images.iter().for_each(|image| keep(records, image));
    let mut events = told(records, &first);
    records.release(&first).expect("an answer");
    let writing = std::sync::atomic::AtomicUsize::new(WRITERS);
    let tellers = at_once(WRITERS + 2, |thread| {
        if thread < WRITERS {
            changes_at_random(records, &images, thread);
            writing.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
            return Vec::new();
        }
        tell(records, &format!("teller {thread}"), || writing.load(std::sync::atomic::Ordering::SeqCst) > 0)
    });
    // Which of them told when is in the places.
    let mut deliveries: Vec<Delivery> = tellers.concat();
    deliveries.sort_by_key(|delivery| (delivery.place, delivery.again));
    assert!(deliveries.windows(2).all(|pair| pair[0].place != pair[1].place || pair[1].again), "told twice");
    deliveries.dedup_by_key(|delivery| delivery.place);
    assert!(deliveries.windows(2).all(|pair| pair[0].place + 1 == pair[1].place), "a place without an event");
    events.extend(deliveries.into_iter().map(|delivery| delivery.event));

    let mut now: BTreeMap<(ImageId, ProjectId), MemberStatus> = BTreeMap::new();
    for event in events {
        if let Change::Member { project, old, new, .. } = event.change {
            let key = (event.image, project);
            let before = match new {
                Some(new) => now.insert(key, new),
                None => now.remove(&key),
            };
            assert_eq!(before, old);
        }
    }
    for image in &images {
        for name in NAMES {
            let kept = super::membership(records, image.id, &project(name)).map(|member| member.status);
            assert_eq!(kept, now.get(&(image.id, project(name))).copied());
        }
    }
}

const NAMES: [&str; 3] = ["p", "q", "r"];

fn changes_at_random(records: &dyn Records, images: &[Image], thread: usize) {
    let random = &mut Random(40 + u64::try_from(thread).unwrap_or(0));
    for second in 0..60 {
        let image = &images[random.below(images.len())];
        let name = project(random.one_of(&NAMES));
        let access = image.access();
        // Others are in the way all the time; what matters is only what was done.
        match random.below(4) {
            0 => {
                let offer = Member::offered(image.id, name.clone(), at(second));
                let store = records as &dyn crate::store::Store;
                let _ = store.write(image.id, &cause(second), |tx| tx.insert_member(&offer));
            }
            1 => {
                let _ = records.delete_member(&access, &name, &cause(second));
            }
            2 => {
                let _ = records.set_status(&access, &name, random.one_of(&MemberStatus::ALL), &cause(second));
            }
            _ => {
                let causes = [cause(second)];
                let names = NAMES.map(project);
                let status = random.one_of(&MemberStatus::ALL);
                let change = |member| StatusChange { seen: &access, member, status, cause: &causes[0] };
                let _ = records.set_statuses(&names.each_ref().map(change));
            }
        }
    }
}

/// Tells, with whoever else does, until `go_on` says no and nothing is left.
fn tell(records: &dyn Records, holder: &str, go_on: impl Fn() -> bool) -> Vec<Delivery> {
    let mut told: Vec<Delivery> = Vec::new();
    loop {
        let last_time = !go_on();
        let Ok(Some(lease)) = records.lease("sink", holder, LONG) else {
            std::thread::yield_now();
            if last_time && records.backlog("sink").is_ok_and(|backlog| backlog.events == 0) {
                return told;
            }
            continue;
        };
        let mut is_empty = false;
        if let Ok(Some(claim)) = records.claim(&lease, 7) {
            let deliveries = claim.deliveries;
            is_empty = deliveries.is_empty();
            if let Some(last) = deliveries.last().map(|delivery| delivery.place) {
                told.extend(deliveries);
                // Now and then nobody says that it was told.
                if last % 3 != 0 || told.last().is_some_and(|delivery| delivery.again) {
                    let _ = records.settle(&lease, last);
                }
            }
        }
        let _ = records.release(&lease);
        if last_time && is_empty {
            return told;
        }
    }
}
