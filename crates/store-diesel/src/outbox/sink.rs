//! The SQL of sinks: whose they are for now, and how far each was told.

use std::time::Duration;

use core_domain::outbox::Lease;
use diesel::{
    dsl::{case_when, exists, sql},
    prelude::*,
    sql_types::Double,
};

use super::place;
use crate::{
    connection::{AnyConnection, Connection, now},
    error::Fault,
    schema::{event_order, event_sinks, events},
};

pub(super) fn is_known(connection: &mut Connection, name: &str) -> Result<bool, Fault> {
    connection.run(|any| diesel::select(exists(event_sinks::table.find(name))).get_result(any))
}

/// How many steps [`begin`] takes at most in one call.
const STEPS: usize = 16;

/// A sink that was never leased before: told of what has no place yet, and of nothing that has one. For the first sink of all,
/// what can be seen gets places here, the whole history, however old: a number would be no bound, as a change under way
/// may have a smaller one than another that was committed. In steps of a transaction each; `false`: there is more to do.
pub(super) fn begin(connection: &mut Connection, name: &str) -> Result<bool, Fault> {
    connection.run(|any| {
        diesel::update(event_order::table.filter(event_order::first_number.is_null()))
            .set(event_order::first_number.eq(Some(0_i64)))
            .execute(any)
    })?;
    for _ in 0..STEPS {
        if connection.transaction(|connection| begin_or_go_on(connection, name))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives places to some and, if these were the last, begins.
fn begin_or_go_on(connection: &mut Connection, name: &str) -> Result<bool, Fault> {
    let place::Given { last, more } = place::give(connection)?;
    if more {
        return Ok(false);
    }
    if is_known(connection, name)? {
        return Ok(true);
    }
    connection.run(|any| {
        let now = now(any);
        diesel::insert_into(event_sinks::table)
            .values((
                event_sinks::name.eq(name),
                event_sinks::holder.eq(""),
                event_sinks::fence.eq(0),
                event_sinks::leased_until.eq(sql::<Double>(now)),
                event_sinks::settled.eq(last),
                event_sinks::claimed.eq(last),
            ))
            .execute(any)
    })?;
    Ok(true)
}

/// Takes or renews the lease: its fence, unless another has it.
pub(super) fn lease(
    connection: &mut Connection,
    name: &str,
    holder: &str,
    life: Duration,
) -> Result<Option<i64>, Fault> {
    let fences: Vec<i64> = connection.run(|any| {
        let now = now(any);
        let is_free = event_sinks::leased_until.le(sql::<Double>(now));
        let is_ours = event_sinks::holder.eq(holder);
        let fence =
            case_when(is_ours.and(event_sinks::leased_until.gt(sql::<Double>(now))), event_sinks::fence)
                .otherwise(event_sinks::fence + 1);
        diesel::update(event_sinks::table.find(name).filter(is_free.or(is_ours)))
            .set((
                event_sinks::fence.eq(fence),
                event_sinks::holder.eq(holder),
                event_sinks::leased_until.eq(sql::<Double>(&format!("{now} + {}", life.as_secs_f64()))),
            ))
            .returning(event_sinks::fence)
            .get_results(any)
    })?;
    Ok(fences.into_iter().next())
}

pub(super) fn release(connection: &mut Connection, lease: &Lease) -> Result<(), Fault> {
    connection.run(|any| {
        let now = now(any);
        diesel::update(event_sinks::table.find(&lease.sink).filter(event_sinks::fence.eq(lease.fence)))
            .set(event_sinks::leased_until.eq(sql::<Double>(now)))
            .execute(any)
            .map(drop)
    })
}

/// What there may be to claim.
pub(super) struct Waiting {
    /// So many events with a place.
    pub(super) placed: i64,
    /// Whether there are events without one.
    pub(super) unplaced: bool,
}

/// What there may be to claim; `None`: the lease has ended. One statement: it is asked all the time.
pub(super) fn look(connection: &mut Connection, lease: &Lease) -> Result<Option<Waiting>, Fault> {
    let found: Option<(i64, Option<i64>, bool)> = connection.run(|any| {
        let now = now(any);
        let first = event_order::table.select(event_order::first_number).single_value();
        let unplaced =
            events::table.filter(events::place.is_null()).filter(events::number.nullable().ge(first));
        event_sinks::table
            .find(&lease.sink)
            .filter(event_sinks::fence.eq(lease.fence))
            .filter(event_sinks::leased_until.gt(sql::<Double>(now)))
            .select((
                event_sinks::settled,
                event_order::table.select(event_order::last_place).single_value(),
                exists(unplaced),
            ))
            .get_result(any)
            .optional()
    })?;
    Ok(found.map(|(settled, last, unplaced)| Waiting {
        placed: last.map_or(0, |last| last.saturating_sub(settled)),
        unplaced,
    }))
}

/// Holds the sink until the transaction ends: up to where it was told, and up to where it may have been. `None`: the lease
/// has ended.
pub(super) fn hold(connection: &mut Connection, lease: &Lease) -> Result<Option<(i64, i64)>, Fault> {
    connection.run(|any| {
        let now = now(any);
        let sink = event_sinks::table
            .find(&lease.sink)
            .filter(event_sinks::fence.eq(lease.fence))
            .filter(event_sinks::leased_until.gt(sql::<Double>(now)))
            .select((event_sinks::settled, event_sinks::claimed));
        match any {
            AnyConnection::Postgres(postgres) => sink.for_update().get_result(postgres).optional(),
            AnyConnection::Sqlite(sqlite) => sink.get_result(sqlite).optional(),
        }
    })
}

pub(super) fn settle(connection: &mut Connection, lease: &Lease, place: i64) -> Result<bool, Fault> {
    let settled = connection.run(|any| {
        let now = now(any);
        let told = case_when(event_sinks::claimed.lt(place), event_sinks::claimed)
            .when(event_sinks::settled.lt(place), place)
            .otherwise(event_sinks::settled);
        diesel::update(event_sinks::table.find(&lease.sink))
            .filter(event_sinks::fence.eq(lease.fence))
            .filter(event_sinks::leased_until.gt(sql::<Double>(now)))
            .set(event_sinks::settled.eq(told))
            .execute(any)
    })?;
    Ok(settled > 0)
}

/// Up to where a sink was told; `None`: there is no such sink.
pub(super) fn settled(connection: &mut Connection, name: &str) -> Result<Option<i64>, Fault> {
    connection
        .run(|any| event_sinks::table.find(name).select(event_sinks::settled).get_result(any).optional())
}
