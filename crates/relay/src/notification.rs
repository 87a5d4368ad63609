//! Events as oslo.messaging's notifications, with Glance's payloads.
//!
//! Keys that Glance writes are written as Glance 33 writes them; the rest is added beside them.

use std::collections::BTreeSet;

use core_domain::{
    event::{Attribute, Change, Deed, Event},
    image::{Image, Visibility},
    outbox::Delivery,
};
use serde_json::{Map, Value, json};

use crate::text;

/// The message for the broker: envelope 2.0.
pub(crate) fn message(delivery: &Delivery, publisher_id: &str) -> Vec<u8> {
    let Delivery { event, .. } = delivery;
    let id = event.id.as_hyphenated().to_string();
    let inner = json!({
        "message_id": id,
        "publisher_id": publisher_id,
        "event_type": event.kind(),
        "priority": "INFO",
        "payload": payload(delivery),
        "timestamp": event.cause.at.format("%Y-%m-%d %H:%M:%S%.6f").to_string(),
        "_unique_id": event.id.as_simple().to_string(),
        "_context_user_id": event.cause.user.as_str(),
        "_context_project_id": event.cause.project.as_ref().map(|project| project.as_str()),
        "_context_request_id": event.cause.request,
    });
    json!({"oslo.version": "2.0", "oslo.message": inner.to_string()}).to_string().into_bytes()
}

/// What it says of the event.
fn payload(delivery: &Delivery) -> Value {
    let Delivery { event, again, .. } = delivery;
    let mut payload = match &event.change {
        Change::Image { deed, changed, image } => {
            let mut payload = match image {
                Some(image) => record(image),
                None => without_record(event),
            };
            payload.insert("changed".to_owned(), names(changed));
            payload.extend(gone(event, *deed));
            payload
        }
        Change::Member { deed, project, old, new, created_at } => {
            let status = new.or(*old).map(|status| status.as_str());
            let mut payload = object(json!({
                "image_id": event.image.to_string(),
                "member_id": project.as_str(),
                "status": status,
                "created_at": text::seconds(*created_at),
                "updated_at": text::seconds(event.cause.at),
                "image_name": event.image_name,
                "owner": event.owner.as_ref().map(|owner| owner.as_str()),
                "old_status": old.map(|status| status.as_str()),
            }));
            payload.extend(gone(event, *deed));
            payload
        }
    };
    payload.extend(reason(event).map(|reason| ("reason".to_owned(), reason)));
    payload.extend(object(json!({
        "actor": actor(event),
        "request_id": event.cause.request,
        "event_number": event.number,
        "redelivered": again,
    })));
    Value::Object(payload)
}

/// Why it happened, where the change alone does not say so.
pub(crate) fn reason(event: &Event) -> Option<Value> {
    event.reason.map(|reason| reason.as_str().into())
}

/// Who did it.
pub(crate) fn actor(event: &Event) -> Value {
    json!({
        "user_id": event.cause.user.as_str(),
        "project_id": event.cause.project.as_ref().map(|project| project.as_str()),
    })
}

/// An image as Glance describes it; without data, its checksum and sizes are unknown.
pub(crate) fn record(image: &Image) -> Map<String, Value> {
    object(json!({
        "id": image.id.to_string(),
        "name": image.name,
        "status": image.status.as_str(),
        "created_at": text::seconds(image.created_at),
        "updated_at": text::seconds(image.updated_at),
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "protected": image.protected,
        "checksum": null,
        "owner": image.owner.as_ref().map(|owner| owner.as_str()),
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "size": null,
        "virtual_size": null,
        "is_public": image.visibility == Visibility::Public,
        "visibility": image.visibility.as_str(),
        "properties": image.properties,
        "tags": image.tags,
        "os_hidden": image.hidden,
    }))
}

/// What is known of an image whose record was not kept.
fn without_record(event: &Event) -> Map<String, Value> {
    object(json!({
        "id": event.image.to_string(),
        "name": event.image_name,
        "owner": event.owner.as_ref().map(|owner| owner.as_str()),
    }))
}

/// The names of attributes.
pub(crate) fn names(attributes: &BTreeSet<Attribute>) -> Value {
    attributes.iter().map(|attribute| attribute.as_str()).collect()
}

fn gone(event: &Event, deed: Deed) -> Map<String, Value> {
    let gone = deed == Deed::Delete;
    object(json!({"deleted": gone, "deleted_at": gone.then(|| text::seconds(event.cause.at))}))
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}
