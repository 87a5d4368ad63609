//! The SQL of reading events for sinks: so many and so many bytes at a time, and each by itself where one cannot be read.

use core_domain::{event::Event, outbox::MAX_BYTES};
use diesel::{
    QueryResult,
    dsl::sql,
    prelude::*,
    result::Error as DieselError,
    sql_types::{BigInt, Nullable},
};

use crate::{
    connection::Connection,
    error::Fault,
    events::{EventRow, event},
    schema::events,
};

/// The next event for a sink.
pub(super) struct Next {
    pub(super) place: i64,
    pub(super) number: i64,
    /// The event, or why it cannot be read.
    pub(super) event: Result<Event, String>,
}

/// The events after this place: at most so many, and at most [`MAX_BYTES`] or one. One statement, unless an event cannot be
/// read.
pub(super) fn after(connection: &mut Connection, place: i64, most: i64) -> Result<Vec<Next>, Fault> {
    let up_to = || {
        sql::<Nullable<BigInt>>(
            "(SELECT max(place) FROM (SELECT place, row_number() OVER in_order AS nth, \
             sum(bytes) OVER in_order AS total \
             FROM (SELECT place, bytes FROM events WHERE place > ",
        )
        .bind::<BigInt, _>(place)
        .sql(" ORDER BY place LIMIT ")
        .bind::<BigInt, _>(most)
        .sql(") AS candidates WINDOW in_order AS (ORDER BY place)) AS counted WHERE nth = 1 OR total <= ")
        .bind::<BigInt, _>(max_bytes())
        .sql(")")
    };
    let all = connection.run(|any| {
        let rows = events::table
            .filter(events::place.gt(place))
            .filter(events::place.le(up_to()))
            .order_by(events::place)
            .select((events::place, EventRow::as_select()))
            .load::<(Option<i64>, EventRow)>(any);
        readable(rows)
    })?;
    if let Ok(rows) = all {
        let next = |(place, row): (Option<i64>, EventRow)| Next {
            place: place.unwrap_or_default(),
            number: row.number(),
            event: decoded(row),
        };
        return Ok(rows.into_iter().map(next).collect());
    }
    let places: Vec<(Option<i64>, i64)> = connection.run(|any| {
        events::table
            .filter(events::place.gt(place))
            .filter(events::place.le(up_to()))
            .order_by(events::place)
            .select((events::place, events::number))
            .load(any)
    })?;
    let next = |(place, number): (Option<i64>, i64)| {
        Ok(Next { place: place.unwrap_or_default(), number, event: one(connection, number)? })
    };
    places.into_iter().map(next).collect()
}

/// The event of this number, or why it cannot be read.
pub(super) fn one(connection: &mut Connection, number: i64) -> Result<Result<Event, String>, Fault> {
    let row = connection.run(|any| {
        readable(events::table.find(number).select(EventRow::as_select()).get_result::<EventRow>(any))
    })?;
    Ok(row.and_then(decoded))
}

/// [`MAX_BYTES`] for a statement.
pub(super) fn max_bytes() -> i64 {
    i64::try_from(MAX_BYTES).unwrap_or(i64::MAX)
}

/// Sets what could not be made of the rows that came apart from statements that failed.
pub(super) fn readable<T>(rows: QueryResult<T>) -> QueryResult<Result<T, String>> {
    match rows {
        Err(DieselError::DeserializationError(why)) => Ok(Err(reason(why.as_ref()))),
        rows => rows.map(Ok),
    }
}

pub(super) fn decoded(row: EventRow) -> Result<Event, String> {
    event(row).map_err(|fault| match fault {
        Fault::Taken(why) | Fault::Busy(why) | Fault::Broken(why) | Fault::Away(why) | Fault::Ours(why) => {
            reason(why.as_ref())
        }
    })
}

/// How much of a reason is kept: it may repeat what could not be read.
const REASON_CHARS: usize = 300;

fn reason(why: &dyn std::error::Error) -> String {
    let why: String = why.to_string().chars().take(REASON_CHARS).collect();
    format!("the event cannot be read: {why}")
}
