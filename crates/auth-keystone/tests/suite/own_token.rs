//! The service's own token: when it is got, renewed and replaced, and how seldom.

use std::time::Duration;

use core_domain::tokens::Tokens;

use crate::stand_in::{Reply, StandIn, Verdict, eventually, shown, token, verdict, verdicts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_with_a_revoked_own_token_sign_in_once_and_repeat_once_each() {
    let stand_in = StandIn::start();
    let mut config = stand_in.config();
    config.calls_at_once = 1_000;
    // So many connections at once take a busy machine longer than a service would wait.
    let patience = Duration::from_secs(60);
    (config.connect_timeout, config.try_timeout, config.decision_timeout) = (patience, patience, patience);
    let keystone = stand_in.keystone_with(&config);
    let tokens: Vec<_> = (0..1_000).map(|_| token("alice")).collect();
    tokens.iter().for_each(|token| stand_in.admit(token));
    let first = token("alice");
    stand_in.admit(&first);
    assert_eq!(verdict(&keystone, &first).await, Verdict::Accepted);
    stand_in.realm(|realm| {
        realm.revoke_own();
        realm.seen.clear();
        realm.delay = Duration::from_millis(100);
    });
    let verdicts = verdicts(&keystone, tokens).await;
    let accepted = verdicts.iter().filter(|verdict| **verdict == Verdict::Accepted).count();
    assert_eq!(
        accepted, 1_000,
        "a thousand connections, both ends here, need some 2,500 descriptors: ulimit -n"
    );
    assert_eq!(stand_in.posts(), 1);
    assert!(stand_in.gets() <= 2_000, "{}", stand_in.gets());
}

#[tokio::test]
async fn a_repeated_question_keeps_its_query_and_headers() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    verdict(&keystone, &token("alice")).await;
    stand_in.realm(|realm| {
        realm.revoke_own();
        realm.seen.clear();
    });
    assert_eq!(verdict(&keystone, &token("alice")).await, Verdict::Rejected);
    let [first, second] = &stand_in.seen("GET")[..] else { panic!("two validations") };
    assert_eq!((&first.path, &first.query), (&second.path, &second.query));
    for (name, value) in &first.headers {
        let repeated = second.headers.get(name);
        assert_eq!(repeated == Some(value), name != "x-auth-token", "{name}");
    }
}

#[tokio::test]
async fn a_token_of_six_seconds_is_renewed_every_four_at_most_and_nobody_notices() {
    let stand_in = StandIn::start();
    stand_in.realm(|realm| realm.life = 6);
    // Nobody on a busy machine may be away for the two seconds in which a token is renewed.
    stand_in.hands.stop();
    let keystone = stand_in.keystone();
    let before = stand_in.hands_seconds();
    for _ in 0..600 {
        assert_eq!(verdict(&keystone, &token("mallory")).await, Verdict::Rejected);
        stand_in.hands.put_forward(Duration::from_millis(100));
    }
    let took = stand_in.hands_seconds() - before;
    let posts = stand_in.posts();
    assert!(posts as f64 <= took / 4.0 + 1.0, "{posts} sign-ins in {took} s");
    assert!(posts >= 10);
    let refused = stand_in.seen("GET").len() - 600;
    assert_eq!(refused, 0, "renewed before the end, never after");
}

#[tokio::test]
async fn a_renewal_is_behind_the_callers_back() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    verdict(&keystone, &token("mallory")).await;
    // Of an hour, the last two minutes are for renewal. A slow one keeps nobody waiting.
    stand_in.hands.put_forward(Duration::from_secs(3_490));
    stand_in.script(|seen| {
        (seen.method == "POST").then(|| Reply::error(500, "no").after(Duration::from_secs(60)))
    });
    let start = std::time::Instant::now();
    assert_eq!(verdict(&keystone, &token("mallory")).await, Verdict::Rejected);
    assert!(start.elapsed() < Duration::from_secs(30));
    eventually("the renewal", || stand_in.posts() == 2).await;
}

#[tokio::test]
async fn a_wrong_password_is_tried_at_most_twenty_times_in_ten_minutes() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    stand_in.script(|seen| (seen.method == "POST").then(|| Reply::error(401, "no")));
    for _ in 0..2_400 {
        assert_eq!(verdict(&keystone, &token("alice")).await, Verdict::Unavailable);
        stand_in.hands.put_forward(Duration::from_millis(250));
    }
    let posts = stand_in.posts();
    assert!((5..=20).contains(&posts), "{posts} sign-ins");
    assert_eq!(stand_in.gets(), 0);
    assert!(!keystone.is_ready());
    // And once it is right again, it is noticed.
    stand_in.script(|_| None);
    stand_in.hands.put_forward(Duration::from_secs(66));
    assert_eq!(verdict(&keystone, &token("alice")).await, Verdict::Rejected);
    assert!(keystone.is_ready());
}

#[tokio::test]
async fn a_new_own_token_that_is_rejected_is_replaced_once_more_a_second_later() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    let alice = token("alice");
    stand_in.admit(&alice);
    verdict(&keystone, &token("mallory")).await;
    stand_in.realm(|realm| realm.revoke_own());
    // Caught in the second of the revocation.
    stand_in.script(|seen| {
        let caught = seen.headers.get("x-auth-token").is_some_and(|own| own.contains("0002"));
        caught.then(|| Reply::error(401, "no"))
    });
    assert_eq!(verdict(&keystone, &alice).await, Verdict::Accepted);
    let posts = stand_in.seen("POST");
    assert_eq!(posts.len(), 3);
    assert!(posts[2].at - posts[1].at >= Duration::from_secs(1));
}

#[tokio::test]
async fn own_tokens_that_are_always_rejected_make_no_storm_of_sign_ins() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    stand_in.always(Reply::error(401, "no"));
    for _ in 0..600 {
        assert_eq!(verdict(&keystone, &token("alice")).await, Verdict::Unavailable);
        stand_in.hands.put_forward(Duration::from_secs(1));
    }
    let posts = stand_in.posts();
    assert!((5..=20).contains(&posts), "{posts} sign-ins in ten minutes");
}

#[tokio::test]
async fn the_service_is_ready_before_its_first_caller() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    assert!(!keystone.is_ready());
    let upkeep = tokio::spawn(keystone.keep_signed_in());
    eventually("being ready", || keystone.is_ready()).await;
    assert_eq!((stand_in.posts(), stand_in.gets()), (1, 0));
    verdict(&keystone, &token("alice")).await;
    assert_eq!(stand_in.posts(), 1);
    upkeep.abort();
}

#[tokio::test]
async fn signing_in_is_tried_until_keystone_is_there() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    stand_in.script(|seen| (seen.method == "POST").then(|| Reply::error(500, "no")));
    let upkeep = tokio::spawn(keystone.keep_signed_in());
    eventually("a failed sign-in", || keystone.figures().failed_sign_ins == 1).await;
    assert!(!keystone.is_ready());
    stand_in.script(|_| None);
    eventually("being ready", || keystone.is_ready()).await;
    upkeep.abort();
}

#[tokio::test]
async fn a_token_is_kept_fresh_without_any_caller() {
    let stand_in = StandIn::start();
    stand_in.realm(|realm| realm.life = 2);
    let keystone = stand_in.keystone();
    let upkeep = tokio::spawn(keystone.keep_signed_in());
    eventually("the third sign-in", || stand_in.posts() >= 3).await;
    upkeep.abort();
}

#[tokio::test]
async fn a_failed_sign_in_is_answered_at_once_until_the_next_is_due() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    stand_in.script(|_| Some(Reply::error(401, "no")));
    for _ in 0..10 {
        let error = keystone.validate(shown(&token("alice"))).await.unwrap_err();
        let source = std::error::Error::source(&error).expect("a reason").to_string();
        assert!(source.contains("refuses the service's own credential"), "{source}");
    }
    assert_eq!(stand_in.posts(), 1);
}

#[tokio::test]
async fn an_address_without_keystone_is_named_when_signing_in() {
    let stand_in = StandIn::start();
    stand_in.script(|_| Some(Reply::page(404)));
    let error = stand_in.keystone().validate(shown(&token("alice"))).await.unwrap_err();
    let source = std::error::Error::source(&error).expect("a reason").to_string();
    assert!(source.contains("keystone.auth_url"), "{source}");
}
