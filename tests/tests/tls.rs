//! TLS: served by the certificate in the files, renewed without a failed request, and in nobody's way.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]
#![allow(clippy::print_stdout, reason = "figures")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use reqwest::{Certificate, Client};
use testbed::{Database, Keystone, Party, Postgres, Vitrine, patience};

/// Far longer than it takes to notice new files.
const PATIENCE: Duration = Duration::from_secs(60);

/// A certificate for this machine that vouches for itself, and its key.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let named = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        Self { certificate: named.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// The two files.
struct Files(tempfile::TempDir);

impl Files {
    fn with(pair: &Pair) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        fs::write(files.key(), &pair.key).unwrap();
        fs::write(files.certificate(), &pair.certificate).unwrap();
        files
    }

    fn certificate(&self) -> PathBuf {
        self.0.path().join("tls.crt")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("tls.key")
    }
}

fn serve(files: &Files) -> (Vitrine, Database<'static>) {
    serve_with(files, "VITRINE_HTTP__MAX_CONNECTIONS", "1024")
}

fn serve_with(files: &Files, name: &str, value: &str) -> (Vitrine, Database<'static>) {
    let (keystone, database) = (Keystone::shared(), Postgres::shared().database());
    let vitrine = Vitrine::serve(&database, keystone)
        .with(name, value)
        .with("VITRINE_TLS__CERTIFICATE", text(&files.certificate()))
        .with("VITRINE_TLS__KEY", text(&files.key()))
        .start_unready();
    (vitrine, database)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A client that trusts these and nobody else.
fn trusting(pairs: &[&Pair], keeps_connections: bool) -> Client {
    let trusted = pairs.iter().map(|pair| Certificate::from_pem(pair.certificate.as_bytes()).unwrap());
    Client::builder()
        .tls_certs_only(trusted)
        .pool_max_idle_per_host(usize::from(keeps_connections))
        .timeout(PATIENCE)
        .no_proxy()
        .build()
        .unwrap()
}

async fn is_served(client: &Client, vitrine: &Vitrine) -> Result<(), reqwest::Error> {
    let answer = client.get(format!("{}/versions", vitrine.url())).send().await?;
    answer.error_for_status()?.bytes().await.map(drop)
}

/// Waits until this client is served over a new connection.
async fn served_at_last(client: &Client, vitrine: &Vitrine) {
    let end = Instant::now() + PATIENCE;
    while let Err(error) = is_served(client, vitrine).await {
        assert!(Instant::now() < end, "{error:?}\n{}", vitrine.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_served_over_tls_and_links_and_headers_say_so() {
    let pair = Pair::new();
    let files = Files::with(&pair);
    let (vitrine, _database) = serve(&files);
    assert!(vitrine.url().starts_with("https://"), "{}", vitrine.url());
    let client = trusting(&[&pair], true);
    let owner =
        tokio::task::spawn_blocking(|| Party::new(Keystone::shared(), "owner", &["member"])).await.unwrap();
    let images = format!("{}/v2/images", vitrine.url());
    let made = client.post(&images).header("X-Auth-Token", &owner.token).body("{}").send().await.unwrap();
    let headers = made.headers();
    assert_eq!(made.status(), 201);
    assert_eq!(headers["strict-transport-security"], "max-age=31536000");
    assert!(headers["location"].to_str().unwrap().starts_with(&images), "{headers:?}");
    let plain = images.replace("https://", "http://");
    assert!(client.get(plain).send().await.is_err(), "plain HTTP is no way round it");
    vitrine.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_served_to_new_connections_and_no_request_fails_meanwhile() {
    let (old, new) = (Pair::new(), Pair::new());
    let files = Files::with(&old);
    let (vitrine, _database) = serve(&files);
    let vitrine = Arc::new(vitrine);
    let kept = trusting(&[&old], true);
    is_served(&kept, &vitrine).await.unwrap();

    let (over, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = [true, true, false, false]
        .into_iter()
        .map(|keeps_connections| {
            let client = trusting(&[&old, &new], keeps_connections);
            let (vitrine, over, served) = (Arc::clone(&vitrine), Arc::clone(&over), Arc::clone(&served));
            tokio::spawn(async move {
                while !over.load(Relaxed) {
                    is_served(&client, &vitrine).await.unwrap();
                    served.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();

    // As many tools do it: one file after the other, so that for a while they do not fit.
    fs::write(files.certificate(), &new.certificate).unwrap();
    let log = || vitrine.log().contains("stays in use").then_some(());
    tokio::task::block_in_place(|| patience::until("the misfit to be noticed", PATIENCE, log));
    is_served(&trusting(&[&old], false), &vitrine).await.unwrap();
    fs::write(files.key(), &new.key).unwrap();
    served_at_last(&trusting(&[&new], false), &vitrine).await;
    assert!(is_served(&trusting(&[&old], false), &vitrine).await.is_err(), "the old one is served no more");
    is_served(&kept, &vitrine).await.expect("an open connection stays open");

    over.store(true, Relaxed);
    for task in load {
        task.await.expect("no request failed");
    }
    println!("{} requests served meanwhile", served.load(Relaxed));
    assert!(served.load(Relaxed) >= 10, "{served:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_change_nothing_and_the_log_says_what_is_wrong() {
    let pair = Pair::new();
    let files = Files::with(&pair);
    let (vitrine, _database) = serve(&files);
    let said = |words: &'static str| {
        let log = || vitrine.log().contains(words).then_some(());
        tokio::task::block_in_place(|| patience::until(words, PATIENCE, log));
    };
    fs::write(files.certificate(), "not a certificate").unwrap();
    said("holds no certificate");
    is_served(&trusting(&[&pair], false), &vitrine).await.unwrap();
    fs::remove_file(files.certificate()).unwrap();
    said("cannot be read");
    is_served(&trusting(&[&pair], false), &vitrine).await.unwrap();
    let log = vitrine.stop();
    assert!(!log.contains("PRIVATE"), "{log}");
}

/// The beginning of a hello, and nothing more; some say nothing at all.
fn never_shaking_hands(address: SocketAddr, number: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    if number.is_multiple_of(2) {
        stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).unwrap();
    }
    stream
}

/// Whether the other side has said nothing and not hung up.
fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let looked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    looked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_never_end_keep_nobody_out_and_are_ended() {
    let pair = Pair::new();
    let files = Files::with(&pair);
    let (vitrine, _database) = serve(&files);
    let address: SocketAddr = vitrine.url().trim_start_matches("https://").parse().unwrap();
    // Somebody is served before any of them was given up on; where the machine stood still for so long, once more.
    let end = Instant::now() + PATIENCE;
    let idle = loop {
        let idle: Vec<TcpStream> = (0..600).map(|number| never_shaking_hands(address, number)).collect();
        is_served(&trusting(&[&pair], false), &vitrine).await.unwrap();
        if idle.iter().all(is_open) {
            break idle;
        }
        assert!(Instant::now() < end, "served only when others had been given up on");
    };
    tokio::task::block_in_place(|| {
        for mut stream in idle {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // It may say why (an alert); then it closes.
            let mut rest = Vec::new();
            let closed = stream
                .read_to_end(&mut rest)
                .map_or_else(|error| error.raw_os_error() == Some(104), |_| true);
            assert!(closed, "it is still open");
        }
    });
    vitrine.stop();
}

/// What the service says of itself; a counter that was never raised is 0.
fn metric(vitrine: &Vitrine, name: &str) -> f64 {
    let metrics = tokio::task::block_in_place(|| vitrine.figures());
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.trim().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_handshakes_count_within_the_bound_on_connections() {
    const LIMIT: f64 = 64.0;
    // An eighth more for probes, and a quarter more that are being ended.
    const MOST: f64 = LIMIT * 1.375;
    let pair = Pair::new();
    let files = Files::with(&pair);
    let (vitrine, _database) = serve_with(&files, "VITRINE_HTTP__MAX_CONNECTIONS", &LIMIT.to_string());
    let address: SocketAddr = vitrine.url().trim_start_matches("https://").parse().unwrap();
    let end = Instant::now() + PATIENCE;
    // They end by themselves after 5 s: where the machine stood still for so long, once more.
    loop {
        let mut handshakes = Vec::new();
        for number in 0..300 {
            handshakes.push(never_shaking_hands(address, number));
            if number.is_multiple_of(20) {
                let open = metric(&vitrine, "vitrine_http_connections");
                assert!(open <= MOST, "{open} of {MOST}");
            }
        }
        is_served(&trusting(&[&pair], false), &vitrine).await.unwrap();
        let open = handshakes.iter().filter(|handshake| is_open(handshake)).count();
        let ended = metric(&vitrine, "vitrine_http_rejected_connections_total{reason=\"no_room\"}");
        println!("served beside {open} unfinished handshakes, {ended} ended for want of room");
        if open > 20 && ended > 200.0 {
            assert!(open <= 88, "{open} of {MOST}");
            break;
        }
        assert!(Instant::now() < end, "{open} are open, {ended} were ended");
    }
    vitrine.stop();
}

#[test]
fn what_cannot_be_used_stops_the_start_by_the_name_of_its_key() {
    let (pair, other) = (Pair::new(), Pair::new());
    let files = Files::with(&pair);
    let (certificate, key) = (files.certificate(), files.key());
    let wrong = files.0.path().join("other.key");
    fs::write(&wrong, &other.key).unwrap();
    let missing = files.0.path().join("missing");
    for (certificate, key, blamed, reason) in [
        (text(&certificate), "", "tls.key", "both or neither"),
        ("", text(&key), "tls.certificate", "both or neither"),
        (text(&missing), text(&key), "tls.certificate", "cannot be read"),
        (text(&certificate), text(&missing), "tls.key", "cannot be read"),
        (text(&key), text(&key), "tls.certificate", "holds no certificate"),
        (text(&certificate), text(&certificate), "tls.key", "holds no private key"),
        (text(&certificate), text(&wrong), "tls.key", "is no key to tls.certificate"),
    ] {
        let mut check = testbed::vitrine::command(&["check-config"]);
        check
            .env("VITRINE_DATABASE__URL", "sqlite:///vitrine.sqlite")
            .env("VITRINE_KEYSTONE__AUTH_URL", "http://127.0.0.1:1/v3")
            .env("VITRINE_KEYSTONE__USERNAME", "vitrine")
            .env("VITRINE_KEYSTONE__PASSWORD", "secret")
            .env("VITRINE_KEYSTONE__PROJECT_NAME", "service")
            .env("VITRINE_TLS__CERTIFICATE", certificate)
            .env("VITRINE_TLS__KEY", key);
        let output = check.output().unwrap();
        let said = testbed::vitrine::said(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("{blamed}: ")) && said.contains(reason), "{blamed} {reason}: {said}");
        for secret in [&pair.key, &other.key] {
            assert!(!said.contains(secret.lines().nth(1).unwrap()), "a secret is shown: {said}");
        }
    }
}
