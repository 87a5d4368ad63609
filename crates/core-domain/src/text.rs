//! What text may be kept: the one rule for names, values, tags and ids that come from outside.

use crate::error::Error;

/// The longest name, tag, property name or member id, in characters (API v2: 255).
pub const MAX_CHARS: usize = 255;

/// The longest property value, in characters. Glance keeps them in a TEXT column of MySQL: 65,535 bytes.
pub const MAX_VALUE_CHARS: usize = 16_383;

/// Accepts `text` for the attribute `field` if it has at most `max` characters and no control characters but
/// tab, line feed and carriage return. (NUL cannot be stored by Postgres; the others separate fields in ours.)
///
/// # Errors
/// [`Error::Invalid`], naming the field and the rule.
pub fn checked(field: &str, text: &str, max: usize) -> Result<(), Error> {
    if text.chars().any(is_refused) {
        return Err(Error::invalid(format!("{field} must not contain control characters.")));
    }
    if text.chars().count() > max {
        return Err(Error::invalid(format!("{field} must not be longer than {max} characters.")));
    }
    Ok(())
}

fn is_refused(c: char) -> bool {
    c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r')
}
