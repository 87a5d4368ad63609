//! The JSON schemas that clients read: python-glanceclient checks every member and builds every image by them.

use actix_web::HttpResponse;

use crate::error::ApiError;

pub(crate) const IMAGE: &str = include_str!("schemas/image.json");
pub(crate) const IMAGES: &str = include_str!("schemas/images.json");
pub(crate) const MEMBER: &str = include_str!("schemas/member.json");
pub(crate) const MEMBERS: &str = include_str!("schemas/members.json");

fn document(text: &'static str) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().insert_header(("Content-Type", "application/json; charset=UTF-8")).body(text))
}

/// `GET /v2/schemas/image`
pub(crate) async fn image() -> Result<HttpResponse, ApiError> {
    document(IMAGE)
}

/// `GET /v2/schemas/images`
pub(crate) async fn images() -> Result<HttpResponse, ApiError> {
    document(IMAGES)
}

/// `GET /v2/schemas/member`
pub(crate) async fn member() -> Result<HttpResponse, ApiError> {
    document(MEMBER)
}

/// `GET /v2/schemas/members`
pub(crate) async fn members() -> Result<HttpResponse, ApiError> {
    document(MEMBERS)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{IMAGE, IMAGES, MEMBER, MEMBERS};

    #[test]
    fn each_document_is_json_and_bears_the_name_of_its_path() {
        for (name, text) in [("image", IMAGE), ("images", IMAGES), ("member", MEMBER), ("members", MEMBERS)] {
            let document: Value = serde_json::from_str(text).unwrap();
            assert_eq!(document["name"], name);
        }
    }

    #[test]
    fn a_collection_describes_its_entries_as_the_entry_s_own_document_does() {
        let read = |text| serde_json::from_str::<Value>(text).unwrap();
        for (collection, entries, entry) in [(IMAGES, "images", IMAGE), (MEMBERS, "members", MEMBER)] {
            assert_eq!(read(collection)["properties"][entries]["items"], read(entry));
        }
    }
}
