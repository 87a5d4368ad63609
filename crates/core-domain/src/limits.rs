//! How much of everything; one number each, none hidden in code.

use crate::error::{Error, LimitExceeded, Result};

/// Bytes of records that one page of images holds at most, as [`crate::image::Image::record_bytes`] counts them. A page of one image may hold
/// more.
pub const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of records that a store answers at most for one batch of [`crate::store::Store::whole_images`].
pub const BATCH_BYTES: usize = 1024 * 1024;

/// Members that a store answers at most for one call in a batch of [`crate::store::Store::rolls`]: as many as an image has by default.
pub const BATCH_MEMBERS: usize = 128;

/// The limits the domain keeps. `None` is unlimited (-1 in the configuration).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Members an image may have; Glance's `image_member_quota`.
    pub members_per_image: Option<usize>,
    /// Properties an image may have; Glance's `image_property_quota`.
    pub properties_per_image: Option<usize>,
    /// Tags an image may have; Glance's `image_tag_quota`.
    pub tags_per_image: Option<usize>,
    /// Images on a page when `limit` is not given; Glance's `limit_param_default`.
    pub page_default: usize,
    /// Images on a page at most, whatever `limit` says; Glance's `api_limit_max`.
    pub page_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            members_per_image: Some(128),
            properties_per_image: Some(128),
            tags_per_image: Some(128),
            page_default: 25,
            page_max: 1000,
        }
    }
}

/// Refuses `attempted` things where at most `maximum` are allowed; `what` in the plural, for the message.
///
/// # Errors
/// [`Error::LimitExceeded`].
pub fn keep(what: &'static str, attempted: usize, maximum: Option<usize>) -> Result<()> {
    match maximum {
        Some(maximum) if attempted > maximum => {
            Err(Error::LimitExceeded(LimitExceeded { what, attempted, maximum }))
        }
        Some(_) | None => Ok(()),
    }
}
