//! Keystone is away: who notices, who waits, and who is served what was known.

use std::time::Duration;

use auth_keystone::{Administrators, Keystone};
use core_domain::tokens::{Shown, TokenError, Tokens};

use crate::stand_in::{
    PROBE, Reply, StandIn, Verdict, eventually, shown, shown_for_a_change, token, verdict, verdicts,
};

/// Keystone answers nothing but this, whatever is asked.
fn fails(stand_in: &StandIn) {
    stand_in.script(|_| Some(Reply::error(500, "no")));
}

async fn refusal(keystone: &Keystone, shown: Shown<'_>) -> (Duration, String) {
    match keystone.validate(shown).await {
        Err(TokenError::Unavailable { again_in, source }) => (again_in, source.to_string()),
        other => panic!("{other:?}"),
    }
}

/// Three tokens or more that fail.
async fn strangers_ask(keystone: &Keystone) {
    for _ in 0..5 {
        assert_eq!(verdict(keystone, &token("stranger")).await, Verdict::Unavailable);
    }
}

#[tokio::test]
async fn once_keystone_is_known_to_be_away_nobody_waits_for_it_until_it_is_back() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    let warm = token("warm");
    stand_in.admit(&warm);
    assert_eq!(verdict(&keystone, &warm).await, Verdict::Accepted);
    fails(&stand_in);
    strangers_ask(&keystone).await;
    eventually("the breaker to open", || keystone.figures().breaker_open).await;

    let gets = stand_in.gets();
    for _ in 0..1_000 {
        let (again_in, why) = refusal(&keystone, shown(&token("stranger"))).await;
        assert_eq!(again_in, Duration::from_secs(2));
        assert!(why.contains("away"), "{why}");
    }
    assert_eq!(stand_in.gets(), gets, "nobody was asked");
    assert_eq!(verdict(&keystone, &warm).await, Verdict::Accepted);

    eventually("the second probe of one that is away", || stand_in.seen_at(PROBE).len() >= 3).await;
    stand_in.script(|_| None);
    eventually("the breaker to close", || !keystone.figures().breaker_open).await;
    let probes = stand_in.seen_at(PROBE);
    let pauses = probes.windows(2).map(|pair| pair[1].at - pair[0].at);
    // They leave at least a second apart; the way here may take the earlier one longer.
    assert!(pauses.into_iter().all(|pause| pause > Duration::from_millis(500)), "at most one a second");
    let cold = token("cold");
    stand_in.admit(&cold);
    assert_eq!(verdict(&keystone, &cold).await, Verdict::Accepted);
}

#[tokio::test]
async fn one_token_that_keystone_stumbles_over_shuts_nobody_out() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    let poison = token("poison");
    let stumbles = poison.clone();
    stand_in.script(move |seen| {
        (seen.headers.get("x-subject-token") == Some(&stumbles)).then(|| Reply::error(500, "no"))
    });
    for _ in 0..100 {
        assert_eq!(verdict(&keystone, &poison).await, Verdict::Unavailable);
    }
    let cold = token("cold");
    stand_in.admit(&cold);
    assert_eq!(verdict(&keystone, &cold).await, Verdict::Accepted);
    assert_eq!(stand_in.seen_at(PROBE).len(), 0, "not even suspected");
}

#[tokio::test]
async fn a_keystone_that_answers_probes_is_asked_on_whatever_fails() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    stand_in.always(Reply::error(500, "no"));
    strangers_ask(&keystone).await;
    eventually("a probe", || stand_in.seen_at(PROBE).len() == 1).await;
    strangers_ask(&keystone).await;
    assert!(!keystone.figures().breaker_open);
    stand_in.script(|_| None);
    let cold = token("cold");
    stand_in.admit(&cold);
    assert_eq!(verdict(&keystone, &cold).await, Verdict::Accepted);
}

#[tokio::test]
async fn answers_that_decide_or_ask_for_patience_say_nothing_against_keystone() {
    for status in [401, 403, 404, 429] {
        let stand_in = StandIn::start();
        stand_in.always(Reply::error(status, "no"));
        let keystone = stand_in.keystone();
        verdicts(&keystone, (0..20).map(|_| token("stranger"))).await;
        assert_eq!(stand_in.seen_at(PROBE).len(), 0, "{status}");
    }
}

/// A stand-in, and a validator that knows these tokens with these roles.
async fn warm(tokens: &[(&str, &[&str])]) -> (StandIn, Keystone) {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    for (token, roles) in tokens {
        stand_in.realm(|realm| {
            let description = realm.describe("alice", "studio", roles, 3_600);
            realm.subjects.insert((*token).to_owned(), description);
        });
        assert_eq!(verdict(&keystone, token).await, Verdict::Accepted);
    }
    (stand_in, keystone)
}

#[tokio::test]
async fn while_keystone_is_away_who_was_known_may_look_for_ten_minutes_and_change_nothing() {
    let alice = token("alice");
    let (stand_in, keystone) = warm(&[(&alice, &["member", "reader"])]).await;
    fails(&stand_in);
    let minute = Duration::from_secs(60);
    for passed in 0..9 {
        stand_in.hands.put_forward(minute);
        assert_eq!(verdict(&keystone, &alice).await, Verdict::Accepted, "after {passed} minutes");
        refusal(&keystone, shown_for_a_change(&alice)).await;
    }
    assert_eq!(keystone.figures().stale, 9);
    stand_in.hands.put_forward(minute);
    refusal(&keystone, shown(&alice)).await;
    // And when it is back, all is as before.
    stand_in.script(|_| None);
    assert!(keystone.validate(shown_for_a_change(&alice)).await.is_ok());
}

#[tokio::test]
async fn who_may_look_while_keystone_is_away_does_not_wait_for_it_once_that_is_known() {
    let alice = token("alice");
    let (stand_in, keystone) = warm(&[(&alice, &["reader"])]).await;
    stand_in.hands.put_forward(Duration::from_secs(61));
    fails(&stand_in);
    strangers_ask(&keystone).await;
    eventually("the breaker to open", || keystone.figures().breaker_open).await;
    let gets = stand_in.gets();
    for _ in 0..100 {
        assert_eq!(verdict(&keystone, &alice).await, Verdict::Accepted);
    }
    assert_eq!(stand_in.gets(), gets);
}

#[tokio::test]
async fn the_powerful_are_not_served_what_was_known() {
    let (admin, service, reader) = (token("admin"), token("service"), token("reader"));
    let (stand_in, keystone) =
        warm(&[(&admin, &["admin", "reader"]), (&service, &["service"]), (&reader, &["reader"])]).await;
    stand_in.hands.put_forward(Duration::from_secs(61));
    fails(&stand_in);
    assert_eq!(verdict(&keystone, &reader).await, Verdict::Accepted);
    for powerful in [admin, service] {
        assert_eq!(verdict(&keystone, &powerful).await, Verdict::Unavailable);
    }
}

#[tokio::test]
async fn what_keystone_has_decided_since_is_not_served() {
    let alice = token("alice");
    let (stand_in, keystone) = warm(&[(&alice, &["reader"])]).await;
    stand_in.hands.put_forward(Duration::from_secs(61));
    stand_in.realm(|realm| realm.subjects.clear());
    assert_eq!(verdict(&keystone, &alice).await, Verdict::Rejected);
    fails(&stand_in);
    assert_eq!(verdict(&keystone, &alice).await, Verdict::Rejected);
    stand_in.hands.put_forward(Duration::from_secs(11));
    refusal(&keystone, shown(&alice)).await;
}

#[tokio::test]
async fn nothing_is_served_past_the_end_of_its_token() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    let alice = token("alice");
    stand_in.admit_for(&alice, 120);
    assert_eq!(verdict(&keystone, &alice).await, Verdict::Accepted);
    fails(&stand_in);
    stand_in.hands.put_forward(Duration::from_secs(100));
    assert_eq!(verdict(&keystone, &alice).await, Verdict::Accepted);
    stand_in.hands.put_forward(Duration::from_secs(21));
    refusal(&keystone, shown(&alice)).await;
}

#[tokio::test]
async fn strict_sites_serve_nothing_old() {
    let stand_in = StandIn::start();
    let mut config = stand_in.config();
    config.stale_reads = Duration::ZERO;
    let keystone = stand_in.keystone_with(&config);
    let alice = token("alice");
    stand_in.admit(&alice);
    assert_eq!(verdict(&keystone, &alice).await, Verdict::Accepted);
    stand_in.hands.put_forward(Duration::from_secs(61));
    fails(&stand_in);
    refusal(&keystone, shown(&alice)).await;
}

#[tokio::test]
async fn a_crowd_before_keystone_gains_no_time_for_a_token() {
    let stand_in = StandIn::start();
    let mut config = stand_in.config();
    (config.calls_at_once, config.calls_waiting) = (1, 0);
    let keystone = stand_in.keystone_with(&config);
    let alice = token("alice");
    stand_in.admit(&alice);
    assert_eq!(verdict(&keystone, &alice).await, Verdict::Accepted);
    stand_in.hands.put_forward(Duration::from_secs(61));
    stand_in.hold();
    let crowd = tokio::spawn({
        let keystone = keystone.clone();
        async move { verdict(&keystone, &token("mallory")).await }
    });
    eventually("the crowd's call", || keystone.figures().calls == 1).await;
    let (_, why) = refusal(&keystone, shown(&alice)).await;
    assert!(why.contains("too many"), "{why}");
    stand_in.release();
    assert_eq!(crowd.await.unwrap(), Verdict::Rejected);
}

#[tokio::test]
async fn a_keystone_that_was_away_from_the_start_is_signed_in_to_as_soon_as_it_is_there() {
    let stand_in = StandIn::start();
    fails(&stand_in);
    let keystone = stand_in.keystone();
    // Each failed sign-in makes the pause before the next longer, up to a minute.
    for _ in 0..12 {
        assert_eq!(verdict(&keystone, &token("stranger")).await, Verdict::Unavailable);
        stand_in.hands.put_forward(Duration::from_secs(60));
    }
    assert_eq!(verdict(&keystone, &token("stranger")).await, Verdict::Unavailable);
    strangers_ask(&keystone).await;
    eventually("the breaker to open", || keystone.figures().breaker_open).await;
    stand_in.script(|_| None);
    eventually("the breaker to close", || !keystone.figures().breaker_open).await;
    let cold = token("cold");
    stand_in.admit(&cold);
    assert_eq!(verdict(&keystone, &cold).await, Verdict::Accepted);
}

#[tokio::test]
async fn administrators_by_other_roles_are_asked_about_more_often_and_never_served_old() {
    let stand_in = StandIn::start();
    let mut config = stand_in.config();
    config.administrators = Administrators::new(|caller| caller.has_role("cloud_operator"));
    config.token_cache_ttl = Duration::from_secs(300);
    let keystone = stand_in.keystone_with(&config);
    let (operator, member) = (token("operator"), token("member"));
    stand_in.admit_as(&operator, "olga", &["o"], &["Cloud_Operator", "reader"]);
    stand_in.admit_as(&member, "mary", &["m"], &["member", "reader"]);
    for token in [&operator, &member] {
        assert_eq!(verdict(&keystone, token).await, Verdict::Accepted);
    }
    // Past keystone.max_privileged_age, the operator's is asked about again, and the member's is not.
    stand_in.hands.put_forward(Duration::from_secs(61));
    let gets = stand_in.gets();
    for token in [&operator, &member] {
        assert_eq!(verdict(&keystone, token).await, Verdict::Accepted);
    }
    assert_eq!(stand_in.gets(), gets + 1);
    stand_in.hands.put_forward(Duration::from_secs(301));
    stand_in.always(Reply::error(500, "no"));
    assert_eq!(verdict(&keystone, &operator).await, Verdict::Unavailable);
    assert_eq!(verdict(&keystone, &member).await, Verdict::Accepted);
}
