//! The SQL of places.

use chrono::NaiveDateTime;
use diesel::{prelude::*, sql_query};

use crate::{
    connection::{AnyConnection, Connection},
    error::Fault,
    schema::{event_order, event_sinks, events},
};

/// Holds the order until the transaction ends: the last place that was given, and the first number that gets one.
pub(super) fn hold(connection: &mut Connection) -> Result<(i64, Option<i64>), Fault> {
    let order = event_order::table.select((event_order::last_place, event_order::first_number));
    connection.run(|any| match any {
        AnyConnection::Postgres(postgres) => order.for_update().get_result(postgres),
        AnyConnection::Sqlite(sqlite) => order.get_result(sqlite),
    })
}

/// How many get their places in one statement: few enough that nobody waits for long, many enough for any load.
const MOST: i64 = 4096;

/// Gives places to those that have none; answers the last that was given.
pub(super) fn give(connection: &mut Connection) -> Result<i64, Fault> {
    let (mut last, first) = hold(connection)?;
    let Some(first) = first else { return Ok(last) };
    loop {
        let given = give_after(connection, last, first)?;
        last += given;
        if given < MOST {
            return Ok(last);
        }
    }
}

/// Gives places to a few, so that nobody is kept waiting by many; whether there may be more.
pub(super) fn give_to_some(connection: &mut Connection) -> Result<bool, Fault> {
    let (last, first) = hold(connection)?;
    let Some(first) = first else { return Ok(false) };
    Ok(give_after(connection, last, first)? == MOST)
}

/// Gives places to the next, [`MOST`] at most, behind the last place that was given; answers how many.
fn give_after(connection: &mut Connection, last: i64, first: i64) -> Result<i64, Fault> {
    let statement = format!(
        "UPDATE events SET place = {last} + waiting.nth FROM (\
             SELECT number AS waiting_number, row_number() OVER (ORDER BY number) AS nth FROM (\
                 SELECT number FROM events WHERE place IS NULL AND number >= {first} \
                 ORDER BY number LIMIT {MOST}) AS first_ones) AS waiting \
         WHERE events.number = waiting.waiting_number"
    );
    let given = connection.run(|any| match any {
        AnyConnection::Postgres(postgres) => sql_query(statement).execute(postgres),
        AnyConnection::Sqlite(sqlite) => sql_query(statement).execute(sqlite),
    })?;
    let given = i64::try_from(given).unwrap_or(0);
    if given > 0 {
        connection.run(|any| {
            diesel::update(event_order::table).set(event_order::last_place.eq(last + given)).execute(any)
        })?;
    }
    Ok(given)
}

/// How many events there are after this place, and the time of the first.
pub(super) fn after(connection: &mut Connection, place: i64) -> Result<(i64, Option<NaiveDateTime>), Fault> {
    let last: i64 =
        connection.run(|any| event_order::table.select(event_order::last_place).get_result(any))?;
    let oldest = connection.run(|any| {
        events::table
            .filter(events::place.gt(place))
            .order_by(events::place)
            .select(events::at)
            .first(any)
            .optional()
    })?;
    Ok((last.saturating_sub(place), oldest))
}

/// Up to where all of some sinks were told.
pub(super) struct Told {
    /// `None`: there is no sink to wait for.
    place: Option<i64>,
    /// Events before this number are told to nobody.
    first_number: Option<i64>,
}

impl Told {
    /// Whether none of those sinks waits for this event.
    pub(super) fn includes(&self, number: i64, place: Option<i64>) -> bool {
        let Some(told) = self.place else { return true };
        match place {
            Some(place) => place <= told,
            None => self.first_number.is_none_or(|first| number < first),
        }
    }
}

pub(super) fn told_to_all(connection: &mut Connection, sinks: &[&str]) -> Result<Told, Fault> {
    let settled: Vec<(String, i64)> = connection
        .run(|any| event_sinks::table.select((event_sinks::name, event_sinks::settled)).load(any))?;
    let place =
        settled.iter().filter(|(name, _)| sinks.contains(&name.as_str())).map(|(_, settled)| *settled).min();
    let first_number =
        connection.run(|any| event_order::table.select(event_order::first_number).get_result(any))?;
    Ok(Told { place, first_number })
}
