//! Query strings and the links between pages: a link repeats every parameter, in order, but for the marker and its position.

use std::fmt::Write as _;

use actix_web::HttpRequest;
use core_domain::steps;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{error::ApiError, position::MARKER_POSITION};

/// A query, decoded: names and values in order.
pub(crate) struct Query(Vec<(String, String)>);

/// The largest number of parameters of one query, those beside which a link puts the marker and its position, and how often
/// it may repeat one of them.
const MAX_PARAMETERS: usize = 64;
const MAX_REPEATED: usize = 16;
/// Where a page starts: what a link sets anew.
const PLACE: [&str; 2] = ["marker", MARKER_POSITION];

/// What stays as it is in a link.
const LINKED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');

impl Query {
    pub(crate) fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        Self::parse(request.query_string())
    }

    pub(crate) fn parse(query: &str) -> Result<Self, ApiError> {
        let decoded = |text: &str| {
            steps::count(text.len());
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
        let too_many = || {
            ApiError::Request(format!(
                "The query has too many parameters: at most {MAX_PARAMETERS} are read."
            ))
        };
        let pairs = || query.split('&').filter(|pair| !pair.is_empty());
        if pairs().nth(MAX_PARAMETERS + PLACE.len()).is_some() {
            return Err(too_many());
        }
        let pairs: Vec<(String, String)> = pairs()
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decoded(name)?, decoded(value)?))
            })
            .collect::<Result<_, ApiError>>()?;
        if pairs.iter().filter(|(name, _)| !PLACE.contains(&name.as_str())).count() > MAX_PARAMETERS {
            return Err(too_many());
        }
        for (place, (name, _)) in pairs.iter().enumerate() {
            steps::count(place);
            if pairs[..place].iter().filter(|(before, _)| before == name).count() == MAX_REPEATED {
                return Err(ApiError::Request(format!(
                    "The query repeats a parameter too often: at most {MAX_REPEATED} of one name are read."
                )));
            }
        }
        Ok(Self(pairs))
    }

    /// Every parameter, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| {
            steps::count(1);
            (name.as_str(), value.as_str())
        })
    }

    /// The value of a parameter that counts once: the last one given.
    pub(crate) fn last(&self, name: &str) -> Option<&str> {
        self.iter().filter(|(given, _)| *given == name).map(|(_, value)| value).last()
    }

    /// A link to `path` with these parameters, from the start.
    pub(crate) fn first(&self, path: &str) -> String {
        self.link(path, [])
    }

    /// A link to `path` with these parameters, from `marker` on, and from its position if that is known.
    pub(crate) fn next(&self, path: &str, marker: &str, position: Option<&str>) -> String {
        let position = position.map(|position| (MARKER_POSITION, position));
        self.link(path, [("marker", marker)].into_iter().chain(position))
    }

    fn link<'a>(&'a self, path: &str, place: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
        let mut link = path.to_owned();
        let mut mark = '?';
        let kept = self.iter().filter(|(name, _)| !PLACE.contains(name));
        for (name, value) in kept.chain(place) {
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
        let query = Query::parse("tag=a&marker=m&tag=b%26c&name=x+y&marker_position=p&limit=2").unwrap();
        let kept = "/v2/images?tag=a&tag=b%26c&name=x%20y&limit=2";
        assert_eq!(query.next("/v2/images", "n", None), format!("{kept}&marker=n"));
        assert_eq!(query.next("/v2/images", "n", Some("q")), format!("{kept}&marker=n&marker_position=q"));
        assert_eq!(query.first("/v2/images"), kept);
    }

    #[test]
    fn a_query_of_more_parameters_than_are_read_is_refused_with_the_bound() {
        let refusal = |query: String| Query::parse(&query).err().map(|error| error.to_string());
        let several = |count: usize| (0..count).map(|number| format!("p{number}=&&")).collect::<String>();
        assert_eq!(refusal(several(64)), None);
        // The link to the next page has two more.
        let full = Query::parse(&several(64)).unwrap();
        assert_eq!(refusal(full.next("", "m", Some("p"))[1..].to_owned()), None);
        assert!(refusal(several(65)).unwrap().contains("at most 64"));
        assert_eq!(refusal("tag=%FF&".repeat(1_000_000)).unwrap(), refusal(several(65)).unwrap());
        for name in ["tag", "limit", "x"] {
            assert_eq!(refusal(format!("{name}=1&").repeat(16)), None);
            assert!(refusal(format!("{name}=1&").repeat(17)).unwrap().contains("at most 16"), "{name}");
        }
    }

    proptest! {
        #[test]
        fn what_a_link_says_reads_back_the_same(pairs in prop::collection::vec(("[^m\0]{1,8}", "[^\0]{0,12}"), 0..6)) {
            let query = Query(pairs);
            let link = query.first("/p");
            let read = Query::parse(link.strip_prefix("/p").unwrap().trim_start_matches('?')).unwrap();
            prop_assert_eq!(read.0, query.0);
        }

        #[test]
        fn no_query_breaks_the_parser(text in ".{0,200}") {
            let _ = Query::parse(&text);
        }
    }
}
