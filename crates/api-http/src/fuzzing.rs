//! The readers of bodies and queries, for `fuzz/`: they are private, and what they read is nobody else's.

use core_domain::{catalog::Edit, image::ImageId, listing::Listing};

use crate::{
    body::{self, FromJson, PATCH_TYPES},
    error::ApiError,
    images,
    members::{NewMember, NewStatus},
    page::Query,
};

/// Reads `POST …/members`.
pub fn member(bytes: &[u8]) {
    read::<NewMember>("application/json", bytes);
}

/// Reads `PUT …/members/{member_id}`.
pub fn status(bytes: &[u8]) {
    read::<NewStatus>("application/json", bytes);
}

/// Reads `POST /v2/images`.
pub fn image(bytes: &[u8]) {
    read::<images::NewImageBody>("application/json", bytes);
}

/// Reads `PATCH /v2/images/{image_id}` in the dialect of v2.1; `None` if it is refused.
pub fn patch(bytes: &[u8]) -> Option<Vec<Edit>> {
    read::<images::Patch>(PATCH_TYPES[0], bytes).map(|patch| patch.0)
}

/// Reads `PATCH /v2/images/{image_id}` in the dialect of v2.0; `None` if it is refused.
pub fn draft_patch(bytes: &[u8]) -> Option<Vec<Edit>> {
    read::<images::Patch>(PATCH_TYPES[1], bytes).map(|patch| patch.0)
}

/// Reads the query of `GET /v2/images` into `listing`, besides the image to start after; `None` if it is refused.
pub fn listing(query: &str, listing: Listing) -> Option<(Option<ImageId>, Listing)> {
    let query = says_why(Query::parse(query))?;
    let asked = says_why(images::query::Asked::of(&query))?;
    Some((asked.marker(), asked.fill(listing)))
}

/// The query of the link to the page after `marker`, or to the first one; `None` if the query is refused. Every
/// parameter but the marker reads back the same.
pub fn link(query: &str, marker: Option<ImageId>) -> Option<String> {
    let query = says_why(Query::parse(query))?;
    let marker = marker.map(|marker| marker.to_string());
    let link = query.link("", marker.as_deref());
    let link = link.strip_prefix('?').unwrap_or(&link);
    match Query::parse(link) {
        Ok(again) => {
            let kept = query.iter().filter(|(name, _)| *name != "marker");
            let marked = marker.as_deref().map(|marker| ("marker", marker));
            assert!(again.iter().eq(kept.chain(marked)), "became {link:?}");
        }
        Err(error) => panic!("became {link:?}: {error}"),
    }
    Some(link.to_owned())
}

fn read<T: FromJson>(media_type: &str, bytes: &[u8]) -> Option<T> {
    says_why(body::parse::<T>(media_type, bytes))
}

/// A refusal is for a person.
fn says_why<T>(read: Result<T, ApiError>) -> Option<T> {
    read.inspect_err(|error| assert!(error.to_string().ends_with('.'), "{error}")).ok()
}
