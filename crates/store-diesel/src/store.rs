//! The seam: each call of `core_domain::store` and the SQL that answers it.

use std::{collections::BTreeSet, sync::LazyLock};

use core_domain::{
    Result,
    error::Conflict,
    event::{Attribute, Cause, Deed, Event, Reason},
    image::{Image, ImageAccess, ImageId},
    listing::Listing,
    member::{Member, MemberStatus},
    project::ProjectId,
    store::{
        Batched, FoundImage, HistoryPage, ImagePage, MembersPage, Roll, Sharing, Sight, SightOf,
        StatusChange, Store, Tx, Viewer,
    },
};

use crate::{
    config::Config,
    connection::Purpose,
    error::{Fault, impossible},
    events, images, members,
    pool::{Figures, Loan, Pool, Use},
    replica::{Replica, ReplicaFigures},
    rounds,
};

/// Records in Postgres or SQLite.
pub struct DieselStore {
    pool: LazyPool,
    rounds: LazyPool,
    /// For those who tell of events; opened when there is one.
    pub(crate) telling: LazyPool,
    replica: Option<Replica>,
}

/// A pool that is opened when it is first used.
type LazyPool = LazyLock<Pool, Box<dyn FnOnce() -> Pool + Send>>;

fn lazy(config: &Config, purpose: Purpose, size: u32) -> LazyPool {
    let own = config.clone();
    let open: Box<dyn FnOnce() -> Pool + Send> = Box::new(move || Pool::open(&own, purpose, size));
    LazyLock::new(open)
}

/// Connections for those who tell of events: each needs one now and then. Counted by
/// [`crate::MaxConnections`].
pub(crate) const TELLING: u32 = 2;

/// Connections for rounds, beside those of `Config::pool_size`: one for each kind of call that has them. Counted
/// by [`crate::MaxConnections`].
pub(crate) const ROUNDS: u32 = 4;

impl DieselStore {
    /// A store at `config`'s address. Connections are opened in the background and whenever one is missing, so this
    /// succeeds whether or not the database can be reached; [`crate::schema_state`] asks for that.
    ///
    /// # Errors
    /// [`core_domain::Error::Invalid`] for a configuration that cannot work.
    pub fn open(config: &Config) -> Result<Self> {
        let store = Self::at(config.checked()?, TELLING)?;
        LazyLock::force(&store.pool);
        LazyLock::force(&store.rounds);
        Ok(store)
    }

    /// A store of which little is asked before the program ends: a connection is opened when one is needed, and none in the
    /// background, where a program that ends meanwhile would pull OpenSSL away from under it.
    ///
    /// # Errors
    /// As [`DieselStore::open`].
    pub fn for_a_moment(config: &Config) -> Result<Self> {
        let mut config = config.checked()?.clone();
        (config.pool_size, config.replica) = (1, None);
        Self::at(&config, 1)
    }

    fn at(config: &Config, telling: u32) -> Result<Self> {
        Ok(Self {
            pool: lazy(config, Purpose::Calls, config.pool_size),
            rounds: lazy(config, Purpose::Rounds, ROUNDS),
            telling: lazy(config, Purpose::Calls, telling),
            replica: Replica::watch(config)?,
        })
    }

    /// How many connections there are now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.pool.figures()
    }

    /// How fresh the replica is and what it answered, if there is one.
    #[must_use]
    pub fn replica_figures(&self) -> Option<ReplicaFigures> {
        self.replica.as_ref().map(Replica::figures)
    }
}

impl Store for DieselStore {
    fn ping(&self) -> Result<()> {
        Ok(self.pool.lend(Use::Ping).map(drop)?)
    }

    fn sight(&self, image: ImageId, caller: Option<&ProjectId>, member: &ProjectId) -> Result<Option<Sight>> {
        Ok(self.pool.read(|connection| members::sight(connection, image, caller, member))?)
    }

    fn sights(&self, asked: &[SightOf<'_>]) -> Result<Vec<Option<Sight>>> {
        Ok(self.rounds.read(|connection| rounds::sights(connection, asked))?)
    }

    fn members(&self, image: ImageId, viewer: Viewer<'_>, page: &MembersPage) -> Result<Option<Roll>> {
        Ok(self.pool.read(|connection| members::roll(connection, image, viewer, page))?)
    }

    fn image(&self, id: ImageId, viewer: Viewer<'_>) -> Result<Option<FoundImage>> {
        Ok(self.pool.read(|connection| images::find(connection, id, viewer))?)
    }

    fn rolls(&self, asked: &[(ImageId, Viewer<'_>)]) -> Result<Vec<Batched<Option<Roll>>>> {
        Ok(self.rounds.read(|connection| rounds::rolls(connection, asked))?)
    }

    fn whole_images(&self, asked: &[(ImageId, Viewer<'_>)]) -> Result<Vec<Batched<Option<FoundImage>>>> {
        Ok(self.rounds.read(|connection| rounds::whole_images(connection, asked))?)
    }

    fn images(&self, listing: &Listing) -> Result<ImagePage> {
        if let Some(found) = self.replica.as_ref().and_then(|replica| replica.list(listing)) {
            return Ok(found);
        }
        Ok(self.pool.read(|connection| images::list(connection, listing))?)
    }

    fn history(&self, image: ImageId, member: &ProjectId, page: HistoryPage<'_>) -> Result<Vec<Event>> {
        Ok(self.pool.read(|connection| events::history(connection, image, member, page))?)
    }

    fn set_status(
        &self,
        seen: &ImageAccess,
        member: &ProjectId,
        status: MemberStatus,
        cause: &Cause,
    ) -> Result<Option<Member>> {
        let mut connection = self.pool.lend(Use::Write)?;
        Ok(members::set_status(&mut connection, &StatusChange { seen, member, status, cause })?)
    }

    fn set_statuses(&self, changes: &[StatusChange<'_>]) -> Result<Vec<Option<Member>>> {
        let mut connection = self.rounds.lend(Use::Write)?;
        Ok(rounds::set_statuses(&mut connection, changes)?)
    }

    fn delete_member(&self, seen: &ImageAccess, member: &ProjectId, cause: &Cause) -> Result<bool> {
        let mut connection = self.pool.lend(Use::Write)?;
        Ok(members::delete(&mut connection, seen, member, cause)?)
    }

    fn begin(&self, image: ImageId, cause: &Cause) -> Result<Box<dyn Tx + '_>> {
        let connection = self.pool.begin()?;
        let mut change = Change {
            image,
            cause: cause.clone(),
            connection,
            is_held: false,
            known: None,
            is_open: true,
            has_failed: false,
        };
        change.hold()?;
        Ok(Box::new(change))
    }
}

/// A change of one image: a transaction that holds the image's row.
struct Change {
    image: ImageId,
    cause: Cause,
    connection: Loan,
    /// An image that is not there cannot be held. Once it is seen it must be, or two could change it.
    is_held: bool,
    /// The image as last read or written here.
    known: Option<Image>,
    is_open: bool,
    /// Postgres undoes all of a transaction in which a statement failed, and says so to a `COMMIT` only in passing.
    has_failed: bool,
}

impl Change {
    fn hold(&mut self) -> Result<bool, Fault> {
        if !self.is_held {
            let held = self.connection.hold(self.image);
            self.is_held = self.note(held)?;
        }
        Ok(self.is_held)
    }

    fn note<T>(&mut self, done: Result<T, Fault>) -> Result<T, Fault> {
        self.has_failed |= done.is_err();
        done
    }

    fn find(&mut self, viewer: Viewer<'_>) -> Result<Option<FoundImage>, Fault> {
        if !self.hold()? {
            return Ok(None);
        }
        let found = images::find(&mut self.connection, self.image, viewer);
        let found = self.note(found)?;
        self.known = found.as_ref().and_then(|found| found.image.clone());
        Ok(found)
    }

    fn known(&mut self) -> Result<Option<&Image>, Fault> {
        if self.known.is_none() {
            self.find(Viewer::ADMIN)?;
        }
        Ok(self.known.as_ref())
    }

    fn tell_of_image(
        &mut self,
        image: &Image,
        deed: Deed,
        changed: &BTreeSet<Attribute>,
    ) -> Result<(), Fault> {
        let kept = events::keep_of_image(&mut self.connection, &self.cause, image, deed, changed);
        self.note(kept)
    }
}

impl Tx for Change {
    fn image(&mut self, viewer: Viewer<'_>) -> Result<Option<FoundImage>> {
        Ok(self.find(viewer)?)
    }

    fn insert_image(&mut self, image: &Image) -> Result<()> {
        let inserted = images::insert(&mut self.connection, image);
        self.note(inserted).map_err(|fault| fault.taken_as(Conflict::Image(image.id)))?;
        self.is_held = true;
        self.known = Some(image.clone());
        Ok(self.tell_of_image(image, Deed::Create, &BTreeSet::new())?)
    }

    fn update_image(&mut self, image: &Image) -> Result<()> {
        let before =
            self.known()?.cloned().ok_or_else(|| impossible("an image that is not there was changed"))?;
        let updated = images::update(&mut self.connection, &before, image);
        self.note(updated)?;
        self.known = Some(image.clone());
        Ok(self.tell_of_image(image, Deed::Update, &Attribute::changed(&before, image))?)
    }

    fn delete_image(&mut self) -> Result<()> {
        let Some(image) = self.known()?.cloned() else { return Ok(()) };
        let ended = members::end_all(&mut self.connection, &image, &self.cause, None);
        self.note(ended)?;
        let deleted = images::delete(&mut self.connection, self.image);
        self.note(deleted)?;
        self.known = None;
        Ok(self.tell_of_image(&image, Deed::Delete, &BTreeSet::new())?)
    }

    fn owns_at_least(&mut self, owner: &ProjectId, count: usize) -> Result<bool> {
        let found = images::owns_at_least(&mut self.connection, owner, count);
        Ok(self.note(found)?)
    }

    fn sharing(
        &mut self,
        viewer: Viewer<'_>,
        with: &ProjectId,
        most: Option<usize>,
    ) -> Result<Option<Sharing>> {
        if !self.hold()? {
            return Ok(None);
        }
        let found = images::sharing(&mut self.connection, self.image, viewer, with, most);
        let sharing = self.note(found)?;
        self.known = sharing.as_ref().and_then(|sharing| sharing.found.image.clone());
        Ok(sharing)
    }

    fn end_members(&mut self, reason: Reason) -> Result<()> {
        let image =
            self.known()?.cloned().ok_or_else(|| impossible("members of an image that is not there"))?;
        let ended = members::end_all(&mut self.connection, &image, &self.cause, Some(reason));
        Ok(self.note(ended)?)
    }

    fn insert_member(&mut self, member: &Member) -> Result<()> {
        let image =
            self.known()?.cloned().ok_or_else(|| impossible("a member of an image that is not there"))?;
        let inserted = members::insert(&mut self.connection, &image, member, &self.cause);
        let taken = || Conflict::Member(member.image, member.project.clone());
        self.note(inserted).map_err(|fault| fault.taken_as(taken()))
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        if self.has_failed {
            return Err(impossible("a change was to last of which a part had failed").into());
        }
        self.is_open = false;
        Ok(self.connection.commit()?)
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        if self.is_open {
            self.connection.roll_back();
        }
    }
}
