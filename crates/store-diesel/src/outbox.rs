//! The seam to events that wait to be told: leases and places, as [`core_domain::outbox`] has them.
//!
//! Events get their places here, after they were committed: one who holds the row of `event_order` gives the next places
//! to all events that can be seen and have none, by their numbers. Whoever sees a change sees every change before it, so
//! that no event comes behind one that followed from it; and places appear in their order, without gaps.

mod dead_letters;
mod place;
mod sink;

use std::time::Duration;

use chrono::{DateTime, Utc};
use core_domain::{
    Result,
    outbox::{Backlog, DeadLetter, Delivery, Lease, Outbox},
};
use diesel::{dsl::not, prelude::*};

use crate::{
    connection::{AnyConnection, Connection},
    error::Fault,
    events::{EventRow, event},
    images::kept,
    pool::Use,
    schema::{event_dead_letters, event_sinks, events},
    store::DieselStore,
};

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
                sink::begin(connection, sink)?;
                fence = sink::lease(connection, sink, holder, life)?;
            }
            Ok(fence.map(|fence| Lease { sink: sink.to_owned(), fence }))
        })
    }

    fn release(&self, lease: &Lease) -> Result<()> {
        self.tell(|connection| sink::release(connection, lease))
    }

    fn claim(&self, lease: &Lease, most: usize) -> Result<Option<Vec<Delivery>>> {
        self.tell(|connection| match sink::look(connection, lease)? {
            None => Ok(None),
            Some(false) => Ok(Some(Vec::new())),
            Some(true) => connection.transaction(|connection| claim(connection, lease, most)),
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
        self.tell(|connection| dead_letters::list(connection, sink, number, most))
    }

    fn exhume(&self, sink: &str, number: i64) -> Result<bool> {
        self.tell(|connection| dead_letters::remove(connection, sink, number))
    }

    fn backlog(&self, sink: &str) -> Result<Backlog> {
        self.tell(|connection| {
            let Some((settled, unplaced)) = sink::waiting(connection, sink)? else {
                return Ok(Backlog::default());
            };
            let placed = place::after(connection, settled)?;
            let oldest = match placed.1 {
                Some(oldest) => Some(oldest),
                None => unplaced.1,
            };
            let age = oldest.and_then(|at| (Utc::now() - at.and_utc()).to_std().ok()).unwrap_or_default();
            let count = |number: i64| u64::try_from(number).unwrap_or(0);
            let dead = dead_letters::count(connection, sink)?;
            Ok(Backlog { events: count(placed.0) + count(unplaced.0), age, dead: count(dead) })
        })
    }

    fn forget(&self, before: DateTime<Utc>, sinks: &[&str], most: usize) -> Result<usize> {
        self.tell(|connection| {
            let told = place::told_to_all(connection, sinks)?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let no_letter = not(diesel::dsl::exists(
                event_dead_letters::table.filter(event_dead_letters::number.eq(events::number)),
            ));
            let oldest: Vec<(i64, chrono::NaiveDateTime, Option<i64>)> = connection.run(|any| {
                events::table
                    .filter(no_letter)
                    .order_by(events::number)
                    .limit(most)
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

/// What [`Outbox::claim`] does when there is something to be claimed.
fn claim(connection: &mut Connection, lease: &Lease, most: usize) -> Result<Option<Vec<Delivery>>, Fault> {
    let Some((settled, claimed)) = sink::hold(connection, lease)? else { return Ok(None) };
    place::give(connection)?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows: Vec<(Option<i64>, EventRow)> = connection.run(|any| {
        events::table
            .filter(events::place.gt(settled))
            .order_by(events::place)
            .limit(most)
            .select((events::place, EventRow::as_select()))
            .load(any)
    })?;
    let mut deliveries = Vec::with_capacity(rows.len());
    for (place, row) in rows {
        let place = place.unwrap_or_default();
        deliveries.push(Delivery { place, event: event(row)?, again: place <= claimed });
    }
    if let Some(last) = deliveries.last().filter(|last| last.place > claimed) {
        connection.run(|any| {
            diesel::update(event_sinks::table.find(&lease.sink))
                .set(event_sinks::claimed.eq(last.place))
                .execute(any)
        })?;
    }
    Ok(Some(deliveries))
}

/// The time in seconds since 1970, by the clock of the database: all who want a lease go by the same.
fn now(any: &AnyConnection) -> &'static str {
    match any {
        AnyConnection::Postgres(_) => "extract(epoch FROM clock_timestamp())::double precision",
        AnyConnection::Sqlite(_) => "unixepoch('subsec')",
    }
}
