//! An image's attributes as clients write them: in the body of a new image and in the values of a patch.

use std::collections::BTreeSet;

use core_domain::{
    Error,
    catalog::{Edit, NewImage},
    project::ProjectId,
    steps,
};
use serde_json::Value;

use crate::{body::FromJson, error::ApiError};

/// Attributes that the service alone writes.
pub(crate) const READ_ONLY: [&str; 17] = [
    "status",
    "created_at",
    "updated_at",
    "deleted_at",
    "deleted",
    "size",
    "virtual_size",
    "checksum",
    "os_hash_algo",
    "os_hash_value",
    "file",
    "self",
    "schema",
    "direct_url",
    "location",
    "locations",
    "stores",
];

/// Properties of this prefix belong to the service (as in Glance).
const RESERVED_PREFIX: &str = "os_glance";

/// What setting `attribute` to `value` does to an image, be it new or not.
///
/// # Errors
/// A value of the wrong type: the text says which would be right.
pub(super) fn edit(attribute: &str, value: Value) -> Result<Edit, ApiError> {
    Ok(match attribute {
        "name" => Edit::Name(nullable(attribute, value)?),
        "visibility" => Edit::Visibility(string(attribute, value)?.parse()?),
        "owner" => Edit::Owner(nullable(attribute, value)?.as_deref().map(owner).transpose()?),
        "container_format" => Edit::ContainerFormat(nullable(attribute, value)?),
        "disk_format" => Edit::DiskFormat(nullable(attribute, value)?),
        "min_disk" => Edit::MinDisk(whole(attribute, &value)?),
        "min_ram" => Edit::MinRam(whole(attribute, &value)?),
        "protected" => Edit::Protected(truth(attribute, &value)?),
        "os_hidden" => Edit::Hidden(truth(attribute, &value)?),
        "tags" => Edit::Tags(tags(value)?),
        _ if is_read_only(attribute) => Edit::ReadOnly(attribute.to_owned()),
        _ => Edit::AddProperty(attribute.to_owned(), string(attribute, value)?),
    })
}

/// Whether clients may not write this attribute.
pub(super) fn is_read_only(attribute: &str) -> bool {
    READ_ONLY.contains(&attribute) || attribute == "id" || attribute.starts_with(RESERVED_PREFIX)
}

/// Whether every image has the attribute, and clients may write it.
pub(super) fn is_own(attribute: &str) -> bool {
    matches!(
        attribute,
        "name"
            | "visibility"
            | "owner"
            | "container_format"
            | "disk_format"
            | "min_disk"
            | "min_ram"
            | "protected"
            | "os_hidden"
            | "tags"
    )
}

/// Whether a property of this name would stand beside an attribute of the same name.
pub(super) fn is_taken(name: &str) -> bool {
    is_own(name) || name == "id" || READ_ONLY.contains(&name)
}

/// The body of `POST /v2/images`.
pub(crate) struct NewImageBody(pub(super) NewImage);

impl FromJson for NewImageBody {
    fn from_json(body: Value) -> Result<Self, ApiError> {
        let Value::Object(body) = body else {
            return Err(ApiError::Request("Expected an image in the form: {\"name\": \"an image\"}.".into()));
        };
        let mut new = NewImage::default();
        for (attribute, value) in body {
            if attribute == "id" {
                new.id = Some(string(&attribute, value)?.parse()?);
                continue;
            }
            match edit(&attribute, value)? {
                Edit::Name(name) => new.name = name,
                Edit::Visibility(visibility) => new.visibility = Some(visibility),
                Edit::Owner(owner) => new.owner = Some(owner),
                Edit::ContainerFormat(format) => new.container_format = format,
                Edit::DiskFormat(format) => new.disk_format = format,
                Edit::MinDisk(gibibytes) => new.min_disk = gibibytes,
                Edit::MinRam(mebibytes) => new.min_ram = mebibytes,
                Edit::Protected(protected) => new.protected = protected,
                Edit::Hidden(hidden) => new.hidden = hidden,
                Edit::Tags(tags) => new.tags = tags,
                Edit::AddProperty(name, value) | Edit::ReplaceProperty(name, value) => {
                    new.properties.insert(name, value);
                }
                Edit::ReadOnly(attribute) => {
                    return Err(Error::Denied(core_domain::error::Denied::ReadOnly(attribute)).into());
                }
                Edit::AddTag(_)
                | Edit::RemoveTag(_)
                | Edit::RemoveProperty(_)
                | Edit::RemoveAttribute(_)
                | Edit::AddNewProperty(..)
                | Edit::AddNewAttribute(_) => {}
            }
        }
        Ok(Self(new))
    }
}

fn wrong(attribute: &str, right: &str) -> ApiError {
    ApiError::Request(format!("The value of {attribute} must be {right}."))
}

pub(super) fn string(attribute: &str, value: Value) -> Result<String, ApiError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(wrong(attribute, "a string"))
        }
    }
}

fn nullable(attribute: &str, value: Value) -> Result<Option<String>, ApiError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(wrong(attribute, "a string or null"))
        }
    }
}

fn whole(attribute: &str, value: &Value) -> Result<i32, ApiError> {
    // To JSON, 1.0 is a whole number as well.
    #[allow(clippy::cast_possible_truncation, reason = "what is cut off is beyond what is let through")]
    let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64);
    value
        .as_i64()
        .or_else(|| value.as_f64().and_then(whole))
        .and_then(|number| i32::try_from(number).ok())
        .filter(|number| *number >= 0)
        .ok_or_else(|| wrong(attribute, "a whole number from 0 to 2147483647"))
}

fn truth(attribute: &str, value: &Value) -> Result<bool, ApiError> {
    value.as_bool().ok_or_else(|| wrong(attribute, "true or false"))
}

fn owner(id: &str) -> Result<ProjectId, ApiError> {
    ProjectId::parse(id).map_err(|_| wrong("owner", "a project's id or null"))
}

fn tags(value: Value) -> Result<BTreeSet<String>, ApiError> {
    let right = "a list of strings";
    let Value::Array(tags) = value else { return Err(wrong("tags", right)) };
    steps::count(tags.len());
    tags.into_iter().map(|tag| string("tags", tag).map_err(|_| wrong("tags", right))).collect()
}
