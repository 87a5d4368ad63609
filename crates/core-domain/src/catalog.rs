//! The catalog: use cases on image records. They decide in the same order as those of [`crate::sharing`].

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    caller::Context,
    error::{Conflict, Denied, Error, Missing, Result},
    image::{self, CONTAINER_FORMATS, DISK_FORMATS, Image, ImageAccess, ImageId, ImageStatus, Visibility},
    limits::{self, Limits},
    listing::{Listing, Position},
    policy::Action,
    project::ProjectId,
    steps,
    store::{FoundImage, ImagePage, Store, Tx},
    text,
    visibility::{seen_image, sees, unseen},
};

/// An image to be made; what is `None` gets its default.
#[derive(Clone, Debug, Default)]
pub struct NewImage {
    /// The id, if the client chose one.
    pub id: Option<ImageId>,
    /// The owner, if the client named one (`Some(None)`: nobody); the caller's project by default.
    pub owner: Option<Option<ProjectId>>,
    /// By default shared, as in API v2.5.
    pub visibility: Option<Visibility>,
    /// See [`Image::name`].
    pub name: Option<String>,
    /// See [`Image::container_format`].
    pub container_format: Option<String>,
    /// See [`Image::disk_format`].
    pub disk_format: Option<String>,
    /// See [`Image::min_disk`].
    pub min_disk: i32,
    /// See [`Image::min_ram`].
    pub min_ram: i32,
    /// See [`Image::protected`].
    pub protected: bool,
    /// See [`Image::hidden`].
    pub hidden: bool,
    /// See [`Image::tags`].
    pub tags: BTreeSet<String>,
    /// See [`Image::properties`].
    pub properties: BTreeMap<String, String>,
}

impl NewImage {
    /// What its record will take in memory, as [`Image::memory_bytes`] counts it; at most, whatever project becomes its owner.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let attributes = [&self.name, &self.container_format, &self.disk_format];
        let attributes = attributes.into_iter().flatten().chain(&self.tags);
        let texts = attributes.chain(self.properties.iter().flat_map(|(name, value)| [name, value]));
        let bytes = texts.map(String::len).sum::<usize>() + 4 * text::MAX_CHARS;
        image::memory_of(bytes, &self.tags, &self.properties)
    }
}

/// An image that was not changed because it takes more memory than its answer may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Larger {
    /// So many bytes, as [`Image::memory_bytes`] counts them.
    pub bytes: usize,
}

/// One step of changing an image. Steps are applied in order, all or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Another name, or none.
    Name(Option<String>),
    /// Another visibility.
    Visibility(Visibility),
    /// Another owner, or none; admins only.
    Owner(Option<ProjectId>),
    /// Another container format, or none.
    ContainerFormat(Option<String>),
    /// Another disk format, or none.
    DiskFormat(Option<String>),
    /// Another minimum of disk, in GiB.
    MinDisk(i32),
    /// Another minimum of memory, in MiB.
    MinRam(i32),
    /// Protect, or not.
    Protected(bool),
    /// Hide, or not.
    Hidden(bool),
    /// These tags instead.
    Tags(BTreeSet<String>),
    /// This tag too.
    AddTag(String),
    /// Without this tag, which must be there.
    RemoveTag(String),
    /// This property, new or not.
    AddProperty(String, String),
    /// This property, which must be there.
    ReplaceProperty(String, String),
    /// Without this property, which must be there.
    RemoveProperty(String),
    /// This property, which must be new.
    AddNewProperty(String, String),
    /// An attribute that no client may change.
    ReadOnly(String),
    /// Without this attribute, which every image has.
    RemoveAttribute(String),
    /// This attribute, which must be new and which every image has.
    AddNewAttribute(String),
}

/// Where a list starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// At its beginning.
    Beginning,
    /// After this image, which the caller must see.
    Marker(ImageId),
    /// After this position, whatever has become of the image that was there. A position gives no right: it only chooses
    /// where the list of what the caller may see starts.
    Position(Box<Position>),
}

/// A page of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The images.
    pub images: Vec<Image>,
    /// Where the next page starts, if more follow.
    pub next: Option<Next>,
}

/// Where the next page starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// The last image of this page.
    pub marker: ImageId,
    /// Its position. `None` where a policy of one's own keeps the image from the caller: then its attributes are not for the
    /// caller either.
    pub position: Option<Position>,
}

/// Makes an image record, `queued`.
///
/// # Errors
/// A caller without a project; what the policy refuses; attributes that make no sense; an id that was given before; more
/// than a limit allows.
pub fn create(cx: Context<'_>, store: &dyn Store, new: NewImage) -> Result<Image> {
    let own = cx.caller.project.clone().ok_or(Error::Denied(Denied::NoProject))?;
    let owner = match new.owner {
        Some(owner) if owner.as_ref() != Some(&own) && !cx.is_admin() => {
            return Err(Error::Denied(Denied::GivingAway));
        }
        Some(owner) => owner,
        None => Some(own),
    };
    let image = Image {
        id: new.id.unwrap_or_else(ImageId::random),
        owner,
        visibility: new.visibility.unwrap_or(Visibility::Shared),
        status: ImageStatus::Queued,
        name: new.name,
        container_format: new.container_format,
        disk_format: new.disk_format,
        min_disk: new.min_disk,
        min_ram: new.min_ram,
        protected: new.protected,
        hidden: new.hidden,
        created_at: cx.now,
        updated_at: cx.now,
        tags: new.tags,
        properties: new.properties,
    };
    cx.may(Action::AddImage, &image.access(), None)?;
    may_be(cx, &image.access())?;
    check(cx, None, &image)?;
    store.write(image.id, &cx.cause(), |tx| {
        if tx.image(cx.viewer())?.is_some() {
            return Err(Error::Conflict(Conflict::Image(image.id)));
        }
        keep_images(cx, tx, image.owner.as_ref())?;
        tx.insert_image(&image)
    })?;
    Ok(image)
}

/// One image.
///
/// # Errors
/// Unseen, or refused by `get_image`: both [`crate::error::Missing::Image`].
pub fn show(cx: Context<'_>, store: &dyn Store, id: ImageId) -> Result<Image> {
    shown(cx, id, store.image(id, cx.viewer())?)
}

/// What [`show`] makes of what it saw.
pub(crate) fn shown(cx: Context<'_>, id: ImageId, found: Option<FoundImage>) -> Result<Image> {
    let image = seen_image(cx, id, found)?;
    if may_get(cx, &image.access()) { Ok(image) } else { Err(unseen(id)) }
}

/// A page of the images that a caller lists. It may hold fewer images than `limit` and still have a next one: it is bounded in
/// bytes as well ([`limits::PAGE_BYTES`]).
///
/// `ask` makes the listing of the caller's project and rights; `start` is where the page starts.
///
/// # Errors
/// A caller without a project; `get_images` refused; too many filters; a marker that the caller does not see.
pub fn list(
    cx: Context<'_>,
    store: &dyn Store,
    start: Start,
    ask: impl FnOnce(Listing) -> Result<Listing>,
) -> Result<Page> {
    let project = cx.caller.project.clone().ok_or(Error::Denied(Denied::NoProject))?;
    if !cx.rules.policy.allows_in_own_project(Action::GetImages, cx.caller) {
        return Err(Error::Denied(Denied::Policy(Action::GetImages)));
    }
    let mut listing = ask(Listing::of(project, cx.is_admin(), cx.rules.limits.page_default))?;
    listing.check()?;
    listing.limit = listing.limit.min(cx.rules.limits.page_max);
    listing.after = match start {
        Start::Beginning => None,
        Start::Position(position) => Some(position),
        // One answer for a marker that is not there and one that is not the caller's to see. Being seen is enough: what
        // only a policy of one's own keeps off the page may be where the page before ended.
        Start::Marker(marker) => {
            let found = store.image(marker, cx.viewer())?;
            let image = found
                .filter(|found| sees(cx, &found.access, found.is_member))
                .and_then(|found| found.image)
                .ok_or_else(|| {
                    Error::invalid(format!("The marker {marker} is not an image that you can see."))
                })?;
            Some(Box::new(Position::from(&image)))
        }
    };
    let is_empty = listing.limit == 0 || listing.matches_nothing;
    let ImagePage { mut images, has_more } =
        if is_empty { ImagePage::default() } else { store.images(&listing)? };
    // The page goes on after the last image looked at, listed or not: a policy of one's own must not cut a list short.
    let next = images.last().filter(|_| has_more).map(|last| Next {
        marker: last.id,
        position: may_get(cx, &last.access()).then(|| Position::from(last)),
    });
    images.retain(|image| may_get(cx, &image.access()));
    Ok(Page { images, next })
}

/// Changes an image; `updated_at` becomes now.
///
/// # Errors
/// Unseen; not the owner's side; a visibility, an owner or an attribute that is not the caller's to set; values that
/// make no sense; properties that are not there; what grows beyond a limit.
pub fn change(cx: Context<'_>, store: &dyn Store, id: ImageId, edits: &[Edit]) -> Result<Image> {
    store.write(id, &cx.cause(), |tx| {
        let (before, image) = edited(cx, tx, id, edits)?;
        keep(cx, tx, &before, image)
    })
}

/// As [`change`], unless the image, as it was or as it is to be, takes more than `most` bytes of memory: then nothing is
/// changed. With that memory at hand the caller asks again.
///
/// # Errors
/// Those of [`change`].
pub fn change_within(
    cx: Context<'_>,
    store: &dyn Store,
    id: ImageId,
    edits: &[Edit],
    most: usize,
) -> Result<std::result::Result<Image, Larger>> {
    store.write(id, &cx.cause(), |tx| {
        let (before, image) = edited(cx, tx, id, edits)?;
        let bytes = before.memory_bytes().max(image.memory_bytes());
        if bytes > most {
            return Ok(Err(Larger { bytes }));
        }
        keep(cx, tx, &before, image).map(Ok)
    })
}

/// The image as it is and as it is to be.
fn edited(cx: Context<'_>, tx: &mut dyn Tx, id: ImageId, edits: &[Edit]) -> Result<(Image, Image)> {
    let before = seen_image(cx, id, tx.image(cx.viewer())?)?;
    cx.may(Action::ModifyImage, &before.access(), None)?;
    let mut image = before.clone();
    for edit in edits {
        apply(cx, edit, &mut image)?;
    }
    Ok((before, image))
}

/// Makes a change last, if there is one and it may be.
fn keep(cx: Context<'_>, tx: &mut dyn Tx, before: &Image, mut image: Image) -> Result<Image> {
    if image == *before {
        return Ok(image);
    }
    if image.visibility != before.visibility {
        may_be(cx, &before.access_as(image.visibility))?;
    }
    check(cx, Some(before), &image)?;
    if image.owner != before.owner {
        keep_images(cx, tx, image.owner.as_ref())?;
    }
    image.updated_at = cx.now;
    tx.update_image(&image)?;
    Ok(image)
}

/// Deletes an image and ends all its memberships.
///
/// # Errors
/// Unseen; not the owner's side; protected.
pub fn delete(cx: Context<'_>, store: &dyn Store, id: ImageId) -> Result<()> {
    store.write(id, &cx.cause(), |tx| {
        let image = seen_image(cx, id, tx.image(cx.viewer())?)?;
        cx.may(Action::DeleteImage, &image.access(), None)?;
        if image.protected {
            return Err(Error::Denied(Denied::Protected(id)));
        }
        tx.delete_image()
    })
}

/// Refuses one more image of this owner where its project may own no more; images without an owner are not counted.
fn keep_images(cx: Context<'_>, tx: &mut dyn Tx, owner: Option<&ProjectId>) -> Result<()> {
    match (owner, cx.rules.limits.images_per_project) {
        (Some(owner), Some(maximum)) if maximum == 0 || tx.owns_at_least(owner, maximum)? => {
            limits::keep("images of one project", maximum.saturating_add(1), Some(maximum))
        }
        (Some(_) | None, _) => Ok(()),
    }
}

fn apply(cx: Context<'_>, edit: &Edit, image: &mut Image) -> Result<()> {
    steps::count(1);
    let must_be_there = |name: &str, properties: &BTreeMap<String, String>| {
        if properties.contains_key(name) {
            Ok(())
        } else {
            Err(Error::Conflict(Conflict::Patch(format!("Property {name} does not exist."))))
        }
    };
    let there_already =
        |name: &str| Error::Conflict(Conflict::Patch(format!("Property {name} is there already.")));
    match edit {
        Edit::Name(name) => image.name.clone_from(name),
        Edit::Visibility(visibility) => image.visibility = *visibility,
        Edit::Owner(owner) if cx.is_admin() || *owner == image.owner => image.owner.clone_from(owner),
        Edit::Owner(_) => return Err(Error::Denied(Denied::GivingAway)),
        Edit::ContainerFormat(format) => image.container_format.clone_from(format),
        Edit::DiskFormat(format) => image.disk_format.clone_from(format),
        Edit::MinDisk(gibibytes) => image.min_disk = *gibibytes,
        Edit::MinRam(mebibytes) => image.min_ram = *mebibytes,
        Edit::Protected(protected) => image.protected = *protected,
        Edit::Hidden(hidden) => image.hidden = *hidden,
        Edit::Tags(tags) => {
            steps::count(tags.len());
            image.tags.clone_from(tags);
        }
        Edit::AddTag(tag) => {
            image.tags.insert(tag.clone());
        }
        Edit::RemoveTag(tag) if image.tags.remove(tag) => {}
        Edit::RemoveTag(tag) => return Err(Error::NotFound(Missing::Tag(image.id, tag.clone()))),
        Edit::AddProperty(name, value) => {
            image.properties.insert(name.clone(), value.clone());
        }
        Edit::AddNewProperty(name, _) if image.properties.contains_key(name) => {
            return Err(there_already(name));
        }
        Edit::AddNewProperty(name, value) => {
            image.properties.insert(name.clone(), value.clone());
        }
        Edit::AddNewAttribute(name) => return Err(there_already(name)),
        Edit::RemoveAttribute(name) => return Err(Error::Denied(Denied::Required(name.clone()))),
        Edit::ReplaceProperty(name, value) => {
            must_be_there(name, &image.properties)?;
            image.properties.insert(name.clone(), value.clone());
        }
        Edit::RemoveProperty(name) => {
            must_be_there(name, &image.properties)?;
            image.properties.remove(name);
        }
        Edit::ReadOnly(attribute) => return Err(Error::Denied(Denied::ReadOnly(attribute.clone()))),
    }
    Ok(())
}

/// Whether the image may become what it is to be. What stays as it was `before` is not judged again, so that a record made
/// under other rules can still be changed.
fn check(cx: Context<'_>, before: Option<&Image>, image: &Image) -> Result<()> {
    if let Some(name) = changed(before, image, |image| &image.name) {
        text::checked("The name", name)?;
    }
    if let Some(format) = changed(before, image, |image| &image.container_format) {
        known_format("container_format", format, &CONTAINER_FORMATS)?;
    }
    if let Some(format) = changed(before, image, |image| &image.disk_format) {
        known_format("disk_format", format, &DISK_FORMATS)?;
    }
    for (attribute, value) in [("min_disk", image.min_disk), ("min_ram", image.min_ram)] {
        if value < 0 {
            return Err(Error::invalid(format!("{attribute} must not be negative.")));
        }
    }
    let had_tag = |tag: &String| before.is_some_and(|before| before.tags.contains(tag));
    steps::count(image.tags.len() + image.properties.len());
    for tag in image.tags.iter().filter(|tag| !had_tag(tag)) {
        text::checked("A tag", tag)?;
    }
    let former = |name: &String| before.and_then(|before| before.properties.get(name));
    for (name, value) in image.properties.iter().filter(|(name, value)| former(name) != Some(value)) {
        if name.is_empty() {
            return Err(Error::invalid("A property's name must not be empty."));
        }
        text::checked("A property's name", name)?;
        text::checked_value(&format!("Property {name}"), value)?;
    }
    keep_limits(cx, before, image)
}

/// The attribute, if the image has one and did not have this one `before`.
fn changed<'a>(
    before: Option<&Image>,
    image: &'a Image,
    attribute: impl Fn(&Image) -> &Option<String>,
) -> Option<&'a str> {
    let is_same = before.is_some_and(|before| attribute(before) == attribute(image));
    attribute(image).as_deref().filter(|_| !is_same)
}

/// Refuses what grows beyond a limit, and only that.
fn keep_limits(cx: Context<'_>, before: Option<&Image>, image: &Image) -> Result<()> {
    let Limits { tags_per_image, properties_per_image, record_bytes, .. } = cx.rules.limits;
    let keep = |what, count: fn(&Image) -> usize, maximum| {
        limits::keep_growth(what, before.map_or(0, count), count(image), maximum)
    };
    keep("image tags", |image| image.tags.len(), tags_per_image)?;
    keep("image properties", |image| image.properties.len(), properties_per_image)?;
    keep("bytes of an image's attributes, properties and tags", Image::record_bytes, record_bytes)
}

fn known_format(attribute: &str, value: &str, known: &[&str]) -> Result<()> {
    if known.contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{attribute} must be one of {}.",
        known.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
    )))
}

/// Whether the caller may give an image the visibility that `image` has.
fn may_be(cx: Context<'_>, image: &ImageAccess) -> Result<()> {
    match image.visibility {
        Visibility::Public => cx.may(Action::PublicizeImage, image, None),
        Visibility::Community => cx.may(Action::CommunitizeImage, image, None),
        Visibility::Shared | Visibility::Private => Ok(()),
    }
}

/// Whether `get_image` lets the caller read an image that it sees. Whoever sees a shared image without owning it, or one
/// that nobody owns, is on its member side.
fn may_get(cx: Context<'_>, image: &ImageAccess) -> bool {
    let shared = image.visibility == Visibility::Shared || image.owner.is_none();
    let member = cx.caller.project.as_ref().filter(|_| shared);
    cx.rules.policy.allows(Action::GetImage, cx.caller, image, member)
}
