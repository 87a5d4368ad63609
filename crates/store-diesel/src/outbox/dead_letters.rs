//! The SQL of dead letters.

use chrono::{NaiveDateTime, Utc};
use core_domain::outbox::{DeadLetter, MAX_COUNTED};
use diesel::{
    dsl::sql,
    prelude::*,
    sql_types::{BigInt, Nullable, Text},
};

use super::next;
use crate::{
    connection::Connection,
    error::Fault,
    events::EventRow,
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

/// The letters of [`list`], in order. The number is a bound for events as well, so that a merge of both begins there.
macro_rules! letters {
    ($sink:expr, $number:expr, $most:expr) => {
        event_dead_letters::table
            .filter(event_dead_letters::sink.eq($sink))
            .filter(event_dead_letters::number.gt($number))
            .filter(
                event_dead_letters::number.nullable().le(sql::<Nullable<BigInt>>(
                    "(SELECT max(number) FROM (SELECT number, row_number() OVER in_order AS nth, \
                     sum(bytes) OVER in_order AS total \
                     FROM (SELECT letter.number, event.bytes FROM event_dead_letters AS letter \
                     JOIN events AS event ON event.number = letter.number WHERE letter.sink = ",
                )
                .bind::<Text, _>($sink)
                .sql(" AND letter.number > ")
                .bind::<BigInt, _>($number)
                .sql(" AND event.number > ")
                .bind::<BigInt, _>($number)
                .sql(" ORDER BY letter.number LIMIT ")
                .bind::<BigInt, _>($most)
                .sql(
                    ") AS candidates WINDOW in_order AS (ORDER BY number)) AS counted \
                     WHERE nth = 1 OR total <= ",
                )
                .bind::<BigInt, _>(next::max_bytes())
                .sql(")")),
            )
            .order_by(event_dead_letters::number)
    };
}

/// Those of events with greater numbers than this: at most so many, and at most [`core_domain::outbox::MAX_BYTES`] or one.
/// An event that cannot be read is `None`.
pub(super) fn list(
    connection: &mut Connection,
    sink: &str,
    number: i64,
    most: i64,
) -> Result<Vec<DeadLetter>, Fault> {
    let all = connection.run(|any| {
        let rows = letters!(sink, number, most)
            .inner_join(events::table)
            .filter(events::number.gt(number))
            .select((EventRow::as_select(), event_dead_letters::why, event_dead_letters::at))
            .load::<(EventRow, String, NaiveDateTime)>(any);
        next::readable(rows)
    })?;
    if let Ok(rows) = all {
        let letter = |(row, why, at): (EventRow, String, NaiveDateTime)| DeadLetter {
            number: row.number(),
            event: next::decoded(row).ok(),
            why,
            at: at.and_utc(),
        };
        return Ok(rows.into_iter().map(letter).collect());
    }
    let rows: Vec<(i64, String, NaiveDateTime)> = connection.run(|any| {
        letters!(sink, number, most)
            .select((event_dead_letters::number, event_dead_letters::why, event_dead_letters::at))
            .load(any)
    })?;
    let letter = |(number, why, at): (i64, String, NaiveDateTime)| {
        Ok(DeadLetter { number, event: next::one(connection, number)?.ok(), why, at: at.and_utc() })
    };
    rows.into_iter().map(letter).collect()
}

pub(super) fn remove(connection: &mut Connection, sink: &str, number: i64) -> Result<bool, Fault> {
    let removed =
        connection.run(|any| diesel::delete(event_dead_letters::table.find((sink, number))).execute(any))?;
    Ok(removed > 0)
}

/// How many there are, counted up to [`MAX_COUNTED`].
pub(super) fn count(connection: &mut Connection, sink: &str) -> Result<i64, Fault> {
    let most = i64::try_from(MAX_COUNTED).unwrap_or(i64::MAX);
    let numbers: Vec<i64> = connection.run(|any| {
        event_dead_letters::table
            .filter(event_dead_letters::sink.eq(sink))
            .order_by(event_dead_letters::number)
            .limit(most)
            .select(event_dead_letters::number)
            .load(any)
    })?;
    Ok(i64::try_from(numbers.len()).unwrap_or(i64::MAX))
}
