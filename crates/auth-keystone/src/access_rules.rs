//! The calls that a token is good for, if its application credential lists them.

use serde::Deserialize;

/// The type of this service in Keystone's catalog and in access rules.
const SERVICE: &str = "image";

/// One kind of call.
#[derive(Debug, Default, Deserialize)]
// What is missing allows nothing.
#[serde(default)]
pub(crate) struct AccessRule {
    service: Box<str>,
    method: Box<str>,
    /// `{name}` and `*` stand for one part of the path, `**` for anything.
    path: Box<str>,
}

impl AccessRule {
    /// Whether this is such a call; `path` as it was sent, without its query.
    pub(crate) fn allows(&self, method: &str, path: &str) -> bool {
        &*self.service == SERVICE && &*self.method == method && matches(&self.path, path)
    }

    /// Roughly the memory its texts hold, in bytes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.service.len() + self.method.len() + self.path.len()
    }
}

/// A piece of a pattern.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    /// One letter or more, no slash among them.
    Part,
    /// Anything, also nothing.
    Anything,
}

/// Whether a path fits a pattern. What is written otherwise than in the pattern (`%61` for `a`) does not fit it: the
/// service might read it in one way and the rule's maker have meant another.
///
/// Takes time proportional to both lengths, whatever the pattern: rules are written by users.
fn matches(pattern: &str, path: &str) -> bool {
    // The places in the path that the pieces so far can have come to.
    let path = path.as_bytes();
    let mut reached = vec![false; path.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    for piece in pieces(pattern) {
        let mut next = vec![false; path.len() + 1];
        match piece {
            Piece::Text(text) => {
                for (at, _) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
                    if path.get(at..).is_some_and(|rest| rest.starts_with(text.as_bytes()))
                        && let Some(place) = next.get_mut(at + text.len())
                    {
                        *place = true;
                    }
                }
            }
            Piece::Part => {
                let mut inside = false;
                for ((letter, from), to) in path.iter().zip(&reached).zip(next.iter_mut().skip(1)) {
                    inside = (inside || *from) && *letter != b'/';
                    *to = inside;
                }
            }
            Piece::Anything => {
                let mut inside = false;
                for (from, to) in reached.iter().zip(&mut next) {
                    inside |= *from;
                    *to = inside;
                }
            }
        }
        reached = next;
    }
    reached.last().is_some_and(|end| *end)
}

fn pieces(pattern: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while !rest.is_empty() {
        let (piece, length) = if rest.starts_with("**") {
            (Piece::Anything, 2)
        } else if rest.starts_with('*') {
            (Piece::Part, 1)
        } else if let Some(end) = rest.strip_prefix('{').and_then(|name| name.find('}')) {
            (Piece::Part, end + 2)
        } else {
            let first = rest.chars().next().map_or(1, char::len_utf8);
            let more = rest.get(first..).and_then(|more| more.find(['*', '{'])).unwrap_or(rest.len() - first);
            (Piece::Text(rest.get(..first + more).unwrap_or(rest)), first + more)
        };
        pieces.push(piece);
        rest = rest.get(length..).unwrap_or_default();
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_what_keystones_middleware_says_they_fit() {
        for (pattern, path, fits) in [
            ("/v2/images", "/v2/images", true),
            ("/v2/images", "/v2/images/", false),
            ("/v2/images", "/v2/imagesx", false),
            ("/v2/images", "/V2/images", false),
            ("/v2.images", "/v2/images", false),
            ("/v2/images/{image_id}", "/v2/images/a-b.c", true),
            ("/v2/images/{image_id}", "/v2/images/", false),
            ("/v2/images/{image_id}", "/v2/images/a/members", false),
            ("/v2/images/{image_id}/members/{m}", "/v2/images/a/members/b", true),
            ("/v2/images/*", "/v2/images/a", true),
            ("/v2/images/*", "/v2/images/a/members", false),
            ("/v2/images/*/members", "/v2/images/a/members", true),
            ("/v2/images/x*", "/v2/images/xyz", true),
            ("/v2/images/x*", "/v2/images/x", false),
            ("/v2/**", "/v2/", true),
            ("/v2/**", "/v2/images/a/members/b", true),
            ("/v2/**/members", "/v2/images/a/members", true),
            ("/v2/**/members", "/v2/images/a/members/b", false),
            ("**", "", true),
            ("**", "/anything", true),
            ("", "", true),
            ("", "/", false),
            ("/v2/{a", "/v2/{a", true),
            ("/v2/{a", "/v2/b", false),
            ("/v2/images", "/v2/im%61ges", false),
        ] {
            assert_eq!(matches(pattern, path), fits, "{pattern} on {path}");
        }
    }

    #[test]
    fn a_pattern_made_to_take_for_ever_does_not() {
        let pattern = "**a".repeat(2_000);
        assert!(!matches(&pattern, &format!("{}b", "a".repeat(2_000))));
    }

    #[test]
    fn service_method_and_path_all_count() {
        let rule = |service: &str, method: &str| AccessRule {
            service: service.into(),
            method: method.into(),
            path: "/v2/images".into(),
        };
        assert!(rule("image", "GET").allows("GET", "/v2/images"));
        assert!(!rule("image", "GET").allows("POST", "/v2/images"));
        assert!(!rule("compute", "GET").allows("GET", "/v2/images"));
        assert!(!rule("image", "get").allows("GET", "/v2/images"));
    }
}
