//! Signatures of webhooks, as the Standard Webhooks specification has them (symmetric, version `v1`).

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{Invalid, secret::Secret};

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// How many bytes a secret has: shorter ones can be guessed, longer ones are not in the specification.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// A key that calls are signed with. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// The key of a secret: `whsec_` and the Base64 form of 24 to 64 bytes.
    ///
    /// # Errors
    /// Another text. The error does not repeat it.
    pub fn parse(secret: &Secret) -> Result<Self, Invalid> {
        let encoded = secret.reveal().strip_prefix(PREFIX);
        let bytes = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
        let bytes = bytes.filter(|bytes| LENGTHS.contains(&bytes.len())).ok_or_else(|| {
            Invalid(format!(
                "must be \"{PREFIX}\" and the Base64 form of {} to {} random bytes, as the command \
                 `echo {PREFIX}$(openssl rand -base64 32)` makes them",
                LENGTHS.start(),
                LENGTHS.end(),
            ))
        })?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

/// Keys are equal that sign alike.
impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        let signature = |Self(key): &Self| hmac::sign(key, b"");
        signature(self).as_ref() == signature(other).as_ref()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// The value of `webhook-signature`: a signature with each of the keys, separated by spaces.
pub(crate) fn sign(keys: &[SigningKey], id: &str, timestamp: &str, body: &str) -> String {
    let signature = |SigningKey(key): &SigningKey| {
        let mut signing = hmac::Context::with_key(key);
        for part in [id, ".", timestamp, ".", body] {
            signing.update(part.as_bytes());
        }
        format!("v1,{}", STANDARD.encode(signing.sign()))
    };
    keys.iter().map(signature).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &str) -> SigningKey {
        SigningKey::parse(&Secret::new(secret)).unwrap()
    }

    /// The example of the specification's reference libraries.
    #[test]
    fn a_signature_is_the_one_of_the_published_example() {
        let keys = [key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
        let signed = sign(&keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_key_has_its_signature_in_order() {
        let (old, new) =
            (key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx"));
        let both = sign(&[new.clone(), old.clone()], "id", "1", "body");
        let alone = |key: SigningKey| sign(&[key], "id", "1", "body");
        assert_eq!(both, format!("{} {}", alone(new), alone(old)));
    }

    #[test]
    fn keys_are_equal_that_sign_alike() {
        let of = |bytes: &[u8]| key(&format!("whsec_{}", STANDARD.encode(bytes)));
        assert_eq!(of(&[7; 24]), of(&[7; 24]));
        assert_ne!(of(&[7; 24]), of(&[7; 25]));
        // HMAC fills keys up with zeros.
        assert_eq!(of(&[7; 24]), of(&[[7; 24].as_slice(), &[0]].concat()));
    }

    #[test]
    fn a_secret_that_is_none_is_refused_without_repeating_it() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for secret in ["", "hunter2", "whsec_", "whsec_hunter2!", &of(23), &of(65), &of(32)[6..]] {
            let refused = SigningKey::parse(&Secret::new(secret)).unwrap_err().to_string();
            assert!(refused.contains("24 to 64") && !refused.contains("hunter2"), "{refused}");
        }
        for bytes in [24, 64] {
            assert_eq!(format!("{:?}", key(&of(bytes))), "***");
        }
    }
}
