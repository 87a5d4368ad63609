//! The calls that a token is good for, if its application credential lists them.
//!
//! Users write these rules, so that what they cost is bounded: how many there are, how long each is, and the work to
//! hold one against a path.

use serde::Deserialize;

use crate::path_pattern::{Pattern, Requested};

/// The type of this service in Keystone's catalog and in access rules.
const SERVICE: &str = "image";
/// How many access rules a token may have, for whatever services. A token with more is refused.
pub(crate) const MAX_RULES: usize = 256;
/// The longest path that a rule can allow, in bytes, as it was sent. The longest of the API has some 3,130: an id of 255
/// characters of four bytes, each byte percent-encoded.
const MAX_PATH_BYTES: usize = 4096;

/// A rule as Keystone describes it.
#[derive(Debug, Default, Deserialize)]
// What is missing allows nothing.
#[serde(default)]
pub(crate) struct AccessRule {
    service: Box<str>,
    method: Box<str>,
    /// `{name}` and `*` stand for one part of the path, `**` for anything.
    path: Box<str>,
}

/// The rules of one token, compiled: those for this service.
#[derive(Debug)]
pub(crate) struct AccessRules {
    rules: Box<[Rule]>,
}

/// A compiled rule.
#[derive(Debug)]
struct Rule {
    method: Box<str>,
    pattern: Pattern,
}

/// A token has so many rules, more than [`MAX_RULES`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooManyRules(pub(crate) usize);

impl AccessRules {
    /// Compiles the rules of a token. A rule whose path is longer than any of Keystone's allows nothing.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn compile(rules: Vec<AccessRule>) -> Result<Self, TooManyRules> {
        if rules.len() > MAX_RULES {
            return Err(TooManyRules(rules.len()));
        }
        let ours = rules.into_iter().filter(|rule| &*rule.service == SERVICE);
        let compiled = ours.filter_map(|AccessRule { method, path, .. }| {
            Pattern::compile(&path).map(|pattern| Rule { method, pattern })
        });
        Ok(Self { rules: compiled.collect() })
    }

    /// Whether one of them lists this call; `path` as it was sent, without its query.
    pub(crate) fn allow(&self, method: &str, path: &str) -> bool {
        self.allow_counted(method, path).0
    }

    /// The same, and how many steps it took: comparisons of a byte and operations on a word of positions. At most
    /// 1 + 256/64 for each rule and byte of the path, and 512 for each rule.
    fn allow_counted(&self, method: &str, path: &str) -> (bool, usize) {
        if path.len() > MAX_PATH_BYTES {
            return (false, 0);
        }
        let mut requested = Requested::new(path);
        let allowed = self.rules.iter().any(|rule| &*rule.method == method && requested.fits(&rule.pattern));
        (allowed, requested.steps())
    }

    /// Roughly the memory they hold, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.rules.iter().map(|rule| size_of::<Rule>() + rule.method.len() + rule.pattern.size()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(service: &str, method: &str, path: &str) -> AccessRule {
        AccessRule { service: service.into(), method: method.into(), path: path.into() }
    }

    /// So many rules for `GET` with this path.
    fn rules(number: usize, path: &str) -> AccessRules {
        AccessRules::compile((0..number).map(|_| rule("image", "GET", path)).collect()).unwrap()
    }

    /// Patterns that make matchers with backtracking or a table of pattern × path slow, as long as they may be.
    fn hostile() -> Vec<String> {
        ["*a", "**a", "*a**", "**/*a", "{x}a", "*a/", "a*", "/*a", "**a*"]
            .into_iter()
            .map(|piece| format!("/{}", piece.repeat(255 / piece.len())))
            .collect()
    }

    #[test]
    fn service_method_and_path_all_count() {
        let allows = |service: &str, method: &str, call: &str| {
            AccessRules::compile(vec![rule(service, method, "/v2/images")]).unwrap().allow(call, "/v2/images")
        };
        assert!(allows("image", "GET", "GET"));
        assert!(!allows("image", "GET", "POST"));
        assert!(!allows("compute", "GET", "GET"));
        assert!(!allows("image", "get", "GET"));
    }

    #[test]
    fn more_than_256_rules_are_refused_whatever_service_they_are_for() {
        for service in ["image", "compute"] {
            let compile = |number| {
                AccessRules::compile((0..number).map(|_| rule(service, "GET", "/")).collect()).map(|_| ())
            };
            assert_eq!(compile(256), Ok(()));
            assert_eq!(compile(257), Err(TooManyRules(257)));
        }
    }

    #[test]
    fn the_work_is_linear_in_rules_times_path() {
        for pattern in hostile() {
            for path in [
                "/".to_owned() + &"a".repeat(4094) + "b",
                "/xa".repeat(1365),
                "/".to_owned() + &"a/".repeat(2047),
            ] {
                let steps = |number: usize, length: usize| {
                    let (_, steps) = rules(number, &pattern).allow_counted("GET", &path[..length]);
                    steps
                };
                let bound = |number: usize, length: usize| number * (5 * length + 512);
                for (number, length) in [(1, 512), (256, 512), (1, 4095), (256, 4095)] {
                    let steps = steps(number, length);
                    assert!(steps <= bound(number, length), "{pattern} on {length}: {steps} steps");
                }
            }
        }
    }

    #[test]
    fn rules_of_ordinary_credentials_take_a_few_steps_each() {
        let rules = rules(256, "/v2/images/{image_id}/members/{member_id}");
        let path = "/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9/memberships";
        let (allowed, steps) = rules.allow_counted("GET", path);
        assert!(!allowed && steps <= 256 * 64, "{steps}");
    }

    #[test]
    fn a_path_longer_than_4096_bytes_fits_no_rule() {
        let everything = rules(1, "**");
        assert!(everything.allow("GET", &"/".repeat(4096)));
        assert!(!everything.allow("GET", &"/".repeat(4097)));
    }

    #[test]
    fn rules_allow_members_with_the_longest_ids() {
        let id = "%F0%9F%A6%80".repeat(255);
        let path = format!("/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9/members/{id}/history");
        for pattern in ["/v2/images/*/members/**", "/v2/images/{image_id}/members/{member_id}/history"] {
            assert!(rules(1, pattern).allow("GET", &path), "{pattern}");
        }
    }

    #[test]
    fn compiled_rules_are_small_and_their_size_is_known() {
        for pattern in hostile() {
            let size = rules(256, &pattern).size();
            assert!((256 * pattern.len()..256 * 600).contains(&size), "{size} bytes");
        }
    }
}
