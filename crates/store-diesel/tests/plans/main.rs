//! What lists and looks read: as much as the answer holds, however large the catalogue; and what changes send. No times
//! are measured; the databases are asked for their plans.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

mod backlog;
mod bounded;
mod kept;
mod listings;
mod postgres;
mod sent;
mod sqlite;
mod told;
