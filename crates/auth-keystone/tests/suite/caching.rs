//! What is remembered, for how long, and how many calls that saves.

use std::time::Duration;

use chrono::TimeDelta;
use core_domain::tokens::Tokens;

use crate::stand_in::{Reply, StandIn, Verdict, eventually, shown, token, verdict, verdicts};

/// A stand-in, and time that passes only by being put forward: what is remembered is so for less than a minute.
fn still() -> StandIn {
    let stand_in = StandIn::start();
    stand_in.hands.stop();
    stand_in
}

#[tokio::test]
async fn a_token_that_is_remembered_costs_no_call() {
    let stand_in = still();
    let keystone = stand_in.keystone();
    let token = token("alice");
    stand_in.admit(&token);
    for _ in 0..100 {
        assert_eq!(verdict(&keystone, &token).await, Verdict::Accepted);
    }
    assert_eq!((stand_in.posts(), stand_in.gets()), (1, 1));
}

#[tokio::test]
async fn keystone_is_asked_again_when_the_time_to_live_is_over() {
    let stand_in = still();
    let keystone = stand_in.keystone();
    let token = token("alice");
    stand_in.admit(&token);
    assert_eq!(verdict(&keystone, &token).await, Verdict::Accepted);
    // At most a tenth is taken off.
    stand_in.hands.put_forward(Duration::from_secs(53));
    assert_eq!(verdict(&keystone, &token).await, Verdict::Accepted);
    assert_eq!(stand_in.gets(), 1);
    stand_in.hands.put_forward(Duration::from_secs(8));
    stand_in.realm(|realm| realm.subjects.clear());
    assert_eq!(verdict(&keystone, &token).await, Verdict::Rejected);
    assert_eq!((stand_in.gets(), keystone.figures().good_entries), (2, 0));
}

#[tokio::test]
async fn no_entry_outlives_its_token_by_keystones_clock() {
    for ahead in [TimeDelta::zero(), TimeDelta::hours(1), TimeDelta::hours(-1)] {
        let stand_in = still();
        stand_in.realm(|realm| realm.ahead = ahead);
        let keystone = stand_in.keystone();
        let token = token("alice");
        stand_in.admit_for(&token, 30);
        assert_eq!(verdict(&keystone, &token).await, Verdict::Accepted);
        stand_in.hands.put_forward(Duration::from_secs(20));
        assert_eq!(verdict(&keystone, &token).await, Verdict::Accepted);
        assert_eq!(stand_in.gets(), 1, "still served from memory, {ahead} ahead");
        stand_in.hands.put_forward(Duration::from_secs(11));
        stand_in.realm(|realm| realm.subjects.clear());
        assert_eq!(verdict(&keystone, &token).await, Verdict::Rejected, "{ahead} ahead");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_with_one_cold_token_make_one_call() {
    let stand_in = still();
    let keystone = stand_in.keystone();
    let token = token("alice");
    stand_in.admit(&token);
    stand_in.hold();
    let asked = tokio::spawn({
        let keystone = keystone.clone();
        async move { verdicts(&keystone, (0..1_000).map(|_| token.clone())).await }
    });
    eventually("all to wait", || keystone.figures().coalesced == 999).await;
    stand_in.release();
    assert!(asked.await.unwrap().iter().all(|verdict| *verdict == Verdict::Accepted));
    assert_eq!((stand_in.posts(), stand_in.gets()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_uses_of_one_bad_token_make_one_call() {
    let stand_in = still();
    let keystone = stand_in.keystone();
    let token = token("mallory");
    for _ in 0..500 {
        assert_eq!(verdict(&keystone, &token).await, Verdict::Rejected);
    }
    let verdicts = verdicts(&keystone, (0..500).map(|_| token.clone())).await;
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Rejected));
    assert_eq!(stand_in.gets(), 1);
}

#[tokio::test]
async fn a_project_that_is_enabled_again_works_within_ten_seconds() {
    let stand_in = still();
    let keystone = stand_in.keystone();
    let token = token("alice");
    assert_eq!(verdict(&keystone, &token).await, Verdict::Rejected);
    stand_in.admit(&token);
    assert_eq!(verdict(&keystone, &token).await, Verdict::Rejected, "remembered");
    stand_in.hands.put_forward(Duration::from_secs(10));
    assert_eq!(verdict(&keystone, &token).await, Verdict::Accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_bad_tokens_evicts_no_good_entry() {
    let stand_in = still();
    let mut config = stand_in.config();
    (config.token_cache_entries, config.rejected_cache_entries) = (1_000, 1_000);
    let keystone = stand_in.keystone_with(&config);
    let good: Vec<_> = (0..100).map(|_| token("alice")).collect();
    good.iter().for_each(|token| stand_in.admit(token));
    verdicts(&keystone, good.clone()).await;
    for _ in 0..50 {
        verdicts(&keystone, (0..100).map(|_| token("mallory"))).await;
    }
    assert_eq!(stand_in.gets(), 100 + 5_000);
    let still = verdicts(&keystone, good).await;
    assert!(still.iter().all(|verdict| *verdict == Verdict::Accepted));
    assert_eq!(stand_in.gets(), 100 + 5_000, "all still remembered");
    assert!(keystone.figures().bad_entries <= 1_000);
}

#[tokio::test]
async fn an_outage_is_shared_by_those_who_wait_and_forgotten_then() {
    let stand_in = still();
    let keystone = stand_in.keystone();
    let token = token("alice");
    stand_in.admit(&token);
    for reply in [Reply::error(500, "no"), Reply::page(404), Reply::json(200, &serde_json::json!({}))] {
        let (gets, coalesced) = (stand_in.gets(), keystone.figures().coalesced);
        stand_in.always(reply);
        stand_in.hold();
        let asked = tokio::spawn({
            let (keystone, token) = (keystone.clone(), token.clone());
            async move { verdicts(&keystone, (0..50).map(|_| token.clone())).await }
        });
        eventually("all to wait", || keystone.figures().coalesced == coalesced + 49).await;
        stand_in.release();
        assert!(asked.await.unwrap().iter().all(|verdict| *verdict == Verdict::Unavailable));
        assert_eq!(stand_in.gets(), gets + 1);
    }
    assert_eq!(keystone.figures().bad_entries, 0);
    stand_in.script(|_| None);
    assert_eq!(verdict(&keystone, &token).await, Verdict::Accepted);
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_fail_those_who_wait_for_the_same_answer() {
    let stand_in = still();
    let keystone = stand_in.keystone();
    let token = token("alice");
    stand_in.admit(&token);
    // Signed in already, so that what is held is the validation.
    verdict(&keystone, &self::token("mallory")).await;
    stand_in.hold();
    let leader = tokio::spawn({
        let (keystone, token) = (keystone.clone(), token.clone());
        async move { keystone.validate(shown(&token)).await.is_ok() }
    });
    eventually("the leader's call", || stand_in.gets() == 2).await;
    let waiter = tokio::spawn({
        let (keystone, token) = (keystone.clone(), token.clone());
        async move { verdict(&keystone, &token).await }
    });
    eventually("the waiter", || keystone.figures().coalesced == 1).await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    stand_in.release();
    assert_eq!(waiter.await.unwrap(), Verdict::Accepted);
    assert_eq!(stand_in.gets(), 2);
}

#[tokio::test]
async fn a_token_in_steady_use_is_asked_about_behind_its_users_backs() {
    let stand_in = still();
    let keystone = stand_in.keystone();
    let token = token("alice");
    stand_in.admit(&token);
    assert_eq!(verdict(&keystone, &token).await, Verdict::Accepted);
    // Ten minutes, a use a second.
    for _ in 0..600 {
        stand_in.hands.put_forward(Duration::from_secs(1));
        assert_eq!(verdict(&keystone, &token).await, Verdict::Accepted);
        eventually("whoever asks behind the back", || keystone.figures().in_flight == 0).await;
    }
    let figures = keystone.figures();
    assert_eq!((figures.misses, figures.hits), (1, 600), "nobody waited but the first");
    assert_eq!(figures.refreshes + 1, stand_in.gets() as u64);
    assert!((10..=15).contains(&figures.refreshes), "{} in ten times a minute", figures.refreshes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_use_an_old_entry_make_one_call_and_wait_for_none() {
    let stand_in = still();
    let keystone = stand_in.keystone();
    let token = token("alice");
    stand_in.admit(&token);
    assert_eq!(verdict(&keystone, &token).await, Verdict::Accepted);
    stand_in.hands.put_forward(Duration::from_secs(50));
    stand_in.hold();
    let verdicts = verdicts(&keystone, (0..1_000).map(|_| token.clone())).await;
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Accepted), "while Keystone says nothing");
    assert_eq!(keystone.figures().in_flight, 1);
    stand_in.release();
    eventually("the answer", || keystone.figures().in_flight == 0).await;
    // It counts from when it was asked for.
    stand_in.hands.put_forward(Duration::from_secs(30));
    assert_eq!(verdict(&keystone, &token).await, Verdict::Accepted);
    assert_eq!(stand_in.gets(), 2);
}

#[tokio::test]
async fn a_rejection_that_nobody_waited_for_counts_at_once() {
    let stand_in = still();
    let keystone = stand_in.keystone();
    let token = token("alice");
    stand_in.admit(&token);
    assert_eq!(verdict(&keystone, &token).await, Verdict::Accepted);
    stand_in.hands.put_forward(Duration::from_secs(50));
    stand_in.realm(|realm| realm.subjects.clear());
    assert_eq!(verdict(&keystone, &token).await, Verdict::Accepted, "as it was known");
    eventually("the entry to go", || keystone.figures().good_entries == 0).await;
    assert_eq!(verdict(&keystone, &token).await, Verdict::Rejected);
    assert_eq!(stand_in.gets(), 2);
}

#[tokio::test]
async fn a_keystone_that_fails_behind_the_back_is_asked_seldom_and_harms_nobody() {
    let stand_in = still();
    let keystone = stand_in.keystone();
    let token = token("alice");
    stand_in.admit(&token);
    assert_eq!(verdict(&keystone, &token).await, Verdict::Accepted);
    stand_in.always(Reply::error(500, "no"));
    stand_in.hands.put_forward(Duration::from_secs(43));
    for _ in 0..100 {
        stand_in.hands.put_forward(Duration::from_millis(100));
        assert_eq!(verdict(&keystone, &token).await, Verdict::Accepted);
        eventually("whoever asks behind the back", || keystone.figures().in_flight == 0).await;
    }
    assert!((2..=7).contains(&stand_in.gets()), "{} calls", stand_in.gets());
}

#[tokio::test]
async fn the_powerful_are_asked_about_every_minute_whatever_the_time_to_live() {
    let stand_in = still();
    let mut config = stand_in.config();
    config.token_cache_ttl = Duration::from_secs(300);
    let keystone = stand_in.keystone_with(&config);
    let (admin, alice) = (token("admin"), token("alice"));
    stand_in.admit(&alice);
    stand_in.realm(|realm| {
        let description = realm.describe("root", "studio", &["admin"], 3_600);
        realm.subjects.insert(admin.clone(), description)
    });
    for token in [&admin, &alice] {
        assert_eq!(verdict(&keystone, token).await, Verdict::Accepted);
    }
    stand_in.hands.put_forward(Duration::from_secs(60));
    stand_in.realm(|realm| realm.subjects.clear());
    assert_eq!(verdict(&keystone, &admin).await, Verdict::Rejected);
    assert_eq!(verdict(&keystone, &alice).await, Verdict::Accepted, "known for five minutes");
}
