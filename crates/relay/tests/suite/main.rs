//! The sinks and the relay, on the real things.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod audit;
mod dead_address;
mod rabbitmq;
mod relay;
mod some_events;
mod webhook;
