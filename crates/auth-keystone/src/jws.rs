//! Signed tokens: what can be refused without asking Keystone. Nothing is ever accepted here, for a signature says
//! neither who still exists nor which roles they have.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::sync::Mutex;

use crate::config::{Invalid, JwsAlgorithm};

/// The folder is read again this often while signed tokens come in.
const REREAD: Duration = Duration::from_secs(5);
/// And this soon when a signature fits no key: it may be by a key that has just been put there.
const REREAD_ON_MISMATCH: Duration = Duration::from_secs(1);
/// No public key is longer.
const LONGEST_FILE: u64 = 64 * 1024;
const KEY: &str = "keystone.jws_public_keys";

/// What a look at a token tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing against it; only Keystone can say more.
    Ask,
    /// Not signed by any of the keys with an algorithm that is allowed, or not a signed token at all.
    Forged,
    /// Signed, and past its end.
    Expired,
}

/// Looks at signed tokens with the public keys of a folder.
#[derive(Debug)]
pub(crate) struct Jws {
    folder: PathBuf,
    algorithms: Vec<JwsAlgorithm>,
    leeway: TimeDelta,
    keys: Mutex<Read>,
}

#[derive(Debug)]
struct Read {
    keys: Arc<Keys>,
    /// On the steady clock.
    at: Duration,
}

/// The good keys of a folder by file name.
struct Keys {
    by_file: BTreeMap<String, DecodingKey>,
    /// Where the key stands that fitted last; most tokens are signed by the same.
    fitted_last: AtomicUsize,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.by_file.keys()).finish()
    }
}

/// A token in its parts.
struct Signed<'a> {
    message: &'a str,
    claims: &'a str,
    signature: &'a str,
    algorithm: Algorithm,
}

impl Jws {
    /// Reads the folder; `now` is on the steady clock.
    ///
    /// # Errors
    /// It cannot be read or holds no public key.
    pub(crate) fn new(
        folder: &Path,
        algorithms: &[JwsAlgorithm],
        leeway: Duration,
        now: Duration,
    ) -> Result<Self, Invalid> {
        let invalid = |reason: &str| Invalid::new(KEY, format!("{}: {reason}", folder.display()));
        let keys = Keys::read(folder, None).map_err(|error| invalid(&error.to_string()))?;
        if keys.by_file.is_empty() {
            return Err(invalid(
                "holds no public key; it should be a folder of PEM files with BEGIN PUBLIC KEY",
            ));
        }
        Ok(Self {
            folder: folder.to_owned(),
            algorithms: algorithms.to_vec(),
            leeway: TimeDelta::from_std(leeway).unwrap_or_default(),
            keys: Mutex::new(Read { keys: Arc::new(keys), at: now }),
        })
    }

    /// Looks at a canonical token. `now` is Keystone's time of day, if known; `steady` is on the steady clock.
    pub(crate) async fn look(&self, token: &str, now: Option<DateTime<Utc>>, steady: Duration) -> Look {
        // Other providers' tokens have no dots; those with one or three are nobody's, as Keystone will say.
        if token.bytes().filter(|byte| *byte == b'.').count() != 2 {
            return Look::Ask;
        }
        let signed = match self.parts(token) {
            Ok(signed) => signed,
            Err(look) => return look,
        };
        let keys = self.keys(steady, REREAD).await;
        if !keys.fit(&signed) {
            let newer = self.keys(steady, REREAD_ON_MISMATCH).await;
            if Arc::ptr_eq(&keys, &newer) || !newer.fit(&signed) {
                return Look::Forged;
            }
        }
        let end = decoded::<Claims>(signed.claims).and_then(|claims| DateTime::from_timestamp(claims.exp, 0));
        match (end, now) {
            // Subtracted here, for the end may be the end of time.
            (Some(end), Some(now)) if end < now - self.leeway => Look::Expired,
            // Claims that Keystone signed and we do not understand are for Keystone to judge, and so is an end as
            // long as we do not know what time it is there.
            _ => Look::Ask,
        }
    }

    /// Takes a token apart, if it claims an algorithm that is allowed and can be checked here.
    fn parts<'a>(&self, token: &'a str) -> Result<Signed<'a>, Look> {
        let (message, signature) = token.rsplit_once('.').ok_or(Look::Forged)?;
        let (header, claims) = message.split_once('.').ok_or(Look::Forged)?;
        let header: Header = decoded(header).ok_or(Look::Forged)?;
        let allowed = self.algorithms.iter().find(|allowed| allowed.name() == header.alg);
        let algorithm = match allowed.ok_or(Look::Forged)? {
            JwsAlgorithm::Es256 => Algorithm::ES256,
            JwsAlgorithm::Es384 => Algorithm::ES384,
            JwsAlgorithm::EdDsa => Algorithm::EdDSA,
            JwsAlgorithm::Es512 => return Err(Look::Ask),
        };
        Ok(Signed { message, claims, signature, algorithm })
    }

    /// The keys, read anew if they were last read `at_most` ago or longer.
    async fn keys(&self, steady: Duration, at_most: Duration) -> Arc<Keys> {
        // Held while reading: who comes meanwhile waits for the new keys.
        let mut read = self.keys.lock().await;
        if steady.saturating_sub(read.at) < at_most {
            return Arc::clone(&read.keys);
        }
        read.at = steady;
        let folder = self.folder.clone();
        let before = Arc::clone(&read.keys);
        let found = tokio::task::spawn_blocking(move || Keys::read(&folder, Some(&before))).await;
        let folder = self.folder.display();
        match found {
            Ok(Ok(keys)) if !keys.by_file.is_empty() => read.keys = Arc::new(keys),
            Ok(Ok(_)) => tracing::warn!(%folder, "{KEY} is empty now; the last keys stay in use"),
            Ok(Err(error)) => {
                tracing::warn!(%folder, %error, "{KEY} cannot be read; the last keys stay in use")
            }
            // The process is stopping.
            Err(_) => {}
        }
        Arc::clone(&read.keys)
    }
}

impl Keys {
    /// Reads all files, as Keystone does. One that holds no public key, perhaps since it is being written, does not
    /// take away the key it held `before`.
    fn read(folder: &Path, before: Option<&Self>) -> io::Result<Self> {
        let mut by_file = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            // Hidden names are how Kubernetes exchanges a folder as a whole.
            if name.starts_with('.') || !path.is_file() {
                continue;
            }
            let key = public_key(&path).or_else(|| {
                tracing::warn!(file = %path.display(), "holds no public key (PEM, EC or Ed25519)");
                before.and_then(|before| before.by_file.get(name).cloned())
            });
            if let Some(key) = key {
                by_file.insert(name.to_owned(), key);
            }
        }
        let fitted_last = AtomicUsize::new(before.map_or(0, |before| before.fitted_last.load(Relaxed)));
        Ok(Self { by_file, fitted_last })
    }

    /// Whether one of the keys fits the signature. Signatures with a high and with a low s are both Keystone's.
    fn fit(&self, signed: &Signed<'_>) -> bool {
        let last = self.fitted_last.load(Relaxed);
        let fits = |(_, key): &(usize, &DecodingKey)| {
            crypto::verify(signed.signature, signed.message.as_bytes(), key, signed.algorithm)
                .unwrap_or(false)
        };
        let numbered = || self.by_file.values().enumerate();
        let found = numbered()
            .filter(|(place, _)| *place == last)
            .chain(numbered().filter(|(place, _)| *place != last))
            .find(fits);
        if let Some((place, _)) = found {
            self.fitted_last.store(place, Relaxed);
        }
        found.is_some()
    }
}

fn public_key(file: &Path) -> Option<DecodingKey> {
    if fs::metadata(file).ok()?.len() > LONGEST_FILE {
        return None;
    }
    let pem = fs::read(file).ok()?;
    DecodingKey::from_ec_pem(&pem).or_else(|_| DecodingKey::from_ed_pem(&pem)).ok()
}

/// A part read as JSON; base64 that is padded or not exact is nobody's.
fn decoded<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
}
