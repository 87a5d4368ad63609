//! The seam to events that wait to be told: leases and places, as [`core_domain::outbox`] has them.
//!
//! Events get their places here, after they were committed: one who holds the row of `event_order` gives the next places
//! to all events that can be seen and have none, by their numbers. Whoever sees a change sees every change before it, so
//! that no event comes behind one that followed from it; and places appear in their order, without gaps.

mod dead_letters;
mod next;
mod place;
mod sink;

use std::time::Duration;

use chrono::{DateTime, Utc};
use core_domain::{
    Result,
    outbox::{Backlog, Claim, DeadLetter, Delivery, Lease, Outbox, Unreadable},
};
use diesel::{dsl::not, prelude::*};

use crate::{
    connection::Connection,
    error::Fault,
    images::kept,
    pool::Use,
    schema::{event_dead_letters, event_sinks, events},
    store::DieselStore,
};
use next::Next;

impl DieselStore {
    fn tell<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, Fault>) -> Result<T> {
        Ok(work(&mut *self.telling.lend(Use::Write)?)?)
    }
}

impl Outbox for DieselStore {
    fn lease(&self, sink: &str, holder: &str, life: Duration) -> Result<Option<Lease>> {
        self.tell(|connection| {
            let mut fence = sink::lease(connection, sink, holder, life)?;
            if fence.is_none() && !sink::is_known(connection, sink)? {
                if !sink::begin(connection, sink)? {
                    return Ok(None);
                }
                fence = sink::lease(connection, sink, holder, life)?;
            }
            Ok(fence.map(|fence| Lease { sink: sink.to_owned(), fence }))
        })
    }

    fn release(&self, lease: &Lease) -> Result<()> {
        self.tell(|connection| sink::release(connection, lease))
    }

    fn claim(&self, lease: &Lease, most: usize) -> Result<Option<Claim>> {
        let most = limit(most);
        self.tell(|connection| {
            let Some(waiting) = sink::look(connection, lease)? else { return Ok(None) };
            if waiting.unplaced && waiting.placed < most {
                // One bounded step, committed before the claim looks at the lease again. The rest is for the claims after it.
                connection.transaction(place::give)?;
            } else if waiting.placed == 0 {
                return Ok(Some(Claim::default()));
            }
            connection.transaction(|connection| claim(connection, lease, most))
        })
    }

    fn settle(&self, lease: &Lease, place: i64) -> Result<bool> {
        self.tell(|connection| sink::settle(connection, lease, place))
    }

    fn bury(&self, lease: &Lease, place: i64, why: &str) -> Result<bool> {
        self.tell(|connection| {
            connection.transaction(|connection| {
                if sink::hold(connection, lease)?.is_none() {
                    return Ok(false);
                }
                dead_letters::keep(connection, &lease.sink, place, why)?;
                sink::settle(connection, lease, place)
            })
        })
    }

    fn dead_letters(&self, sink: &str, number: i64, most: usize) -> Result<Vec<DeadLetter>> {
        self.tell(|connection| dead_letters::list(connection, sink, number, limit(most)))
    }

    fn exhume(&self, sink: &str, number: i64) -> Result<bool> {
        self.tell(|connection| dead_letters::remove(connection, sink, number))
    }

    fn backlog(&self, sink: &str) -> Result<Backlog> {
        self.tell(|connection| {
            let Some(settled) = sink::settled(connection, sink)? else { return Ok(Backlog::default()) };
            let (placed, unplaced) = (place::after(connection, settled)?, place::unplaced(connection)?);
            let oldest = placed.oldest.or(unplaced.oldest);
            let age = oldest.and_then(|at| (Utc::now() - at.and_utc()).to_std().ok()).unwrap_or_default();
            let count = |number: i64| u64::try_from(number).unwrap_or(0);
            let dead = dead_letters::count(connection, sink)?;
            Ok(Backlog { events: count(placed.events) + count(unplaced.events), age, dead: count(dead) })
        })
    }

    fn forget(&self, before: DateTime<Utc>, sinks: &[&str], most: usize) -> Result<usize> {
        self.tell(|connection| {
            let told = place::told_to_all(connection, sinks)?;
            let no_letter = not(diesel::dsl::exists(
                event_dead_letters::table.filter(event_dead_letters::number.eq(events::number)),
            ));
            let oldest: Vec<(i64, chrono::NaiveDateTime, Option<i64>)> = connection.run(|any| {
                events::table
                    .filter(no_letter)
                    .order_by(events::number)
                    .limit(limit(most))
                    .select((events::number, events::at, events::place))
                    .load(any)
            })?;
            let is_old = |(number, at, place): &&(i64, chrono::NaiveDateTime, Option<i64>)| {
                *at < kept(before) && told.includes(*number, *place)
            };
            let Some((last, ..)) = oldest.iter().take_while(is_old).last() else { return Ok(0) };
            connection.run(|any| {
                diesel::delete(events::table.filter(events::number.le(*last)).filter(no_letter)).execute(any)
            })
        })
    }
}

/// What [`Outbox::claim`] does when there may be something to be claimed.
fn claim(connection: &mut Connection, lease: &Lease, most: i64) -> Result<Option<Claim>, Fault> {
    let Some((settled, claimed)) = sink::hold(connection, lease)? else { return Ok(None) };
    let mut claim = Claim::default();
    // What cannot be read is settled as soon as everything before it is.
    let (mut done, mut last) = (settled, claimed);
    for Next { place, number, event } in next::after(connection, settled, most)? {
        last = last.max(place);
        match event {
            Ok(event) => claim.deliveries.push(Delivery { place, event, again: place <= claimed }),
            Err(why) => {
                dead_letters::keep(connection, &lease.sink, place, &why)?;
                claim.unreadable.push(Unreadable { number, why });
                if claim.deliveries.is_empty() {
                    done = place;
                }
            }
        }
    }
    if (done, last) != (settled, claimed) {
        connection.run(|any| {
            diesel::update(event_sinks::table.find(&lease.sink))
                .set((event_sinks::settled.eq(done), event_sinks::claimed.eq(last)))
                .execute(any)
        })?;
    }
    Ok(Some(claim))
}

/// A count as the database has it.
fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}
