//! The fault matrix in short: every fault of `testbed::trouble`, under load, a few seconds each. The same with longer times
//! and a table of figures: `cargo run --release -p bench -- faults`.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a story fails by panicking"
)]

use testbed::trouble::{self, lengths::Lengths, stage::Ground};

/// One after another, on a Postgres and a Keystone of their own.
#[track_caller]
fn strike(names: &[&str]) {
    let ground = Ground::new(4);
    let mut broken = Vec::new();
    for fault in trouble::faults().into_iter().filter(|fault| names.contains(&fault.name)) {
        match fault.run(&ground, Lengths::short()) {
            Ok(outcome) => {
                eprintln!("{}\n{:?}", outcome.row(), outcome.notes);
                broken.extend(outcome.broken().into_iter().map(|what| format!("{}: {what}", outcome.name)));
            }
            Err(why) => eprintln!("NOT RUN: {}: {why}", fault.name),
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn replicas_die_and_are_exchanged_and_no_answer_is_wrong() {
    strike(&[
        "replica-killed",
        "rolling-restart",
        "schema-expanded",
        "two-versions",
        "clock-forward",
        "clock-back",
    ]);
}

#[test]
fn postgres_fails_in_every_way_and_no_acknowledged_write_is_lost() {
    strike(&[
        "postgres-restarted",
        "postgres-killed",
        "connections-cut",
        "disk-full",
        "row-locked",
        "pool-exhausted",
    ]);
}

#[test]
fn postgres_moves_or_falls_silent_and_no_acknowledged_write_is_lost() {
    strike(&["failover", "standby-away", "postgres-black-holed"]);
}

#[test]
fn every_fault_is_struck_by_one_of_these() {
    let struck = include_str!("fault_matrix.rs");
    for fault in trouble::faults() {
        assert!(struck.contains(&format!("\"{}\"", fault.name)), "{}", fault.name);
    }
}

#[test]
fn keystone_fails_in_every_way_and_no_good_token_is_refused() {
    strike(&[
        "keystone-stopped",
        "keystone-hanging",
        "keystone-failing",
        "keystone-slow",
        "keystone-key-rotated",
    ]);
}

#[test]
fn clients_that_hang_keep_nobody_out() {
    strike(&["slow-body", "never-reads", "idle-connections"]);
}
