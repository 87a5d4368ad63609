//! What a validation costs when Keystone is not asked: `cargo bench -p auth-keystone --bench hit`. From memory, also while
//! Keystone is asked again behind the back; and for tokens that are refused by their looks. And what a revocation costs.
//!
//! A thread plays Keystone for as long as it takes to fill the memory; from then on nobody is asked, which is checked.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for people, with nothing to recover from"
)]

use std::{
    hint::black_box,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use auth_keystone::{Clock, Config, Formats, Keystone, Revoked, Secret, SystemClock};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use core_domain::tokens::{Intent, Shown, Tokens};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};

const ENTRIES: usize = 10_000;
const HITS: usize = 1_000_000;
const FORGERIES: usize = 20_000;
const REVOCATIONS: usize = 500;

fn main() {
    for (provider, length) in [("Fernet, project", 184), ("JWS, project", 412)] {
        let tokens: Vec<String> = (0..ENTRIES).map(|number| format!("{number:0>length$}")).collect();
        let clock = Arc::new(Ahead::default());
        let keystone = filled(&tokens, &clock);
        show(&format!("hit ({provider})"), hits(&keystone, &tokens));
        // One call for each token starts, and none ends: nobody drives this runtime.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _guard = runtime.enter();
        clock.0.store(3_000, Relaxed);
        show(&format!("hit while being refreshed ({provider})"), hits(&keystone, &tokens));
        assert_eq!(keystone.figures().in_flight, ENTRIES);
        revocations(&keystone);
    }
    shapes();
    forgeries();
}

/// What it takes to forget the token that an event names, and what it takes to see that there is none.
fn revocations(keystone: &Keystone) {
    let before = keystone.figures().good_entries;
    let time = |revoked| {
        let start = Instant::now();
        let forgotten = keystone.forget(revoked);
        (start.elapsed(), forgotten)
    };
    let ids: Vec<_> = (0..REVOCATIONS).map(|number| audit_id(number * 7)).collect();
    let (times, forgotten): (Vec<_>, Vec<_>) = ids.iter().map(|id| time(Revoked::Audit(id))).unzip();
    assert!(forgotten.iter().sum::<usize>() > REVOCATIONS / 2, "they were there");
    show(&format!("revocation of one among {before}"), times);
    let times = (0..REVOCATIONS).map(|_| time(Revoked::User("nobody"))).map(|(took, forgotten)| {
        assert_eq!(forgotten, 0);
        took
    });
    show(&format!("revocation of none among {before}"), times.collect());
}

fn audit_id(number: usize) -> String {
    format!("rgcW7j_IRzyqi{number:0>9}")
}

fn hits(keystone: &Keystone, tokens: &[String]) -> Vec<Duration> {
    let before = keystone.figures().misses;
    let times = tokens.iter().cycle().step_by(7).take(HITS).map(|token| {
        let start = Instant::now();
        let mut validation = pin!(keystone.validate(shown(token)));
        let answer = validation.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(black_box(answer), Poll::Ready(Ok(_))), "answered at once");
        start.elapsed()
    });
    let times = times.collect();
    assert_eq!(keystone.figures().misses, before, "nobody was asked");
    times
}

/// The machine's clock, so many seconds ahead.
#[derive(Debug, Default)]
struct Ahead(AtomicU64, SystemClock);

impl Clock for Ahead {
    fn wall(&self) -> DateTime<Utc> {
        self.1.wall() + Duration::from_secs(self.0.load(Relaxed))
    }

    fn steady(&self) -> Duration {
        self.1.steady() + Duration::from_secs(self.0.load(Relaxed))
    }
}

/// Strings that no provider makes.
fn shapes() {
    let keystone =
        Keystone::new(&Config { token_formats: Formats::default(), ..config("http://127.0.0.1:9") }).unwrap();
    let part = |length: usize| "x7".repeat(length / 2);
    for (what, string) in [
        ("base64", part(184)),
        ("base64, Fernet's begin", format!("gAAAAA{}", part(180))),
        ("base64, three parts", format!("{}.{}.{}", part(36), part(288), part(86))),
    ] {
        let times = (0..HITS).map(|_| {
            let start = Instant::now();
            let mut validation = pin!(keystone.validate(shown(black_box(&string))));
            let answer = validation.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(black_box(answer), Poll::Ready(Err(_))), "answered at once");
            start.elapsed()
        });
        show(&format!("refused by shape ({what})"), times.collect());
    }
}

/// Tokens signed by nobody known, with two public keys to try.
fn forgeries() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["1.pem", "2.pem"] {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        std::fs::write(folder.path().join(name), key.public_key_pem()).unwrap();
    }
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let config = Config { jws_public_keys: Some(folder.path().to_owned()), ..config("http://127.0.0.1:9") };
    let keystone = Keystone::new(&config).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let times = (0..FORGERIES).map(|number| {
        let claims = part(&format!(r#"{{"sub": "{number}", "exp": 4102444800}}"#));
        let forged = format!("{}.{claims}.{}", part(r#"{"alg":"ES256"}"#), URL_SAFE_NO_PAD.encode([7; 64]));
        let start = Instant::now();
        assert!(runtime.block_on(keystone.validate(shown(&forged))).is_err());
        start.elapsed()
    });
    show("forged signature, 2 keys", times.collect());
    assert_eq!(keystone.figures().bad_signatures, FORGERIES as u64, "nobody was asked");
}

fn shown(token: &str) -> Shown<'_> {
    let (method, path) = ("GET", "/v2/images");
    Shown { token, service_token: None, intent: Intent::Look, method, path, request: "req-1", peer: None }
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("{what}: min {:?}, p50 {:?}, p99 {:?}, p99.9 {:?}", at(0.0), at(0.5), at(0.99), at(0.999));
}

fn config(auth_url: &str) -> Config {
    Config {
        auth_url: auth_url.to_owned(),
        username: Some("vitrine".to_owned()),
        password: Some(Secret::new("not-a-secret")),
        project_name: Some("service".to_owned()),
        token_cache_ttl: Duration::from_secs(3_600),
        max_privileged_age: Duration::from_secs(3_600),
        token_formats: Formats::Any,
        // More than there are, for they do not spread evenly.
        token_cache_entries: 2 * ENTRIES,
        ..Config::default()
    }
}

/// A validator that remembers these tokens.
fn filled(tokens: &[String], clock: &Arc<Ahead>) -> Keystone {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = config(&format!("http://{}", listener.local_addr().unwrap()));
    std::thread::spawn(move || {
        let answers = Arc::new(AtomicUsize::new(0));
        for stream in listener.incoming().flatten() {
            let answers = Arc::clone(&answers);
            std::thread::spawn(move || play(stream, &answers));
        }
    });
    let keystone = Keystone::with_clock(&config, Arc::clone(clock) as Arc<dyn Clock>).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for token in tokens {
            keystone.validate(shown(token)).await.unwrap();
        }
    });
    keystone
}

/// Gives the service a token and vouches for every other: each has an audit id of its own, ten share a user.
fn play(stream: TcpStream, answers: &AtomicUsize) {
    let stamp = |time: chrono::DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
    let (issued, expires) = (stamp(Utc::now()), stamp(Utc::now() + TimeDelta::hours(9)));
    let body = |number: usize| {
        format!(
            r#"{{"token": {{"user": {{"id": "{:0>32}", "domain": {{"id": "default"}}}},
                "project": {{"id": "9c81211a796a4ae3940cca1e6af77c96", "domain": {{"id": "default"}}}},
                "roles": [{{"name": "member"}}, {{"name": "reader"}}, {{"name": "service"}}],
                "audit_ids": ["{}"], "issued_at": "{issued}", "expires_at": "{expires}"}}}}"#,
            number / 10,
            audit_id(number)
        )
    };
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    let mut line = String::new();
    loop {
        let (mut status, mut length) = ("200 OK", 0);
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.starts_with("post") {
                status = "201 Created\r\nX-Subject-Token: the-service's-own-token";
            }
            if let Some(given) = line.strip_prefix("content-length:") {
                length = given.trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        std::io::copy(&mut std::io::Read::take(&mut reader, length), &mut std::io::sink()).unwrap();
        let body = body(answers.fetch_add(1, Relaxed));
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).unwrap();
    }
}
