//! Which shapes a token may have: most of what is no token is seen to be none without asking anybody.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use crate::{config::JwsAlgorithm, token::FERNET};

/// The token formats that Keystone is known to use (`keystone.token_formats`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formats {
    /// Whatever might be a token is asked about.
    Any,
    /// Only these are.
    Only {
        /// Encrypted ones, Keystone's default.
        fernet: bool,
        /// Signed ones.
        jws: bool,
    },
}

impl Default for Formats {
    /// The two that Keystone has.
    fn default() -> Self {
        Self::Only { fernet: true, jws: true }
    }
}

/// How far in the future a Fernet token may have been made, for clocks that differ.
const AHEAD: TimeDelta = TimeDelta::seconds(60);
/// A Fernet token without its text: version, stamp, initialization vector, signature.
const FERNET_FRAME: usize = 1 + 8 + 16 + 32;
/// Its text is padded to blocks of this many bytes.
const BLOCK: usize = 16;
/// Keystone's headers have 36 letters.
const LONGEST_JWS_HEADER: usize = 256;

impl Formats {
    /// The formats of these words, separated by commas: `fernet`, `jws`; or the one word `any`.
    #[must_use]
    pub fn from_words(words: &str) -> Option<Self> {
        if words.trim() == "any" {
            return Some(Self::Any);
        }
        let (mut fernet, mut jws) = (false, false);
        for word in words.split(',').map(str::trim) {
            match word {
                "fernet" => fernet = true,
                "jws" => jws = true,
                _ => return None,
            }
        }
        Some(Self::Only { fernet, jws })
    }

    /// Whether a canonical token has one of the shapes. `now` is Keystone's time of day, if known. Allocates nothing.
    pub(crate) fn fit(self, token: &str, algorithms: &[JwsAlgorithm], now: Option<DateTime<Utc>>) -> bool {
        match self {
            Self::Any => true,
            Self::Only { fernet, jws } => {
                (fernet && is_fernet(token, now)) || (jws && is_jws(token, algorithms))
            }
        }
    }
}

/// Version 0x80, a stamp that is not in the future, and a length that such a token can have. What it says is
/// Keystone's secret.
fn is_fernet(token: &str, now: Option<DateTime<Utc>>) -> bool {
    let length = token.len() * 3 / 4;
    if !token.starts_with(FERNET)
        || token.contains('.')
        || length < FERNET_FRAME + BLOCK
        || !(length - FERNET_FRAME).is_multiple_of(BLOCK)
    {
        return false;
    }
    let mut head = [0; 9];
    let Some(letters) = token.get(..12) else { return false };
    if URL_SAFE_NO_PAD.decode_slice(letters, &mut head) != Ok(head.len()) {
        return false;
    }
    let [version, stamp @ ..] = head;
    let made =
        i64::try_from(u64::from_be_bytes(stamp)).ok().and_then(|made| DateTime::from_timestamp(made, 0));
    match (made, now) {
        (Some(made), Some(now)) => version == 0x80 && made <= now + AHEAD,
        (Some(_), None) => version == 0x80,
        (None, _) => false,
    }
}

/// Three parts, an algorithm that is allowed, and a signature as long as that algorithm's are.
fn is_jws(token: &str, algorithms: &[JwsAlgorithm]) -> bool {
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    if header.len() > LONGEST_JWS_HEADER || claims.is_empty() {
        return false;
    }
    let mut bytes = [0; LONGEST_JWS_HEADER];
    let Ok(length) = URL_SAFE_NO_PAD.decode_slice(header, &mut bytes) else { return false };
    let header: Option<Header<'_>> = bytes.get(..length).and_then(|text| serde_json::from_slice(text).ok());
    header.is_some_and(|header| {
        algorithms.iter().any(|allowed| {
            allowed.name() == header.alg && signature.len() * 3 / 4 == signature_bytes(*allowed)
        })
    })
}

fn signature_bytes(algorithm: JwsAlgorithm) -> usize {
    match algorithm {
        JwsAlgorithm::Es256 | JwsAlgorithm::EdDsa => 64,
        JwsAlgorithm::Es384 => 96,
        JwsAlgorithm::Es512 => 132,
    }
}

#[derive(Deserialize)]
struct Header<'a> {
    alg: &'a str,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A token as Keystone's Fernet provider makes them, so many seconds from now.
    fn fernet(seconds: i64, blocks: usize) -> String {
        let stamp = (Utc::now().timestamp() + seconds).to_be_bytes();
        let rest = vec![7; 16 + blocks * BLOCK + 32];
        URL_SAFE_NO_PAD.encode([&[0x80][..], &stamp, &rest].concat())
    }

    fn jws(header: &str, signature: usize) -> String {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        format!("{}.{}.{}", part(header.as_bytes()), part(b"{}"), part(&vec![7; signature]))
    }

    fn fits(token: &str) -> bool {
        Formats::default().fit(token, &[JwsAlgorithm::Es256], Some(Utc::now()))
    }

    #[test]
    fn fernet_tokens_fit_by_version_length_and_stamp() {
        for blocks in 1..20 {
            assert!(fits(&fernet(0, blocks)), "{blocks}");
        }
        assert!(fits(&fernet(-400 * 24 * 3600, 5)) && fits(&fernet(50, 5)));
        assert!(!fits(&fernet(120, 5)), "made in the future");
        assert!(Formats::default().fit(&fernet(120, 5), &[], None), "nobody knows what time it is");
        let good = fernet(0, 5);
        for other in [
            &good[..good.len() - 4],
            &format!("{good}AAAA"),
            &fernet(0, 0),
            &good.replace("gAAAAA", "hAAAAA"),
        ] {
            assert!(!fits(other), "{other}");
        }
        assert!(!fits(&good.replacen("gAAAAA", "gAAAAB", 1)), "made after the year 2106");
    }

    #[test]
    fn signed_tokens_fit_by_parts_algorithm_and_length_of_signature() {
        assert!(fits(&jws(r#"{"alg":"ES256","typ":"JWT"}"#, 64)));
        for other in [
            jws(r#"{"alg":"ES256"}"#, 63),
            jws(r#"{"alg":"ES384"}"#, 96),
            jws(r#"{"alg":"HS256"}"#, 32),
            jws(r#"{"alg":"none"}"#, 0),
            jws("{}", 64),
            jws("nonsense", 64),
            jws(&format!(r#"{{"alg":"ES256","x":"{}"}}"#, "x".repeat(300)), 64),
            format!("{}.more", jws(r#"{"alg":"ES256"}"#, 64)),
        ] {
            assert!(!fits(&other), "{other}");
        }
    }

    #[test]
    fn words_name_formats() {
        let only = |fernet, jws| Some(Formats::Only { fernet, jws });
        for (words, formats) in [
            ("fernet, jws", only(true, true)),
            ("fernet", only(true, false)),
            (" jws ", only(false, true)),
            ("any", Some(Formats::Any)),
            ("", None),
            ("uuid", None),
            ("any, jws", None),
        ] {
            assert_eq!(Formats::from_words(words), formats, "{words:?}");
        }
        let (fernet, jws) = (fernet(0, 5), jws(r#"{"alg":"ES256"}"#, 64));
        let fit = |formats: Formats, token: &str| formats.fit(token, &[JwsAlgorithm::Es256], None);
        let only_jws = Formats::Only { fernet: false, jws: true };
        assert!(!fit(only_jws, &fernet) && fit(only_jws, &jws) && fit(Formats::Any, "whatever"));
    }

    proptest! {
        #[test]
        fn random_letters_fit_no_format(token in "[A-Za-z0-9_-]{20,500}") {
            prop_assert!(!fits(&token));
        }
    }
}
