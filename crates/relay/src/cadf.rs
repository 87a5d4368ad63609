//! Events as CADF records (DMTF DSP0262).

use core_domain::{
    event::{Change, Deed, Reason},
    outbox::Delivery,
};
use serde_json::{Value, json};

/// One record. An event that may have been written before is tagged `redelivered`.
pub(crate) fn record(delivery: &Delivery, observer: &str) -> Value {
    let Delivery { event, again, .. } = delivery;
    let image = event.image.to_string();
    let owner = event.owner.as_ref().map(|owner| owner.as_str());
    let (deed, target, attachments) = match &event.change {
        Change::Image { deed, changed, image: record } => {
            let target = json!({
                "id": image,
                "typeURI": "data/image",
                "name": event.image_name,
                "project_id": owner,
            });
            let visibility = record.as_ref().map(|record| record.visibility.as_str());
            let names: Vec<_> = changed.iter().map(|attribute| attribute.as_str()).collect();
            let names = (!names.is_empty()).then(|| names.join(" "));
            (
                *deed,
                target,
                vec![attachment("visibility", visibility), attachment("changed", names.as_deref())],
            )
        }
        Change::Member { deed, project, old, new, .. } => {
            let target = json!({
                "id": format!("{image}/members/{project}"),
                "typeURI": "data/image/member",
                "name": event.image_name,
                "project_id": owner,
                "image_id": image,
                "member_id": project.as_str(),
            });
            let (old, new) = (old.map(|status| status.as_str()), new.map(|status| status.as_str()));
            (*deed, target, vec![attachment("old_status", old), attachment("new_status", new)])
        }
    };
    let reason = attachment("reason", event.reason.map(Reason::as_str));
    let mut record = json!({
        "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
        "id": event.id.as_hyphenated().to_string(),
        "eventType": "activity",
        "eventTime": event.cause.at.format("%Y-%m-%dT%H:%M:%S%.6f%z").to_string(),
        "action": action(deed),
        "outcome": "success",
        "initiator": {
            "id": event.cause.user.as_str(),
            "typeURI": "service/security/account/user",
            "project_id": event.cause.project.as_ref().map(|project| project.as_str()),
            "request_id": event.cause.request,
        },
        "target": target,
        "observer": {"id": observer, "typeURI": "service/storage/image", "name": "vitrine"},
        "attachments": attachments.into_iter().chain([reason]).flatten().collect::<Vec<_>>(),
    });
    if *again {
        record["tags"] = json!(["redelivered"]);
    }
    record
}

/// CADF's own words, which happen to be ours.
fn action(deed: Deed) -> &'static str {
    match deed {
        Deed::Create => "create",
        Deed::Update => "update",
        Deed::Delete => "delete",
    }
}

/// What has no value is not attached: CADF knows no empty content.
fn attachment(name: &str, content: Option<&str>) -> Option<Value> {
    content.map(|content| json!({"typeURI": "text/plain", "name": name, "content": content}))
}
