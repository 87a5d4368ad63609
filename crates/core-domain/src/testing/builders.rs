//! Images and callers in one line.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeZone, Utc};

use crate::{
    caller::Caller,
    event::Cause,
    image::{Image, ImageId, ImageStatus, Visibility},
    project::{ProjectId, UserId},
};

/// The project of this name.
#[must_use]
pub fn project(name: &str) -> ProjectId {
    ProjectId::parse(name).unwrap_or_else(|error| unreachable!("{name:?} is a project: {error}"))
}

/// A caller in `in_project` with these roles.
#[must_use]
pub fn caller(in_project: &str, roles: &[&str]) -> Caller {
    Caller::new(UserId::new("someone"), Some(project(in_project)), roles)
}

/// `second` seconds after the beginning of 2026.
#[must_use]
pub fn at(second: i64) -> DateTime<Utc> {
    Utc.timestamp_opt(1_767_225_600 + second, 0).single().unwrap_or_default()
}

/// A change by «someone» of the project «owner», at [`at`]`(second)`.
#[must_use]
pub fn cause(second: i64) -> Cause {
    Cause {
        user: UserId::new("someone"),
        project: Some(project("owner")),
        request: format!("req-{second}"),
        at: at(second),
    }
}

/// A shared image of this owner, made at [`at`]`(0)`.
#[must_use]
pub fn an_image(owner: &str) -> Image {
    Image {
        id: ImageId::random(),
        owner: Some(project(owner)),
        visibility: Visibility::Shared,
        status: ImageStatus::Queued,
        name: None,
        container_format: None,
        disk_format: None,
        min_disk: 0,
        min_ram: 0,
        protected: false,
        hidden: false,
        created_at: at(0),
        updated_at: at(0),
        tags: BTreeSet::new(),
        properties: BTreeMap::new(),
    }
}
