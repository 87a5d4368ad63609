//! `checks/budget.rs`, steered by coverage.
#![no_main]

#[path = "../checks/budget.rs"]
mod budget;

libfuzzer_sys::fuzz_target!(|input: &[u8]| budget::check(input));
