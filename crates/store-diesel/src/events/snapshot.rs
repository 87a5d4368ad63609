//! An image's record, and the names of its attributes, as an event keeps them: JSON, whose keys are never renamed, only added
//! to with a default.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use core_domain::{
    event::Attribute,
    image::{Image, ImageId},
    project::ProjectId,
};
use serde::{Deserialize, Serialize};

use crate::error::{Fault, impossible, read};

#[derive(Deserialize, Serialize)]
struct Snapshot {
    id: String,
    owner: Option<String>,
    visibility: String,
    status: String,
    name: Option<String>,
    container_format: Option<String>,
    disk_format: Option<String>,
    min_disk: i32,
    min_ram: i32,
    protected: bool,
    hidden: bool,
    /// In microseconds since 1970.
    created_at: i64,
    updated_at: i64,
    tags: BTreeSet<String>,
    properties: BTreeMap<String, String>,
}

pub(super) fn text(image: &Image) -> Result<String, Fault> {
    let snapshot = Snapshot {
        id: image.id.to_string(),
        owner: image.owner.as_ref().map(ToString::to_string),
        visibility: image.visibility.as_str().to_owned(),
        status: image.status.as_str().to_owned(),
        name: image.name.clone(),
        container_format: image.container_format.clone(),
        disk_format: image.disk_format.clone(),
        min_disk: image.min_disk,
        min_ram: image.min_ram,
        protected: image.protected,
        hidden: image.hidden,
        created_at: image.created_at.timestamp_micros(),
        updated_at: image.updated_at.timestamp_micros(),
        tags: image.tags.clone(),
        properties: image.properties.clone(),
    };
    serde_json::to_string(&snapshot).map_err(|error| Fault::Ours(error.into()))
}

pub(super) fn image(text: &str) -> Result<Image, Fault> {
    let snapshot: Snapshot = serde_json::from_str(text).map_err(|error| Fault::Ours(error.into()))?;
    let time = |micros: i64| {
        DateTime::from_timestamp_micros(micros).ok_or_else(|| impossible("an event's image has no such time"))
    };
    Ok(Image {
        id: read(snapshot.id.parse::<ImageId>())?,
        owner: snapshot.owner.map(|owner| read(ProjectId::parse(&owner))).transpose()?,
        visibility: read(snapshot.visibility.parse())?,
        status: read(snapshot.status.parse())?,
        name: snapshot.name,
        container_format: snapshot.container_format,
        disk_format: snapshot.disk_format,
        min_disk: snapshot.min_disk,
        min_ram: snapshot.min_ram,
        protected: snapshot.protected,
        hidden: snapshot.hidden,
        created_at: time(snapshot.created_at)?,
        updated_at: time(snapshot.updated_at)?,
        tags: snapshot.tags,
        properties: snapshot.properties,
    })
}

/// The names of attributes, as a JSON array.
pub(super) fn names(attributes: &BTreeSet<Attribute>) -> Result<String, Fault> {
    let names: Vec<&str> = attributes.iter().map(|attribute| attribute.as_str()).collect();
    serde_json::to_string(&names).map_err(|error| Fault::Ours(error.into()))
}

pub(super) fn attributes(names: &str) -> Result<BTreeSet<Attribute>, Fault> {
    let names: Vec<String> = serde_json::from_str(names).map_err(|error| Fault::Ours(error.into()))?;
    names.iter().map(|name| read(name.parse())).collect()
}
