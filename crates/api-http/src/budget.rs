//! The memory that answers may hold: all lists in progress together, and those of one project; and apart from them the answers
//! about one large image each.
//!
//! Before its statement a list takes what its page can hold at most; after it, all but what the page does hold is given back;
//! and what is sent is given back as it is sent. An answer that waits for its share holds nothing else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use core_domain::{Error, limits::PAGE_BYTES, project::ProjectId};
use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// What all lists in progress hold together, in bytes.
const LISTS_BYTES: usize = 64 << 20;
/// What all answers about one large image each hold together. An image that waits for a client is no list, and does not wait for
/// one: the two have nothing in common.
const LARGE_IMAGES_BYTES: usize = 16 << 20;
/// Of a budget one project holds so large a part: a project that reads slowly leaves the rest to the others.
const PROJECT_PART: usize = 4;
/// What a list holds beside its records: the text that is being sent.
pub(crate) const OVERHEAD_BYTES: usize = 128 << 10;
/// What a list of images takes before its statement.
pub(crate) const IMAGES_BYTES: usize = PAGE_BYTES + OVERHEAD_BYTES;
/// How many projects are remembered before those without an answer in progress are forgotten.
const REMEMBERED: usize = 1024;

/// What an answer about one large image takes, as a multiple of what its record does: a change holds the record as it was
/// and as it is, and the text has at most twice as many bytes, or twice as many once more while it is written.
const LARGE_IMAGE_FACTOR: usize = 4;
/// What the record of an image may take without a share: its text, at most 16 KiB, is within what each connection may hold.
const SMALL_IMAGE_BYTES: usize = 8 << 10;

/// The memory of the answers of one kind.
pub(crate) struct Budget {
    project_bytes: usize,
    all: Arc<Semaphore>,
    projects: Mutex<HashMap<Option<ProjectId>, Arc<Semaphore>>>,
    held: IntGauge,
}

impl Budget {
    /// That of lists; `held` shows what is taken.
    pub(crate) fn of_lists(held: IntGauge) -> Self {
        Self::new(LISTS_BYTES, held)
    }

    /// That of answers about one large image.
    pub(crate) fn of_large_images(held: IntGauge) -> Self {
        Self::new(LARGE_IMAGES_BYTES, held)
    }

    fn new(total: usize, held: IntGauge) -> Self {
        let project_bytes = total / PROJECT_PART;
        Self { project_bytes, all: Arc::new(Semaphore::new(total)), projects: Mutex::default(), held }
    }

    /// Takes what an answer needs about an image whose record takes so many bytes; see [`covered`].
    pub(crate) async fn take_for_image(
        &self,
        project: Option<&ProjectId>,
        record: usize,
    ) -> Result<Share, ApiError> {
        self.take(project, record.saturating_mul(LARGE_IMAGE_FACTOR)).await
    }

    /// Takes this many bytes for an answer to the project, but never more than a project may have; waits until they are there.
    /// First come, first served.
    pub(crate) async fn take(&self, project: Option<&ProjectId>, bytes: usize) -> Result<Share, ApiError> {
        let bytes = u32::try_from(bytes.min(self.project_bytes)).unwrap_or(u32::MAX);
        let own = self.of(project).acquire_many_owned(bytes).await.map_err(closed)?;
        let all = Arc::clone(&self.all).acquire_many_owned(bytes).await.map_err(closed)?;
        self.held.add(bytes.into());
        let is_largest = own.num_permits() == self.project_bytes;
        Ok(Share { is_largest, own, all, held: self.held.clone() })
    }

    fn of(&self, project: Option<&ProjectId>) -> Arc<Semaphore> {
        let mut projects = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
        if projects.len() >= REMEMBERED {
            // An answer in progress, or one that waits, holds its project's semaphore as well.
            projects.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        }
        let semaphore =
            projects.entry(project.cloned()).or_insert_with(|| Arc::new(Semaphore::new(self.project_bytes)));
        Arc::clone(semaphore)
    }
}

fn closed(closed: tokio::sync::AcquireError) -> ApiError {
    Error::Internal(Box::new(closed)).into()
}

/// What the record of an image may take so that this share is enough for its answer; there is none for a small one. Nothing
/// waits for more than a project may have: what does not fit there has all of it.
pub(crate) fn covered(share: Option<&Share>) -> usize {
    match share {
        None => SMALL_IMAGE_BYTES,
        Some(share) if share.is_largest => usize::MAX,
        Some(share) => share.bytes() / LARGE_IMAGE_FACTOR,
    }
}

/// What one answer holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    /// Whether all of a project's was taken.
    is_largest: bool,
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
        Budget::of_lists(IntGauge::new("held", "held").unwrap())
    }

    const PROJECT_BYTES: usize = LISTS_BYTES / PROJECT_PART;

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
        assert_eq!((budget.held.get(), budget.all.available_permits()), (0, LISTS_BYTES));
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
        assert_eq!((budget.held.get(), budget.all.available_permits()), (0, LISTS_BYTES));
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_for_an_image_covers_it_or_is_all_of_its_project() {
        let budget = Budget::of_large_images(IntGauge::new("held", "held").unwrap());
        assert_eq!(covered(None), 8 << 10);
        for record in [8 << 10, (8 << 10) + 1, 256 << 10, 1 << 20, 64 << 20, usize::MAX] {
            let share = budget.take_for_image(None, record).await.unwrap();
            assert!(covered(Some(&share)) >= record, "{record}");
            assert!(share.bytes() == 4 << 20 || share.bytes() >= 4 * record, "{record}");
        }
        // Answers to one project at once: what it has is bounded, and the rest is left to others.
        let (slow, other) = (project("slow"), project("other"));
        let mut held = Vec::new();
        while let Ok(share) = timeout(SOON, budget.take_for_image(slow.as_ref(), 256 << 10)).await {
            held.push(share.unwrap());
        }
        assert_eq!((held.len(), budget.held.get()), (4, 4 << 20));
        assert!(timeout(SOON, budget.take_for_image(other.as_ref(), 256 << 10)).await.is_ok());
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
