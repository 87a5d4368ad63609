//! The seam over plain maps: the store of unit tests, and the proof that the seam asks for nothing but what it says.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};

use crate::{
    error::{Conflict, Error, Result},
    image::{Image, ImageAccess, ImageId},
    listing::Listing,
    member::{Member, MemberStatus},
    project::ProjectId,
    store::{MembersPage, Roll, Sight, Store, Tx, Viewer},
};

/// Records in memory, gone with the process. One lock for all: a change holds it until its end.
#[derive(Debug, Default)]
pub struct MemoryStore {
    records: Mutex<Records>,
}

#[derive(Clone, Debug, Default)]
struct Records {
    images: BTreeMap<ImageId, Image>,
    members: BTreeMap<(ImageId, ProjectId), Member>,
    spent_ids: BTreeSet<ImageId>,
}

impl MemoryStore {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records {
    fn access(&self, id: ImageId) -> Option<ImageAccess> {
        self.images.get(&id).map(Image::access)
    }

    fn member(&self, image: ImageId, project: Option<&ProjectId>) -> Option<&Member> {
        self.members.get(&(image, project?.clone()))
    }
}

impl Store for MemoryStore {
    fn ping(&self) -> Result<()> {
        Ok(())
    }

    fn sight(&self, image: ImageId, caller: Option<&ProjectId>, member: &ProjectId) -> Result<Option<Sight>> {
        let records = self.records();
        Ok(records.access(image).map(|access| Sight {
            image: access,
            is_member: records.member(image, caller).is_some(),
            member: records.member(image, Some(member)).cloned(),
        }))
    }

    fn members(&self, image: ImageId, viewer: Viewer<'_>, page: &MembersPage) -> Result<Option<Roll>> {
        let records = self.records();
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

    fn image(&self, id: ImageId, caller: Option<&ProjectId>) -> Result<Option<(Image, bool)>> {
        let records = self.records();
        Ok(records.images.get(&id).map(|image| (image.clone(), records.member(id, caller).is_some())))
    }

    fn images(&self, listing: &Listing) -> Result<Vec<Image>> {
        let records = self.records();
        let status =
            |image: &Image| records.member(image.id, Some(&listing.project)).map(|member| member.status);
        let mut images: Vec<Image> =
            records.images.values().filter(|image| listing.holds(image, status(image))).cloned().collect();
        images.sort_by(|a, b| listing.compare(a, b));
        if let Some(after) = &listing.after {
            images.retain(|image| listing.compare(image, after).is_gt());
        }
        images.truncate(listing.limit.saturating_add(1));
        Ok(images)
    }

    fn set_status(
        &self,
        seen: &ImageAccess,
        member: &ProjectId,
        status: MemberStatus,
        now: DateTime<Utc>,
    ) -> Result<Option<Member>> {
        let mut records = self.records();
        if records.access(seen.id).as_ref() != Some(seen) {
            return Ok(None);
        }
        Ok(records.members.get_mut(&(seen.id, member.clone())).map(|row| {
            if row.status != status {
                row.status = status;
                row.updated_at = now;
            }
            row.clone()
        }))
    }

    fn delete_member(&self, seen: &ImageAccess, member: &ProjectId) -> Result<bool> {
        let mut records = self.records();
        if records.access(seen.id).as_ref() != Some(seen) {
            return Ok(false);
        }
        Ok(records.members.remove(&(seen.id, member.clone())).is_some())
    }

    fn begin(&self, image: ImageId) -> Result<Box<dyn Tx + '_>> {
        let held = self.records();
        let changed = held.clone();
        Ok(Box::new(MemoryTx { image, held, changed }))
    }
}

struct MemoryTx<'a> {
    image: ImageId,
    held: MutexGuard<'a, Records>,
    changed: Records,
}

impl Tx for MemoryTx<'_> {
    fn image(&mut self) -> Result<Option<Image>> {
        Ok(self.changed.images.get(&self.image).cloned())
    }

    fn insert_image(&mut self, image: &Image) -> Result<()> {
        if !self.changed.spent_ids.insert(image.id) {
            return Err(Error::Conflict(Conflict::Image(image.id)));
        }
        self.changed.images.insert(image.id, image.clone());
        Ok(())
    }

    fn update_image(&mut self, image: &Image) -> Result<()> {
        self.changed.images.insert(image.id, image.clone());
        Ok(())
    }

    fn delete_image(&mut self) -> Result<()> {
        self.changed.images.remove(&self.image);
        self.changed.members.retain(|(image, _), _| *image != self.image);
        Ok(())
    }

    fn member(&mut self, project: &ProjectId) -> Result<Option<Member>> {
        Ok(self.changed.member(self.image, Some(project)).cloned())
    }

    fn count_members(&mut self) -> Result<usize> {
        Ok(self.changed.members.keys().filter(|(image, _)| *image == self.image).count())
    }

    fn insert_member(&mut self, member: &Member) -> Result<()> {
        let key = (member.image, member.project.clone());
        if self.changed.members.contains_key(&key) {
            return Err(Error::Conflict(Conflict::Member(member.image, member.project.clone())));
        }
        self.changed.members.insert(key, member.clone());
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        *self.held = self.changed;
        Ok(())
    }
}
