//! How much of everything; one number each, none hidden in code.

use crate::error::{Error, LimitExceeded, Result};

/// Bytes of memory that one page of images takes at most, as [`crate::image::Image::memory_bytes`] counts them. A page of one
/// image may take more. What an answer needs beside them is left for it of 4 MiB.
pub const PAGE_BYTES: usize = (4 << 20) - (128 << 10);

/// Bytes of memory, counted likewise, that the images take which a store answers at most for one batch of [`crate::store::Store::whole_images`].
pub const BATCH_BYTES: usize = 1024 * 1024;

/// Members that a store answers at most for one call in a batch of [`crate::store::Store::rolls`]: as many as an image has by default.
pub const BATCH_MEMBERS: usize = 128;

/// Bytes of a project's id up to which [`crate::store::Store::rolls`] answers it in a batch: the longest that Keystone keeps. A batch of
/// 64 calls so holds less than [`BATCH_BYTES`] of members, whose other attributes are a status and two times.
pub const BATCH_ID_BYTES: usize = 64;

/// The limits the domain keeps. `None` is unlimited (-1 in the configuration).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Members an image may have; Glance's `image_member_quota`.
    pub members_per_image: Option<usize>,
    /// Properties an image may have; Glance's `image_property_quota`.
    pub properties_per_image: Option<usize>,
    /// Tags an image may have; Glance's `image_tag_quota`.
    pub tags_per_image: Option<usize>,
    /// Bytes that an image record may have, counted as [`crate::image::Image::record_bytes`] does.
    pub record_bytes: Option<usize>,
    /// Images a project may own.
    pub images_per_project: Option<usize>,
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
            record_bytes: Some(256 << 10),
            images_per_project: Some(10_000),
            page_default: 25,
            page_max: 1000,
        }
    }
}

/// Refuses a growth from `before` to `after` things where at most `maximum` are allowed. What does not grow is never
/// refused, so that a record above a limit that was lowered can still be changed and reduced; `what` as for [`keep`].
///
/// # Errors
/// [`Error::LimitExceeded`].
pub fn keep_growth(what: &'static str, before: usize, after: usize, maximum: Option<usize>) -> Result<()> {
    if after > before { keep(what, after, maximum) } else { Ok(()) }
}

/// The largest number of members that one answer lists, whatever `limit` says and however many an image has.
pub const MEMBERS_PAGE: usize = 10_000;
/// The largest number of entries of a history that one answer lists, whatever `page_max` says.
pub const HISTORY_PAGE: usize = 1_000;

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
