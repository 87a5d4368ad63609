//! What Keystone tells of revocations, and what becomes of tokens then.

use std::time::Duration;

use auth_keystone::{Keystone, Revoked};
use chrono::{DateTime, SecondsFormat, SubsecRound, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::stand_in::{REVOCATIONS, Reply, StandIn, Verdict, eventually, token, verdict};

const HOUR: Duration = Duration::from_secs(3_600);

/// A validator that trusts tokens for an hour and asks all the time what was revoked.
struct Scene {
    stand_in: StandIn,
    keystone: Keystone,
    following: JoinHandle<()>,
}

impl Scene {
    fn new() -> Self {
        let stand_in = StandIn::start();
        stand_in.tells(&[]);
        let mut config = stand_in.config();
        (config.token_cache_ttl, config.revocation_poll) = (HOUR, Duration::from_millis(5));
        let keystone = stand_in.keystone_with(&config);
        let following = tokio::spawn(keystone.follow_revocations());
        Self { stand_in, keystone, following }
    }

    async fn verdict(&self, token: &str) -> Verdict {
        verdict(&self.keystone, token).await
    }

    /// Waits until Keystone was asked so often from now on, and heard.
    async fn polls(&self, more: usize) {
        let end = self.asked() + more;
        eventually("Keystone to be asked what was revoked", || self.asked() > end).await;
    }

    fn asked(&self) -> usize {
        self.stand_in.seen_at(REVOCATIONS).len()
    }

    fn remembered(&self) -> usize {
        self.keystone.figures().good_entries
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl StandIn {
    fn tells(&self, events: &[Value]) {
        let answer = Reply::json(200, &json!({"events": events, "links": {"next": null}}));
        self.realm(|realm| realm.revocations = answer);
    }

    /// This second by Keystone's clock, and so many more.
    fn second(&self, more: i64) -> DateTime<Utc> {
        self.realm(|realm| realm.now()).trunc_subsecs(0) + TimeDelta::seconds(more)
    }
}

fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// An event of this second that names a token by this.
fn event(stand_in: &StandIn, name: &str, value: &str) -> Value {
    let now = stamp(stand_in.second(0));
    json!({"issued_before": now, "revoked_at": now, name: value})
}

#[tokio::test]
async fn what_keystone_tells_is_revoked_is_forgotten_and_nothing_else() {
    let scene = Scene::new();
    let (stand_in, keystone) = (&scene.stand_in, &scene.keystone);
    let (own, child, user, other) = (token("own"), token("child"), token("user"), token("other"));
    stand_in.admit_as(&own, "alice", &["own"], &["reader"]);
    stand_in.admit_as(&child, "alice", &["child", "own"], &["reader"]);
    stand_in.admit_as(&user, "bob", &["bob's"], &["reader"]);
    stand_in.admit_as(&other, "carol", &["carol's"], &["reader"]);
    let tokens = [&own, &child, &user, &other];
    for (revocation, forgotten) in [
        (("audit_id", "own"), vec![&own]),
        (("audit_chain_id", "own"), vec![&own, &child]),
        (("user_id", "bob"), vec![&user]),
        (("project_id", "studio"), tokens.to_vec()),
        (("project_id", "elsewhere"), vec![]),
    ] {
        stand_in.tells(&[]);
        scene.polls(1).await;
        for token in tokens {
            assert_eq!(scene.verdict(token).await, Verdict::Accepted);
        }
        let (name, value) = revocation;
        let revoked = keystone.figures().revoked;
        stand_in.tells(&[event(stand_in, name, value)]);
        scene.polls(1).await;
        assert_eq!(scene.remembered(), tokens.len() - forgotten.len(), "{revocation:?}");
        assert_eq!(keystone.figures().revoked, revoked + forgotten.len() as u64, "{revocation:?}");
        let gets = stand_in.gets();
        for token in tokens {
            assert_eq!(scene.verdict(token).await, Verdict::Accepted);
        }
        assert_eq!(stand_in.gets(), gets + forgotten.len(), "{revocation:?}");
    }
}

#[tokio::test]
async fn it_is_asked_from_two_seconds_before_the_newest_and_what_was_told_is_told_once() {
    let scene = Scene::new();
    let (stand_in, alice) = (&scene.stand_in, token("alice"));
    stand_in.admit_as(&alice, "alice", &["a"], &["reader"]);
    scene.polls(1).await;
    let first = stand_in.seen_at(REVOCATIONS)[0].clone();
    assert_eq!(first.headers["x-auth-token"], "own-token-0001-of-the-service");
    let since = first.query.strip_prefix("since=").expect("a moment").replace("%3A", ":");
    let since = DateTime::parse_from_rfc3339(&since).expect("a time").to_utc();
    let back = stand_in.second(0) - since;
    assert!((3_600..3_800).contains(&back.num_seconds()), "what may be in memory, and more: {back}");

    assert_eq!(scene.verdict(&alice).await, Verdict::Accepted);
    let newest = stand_in.second(0);
    let events: Vec<_> = [stand_in.second(-5), newest, stand_in.second(-9)]
        .map(|at| json!({"user_id": "alice", "issued_before": stamp(at), "revoked_at": stamp(at)}))
        .into();
    stand_in.tells(&events);
    eventually("the token to be forgotten", || scene.remembered() == 0).await;
    // Keystone takes it, so it is not what was revoked; told again, that is no news.
    assert_eq!(scene.verdict(&alice).await, Verdict::Accepted);
    scene.polls(3).await;
    assert_eq!(scene.remembered(), 1);
    let last = stand_in.seen_at(REVOCATIONS).pop().expect("a question");
    let since = stamp(newest - TimeDelta::seconds(2)).replace(':', "%3A");
    assert_eq!(last.query, format!("since={since}"));
}

#[tokio::test]
async fn a_token_revoked_while_its_answer_was_under_way_is_not_remembered() {
    let scene = Scene::new();
    let (stand_in, alice) = (&scene.stand_in, token("alice"));
    stand_in.admit_as(&alice, "alice", &["a"], &["reader"]);
    scene.polls(1).await;
    stand_in.hold();
    let asked = tokio::spawn({
        let (keystone, alice) = (scene.keystone.clone(), alice.clone());
        async move { verdict(&keystone, &alice).await }
    });
    eventually("the call", || stand_in.gets() == 1).await;
    stand_in.tells(&[event(stand_in, "user_id", "alice")]);
    scene.polls(1).await;
    stand_in.release();
    assert_eq!(asked.await.unwrap(), Verdict::Accepted, "Keystone said so");
    assert_eq!(scene.remembered(), 0);
}

#[tokio::test]
async fn what_was_revoked_is_not_served_while_keystone_is_away() {
    let scene = Scene::new();
    let (stand_in, alice) = (&scene.stand_in, token("alice"));
    stand_in.admit_as(&alice, "alice", &["a"], &["reader"]);
    assert_eq!(scene.verdict(&alice).await, Verdict::Accepted);
    stand_in.tells(&[event(stand_in, "audit_id", "a")]);
    eventually("the token to be forgotten", || scene.remembered() == 0).await;
    stand_in.always(Reply::error(500, "no"));
    assert_eq!(scene.verdict(&alice).await, Verdict::Unavailable);
}

#[tokio::test]
async fn more_revocations_than_can_be_told_forget_everything() {
    let scene = Scene::new();
    let (stand_in, alice) = (&scene.stand_in, token("alice"));
    stand_in.admit(&alice);
    assert_eq!(scene.verdict(&alice).await, Verdict::Accepted);
    let events: Vec<_> =
        (0..8_000).map(|number| event(stand_in, "user_id", &format!("{number:032}"))).collect();
    stand_in.tells(&events);
    eventually("everything to be forgotten", || scene.remembered() == 0).await;
    assert_eq!(scene.keystone.figures().revoked, 1);
    stand_in.tells(&[]);
    scene.polls(1).await;
    assert_eq!(scene.verdict(&alice).await, Verdict::Accepted);
    scene.polls(1).await;
    assert_eq!(scene.remembered(), 1);
}

#[tokio::test]
async fn a_keystone_that_tells_nothing_is_not_asked_again_and_harms_nobody() {
    for status in [403, 404, 410] {
        let scene = Scene::new();
        let stand_in = &scene.stand_in;
        stand_in.realm(|realm| {
            realm.revocations = Reply::page(status);
            realm.seen.clear();
        });
        eventually("a question", || scene.asked() > 0).await;
        let asked = scene.asked();
        // Each takes longer than the pause between two questions would be.
        for _ in 0..50 {
            assert_eq!(scene.verdict(&token("mallory")).await, Verdict::Rejected);
        }
        assert_eq!(scene.asked(), asked, "{status}");
        let alice = token("alice");
        stand_in.admit(&alice);
        assert_eq!(scene.verdict(&alice).await, Verdict::Accepted);
        stand_in.hands.put_forward(Duration::from_secs(600));
        assert_eq!(scene.verdict(&alice).await, Verdict::Accepted);
        assert_eq!(stand_in.gets(), 51, "trusted for as long as was configured");
    }
}

#[tokio::test]
async fn without_word_three_times_tokens_are_trusted_for_a_minute_until_there_is_word_again() {
    let scene = Scene::new();
    let (stand_in, alice) = (&scene.stand_in, token("alice"));
    stand_in.admit(&alice);
    scene.polls(1).await;
    assert_eq!(scene.verdict(&alice).await, Verdict::Accepted);
    stand_in.hands.put_forward(Duration::from_secs(120));
    assert_eq!(scene.verdict(&alice).await, Verdict::Accepted);
    assert_eq!(stand_in.gets(), 1);

    stand_in.realm(|realm| realm.revocations = Reply::error(500, "no"));
    scene.polls(3).await;
    assert_eq!(scene.verdict(&alice).await, Verdict::Accepted);
    assert_eq!(stand_in.gets(), 2, "two minutes are too long now");
    stand_in.hands.put_forward(Duration::from_secs(50));
    assert_eq!(scene.verdict(&alice).await, Verdict::Accepted);
    assert_eq!(stand_in.gets(), 2);

    stand_in.tells(&[]);
    scene.polls(1).await;
    stand_in.hands.put_forward(Duration::from_secs(120));
    assert_eq!(scene.verdict(&alice).await, Verdict::Accepted);
    assert_eq!(stand_in.gets(), 2);
    assert!(scene.keystone.figures().since_revocations.is_some());
}

#[tokio::test]
async fn an_own_token_that_was_revoked_is_replaced_to_ask() {
    let scene = Scene::new();
    scene.polls(1).await;
    assert_eq!(scene.stand_in.posts(), 1);
    scene.stand_in.script(|seen| {
        let old = seen.headers.get("x-auth-token").is_some_and(|own| own.contains("0001"));
        old.then(|| Reply::error(401, "no"))
    });
    eventually("another token", || scene.stand_in.posts() == 2).await;
    let alice = token("alice");
    scene.stand_in.admit_as(&alice, "alice", &["a"], &["reader"]);
    assert_eq!(scene.verdict(&alice).await, Verdict::Accepted);
    scene.stand_in.tells(&[event(&scene.stand_in, "audit_id", "a")]);
    eventually("the token to be forgotten", || scene.remembered() == 0).await;
}

#[tokio::test]
async fn who_does_not_want_to_ask_does_not() {
    let stand_in = StandIn::start();
    let mut config = stand_in.config();
    config.revocation_poll = Duration::ZERO;
    stand_in.keystone_with(&config).follow_revocations().await;
    assert_eq!(stand_in.seen_at(REVOCATIONS).len(), 0);
}

#[tokio::test]
async fn who_knows_it_before_keystone_tells_can_have_tokens_forgotten() {
    let stand_in = StandIn::start();
    let keystone = stand_in.keystone();
    let tokens = [("alice", ["own", "chain"]), ("bob", ["own", "chain"]), ("bob", ["other", "other"])];
    for (revoked, forgotten) in [
        (Revoked::User("alice"), 1),
        (Revoked::User("bob"), 2),
        (Revoked::Project("studio"), 3),
        (Revoked::Audit("own"), 2),
        (Revoked::Chain("own"), 0),
        (Revoked::Chain("other"), 1),
        (Revoked::Trust("trust"), 0),
    ] {
        for (number, (user, audit_ids)) in tokens.iter().enumerate() {
            let token = format!("{number}-a-token-of-somebody");
            stand_in.admit_as(&token, user, audit_ids, &["reader"]);
            assert_eq!(verdict(&keystone, &token).await, Verdict::Accepted);
        }
        assert_eq!(keystone.forget(revoked), forgotten, "{revoked:?}");
        assert_eq!(keystone.figures().good_entries, tokens.len() - forgotten);
    }
}
