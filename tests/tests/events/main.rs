//! Who is told of changes: a broker and a listener of oslo.messaging, a webhook, an audit log; when all is well, when one
//! of them is away, and when servers are killed.
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a story fails by panicking"
)]

mod ear;
mod kills;
mod stories;
