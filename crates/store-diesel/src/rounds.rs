//! The SQL of rounds: many looks, or many changes of status, in one statement.
//!
//! Postgres alone has it; in SQLite, where one writes at a time and nothing is far away, a round is what it says: one
//! after another. Every statement begins with the round as a table `asked`, numbered, and finds each row by its key:
//! `LATERAL … LIMIT 1` leaves a planner no other way, however it guesses how long the arrays are.

mod fold;
mod images;
mod rolls;
mod sights;
mod statuses;

pub(crate) use self::{
    images::whole_images,
    rolls::rolls,
    sights::sights,
    statuses::{set_one_status, set_statuses},
};
use crate::error::{Fault, impossible};

/// The place in a list of what Postgres numbers from one.
fn place(number: i64, length: usize) -> Result<usize, Fault> {
    usize::try_from(number - 1)
        .ok()
        .filter(|place| *place < length)
        .ok_or_else(|| impossible("a round was answered with a row that nobody asked for"))
}
