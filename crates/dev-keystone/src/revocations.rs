//! `/v3/OS-REVOKE/events`: what was revoked.

use std::borrow::Cow;
use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use chrono::DateTime;
use serde_json::json;

use crate::caller::Caller;
use crate::keystone::Identity;
use crate::refusal::Refusal;
use crate::tokens::stamp;

/// `GET`, for `admin` and `service`; what was revoked after `since` (ISO 8601), a token by an event for itself and one for
/// what was made from it.
pub(crate) async fn events(
    query: Query<HashMap<String, String>>,
    caller: Caller,
    identity: Data<Identity>,
) -> Result<HttpResponse, Refusal> {
    Caller::permit(caller.is_admin() || caller.is_service(), "identity:list_revoke_events")?;
    let since = match query.get("since") {
        None => None,
        Some(since) => Some(DateTime::parse_from_rfc3339(since).map_err(|_| {
            Refusal::Malformed(Cow::Borrowed(
                "invalid date format: since is to be like 2026-11-21T23:02:18.000000Z",
            ))
        })?),
    };
    let revoked = identity.tokens.revoked_after(since.map(|since| since.timestamp()));
    let events: Vec<_> = revoked
        .iter()
        .flat_map(|(id, at)| {
            ["audit_id", "audit_chain_id"]
                .map(|by| json!({"issued_before": stamp(*at), "revoked_at": stamp(*at), by: id}))
        })
        .collect();
    let own = format!("{}/OS-REVOKE/events", identity.url);
    Ok(HttpResponse::Ok().json(json!({
        "events": events,
        "links": {"next": null, "self": own, "previous": null},
    })))
}
