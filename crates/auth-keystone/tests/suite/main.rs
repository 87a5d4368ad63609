//! `auth-keystone` against a Keystone stand-in that counts what it is asked and answers what a test tells it to.
//! Each module is named for a part of the validator, each test for what must hold.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod log;
mod stand_in;

mod away;
mod caching;
mod crowd;
mod exchange;
mod figures;
mod form;
mod own_token;
mod record;
mod revoked;
mod rude;
mod secrecy;
mod services;
mod signed;
mod tls;
