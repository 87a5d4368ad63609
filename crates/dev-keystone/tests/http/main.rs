//! The development identity from outside: every test starts one of its own on a free port and stops it.
#![allow(clippy::unwrap_used, reason = "a test stops where it was surprised")]

mod hostile;
mod login;
mod lookups;
mod revocation;
mod served;
mod start;
mod validation;
