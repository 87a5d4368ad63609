//! The seam over plain maps: the store of unit tests, and the proof that the seam asks for nothing but what it says.

mod events;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use self::events::Events;
use crate::{
    error::{Conflict, Error, Result},
    event::{Attribute, Cause, Change, Deed, Event, Reason},
    image::{Image, ImageAccess, ImageId},
    limits::PAGE_BYTES,
    listing::Listing,
    member::{Member, MemberStatus},
    project::ProjectId,
    store::{FoundImage, HistoryPage, ImagePage, MembersPage, Roll, Sharing, Sight, Store, Tx, Viewer},
};

/// Records in memory, gone with the process. One lock for all: a change holds it until its end.
#[derive(Debug, Default)]
pub struct MemoryStore {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    records: Records,
    events: Events,
}

#[derive(Clone, Debug, Default)]
struct Records {
    images: BTreeMap<ImageId, Image>,
    members: BTreeMap<(ImageId, ProjectId), Member>,
    spent_ids: BTreeSet<ImageId>,
}

impl MemoryStore {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records {
    fn access(&self, id: ImageId) -> Option<ImageAccess> {
        self.images.get(&id).map(Image::access)
    }

    fn member(&self, image: ImageId, project: Option<&ProjectId>) -> Option<&Member> {
        self.members.get(&(image, project?.clone()))
    }

    fn image(&self, id: ImageId, viewer: Viewer<'_>) -> Option<FoundImage> {
        self.images.get(&id).map(|image| {
            let (access, is_member) = (image.access(), self.member(id, viewer.project).is_some());
            let image = viewer.sees(&access, is_member).then(|| image.clone());
            FoundImage { access, is_member, image }
        })
    }
}

impl Store for MemoryStore {
    fn ping(&self) -> Result<()> {
        Ok(())
    }

    fn sight(&self, image: ImageId, caller: Option<&ProjectId>, member: &ProjectId) -> Result<Option<Sight>> {
        let Kept { records, .. } = &*self.kept();
        Ok(records.access(image).map(|access| Sight {
            image: access,
            is_member: records.member(image, caller).is_some(),
            member: records.member(image, Some(member)).cloned(),
        }))
    }

    fn members(&self, image: ImageId, viewer: Viewer<'_>, page: &MembersPage) -> Result<Option<Roll>> {
        let Kept { records, .. } = &*self.kept();
        let Some(access) = records.access(image) else { return Ok(None) };
        let all = viewer.admin || (access.owner.is_some() && access.owner.as_ref() == viewer.project);
        let mut members: Vec<Member> = records
            .members
            .values()
            .filter(|member| member.image == image && (all || Some(&member.project) == viewer.project))
            .cloned()
            .collect();
        members.sort_by_key(|member| (member.created_at, member.project.clone()));
        if let Some(after) = &page.after {
            members.retain(|member| (member.created_at, &member.project) > (after.0, &after.1));
        }
        members.truncate(page.limit.unwrap_or(usize::MAX));
        let is_member = records.member(image, viewer.project).is_some();
        Ok(Some(Roll { image: access, is_member, members }))
    }

    fn image(&self, id: ImageId, viewer: Viewer<'_>) -> Result<Option<FoundImage>> {
        Ok(self.kept().records.image(id, viewer))
    }

    fn images(&self, listing: &Listing) -> Result<ImagePage> {
        let Kept { records, .. } = &*self.kept();
        let status =
            |image: &Image| records.member(image.id, Some(&listing.project)).map(|member| member.status);
        let mut images: Vec<Image> =
            records.images.values().filter(|image| listing.holds(image, status(image))).cloned().collect();
        let order = listing.comparator();
        images.sort_by(|a, b| order.compare(a, b));
        if let Some(after) = &listing.after {
            images.retain(|image| order.is_after(image, after));
        }
        let mut bytes = 0_usize;
        let fits = images
            .iter()
            .take(listing.limit)
            .enumerate()
            .take_while(|(number, image)| {
                bytes = bytes.saturating_add(image.memory_bytes());
                *number == 0 || bytes <= PAGE_BYTES
            })
            .count();
        let has_more = fits > 0 && images.len() > fits;
        images.truncate(fits);
        Ok(ImagePage { images, has_more })
    }

    fn history(&self, image: ImageId, member: &ProjectId, page: HistoryPage<'_>) -> Result<Vec<Event>> {
        Ok(self.kept().events.history(image, member, page))
    }

    fn set_status(
        &self,
        seen: &ImageAccess,
        member: &ProjectId,
        status: MemberStatus,
        cause: &Cause,
    ) -> Result<Option<Member>> {
        let Kept { records, events } = &mut *self.kept();
        let Some(image) = records.images.get(&seen.id).filter(|image| image.access() == *seen) else {
            return Ok(None);
        };
        Ok(records.members.get_mut(&(seen.id, member.clone())).map(|row| {
            if row.status != status {
                events.keep(cause, image, None, of_member(Deed::Update, row, Some(row.status), Some(status)));
                row.status = status;
                row.updated_at = cause.at;
            }
            row.clone()
        }))
    }

    fn delete_member(&self, seen: &ImageAccess, member: &ProjectId, cause: &Cause) -> Result<bool> {
        let Kept { records, events } = &mut *self.kept();
        let Some(image) = records.images.get(&seen.id).filter(|image| image.access() == *seen) else {
            return Ok(false);
        };
        let gone = records.members.remove(&(seen.id, member.clone()));
        if let Some(row) = &gone {
            events.keep(cause, image, None, of_member(Deed::Delete, row, Some(row.status), None));
        }
        Ok(gone.is_some())
    }

    fn begin(&self, image: ImageId, cause: &Cause) -> Result<Box<dyn Tx + '_>> {
        let held = self.kept();
        let changed = held.records.clone();
        Ok(Box::new(MemoryTx { image, cause: cause.clone(), held, changed, changes: Vec::new() }))
    }
}

fn of_member(deed: Deed, row: &Member, old: Option<MemberStatus>, new: Option<MemberStatus>) -> Change {
    Change::Member { deed, project: row.project.clone(), old, new, created_at: row.created_at }
}

struct MemoryTx<'a> {
    image: ImageId,
    cause: Cause,
    held: MutexGuard<'a, Kept>,
    changed: Records,
    /// What was done, with the image it was done to.
    changes: Vec<(Image, Option<Reason>, Change)>,
}

impl MemoryTx<'_> {
    fn note_image(&mut self, deed: Deed, changed: BTreeSet<Attribute>, image: &Image) {
        let snapshot = self.held.events.has_sinks().then(|| Box::new(image.clone()));
        self.changes.push((image.clone(), None, Change::Image { deed, changed, image: snapshot }));
    }

    fn end_all(&mut self, image: &Image, reason: Option<Reason>) {
        let rows = self.changed.members.values().filter(|row| row.image == self.image);
        let mut ended: Vec<Member> = rows.cloned().collect();
        ended.sort_by(|a, b| (a.created_at, &a.project).cmp(&(b.created_at, &b.project)));
        for row in ended {
            self.changed.members.remove(&(row.image, row.project.clone()));
            let change = of_member(Deed::Delete, &row, Some(row.status), None);
            self.changes.push((image.clone(), reason, change));
        }
    }
}

impl Tx for MemoryTx<'_> {
    fn image(&mut self, viewer: Viewer<'_>) -> Result<Option<FoundImage>> {
        Ok(self.changed.image(self.image, viewer))
    }

    fn insert_image(&mut self, image: &Image) -> Result<()> {
        if !self.changed.spent_ids.insert(image.id) {
            return Err(Error::Conflict(Conflict::Image(image.id)));
        }
        self.changed.images.insert(image.id, image.clone());
        self.note_image(Deed::Create, BTreeSet::new(), image);
        Ok(())
    }

    fn update_image(&mut self, image: &Image) -> Result<()> {
        let before = self.changed.images.insert(image.id, image.clone());
        let changed = before.map(|before| Attribute::changed(&before, image)).unwrap_or_default();
        self.note_image(Deed::Update, changed, image);
        Ok(())
    }

    fn delete_image(&mut self) -> Result<()> {
        let Some(image) = self.changed.images.remove(&self.image) else { return Ok(()) };
        self.end_all(&image, None);
        self.note_image(Deed::Delete, BTreeSet::new(), &image);
        Ok(())
    }

    fn owns_at_least(&mut self, owner: &ProjectId, images: usize) -> Result<bool> {
        let owned = self.changed.images.values().filter(|image| image.owner.as_ref() == Some(owner));
        Ok(owned.take(images).count() == images)
    }

    fn sharing(
        &mut self,
        viewer: Viewer<'_>,
        with: &ProjectId,
        most: Option<usize>,
    ) -> Result<Option<Sharing>> {
        let records = &self.changed;
        let members = records.members.keys().filter(|(image, _)| *image == self.image);
        Ok(records.image(self.image, viewer).map(|found| match &found.image {
            Some(_) => Sharing {
                found,
                is_shared_already: records.member(self.image, Some(with)).is_some(),
                members: members.take(most.unwrap_or(0)).count(),
            },
            None => Sharing { found, is_shared_already: false, members: 0 },
        }))
    }

    fn end_members(&mut self, reason: Reason) -> Result<()> {
        if let Some(image) = self.changed.images.get(&self.image).cloned() {
            self.end_all(&image, Some(reason));
        }
        Ok(())
    }

    fn insert_member(&mut self, member: &Member) -> Result<()> {
        let key = (member.image, member.project.clone());
        if self.changed.members.contains_key(&key) {
            return Err(Error::Conflict(Conflict::Member(member.image, member.project.clone())));
        }
        self.changed.members.insert(key, member.clone());
        if let Some(image) = self.changed.images.get(&member.image) {
            let change = of_member(Deed::Create, member, None, Some(member.status));
            self.changes.push((image.clone(), None, change));
        }
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        let Kept { records, events } = &mut *self.held;
        *records = self.changed;
        for (image, reason, change) in self.changes {
            events.keep(&self.cause, &image, reason, change);
        }
        Ok(())
    }
}
