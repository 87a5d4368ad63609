//! What happened to a membership: who did what, and when.

use actix_web::{HttpRequest, HttpResponse, web};
use core_domain::{
    event::{Cause, Change, Event, Reason},
    limits::{HISTORY_PAGE, Limits},
    member::MemberStatus,
    sharing,
    text::MAX_CHARS,
};
use serde::Serialize;

use crate::{
    app::App,
    auth::Auth,
    body::Time,
    budget::OVERHEAD_BYTES,
    error::ApiError,
    list_body::{self, Item},
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

impl Item for Event {
    fn memory_bytes(&self) -> usize {
        let Cause { user, project, request, .. } = &self.cause;
        let member = match &self.change {
            Change::Member { project, .. } => project.as_str().len(),
            Change::Image { image, .. } => image.as_ref().map_or(0, |image| image.memory_bytes()),
        };
        let ids = [project, &self.owner].into_iter().flatten().map(|id| id.as_str().len()).sum::<usize>();
        let name = self.image_name.as_ref().map_or(0, String::len);
        ENTRY_BYTES + user.as_str().len() + request.len() + member + ids + name
    }

    fn write(self, json: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(json, &Entry::from(&self))
    }
}

/// What an entry takes in memory beside its texts, at most; and with them: the ids of four projects and users and the name of
/// an image, each of at most four bytes a character.
const ENTRY_BYTES: usize = size_of::<Event>() + 6 * 32;
const LARGEST_ENTRY_BYTES: usize = ENTRY_BYTES + 5 * 4 * MAX_CHARS;

/// What comes after the entries of a page.
#[derive(Serialize)]
struct AfterHistory {
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
    let Limits { page_default, page_max, .. } = app.rules.limits;
    let most = limit.unwrap_or(page_default).min(page_max).min(HISTORY_PAGE) + 1;
    let memory = app.memory(&asker, OVERHEAD_BYTES + most * LARGEST_ENTRY_BYTES).await?;
    let ((events, more), memory) = app.read_into(memory, asker, history).await?;
    // A number is a position: it need not be that of an entry that is there.
    let next =
        events.last().filter(|_| more).map(|last| query.next(request.path(), &last.number.to_string(), None));
    list_body::list("history", events, &AfterHistory { next }, memory)
}

/// The number of an entry.
fn marker(text: &str) -> Result<i64, ApiError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let wrong = || ApiError::Request("The marker must be the number of an entry of the history.".into());
    digits.then(|| text.parse().ok()).flatten().ok_or_else(wrong)
}
