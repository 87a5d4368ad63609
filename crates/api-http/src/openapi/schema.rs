//! The shapes of bodies. What clients read by `/v2/schemas/…` is taken from there; what they send is described here, as
//! exactly as the readers of bodies read it.

use core_domain::{event::Reason, text};
use serde_json::{Map, Value, json};

use crate::{images, schemas};

pub(super) const UUID: &str = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$";
/// What an id or a value to look for may hold.
pub(super) const NO_NUL: &str = r"^[^\u0000]*$";
/// What names, tags and values may hold: no control characters but tab, line feed and carriage return.
pub(super) const TEXT: &str = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]*$";

/// Every schema by its name.
pub(super) fn all() -> Value {
    let member = closed(schemas::MEMBER, &[]);
    let image = closed(schemas::IMAGE, &[]);
    let mut members = closed(schemas::MEMBERS, &["next"]);
    members["properties"]["members"]["items"] = json!({"$ref": "#/components/schemas/Member"});
    let mut images = closed(schemas::IMAGES, &["next"]);
    images["properties"]["images"]["items"] = json!({"$ref": "#/components/schemas/Image"});
    let project = json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": NO_NUL});
    json!({
        "NewImage": new_image(&image),
        "Patch": {"type": "array", "items": {"anyOf": steps(&image, step)}},
        "DraftPatch": {"type": "array", "items": {"anyOf": steps(&image, draft_step)}},
        "Image": image,
        "Images": images,
        "NewMember": {"type": "object", "anyOf": [
            {"properties": {"member_id": project}, "required": ["member_id"]},
            {"properties": {"member": project}, "required": ["member"], "not": {"required": ["member_id"]}},
        ]},
        "NewStatus": {"type": "object", "properties": {"status": member["properties"]["status"]}, "required": ["status"]},
        "Members": members,
        "History": history(&member["properties"]["status"]),
        "Member": member,
        "Versions": versions(),
        "Error": {
            "type": "object",
            "properties": {"error": {
                "type": "object",
                "properties": {
                    "code": {"type": "integer"}, "title": {"type": "string"}, "message": {"type": "string"},
                },
                "required": ["code", "title", "message"],
                "additionalProperties": false,
            }},
            "required": ["error"],
            "additionalProperties": false,
        },
    })
}

/// The document that clients read, without what is no JSON schema in it: an object that always has all of these but
/// the optional ones.
fn closed(document: &str, optional: &[&str]) -> Value {
    // That the documents are JSON is tested where they are served.
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let properties = document["properties"].as_object().cloned().unwrap_or_default();
    let required: Vec<&String> = properties.keys().filter(|key| !optional.contains(&key.as_str())).collect();
    let mut schema = json!({"type": "object", "required": required, "properties": properties});
    if let Some(additional) = document.get("additionalProperties") {
        schema["additionalProperties"] = additional.clone();
    }
    schema
}

/// What a client may set, and what each may be.
fn settable(image: &Value) -> Map<String, Value> {
    let read_only = |schema: &Value| schema["readOnly"] == true;
    let described = image["properties"].as_object().cloned().unwrap_or_default();
    let mut settable: Map<String, Value> =
        described.into_iter().filter(|(_, schema)| !read_only(schema)).collect();
    for name in ["min_disk", "min_ram"] {
        settable[name]["minimum"] = 0.into();
        settable[name]["maximum"] = i32::MAX.into();
    }
    settable["name"]["pattern"] = TEXT.into();
    settable["owner"]["pattern"] = NO_NUL.into();
    settable["owner"]["minLength"] = 1.into();
    settable["tags"]["items"]["pattern"] = TEXT.into();
    settable
}

/// The value of a property. JSON schema counts characters, the service bytes.
fn free() -> Value {
    json!({
        "type": "string",
        "description": "At most 65,535 bytes in UTF-8.",
        "maxLength": text::MAX_VALUE_BYTES,
        "pattern": TEXT,
    })
}

fn new_image(image: &Value) -> Value {
    json!({
        "type": "object",
        "properties": settable(image),
        "additionalProperties": free(),
        "propertyNames": {"minLength": 1, "maxLength": 255, "pattern": TEXT, "not": {"enum": images::READ_ONLY}},
    })
}

/// The steps there are: one for each attribute, and setting and removing properties.
fn steps(image: &Value, step: fn(&str, &Value, Option<&Value>) -> Value) -> Vec<Value> {
    let mut attributes = settable(image);
    attributes.remove("id");
    let own: Vec<String> = attributes
        .keys()
        .map(String::as_str)
        .chain(images::READ_ONLY)
        .chain(["id"])
        .map(|name| format!("/{name}"))
        .collect();
    let property =
        json!({"type": "string", "pattern": "^/([A-Za-z0-9_.: -]|~0|~1){1,255}$", "not": {"enum": own}});
    let writes = attributes.iter().map(|(name, value)| (json!({"const": format!("/{name}")}), value.clone()));
    let mut steps = Vec::new();
    for (path, value) in writes.chain([(property.clone(), free())]) {
        steps.push(step("add", &path, Some(&value)));
        steps.push(step("replace", &path, Some(&value)));
    }
    steps.push(step("remove", &property, None));
    steps
}

/// A step in the dialect of v2.1 (RFC 6902).
fn step(op: &str, path: &Value, value: Option<&Value>) -> Value {
    with_value(json!({"op": {"const": op}, "path": path}), value)
}

/// A step in the dialect of v2.0.
fn draft_step(op: &str, path: &Value, value: Option<&Value>) -> Value {
    let others: Vec<Value> = ["add", "replace", "remove"]
        .into_iter()
        .filter(|other| *other != op)
        .map(|other| json!({"required": [other]}))
        .collect();
    let mut step = with_value(json!({op: path}), value);
    step["not"] = json!({"anyOf": others});
    step
}

fn with_value(mut properties: Value, value: Option<&Value>) -> Value {
    if let Some(value) = value {
        properties["value"] = value.clone();
    }
    let required: Vec<String> =
        properties.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
    json!({"type": "object", "properties": properties, "required": required})
}

fn history(status: &Value) -> Value {
    let text = json!({"type": "string"});
    let or_null = |schema: &Value| json!({"anyOf": [schema, {"type": "null"}]});
    let entry = json!({
        "id": {"type": "string", "pattern": UUID},
        "number": {"type": "integer", "minimum": 1},
        "event_type": {"enum": ["image.member.create", "image.member.update", "image.member.delete"]},
        "at": {"type": "string", "format": "date-time"},
        "user_id": text,
        "project_id": or_null(&text),
        "request_id": text,
        "old_status": or_null(status),
        "new_status": or_null(status),
    });
    let required: Vec<String> = entry.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
    let mut entry = entry;
    entry["reason"] = json!({"enum": Reason::ALL.map(Reason::as_str)});
    json!({
        "type": "object",
        "properties": {
            "history": {"type": "array", "items": {
                "type": "object", "properties": entry, "required": required, "additionalProperties": false,
            }},
            "next": text,
        },
        "required": ["history"],
        "additionalProperties": false,
    })
}

fn versions() -> Value {
    let text = json!({"type": "string"});
    let link =
        json!({"type": "object", "properties": {"rel": text, "href": text}, "required": ["rel", "href"]});
    json!({
        "type": "object",
        "properties": {"versions": {"type": "array", "items": {
            "type": "object",
            "properties": {
                "id": text, "status": {"enum": ["CURRENT", "SUPPORTED"]}, "links": {"type": "array", "items": link},
            },
            "required": ["id", "status", "links"],
        }}},
        "required": ["versions"],
    })
}
