//! What each call takes and answers, by its line in the table of routes.

use serde_json::{Value, json};

use super::schema::{NO_NUL, TEXT, UUID};
use crate::routes::Route;

/// One call.
pub(super) struct Operation {
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    /// Parameters of its query, by their names in [`parameters`].
    pub(super) query: &'static [&'static str],
    pub(super) takes: Takes,
    pub(super) success: u16,
    pub(super) answers: Answer,
    /// Refusals of its own, beside those that its path and its body bring with them.
    pub(super) refusals: &'static [u16],
}

/// What its body holds.
#[derive(Clone, Copy)]
pub(super) enum Takes {
    Nothing,
    /// The schema of this name.
    Json(&'static str),
    Patch,
}

/// What a success holds.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    Nothing,
    /// The schema of this name.
    Json(&'static str),
    /// A document about documents.
    AnyJson,
    Text,
}

impl Operation {
    /// A call that takes nothing, answers 200 with nothing, and is refused nothing.
    const fn new(id: &'static str, summary: &'static str) -> Self {
        let (takes, answers) = (Takes::Nothing, Answer::Nothing);
        Self { id, summary, query: &[], takes, success: 200, answers, refusals: &[] }
    }

    const fn answers(self, success: u16, answers: Answer) -> Self {
        Self { success, answers, ..self }
    }

    const fn takes(self, takes: Takes) -> Self {
        Self { takes, ..self }
    }

    const fn asked(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    const fn refused(self, refusals: &'static [u16]) -> Self {
        Self { refusals, ..self }
    }
}

const IMAGE_FILTERS: [&str; 17] = [
    "limit",
    "marker",
    "marker_position",
    "sort",
    "visibility",
    "member_status",
    "owner",
    "id",
    "name",
    "status",
    "container_format",
    "disk_format",
    "min_disk",
    "min_ram",
    "protected",
    "os_hidden",
    "tags",
];

/// The description of a line of the table; `None` for one that was forgotten here.
#[rustfmt::skip]
pub(super) fn of(route: &Route) -> Option<Operation> {
    use Answer::{AnyJson, Json, Nothing, Text};
    let new = Operation::new;
    Some(match (route.method.as_str(), route.path) {
        ("GET", "/") => new("choose_version", "The versions, to choose from").answers(300, Json("Versions")),
        ("GET", "/versions") => new("list_versions", "The versions").answers(200, Json("Versions")),
        ("GET", "/openapi.json") => new("show_openapi", "This document").answers(200, AnyJson),
        ("GET", "/healthcheck") => new("healthcheck", "Whether the process answers, as Glance says it").answers(200, Text),
        ("GET", "/livez") => new("livez", "Whether the process answers").answers(200, Text),
        ("GET", "/readyz") => new("readyz", "Whether database and Keystone answer").answers(200, Text).refused(&[503]),
        ("HEAD", "/") => new("choose_version_head", "The same without the body").answers(300, Json("Versions")),
        ("HEAD", "/versions") => new("list_versions_head", "The same without the body").answers(200, Json("Versions")),
        ("HEAD", "/healthcheck") => new("healthcheck_head", "The same without the text").answers(200, Text),
        ("HEAD", "/livez") => new("livez_head", "The same without the text").answers(200, Text),
        ("HEAD", "/readyz") => new("readyz_head", "The same without the text").answers(200, Text).refused(&[503]),

        ("GET", "/v2/images") => new("list_images", "A page of images; any other parameter asks for a property of that name. In place of sort: sort_key and sort_dir")
            .asked(&IMAGE_FILTERS).answers(200, Json("Images")).refused(&[400, 403]),
        ("POST", "/v2/images") => new("create_image", "Make an image record")
            .takes(Takes::Json("NewImage")).answers(201, Json("Image")).refused(&[403, 409]),
        ("GET", "/v2/images/{image_id}") => new("show_image", "An image").answers(200, Json("Image")),
        ("PATCH", "/v2/images/{image_id}") => new("change_image", "Change an image: all steps or none")
            .takes(Takes::Patch).answers(200, Json("Image")).refused(&[403, 409]),
        ("DELETE", "/v2/images/{image_id}") => new("delete_image", "Delete an image and all its memberships").answers(204, Nothing).refused(&[403]),

        ("GET", "/v2/images/{image_id}/members") => new("list_members", "The members; all of them, unless a page is asked for")
            .asked(&["limit", "member_marker", "marker_position"]).answers(200, Json("Members")).refused(&[403]),
        ("POST", "/v2/images/{image_id}/members") => new("add_member", "Offer an image to a project")
            .takes(Takes::Json("NewMember")).answers(200, Json("Member")).refused(&[403, 409]),
        ("GET", "/v2/images/{image_id}/members/{member_id}") => new("show_member", "A membership").answers(200, Json("Member")),
        ("PUT", "/v2/images/{image_id}/members/{member_id}") => new("set_member_status", "Accept or reject an offer, or neither")
            .takes(Takes::Json("NewStatus")).answers(200, Json("Member")).refused(&[403]),
        ("DELETE", "/v2/images/{image_id}/members/{member_id}") => new("remove_member", "Share an image with a project no more").answers(204, Nothing).refused(&[403]),
        ("GET", "/v2/images/{image_id}/members/{member_id}/history") => new("show_member_history", "What happened to a membership, oldest first")
            .asked(&["limit", "history_marker"]).answers(200, Json("History")),

        ("PUT", "/v2/images/{image_id}/tags/{tag}") => new("add_tag", "Add a tag").answers(204, Nothing).refused(&[403, 413]),
        ("DELETE", "/v2/images/{image_id}/tags/{tag}") => new("remove_tag", "Remove a tag").answers(204, Nothing).refused(&[403]),

        ("GET", "/v2/schemas/image") => new("show_image_schema", "The JSON schema of an image").answers(200, AnyJson),
        ("GET", "/v2/schemas/images") => new("show_images_schema", "The JSON schema of a page of images").answers(200, AnyJson),
        ("GET", "/v2/schemas/member") => new("show_member_schema", "The JSON schema of a membership").answers(200, AnyJson),
        ("GET", "/v2/schemas/members") => new("show_members_schema", "The JSON schema of a list of memberships").answers(200, AnyJson),
        _ => return None,
    })
}

/// Every parameter of a path or a query.
pub(super) fn parameters() -> Value {
    let in_path = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "path", "required": true, "description": description, "schema": schema});
    let in_query = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "query", "description": description, "schema": schema});
    let uuid = || json!({"type": "string", "pattern": UUID});
    let project = || json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": NO_NUL});
    let text = || json!({"type": "string", "pattern": NO_NUL});
    let key = "(name|status|container_format|disk_format|size|id|created_at|updated_at)(:(asc|desc))?";
    let sort = format!("^{key}(,{key}){{0,7}}$");
    let visibility = ["public", "community", "shared", "private", "all"];
    json!({
        "image_id": in_path("image_id", "An image's id", uuid()),
        "member_id": in_path("member_id", "A project's id", project()),
        "tag": in_path("tag", "A tag", json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": TEXT})),
        "limit": in_query("limit", "How many on a page", json!({"type": "integer", "minimum": 0})),
        "marker": in_query("marker", "The image after which the page begins", uuid()),
        "marker_position": in_query("marker_position", "The place of the marker in the order, as the link to the next page has it; opaque", json!({"type": "string"})),
        "member_marker": in_query("marker", "The member after which the page begins", project()),
        "history_marker": in_query("marker", "The number of the entry after which the page begins", json!({"type": "integer", "minimum": 0, "maximum": i64::MAX})),
        "sort": in_query("sort", "By what to sort, newest first unless given", json!({"type": "string", "pattern": sort})),
        "visibility": in_query("visibility", "Which visibility, or all", json!({"type": "string", "enum": visibility})),
        "member_status": in_query("member_status", "Which answer of the caller's project to offers", json!({
            "type": "string", "enum": ["pending", "accepted", "rejected", "all"],
        })),
        "owner": in_query("owner", "Whose images", text()),
        "id": in_query("id", "Which image; also eq:a, or in:a,b with at most 1,000 values", text()),
        "name": in_query("name", "Which name; also eq:a, or in:a,b with at most 1,000 values", text()),
        "status": in_query("status", "Which status; also eq:a, or in:a,b with at most 1,000 values", text()),
        "container_format": in_query("container_format", "Which format; also eq:a, or in:a,b with at most 1,000 values", text()),
        "disk_format": in_query("disk_format", "Which format; also eq:a, or in:a,b with at most 1,000 values", text()),
        "min_disk": in_query("min_disk", "Which minimum of disk, in GiB", json!({"type": "integer"})),
        "min_ram": in_query("min_ram", "Which minimum of memory, in MiB", json!({"type": "integer"})),
        "protected": in_query("protected", "Only protected images, or only the others", json!({"type": "boolean"})),
        "os_hidden": in_query("os_hidden", "Only hidden images, or only the others", json!({"type": "boolean"})),
        "tags": in_query("tag", "Which tags, all of them", json!({"type": "array", "items": text(), "maxItems": 16})),
    })
}
