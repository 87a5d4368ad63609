//! The SQL of places.

use chrono::NaiveDateTime;
use diesel::{prelude::*, sql_query};

use crate::{
    connection::{AnyConnection, Connection},
    error::Fault,
    schema::{event_order, event_sinks, events},
};

/// Holds the order until the transaction ends: the last place that was given, and the first number that gets one.
fn hold(connection: &mut Connection) -> Result<(i64, Option<i64>), Fault> {
    let order = event_order::table.select((event_order::last_place, event_order::first_number));
    connection.run(|any| match any {
        AnyConnection::Postgres(postgres) => order.for_update().get_result(postgres),
        AnyConnection::Sqlite(sqlite) => order.get_result(sqlite),
    })
}

/// How many get their places in one transaction: few enough that no lease ends meanwhile, many enough for any load.
pub(super) const MOST: i64 = 4096;

/// What one step of giving places came to.
pub(super) struct Given {
    /// The last place that was given, ever.
    pub(super) last: i64,
    /// Whether there may be more events without one.
    pub(super) more: bool,
}

/// Gives places to the next events that have none, [`MOST`] at most.
pub(super) fn give(connection: &mut Connection) -> Result<Given, Fault> {
    let (last, first) = hold(connection)?;
    let Some(first) = first else { return Ok(Given { last, more: false }) };
    let given = give_after(connection, last, first)?;
    Ok(Given { last: last + given, more: given == MOST })
}

/// Gives places to the next, [`MOST`] at most, behind the last place that was given; answers how many.
fn give_after(connection: &mut Connection, last: i64, first: i64) -> Result<i64, Fault> {
    let next = format!(
        "SELECT number FROM events WHERE place IS NULL AND number >= {first} ORDER BY number LIMIT {MOST}"
    );
    let given = connection.run(|any| match any {
        // An array, so that no join may read the whole table. It is in order: the bucket of a number is its index.
        AnyConnection::Postgres(postgres) => sql_query(format!(
            "WITH waiting AS (SELECT ARRAY({next}) AS numbers) \
             UPDATE events SET place = {last} + width_bucket(number, (SELECT numbers FROM waiting)) \
             WHERE number = ANY ((SELECT numbers FROM waiting)::bigint[])"
        ))
        .execute(postgres),
        AnyConnection::Sqlite(sqlite) => sql_query(format!(
            "UPDATE events SET place = {last} + waiting.nth FROM (\
                 SELECT number AS waiting_number, row_number() OVER (ORDER BY number) AS nth \
                 FROM ({next}) AS first_ones) AS waiting \
             WHERE events.number = waiting.waiting_number"
        ))
        .execute(sqlite),
    })?;
    let given = i64::try_from(given).unwrap_or(0);
    if given > 0 {
        connection.run(|any| {
            diesel::update(event_order::table).set(event_order::last_place.eq(last + given)).execute(any)
        })?;
    }
    Ok(given)
}

/// Events that wait, for metrics.
pub(super) struct Waiting {
    pub(super) events: i64,
    /// The time of the first.
    pub(super) oldest: Option<NaiveDateTime>,
}

/// The events after this place. Places have no gaps.
pub(super) fn after(connection: &mut Connection, place: i64) -> Result<Waiting, Fault> {
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
    Ok(Waiting { events: last.saturating_sub(place), oldest })
}

/// Events without a place are counted up to here. More are estimated by their numbers, which may be missing.
const COUNTED: i64 = 1000;

/// The events that have no place yet.
pub(super) fn unplaced(connection: &mut Connection) -> Result<Waiting, Fault> {
    let waiting = || {
        let first = event_order::table.select(event_order::first_number).single_value();
        events::table.filter(events::place.is_null()).filter(events::number.nullable().ge(first))
    };
    let oldest: Option<(i64, NaiveDateTime)> = connection.run(|any| {
        waiting().order_by(events::number).select((events::number, events::at)).first(any).optional()
    })?;
    let Some((first, at)) = oldest else { return Ok(Waiting { events: 0, oldest: None }) };
    let counted: Vec<i64> = connection
        .run(|any| waiting().order_by(events::number).limit(COUNTED).select(events::number).load(any))?;
    let mut events = super::limit(counted.len());
    if events == COUNTED {
        let last: Option<i64> = connection.run(|any| {
            waiting().order_by(events::number.desc()).select(events::number).first(any).optional()
        })?;
        events = last.map_or(events, |last| (last - first).saturating_add(1).max(events));
    }
    Ok(Waiting { events, oldest: Some(at) })
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
