//! Many tokens at once: how many calls run, who waits, and who is sent away.

use std::{net::IpAddr, time::Duration};

use auth_keystone::Keystone;
use core_domain::tokens::{TokenError, Tokens};
use tokio::task::JoinHandle;

use crate::stand_in::{StandIn, Verdict, eventually, shown, token, verdict, verdict_from, verdicts};

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

fn client(number: u8) -> IpAddr {
    [127, 0, 0, number].into()
}

/// Each of these tokens, shown at once by a client at this address.
fn show(keystone: &Keystone, client: IpAddr, tokens: Vec<String>) -> Vec<JoinHandle<Verdict>> {
    let show = |token: String| {
        let keystone = keystone.clone();
        tokio::spawn(async move { verdict_from(&keystone, &token, client).await })
    };
    tokens.into_iter().map(show).collect()
}

fn forged(number: usize) -> Vec<String> {
    (0..number).map(|_| token("forged")).collect()
}

async fn all(tasks: Vec<JoinHandle<Verdict>>) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for task in tasks {
        verdicts.push(task.await.unwrap());
    }
    verdicts
}

#[tokio::test]
async fn a_flood_from_one_address_delays_others_by_one_turn_each() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    let known = token("known");
    stand_in.admit(&known);
    assert_eq!(verdict_from(&keystone, &known, client(200)).await, Verdict::Accepted);
    stand_in.hold();
    // Eight are asked about, 1,024 wait, and the rest is refused.
    let flood = show(&keystone, client(1), forged(2_000));
    eventually("a full queue", || (keystone.figures().calls, keystone.figures().waiting) == (8, 1024)).await;
    eventually("all others to be refused", || keystone.figures().in_flight == 8 + 1024).await;
    let callers: Vec<_> =
        (2..=21).flat_map(|number| show(&keystone, client(number), admitted(&stand_in, 1))).collect();
    eventually("room for all callers", || keystone.figures().in_flight == 8 + 1024).await;
    eventually("eight questions", || stand_in.gets() == 9).await;
    // A token that is known needs no place.
    assert_eq!(verdict_from(&keystone, &known, client(1)).await, Verdict::Accepted);
    let gets = stand_in.gets();
    stand_in.release();

    assert_eq!(all(callers).await, [Verdict::Accepted; 20]);
    let flood = all(flood).await;
    let refused = flood.iter().filter(|verdict| **verdict == Verdict::Unavailable).count();
    assert_eq!(refused, 2_000 - 8 - 1024 + 20, "only the flood was refused");
    assert!(flood.iter().all(|verdict| *verdict != Verdict::Accepted));
    let seen = stand_in.seen("GET");
    let is_callers = |place: usize| seen[place].headers["x-subject-token"].starts_with("alice");
    // Eight at once, so that they may overtake each other by so many.
    let places: Vec<_> = (gets..seen.len()).filter(|place| is_callers(*place)).collect();
    assert_eq!(places.len(), 20);
    assert!(places.iter().all(|place| *place < gets + 21 + 8), "{places:?} after {gets}");

    let figures = keystone.figures();
    assert!(!figures.breaker_open && figures.waiting == 0 && figures.calls == 0);
    assert_eq!(figures.good_entries, 21, "no good token was forgotten");
}

#[tokio::test]
async fn one_question_for_a_token_takes_the_turn_of_who_asked_first() {
    let stand_in = StandIn::start();
    let mut config = stand_in.config();
    (config.calls_at_once, config.calls_waiting) = (1, 2);
    let keystone = stand_in.keystone_with(&config);
    verdict(&keystone, &token("mallory")).await;
    stand_in.hold();
    let first = show(&keystone, client(1), forged(1));
    eventually("the first", || keystone.figures().calls == 1).await;
    let [shared] = &admitted(&stand_in, 1)[..] else { panic!("one") };
    let waits = show(&keystone, client(1), vec![shared.clone()]);
    eventually("one that waits", || keystone.figures().waiting == 1).await;
    let joined = show(&keystone, client(2), vec![shared.clone()]);
    eventually("who joined it", || keystone.figures().coalesced == 1).await;
    assert_eq!(keystone.figures().waiting, 1, "it waits once");
    stand_in.release();
    assert_eq!(all(first).await, [Verdict::Rejected]);
    assert_eq!(all([waits, joined].into_iter().flatten().collect()).await, [Verdict::Accepted; 2]);
}

#[tokio::test]
async fn a_flood_of_forged_tokens_opens_no_breaker_and_forgets_no_good_token() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    let good = admitted(&stand_in, 100);
    assert_eq!(verdicts(&keystone, good.clone()).await, vec![Verdict::Accepted; 100]);
    // More than are remembered as rejected.
    for _ in 0..12 {
        all(show(&keystone, client(1), forged(1_000))).await;
        assert!(!keystone.figures().breaker_open);
    }
    let figures = keystone.figures();
    assert!(figures.rejected.count() > 10_000 && figures.bad_entries <= 10_000, "{figures:?}");
    let gets = stand_in.gets();
    assert_eq!(verdicts(&keystone, good).await, vec![Verdict::Accepted; 100]);
    assert_eq!(stand_in.gets(), gets, "all from memory");
}
