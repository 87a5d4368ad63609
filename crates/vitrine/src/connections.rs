//! How many connections there may be, and how long one may hold what it was sent.

use std::{net::TcpListener, time::Duration};

use api_http::READER_TIMEOUT;
use rustix::{
    net::{listen, sockopt::set_tcp_user_timeout},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// Open files besides connections: to the database, Keystone and sinks, the log, the listeners.
const OTHER_FILES: u64 = 256;
/// Connections that wait to be accepted; the system's `somaxconn` may be less.
const BACKLOG: i32 = 4096;
/// Longer than the server's own time for a client that does not take its answer: were it the same, the system would end some
/// of these connections first, and the server could neither count them nor say why.
const UNACKNOWLEDGED_TIMEOUT: Duration = READER_TIMEOUT.saturating_add(Duration::from_secs(15));

/// Takes all the open files this process may have: a shell, and systemd, often start it with 1,024, for the sake of
/// programs that use `select`; each connection is one, and those who come when there are none left are not answered.
/// Gives their number; `None` if it is unlimited.
pub(crate) fn take_all_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, files = limit.current, "no more files than the soft limit can be open at once");
        return limit.current;
    }
    limit.maximum
}

/// Warns if clients may open more connections than this process may have open files.
pub(crate) fn check_files(files: Option<u64>, connections: usize) {
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    if let Some(files) = files.filter(|files| *files < needed) {
        tracing::warn!(
            files,
            needed,
            "http.max_connections needs more open files than this process may have"
        );
    }
}

/// Lets connections wait to be accepted: they are accepted at once, but thousands may come in the same moment.
pub(crate) fn let_many_wait(listener: &TcpListener) {
    if let Err(error) = listen(listener, BACKLOG) {
        tracing::warn!(%error, "few connections can wait to be accepted");
    }
}

/// Has the system end a connection whose client acknowledges nothing for [`UNACKNOWLEDGED_TIMEOUT`]: the server does not see
/// what becomes of the last bytes that it has handed to the system. What is said of the listener holds for each connection that
/// it accepts.
pub(crate) fn let_go_of_those_who_never_read(listener: &TcpListener) {
    let milliseconds = u32::try_from(UNACKNOWLEDGED_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = set_tcp_user_timeout(listener, milliseconds) {
        tracing::warn!(%error, "a client that never reads its answer keeps its connection");
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use rustix::net::sockopt::tcp_user_timeout;

    use super::*;

    #[test]
    fn system_waits_for_accepted_clients_longer_than_the_server() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let_go_of_those_who_never_read(&listener);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let timeout = Duration::from_millis(tcp_user_timeout(&accepted).unwrap().into());
        assert_eq!(timeout, Duration::from_secs(45));
        assert!(timeout > READER_TIMEOUT);
    }
}
