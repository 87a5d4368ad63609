//! What a validation costs when it is answered from memory: `cargo bench -p auth-keystone`.
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
    task::{Context, Poll, Waker},
    time::Instant,
};

use auth_keystone::{Config, Keystone, Secret};
use chrono::{SecondsFormat, TimeDelta, Utc};
use core_domain::tokens::Tokens;

const ENTRIES: usize = 10_000;
const HITS: usize = 1_000_000;
/// Each sample is so many hits, so that reading the clock does not show.
const PER_SAMPLE: usize = 20;

fn main() {
    for (provider, length) in [("Fernet, project", 184), ("JWS, project", 412)] {
        let tokens: Vec<String> = (0..ENTRIES).map(|number| format!("{number:0>length$}")).collect();
        let keystone = filled(&tokens);
        let before = keystone.figures().misses;
        let mut samples = Vec::with_capacity(HITS / PER_SAMPLE);
        let mut next = tokens.iter().cycle().step_by(7);
        for _ in 0..HITS / PER_SAMPLE {
            let some: Vec<_> = next.by_ref().take(PER_SAMPLE).collect();
            let start = Instant::now();
            for token in some {
                let mut validation = pin!(keystone.validate(token, "req-1"));
                let answer = validation.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert!(matches!(black_box(answer), Poll::Ready(Ok(_))), "answered at once");
            }
            samples.push(start.elapsed().as_nanos() / PER_SAMPLE as u128);
        }
        samples.sort_unstable();
        let at = |share: f64| samples[((samples.len() - 1) as f64 * share) as usize];
        assert_eq!(keystone.figures().misses, before, "nobody was asked");
        println!("{provider}: p50 {} ns, p99 {} ns, p99.9 {} ns", at(0.5), at(0.99), at(0.999));
    }
}

/// A validator that remembers these tokens.
fn filled(tokens: &[String]) -> Keystone {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = Config {
        auth_url: format!("http://{}", listener.local_addr().unwrap()),
        username: Some("vitrine".to_owned()),
        password: Some(Secret::new("not-a-secret")),
        project_name: Some("service".to_owned()),
        token_cache_ttl: std::time::Duration::from_secs(3_600),
        // A shard more, for entries do not spread evenly.
        token_cache_entries: 2 * ENTRIES,
        ..Config::default()
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || play(stream));
        }
    });
    let keystone = Keystone::new(&config).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for token in tokens {
            keystone.validate(token, "req-1").await.unwrap();
        }
    });
    keystone
}

/// Gives the service a token and vouches for every other.
fn play(stream: TcpStream) {
    let stamp = |time: chrono::DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
    let (issued, expires) = (stamp(Utc::now()), stamp(Utc::now() + TimeDelta::hours(1)));
    let body = format!(
        r#"{{"token": {{"user": {{"id": "6c81211a796a4ae3940cca1e6af77c96"}}, "project": {{"id": "9c81211a796a4ae3940cca1e6af77c96"}},
            "roles": [{{"name": "member"}}, {{"name": "reader"}}, {{"name": "service"}}], "audit_ids": ["rgcW7j_IRzyqiN2CxTRjGQ"],
            "issued_at": "{issued}", "expires_at": "{expires}"}}}}"#
    );
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
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).unwrap();
    }
}
