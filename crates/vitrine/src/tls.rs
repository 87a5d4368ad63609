//! TLS: a certificate and its key from two files, looked at again and again; new connections get what is there now.
//!
//! A connection that is open stays as it is. Files that cannot be used change nothing: the last good ones serve on, and the
//! log says what is wrong, once.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::config::{BadConfig, TlsKeys};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What the service proves itself by.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsKeys,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
    /// Before they were read: what changes meanwhile is a change.
    first_stamp: Stamp,
}

/// What tells one state of the files from another.
type Stamp = [Option<(u64, i64, i64, u64)>; 2];

impl Tls {
    /// Reads the files; `None` if none are named.
    ///
    /// # Errors
    /// One file without the other, and what reading them refuses.
    pub(crate) fn of(files: &TlsKeys) -> Result<Option<Arc<Self>>, BadConfig> {
        let [certificate, key] = [&files.certificate, &files.key].map(|path| !path.as_os_str().is_empty());
        match (certificate, key) {
            (false, false) => return Ok(None),
            (true, true) => {}
            (true, false) => {
                return Err(BadConfig::new(
                    "tls.key",
                    "is not set, but tls.certificate is: name both or neither",
                ));
            }
            (false, true) => {
                return Err(BadConfig::new(
                    "tls.certificate",
                    "is not set, but tls.key is: name both or neither",
                ));
            }
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let first_stamp = stamp(files);
        let current = RwLock::new(Arc::new(read(files, &provider)?));
        Ok(Some(Arc::new(Self { files: files.clone(), provider, current, first_stamp })))
    }

    /// How connections are made: TLS 1.2 and 1.3, HTTP/1.1.
    ///
    /// # Errors
    /// A library that knows neither.
    pub(crate) fn server(self: &Arc<Self>) -> Result<ServerConfig, rustls::Error> {
        let server = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let server = server.with_safe_default_protocol_versions()?.with_no_client_auth();
        Ok(server.with_cert_resolver(Arc::clone(self) as _))
    }

    /// Looks at the files for as long as the service runs.
    pub(crate) async fn keep_fresh(self: Arc<Self>) {
        let mut seen = self.first_stamp;
        loop {
            tokio::time::sleep(LOOK).await;
            let stamp = stamp(&self.files);
            if stamp != seen {
                seen = stamp;
                self.renew();
            }
        }
    }

    fn renew(&self) {
        match read(&self.files, &self.provider) {
            Ok(key) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
                tracing::info!(certificate = %self.files.certificate.display(), "new certificate");
            }
            // Perhaps only one of the two is there yet.
            Err(bad) => {
                tracing::error!(key = bad.key, cause = bad.reason, "the last certificate stays in use")
            }
        }
    }
}

impl ResolvesServerCert for Tls {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn stamp(files: &TlsKeys) -> Stamp {
    let stamp = |file: Metadata| (file.ino(), file.mtime(), file.mtime_nsec(), file.len());
    [&files.certificate, &files.key].map(|path| fs::metadata(path).ok().map(stamp))
}

/// Reads a certificate, with those between it and its authority, and its key.
///
/// # Errors
/// A file that cannot be read or holds no such thing; a key of another kind or of another certificate.
fn read(files: &TlsKeys, provider: &CryptoProvider) -> Result<CertifiedKey, BadConfig> {
    let bad =
        |key: &str, path: &Path, reason: String| BadConfig::new(key, format!("{}: {reason}", path.display()));
    let text = |key: &str, path: &PathBuf| {
        fs::read(path).map_err(|error| bad(key, path, format!("cannot be read: {error}")))
    };
    let (certificate, key) = (&files.certificate, &files.key);
    let chain =
        CertificateDer::pem_slice_iter(&text("tls.certificate", certificate)?).collect::<Result<Vec<_>, _>>();
    let chain = chain.unwrap_or_default();
    if chain.is_empty() {
        let reason = "holds no certificate; it should be PEM with BEGIN CERTIFICATE".to_owned();
        return Err(bad("tls.certificate", certificate, reason));
    }
    let secret = PrivateKeyDer::from_pem_slice(&text("tls.key", key)?).map_err(|_| {
        bad("tls.key", key, "holds no private key; it should be PEM with BEGIN PRIVATE KEY".to_owned())
    })?;
    CertifiedKey::from_der(chain, secret, provider)
        .map_err(|error| bad("tls.key", key, format!("is no key to tls.certificate: {error}")))
}
