//! What a token looks like on the way in.

/// Nothing shorter is a token of any provider; a UUID without dashes has 32.
pub(crate) const SHORTEST: usize = 20;

/// What every Fernet token starts with: version 0x80 and the upper bytes of a time stamp.
pub(crate) const FERNET: &str = "gAAAA";

/// Which bytes a token has: every request has one, and looking them up takes a fraction of comparing them.
const LETTERS: [bool; 256] = {
    let mut letters = [false; 256];
    let mut byte = 0;
    while byte < letters.len() {
        let letter = byte as u8;
        letters[byte] = letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-' | b'.');
        byte += 1;
    }
    letters
};

/// The one spelling of a token that we deal with, or `None` if it cannot be a token. Allocates nothing.
///
/// Keystone reads several strings as the same token: it ignores blanks around it, padding behind it and, within a
/// Fernet token, whatever is not base64 and the unused bits of the last letter. Here blanks and padding are taken off
/// and all the rest is refused, so that nobody can make one token fill the cache under many names.
pub(crate) fn canonical(given: &str, longest: usize) -> Option<&str> {
    // Room for blanks and padding, but no long walk over them.
    if given.len() > longest + 64 {
        return None;
    }
    let token = given.trim_matches([' ', '\t']).trim_end_matches('=');
    let fits = (SHORTEST..=longest).contains(&token.len());
    let letters = token.bytes().fold(true, |all, byte| all & LETTERS[usize::from(byte)]);
    (fits && letters && ends_exactly(token)).then_some(token)
}

/// Whether each base64 part ends as an encoder would end it: no leftover letter, unused bits zero.
fn ends_exactly(token: &str) -> bool {
    match token.bytes().filter(|byte| *byte == b'.').count() {
        0 => !token.starts_with(FERNET) || part_ends_exactly(token),
        2 => token.split('.').all(part_ends_exactly),
        _ => true,
    }
}

fn part_ends_exactly(part: &str) -> bool {
    let unused_bits = match part.len() % 4 {
        0 => return true,
        2 => 0b1111,
        3 => 0b11,
        _ => return false,
    };
    part.bytes().last().and_then(sextet).is_some_and(|value| value & unused_bits == 0)
}

/// The value of a letter of the URL-safe alphabet.
fn sextet(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONGEST: usize = 3072;

    #[test]
    fn blanks_and_padding_are_taken_off() {
        let token = "gAAAAABpIk5mAAAAAAAAAAAAAA";
        for spelled in [" {}", "{} ", "\t{}\t ", "{}=", "{}==", " {}== "] {
            assert_eq!(canonical(&spelled.replace("{}", token), LONGEST), Some(token), "{spelled:?}");
        }
    }

    #[test]
    fn tokens_as_providers_make_them_are_left_alone() {
        let uuid = "6c81211a796a4ae3940cca1e6af77c96";
        let jws = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.AAAAAAAAAAAAAAAAAAAAAA";
        for token in [uuid, jws, &"a".repeat(20), &"a".repeat(LONGEST)] {
            assert_eq!(canonical(token, LONGEST), Some(token));
        }
    }

    #[test]
    fn what_cannot_be_a_token_is_refused() {
        for given in [
            "",
            "short",
            &"a".repeat(19),
            &"a".repeat(LONGEST + 1),
            &"a".repeat(1_000_000),
            &"=".repeat(40),
            "gAAAAABp!!!!!!!!!!!!Ik5mAAAAAAAA",
            "gAAAAABpIk5mAAAA=AAAAAAAAAAA",
            "gAAAAABpIk5m AAAAAAAAAAAAAAA",
            "gAAAAABpIk5m\0AAAAAAAAAAAAAAA",
            "gAAAAABpIk5m\nAAAAAAAAAAAAAAA",
            "gAAAAABpIk5mAAAAAAAAAAAAAé",
            "gAAAAABpIk5m+AAAAAAAA/AAAAAA",
        ] {
            assert_eq!(canonical(given, LONGEST), None, "{given:.60}");
        }
    }

    #[test]
    fn the_unused_bits_of_the_last_letter_name_no_second_token() {
        assert!(canonical("gAAAAABpIk5mAAAAAAAAAAAAAA", LONGEST).is_some());
        for last in ["B", "C", "P", "f", "_"] {
            assert_eq!(canonical(&format!("gAAAAABpIk5mAAAAAAAAAAAAA{last}"), LONGEST), None);
            let jws = format!("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.AAAAAAAAAAAAAAAAAAAAA{last}");
            assert_eq!(canonical(&jws, LONGEST), None);
        }
    }

    proptest! {
        #[test]
        fn a_canonical_token_is_its_own_canonical_form(given in "[ \\t]{0,3}[A-Za-z0-9_.=-]{0,80}[ \\t=]{0,3}") {
            if let Some(token) = canonical(&given, LONGEST) {
                prop_assert_eq!(canonical(token, LONGEST), Some(token));
                prop_assert!(given.contains(token));
            }
        }
    }
}
