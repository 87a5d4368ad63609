//! The ES256 key pair: made at start, or kept in a file so that tokens survive a restart.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Error;

/// The file in the data directory: PKCS#8 in DER, mode 0600.
const FILE: &str = "identity-signing-key.p8";

/// A P-256 key pair.
pub(crate) struct SigningKey {
    /// PKCS#8 in DER.
    pub(crate) private_der: Vec<u8>,
    /// `BEGIN PUBLIC KEY`, as Keystone's `jws_public_key_repository` holds it.
    pub(crate) public_pem: String,
}

impl SigningKey {
    /// A new key, kept nowhere.
    pub(crate) fn generate() -> Result<Self, Error> {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let private_der = made.map_err(|_| Error::KeyGeneration)?.as_ref().to_vec();
        Self::from_der(private_der).ok_or(Error::KeyGeneration)
    }

    /// The key kept in this directory; made, with the directory, the first time.
    pub(crate) fn kept_in(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(FILE);
        match fs::read(&path) {
            Ok(private_der) => Self::from_der(private_der).ok_or(Error::NotAKey(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::generate()?;
                fs::create_dir_all(directory)
                    .and_then(|()| write_private(&path, &key.private_der))
                    .map_err(|source| Error::KeyFile { path, source })?;
                Ok(key)
            }
            Err(source) => Err(Error::KeyFile { path, source }),
        }
    }

    fn from_der(private_der: Vec<u8>) -> Option<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &private_der).ok()?;
        let public_der = pair.public_key().as_der().ok()?;
        Some(Self { private_der, public_pem: public_pem(public_der.as_ref()) })
    }
}

/// Written beside and renamed, so that a start cut short leaves no half a key.
fn write_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("p8.unfinished");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(unfinished, path)
}

fn public_pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let (mut pem, mut rest) = ("-----BEGIN PUBLIC KEY-----\n".to_owned(), text.as_str());
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END PUBLIC KEY-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_key_is_the_same_at_the_next_start_and_readable_by_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("made/on/demand");
        let first = SigningKey::kept_in(&data).unwrap();
        let second = SigningKey::kept_in(&data).unwrap();
        assert_eq!(first.public_pem, second.public_pem);
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(data.join(FILE)).unwrap());
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_no_key_is_named_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        fs::write(&path, "not a key").unwrap();
        let said = SigningKey::kept_in(directory.path()).map(|_| ()).unwrap_err().to_string();
        assert!(said.contains(FILE) && said.contains("delete it"), "{said}");
        assert_eq!(fs::read(&path).unwrap(), b"not a key");
    }
}
