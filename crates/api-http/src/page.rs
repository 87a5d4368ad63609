//! Query strings and the links between pages: a link repeats every parameter, in order, but for the marker.

use std::fmt::Write as _;

use actix_web::HttpRequest;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::ApiError;

/// A query, decoded: names and values in order.
pub(crate) struct Query(Vec<(String, String)>);

/// What stays as it is in a link.
const LINKED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');

impl Query {
    pub(crate) fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        Self::parse(request.query_string())
    }

    pub(crate) fn parse(query: &str) -> Result<Self, ApiError> {
        let decoded = |text: &str| {
            let text = text.replace('+', " ");
            let text = percent_decode_str(&text).decode_utf8().map_err(|_| {
                ApiError::Request(
                    "The query is not UTF-8 when decoded: percent-encode values as UTF-8.".into(),
                )
            })?;
            // Nothing that is kept holds one, and not every store can even be asked for it.
            if text.contains('\0') {
                return Err(ApiError::Request("The query must not contain a NUL character.".into()));
            }
            Ok(text.into_owned())
        };
        query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decoded(name)?, decoded(value)?))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Every parameter, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of a parameter that counts once: the last one given.
    pub(crate) fn last(&self, name: &str) -> Option<&str> {
        self.iter().filter(|(given, _)| *given == name).map(|(_, value)| value).last()
    }

    /// A link to `path` with these parameters, from `marker` on, or from the start.
    pub(crate) fn link(&self, path: &str, marker: Option<&str>) -> String {
        let mut link = path.to_owned();
        let mut mark = '?';
        let kept = self.iter().filter(|(name, _)| *name != "marker");
        for (name, value) in kept.chain(marker.map(|marker| ("marker", marker))) {
            let (name, value) = (utf8_percent_encode(name, LINKED), utf8_percent_encode(value, LINKED));
            // Writing to a string does not fail.
            let _ = write!(link, "{mark}{name}={value}");
            mark = '&';
        }
        link
    }
}

/// `limit`: how many on a page.
pub(crate) fn limit(query: &Query) -> Result<Option<usize>, ApiError> {
    query
        .last("limit")
        .map(|limit| {
            // More than any page holds is as good as the largest number.
            let digits = !limit.is_empty() && limit.bytes().all(|byte| byte.is_ascii_digit());
            digits
                .then(|| limit.parse().unwrap_or(usize::MAX))
                .ok_or_else(|| ApiError::Request("The limit must be a whole number, not negative.".into()))
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Query;

    #[test]
    fn a_link_keeps_every_parameter_but_the_marker() {
        let query = Query::parse("tag=a&marker=m&tag=b%26c&name=x+y&limit=2").unwrap();
        assert_eq!(
            query.link("/v2/images", Some("n")),
            "/v2/images?tag=a&tag=b%26c&name=x%20y&limit=2&marker=n"
        );
        assert_eq!(query.link("/v2/images", None), "/v2/images?tag=a&tag=b%26c&name=x%20y&limit=2");
    }

    proptest! {
        #[test]
        fn what_a_link_says_reads_back_the_same(pairs in prop::collection::vec(("[^m\0]{1,8}", "[^\0]{0,12}"), 0..6)) {
            let query = Query(pairs);
            let link = query.link("/p", None);
            let read = Query::parse(link.strip_prefix("/p").unwrap().trim_start_matches('?')).unwrap();
            prop_assert_eq!(read.0, query.0);
        }

        #[test]
        fn no_query_breaks_the_parser(text in ".{0,200}") {
            let _ = Query::parse(&text);
        }
    }
}
