//! The exactness attack: 32 clients at once, through two service processes, on one Postgres. The attacks are those of
//! `testbed::attack`; `cargo run --release -p bench -- attack` makes the same on Glance.
//!
//! Two hundred rounds of each kind (`VITRINE_TEST_ROUNDS` for more or fewer). After each round the answers and the rows have
//! to be what some order of the calls, one after the other, would have left.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]

use testbed::attack::{QUOTA, ROWS, Range, Target, attacks};
use testbed::{Keystone, Postgres, Vitrine};
use tokio::task::block_in_place;

/// Rounds of each attack.
fn rounds() -> usize {
    std::env::var("VITRINE_TEST_ROUNDS")
        .map_or(200, |rounds| rounds.parse().expect("VITRINE_TEST_ROUNDS: a number"))
}

async fn attack(name: &str) {
    let database = Postgres::shared().database();
    let quota = QUOTA.to_string();
    let [first, second] = block_in_place(|| {
        [(); 2].map(|()| {
            let service = Vitrine::serve(&database, Keystone::shared());
            service.with("VITRINE_LIMITS__MEMBERS_PER_IMAGE", &quota).start()
        })
    });
    let urls = [first.url().to_owned(), second.url().to_owned()];
    let target = Target { urls, database: &database, rows: ROWS, shares_private: true };
    let range = block_in_place(|| Range::new(target, Keystone::shared()));
    let attack = attacks().into_iter().find(|attack| attack.name == name).expect("an attack");
    // A call that is told to come again breaks no promise; many of them would, on a machine that has time.
    let mut refused = 0;
    for round in 0..rounds() {
        let verdict = attack.round(&range, round).await;
        refused += usize::from(verdict.is_only_refused());
        let all_is_well = verdict.violations.is_empty()
            && (verdict.strange.is_empty() || verdict.is_only_refused() && refused <= (rounds() / 20).max(1));
        assert!(all_is_well, "round {round}: {} — {verdict:#?}", attack.must);
    }
    first.stop();
    second.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_add_one_project_exactly_one_does() {
    attack("add-add").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removals_racing_additions_leave_what_their_answers_say() {
    attack("add-remove").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_cannot_undo_its_removal_by_accepting_meanwhile() {
    attack("accept-remove").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_answers_to_one_offer_each_is_given_and_the_last_one_stands() {
    attack("answers").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adding_accepting_and_removing_at_once_leave_one_row_or_none() {
    attack("add-accept-remove").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quota_is_never_exceeded_and_never_wasted() {
    attack("quota").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_deleted_while_it_is_shared_keeps_no_member() {
    attack("delete-image").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_succeeds_after_a_removal_was_answered() {
    attack("revoke-read").await;
}

#[test]
fn every_attack_is_made_by_one_of_these() {
    let made = include_str!("two_replicas.rs");
    for attack in attacks() {
        assert!(made.contains(&format!("\"{}\"", attack.name)), "{}", attack.name);
    }
}
