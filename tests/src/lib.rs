//! Vitrine from outside: real Postgres, real Keystone, real clients and the real binary.
//!
//! The stories in `tests/tests/` start what they need through this crate, drive it as a stranger would, and leave
//! nothing behind however they end. What is slow to make (the Python environment, a prepared Keystone) is made once
//! and kept under the target directory, in `testbed/`.
//!
//! A missing prerequisite is a failure that says what to install, never a skip.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "this crate only runs inside tests: a panic is how it reports, and standard error is where a person looks"
)]

pub mod attack;
pub mod client;
pub mod http;
pub mod kept;
pub mod keystone;
pub mod memory;
pub mod party;
pub mod patience;
pub mod pgbouncer;
pub mod postgres;
pub mod python;
pub mod rabbitmq;
mod room;
pub mod slow_keystone;
pub mod standby;
pub mod supervised;
pub mod trouble;
pub mod vitrine;
pub mod webhooks;

pub use client::Client;
pub use http::{Answer, Call};
pub use keystone::Keystone;
pub use party::Party;
pub use pgbouncer::PgBouncer;
pub use postgres::{Database, Postgres};
pub use rabbitmq::RabbitMq;
pub use slow_keystone::SlowKeystone;
pub use supervised::Supervised;
pub use vitrine::Vitrine;
pub use webhooks::Webhooks;
