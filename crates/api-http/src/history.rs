//! What happened to a membership: who did what, and when.

use actix_web::{HttpRequest, HttpResponse, web};
use core_domain::{
    event::{Change, Event, Reason},
    member::MemberStatus,
    sharing,
};
use serde::Serialize;

use crate::{
    app::App,
    auth::Auth,
    body::{Time, ok},
    error::ApiError,
    page::{self, Query},
    path::MemberPath,
};

/// One entry of a history.
#[derive(Serialize)]
struct Entry<'a> {
    /// The event's id, by which it is known wherever else it is told.
    id: String,
    /// Where it stands: the marker of the page after it.
    number: i64,
    event_type: &'static str,
    at: Time,
    user_id: &'a str,
    project_id: Option<&'a str>,
    request_id: &'a str,
    old_status: Option<&'static str>,
    new_status: Option<&'static str>,
    /// Why, if the change was not asked for by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl<'a> From<&'a Event> for Entry<'a> {
    fn from(event: &'a Event) -> Self {
        let (old, new) = match &event.change {
            Change::Member { old, new, .. } => (*old, *new),
            Change::Image { .. } => (None, None),
        };
        Self {
            id: event.id.to_string(),
            number: event.number,
            event_type: event.kind(),
            at: Time(event.cause.at),
            user_id: event.cause.user.as_str(),
            project_id: event.cause.project.as_ref().map(|project| project.as_str()),
            request_id: &event.cause.request,
            old_status: old.map(MemberStatus::as_str),
            new_status: new.map(MemberStatus::as_str),
            reason: event.reason.map(Reason::as_str),
        }
    }
}

#[derive(Serialize)]
struct HistoryBody<'a> {
    history: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// `GET /v2/images/{image_id}/members/{member_id}/history`: a page of it, the oldest first.
pub(crate) async fn show(
    app: web::Data<App>,
    asker: Auth,
    path: MemberPath,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let query = Query::of(&request)?;
    let limit = page::limit(&query)?;
    let after = query.last("marker").map(marker).transpose()?;
    let (image, project) = path.ids()?;
    let history = move |cx: core_domain::Context<'_>, store: &dyn core_domain::store::Store| {
        sharing::history(cx, store, image, &project, after, limit)
    };
    let (events, more) = app.read(asker, history).await?;
    let next =
        events.last().filter(|_| more).map(|last| query.link(request.path(), Some(&last.number.to_string())));
    ok(&HistoryBody { history: events.iter().map(Entry::from).collect(), next })
}

/// The number of an entry.
fn marker(text: &str) -> Result<i64, ApiError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let wrong = || ApiError::Request("The marker must be the number of an entry of the history.".into());
    digits.then(|| text.parse().ok()).flatten().ok_or_else(wrong)
}
