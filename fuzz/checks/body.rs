//! What comes in a request's body: no bytes break a reader. The first byte chooses it.

use api_http::fuzzing;

/// Panics where it does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let Some((choice, input)) = bytes.split_first() else { return };
    match choice % 3 {
        0 => fuzzing::member(input),
        1 => fuzzing::status(input),
        _ => fuzzing::image(input),
    }
}
