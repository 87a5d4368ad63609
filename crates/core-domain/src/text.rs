//! What text may be kept: the one rule for names, values, tags and ids that come from outside.

use crate::{error::Error, steps};

/// The longest name, tag, property name or member id, in characters (API v2: 255).
pub const MAX_CHARS: usize = 255;

/// The longest property value, in bytes of UTF-8: the size of the TEXT column in which Glance keeps it on MySQL.
pub const MAX_VALUE_BYTES: usize = 65_535;

/// Accepts `text` for the attribute `field` if it has at most [`MAX_CHARS`] characters and no control characters but
/// tab, line feed and carriage return. (NUL cannot be stored by Postgres; the others separate fields in ours.)
///
/// # Errors
/// [`Error::Invalid`], naming the field and the rule.
pub fn checked(field: &str, text: &str) -> Result<(), Error> {
    without_control_characters(field, text)?;
    if text.len() > MAX_CHARS && text.chars().count() > MAX_CHARS {
        return Err(Error::invalid(format!("{field} must not be longer than {MAX_CHARS} characters.")));
    }
    Ok(())
}

/// Accepts `text` as a property's value for the attribute `field`: at most [`MAX_VALUE_BYTES`], and the characters that
/// [`checked`] accepts.
///
/// # Errors
/// [`Error::Invalid`], naming the field and the rule.
pub fn checked_value(field: &str, text: &str) -> Result<(), Error> {
    without_control_characters(field, text)?;
    if text.len() > MAX_VALUE_BYTES {
        return Err(Error::invalid(format!(
            "{field} must not be longer than {MAX_VALUE_BYTES} bytes in UTF-8."
        )));
    }
    Ok(())
}

fn without_control_characters(field: &str, text: &str) -> Result<(), Error> {
    steps::count(text.len());
    if text.bytes().any(is_refused) {
        return Err(Error::invalid(format!("{field} must not contain control characters.")));
    }
    Ok(())
}

/// In UTF-8 a byte of a longer character is no ASCII.
fn is_refused(byte: u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r')
}
