//! Text from elsewhere on its way to a terminal.

use std::fmt::Write as _;

/// Whether a terminal may act on a character, or show what follows it in another order.
fn acts_on_terminals(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A text in which such characters are written as in Rust: `\n`, `\u{1b}`.
pub(crate) fn controls(text: &str) -> String {
    replaced(text, |escaped, letter| {
        // Writing to a string does not fail. `escape_debug` leaves some of them as they are.
        let _ = match letter {
            '\n' | '\r' | '\t' => write!(escaped, "{}", letter.escape_default()),
            letter => write!(escaped, "{}", letter.escape_unicode()),
        };
    })
}

/// JSON in which such characters are written as JSON escapes; they stand in its strings only.
pub(crate) fn controls_of_json(json: &str) -> String {
    replaced(json, |escaped, letter| {
        for unit in letter.encode_utf16(&mut [0; 2]) {
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    })
}

fn replaced(text: &str, escape: impl Fn(&mut String, char)) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, letter| {
        if acts_on_terminals(letter) {
            escape(&mut escaped, letter);
        } else {
            escaped.push(letter);
        }
        escaped
    })
}
