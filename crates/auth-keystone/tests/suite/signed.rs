//! Signed tokens, with Keystone's public keys at hand.

use std::{fs, path::Path, time::Duration};

use auth_keystone::{Config, JwsAlgorithm, Keystone};
use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stand_in::{StandIn, Verdict, token, verdict};

/// The order of P-256.
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/// A key of Keystone, or of somebody who would like to be.
struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<_> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    fn publish(&self, folder: &Path, name: &str) {
        fs::write(folder.join(name), self.pem()).unwrap();
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A token as Keystone signs it, ending so many seconds from now.
    fn token(&self, life: i64) -> String {
        self.sign(&json!({"alg": "ES256", "typ": "JWT"}), &claims(life))
    }
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn claims(life: i64) -> Value {
    let now = Utc::now();
    json!({
        "sub": "6c81211a796a4ae3940cca1e6af77c96",
        "iat": now.timestamp(),
        "exp": (now + TimeDelta::seconds(life)).timestamp(),
        "openstack_methods": ["password"],
        "openstack_audit_ids": [token("audit")],
        "openstack_project_id": "9c81211a796a4ae3940cca1e6af77c96",
    })
}

/// Keystone, its key, and a validator that has it.
struct Scene {
    stand_in: StandIn,
    signer: Signer,
    folder: TempDir,
    keystone: Keystone,
}

impl Scene {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let (stand_in, signer, folder) = (StandIn::start(), Signer::new(), tempfile::tempdir().unwrap());
        signer.publish(folder.path(), "1.pem");
        Signer::new().publish(folder.path(), "2.pem");
        let mut config = stand_in.config();
        config.jws_public_keys = Some(folder.path().to_owned());
        change(&mut config);
        let keystone = stand_in.keystone_with(&config);
        Self { stand_in, signer, folder, keystone }
    }

    /// The verdict, and whether Keystone was asked.
    async fn verdict(&self, token: &str) -> (Verdict, bool) {
        let before = self.stand_in.gets();
        let said = verdict(&self.keystone, token).await;
        (said, self.stand_in.gets() > before)
    }
}

const REFUSED_UNASKED: (Verdict, bool) = (Verdict::Rejected, false);
const ACCEPTED: (Verdict, bool) = (Verdict::Accepted, true);

#[tokio::test]
async fn a_signature_alone_is_never_enough() {
    let scene = Scene::new();
    let token = scene.signer.token(60);
    assert_eq!(scene.verdict(&token).await, (Verdict::Rejected, true), "Keystone does not know it");
    let known = scene.signer.token(60);
    scene.stand_in.admit(&known);
    assert_eq!(scene.verdict(&known).await, ACCEPTED);
}

#[tokio::test]
async fn forged_tokens_are_refused_without_asking() {
    let scene = Scene::new();
    let good = scene.signer.token(60);
    let [header, body, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let secret = hmac::Key::new(hmac::HMAC_SHA256, scene.signer.pem().as_bytes());
    let by_hmac = |alg: &str| {
        let message = format!("{}.{body}", part(&json!({"alg": alg, "typ": "JWT"})));
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&secret, message.as_bytes())))
    };
    let foreign = |alg: &str| scene.signer.sign(&json!({"alg": alg}), &claims(60));
    let mut richer = claims(60);
    richer["openstack_project_id"] = json!("somebody-elses");
    for forged in [
        Signer::new().token(60),
        format!("{header}.{}.{signature}", part(&richer)),
        format!("{}.{body}.{signature}", part(&json!({"alg": "ES256", "typ": "JWT", "kid": "1"}))),
        format!("{}.{body}.", part(&json!({"alg": "none"}))),
        format!("{}.{body}.{signature}", part(&json!({"alg": "none"}))),
        format!("{header}.{body}."),
        format!("{header}.{body}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
        by_hmac("HS256"),
        by_hmac("ES256"),
        foreign("ES384"),
        foreign("ES512"),
        foreign("RS256"),
        foreign("es256"),
        scene.signer.sign(&json!({"typ": "JWT"}), &claims(60)),
        format!("junk-is-here.{body}.{signature}"),
        format!("{header}..{signature}"),
        format!("..{}", "A".repeat(40)),
    ] {
        assert_eq!(scene.verdict(&forged).await, REFUSED_UNASKED, "{forged}");
    }
    assert!(scene.keystone.figures().bad_signatures >= 10);
}

#[tokio::test]
async fn expired_tokens_are_refused_without_asking_but_not_within_the_leeway() {
    let scene = Scene::new();
    // Tokens are made by the machine's clock: one may only look younger for it.
    scene.stand_in.hands.stop();
    // Until the service has signed in, it does not know what time it is at Keystone.
    assert_eq!(scene.verdict(&scene.signer.token(-60)).await, (Verdict::Rejected, true));
    assert_eq!(scene.verdict(&scene.signer.token(-60)).await, REFUSED_UNASKED);
    assert_eq!(scene.verdict(&scene.signer.token(-3)).await, (Verdict::Rejected, true));
    assert_eq!(scene.keystone.figures().expired_signed, 1);
    let patient = Scene::with(|config| config.jws_leeway = Duration::from_secs(60));
    for _ in 0..2 {
        assert_eq!(patient.verdict(&patient.signer.token(-10)).await, (Verdict::Rejected, true));
    }
}

#[tokio::test]
async fn an_end_at_the_end_of_time_or_beyond_is_for_keystone_to_judge() {
    let scene = Scene::new();
    verdict(&scene.keystone, &token("mallory")).await;
    let last = DateTime::<Utc>::MAX_UTC.timestamp();
    for end in [last, last + 1, i64::MAX, i64::MIN] {
        let mut claims = claims(0);
        claims["exp"] = end.into();
        let signed = scene.signer.sign(&json!({"alg": "ES256", "typ": "JWT"}), &claims);
        assert_eq!(scene.verdict(&signed).await, (Verdict::Rejected, true), "{end}");
    }
}

#[tokio::test]
async fn a_token_ends_by_keystones_clock_and_not_by_ours() {
    let scene = Scene::new();
    scene.stand_in.realm(|realm| realm.ahead = TimeDelta::hours(-1));
    verdict(&scene.keystone, &token("mallory")).await;
    assert_eq!(scene.verdict(&scene.signer.token(-10)).await, (Verdict::Rejected, true));
    assert_eq!(scene.verdict(&scene.signer.token(-3_620)).await, REFUSED_UNASKED);
}

#[tokio::test]
async fn signatures_with_a_high_and_with_a_low_s_are_both_keystones() {
    let scene = Scene::new();
    let token = scene.signer.token(60);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let twin =
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(twin(&URL_SAFE_NO_PAD.decode(signature).unwrap())));
    assert_ne!(token, twin);
    for token in [token, twin] {
        scene.stand_in.admit(&token);
        assert_eq!(scene.verdict(&token).await, ACCEPTED);
    }
}

/// The same signature with n - s in place of s.
fn twin(signature: &[u8]) -> Vec<u8> {
    let order: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&ORDER[2 * at..2 * at + 2], 16).unwrap()).collect();
    let mut twin = signature.to_vec();
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i16::from(order[at]) - i16::from(signature[32 + at]) - borrow;
        borrow = i16::from(difference < 0);
        twin[32 + at] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    twin
}

#[tokio::test]
async fn base64_that_is_padded_or_not_exact_is_refused_without_asking() {
    let scene = Scene::new();
    let token = scene.signer.token(60);
    let [header, body, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    // The last letter carries four unused bits, all zero.
    let last = signature.chars().last().unwrap();
    let inexact = char::from(u8::try_from(last).unwrap() + 1);
    for alias in [
        format!("{header}=.{body}.{signature}"),
        format!("{header}.{body}==.{signature}"),
        format!("{header}.{body}.{}{inexact}", &signature[..signature.len() - 1]),
    ] {
        assert_eq!(scene.verdict(&alias).await, REFUSED_UNASKED, "{alias}");
    }
    // Padding at the very end is the same token, and is sent as such.
    scene.stand_in.admit(&token);
    assert_eq!(scene.verdict(&format!("{token}==")).await, ACCEPTED);
    assert_eq!(scene.verdict(&token).await, (Verdict::Accepted, false));
}

#[tokio::test]
async fn a_new_key_counts_a_second_later_at_the_latest() {
    let scene = Scene::new();
    let next = Signer::new();
    let token = next.token(60);
    scene.stand_in.admit(&token);
    scene.stand_in.hands.put_forward(Duration::from_secs(1));
    assert_eq!(scene.verdict(&token).await, REFUSED_UNASKED, "looked for and not found");
    next.publish(scene.folder.path(), "3.pem");
    scene.stand_in.hands.put_forward(Duration::from_secs(1));
    assert_eq!(scene.verdict(&token).await, ACCEPTED);
}

#[tokio::test]
async fn the_folder_is_not_read_more_than_once_a_second_for_forgeries() {
    let scene = Scene::new();
    scene.stand_in.hands.stop();
    let next = Signer::new();
    assert_eq!(scene.verdict(&Signer::new().token(60)).await, REFUSED_UNASKED);
    let token = next.token(60);
    scene.stand_in.admit(&token);
    scene.stand_in.hands.put_forward(Duration::from_secs(1));
    assert_eq!(scene.verdict(&Signer::new().token(60)).await, REFUSED_UNASKED);
    // Just read; not again within this second.
    next.publish(scene.folder.path(), "3.pem");
    assert_eq!(scene.verdict(&token).await, REFUSED_UNASKED);
}

#[tokio::test]
async fn a_withdrawn_key_counts_no_more_five_seconds_later() {
    let scene = Scene::new();
    let token = scene.signer.token(60);
    fs::remove_file(scene.folder.path().join("1.pem")).unwrap();
    scene.stand_in.hands.put_forward(Duration::from_secs(5));
    assert_eq!(scene.verdict(&token).await, REFUSED_UNASKED);
}

#[tokio::test]
async fn a_bad_file_or_an_empty_folder_takes_no_key_away() {
    let scene = Scene::new();
    let path = scene.folder.path();
    fs::write(path.join("1.pem"), "-----BEGIN PUBLIC KEY-----\nhalf wri").unwrap();
    fs::write(path.join("notes.txt"), "not a key").unwrap();
    fs::create_dir(path.join("..data")).unwrap();
    let third = Signer::new();
    third.publish(path, "3.pem");
    scene.stand_in.hands.put_forward(Duration::from_secs(5));
    for signer in [&scene.signer, &third] {
        let token = signer.token(60);
        scene.stand_in.admit(&token);
        assert_eq!(scene.verdict(&token).await, ACCEPTED);
    }
    for name in ["1.pem", "2.pem", "3.pem", "notes.txt"] {
        fs::remove_file(path.join(name)).unwrap();
    }
    scene.stand_in.hands.put_forward(Duration::from_secs(5));
    let token = third.token(60);
    scene.stand_in.admit(&token);
    assert_eq!(scene.verdict(&token).await, ACCEPTED);
}

#[tokio::test]
async fn other_formats_are_asked_about() {
    let scene = Scene::new();
    for other in [token("gAAAAABpIk5m"), token("uuid")] {
        let other = other.replace('-', "");
        let other = &other[..other.len() / 4 * 4];
        scene.stand_in.admit(other);
        assert_eq!(scene.verdict(other).await, ACCEPTED, "{other}");
    }
}

#[tokio::test]
async fn an_algorithm_that_is_allowed_but_cannot_be_checked_is_asked_about() {
    let scene = Scene::with(|config| config.jws_algorithms.push(JwsAlgorithm::Es512));
    let token = scene.signer.sign(&json!({"alg": "ES512"}), &claims(60));
    scene.stand_in.admit(&token);
    assert_eq!(scene.verdict(&token).await, ACCEPTED);
    assert_eq!(scene.verdict(&Signer::new().token(60)).await, REFUSED_UNASKED);
}

#[tokio::test]
async fn a_folder_without_a_key_stops_the_start_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("missing")] {
        let mut config = StandIn::start().config();
        config.jws_public_keys = Some(path);
        let error = Keystone::new(&config).unwrap_err();
        assert_eq!(error.key, "keystone.jws_public_keys");
    }
}

#[test]
fn whatever_has_three_parts_and_is_not_keystones_is_refused_without_asking() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let scene = runtime.block_on(async { Scene::new() });
    let good = scene.signer.token(60);
    let parts = "[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,90}";
    let altered = (0..good.len(), "[A-Za-z0-9_-]").prop_map({
        let good = good.clone();
        move |(at, letter)| format!("{}{letter}{}", &good[..at], &good[at + 1..])
    });
    let strategy = prop_oneof![parts.prop_map(String::from), altered];
    TestRunner::default()
        .run(&strategy, |token| {
            prop_assume!(token != good && token.matches('.').count() == 2);
            prop_assert_eq!(runtime.block_on(scene.verdict(&token)), REFUSED_UNASKED);
            Ok(())
        })
        .unwrap();
}
