//! Progress, on standard error.

use std::{
    io::{self, Write as _},
    sync::LazyLock,
    time::Instant,
};

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// One line, with the seconds since the first one. Nobody reading it is no failure.
pub(crate) fn say(line: impl AsRef<str>) {
    let seconds = STARTED.elapsed().as_secs_f64();
    let _ = writeln!(io::stderr(), "bench {seconds:7.1} s  {}", line.as_ref());
}

/// Text for standard output.
pub(crate) fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
}
