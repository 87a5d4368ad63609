//! Numbers that are valid JSON and too large for the parser.
//!
//! The parser refuses a whole body for a number beyond the range of a double, even under a key that is ignored. So those are
//! replaced before, by one that is within its range and beyond that of every attribute: where a number is wanted it is still
//! refused, with the reason.

use core_domain::steps;

use crate::parsed_size::after_string;

/// What such a number becomes. No number that is too large is shorter: the first is `1e309`.
const LARGE: &[u8] = b"9e300";

/// Replaces each number that is too large, in place. One pass; what is no JSON stays as it is.
pub(crate) fn put_within_range(json: &mut [u8]) {
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        steps::count(1);
        match byte {
            b'"' => at = after_string(json, at),
            b'-' | b'0'..=b'9' => {
                let length = json[at..].iter().take_while(|byte| is_of_number(**byte)).count();
                let number = &json[at..at + length];
                if is_too_large(number) {
                    let sign = usize::from(number.starts_with(b"-"));
                    let digits = &mut json[at + sign..at + length];
                    digits.fill(b' ');
                    digits[..LARGE.len()].copy_from_slice(LARGE);
                }
                at += length;
            }
            _ => at += 1,
        }
    }
}

fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// Whether it is a number by the grammar of JSON that a double cannot hold.
fn is_too_large(number: &[u8]) -> bool {
    steps::count(number.len());
    let Ok(text) = str::from_utf8(number) else { return false };
    is_number(number) && text.parse::<f64>().is_ok_and(f64::is_infinite)
}

/// `-? (0 | [1-9] digit*) (. digit+)? ([eE] [+-]? digit+)?` (RFC 8259, section 6)
fn is_number(text: &[u8]) -> bool {
    let after_digits = |text: &'_ [u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = text.strip_prefix(b"-").unwrap_or(text);
    let whole = after_digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    let mut rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = after_digits(fraction);
        if digits == 0 {
            return false;
        }
        rest = &fraction[digits..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', digits @ ..] => digits,
            digits => digits,
        };
        let digits = after_digits(exponent);
        return digits > 0 && digits == exponent.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn within_range(json: &str) -> Vec<u8> {
        let mut json = json.as_bytes().to_vec();
        put_within_range(&mut json);
        json
    }

    fn read(json: &str) -> Option<Value> {
        serde_json::from_slice(&within_range(json)).ok()
    }

    #[test]
    fn a_number_of_any_size_is_read() {
        let digits = "9".repeat(400);
        for number in
            ["1e309", "1e400", "-1E+400", "17.5e99999999999999999999", &digits, &format!("-{digits}.5")]
        {
            assert!(serde_json::from_str::<Value>(number).is_err(), "{number}");
            let large = read(number).unwrap().as_f64().unwrap();
            assert!(large.abs() > 8e300, "{number}");
            assert_eq!(large < 0.0, number.starts_with('-'));
            assert_eq!(read(&format!("{{\"x\":[{number},1],\"y\":\"1e400\"}}")).unwrap()["y"], "1e400");
        }
        for number in ["0", "-0", "857.0", "1e308", "1e-400", "18446744073709551616"] {
            assert_eq!(within_range(number), number.as_bytes(), "{number}");
        }
    }

    #[test]
    fn what_is_no_json_is_not_made_json() {
        for text in [
            "1.e400", "01e400", "+1e400", "1e400e5", "1e400-", "--1e400", "1e", "1e400.5", ".5e400",
            "\"1e400", "1e400x",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        // In a text nothing is a number.
        assert_eq!(read(r#""a\"1e400\\""#).unwrap(), r#"a"1e400\"#);
    }

    proptest! {
        #[test]
        fn what_the_parser_reads_stays_as_it_is(text in r#"[-+0-9eE."\\,:\[\]{} x]{0,40}"#) {
            match serde_json::from_str::<Value>(&text) {
                Ok(value) => prop_assert_eq!(read(&text), Some(value)),
                // Otherwise it is refused for the same reason, unless that was the size of a number.
                Err(error) if !error.to_string().contains("out of range") => prop_assert_eq!(read(&text), None),
                Err(_) => {}
            }
        }
    }
}
