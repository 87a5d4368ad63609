//! The seam to the records, on one page.
//!
//! Reads are single statements on a [`Store`]: each sees one moment. Writes come in two kinds. What changes one
//! membership is a single guarded statement: it acts only if the image still is what the decision was made on, else
//! the use case looks again. Everything else is a [`Tx`] about one image, which it holds locked: within it a use case
//! may read, decide and write as if it were alone. Nothing here is async, so nothing can wait for a network meanwhile.
//!
//! Every write says why, and what it changed is kept as an event with it ([`crate::event`]); what changes nothing has
//! none.
//!
//! What any implementation must do is `testing::conformance`; `docs/swapping-a-store.md` walks through it.

use chrono::{DateTime, Utc};

use crate::{
    error::{Error, Result},
    event::{Cause, Event, Reason},
    image::{Image, ImageAccess, ImageId, Visibility},
    limits::{BATCH_ID_BYTES, BATCH_MEMBERS},
    listing::Listing,
    member::{Member, MemberStatus},
    project::ProjectId,
};

/// Where records live: images, their members, and what happened to them.
///
/// Every method answers [`Error::Unavailable`] when the records cannot be reached, [`Error::Contention`] when trying
/// again may help, [`Error::Internal`] when something is there that should not be.
pub trait Store: Send + Sync {
    /// Whether the records can be reached now.
    ///
    /// # Errors
    /// As said above.
    fn ping(&self) -> Result<()>;

    /// One look at an image, at whether `caller` has a membership in it, and at the membership of `member`.
    /// `None`: no such image.
    ///
    /// # Errors
    /// As said above.
    fn sight(&self, image: ImageId, caller: Option<&ProjectId>, member: &ProjectId) -> Result<Option<Sight>>;

    /// [`Store::sight`] for several at once, in the order asked; each sees a moment that is not before this call.
    ///
    /// # Errors
    /// As said above; then none of them was answered.
    fn sights(&self, asked: &[SightOf<'_>]) -> Result<Vec<Option<Sight>>> {
        asked.iter().map(|one| self.sight(one.image, one.caller, one.member)).collect()
    }

    /// One look at an image and those of its members that `viewer` sees: all for its owner and for admins, its own
    /// otherwise. Ordered by creation, then project. `None`: no such image.
    ///
    /// # Errors
    /// As said above.
    fn members(&self, image: ImageId, viewer: Viewer<'_>, page: &MembersPage) -> Result<Option<Roll>>;

    /// [`Store::members`] for several at once, all of their members each, in the order asked; each sees a moment that is
    /// not before this call. A list of more than [`BATCH_MEMBERS`] members, or with a project whose id has more than
    /// [`BATCH_ID_BYTES`], is left out: [`Batched::Alone`].
    ///
    /// # Errors
    /// As said above; then none of them was answered.
    fn rolls(&self, asked: &[(ImageId, Viewer<'_>)]) -> Result<Vec<Batched<Option<Roll>>>> {
        let alone = |(image, viewer): &(ImageId, Viewer<'_>)| {
            let roll = self.members(*image, *viewer, &MembersPage::default())?;
            Ok(Batched::of_roll(roll))
        };
        asked.iter().map(alone).collect()
    }

    /// One look at an image: what decisions are made on, and the whole of it if [`Viewer::sees`] says that the viewer sees it.
    /// `None`: no such image. A store does not read the tags, properties and name of an image that is not seen, so that the
    /// answer to a stranger takes as long as for an id that was never used.
    ///
    /// # Errors
    /// As said above.
    fn image(&self, id: ImageId, viewer: Viewer<'_>) -> Result<Option<FoundImage>>;

    /// [`Store::image`] for several at once, in the order asked; each sees a moment that is not before this call. A store that
    /// answers a batch in one step holds at most [`crate::limits::BATCH_BYTES`] of records for it; what is beyond is
    /// [`Batched::Alone`].
    ///
    /// # Errors
    /// As said above; then none of them was answered.
    fn whole_images(&self, asked: &[(ImageId, Viewer<'_>)]) -> Result<Vec<Batched<Option<FoundImage>>>> {
        asked.iter().map(|(id, viewer)| self.image(*id, *viewer).map(Batched::Answered)).collect()
    }

    /// The page of images that `listing` asks for, in its order: at most `listing.limit` of them and at most
    /// [`crate::limits::PAGE_BYTES`] of records, but one image at least unless the limit is 0. Neither the store nor its
    /// database holds more of them at a time.
    ///
    /// # Errors
    /// As said above.
    fn images(&self, listing: &Listing) -> Result<ImagePage>;

    /// What happened to the membership of a project in an image, whether it or the image still is there; oldest first.
    ///
    /// # Errors
    /// As said above.
    fn history(&self, image: ImageId, member: &ProjectId, page: HistoryPage<'_>) -> Result<Vec<Event>>;

    /// Sets a membership's status; `updated_at` becomes the time of `cause` unless the status was this one already. `None`, and
    /// nothing done: the image is not what `seen` says any more, or there is no such membership.
    ///
    /// # Errors
    /// As said above.
    fn set_status(
        &self,
        seen: &ImageAccess,
        member: &ProjectId,
        status: MemberStatus,
        cause: &Cause,
    ) -> Result<Option<Member>>;

    /// [`Store::set_status`] for several at once, as if one after another in this order. One that cannot be done
    /// together with the others at once, because somebody else holds its membership, say, is `None` too: nothing was
    /// done, and [`Store::set_status`] will tell.
    ///
    /// # Errors
    /// As said above; then none of them was done, or, where the connection was lost in the very act, all or none.
    fn set_statuses(&self, changes: &[StatusChange<'_>]) -> Result<Vec<Option<Member>>> {
        let alone = |one: &StatusChange<'_>| self.set_status(one.seen, one.member, one.status, one.cause);
        Ok(changes.iter().map(|one| alone(one).ok().flatten()).collect())
    }

    /// Ends a membership. `false`, and nothing done: the image is not what `seen` says any more, or there is no such
    /// membership.
    ///
    /// # Errors
    /// As said above.
    fn delete_member(&self, seen: &ImageAccess, member: &ProjectId, cause: &Cause) -> Result<bool>;

    /// Begins a change of one image, present or to come, and keeps others from changing it until the end.
    ///
    /// # Errors
    /// As said above.
    fn begin(&self, image: ImageId, cause: &Cause) -> Result<Box<dyn Tx + '_>>;
}

/// A change of one image under way; dropped without [`Tx::commit`], it never was.
pub trait Tx {
    /// [`Store::image`], of the image as it is within this change.
    ///
    /// # Errors
    /// As for every method of a [`Store`].
    fn image(&mut self, viewer: Viewer<'_>) -> Result<Option<FoundImage>>;

    /// Keeps a new image; its id is the one this change began with.
    ///
    /// # Errors
    /// [`Error::Conflict`] if any image ever had this id.
    fn insert_image(&mut self, image: &Image) -> Result<()>;

    /// Keeps the image as given, tags and properties included.
    ///
    /// # Errors
    /// As for every method of a [`Store`].
    fn update_image(&mut self, image: &Image) -> Result<()>;

    /// Removes the image and all its memberships, with an event for each. Its id is never given again.
    ///
    /// # Errors
    /// As for every method of a [`Store`].
    fn delete_image(&mut self) -> Result<()>;

    /// Whether the project owns at least so many images. Until this change ends, no other change gets an answer to this
    /// question about the same project, so that an image may be added after it as if alone. It is asked about one project
    /// in a change, and before an image is inserted: so no two changes wait for each other.
    ///
    /// # Errors
    /// As for every method of a [`Store`].
    fn owns_at_least(&mut self, owner: &ProjectId, images: usize) -> Result<bool>;

    /// One look at the image, as [`Tx::image`], at whether `with` has a membership in it, and at how many memberships it
    /// has. They are counted up to `most`, in as many steps at most, and not at all for `None`. `None` is answered where there
    /// is no such image.
    ///
    /// # Errors
    /// As for every method of a [`Store`].
    fn sharing(
        &mut self,
        viewer: Viewer<'_>,
        with: &ProjectId,
        most: Option<usize>,
    ) -> Result<Option<Sharing>>;

    /// Ends every membership of the image, with an event for each that gives this reason, in the order of
    /// [`Store::members`]. It takes as many steps for a thousand members as for one.
    ///
    /// # Errors
    /// As for every method of a [`Store`].
    fn end_members(&mut self, reason: Reason) -> Result<()>;

    /// Keeps a new membership.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the project is a member already.
    fn insert_member(&mut self, member: &Member) -> Result<()>;

    /// Makes the change last. When this has returned, it survives a crash.
    ///
    /// # Errors
    /// As for every method of a [`Store`]; the change then either never was or, where the connection was lost in
    /// the very act, may have been.
    fn commit(self: Box<Self>) -> Result<()>;
}

/// What [`Store::sight`] sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The image.
    pub image: ImageAccess,
    /// Whether the caller's project has a membership, in any status.
    pub is_member: bool,
    /// The membership asked about.
    pub member: Option<Member>,
}

/// What [`Store::image`] and [`Tx::image`] see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundImage {
    /// What decisions are made on.
    pub access: ImageAccess,
    /// Whether the viewer's project has a membership, in any status.
    pub is_member: bool,
    /// The whole image; `None`: the viewer does not see it.
    pub image: Option<Image>,
}

/// What [`Store::images`] answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImagePage {
    /// The images, in the order of the listing.
    pub images: Vec<Image>,
    /// Whether more images follow the last of these.
    pub has_more: bool,
}

/// What a batch answers to one of its calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Batched<T> {
    /// The answer.
    Answered(T),
    /// None: it would have been too large for the batch. The call is to be made alone.
    Alone,
}

impl Batched<Option<Roll>> {
    /// The answer, unless it is beyond what one call may have in a batch.
    #[must_use]
    pub fn of_roll(roll: Option<Roll>) -> Self {
        if roll.as_ref().is_some_and(Roll::is_beyond_batches) { Self::Alone } else { Self::Answered(roll) }
    }
}

/// What [`Tx::sharing`] sees: all that an addition to the members is decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// The image.
    pub found: FoundImage,
    /// Whether the project asked about has a membership, in any status; false if the viewer does not see the image.
    pub is_shared_already: bool,
    /// How many members the image has, in any status, counted as far as was asked; 0 if they were not counted, or if the
    /// viewer does not see the image.
    pub members: usize,
}

/// What one of [`Store::sights`] is to look at; the parameters of [`Store::sight`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SightOf<'a> {
    /// The image.
    pub image: ImageId,
    /// The caller's project.
    pub caller: Option<&'a ProjectId>,
    /// The project whose membership is asked about.
    pub member: &'a ProjectId,
}

/// One of [`Store::set_statuses`]; the parameters of [`Store::set_status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusChange<'a> {
    /// The image as it was when the change was decided on.
    pub seen: &'a ImageAccess,
    /// The project whose membership it is.
    pub member: &'a ProjectId,
    /// What it becomes.
    pub status: MemberStatus,
    /// Why.
    pub cause: &'a Cause,
}

/// What [`Store::members`] sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roll {
    /// The image.
    pub image: ImageAccess,
    /// Whether the viewer's project has a membership, in any status, on this page or not.
    pub is_member: bool,
    /// The page.
    pub members: Vec<Member>,
}

impl Roll {
    /// Whether a batch of [`Store::rolls`] leaves this one out.
    fn is_beyond_batches(&self) -> bool {
        let projects = self.members.iter().map(|member| &member.project).chain(&self.image.owner);
        self.members.len() > BATCH_MEMBERS
            || projects.map(|project| project.as_str().len()).any(|bytes| bytes > BATCH_ID_BYTES)
    }
}

/// Whose eyes a list is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer<'a> {
    /// The project.
    pub project: Option<&'a ProjectId>,
    /// Whether it sees everything.
    pub admin: bool,
}

impl Viewer<'_> {
    /// An admin of no project.
    pub const ADMIN: Self = Self { project: None, admin: true };

    /// Whether the viewer sees an image by its id. `is_member` says whether its project has a membership, in any status
    /// (sharing API, section 2: status only governs listing). Without a project it sees none: it belongs to nobody (section 5).
    #[must_use]
    pub fn sees(&self, image: &ImageAccess, is_member: bool) -> bool {
        self.admin
            || self.project.is_some_and(|project| {
                image.owner.as_ref() == Some(project)
                    || match image.visibility {
                        Visibility::Public | Visibility::Community => true,
                        // An image without an owner is everybody's to see by id.
                        Visibility::Shared => is_member || image.owner.is_none(),
                        Visibility::Private => image.owner.is_none(),
                    }
            })
    }
}

/// Which part of an image's members to list. `default()` is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembersPage {
    /// Only those after this one, by creation time and project.
    pub after: Option<(DateTime<Utc>, ProjectId)>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// Which part of a history to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryPage<'a> {
    /// Only what happened after the event of this number.
    pub after: Option<i64>,
    /// Only what happened since this project became the owner of the image, for the last time, and while it was.
    pub owner: Option<&'a ProjectId>,
    /// At most so many.
    pub limit: usize,
}

/// How often a change is tried when others get in its way.
pub const ATTEMPTS: usize = 8;

impl dyn Store + '_ {
    /// Runs `work` as one change of `image`, and again, a bounded number of times, when others got in its way.
    ///
    /// # Errors
    /// What `work` answers (then nothing was changed), or what became of the change itself.
    pub fn write<T>(
        &self,
        image: ImageId,
        cause: &Cause,
        work: impl Fn(&mut dyn Tx) -> Result<T>,
    ) -> Result<T> {
        retry(|| {
            let mut tx = self.begin(image, cause)?;
            let done = work(tx.as_mut())?;
            tx.commit()?;
            Ok(Some(done))
        })
    }
}

/// Runs `attempt` until it has an answer: `None` and [`Error::Contention`] mean «again», at most [`ATTEMPTS`] times.
///
/// # Errors
/// The attempt's own, or [`Error::Contention`] in the end.
pub fn retry<T>(attempt: impl Fn() -> Result<Option<T>>) -> Result<T> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match attempt() {
            Ok(Some(done)) => return Ok(done),
            Ok(None) => {}
            Err(Error::Contention(source)) => last = Some(source),
            Err(error) => return Err(error),
        }
    }
    Err(Error::Contention(
        last.unwrap_or_else(|| "the records changed between every look and every write".into()),
    ))
}
