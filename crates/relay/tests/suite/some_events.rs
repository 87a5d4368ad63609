//! Events of every kind.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeZone as _, Utc};
use core_domain::{
    event::{Attribute, Cause, Change, Deed, Event, Reason},
    image::{Image, Visibility},
    member::MemberStatus,
    outbox::Delivery,
    project::UserId,
    testing::builders::{an_image, project},
};
use relay::{Secret, SigningKey};
use uuid::Uuid;

/// What a receiver's calls are signed with.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Another receiver's.
pub(crate) const OTHER_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

pub(crate) fn signing_keys(secrets: &[&str]) -> Vec<SigningKey> {
    secrets.iter().map(|secret| SigningKey::parse(&Secret::new(*secret)).unwrap()).collect()
}

/// A moment with microseconds.
pub(crate) fn moment() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 22, 6, 47, 3).unwrap() + chrono::TimeDelta::microseconds(690_418)
}

pub(crate) fn image() -> Image {
    let mut image = an_image("owner");
    image.name = Some("Ubuntu «24.04»".to_owned());
    image.visibility = Visibility::Shared;
    image.tags.insert("lts".to_owned());
    image.properties.insert("os_distro".to_owned(), "ubuntu".to_owned());
    image
}

pub(crate) fn event(number: i64, image: &Image, change: Change) -> Event {
    Event {
        id: Uuid::new_v4(),
        number,
        cause: Cause {
            user: UserId::new("alice"),
            project: Some(project("owner")),
            request: format!("req-{number}"),
            at: moment(),
        },
        image: image.id,
        image_name: image.name.clone(),
        owner: image.owner.clone(),
        reason: None,
        change,
    }
}

pub(crate) fn of_member(deed: Deed, old: Option<MemberStatus>, new: Option<MemberStatus>) -> Change {
    Change::Member { deed, project: project("consumer"), old, new, created_at: moment() }
}

/// One of each kind, in an order in which they may happen.
pub(crate) fn one_of_each() -> Vec<Delivery> {
    let image = image();
    let record = |deed| {
        let changed = if deed == Deed::Update { [Attribute::Tags].into() } else { BTreeSet::new() };
        Change::Image { deed, changed, image: Some(Box::new(image.clone())) }
    };
    let (pending, accepted) = (Some(MemberStatus::Pending), Some(MemberStatus::Accepted));
    let changes = [
        record(Deed::Create),
        record(Deed::Update),
        of_member(Deed::Create, None, pending),
        of_member(Deed::Update, pending, accepted),
        of_member(Deed::Delete, accepted, None),
        record(Deed::Delete),
    ];
    let mut all: Vec<_> =
        (1..).zip(changes).map(|(number, change)| delivery(event(number, &image, change))).collect();
    all[4].event.reason = Some(Reason::Reshared);
    all
}

pub(crate) fn delivery(event: Event) -> Delivery {
    Delivery { place: event.number, event, again: false }
}
