//! Remembering since when something is away, so that it is said once and not at each try.

use std::time::Instant;

/// Something that is away, which is said once.
#[derive(Debug, Default)]
pub(crate) struct Away {
    pub(crate) since: Option<Instant>,
    pub(crate) failures: u32,
}

impl Away {
    /// Counts one more failure and says whether it is the first.
    pub(crate) fn failed(&mut self) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.since.replace(self.since.unwrap_or_else(Instant::now)).is_none()
    }

    /// Forgets all failures; since when it was away, if it was.
    pub(crate) fn is_back(&mut self) -> Option<Instant> {
        self.failures = 0;
        self.since.take()
    }
}
