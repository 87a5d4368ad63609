//! What comes in a request: no bytes break a reader of bodies, no text a reader of queries. The first byte chooses.
#![no_main]

use api_http::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, input)) = bytes.split_first() else { return };
    match choice % 6 {
        0 => fuzzing::member(input),
        1 => fuzzing::status(input),
        2 => fuzzing::image(input),
        3 => fuzzing::patch(input),
        4 => fuzzing::draft_patch(input),
        _ => {
            if let Ok(query) = str::from_utf8(input) {
                fuzzing::query(query);
            }
        }
    }
});
