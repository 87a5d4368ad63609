//! Keystone behind TLS, with an authority of the operator's own.

use std::{fs, io::Write, path::Path, sync::Arc};

use auth_keystone::{Config, Keystone};
use core_domain::tokens::{TokenError, Tokens};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs::default_provider,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::{
    rude::{read_request, rude},
    stand_in::{StandIn, Verdict, config, shown, token, verdict},
};

/// A certificate for `localhost` (PEM), and the address of a Keystone that shows it and knows no token.
fn keystone_behind_tls() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let server = Arc::new(server);
    let body =
        StandIn::start().realm(|realm| realm.describe("vitrine", "service", &["service"], 3600)).to_string();
    let (port, _) = rude(move |_, stream| {
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&server)).unwrap(), stream);
        let signed_in = ("201 Created\r\nX-Subject-Token: own-token-of-the-service", body.as_str());
        let unknown = ("404 Not Found", r#"{"error": {"code": 404}}"#);
        // The first request on the one kept connection is the sign-in.
        for (head, body) in [signed_in, unknown] {
            read_request(&mut stream);
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}");
            let _ = stream.flush();
        }
    });
    (certificate.pem(), format!("https://localhost:{port}"))
}

fn trusting(file: &Path, pem: &str, auth_url: &str) -> Config {
    fs::write(file, pem).unwrap();
    Config { auth_url: auth_url.to_owned(), ca_file: Some(file.to_owned()), ..config(0) }
}

#[tokio::test]
async fn a_keystone_whose_authority_is_in_the_ca_file_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (pem, auth_url) = keystone_behind_tls();
    let keystone = Keystone::new(&trusting(&folder.path().join("ca.pem"), &pem, &auth_url)).unwrap();
    assert_eq!(verdict(&keystone, &token("mallory")).await, Verdict::Rejected);
}

#[tokio::test]
async fn a_keystone_that_nobody_known_vouches_for_is_told_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_, auth_url) = keystone_behind_tls();
    let (other, _) = keystone_behind_tls();
    let keystone = Keystone::new(&trusting(&folder.path().join("ca.pem"), &other, &auth_url)).unwrap();
    let Err(TokenError::Unavailable { source: reason, .. }) = keystone.validate(shown(&token("alice"))).await
    else {
        panic!("nothing is known");
    };
    assert!(reason.to_string().contains("certificate"), "{reason}");
}

#[tokio::test]
async fn a_ca_file_without_certificates_stops_the_start_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["", "not a certificate"] {
        let error = trusting(&folder.path().join("ca.pem"), text, "https://localhost").check().unwrap_err();
        assert_eq!(error.key, "keystone.ca_file");
    }
}
