//! What a real Keystone bears: `cargo bench -p auth-keystone --bench capacity [-- SECONDS]`.
//!
//! 200 tokens, all cold, are used 2,000 times a second for a minute, with one Keystone process without a cache; then that is
//! killed. Tokens are trusted for `SECONDS` (300). Prints calls and latencies, and asserts nothing about them.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for people, with nothing to recover from"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use auth_keystone::{Config, Figures, Keystone, Secret};
use core_domain::tokens::{Intent, Shown, TokenError, Tokens};
use testbed::{
    Keystone as Real,
    keystone::{Options, Scope},
};
use tokio::time::{MissedTickBehavior, interval};

const TOKENS: usize = 200;
const PER_MILLISECOND: usize = 2;

#[tokio::main]
async fn main() {
    let seconds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(300);
    let real = Real::private(Options::default());
    let project = real.project("studio");
    let alice = real.user("alice", &project, &["member"]);
    println!("getting {TOKENS} tokens");
    let tokens: Arc<[String]> = (0..TOKENS).map(|_| real.token(&alice, Scope::Project(&project))).collect();
    let stranger = real.token(&alice, Scope::Project(&project));
    let keystone = Keystone::new(&config(&real, Duration::from_secs(seconds))).unwrap();
    tokio::spawn(keystone.keep_signed_in());
    tokio::spawn(keystone.follow_revocations());

    println!("tokens are trusted for {seconds} s");
    let cold = load(&keystone, &tokens, Duration::from_secs(60)).await;
    cold.show("a minute from cold");
    calls(&keystone.figures());
    let warm = load(&keystone, &tokens, Duration::from_secs(20)).await;
    warm.show("20 s more");
    calls(&keystone.figures());

    real.kill();
    let (killed, refused) =
        tokio::join!(load(&keystone, &tokens, Duration::from_secs(20)), strangers(&keystone, &stranger));
    killed.show("20 s with Keystone killed");
    show("refused while it is known to be away", refused);
    calls(&keystone.figures());
}

fn config(real: &Real, token_cache_ttl: Duration) -> Config {
    let settings = real.service_settings();
    let setting = |name: &str| {
        let found = settings.iter().find(|(known, _)| known.strip_prefix("VITRINE_KEYSTONE__") == Some(name));
        found.unwrap().1.clone()
    };
    Config {
        auth_url: setting("AUTH_URL"),
        username: Some(setting("USERNAME")),
        password: Some(Secret::new(setting("PASSWORD"))),
        project_name: Some(setting("PROJECT_NAME")),
        token_cache_ttl,
        ..Config::default()
    }
}

fn shown(token: &str) -> Shown<'_> {
    let (method, path) = ("GET", "/v2/images");
    Shown { token, service_token: None, intent: Intent::Look, method, path, request: "req-1", peer: None }
}

/// What came of many requests.
#[derive(Default)]
struct Outcome {
    hits: Vec<Duration>,
    waited: Vec<Duration>,
    unavailable: usize,
    rejected: usize,
    last_unavailable: Option<Duration>,
}

impl Outcome {
    fn show(self, what: &str) {
        let Self { hits, waited, unavailable, rejected, last_unavailable } = self;
        println!("{what}: {unavailable} x 503 (the last after {last_unavailable:?}), {rejected} x 401");
        show("  answered at once", hits);
        show("  answered by Keystone", waited);
    }
}

/// Uses the tokens in turn, whether or not earlier requests are answered.
async fn load(keystone: &Keystone, tokens: &Arc<[String]>, length: Duration) -> Outcome {
    let start = Instant::now();
    let mut tick = interval(Duration::from_millis(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let mut outcome = Outcome::default();
    let mut next = 0;
    while start.elapsed() < length {
        tick.tick().await;
        for _ in 0..PER_MILLISECOND {
            next = (next + 1) % tokens.len();
            let (keystone, tokens, tell) = (keystone.clone(), Arc::clone(tokens), tell.clone());
            // A hit is answered where it is asked; for the rest somebody else waits.
            let asked = Instant::now();
            let mut validation = keystone.validate(shown(&tokens[next]));
            let waker = std::task::Waker::noop();
            match validation.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
                std::task::Poll::Ready(Ok(_)) => outcome.hits.push(asked.elapsed()),
                std::task::Poll::Ready(answer) => {
                    drop(tell.send((answer.map(drop), asked.elapsed(), start.elapsed())))
                }
                std::task::Poll::Pending => {
                    drop(validation);
                    tokio::spawn(async move {
                        let answer = keystone.validate(shown(&tokens[next])).await;
                        let _ = tell.send((answer.map(drop), asked.elapsed(), start.elapsed()));
                    });
                }
            }
        }
    }
    drop(tell);
    while let Some((answer, took, at)) = told.recv().await {
        match answer {
            Ok(()) => outcome.waited.push(took),
            Err(TokenError::Rejected) => outcome.rejected += 1,
            Err(TokenError::Unavailable { .. }) => {
                outcome.unavailable += 1;
                outcome.last_unavailable = outcome.last_unavailable.max(Some(at));
            }
        }
    }
    outcome
}

/// A token that nobody knows, again and again: how long it takes to be refused once Keystone is known to be away.
async fn strangers(keystone: &Keystone, stranger: &str) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut tick = interval(Duration::from_millis(10));
    let start = Instant::now();
    let mut number = 0;
    while start.elapsed() < Duration::from_secs(20) {
        tick.tick().await;
        number += 1;
        // Another signature each time, so another token.
        let (head, _) = stranger.split_at(stranger.len() - 8);
        let token = format!("{head}{number:0>6}{}", &stranger[stranger.len() - 2..]);
        let away = keystone.figures().breaker_open;
        let asked = Instant::now();
        let answer = keystone.validate(shown(&token)).await;
        assert!(matches!(answer, Err(TokenError::Unavailable { .. })));
        if away {
            times.push(asked.elapsed());
        }
    }
    times
}

fn calls(figures: &Figures) {
    let validations = figures.accepted.count() + figures.rejected.count() + figures.undecided.count();
    println!(
        "  so far: {validations} validations ({} failed), {} sign-ins, {} hits, {} refreshes; Keystone took {:?} on average",
        figures.undecided.count(),
        figures.sign_ins,
        figures.hits,
        figures.refreshes,
        figures.accepted.sum / u32::try_from(figures.accepted.count().max(1)).unwrap(),
    );
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    if times.is_empty() {
        println!("{what}: none");
    } else {
        println!(
            "{what}: {} times, p50 {:?}, p99 {:?}, p99.9 {:?}",
            times.len(),
            at(0.5),
            at(0.99),
            at(0.999)
        );
    }
}
