//! What an operator can see.

use std::time::Duration;

use crate::stand_in::{Reply, StandIn, eventually, token, verdict};

#[tokio::test]
async fn hits_misses_and_everything_else_are_counted_once() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    let (alice, mallory) = (token("alice"), token("mallory"));
    stand_in.admit(&alice);
    for _ in 0..3 {
        verdict(&keystone, &alice).await;
    }
    for _ in 0..2 {
        verdict(&keystone, &mallory).await;
    }
    verdict(&keystone, "short").await;
    stand_in.always(Reply::error(500, "no"));
    verdict(&keystone, &token("alice")).await;

    let figures = keystone.figures();
    assert_eq!((figures.hits, figures.negative_hits, figures.misses, figures.malformed), (2, 1, 3, 1));
    assert_eq!((figures.good_entries, figures.bad_entries), (1, 1));
    assert_eq!((figures.sign_ins, figures.failed_sign_ins), (1, 0));
    assert_eq!((figures.bad_signatures, figures.expired_signed), (0, 0));
    let counts =
        [&figures.accepted, &figures.rejected, &figures.undecided].map(|histogram| histogram.count());
    assert_eq!(counts, [1, 1, 1]);
    let left = figures.own_token_left.expect("a token");
    assert!((Duration::from_secs(3_500)..Duration::from_secs(3_600)).contains(&left), "{left:?}");
}

#[tokio::test]
async fn what_is_under_way_and_who_waits_for_it_is_seen() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    stand_in.hold();
    let token = token("alice");
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let (keystone, token) = (keystone.clone(), token.clone());
            tokio::spawn(async move { verdict(&keystone, &token).await })
        })
        .collect();
    eventually("two to wait for one", || {
        let figures = keystone.figures();
        (figures.in_flight, figures.coalesced) == (1, 2)
    })
    .await;
    stand_in.release();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(keystone.figures().in_flight, 0);
}

#[tokio::test]
async fn latency_is_the_time_keystone_took() {
    let stand_in = StandIn::start();
    stand_in.realm(|realm| realm.delay = Duration::from_millis(300));
    let keystone = stand_in.keystone();
    verdict(&keystone, &token("mallory")).await;
    assert!(keystone.figures().rejected.sum >= Duration::from_millis(300));
}
