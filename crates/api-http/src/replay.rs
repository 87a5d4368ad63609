//! The seeds of the fuzz targets that read requests, and inputs derived from them.
#![allow(clippy::expect_used, clippy::print_stderr, reason = "a check reports by a panic, with its input")]

#[path = "../../../fuzz/checks/body.rs"]
mod body;
#[path = "../../../fuzz/checks/budget.rs"]
mod budget;
#[path = "../../../fuzz/checks/filters.rs"]
mod filters;
#[path = "../../../fuzz/checks/patch.rs"]
mod patch;
#[path = "../../../fuzz/checks/seeds.rs"]
mod seeds;

use seeds::replay;

#[test]
fn inputs_derived_from_seeds_break_no_reader_of_bodies() {
    replay("body", 300, body::check);
}

#[test]
fn inputs_derived_from_seeds_keep_the_budgets_of_work() {
    replay("budget", 50, budget::check);
}

#[test]
fn inputs_derived_from_seeds_list_each_image_once() {
    replay("filters", 100, filters::check);
}

#[test]
fn inputs_derived_from_seeds_patch_within_limits_and_rights() {
    replay("patch", 200, patch::check);
}
