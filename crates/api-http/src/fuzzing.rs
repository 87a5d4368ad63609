//! The readers of bodies and queries, for `fuzz/`: they are private, and what they read is nobody else's.

use core_domain::{
    catalog::{Edit, Start},
    image::Image,
    listing::{Listing, Position},
};

use crate::{
    body::{self, FromJson, PATCH_TYPES},
    error::ApiError,
    images,
    members::{NewMember, NewStatus},
    page::Query,
    position,
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

/// Reads the query of `GET /v2/images` into `listing`, besides where to start; `None` if it is refused.
pub fn listing(query: &str, listing: Listing) -> Option<(Start, Listing)> {
    let query = says_why(Query::parse(query))?;
    let asked = says_why(images::query::Asked::of(&query))?;
    Some((asked.start(), asked.fill(listing)))
}

/// The query of the link to the page after `last`, or to the first one; `None` if the query is refused. Every parameter but
/// the marker and its position reads back the same.
pub fn link(query: &str, last: Option<&Image>) -> Option<String> {
    let query = says_why(Query::parse(query))?;
    let asked = says_why(images::query::Asked::of(&query))?;
    let place =
        last.map(|last| (last.id.to_string(), position::of_image(&Position::from(last), &asked.order())));
    let link = match &place {
        Some((marker, position)) => query.next("", marker, Some(position)),
        None => query.first(""),
    };
    let link = link.strip_prefix('?').unwrap_or(&link);
    match Query::parse(link) {
        Ok(again) => {
            let kept =
                query.iter().filter(|(name, _)| !matches!(*name, "marker" | position::MARKER_POSITION));
            let place = place.iter().flat_map(|(marker, position)| {
                [("marker", marker.as_str()), (position::MARKER_POSITION, position.as_str())]
            });
            assert!(again.iter().eq(kept.chain(place)), "became {link:?}");
        }
        Err(error) => panic!("became {link:?}: {error}"),
    }
    Some(link.to_owned())
}

/// The JSON of an image in a list.
#[allow(clippy::expect_used, reason = "a check reports by a panic")]
pub fn json(image: Image) -> Vec<u8> {
    let mut json = Vec::new();
    crate::list_body::Item::write(image, &mut json).expect("it can be said in JSON");
    json
}

fn read<T: FromJson>(media_type: &str, bytes: &[u8]) -> Option<T> {
    says_why(body::parse::<T>(media_type, &mut bytes.to_vec()))
}

/// A refusal is for a person.
fn says_why<T>(read: Result<T, ApiError>) -> Option<T> {
    read.inspect_err(|error| assert!(error.to_string().ends_with('.'), "{error}")).ok()
}
