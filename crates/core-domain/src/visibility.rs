//! Who sees an image: the first question of every call that names one.
//!
//! The same rule stands once more as a predicate on listings ([`crate::listing`]) and as a WHERE in a store; the
//! conformance suite and a property test tie the three together.

use crate::{
    caller::Context,
    error::{Error, Missing, Result},
    image::{Image, ImageAccess, ImageId},
    store::FoundImage,
};

/// Whether the caller sees the image: [`crate::store::Viewer::sees`].
#[must_use]
pub fn sees(cx: Context<'_>, image: &ImageAccess, is_member: bool) -> bool {
    cx.viewer().sees(image, is_member)
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

/// The record of an image that the caller sees.
///
/// # Errors
/// As of [`seen`].
pub(crate) fn seen_image(cx: Context<'_>, id: ImageId, found: Option<FoundImage>) -> Result<Image> {
    let FoundImage { access, is_member, image } = found.ok_or_else(|| unseen(id))?;
    seen(cx, id, Some(&access), is_member)?;
    image.ok_or_else(|| Error::Internal("the store kept back an image that its viewer sees".into()))
}
