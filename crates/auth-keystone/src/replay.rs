//! The seeds of the fuzz target that reads tokens, and inputs derived from them.
#![allow(clippy::expect_used, clippy::print_stderr, reason = "a check reports by a panic, with its input")]

#[path = "../../../fuzz/checks/seeds.rs"]
mod seeds;
#[path = "../../../fuzz/checks/tokens.rs"]
mod tokens;

#[test]
fn inputs_derived_from_seeds_forge_no_token() {
    seeds::replay("tokens", 100, tokens::check);
}
