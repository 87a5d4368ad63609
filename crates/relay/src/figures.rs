//! What is known of a sink, for metrics.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// What is known of a sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// So many events wait for it.
    pub waiting: u64,
    /// The oldest of them was so long ago.
    pub age: Duration,
    /// So many dead letters.
    pub dead: u64,
    /// So many events this process told it of.
    pub told: u64,
    /// So often telling it failed in this process.
    pub failures: u64,
    /// Whether this process is who tells it.
    pub leased: bool,
}

/// Figures that a thread writes and others read.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Figures>);

impl Board {
    pub(crate) fn write(&self, change: impl FnOnce(&mut Figures)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn read(&self) -> Figures {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
