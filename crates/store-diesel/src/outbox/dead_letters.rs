//! The SQL of dead letters.

use chrono::{NaiveDateTime, Utc};
use core_domain::outbox::DeadLetter;
use diesel::prelude::*;

use crate::{
    connection::Connection,
    error::Fault,
    events::{EventRow, event},
    images::kept,
    schema::{event_dead_letters, events},
};

/// Keeps the event at this place as one that the sink could not be told of; once, however often it is said.
pub(super) fn keep(connection: &mut Connection, sink: &str, place: i64, why: &str) -> Result<(), Fault> {
    let number: Option<i64> = connection.run(|any| {
        events::table.filter(events::place.eq(place)).select(events::number).first(any).optional()
    })?;
    let Some(number) = number else { return Ok(()) };
    let is_kept: bool = connection.run(|any| {
        diesel::select(diesel::dsl::exists(event_dead_letters::table.find((sink, number)))).get_result(any)
    })?;
    if is_kept {
        return Ok(());
    }
    connection.run(|any| {
        diesel::insert_into(event_dead_letters::table)
            .values((
                event_dead_letters::sink.eq(sink),
                event_dead_letters::number.eq(number),
                event_dead_letters::why.eq(why),
                event_dead_letters::at.eq(kept(Utc::now())),
            ))
            .execute(any)
            .map(drop)
    })
}

/// Those of events with greater numbers than this.
pub(super) fn list(
    connection: &mut Connection,
    sink: &str,
    number: i64,
    most: usize,
) -> Result<Vec<DeadLetter>, Fault> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows: Vec<(EventRow, String, NaiveDateTime)> = connection.run(|any| {
        event_dead_letters::table
            .inner_join(events::table)
            .filter(event_dead_letters::sink.eq(sink))
            .filter(event_dead_letters::number.gt(number))
            .order_by(event_dead_letters::number)
            .limit(most)
            .select((EventRow::as_select(), event_dead_letters::why, event_dead_letters::at))
            .load(any)
    })?;
    let letter = |(row, why, at): (EventRow, String, NaiveDateTime)| {
        Ok(DeadLetter { event: event(row)?, why, at: at.and_utc() })
    };
    rows.into_iter().map(letter).collect()
}

pub(super) fn remove(connection: &mut Connection, sink: &str, number: i64) -> Result<bool, Fault> {
    let removed =
        connection.run(|any| diesel::delete(event_dead_letters::table.find((sink, number))).execute(any))?;
    Ok(removed > 0)
}

pub(super) fn count(connection: &mut Connection, sink: &str) -> Result<i64, Fault> {
    connection.run(|any| {
        event_dead_letters::table.filter(event_dead_letters::sink.eq(sink)).count().get_result(any)
    })
}
