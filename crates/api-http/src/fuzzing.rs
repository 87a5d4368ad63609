//! The readers of bodies and queries, for `fuzz/`: they are private, and what they read is nobody else's.

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

/// Reads `PATCH /v2/images/{image_id}` in the dialect of v2.1.
pub fn patch(bytes: &[u8]) {
    read::<images::Patch>(PATCH_TYPES[0], bytes);
}

/// Reads `PATCH /v2/images/{image_id}` in the dialect of v2.0.
pub fn draft_patch(bytes: &[u8]) {
    read::<images::Patch>(PATCH_TYPES[1], bytes);
}

/// Reads the query of `GET /v2/images`; a link made of it reads back the same.
pub fn query(text: &str) {
    let Ok(query) = Query::parse(text) else { return };
    let link = query.link("", None);
    match Query::parse(link.trim_start_matches('?')) {
        Ok(again) => {
            let unmarked = query.iter().filter(|(name, _)| *name != "marker");
            assert!(again.iter().eq(unmarked), "{text:?} became {link:?}");
        }
        Err(error) => panic!("{text:?} became {link:?}: {error}"),
    }
    says_why(images::query::Asked::of(&query));
}

fn read<T: FromJson>(media_type: &str, bytes: &[u8]) {
    says_why(body::parse::<T>(media_type, bytes));
}

/// A refusal is for a person.
fn says_why<T>(read: Result<T, ApiError>) {
    if let Err(error) = read {
        assert!(error.to_string().ends_with('.'), "{error}");
    }
}
