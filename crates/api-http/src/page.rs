//! Query strings and the links between pages: a link repeats every parameter, in order, but for the marker and its position.

use std::fmt::Write as _;

use actix_web::HttpRequest;
use core_domain::{steps, text::MAX_CHARS};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{
    error::ApiError,
    position::{self, MARKER_POSITION},
};

/// A query: its parameters in order.
pub(crate) struct Query(Vec<Parameter>);

/// A parameter, decoded, and as a link repeats it.
struct Parameter {
    name: String,
    value: String,
    repeated: String,
}

/// The largest number of parameters of one query, those beside which a link puts the marker and its position, and how often
/// it may repeat one of them.
const MAX_PARAMETERS: usize = 64;
const MAX_REPEATED: usize = 16;
/// Where a page starts: what a link sets anew.
const PLACE: [&str; 2] = ["marker", MARKER_POSITION];

/// The most bytes that the marker and its position add to a link: a project's id of [`MAX_CHARS`] characters of four bytes,
/// each byte percent-encoded, and the largest position.
const MAX_PLACE_BYTES: usize =
    "&marker=".len() + 3 * 4 * MAX_CHARS + "&=".len() + MARKER_POSITION.len() + position::MAX_BYTES;

/// What a URI must not hold in its query, beside a percent sign that begins no escape.
const NOT_IN_A_QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What stays as it is in a marker and its position.
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
        let parameters: Vec<Parameter> = pairs()
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok(Parameter { name: decoded(name)?, value: decoded(value)?, repeated: repeated(pair) })
            })
            .collect::<Result<_, ApiError>>()?;
        if parameters.iter().filter(|parameter| !parameter.is_place()).count() > MAX_PARAMETERS {
            return Err(too_many());
        }
        for (place, Parameter { name, .. }) in parameters.iter().enumerate() {
            steps::count(place);
            if parameters[..place].iter().filter(|before| before.name == *name).count() == MAX_REPEATED {
                return Err(ApiError::Request(format!(
                    "The query repeats a parameter too often: at most {MAX_REPEATED} of one name are read."
                )));
            }
        }
        Ok(Self(parameters))
    }

    /// Every parameter, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|parameter| {
            steps::count(1);
            (parameter.name.as_str(), parameter.value.as_str())
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

    fn link<'a>(&self, path: &str, place: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
        let mut link = path.to_owned();
        let mut mark = '?';
        for parameter in self.0.iter().filter(|parameter| !parameter.is_place()) {
            link.push(mark);
            link.push_str(&parameter.repeated);
            mark = '&';
        }
        for (name, value) in place {
            // Writing to a string does not fail.
            let _ = write!(link, "{mark}{name}={}", utf8_percent_encode(value, LINKED));
            mark = '&';
        }
        link
    }
}

impl Parameter {
    fn is_place(&self) -> bool {
        PLACE.contains(&self.name.as_str())
    }
}

/// A part of a query as a link repeats it: as it was sent, but for what a URI must not hold, which is percent-encoded.
fn repeated(sent: &str) -> String {
    let mut pieces = sent.split('%');
    let mut text = String::with_capacity(sent.len());
    text.extend(utf8_percent_encode(pieces.next().unwrap_or_default(), NOT_IN_A_QUERY));
    for piece in pieces {
        let digits = piece.as_bytes().get(..2);
        let is_escape = digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        text.push_str(if is_escape { "%" } else { "%25" });
        text.extend(utf8_percent_encode(piece, NOT_IN_A_QUERY));
    }
    text
}

/// How many bytes of a URL's bound a query takes, with its question mark: those that a link repeats. The marker and its
/// position are not counted up to the most that a link adds, so that each link is short enough if its request was.
pub(crate) fn counted_bytes(query: &str) -> usize {
    let (mut kept, mut place) = (0_usize, 0_usize);
    for pair in query.split('&') {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        let bytes = if PLACE.contains(&name) { &mut place } else { &mut kept };
        *bytes += repeated(pair).len() + 1;
    }
    kept + place.saturating_sub(MAX_PLACE_BYTES)
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

    use percent_encoding::utf8_percent_encode;

    use super::{LINKED, MAX_PLACE_BYTES, Query, counted_bytes};

    #[test]
    fn a_link_keeps_every_parameter_but_the_marker() {
        let query = Query::parse("tag=a&marker=m&tag=b%26c&name=x+y&marker_position=p&limit=2").unwrap();
        let kept = "/v2/images?tag=a&tag=b%26c&name=x+y&limit=2";
        assert_eq!(query.next("/v2/images", "n", None), format!("{kept}&marker=n"));
        assert_eq!(query.next("/v2/images", "n", Some("q")), format!("{kept}&marker=n&marker_position=q"));
        assert_eq!(query.first("/v2/images"), kept);
    }

    #[test]
    fn a_link_leaves_as_it_is_what_a_uri_may_hold() {
        let linked = |query: &str| Query::parse(query).unwrap().first("");
        let allowed = "a=in:x,y;z&b=(*)!$'@/?&c=-._~&d=%2C%c3%A9&e&f=";
        assert_eq!(linked(allowed), format!("?{allowed}"));
        assert_eq!(linked("a={[^|]}`\\&b=%zz%4&c=100%"), "?a=%7B%5B%5E%7C%5D%7D%60%5C&b=%25zz%254&c=100%25");
    }

    #[test]
    fn a_query_counts_as_its_links_repeat_it_without_their_place() {
        let place = |bytes: usize| format!("marker={}", "m".repeat(bytes - "&marker=".len()));
        for (query, bytes) in [
            (String::new(), 1),
            ("a=b&c".to_owned(), 6),
            ("a={%".to_owned(), 9),
            ("marker=m&a=b&marker_position=p".to_owned(), 4),
            (place(MAX_PLACE_BYTES), 0),
            (format!("a=b&{}", place(MAX_PLACE_BYTES + 5)), 9),
            (format!("{}&marker_position={}", place(MAX_PLACE_BYTES), "p".repeat(83)), 100),
        ] {
            assert_eq!(counted_bytes(&query), bytes, "{query}");
        }
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
            let encode = |text: &str| utf8_percent_encode(text, LINKED).to_string();
            let sent: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
            let query = Query::parse(&sent.join("&")).unwrap();
            prop_assert!(query.iter().eq(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))));
            let link = query.first("/p");
            let read = Query::parse(link.strip_prefix("/p").unwrap().trim_start_matches('?')).unwrap();
            prop_assert!(read.iter().eq(query.iter()));
        }

        #[test]
        fn a_link_of_any_query_reads_the_same_and_counts_no_more(text in "[ -~é]{0,200}") {
            if let Ok(query) = Query::parse(&text) {
                let link = query.next("", &"🦀".repeat(255), Some(&"p".repeat(crate::position::MAX_BYTES)));
                let link = link.strip_prefix('?').unwrap();
                prop_assert!(counted_bytes(link) <= counted_bytes(&text), "{link}");
                let read = Query::parse(link).unwrap();
                let kept = |query: &Query| -> Vec<(String, String)> {
                    let pairs = query.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
                    pairs.filter(|(name, _)| !name.starts_with("marker")).collect()
                };
                prop_assert_eq!(kept(&read), kept(&query));
            }
        }

        #[test]
        fn no_query_breaks_the_parser(text in ".{0,200}") {
            let _ = Query::parse(&text);
        }
    }
}
