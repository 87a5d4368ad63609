//! Answers to what never became a request: the bare ones of the HTTP library, and ours in their place.

use actix_web::{
    body::MessageBody as _,
    http::{StatusCode, header::HeaderMap},
    web::BytesMut,
};
use chrono::Utc;

use crate::{error::ApiError, request_id};

/// The library's answers are far shorter.
const LONGEST: usize = 512;
const BEGIN: &[u8] = b"HTTP/1.";
const END: &[u8] = b"\r\n\r\n";

/// Where in `written` an answer begins that the library wrote by itself, and its status. It is a refusal, the last thing on
/// its connection, has no body, and, unlike every answer of ours, no request id.
pub(super) fn of_library(written: &[u8]) -> Option<(usize, StatusCode)> {
    if !written.ends_with(END) {
        return None;
    }
    let tail = written.len().saturating_sub(LONGEST);
    let last = written.get(tail..)?;
    let begin = last.windows(BEGIN.len()).rposition(|bytes| bytes == BEGIN)?;
    let head = str::from_utf8(last.get(begin..last.len() - END.len())?).ok()?;
    let status = StatusCode::from_bytes(head.get(9..12)?.as_bytes()).ok()?;
    let is_bare = !head.contains("\r\n\r\n") && !head.contains(request_id::HEADER.as_str());
    let is_refusal = status.is_client_error() || status.is_server_error();
    (is_bare && is_refusal && head.contains("content-length: 0")).then_some((tail + begin, status))
}

/// Writes this refusal as the last answer on a connection, and its line in the log. Nothing was read of the request, so the
/// form is JSON, and nothing is known of its path, its method and the client's own request id.
pub(super) fn write(out: &mut BytesMut, error: &ApiError) {
    let id = request_id::RequestId::new(&HeaderMap::new()).local;
    let response = error.response(&HeaderMap::new());
    let status = response.status();
    let date = Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16());
    for (name, value) in response.headers() {
        if let Ok(value) = value.to_str() {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    let body = response.into_body().try_into_bytes().unwrap_or_default();
    let length = body.len();
    let header = request_id::HEADER;
    head.push_str(&format!(
        "{header}: {id}\r\nx-content-type-options: nosniff\r\ncontent-length: {length}\r\nconnection: close\r\n\
         date: {date}\r\n\r\n"
    ));
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(&body);
    tracing::info!(target: "vitrine::request", request_id = &*id, status = status.as_u16(), reason = %error, "refused");
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &str =
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\ndate: now\r\n\r\n";

    #[test]
    fn answer_of_the_library_is_found_at_the_end() {
        let before = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-openstack-request-id: req-1\r\n\r\n{}";
        for before in ["", before] {
            let written = format!("{before}{BARE}");
            assert_eq!(of_library(written.as_bytes()), Some((before.len(), StatusCode::BAD_REQUEST)));
        }
    }

    #[test]
    fn answers_of_ours_are_left_alone() {
        let mut ours = BytesMut::new();
        write(&mut ours, &ApiError::SlowHead);
        assert_eq!(of_library(&ours), None);
        let deleted = "HTTP/1.1 204 No Content\r\nx-openstack-request-id: req-1\r\n\r\n";
        let refused = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nx-openstack-request-id: req-1\r\n\r\n";
        let went_on = "HTTP/1.1 100 Continue\r\n\r\n";
        for ours in [deleted, refused, went_on, "", "\r\n\r\n", &BARE[..BARE.len() - 1], &BARE[5..]] {
            assert_eq!(of_library(ours.as_bytes()), None, "{ours}");
        }
    }
}
