//! Request ids: one of ours for every answer, and the caller's own where it makes sense.

use std::sync::Arc;

use actix_web::{
    HttpMessage, HttpRequest,
    http::header::{HeaderMap, HeaderName},
};
use uuid::Uuid;

/// The header that carries request ids, both ways.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// The ids of one request.
#[derive(Clone, Debug)]
pub(crate) struct RequestId {
    /// Ours: `req-<uuid>`, new for every request, on every answer.
    pub(crate) local: Arc<str>,
    /// The caller's, if well-formed: ties together what it asked of several services.
    pub(crate) global: Option<Box<str>>,
}

/// The longest id of a caller that is kept, in characters; Glance's `max_request_id_length`.
const MAX_CHARS: usize = 64;

impl RequestId {
    pub(crate) fn new(headers: &HeaderMap) -> Self {
        let mut buffer = Uuid::encode_buffer();
        let uuid = Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
        let local = Arc::from(["req-", uuid].concat());
        let well_formed = |id: &&str| {
            id.starts_with("req-")
                && id.len() <= MAX_CHARS
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let global = headers.get(HEADER).and_then(|id| id.to_str().ok()).filter(well_formed).map(Into::into);
        Self { local, global }
    }

    /// The id to hand on to other services: the caller's if there is one.
    pub(crate) fn handed_on(&self) -> &str {
        self.global.as_deref().unwrap_or(&self.local)
    }

    /// The ids of this request; [`crate::answer`] has made them.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_else(|| Self::new(request.headers()))
    }
}
