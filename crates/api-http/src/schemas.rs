//! The JSON schemas that clients read: python-glanceclient checks every member and builds every image by them.

use actix_web::HttpResponse;

use crate::error::ApiError;

fn document(text: &'static str) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().insert_header(("Content-Type", "application/json; charset=UTF-8")).body(text))
}

/// `GET /v2/schemas/image`
pub(crate) async fn image() -> Result<HttpResponse, ApiError> {
    document(include_str!("schemas/image.json"))
}

/// `GET /v2/schemas/images`
pub(crate) async fn images() -> Result<HttpResponse, ApiError> {
    document(include_str!("schemas/images.json"))
}

/// `GET /v2/schemas/member`
pub(crate) async fn member() -> Result<HttpResponse, ApiError> {
    document(include_str!("schemas/member.json"))
}

/// `GET /v2/schemas/members`
pub(crate) async fn members() -> Result<HttpResponse, ApiError> {
    document(include_str!("schemas/members.json"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    #[test]
    fn each_document_is_json_and_bears_the_name_of_its_path() {
        for (name, text) in [
            ("image", include_str!("schemas/image.json")),
            ("images", include_str!("schemas/images.json")),
            ("member", include_str!("schemas/member.json")),
            ("members", include_str!("schemas/members.json")),
        ] {
            let document: Value = serde_json::from_str(text).unwrap();
            assert_eq!(document["name"], name);
        }
    }

    #[test]
    fn a_collection_describes_its_entries_as_the_entry_s_own_document_does() {
        let read = |text| serde_json::from_str::<Value>(text).unwrap();
        for (collection, entries, entry) in [
            (include_str!("schemas/images.json"), "images", include_str!("schemas/image.json")),
            (include_str!("schemas/members.json"), "members", include_str!("schemas/member.json")),
        ] {
            assert_eq!(read(collection)["properties"][entries]["items"], read(entry));
        }
    }
}
