//! How much memory a JSON text takes with all that is made of it, reckoned before it is parsed.
//!
//! A parsed value is larger than its text: an object of seven bytes, `{"":0}` and a comma, becomes a tree's node of 632 bytes.
//! One pass over the text counts values and objects. What it gives is never less than the parsed values take, and leaves
//! room for what handlers make of them.

use core_domain::steps;

/// Bytes for each value and each name of an object's entry, beside a string's own: its place in a list or a tree that is up to
/// half empty, the allocation of a short string, and the same once more for what is made of it.
const VALUE_BYTES: usize = 160;
/// Bytes for each object beside its entries: a tree's node has places for eleven, used or not.
const OBJECT_BYTES: usize = 384;

/// An upper bound on the bytes that the text and what is made of it take together.
pub(crate) fn parsed_size(json: &[u8]) -> usize {
    let (mut values, mut objects, mut of_strings) = (0_usize, 0_usize, 0_usize);
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        steps::count(1);
        let start = at;
        at += 1;
        match byte {
            b'"' => {
                at = after_string(json, start);
                values += 1;
                of_strings += at - start;
            }
            b'{' => {
                values += 1;
                objects += 1;
            }
            b'[' => values += 1,
            b'-' | b'0'..=b'9' | b'a'..=b'z' => {
                let rest = json[at..].iter().take_while(|byte| is_of_word(**byte)).count();
                steps::count(rest);
                at += rest;
                values += 1;
            }
            // Space, punctuation, or what ends the parsing.
            _ => {}
        }
    }
    json.len() + of_strings + values * VALUE_BYTES + objects * OBJECT_BYTES
}

/// Where the string ends that begins here.
pub(crate) fn after_string(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = json.get(at) {
        steps::count(1);
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

/// Of a number or of `true`, `false` and `null`.
fn is_of_word(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'E' | b'-' | b'+' | b'.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// What an allocator hands out for these bytes.
    fn allocated(bytes: usize) -> usize {
        if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) }
    }

    /// What a parsed value takes beside its own place: lists with room for twice as many, trees whose nodes are half empty.
    fn held(value: &Value) -> usize {
        const NODE: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 16;
        const INNER: usize = NODE + 12 * 8;
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => allocated(text.len()),
            Value::Array(values) => {
                let places = if values.is_empty() { 0 } else { values.len().next_power_of_two().max(4) };
                allocated(places * size_of::<Value>()) + values.iter().map(held).sum::<usize>()
            }
            Value::Object(entries) => {
                let nodes = if entries.is_empty() { 0 } else { entries.len().div_ceil(5) };
                let inner = nodes.div_ceil(5) * usize::from(nodes > 1);
                let of = |(name, value): (&String, &Value)| allocated(name.len()) + held(value);
                nodes * allocated(NODE) + inner * allocated(INNER) + entries.iter().map(of).sum::<usize>()
            }
        }
    }

    /// The text is held while it is parsed.
    fn is_bounded(json: &str) -> Result<(), String> {
        let value: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let (held, reckoned) = (json.len() + size_of::<Value>() + held(&value), parsed_size(json.as_bytes()));
        if held <= reckoned { Ok(()) } else { Err(format!("{held} bytes held, {reckoned} reckoned")) }
    }

    #[test]
    fn no_shape_of_body_holds_more_than_is_reckoned() {
        for unit in [
            "0",
            "[]",
            "[0]",
            "[[0]]",
            "\"\"",
            "\"a\"",
            "{}",
            r#"{"":0}"#,
            r#"{"":[0]}"#,
            r#"{"":{"":{"":0}}}"#,
            r#"{"op":"add","path":"/a","value":"b"}"#,
            "true",
            "null",
            "-1e5",
            r#""\u0041\"""#,
        ] {
            for count in [1, 2, 3, 4, 5, 9, 17, 1_000, 4_097] {
                is_bounded(&format!("[{}]", vec![unit; count].join(","))).expect(unit);
                let entries: Vec<_> = (0..count).map(|number| format!("\"{number:x}\":{unit}")).collect();
                is_bounded(&format!("{{{}}}", entries.join(","))).expect(unit);
            }
        }
        is_bounded(&format!("{}{}", "[".repeat(120), "]".repeat(120))).unwrap();
    }

    #[test]
    fn text_without_values_counts_as_what_it_is() {
        assert_eq!(parsed_size(b"  \n , : ] } "), 12);
        assert_eq!(parsed_size(b"\"\\"), 2 + 2 + VALUE_BYTES);
        assert_eq!(parsed_size(b" true,\"{[0\",-1.5E+3"), 19 + 5 + 3 * VALUE_BYTES);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,30}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 200, 20, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
                proptest::collection::btree_map(".{0,8}", inner, 0..20)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_holds_at_most_what_is_reckoned(value in any_json()) {
            prop_assert_eq!(is_bounded(&value.to_string()), Ok(()));
        }
    }
}
