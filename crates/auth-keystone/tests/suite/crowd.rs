//! Many tokens at once: how many calls run, who waits, and who is sent away.

use std::time::Duration;

use core_domain::tokens::{TokenError, Tokens};

use crate::stand_in::{StandIn, Verdict, eventually, shown, token, verdict, verdicts};

fn admitted(stand_in: &StandIn, number: usize) -> Vec<String> {
    let tokens: Vec<_> = (0..number).map(|_| token("alice")).collect();
    tokens.iter().for_each(|token| stand_in.admit(token));
    tokens
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_cold_tokens_at_once_are_asked_about_eight_at_a_time_and_all_are_answered() {
    let stand_in = StandIn::start();
    stand_in.realm(|realm| realm.delay = Duration::from_millis(5));
    let keystone = stand_in.keystone();
    let verdicts = verdicts(&keystone, admitted(&stand_in, 500)).await;
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Accepted));
    assert_eq!(stand_in.realm(|realm| realm.most_open), 8);
    assert_eq!((stand_in.posts(), stand_in.gets()), (1, 500));
}

#[tokio::test]
async fn who_finds_too_many_waiting_is_told_at_once_to_come_again() {
    let stand_in = StandIn::start();
    let mut config = stand_in.config();
    (config.calls_at_once, config.calls_waiting) = (2, 3);
    let keystone = stand_in.keystone_with(&config);
    // Signed in already, so that what is held are validations.
    verdict(&keystone, &token("mallory")).await;
    stand_in.hold();
    let first = tokio::spawn({
        let (keystone, tokens) = (keystone.clone(), admitted(&stand_in, 5));
        async move { verdicts(&keystone, tokens).await }
    });
    eventually("two calls, and three to wait", || {
        let figures = keystone.figures();
        (figures.calls, figures.waiting) == (2, 3)
    })
    .await;
    for late in admitted(&stand_in, 10) {
        let Err(TokenError::Unavailable { again_in, source }) = keystone.validate(shown(&late)).await else {
            panic!("no room for anybody");
        };
        assert_eq!(again_in, Duration::from_secs(1), "{source}");
    }
    stand_in.release();
    assert_eq!(first.await.unwrap(), [Verdict::Accepted; 5]);
    assert_eq!(stand_in.gets(), 6, "those sent away were never asked about");
    assert_eq!((keystone.figures().calls, keystone.figures().waiting), (0, 0));
}

#[tokio::test]
async fn nobody_waits_for_a_place_longer_than_the_patience_and_then_no_call_is_made() {
    let stand_in = StandIn::start();
    let mut config = stand_in.config();
    (config.calls_at_once, config.queue_timeout) = (1, Duration::from_millis(50));
    let keystone = stand_in.keystone_with(&config);
    verdict(&keystone, &token("mallory")).await;
    stand_in.hold();
    let [first, second] = &admitted(&stand_in, 2)[..] else { panic!("two") };
    let asked = tokio::spawn({
        let (keystone, first) = (keystone.clone(), first.clone());
        async move { verdict(&keystone, &first).await }
    });
    eventually("the first call", || stand_in.gets() == 2).await;
    assert_eq!(verdict(&keystone, second).await, Verdict::Unavailable);
    stand_in.release();
    assert_eq!(asked.await.unwrap(), Verdict::Accepted);
    assert_eq!(stand_in.gets(), 2);
}
