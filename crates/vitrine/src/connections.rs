//! How many connections there may be, and how long one may hold what it was sent.

use std::{net::TcpListener, time::Duration};

use rustix::{
    net::sockopt::set_tcp_user_timeout,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// Takes all the open files this process may have: a shell, and systemd, often start it with 1,024, for the sake of
/// programs that use `select`; each connection is one, and those who come when there are none left are not answered.
pub(crate) fn take_all_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, files = limit.current, "no more files than the soft limit can be open at once");
    }
}

/// Ends a connection whose client takes nothing of its answer for so long: else it would hold the answer, and the
/// connection, for as long as it likes. What is said of the listener holds for each connection it accepts.
pub(crate) fn let_go_of_those_who_never_read(listener: &TcpListener, after: Duration) {
    let milliseconds = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = set_tcp_user_timeout(listener, milliseconds) {
        tracing::warn!(%error, "a client that never reads its answer keeps its connection");
    }
}
