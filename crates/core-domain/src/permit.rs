//! Changes that somebody may give up waiting for: whoever was told «not now» must not find it done later.
//!
//! A [`Permit`] is used once: either the change takes it and lasts, or the one who waits takes it back and the change
//! never was. There is no third way, whatever the timing.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::{
    error::{Error, Result},
    event::{Cause, Event, Reason},
    image::{Image, ImageAccess, ImageId},
    listing::Listing,
    member::{Member, MemberStatus},
    project::ProjectId,
    store::{FoundImage, HistoryPage, ImagePage, MembersPage, Roll, Sharing, Sight, Store, Tx, Viewer},
};

/// Leave to make one change last.
#[derive(Debug, Default)]
pub struct Permit(AtomicU8);

const OPEN: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Permit {
    /// Takes the permit back. `false`: too late, the change is being made to last, and will be told of soon.
    pub fn withdraw(&self) -> bool {
        self.0.compare_exchange(OPEN, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Uses it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it was taken back.
    pub(crate) fn take(&self) -> Result<()> {
        match self.0.compare_exchange(OPEN, TAKEN, Ordering::AcqRel, Ordering::Acquire) {
            // A change that looks again after a contention has taken it already.
            Ok(_) | Err(TAKEN) => Ok(()),
            Err(_) => Err(Error::Unavailable("nobody waits for this change any more".into())),
        }
    }
}

/// A store on which changes last by this permit only.
#[derive(Clone, Copy)]
pub struct Permitted<'a> {
    store: &'a dyn Store,
    permit: &'a Permit,
}

impl<'a> Permitted<'a> {
    /// The store, for one change.
    #[must_use]
    pub fn new(store: &'a dyn Store, permit: &'a Permit) -> Self {
        Self { store, permit }
    }
}

impl Store for Permitted<'_> {
    fn ping(&self) -> Result<()> {
        self.store.ping()
    }

    fn sight(&self, image: ImageId, caller: Option<&ProjectId>, member: &ProjectId) -> Result<Option<Sight>> {
        self.store.sight(image, caller, member)
    }

    fn members(&self, image: ImageId, viewer: Viewer<'_>, page: &MembersPage) -> Result<Option<Roll>> {
        self.store.members(image, viewer, page)
    }

    fn image(&self, id: ImageId, viewer: Viewer<'_>) -> Result<Option<FoundImage>> {
        self.store.image(id, viewer)
    }

    fn images(&self, listing: &Listing) -> Result<ImagePage> {
        self.store.images(listing)
    }

    fn history(&self, image: ImageId, member: &ProjectId, page: HistoryPage<'_>) -> Result<Vec<Event>> {
        self.store.history(image, member, page)
    }

    fn set_status(
        &self,
        seen: &ImageAccess,
        member: &ProjectId,
        status: MemberStatus,
        cause: &Cause,
    ) -> Result<Option<Member>> {
        self.permit.take()?;
        self.store.set_status(seen, member, status, cause)
    }

    fn delete_member(&self, seen: &ImageAccess, member: &ProjectId, cause: &Cause) -> Result<bool> {
        self.permit.take()?;
        self.store.delete_member(seen, member, cause)
    }

    fn begin(&self, image: ImageId, cause: &Cause) -> Result<Box<dyn Tx + '_>> {
        Ok(Box::new(PermittedTx { tx: self.store.begin(image, cause)?, permit: self.permit }))
    }
}

struct PermittedTx<'a> {
    tx: Box<dyn Tx + 'a>,
    permit: &'a Permit,
}

impl Tx for PermittedTx<'_> {
    fn image(&mut self, viewer: Viewer<'_>) -> Result<Option<FoundImage>> {
        self.tx.image(viewer)
    }

    fn insert_image(&mut self, image: &Image) -> Result<()> {
        self.tx.insert_image(image)
    }

    fn update_image(&mut self, image: &Image) -> Result<()> {
        self.tx.update_image(image)
    }

    fn delete_image(&mut self) -> Result<()> {
        self.tx.delete_image()
    }

    fn owns_at_least(&mut self, owner: &ProjectId, images: usize) -> Result<bool> {
        self.tx.owns_at_least(owner, images)
    }

    fn sharing(
        &mut self,
        viewer: Viewer<'_>,
        with: &ProjectId,
        most: Option<usize>,
    ) -> Result<Option<Sharing>> {
        self.tx.sharing(viewer, with, most)
    }

    fn end_members(&mut self, reason: Reason) -> Result<()> {
        self.tx.end_members(reason)
    }

    fn insert_member(&mut self, member: &Member) -> Result<()> {
        self.tx.insert_member(member)
    }

    fn commit(self: Box<Self>) -> Result<()> {
        self.permit.take()?;
        self.tx.commit()
    }
}
