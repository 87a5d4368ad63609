//! The bytes that request bodies hold, of all requests and of each project.
//!
//! A project may hold as many bytes as are free. So one project alone gets half of the buffer, two get a third each, and
//! however many projects hold as much as they may, another one finds room.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use core_domain::project::ProjectId;

use crate::{error::ApiError, metrics::EdgeMetrics};

/// What a body that is being received counts at least is the buffer divided by this: slow bodies hold connections as well.
const BODIES: usize = 512;

/// The buffer.
#[derive(Debug)]
pub(crate) struct BodyBuffer {
    bytes: usize,
    metrics: EdgeMetrics,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    by_project: HashMap<Option<ProjectId>, usize>,
}

impl BodyBuffer {
    pub(crate) fn new(bytes: usize, metrics: EdgeMetrics) -> Arc<Self> {
        Arc::new(Self { bytes, metrics, held: Mutex::default() })
    }

    /// Room for the body of a request of this project.
    ///
    /// # Errors
    /// 503 if there is none for another body.
    pub(crate) fn begin(self: &Arc<Self>, project: Option<ProjectId>) -> Result<BodyRoom, ApiError> {
        let mut room = BodyRoom { buffer: Arc::clone(self), project, counted: 0, received: 0 };
        room.hold(self.bytes / BODIES)?;
        Ok(room)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one body holds of the buffer, until it is dropped.
#[derive(Debug)]
pub(crate) struct BodyRoom {
    buffer: Arc<BodyBuffer>,
    project: Option<ProjectId>,
    counted: usize,
    received: usize,
}

impl BodyRoom {
    /// So many bytes more were received.
    ///
    /// # Errors
    /// 503 if there is no room for them.
    pub(crate) fn receive(&mut self, bytes: usize) -> Result<(), ApiError> {
        self.received = self.received.saturating_add(bytes);
        self.hold(self.received)
    }

    /// The body is complete: with what is made of it, it counts as so many bytes.
    ///
    /// # Errors
    /// 503 if there is no room for what is made of it.
    pub(crate) fn complete(&mut self, bytes: usize) -> Result<(), ApiError> {
        self.hold(bytes)?;
        self.give_back(self.counted.saturating_sub(bytes));
        Ok(())
    }

    fn hold(&mut self, bytes: usize) -> Result<(), ApiError> {
        let more = bytes.saturating_sub(self.counted);
        if more == 0 {
            return Ok(());
        }
        let mut held = self.buffer.held();
        let free = self.buffer.bytes.saturating_sub(held.all);
        let own = held.by_project.get(&self.project).copied().unwrap_or_default();
        // What stays free is at least what the project holds then, so that another one finds room.
        if own.saturating_add(more) > free.saturating_sub(more) {
            return Err(ApiError::Overloaded("The server holds as many request bodies as it can"));
        }
        held.all += more;
        self.buffer.metrics.body_bytes(held.all);
        held.by_project.insert(self.project.clone(), own + more);
        self.counted += more;
        Ok(())
    }

    fn give_back(&mut self, bytes: usize) {
        let mut held = self.buffer.held();
        held.all = held.all.saturating_sub(bytes);
        self.buffer.metrics.body_bytes(held.all);
        if let Some(own) = held.by_project.get_mut(&self.project) {
            *own = own.saturating_sub(bytes);
            if *own == 0 {
                held.by_project.remove(&self.project);
            }
        }
        self.counted = self.counted.saturating_sub(bytes);
    }
}

impl Drop for BodyRoom {
    fn drop(&mut self) {
        self.give_back(self.counted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn project(name: &str) -> Option<ProjectId> {
        ProjectId::parse(name).ok()
    }

    fn buffer() -> Arc<BodyBuffer> {
        BodyBuffer::new(16 * MIB, EdgeMetrics::new(&prometheus::Registry::new()).unwrap())
    }

    /// As many bodies as are let in.
    fn all(buffer: &Arc<BodyBuffer>, name: &str, bytes: usize) -> Vec<BodyRoom> {
        let body = || {
            let mut room = buffer.begin(project(name)).ok()?;
            room.receive(bytes).ok()?;
            Some(room)
        };
        std::iter::from_fn(body).take(10_000).collect()
    }

    #[test]
    fn one_project_holds_half_and_another_finds_room() {
        let buffer = buffer();
        let first = all(&buffer, "first", MIB);
        assert_eq!(first.len(), 8);
        let second = all(&buffer, "second", MIB);
        assert_eq!(second.len(), 4);
        assert_eq!(all(&buffer, "third", MIB).len(), 2);
        drop((first, second));
        let held = buffer.held();
        assert_eq!((held.all, held.by_project.len()), (0, 0));
    }

    #[test]
    fn slow_bodies_are_bounded_in_number() {
        let buffer = buffer();
        assert_eq!(all(&buffer, "first", 1).len(), BODIES / 2);
    }

    #[test]
    fn complete_body_counts_as_what_it_is() {
        let buffer = buffer();
        let mut bodies = all(&buffer, "first", 100);
        for body in &mut bodies {
            body.complete(150).unwrap();
        }
        assert_eq!(buffer.held().all, 150 * bodies.len());
        assert!(buffer.begin(project("first")).is_ok());
    }

    #[test]
    fn what_is_made_of_bodies_is_bounded_like_their_texts() {
        let buffer = buffer();
        let complete = |name| {
            let mut room = buffer.begin(project(name)).ok()?;
            room.receive(MIB).ok()?;
            room.complete(4 * MIB).ok()?;
            Some(room)
        };
        let first: Vec<_> = std::iter::from_fn(|| complete("first")).take(10).collect();
        assert_eq!(first.len(), 2);
        // What was refused has given back its text.
        assert_eq!(buffer.held().all, 8 * MIB);
        let second: Vec<_> = std::iter::from_fn(|| complete("second")).take(10).collect();
        assert_eq!(second.len(), 1);
        assert!(complete("third").is_none() && all(&buffer, "third", MIB).len() == 2);
        drop((first, second));
        assert_eq!(buffer.held().all, 0);
    }
}
