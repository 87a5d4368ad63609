//! Tokens, and what Keystone says about them: no bytes break a reader, nothing forged is let through to Keystone, and
//! nobody is vouched for but by a good answer. The first byte chooses what is read.

use std::sync::LazyLock;

use auth_keystone::fuzzing::{self, Looker, Seen};
use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::{DateTime, Utc};

/// Panics where it does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let Some((choice, input)) = bytes.split_first() else { return };
    let now = (choice & 8 == 0).then_some(NOON);
    match choice % 4 {
        0 => {
            let Ok(text) = str::from_utf8(input) else { return };
            fuzzing::form(text, now);
            strange(text, now);
        }
        1 => signed(input, now),
        2 => tampered(input, now),
        _ => answered(*choice, input),
    }
}

/// Noon of 2026-11-22.
const NOON: DateTime<Utc> = DateTime::from_timestamp(1_795_348_800, 0).expect("a time");

/// Two public keys in a folder, and those who can sign for them.
struct Signers {
    looker: Looker,
    ecdsa: EcdsaKeyPair,
    eddsa: Ed25519KeyPair,
}

static SIGNERS: LazyLock<Signers> = LazyLock::new(|| {
    let ecdsa = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("random numbers");
    let eddsa = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed");
    let folder = tempfile::tempdir().expect("room for two files");
    let ecdsa_der = AsDer::<PublicKeyX509Der<'_>>::as_der(ecdsa.public_key()).expect("a key");
    let eddsa_der = AsDer::<PublicKeyX509Der<'_>>::as_der(eddsa.public_key()).expect("a key");
    for (name, der) in [("1.pem", ecdsa_der.as_ref()), ("2.pem", eddsa_der.as_ref())] {
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
        std::fs::write(folder.path().join(name), pem).expect("room for two files");
    }
    Signers { looker: Looker::new(folder.path()), ecdsa, eddsa }
});

/// Nobody signed it, so with three parts it is forged whatever it says; with fewer or more it is of another kind.
fn strange(token: &str, now: Option<DateTime<Utc>>) {
    let parts = token.bytes().filter(|byte| *byte == b'.').count() + 1;
    let expected = if parts == 3 { Seen::Forged } else { Seen::Nothing };
    assert_eq!(SIGNERS.looker.look(token, now), expected, "{token:?}");
}

/// Whatever Keystone signed is never forged, and expired only if it says so.
fn signed(claims: &[u8], now: Option<DateTime<Utc>>) {
    for algorithm in ["ES256", "EdDSA"] {
        let token = sign(algorithm, algorithm, claims);
        assert_ne!(SIGNERS.looker.look(&token, now), Seen::Forged, "{token}");
        fuzzing::form(&token, now);
        if now.is_none() {
            assert_eq!(
                SIGNERS.looker.look(&token, now),
                Seen::Nothing,
                "expired, though nobody knows the time"
            );
        }
    }
    // The algorithm of one key and the signature of the other.
    let crossed = sign("ES256", "EdDSA", claims);
    assert_eq!(SIGNERS.looker.look(&crossed, now), Seen::Forged, "{crossed}");
}

/// One byte of a good token is another: the input says which, and by how much.
fn tampered(input: &[u8], now: Option<DateTime<Utc>>) {
    let [high, low, change, claims @ ..] = input else { return };
    let algorithm = if low & 1 == 0 { "ES256" } else { "EdDSA" };
    let mut token = sign(algorithm, algorithm, claims).into_bytes();
    let place = usize::from(u16::from_be_bytes([*high, *low])) % token.len();
    let before = token[place];
    token[place] = before.wrapping_add(*change);
    let Ok(token) = String::from_utf8(token) else { return };
    if token.as_bytes()[place] != before {
        strange(&token, now);
    }
}

fn sign(named: &str, algorithm: &str, claims: &[u8]) -> String {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let header = format!(r#"{{"alg":"{named}","typ":"JWT"}}"#);
    let message = format!("{}.{}", part(header.as_bytes()), part(claims));
    let signature = if algorithm == "EdDSA" {
        SIGNERS.eddsa.sign(message.as_bytes()).as_ref().to_vec()
    } else {
        let signature = SIGNERS.ecdsa.sign(&SystemRandom::new(), message.as_bytes());
        signature.expect("random numbers").as_ref().to_vec()
    };
    format!("{message}.{}", part(&signature))
}

/// An answer, what is revoked and the call at hand, separated by lines of a NUL.
fn answered(choice: u8, input: &[u8]) {
    const STATUSES: [u16; 16] =
        [200, 200, 200, 200, 204, 300, 302, 400, 401, 403, 404, 410, 429, 500, 503, 504];
    let mut parts = input.splitn(3, |byte| *byte == 0);
    let mut next = || parts.next().unwrap_or_default();
    let (body, events, call) = (next(), next(), next());
    let call = String::from_utf8_lossy(call);
    let status = STATUSES[usize::from(choice >> 4)];
    for may_validate in [true, false] {
        fuzzing::answer(status, body, may_validate, events, &call);
    }
}
