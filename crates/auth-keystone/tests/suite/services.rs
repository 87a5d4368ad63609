//! Tokens of services beside those of users, and tokens that are good for some calls only.

use std::time::Duration;

use auth_keystone::Keystone;
use core_domain::tokens::{Intent, Shown, Tokens};
use serde_json::json;

use crate::log::Log;
use crate::stand_in::{REQUEST, Reply, StandIn, Verdict, eventually, shown, token, verdict};

async fn together(keystone: &Keystone, user: &str, service: &str) -> Verdict {
    keystone.validate(Shown { service_token: Some(service), ..shown(user) }).await.into()
}

async fn call(keystone: &Keystone, token: &str, method: &str, path: &str) -> Verdict {
    keystone.validate(Shown { intent: Intent::Change, method, path, ..shown(token) }).await.into()
}

/// A user, a service, and somebody who is none.
struct Scene {
    stand_in: StandIn,
    keystone: Keystone,
    user: String,
    service: String,
    other: String,
}

impl Scene {
    fn new() -> Self {
        let stand_in = StandIn::start();
        let keystone = stand_in.keystone();
        let (user, service, other) = (token("user"), token("service"), token("other"));
        stand_in.admit_for(&user, 100);
        stand_in.admit_as(&service, "nova", &["n"], &["service"]);
        stand_in.admit_as(&other, "bob", &["b"], &["admin", "member", "reader"]);
        Self { stand_in, keystone, user, service, other }
    }
}

#[tokio::test]
async fn a_users_token_needs_a_services_to_be_good_past_its_end_and_a_bad_one_spoils_it() {
    let scene = Scene::new();
    let (keystone, unknown) = (&scene.keystone, token("unknown"));
    let matrix = async |past_its_end: bool| {
        use Verdict::{Accepted, Rejected};
        let alone = if past_its_end { Rejected } else { Accepted };
        for (user, service, means) in [
            (&scene.user, None, alone),
            (&scene.user, Some(&scene.service), Accepted),
            (&scene.user, Some(&scene.other), Rejected),
            (&scene.user, Some(&unknown), Rejected),
            (&scene.user, Some(&"no token at all".to_owned()), Rejected),
            (&unknown, Some(&scene.service), Rejected),
            // Whatever it was good for beside a service's, it is not good for alone.
            (&scene.user, None, alone),
        ] {
            let said = match service {
                None => verdict(keystone, user).await,
                Some(service) => together(keystone, user, service).await,
            };
            assert_eq!(said, means, "{user} with {service:?}, past its end: {past_its_end}");
        }
    };
    matrix(false).await;
    scene.stand_in.hands.put_forward(Duration::from_secs(101));
    matrix(true).await;
    // And from memory.
    let gets = scene.stand_in.gets();
    matrix(true).await;
    assert_eq!(scene.stand_in.gets(), gets);
}

#[tokio::test]
async fn who_asks_is_the_user_with_the_users_roles_and_project() {
    let scene = Scene::new();
    for past_its_end in [false, true] {
        let shown = Shown { service_token: Some(&scene.service), ..shown(&scene.user) };
        let caller = scene.keystone.validate(shown).await.unwrap();
        assert_eq!(caller.user.as_str(), "alice");
        let mut roles = caller.roles().to_vec();
        roles.sort();
        assert_eq!(roles, ["member", "reader"], "past its end: {past_its_end}");
        scene.stand_in.hands.put_forward(Duration::from_secs(101));
    }
}

#[tokio::test]
async fn keystone_is_asked_to_waive_the_end_for_a_service_and_for_nobody_else() {
    let scene = Scene::new();
    assert_eq!(together(&scene.keystone, &scene.user, &scene.other).await, Verdict::Rejected);
    assert_eq!(together(&scene.keystone, &scene.user, &scene.service).await, Verdict::Accepted);
    assert_eq!(verdict(&scene.keystone, &scene.user).await, Verdict::Accepted, "one question for both");
    let asked: Vec<_> = scene
        .stand_in
        .seen("GET")
        .into_iter()
        .map(|seen| (seen.headers["x-subject-token"].clone(), seen.query))
        .collect();
    let plain = |token: &String| (token.clone(), "nocatalog=1".to_owned());
    let waived = (scene.user.clone(), "nocatalog=1&allow_expired=1".to_owned());
    assert_eq!(asked, [plain(&scene.other), plain(&scene.service), waived]);
}

#[tokio::test]
async fn a_service_that_cannot_be_asked_about_is_unavailable_and_not_refused() {
    let scene = Scene::new();
    assert_eq!(verdict(&scene.keystone, &scene.user).await, Verdict::Accepted);
    scene.stand_in.always(Reply::error(500, "no"));
    assert_eq!(together(&scene.keystone, &scene.user, &scene.service).await, Verdict::Unavailable);
}

#[tokio::test]
async fn which_roles_make_a_service_is_a_matter_of_configuration() {
    let scene = Scene::new();
    let mut config = scene.stand_in.config();
    config.service_token_roles = vec!["Admin".to_owned(), "glance".to_owned()];
    let keystone = scene.stand_in.keystone_with(&config);
    assert_eq!(together(&keystone, &scene.user, &scene.other).await, Verdict::Accepted);
    assert_eq!(together(&keystone, &scene.user, &scene.service).await, Verdict::Rejected);
    assert_eq!(keystone.figures().not_services, 1);
}

#[tokio::test]
async fn a_token_with_access_rules_is_good_for_the_calls_they_list() {
    let scene = Scene::new();
    let rule =
        |service: &str, method: &str, path: &str| json!({"service": service, "method": method, "path": path});
    let rules = json!([
        rule("image", "GET", "/v2/images"),
        rule("image", "PUT", "/v2/images/{image_id}/members/*"),
        rule("compute", "DELETE", "/v2/images/{image_id}"),
    ]);
    let ruled = token("ruled");
    for catalog in [None, Some(json!([{"type": "image"}])), Some(json!([]))] {
        let keystone = scene.stand_in.keystone();
        scene.stand_in.realm(|realm| {
            let mut description = realm.describe("alice", "studio", &["member"], 60);
            description["token"]["application_credential"] = json!({"id": "c", "access_rules": rules});
            if let Some(catalog) = catalog {
                description["token"]["catalog"] = catalog;
            }
            realm.subjects.insert(ruled.clone(), description);
        });
        for (method, path, means) in [
            ("GET", "/v2/images", Verdict::Accepted),
            ("POST", "/v2/images", Verdict::Rejected),
            ("GET", "/v2/images/x", Verdict::Rejected),
            ("PUT", "/v2/images/x/members/y", Verdict::Accepted),
            ("PUT", "/v2/images/x/y/members/z", Verdict::Rejected),
            ("DELETE", "/v2/images/x", Verdict::Rejected),
            ("GET", "/v2/images", Verdict::Accepted),
        ] {
            assert_eq!(call(&keystone, &ruled, method, path).await, means, "{method} {path}");
        }
        assert_eq!(keystone.figures().outside_access_rules, 4);
        // A service's token waives the rules; what only looks like one waives nothing.
        let beside = async |service: &str| -> Verdict {
            let shown = Shown { method: "POST", service_token: Some(service), ..shown(&ruled) };
            keystone.validate(shown).await.into()
        };
        assert_eq!(beside(&scene.service).await, Verdict::Accepted);
        assert_eq!(beside(&scene.other).await, Verdict::Rejected);
        assert_eq!(beside(&token("unknown")).await, Verdict::Rejected);
    }
    assert_eq!(
        scene.stand_in.seen("GET").iter().filter(|seen| seen.headers["x-subject-token"] == ruled).count(),
        3
    );
}

/// A token whose credential has so many access rules, all alike.
fn ruled(stand_in: &StandIn, number: usize, path: &str) -> String {
    let ruled = token("ruled");
    let rule = json!({"service": "image", "method": "GET", "path": path});
    stand_in.realm(|realm| {
        let mut description = realm.describe("alice", "studio", &["reader"], 3_600);
        description["token"]["application_credential"] =
            json!({"id": "c", "access_rules": vec![rule; number]});
        realm.subjects.insert(ruled.clone(), description);
    });
    ruled
}

// On one thread, so that all of it is captured.
#[tokio::test(flavor = "current_thread")]
async fn a_token_with_more_than_256_access_rules_is_refused_and_logged_once() {
    let (log, _guard) = Log::capture();
    let scene = Scene::new();
    let most = ruled(&scene.stand_in, 256, "/v2/images");
    assert_eq!(verdict(&scene.keystone, &most).await, Verdict::Accepted);
    let gets = scene.stand_in.gets();
    for _ in 0..3 {
        let more = ruled(&scene.stand_in, 257, "/v2/images");
        for _ in 0..3 {
            assert_eq!(verdict(&scene.keystone, &more).await, Verdict::Rejected);
        }
        assert_eq!(together(&scene.keystone, &scene.user, &more).await, Verdict::Rejected);
    }
    assert_eq!(scene.stand_in.gets(), gets + 3, "one call for each");
    let text = log.text();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("more access rules")).collect();
    let [line] = lines[..] else { panic!("one line: {lines:?}") };
    for word in ["WARN", "rules=257", "most=256", "user=\"alice\"", REQUEST] {
        assert!(line.contains(word), "{word} in {line}");
    }
}

#[tokio::test]
async fn rules_hold_while_keystone_is_away() {
    let scene = Scene::new();
    let ruled = token("ruled");
    scene.stand_in.realm(|realm| {
        let mut description = realm.describe("alice", "studio", &["reader"], 3_600);
        let rules = json!([{"service": "image", "method": "GET", "path": "/v2/images"}]);
        description["token"]["application_credential"] = json!({"id": "c", "access_rules": rules});
        realm.subjects.insert(ruled.clone(), description);
    });
    assert_eq!(verdict(&scene.keystone, &ruled).await, Verdict::Accepted);
    scene.stand_in.hands.put_forward(Duration::from_secs(61));
    scene.stand_in.always(Reply::error(500, "no"));
    assert_eq!(verdict(&scene.keystone, &ruled).await, Verdict::Accepted);
    let elsewhere = Shown { path: "/v2/schemas/image", ..shown(&ruled) };
    assert_eq!(Verdict::from(scene.keystone.validate(elsewhere).await), Verdict::Rejected);
}

#[tokio::test]
async fn both_tokens_of_a_service_in_steady_use_are_asked_about_behind_its_back() {
    let Scene { stand_in, keystone, user, service, .. } = Scene::new();
    // For longer than the others need it.
    stand_in.admit(&user);
    assert_eq!(together(&keystone, &user, &service).await, Verdict::Accepted);
    // Five minutes, a use a second.
    for _ in 0..300 {
        stand_in.hands.put_forward(Duration::from_secs(1));
        assert_eq!(together(&keystone, &user, &service).await, Verdict::Accepted);
        eventually("whoever asks behind the back", || keystone.figures().in_flight == 0).await;
    }
    assert_eq!(keystone.figures().misses, 2, "nobody waited but the first, once for each token");
}
