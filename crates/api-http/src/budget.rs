//! The memory that lists may hold: all that are in progress together, and those of one project.
//!
//! Before its statement a list takes what its page can hold at most; after it, all but what the page does hold is given back;
//! and what is sent is given back as it is sent. A list that waits for its share holds nothing else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use core_domain::{Error, limits::PAGE_BYTES, project::ProjectId};
use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// What all lists in progress hold together, in bytes.
const TOTAL_BYTES: usize = 64 << 20;
/// What those of one project hold of it: a project that reads slowly leaves the rest to the others.
const PROJECT_BYTES: usize = TOTAL_BYTES / 4;
/// What a list holds beside its records: the text that is being sent.
pub(crate) const OVERHEAD_BYTES: usize = 128 << 10;
/// What a list of images takes before its statement.
pub(crate) const IMAGES_BYTES: usize = PAGE_BYTES + OVERHEAD_BYTES;
/// How many projects are remembered before those without a list in progress are forgotten.
const REMEMBERED: usize = 1024;

/// The memory of the lists in progress.
pub(crate) struct Budget {
    all: Arc<Semaphore>,
    projects: Mutex<HashMap<Option<ProjectId>, Arc<Semaphore>>>,
    held: IntGauge,
}

impl Budget {
    /// The whole of it; `held` shows what is taken.
    pub(crate) fn new(held: IntGauge) -> Self {
        Self { all: Arc::new(Semaphore::new(TOTAL_BYTES)), projects: Mutex::default(), held }
    }

    /// Takes this many bytes for a list of the project, but never more than a project may have; waits until they are there.
    /// First come, first served.
    pub(crate) async fn take(&self, project: Option<&ProjectId>, bytes: usize) -> Result<Share, ApiError> {
        let bytes = u32::try_from(bytes.min(PROJECT_BYTES)).unwrap_or(u32::MAX);
        let own = self.of(project).acquire_many_owned(bytes).await.map_err(closed)?;
        let all = Arc::clone(&self.all).acquire_many_owned(bytes).await.map_err(closed)?;
        self.held.add(bytes.into());
        Ok(Share { own, all, held: self.held.clone() })
    }

    fn of(&self, project: Option<&ProjectId>) -> Arc<Semaphore> {
        let mut projects = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
        if projects.len() >= REMEMBERED {
            // A list in progress, or one that waits, holds its project's semaphore as well.
            projects.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        }
        let semaphore =
            projects.entry(project.cloned()).or_insert_with(|| Arc::new(Semaphore::new(PROJECT_BYTES)));
        Arc::clone(semaphore)
    }
}

fn closed(closed: tokio::sync::AcquireError) -> ApiError {
    Error::Internal(Box::new(closed)).into()
}

/// What one list holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    own: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
    held: IntGauge,
}

impl Share {
    /// How many bytes it is.
    pub(crate) fn bytes(&self) -> usize {
        self.own.num_permits()
    }

    /// Gives back all beyond these bytes.
    pub(crate) fn keep(&mut self, bytes: usize) {
        self.give_back(self.bytes().saturating_sub(bytes));
    }

    /// Gives back these bytes.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes());
        drop(self.own.split(bytes));
        drop(self.all.split(bytes));
        self.held.sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(self.bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn project(id: &str) -> Option<ProjectId> {
        Some(ProjectId::parse(id).unwrap())
    }

    fn budget() -> Budget {
        Budget::new(IntGauge::new("held", "held").unwrap())
    }

    const SOON: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn a_project_holds_a_quarter_and_others_are_served_meanwhile() {
        let budget = budget();
        let (slow, other) = (project("slow"), project("other"));
        let mut held = Vec::new();
        while let Ok(share) = timeout(SOON, budget.take(slow.as_ref(), IMAGES_BYTES)).await {
            held.push(share.unwrap());
        }
        assert_eq!((held.len(), budget.held.get()), (4, 16 << 20));
        drop(timeout(SOON, budget.take(other.as_ref(), IMAGES_BYTES)).await.unwrap().unwrap());
        // What is given back is there for the next.
        held[0].give_back(IMAGES_BYTES / 2);
        held[1].keep(IMAGES_BYTES / 2);
        held.push(timeout(SOON, budget.take(slow.as_ref(), IMAGES_BYTES)).await.unwrap().unwrap());
        assert_eq!(budget.held.get(), 16 << 20);
        held.clear();
        assert_eq!((budget.held.get(), budget.all.available_permits()), (0, TOTAL_BYTES));
    }

    #[tokio::test(start_paused = true)]
    async fn all_projects_together_hold_no_more_than_the_total() {
        let budget = budget();
        let mut held = Vec::new();
        for number in 0..40 {
            let taken = timeout(SOON, budget.take(project(&number.to_string()).as_ref(), IMAGES_BYTES)).await;
            held.extend(taken.ok().map(Result::unwrap));
        }
        assert_eq!((held.len(), budget.held.get()), (16, 64 << 20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_no_longer_waits_has_taken_nothing() {
        let budget = budget();
        let slow = project("slow");
        let all = budget.take(slow.as_ref(), usize::MAX).await.unwrap();
        assert_eq!(all.bytes(), PROJECT_BYTES);
        assert!(timeout(SOON, budget.take(slow.as_ref(), 1)).await.is_err());
        drop(all);
        assert_eq!(budget.of(slow.as_ref()).available_permits(), PROJECT_BYTES);
        assert_eq!((budget.held.get(), budget.all.available_permits()), (0, TOTAL_BYTES));
    }

    #[tokio::test(start_paused = true)]
    async fn projects_without_a_list_are_forgotten_and_others_are_not() {
        let budget = budget();
        let kept = budget.take(project("kept").as_ref(), 7).await.unwrap();
        for number in 0..5_000 {
            drop(budget.take(project(&number.to_string()).as_ref(), 1).await.unwrap());
        }
        let remembered = budget.projects.lock().unwrap().len();
        assert!(remembered <= REMEMBERED, "{remembered}");
        assert_eq!(budget.of(project("kept").as_ref()).available_permits(), PROJECT_BYTES - kept.bytes());
    }
}
