//! What goes on behind a sink while its own thread does something else.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// One thread that keeps connections alive while the sink's own does something else.
pub(crate) fn runtime(name: &str) -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).thread_name(format!("{name}-io")).enable_all().build()
}
