//! `auth-keystone` against a real Keystone.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    error::Error,
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use auth_keystone::{Clock, Config, Keystone, Secret, SystemClock};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use core_domain::{
    caller::Caller,
    tokens::{Intent, Shown, TokenError, Tokens},
};
use serde_json::{Value, json};
use testbed::{
    Call, Keystone as Real,
    keystone::{Options, Project, Provider, Scope, User},
    patience,
};

const REQUEST: &str = "req-6b1c0a4e-43b1-4a0f-a0f8-1d3c5e7f9a2b";

/// More than any machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A token, shown by somebody who wants to look at the list of images.
fn shown(token: &str) -> Shown<'_> {
    let (method, path) = ("GET", "/v2/images");
    Shown { token, service_token: None, intent: Intent::Look, method, path, request: REQUEST, peer: None }
}

/// A token of the right shape that no Keystone made.
fn forged(number: usize) -> String {
    let text = [&[0x80; 1][..], &[0; 4], &[0x60; 4], &number.to_be_bytes(), &[7; 120]].concat();
    URL_SAFE_NO_PAD.encode(text)
}

/// How the service asks this Keystone.
fn config(real: &Real) -> Config {
    let settings = real.service_settings();
    let setting = |name: &str| {
        let found = settings.iter().find(|(known, _)| known.strip_prefix("VITRINE_KEYSTONE__") == Some(name));
        found.unwrap_or_else(|| panic!("no setting {name}")).1.clone()
    };
    Config {
        auth_url: setting("AUTH_URL"),
        username: Some(setting("USERNAME")),
        password: Some(Secret::new(setting("PASSWORD"))),
        project_name: Some(setting("PROJECT_NAME")),
        ..patient()
    }
}

/// Keystone shares this machine with everybody else's tests, and one validation takes it a tenth of a second even
/// when it is alone.
fn patient() -> Config {
    let wait = PATIENCE;
    Config {
        connect_timeout: wait,
        try_timeout: wait,
        queue_timeout: wait,
        decision_timeout: 2 * wait,
        ..Config::default()
    }
}

/// The service as this user, in this project.
fn asking_as(real: &Real, user: &User, project: &Project) -> Keystone {
    let config = Config {
        auth_url: real.auth_url(),
        username: Some(user.name.clone()),
        password: Some(Secret::new(user.password.clone())),
        project_name: Some(project.name.clone()),
        ..patient()
    };
    Keystone::new(&config).expect("a good configuration")
}

fn service(real: &Real) -> Keystone {
    Keystone::new(&config(real)).expect("a good configuration")
}

async fn accepted(keystone: &Keystone, token: &str) -> Arc<Caller> {
    match keystone.validate(shown(token)).await {
        Ok(caller) => caller,
        Err(error) => panic!("{error}: {:?}", error.source()),
    }
}

#[track_caller]
fn is_rejected(answer: &Result<Arc<Caller>, TokenError>) {
    assert!(matches!(answer, Err(TokenError::Rejected)), "{answer:?}");
}

/// Why Keystone could not decide.
#[track_caller]
fn unavailable(answer: Result<Arc<Caller>, TokenError>) -> String {
    match answer {
        Err(TokenError::Unavailable { source, .. }) => source.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Who it is, for which project, with which roles.
fn told(caller: &Caller) -> (&str, Option<&str>, Vec<&str>) {
    let mut roles: Vec<_> = caller.roles().iter().map(String::as_str).collect();
    roles.sort_unstable();
    (caller.user.as_str(), caller.project.as_ref().map(|project| project.as_str()), roles)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no string: {value}")).to_owned()
}

/// A token got in a way the testbed has no name for.
fn sign_in(real: &Real, identity: &Value, scope: Option<Value>) -> String {
    let mut auth = json!({"identity": identity});
    if let Some(scope) = scope {
        auth["scope"] = scope;
    }
    let call = Call::new("POST", format!("{}/auth/tokens?nocatalog=1", real.auth_url()));
    let answer = call.json(&json!({"auth": auth})).send().expect(201);
    answer.header("x-subject-token").expect("a token").to_owned()
}

fn by_password(user: &User) -> Value {
    let user = json!({"id": user.id, "password": user.password});
    json!({"methods": ["password"], "password": {"user": user}})
}

fn by_credential(credential: &Value) -> Value {
    let credential = json!({"id": credential["id"], "secret": credential["secret"]});
    json!({"methods": ["application_credential"], "application_credential": credential})
}

/// An application credential of this user for this project.
fn credential(real: &Real, user: &User, project: &Project, more: Value) -> Value {
    let mut credential = json!({"name": "a credential"});
    if let Some(more) = more.as_object() {
        credential.as_object_mut().expect("an object").extend(more.clone());
    }
    let call = Call::new("POST", format!("{}/users/{}/application_credentials", real.auth_url(), user.id));
    let call = call.token(&real.token(user, Scope::Project(project)));
    let made = call.json(&json!({"application_credential": credential})).send().expect(201).json();
    made["application_credential"].clone()
}

/// A token with which `trustee` acts for `trustor` in a project.
fn trust_token(real: &Real, trustor: &User, trustee: &User, project: &Project) -> String {
    let trust = json!({"trust": {
        "trustor_user_id": trustor.id, "trustee_user_id": trustee.id, "project_id": project.id,
        "impersonation": true, "roles": [{"name": "member"}],
    }});
    let call = Call::new("POST", format!("{}/OS-TRUST/trusts", real.auth_url()));
    let call = call.token(&real.token(trustor, Scope::Project(project)));
    let made = call.json(&trust).send().expect(201).json();
    sign_in(real, &by_password(trustee), Some(json!({"OS-TRUST:trust": {"id": made["trust"]["id"]}})))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_every_scope_says_who_bears_it_and_for_which_project() {
    for provider in [Provider::Fernet, Provider::Jws] {
        let real = Real::private(Options { provider, ..Options::default() });
        let keystone =
            Keystone::new(&Config { jws_public_keys: Some(real.jws_public_keys()), ..config(&real) });
        let keystone = keystone.expect("a good configuration");
        let project = real.project("studio");
        let alice = real.user("alice", &project, &["member"]);
        real.assign(&alice, Scope::Domain, "reader");
        real.assign(&alice, Scope::System, "reader");
        let bob = real.user("bob", &project, &["reader"]);
        let (me, here) = (alice.id.as_str(), Some(project.id.as_str()));

        for (scope, expected) in [
            (Scope::Project(&project), (me, here, vec!["member", "reader"])),
            (Scope::Domain, (me, None, vec!["reader"])),
            (Scope::System, (me, None, vec!["reader"])),
            (Scope::Unscoped, (me, None, vec![])),
        ] {
            let caller = accepted(&keystone, &real.token(&alice, scope)).await;
            assert_eq!(told(&caller), expected, "{provider:?} {scope:?}");
        }
        let caller = accepted(&keystone, &trust_token(&real, &alice, &bob, &project)).await;
        assert_eq!(told(&caller), (me, here, vec!["member", "reader"]), "{provider:?}, by trust");
        let made = credential(&real, &alice, &project, json!({}));
        let caller = accepted(&keystone, &sign_in(&real, &by_credential(&made), None)).await;
        assert_eq!(told(&caller), (me, here, vec!["member", "reader"]), "{provider:?}, by credential");
        assert_eq!(keystone.figures().bad_signatures, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_rejected() {
    let real = Real::shared();
    let project = real.project("studio");
    let alice = real.user("alice", &project, &["member"]);
    let token = real.token(&alice, Scope::Project(&project));
    real.revoke(&token);
    is_rejected(&service(real).validate(shown(&token)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_a_project_that_is_gone_is_rejected() {
    let real = Real::shared();
    let project = real.project("studio");
    let alice = real.user("alice", &project, &["member"]);
    let token = real.token(&alice, Scope::Project(&project));
    real.admin("DELETE", &format!("/projects/{}", project.id), None).expect(204);
    is_rejected(&service(real).validate(shown(&token)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keystone_never_made_is_rejected() {
    let real = Real::shared();
    let keystone = service(real);
    let project = real.project("studio");
    let alice = real.user("alice", &project, &["member"]);
    let token = real.token(&alice, Scope::Project(&project));
    for forged in [token.replace('A', "B"), forged(3), format!("{}.{}.{}", "e30", "e30", "A".repeat(84))] {
        is_rejected(&keystone.validate(shown(&forged)).await);
    }
    assert_eq!(accepted(&keystone, &token).await.user.as_str(), alice.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_user_without_the_role_service_can_decide_nothing() {
    let real = Real::shared();
    let project = real.project("studio");
    let alice = real.user("alice", &project, &["member"]);
    let wrong = real.user("wrong", &project, &["manager"]);
    let token = real.token(&alice, Scope::Project(&project));
    let keystone = asking_as(real, &wrong, &project);
    let reason = unavailable(keystone.validate(shown(&token)).await);
    assert!(reason.contains("role \"service\""), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trust_whose_trustor_is_gone_rejects_its_token_and_no_other() {
    let real = Real::shared();
    let keystone = service(real);
    let project = real.project("studio");
    let (alice, bob) = (real.user("alice", &project, &["member"]), real.user("bob", &project, &["reader"]));
    let token = trust_token(real, &alice, &bob, &project);
    real.withdraw(&alice, Scope::Project(&project), "member");
    is_rejected(&keystone.validate(shown(&token)).await);
    let own = real.token(&bob, Scope::Project(&project));
    assert_eq!(accepted(&keystone, &own).await.user.as_str(), bob.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_with_access_rules_is_good_for_the_calls_they_list_and_for_services() {
    let real = Real::shared();
    let keystone = service(real);
    let project = real.project("studio");
    let alice = real.user("alice", &project, &["member"]);
    let nova = real.user("nova", &project, &["service"]);
    let nova = real.token(&nova, Scope::Project(&project));
    let rules = json!({"access_rules": [
        {"service": "image", "method": "GET", "path": "/v2/images"},
        {"service": "image", "method": "GET", "path": "/v2/images/{image_id}/members"},
        {"service": "image", "method": "PUT", "path": "/v2/images/*/members/**"},
        {"service": "compute", "method": "POST", "path": "/v2/images"},
    ]});
    let made = credential(real, &alice, &project, rules);
    let token = sign_in(real, &by_credential(&made), None);
    for (method, path, good) in [
        ("GET", "/v2/images", true),
        ("GET", "/v2/images/an-image", false),
        ("GET", "/v2/images/an-image/members", true),
        ("PUT", "/v2/images/an-image/members/a-project", true),
        ("POST", "/v2/images", false),
    ] {
        let call = Shown { intent: Intent::Change, method, path, ..shown(&token) };
        let answer = keystone.validate(call).await;
        if good {
            assert_eq!(answer.expect(path).user.as_str(), alice.id, "{method} {path}");
        } else {
            is_rejected(&answer);
        }
        let answer = keystone.validate(Shown { service_token: Some(&nova), ..call }).await;
        assert_eq!(answer.expect(path).user.as_str(), alice.id, "{method} {path} for a service");
        is_rejected(&keystone.validate(Shown { service_token: Some(&token), ..call }).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_past_its_end_is_good_for_services_and_for_nobody_else() {
    let real = Real::private(Options { expiration: 10, ..Options::default() });
    let keystone = service(&real);
    let project = real.project("studio");
    let (alice, nova) =
        (real.user("alice", &project, &["member"]), real.user("nova", &project, &["service"]));
    let token = real.token(&alice, Scope::Project(&project));
    let end = Instant::now() + PATIENCE;
    while keystone.validate(shown(&token)).await.is_ok() {
        assert!(Instant::now() < end, "a token that does not end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let service_token = real.token(&nova, Scope::Project(&project));
    let for_nova = Shown { service_token: Some(&service_token), ..shown(&token) };
    let caller = keystone.validate(for_nova).await.expect("a caller");
    assert_eq!(told(&caller), (alice.id.as_str(), Some(project.id.as_str()), vec!["member", "reader"]));
    is_rejected(&keystone.validate(shown(&token)).await);
    let not_a_service = real.token(&alice, Scope::Project(&project));
    is_rejected(&keystone.validate(Shown { service_token: Some(&not_a_service), ..shown(&token) }).await);
}

/// Uses a token until it is rejected. It is trusted for an hour, so that is what Keystone told about revocations.
async fn rejected_before_long(keystone: &Keystone, token: &str, what: &str) {
    let end = Instant::now() + PATIENCE;
    while keystone.validate(shown(token)).await.is_ok() {
        assert!(Instant::now() < end, "{what}: still good");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    is_rejected(&keystone.validate(shown(token)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_is_rejected_long_before_its_time_to_live_is_over() {
    let real = Real::private(Options::default());
    let (token_cache_ttl, revocation_poll) = (Duration::from_secs(3_600), Duration::from_secs(1));
    let keystone = Keystone::new(&Config { token_cache_ttl, revocation_poll, ..config(&real) })
        .expect("a good configuration");
    let following = tokio::spawn(keystone.follow_revocations());
    let project = real.project("studio");
    let member = || real.user("somebody", &project, &["member"]);
    let token = |user: &User| real.token(user, Scope::Project(&project));
    let change = |user: &User, change: Value| {
        let path = format!("/users/{}", user.id);
        real.admin("PATCH", &path, Some(&json!({"user": change}))).expect(200);
    };

    // Keystone counts a group's change from a second before, so this comes first and is used last.
    let grouped = real.user("grouped", &project, &[]);
    let group = json!({"group": {"name": "a group", "domain_id": "default"}});
    let group = text(&real.admin("POST", "/groups", Some(&group)).expect(201).json()["group"]["id"]);
    let role = real.admin("GET", "/roles?name=member", None).expect(200).json();
    let role = text(&role["roles"][0]["id"]);
    real.admin("PUT", &format!("/projects/{}/groups/{group}/roles/{role}", project.id), None).expect(204);
    let membership = format!("/groups/{group}/users/{}", grouped.id);
    real.admin("PUT", &membership, None).expect(204);
    let by_group = token(&grouped);
    accepted(&keystone, &by_group).await;

    let (alice, untouched) = (member(), member());
    let still_good = token(&untouched);
    accepted(&keystone, &still_good).await;
    let parent = token(&alice);
    let scope = json!({"project": {"id": project.id}});
    let child = sign_in(&real, &json!({"methods": ["token"], "token": {"id": parent}}), Some(scope));
    accepted(&keystone, &parent).await;
    accepted(&keystone, &child).await;
    real.revoke(&parent);
    rejected_before_long(&keystone, &parent, "its token deleted").await;
    rejected_before_long(&keystone, &child, "the token it was made from deleted").await;

    let (changed, disabled, deleted) = (member(), member(), member());
    let ways: [(&str, &User, &dyn Fn()); 3] = [
        ("password changed", &changed, &|| change(&changed, json!({"password": "another"}))),
        ("disabled", &disabled, &|| change(&disabled, json!({"enabled": false}))),
        ("deleted", &deleted, &|| {
            drop(real.admin("DELETE", &format!("/users/{}", deleted.id), None).expect(204))
        }),
    ];
    for (what, user, act) in ways {
        let token = token(user);
        accepted(&keystone, &token).await;
        act();
        rejected_before_long(&keystone, &token, what).await;
    }

    let (trustor, trustee) = (member(), member());
    for what in ["trust deleted", "trustor disabled"] {
        let by_trust = trust_token(&real, &trustor, &trustee, &project);
        accepted(&keystone, &by_trust).await;
        if what == "trustor disabled" {
            change(&trustor, json!({"enabled": false}));
        } else {
            let call = |method: &str, path: &str| {
                Call::new(method, format!("{}/OS-TRUST/trusts{path}", real.auth_url()))
                    .token(&token(&trustor))
            };
            let trusts = call("GET", &format!("?trustor_user_id={}", trustor.id)).send().expect(200).json();
            call("DELETE", &format!("/{}", text(&trusts["trusts"][0]["id"]))).send().expect(204);
        }
        rejected_before_long(&keystone, &by_trust, what).await;
    }

    real.admin("DELETE", &membership, None).expect(204);
    rejected_before_long(&keystone, &by_group, "group left").await;

    let misses = keystone.figures().misses;
    accepted(&keystone, &still_good).await;
    assert_eq!(keystone.figures().misses, misses, "nobody else was forgotten");
    real.admin("DELETE", &format!("/projects/{}", project.id), None).expect(204);
    rejected_before_long(&keystone, &still_good, "project deleted").await;
    following.abort();
}

/// The machine's clock, put forward at will.
#[derive(Debug, Default)]
struct Ahead {
    system: SystemClock,
    seconds: AtomicU64,
}

impl Ahead {
    fn seconds(&self) -> Duration {
        Duration::from_secs(self.seconds.load(Ordering::SeqCst))
    }
}

impl Clock for Ahead {
    fn wall(&self) -> DateTime<Utc> {
        self.system.wall() + self.seconds()
    }

    fn steady(&self) -> Duration {
        self.system.steady() + self.seconds()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_was_taken_away_is_gone_after_a_minute_if_it_was_a_powerful_one() {
    let real = Real::shared();
    let clock = Arc::new(Ahead::default());
    let config = Config { token_cache_ttl: Duration::from_secs(300), ..config(real) };
    let keystone =
        Keystone::with_clock(&config, Arc::clone(&clock) as Arc<dyn Clock>).expect("a configuration");
    let project = real.project("studio");
    let (root, alice) = (real.user("root", &project, &["admin"]), real.user("alice", &project, &["member"]));
    real.assign(&root, Scope::Project(&project), "reader");
    real.assign(&alice, Scope::Project(&project), "reader");
    let roots = real.token(&root, Scope::Project(&project));
    let alices = real.token(&alice, Scope::Project(&project));
    assert!(accepted(&keystone, &roots).await.has_role("admin"));
    assert!(accepted(&keystone, &alices).await.has_role("member"));
    real.withdraw(&root, Scope::Project(&project), "admin");
    real.withdraw(&alice, Scope::Project(&project), "member");

    clock.seconds.store(60, Ordering::SeqCst);
    assert_eq!(accepted(&keystone, &roots).await.roles(), ["reader"]);
    assert!(accepted(&keystone, &alices).await.has_role("member"), "trusted for five minutes");
    clock.seconds.store(300, Ordering::SeqCst);
    assert_eq!(accepted(&keystone, &alices).await.roles(), ["reader"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_may_sign_in_with_an_application_credential() {
    let real = Real::shared();
    let project = real.project("services");
    let user = real.user("image", &project, &["service"]);
    let made = credential(real, &user, &project, json!({}));
    let config = Config {
        auth_url: real.auth_url(),
        application_credential_id: Some(text(&made["id"])),
        application_credential_secret: Some(Secret::new(text(&made["secret"]))),
        ..patient()
    };
    let keystone = Keystone::new(&config).expect("a good configuration");
    let alice = real.user("alice", &project, &["member"]);
    let caller = accepted(&keystone, &real.token(&alice, Scope::Project(&project))).await;
    assert_eq!(caller.user.as_str(), alice.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_or_address_is_unavailable_and_says_why() {
    let real = Real::shared();
    let token = forged(2);
    let wrong = Config { password: Some(Secret::new("wrong")), ..config(real) };
    let reason = unavailable(Keystone::new(&wrong).unwrap().validate(shown(&token)).await);
    assert!(reason.contains("refuses the service's own credential"), "{reason}");
    for address in [real.auth_url().replace("/v3", "/identity"), real.auth_url().replace("/v3", "/v4")] {
        let wrong = Config { auth_url: address, ..config(real) };
        let reason = unavailable(Keystone::new(&wrong).unwrap().validate(shown(&token)).await);
        assert!(reason.contains("keystone.auth_url"), "{reason}");
    }
    for address in [real.auth_url(), format!("{}/", real.auth_url()), real.auth_url().replace("/v3", "")] {
        let right = Config { auth_url: address, ..config(real) };
        is_rejected(&Keystone::new(&right).unwrap().validate(shown(&token)).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_tokens_are_looked_at_here_and_decided_there() {
    let real = Real::private(Options { provider: Provider::Jws, expiration: 3600 });
    let keystone =
        Keystone::new(&Config { jws_public_keys: Some(real.jws_public_keys()), ..config(&real) }).unwrap();
    let project = real.project("studio");
    let alice = real.user("alice", &project, &["member"]);
    let (good, revoked) =
        (real.token(&alice, Scope::Project(&project)), real.token(&alice, Scope::Project(&project)));
    real.revoke(&revoked);
    assert_eq!(accepted(&keystone, &good).await.user.as_str(), alice.id);
    is_rejected(&keystone.validate(shown(&revoked)).await);
    assert_eq!(keystone.figures().bad_signatures, 0);

    let asked = keystone.figures().rejected.count();
    let (message, signature) = good.rsplit_once('.').unwrap();
    let turned: String = signature.chars().rev().collect();
    let other_message = message.replace("0", "1");
    for forged in [format!("{message}.{}A", &turned[1..]), format!("{other_message}.{signature}")] {
        is_rejected(&keystone.validate(shown(&forged)).await);
    }
    assert_eq!(keystone.figures().rejected.count(), asked, "nobody was asked");
    // With the key of another Keystone, a token of this one is nobody's.
    let folder = tempfile::tempdir().unwrap();
    let foreign = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n\
        6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n\
        -----END PUBLIC KEY-----\n";
    fs::write(folder.path().join("1.pem"), foreign).unwrap();
    let other = Config { jws_public_keys: Some(folder.path().to_owned()), ..config(&real) };
    let other = Keystone::new(&other).unwrap();
    is_rejected(&other.validate(shown(&good)).await);
    assert_eq!(other.figures().bad_signatures, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_own_token_is_renewed_before_and_after_its_end() {
    // Long enough for the slowest of machines to use a token before it ends.
    let real = Real::private(Options { expiration: 10, ..Options::default() });
    let keystone = service(&real);
    let mut number = 0;
    while keystone.figures().sign_ins < 3 {
        number += 1;
        is_rejected(&keystone.validate(shown(&forged(number))).await);
    }
    assert_eq!(keystone.figures().failed_sign_ins, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_token_that_was_revoked_is_replaced_without_anybody_noticing() {
    let real = Real::shared();
    let project = real.project("services");
    let user = real.user("image", &project, &["service"]);
    let keystone = asking_as(real, &user, &project);
    is_rejected(&keystone.validate(shown(&forged(4))).await);
    // Disabling revokes every token the user has; enabling brings none back.
    for enabled in [false, true] {
        let change = json!({"user": {"enabled": enabled}});
        real.admin("PATCH", &format!("/users/{}", user.id), Some(&change)).expect(200);
    }
    is_rejected(&keystone.validate(shown(&forged(5))).await);
    assert!((2..=3).contains(&keystone.figures().sign_ins));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keystone_that_is_gone_rejects_nobody_and_forgets_nobody() {
    let real = Real::private(Options::default());
    let keystone = service(&real);
    let project = real.project("studio");
    let alice = real.user("alice", &project, &["member"]);
    let warm = real.token(&alice, Scope::Project(&project));
    let cold = real.token(&alice, Scope::Project(&project));
    accepted(&keystone, &warm).await;
    real.stop();
    for number in 0..20 {
        let reason = unavailable(keystone.validate(shown(&cold)).await);
        assert!(reason.contains("cannot be reached") || reason.contains("is away"), "{reason}");
        unavailable(keystone.validate(shown(&forged(number))).await);
    }
    assert_eq!(keystone.figures().bad_entries, 0);
    patience::until("nobody to wait for Keystone", PATIENCE, || {
        keystone.figures().breaker_open.then_some(())
    });
    real.start();
    patience::until("Keystone to be asked again", PATIENCE, || {
        (!keystone.figures().breaker_open).then_some(())
    });
    accepted(&keystone, &cold).await;
    assert_eq!(accepted(&keystone, &warm).await.user.as_str(), alice.id);
}
