//! Who sees an image: the first question of every call that names one.
//!
//! The same rule stands once more as a predicate on listings ([`crate::listing`]) and as a WHERE in a store; the
//! conformance suite and a property test tie the three together.

use crate::{
    caller::Context,
    error::{Error, Missing, Result},
    image::{ImageAccess, ImageId, Visibility},
};

/// Whether the caller sees the image. `is_member` says whether its project has a membership, in any status
/// (sharing API, section 2: status only governs listing).
///
/// A caller without a project sees none: it belongs to nobody (section 5).
#[must_use]
pub fn sees(cx: Context<'_>, image: &ImageAccess, is_member: bool) -> bool {
    if cx.caller.project.is_none() {
        return false;
    }
    cx.is_admin()
        || cx.caller.is_in(image.owner.as_ref())
        || match image.visibility {
            Visibility::Public | Visibility::Community => true,
            // An image without an owner is everybody's to see by id.
            Visibility::Shared => is_member || image.owner.is_none(),
            Visibility::Private => image.owner.is_none(),
        }
}

/// The one answer for an image that is not there and for one the caller may not know of.
#[must_use]
pub fn unseen(id: ImageId) -> Error {
    Error::NotFound(Missing::Image(id.to_string()))
}

/// Passes on an image that the caller sees.
///
/// # Errors
/// [`Missing::Image`] for all others, the absent one included.
pub fn seen(cx: Context<'_>, id: ImageId, image: Option<&ImageAccess>, is_member: bool) -> Result<()> {
    match image {
        Some(image) if sees(cx, image, is_member) => Ok(()),
        Some(_) | None => Err(unseen(id)),
    }
}
