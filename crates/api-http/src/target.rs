//! What a request is about, before anything works on it: a URL of bounded length, in one spelling.

use actix_web::{dev::ServiceRequest, http::Uri};
use percent_encoding::percent_decode_str;

use crate::{error::ApiError, page, versions};

/// The longest path in bytes, each that is percent-encoded counted once: 255 characters of any script fit as a member's id.
const PATH_BYTES: usize = 2 * 1024;
/// The longest URL in bytes, without the marker and its position that a link of the server has, and with what a URI must
/// not hold percent-encoded: clients list some 400 ids in a query of 15 KB.
const URL_BYTES: usize = 24 * 1024;
/// What of a path is written to the log.
const LOGGED_BYTES: usize = 512;

/// Whether the path and the URL of a request are short enough.
///
/// # Errors
/// 414 with what is too long.
pub(crate) fn check_length(uri: &Uri) -> Result<(), ApiError> {
    let sent = uri.path_and_query().map_or(0, |sent| sent.as_str().len());
    // No byte counts for more than three.
    if 3 * sent > URL_BYTES && uri.path().len() + uri.query().map_or(0, page::counted_bytes) > URL_BYTES {
        return Err(ApiError::LongUrl("URL", URL_BYTES));
    }
    if uri.path().len() > PATH_BYTES && percent_decode_str(uri.path()).count() > PATH_BYTES {
        return Err(ApiError::LongUrl("path", PATH_BYTES));
    }
    Ok(())
}

/// Gives the URL of a request its one spelling: one leading slash, and `/v2` for the minor versions that are announced.
pub(crate) fn normalize(request: &mut ServiceRequest) {
    let path = request.uri().path();
    let rest = path.trim_start_matches('/');
    let single = path.get(path.len().saturating_sub(rest.len() + 1)..).unwrap_or(path);
    let unversioned = versions::after_minor(single);
    if unversioned.is_none() && single.len() == path.len() {
        return;
    }
    let (version, rest) = unversioned.map_or(("", single), |rest| ("/v2", rest));
    let normal = match request.uri().query() {
        Some(query) => format!("{version}{rest}?{query}"),
        None => format!("{version}{rest}"),
    };
    if let Ok(uri) = normal.parse::<Uri>() {
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }
}

/// A path as it is written to the log: at most 512 bytes, and a mark where something was left out.
pub(crate) fn logged(path: &str) -> std::borrow::Cow<'_, str> {
    if path.len() <= LOGGED_BYTES {
        return path.into();
    }
    let end = path.floor_char_boundary(LOGGED_BYTES);
    format!("{}… ({} bytes)", path.get(..end).unwrap_or_default(), path.len()).into()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn url_has_one_leading_slash_and_one_version() {
        for (sent, normal) in [
            ("/", "/"),
            ("//", "/"),
            ("/v2/images", "/v2/images"),
            ("//v2/images?a=//b", "/v2/images?a=//b"),
            ("////v2.7/images/a//b?x", "/v2/images/a//b?x"),
            ("/v2.1/images", "/v2/images"),
            ("/v2.9/images", "/v2.9/images"),
            ("//%2Fv2/images", "/%2Fv2/images"),
            ("/v2//images", "/v2//images"),
        ] {
            let mut request = TestRequest::with_uri(sent).to_srv_request();
            normalize(&mut request);
            assert_eq!(request.uri().to_string(), normal, "{sent}");
            assert_eq!(request.match_info().unprocessed(), normal.split('?').next().unwrap_or_default());
        }
    }

    #[test]
    fn path_and_url_are_refused_beyond_their_lengths() {
        let path = |bytes: usize| format!("/{}", "x".repeat(bytes - 1));
        let encoded = |bytes: usize| format!("/{}", "%C3".repeat(bytes - 1));
        for (url, part) in [
            (path(2048), None),
            (path(2049), Some("path")),
            (encoded(2048), None),
            (encoded(2049), Some("path")),
            (format!("/?{}", "x".repeat(24 * 1024 - 2)), None),
            (format!("/?{}", "x".repeat(24 * 1024 - 1)), Some("URL")),
            (format!("/?{}", "{".repeat(8 * 1024 - 1)), None),
            (format!("/?{}", "{".repeat(8 * 1024)), Some("URL")),
            (format!("/?marker={}&{}", "m".repeat(3060), "x".repeat(24 * 1024 - 2)), None),
            (format!("/?marker_position={}&x", "p".repeat(40_000)), Some("URL")),
        ] {
            let refused = check_length(&url.parse().unwrap()).err().map(|error| error.to_string());
            assert_eq!(refused.is_some(), part.is_some(), "{} bytes: {refused:?}", url.len());
            assert!(part.is_none_or(|part| refused.is_some_and(|text| text.contains(part))));
        }
    }

    #[test]
    fn logged_path_is_cut_between_characters_and_marked() {
        assert_eq!(logged("/v2/images"), "/v2/images");
        let long = "é".repeat(600);
        assert_eq!(logged(&format!("/{long}")), format!("/{}… (1201 bytes)", "é".repeat(255)));
    }
}
