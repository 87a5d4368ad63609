//! Times and errors as text.

use chrono::{DateTime, SecondsFormat, Utc};

/// `2026-11-22T06:47:03Z`: as Glance writes times into its notifications.
pub(crate) fn seconds(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// `2026-11-22T06:47:03.123456Z`
pub(crate) fn microseconds(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// At most so many characters of what somebody else said, on one line, for the log.
pub(crate) fn excerpt(text: &str, most: usize) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(most).collect()
}

/// An error with what caused it, on one line.
pub(crate) fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let deeper_text = deeper.to_string();
        if !text.contains(&deeper_text) {
            text.push_str(": ");
            text.push_str(&deeper_text);
        }
        cause = deeper.source();
    }
    excerpt(&text, 300)
}
