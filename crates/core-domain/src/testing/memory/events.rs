//! Events in memory, and whoever is told of them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::MemoryStore;
use crate::{
    error::Result,
    event::{Cause, Change, Event, Reason},
    image::{Image, ImageId},
    outbox::{Backlog, Claim, DeadLetter, Delivery, Lease, MAX_BYTES, Outbox},
    project::ProjectId,
    store::HistoryPage,
};

/// Every event, by its number, which is its place; and the sinks.
#[derive(Debug, Default)]
pub(super) struct Events {
    last: i64,
    all: BTreeMap<i64, Event>,
    sinks: BTreeMap<String, Sink>,
}

#[derive(Debug)]
struct Sink {
    holder: String,
    fence: i64,
    until: Instant,
    settled: i64,
    claimed: i64,
    dead: BTreeMap<i64, (String, DateTime<Utc>)>,
}

impl Events {
    pub(super) fn keep(&mut self, cause: &Cause, image: &Image, reason: Option<Reason>, change: Change) {
        self.last += 1;
        let event = Event {
            id: Uuid::new_v4(),
            number: self.last,
            cause: cause.clone(),
            image: image.id,
            image_name: image.name.clone(),
            owner: image.owner.clone(),
            reason,
            change,
        };
        self.all.insert(event.number, event);
    }

    /// Whether there is a sink, which wants the records of images.
    pub(super) fn has_sinks(&self) -> bool {
        !self.sinks.is_empty()
    }

    pub(super) fn history(&self, image: ImageId, member: &ProjectId, page: HistoryPage<'_>) -> Vec<Event> {
        let is_of = |event: &&Event| {
            event.image == image
                && matches!(&event.change, Change::Member { project, .. } if project == member)
        };
        let is_record = |event: &&Event| event.image == image && matches!(event.change, Change::Image { .. });
        let changed_hands = page.owner.and_then(|owner| {
            let mut records = self.all.values().rev().filter(is_record);
            records.find(|event| event.owner.as_ref() != Some(owner)).map(|event| event.number)
        });
        let after = page.after.unwrap_or(0).max(changed_hands.unwrap_or(0)).saturating_add(1);
        let is_owners = |event: &&Event| page.owner.is_none_or(|owner| event.owner.as_ref() == Some(owner));
        let events = self.all.range(after..).map(|(_, event)| event);
        events.filter(is_of).filter(is_owners).take(page.limit).cloned().collect()
    }

    /// The sink, if this is its lease.
    fn leased(&mut self, lease: &Lease) -> Option<&mut Sink> {
        let is_held = |sink: &&mut Sink| sink.fence == lease.fence && sink.until > Instant::now();
        self.sinks.get_mut(&lease.sink).filter(is_held)
    }
}

impl Outbox for MemoryStore {
    fn lease(&self, sink: &str, holder: &str, life: Duration) -> Result<Option<Lease>> {
        let events = &mut self.kept().events;
        let now = Instant::now();
        let (settled, claimed) = (events.last, events.last);
        let held = events.sinks.entry(sink.to_owned()).or_insert_with(|| Sink {
            holder: holder.to_owned(),
            fence: 1,
            until: now + life,
            settled,
            claimed,
            dead: BTreeMap::new(),
        });
        if held.until > now && held.holder != holder {
            return Ok(None);
        }
        if held.until <= now || held.holder != holder {
            held.fence += 1;
        }
        (held.holder, held.until) = (holder.to_owned(), now + life);
        Ok(Some(Lease { sink: sink.to_owned(), fence: held.fence }))
    }

    fn release(&self, lease: &Lease) -> Result<()> {
        if let Some(sink) = self.kept().events.leased(lease) {
            sink.until = Instant::now();
        }
        Ok(())
    }

    fn claim(&self, lease: &Lease, most: usize) -> Result<Option<Claim>> {
        let events = &mut self.kept().events;
        let Some(sink) = events.leased(lease) else { return Ok(None) };
        let (settled, claimed) = (sink.settled, sink.claimed);
        let waiting = events.all.range(settled.saturating_add(1)..).take(most);
        let deliveries: Vec<Delivery> = within_bytes(waiting, |(_, event)| event)
            .map(|(place, event)| Delivery { place: *place, event: event.clone(), again: *place <= claimed })
            .collect();
        if let (Some(sink), Some(last)) = (events.leased(lease), deliveries.last()) {
            sink.claimed = claimed.max(last.place);
        }
        Ok(Some(Claim { deliveries, unreadable: Vec::new() }))
    }

    fn settle(&self, lease: &Lease, place: i64) -> Result<bool> {
        let events = &mut self.kept().events;
        let Some(sink) = events.leased(lease) else { return Ok(false) };
        sink.settled = sink.settled.max(place.min(sink.claimed));
        Ok(true)
    }

    fn bury(&self, lease: &Lease, place: i64, why: &str) -> Result<bool> {
        let events = &mut self.kept().events;
        let Some(sink) = events.leased(lease) else { return Ok(false) };
        sink.dead.insert(place, (why.to_owned(), Utc::now()));
        sink.settled = sink.settled.max(place.min(sink.claimed));
        Ok(true)
    }

    fn dead_letters(&self, sink: &str, number: i64, most: usize) -> Result<Vec<DeadLetter>> {
        let events = &self.kept().events;
        let Some(sink) = events.sinks.get(sink) else { return Ok(Vec::new()) };
        let with_event = |(number, letter)| Some((events.all.get(number)?, letter));
        let letters = sink.dead.range(number.saturating_add(1)..).take(most).filter_map(with_event);
        let letter = |(event, (why, at)): (&Event, &(String, DateTime<Utc>))| DeadLetter {
            number: event.number,
            event: Some(event.clone()),
            why: why.clone(),
            at: *at,
        };
        Ok(within_bytes(letters, |(event, _)| event).map(letter).collect())
    }

    fn exhume(&self, sink: &str, number: i64) -> Result<bool> {
        let events = &mut self.kept().events;
        Ok(events.sinks.get_mut(sink).is_some_and(|sink| sink.dead.remove(&number).is_some()))
    }

    fn backlog(&self, sink: &str) -> Result<Backlog> {
        let events = &self.kept().events;
        let Some(sink) = events.sinks.get(sink) else { return Ok(Backlog::default()) };
        let mut waiting = events.all.range(sink.settled.saturating_add(1)..).map(|(_, event)| event);
        let oldest = waiting.next();
        Ok(Backlog {
            events: oldest.iter().count().saturating_add(waiting.count()).try_into().unwrap_or(u64::MAX),
            age: oldest.and_then(|event| (Utc::now() - event.cause.at).to_std().ok()).unwrap_or_default(),
            dead: sink.dead.len().try_into().unwrap_or(u64::MAX),
        })
    }

    fn forget(&self, before: DateTime<Utc>, sinks: &[&str], most: usize) -> Result<usize> {
        let Events { all, sinks: known, .. } = &mut self.kept().events;
        let waits_for = |number: i64| {
            known.iter().any(|(name, sink)| {
                sink.dead.contains_key(&number) || (sinks.contains(&name.as_str()) && sink.settled < number)
            })
        };
        let old: Vec<i64> = all
            .values()
            .take(most)
            .filter(|event| event.cause.at < before && !waits_for(event.number))
            .map(|event| event.number)
            .collect();
        for number in &old {
            all.remove(number);
        }
        Ok(old.len())
    }
}

/// The first of these that take [`MAX_BYTES`] together, or one.
fn within_bytes<'a, T: 'a>(
    all: impl Iterator<Item = T>,
    event: impl Fn(&T) -> &'a Event,
) -> impl Iterator<Item = T> {
    let mut total = 0_usize;
    all.take_while(move |one| {
        let is_first = total == 0;
        total = total.saturating_add(bytes(event(one)).max(1));
        is_first || total <= MAX_BYTES
    })
}

fn bytes(event: &Event) -> usize {
    match &event.change {
        Change::Image { image: Some(image), .. } => image.record_bytes(),
        Change::Image { image: None, .. } | Change::Member { .. } => 0,
    }
}
