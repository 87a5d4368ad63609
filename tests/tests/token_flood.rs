//! Forged tokens of good form from one address, and callers with new tokens elsewhere who are answered meanwhile.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Client;
use tempfile::TempDir;
use testbed::vitrine::command;
use testbed::{SlowKeystone, Vitrine, patience};

/// Requests with forged tokens that are always under way: more than Keystone answers in the time that a call waits.
const FLOOD: usize = 900;
/// Callers with a new token each, and an address each.
const CALLERS: u8 = 20;
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// One story at a time: each keeps a processor busy.
static ALONE: Mutex<()> = Mutex::new(());

/// A service that asks a Keystone of at most 160 answers a second.
struct Scene {
    vitrine: Vitrine,
    keystone: SlowKeystone,
    _directory: TempDir,
}

impl Scene {
    fn with(settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("records.sqlite").display());
        assert!(command(&["migrate"]).env("VITRINE_DATABASE__URL", &url).status().unwrap().success());
        let keystone = SlowKeystone::start(Duration::from_millis(50));
        let launch = Vitrine::serve_asking(&url, keystone.service_settings());
        let launch = settings.iter().fold(launch, |launch, (name, value)| launch.with(name, value));
        Self { vitrine: launch.start(), keystone, _directory: directory }
    }

    /// The calls that wait for a place among those to Keystone.
    fn waiting(&self) -> usize {
        let figures = self.vitrine.figures();
        let line = figures.lines().find(|line| line.contains("{state=\"waiting\"}"));
        line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    }
}

/// How a client at this address asks.
#[derive(Clone)]
struct Asker {
    client: Client,
    url: String,
    forwarded_for: Option<String>,
}

impl Asker {
    /// Connected from this address.
    fn at(scene: &Scene, address: IpAddr) -> Self {
        let client = Client::builder().local_address(address).no_proxy().timeout(PATIENCE).build().unwrap();
        Self { client, url: format!("{}/v2/images", scene.vitrine.url()), forwarded_for: None }
    }

    /// By way of a proxy on this machine.
    fn behind_proxy(scene: &Scene, address: IpAddr) -> Self {
        let forwarded_for = Some(format!("198.51.100.1, {address}"));
        Self { forwarded_for, ..Self::at(scene, [127, 0, 0, 1].into()) }
    }

    async fn ask(&self, token: &str) -> u16 {
        let request = self.client.get(&self.url).header("X-Auth-Token", token);
        let request = match &self.forwarded_for {
            Some(addresses) => request.header("X-Forwarded-For", addresses),
            None => request,
        };
        request.send().await.unwrap().status().as_u16()
    }
}

/// Floods from one address, and lets each caller ask once from another.
fn flood(scene: &Scene, asker: impl Fn(&Scene, u8) -> Asker) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (over, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let attacker = asker(scene, 1);
    let known = scene.keystone.token();
    assert_eq!(runtime.block_on(asker(scene, 100).ask(&known)), 200);
    let flood: Vec<_> = (0..FLOOD)
        .map(|_| {
            let (attacker, over, accepted) = (attacker.clone(), Arc::clone(&over), Arc::clone(&accepted));
            runtime.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    match attacker.ask(&SlowKeystone::forged_token()).await {
                        401 | 503 => {}
                        _ => drop(accepted.fetch_add(1, Ordering::Relaxed)),
                    }
                }
            })
        })
        .collect();
    // Who came last of so many, and in order, would wait longer than the 2 s there are.
    patience::until("a queue", PATIENCE, || (scene.waiting() > 400).then_some(()));
    let before = scene.keystone.validations();
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let (caller, token) = (asker(scene, number + 2), scene.keystone.token());
            runtime.spawn(async move { caller.ask(&token).await })
        })
        .collect();
    for caller in callers {
        assert_eq!(runtime.block_on(caller).unwrap(), 200);
    }
    assert!(scene.keystone.validations() > before, "Keystone was asked meanwhile");
    assert!(scene.waiting() > 100, "the flood went on");
    assert_eq!(runtime.block_on(attacker.ask(&known)), 200, "a token that is known is not in the queue");
    assert_eq!(scene.vitrine.call("GET", "/livez").send().status, 200);
    over.store(true, Ordering::Relaxed);
    for task in flood {
        runtime.block_on(task).unwrap();
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 0, "no forged token is good");
}

#[test]
fn callers_elsewhere_are_answered_while_one_address_floods() {
    let _alone = ALONE.lock();
    let scene = Scene::with(&[]);
    flood(&scene, |scene, number| Asker::at(scene, [127, 0, 0, number].into()));
    let log = scene.vitrine.stop();
    assert!(log.contains("\"client\":\"127.0.0.21\""), "the log names each client");
}

#[test]
fn clients_behind_a_trusted_proxy_are_told_apart() {
    let _alone = ALONE.lock();
    let scene = Scene::with(&[("VITRINE_HTTP__TRUSTED_PROXIES", "127.0.0.1")]);
    flood(&scene, |scene, number| Asker::behind_proxy(scene, [192, 0, 2, number].into()));
    let log = scene.vitrine.stop();
    assert!(log.contains("\"client\":\"192.0.2.21\""), "the log names each client");
}
