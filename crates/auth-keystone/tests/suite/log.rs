//! What is written to the log on the thread of a test.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter, util::SubscriberInitExt};

/// Everything that is logged on a thread, at the most talkative level.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Captures what this thread logs until the guard is dropped; for tests with a runtime of one thread.
    pub(crate) fn capture() -> (Self, DefaultGuard) {
        // Whoever logs first decides whether a line is ever asked for again; other tests do not log at all.
        let everywhere = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE);
        let _ = tracing::subscriber::set_global_default(everywhere.with_writer(io::sink).finish());
        let log = Self::default();
        let here = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE);
        let guard = here.with_writer(log.clone()).with_ansi(false).set_default();
        (log, guard)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
