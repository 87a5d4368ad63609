//! A hundred kills: two servers under a steady load of changes, one of them killed at random moments and started again, and
//! in the end nothing is missing anywhere, and what came twice says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::http::Answer;
use testbed::postgres::free_port;
use testbed::{Call, Database, Keystone, Party, Postgres, RabbitMq, Vitrine, patience};

use crate::ear::{Ears, Heard, distinct};
use crate::stories::leased;

/// Kills; `VITRINE_TEST_KILLS` for more or fewer.
fn kills() -> usize {
    std::env::var("VITRINE_TEST_KILLS")
        .map_or(100, |kills| kills.parse().expect("VITRINE_TEST_KILLS: a number"))
}

const EXCHANGE: &str = "kills";
const CLIENTS: usize = 4;

#[test]
fn a_hundred_kills_lose_no_event_and_what_came_twice_is_marked() {
    let seed = std::env::var("VITRINE_TEST_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("VITRINE_TEST_SEED: a number"));
    eprintln!("VITRINE_TEST_SEED={seed}");
    let (ears, database) = (Ears::new(RabbitMq::shared(), EXCHANGE), Postgres::shared().database());
    // Somebody who thinks a little: there is always something on its way.
    ears.webhooks.think(Duration::from_millis(5));
    let ports = [free_port(), free_port()];
    let migrated = ears.told_by(Vitrine::serve(&database, Keystone::shared()));
    drop(migrated);
    let server = |index: usize| {
        ears.told_by(Vitrine::serve_as_it_is(database.url(), Keystone::shared()))
            .with("VITRINE_LISTEN", &format!("127.0.0.1:{}", ports[index]))
            .with("VITRINE_METRICS_LISTEN", "")
            .with("VITRINE_DATABASE__POOL_SIZE", "4")
            .with("VITRINE_WORKERS", "1")
            .with("VITRINE_EVENTS__LEASE", "1")
            .start_unready()
    };
    let mut servers = [Some(server(0)), Some(server(1))];
    leased(&database, 3);
    let parties = ["owner", "member"].map(|name| Party::new(Keystone::shared(), name, &["member"]));

    let load = Load {
        ports,
        over: AtomicBool::new(false),
        answered: Mutex::default(),
        unknown: AtomicUsize::new(0),
    };
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (load, parties) = (&load, &parties);
            scope.spawn(move || load.change(client, parties));
        }
        let mut random = fastrand::Rng::with_seed(seed);
        for kill in 0..kills() {
            std::thread::sleep(Duration::from_millis(random.u64(20..300)));
            if kill % 2 == 0 {
                // Now that somebody is just being told.
                let noise = ears.noise();
                patience::within(Duration::from_millis(400), || (ears.noise() != noise).then_some(()));
            }
            let victim = random.usize(..2);
            let killed = servers[victim].take().expect("a server that runs");
            killed.process().signal("KILL");
            assert_eq!(killed.process().ended_within(Duration::from_secs(60)), Some(128 + 9));
            drop(killed);
            servers[victim] = Some(server(victim));
        }
        load.over.store(true, Ordering::Relaxed);
    });
    let took = begun.elapsed();
    judge(&ears, &database, &load, took, seed);
    servers.into_iter().flatten().for_each(|server| drop(server.stop()));
}

/// The quicker the machine, the more has changed that is still to be told.
const TO_BE_TOLD: Duration = Duration::from_secs(240);

struct Load {
    ports: [u16; 2],
    over: AtomicBool,
    /// The requests that were answered with success and changed something.
    answered: Mutex<BTreeSet<String>>,
    /// Calls that got no answer.
    unknown: AtomicUsize,
}

impl Load {
    /// Shares and takes back images of its own, through whichever server is there, until it is over.
    fn change(&self, client: usize, [owner, member]: &[Party; 2]) {
        let mut at = client % 2;
        let mut call = |party: &Party, method: &str, path: &str, body: Option<serde_json::Value>| {
            let url = format!("http://127.0.0.1:{}{path}", self.ports[at]);
            let call = Call::new(method, url).token(&party.token);
            let answer = match &body {
                Some(body) => call.json(body),
                None => call,
            }
            .try_send();
            let Some(answer) = answer else {
                self.unknown.fetch_add(1, Ordering::Relaxed);
                at = 1 - at;
                std::thread::sleep(Duration::from_millis(5));
                return None;
            };
            assert!(answer.status < 500 || answer.status == 503, "{answer:?}");
            Some(answer).filter(|answer| answer.status < 300)
        };
        let changed = |answer: &Answer| {
            let request = answer.header("x-openstack-request-id").expect("a request id").to_owned();
            self.answered.lock().unwrap_or_else(PoisonError::into_inner).insert(request);
        };
        while !self.over.load(Ordering::Relaxed) {
            let new = json!({"name": "poster", "visibility": "shared"});
            let Some(made) = call(owner, "POST", "/v2/images", Some(new)) else { continue };
            changed(&made);
            let path = format!("/v2/images/{}", made.json()["id"].as_str().expect("an id"));
            let membership = format!("{path}/members/{}", member.project.id);
            for _ in 0..3 {
                let share = json!({"member": member.project.id});
                let shared = call(owner, "POST", &format!("{path}/members"), Some(share));
                shared.iter().for_each(changed);
                // What is so already is answered with success, and is no change.
                let mut is_other = shared.is_some();
                for status in ["accepted", "rejected"] {
                    let set = call(member, "PUT", &membership, Some(json!({"status": status})));
                    set.iter().filter(|_| is_other).for_each(changed);
                    is_other = set.is_some();
                }
                call(owner, "DELETE", &membership, None).iter().for_each(changed);
            }
            call(owner, "DELETE", &path, None).iter().for_each(changed);
        }
    }
}

/// Whether every promise was kept.
fn judge(ears: &Ears, database: &Database<'_>, load: &Load, took: Duration, seed: u64) {
    let written: BTreeMap<String, (i64, String)> = database
        .query("SELECT id || ' ' || number || ' ' || request_id FROM events")
        .iter()
        .map(|row| {
            let mut fields = row.split(' ').map(str::to_owned);
            let mut next = || fields.next().expect("three fields");
            (next(), (next().parse().expect("a number"), next()))
        })
        .collect();
    let answered = load.answered.lock().unwrap_or_else(PoisonError::into_inner);
    let requests: BTreeSet<&String> = written.values().map(|(_, request)| request).collect();
    let lost: Vec<_> = answered.iter().filter(|request| !requests.contains(request)).collect();
    assert!(lost.is_empty(), "changes that were answered and left no event: {lost:?} (seed {seed})");
    assert!(answered.len() > kills(), "{} changes are no load (seed {seed})", answered.len());

    let begun = Instant::now();
    // Reading everything is work that the servers could do: only when there was a little more.
    let mut noise = 0;
    patience::within(TO_BE_TOLD, || {
        std::thread::sleep(Duration::from_millis(300));
        let before = std::mem::replace(&mut noise, ears.noise());
        let is_quiet = before == noise;
        let is_told = || ears.heard().values().all(|heard| distinct(heard).len() >= written.len());
        (is_quiet && is_told()).then_some(())
    });
    eprintln!(
        "{} kills in {took:.1?}; {} changes answered, {} calls without an answer, {} events; told {:.1?} after the last kill",
        kills(),
        answered.len(),
        load.unknown.load(Ordering::Relaxed),
        written.len(),
        begun.elapsed(),
    );
    for (sink, heard) in ears.heard() {
        let told = distinct(&heard);
        let missing: Vec<_> = written.keys().filter(|id| !told.contains(id.as_str())).collect();
        assert!(
            missing.is_empty(),
            "{sink} was not told of {} events (seed {seed}): {missing:?}",
            missing.len()
        );
        let unmarked = || heard.iter().filter(|heard| !heard.marked);
        let once: BTreeSet<_> = unmarked().map(|heard| &heard.id).collect();
        assert_eq!(once.len(), unmarked().count(), "{sink}: an event was told unmarked twice (seed {seed})");
        in_order(sink, unmarked(), &written, seed);
        let twice = heard.len() - written.len();
        let marked = heard.len() - once.len();
        eprintln!("{sink}: {} deliveries, {marked} marked, {twice} in fact again", heard.len());
    }
    all_heard_by_a_listener(&written, seed);
}

/// Whether a listener of oslo.messaging, who comes last, finds everything where it waited.
fn all_heard_by_a_listener(written: &BTreeMap<String, (i64, String)>, seed: u64) {
    let listener = RabbitMq::shared().listener(EXCHANGE, &format!("{EXCHANGE}-notifications"));
    let all = patience::within(TO_BE_TOLD, || {
        let is_there = listener.noise() > 0 && listener.is_quiet(Duration::from_secs(1));
        is_there.then(|| listener.heard()).filter(|heard| heard.len() >= written.len())
    });
    let heard = all.unwrap_or_else(|| listener.heard());
    let ids: BTreeSet<_> =
        heard.iter().filter_map(|heard| heard["metadata"]["message_id"].as_str()).collect();
    let missing = written.keys().filter(|id| !ids.contains(id.as_str())).count();
    assert_eq!(missing, 0, "oslo.messaging's listener was not told of so many events (seed {seed})");
    eprintln!("oslo.messaging: {} notifications", heard.len());
}

/// Whether the first deliveries of each image came in the order of its changes.
fn in_order<'a>(
    sink: &str,
    heard: impl Iterator<Item = &'a Heard>,
    written: &BTreeMap<String, (i64, String)>,
    seed: u64,
) {
    let mut last = BTreeMap::new();
    for heard in heard {
        let (number, _) = written.get(&heard.id).expect("an event that was written");
        assert!(heard.number.is_none_or(|said| said == *number), "{sink}: {heard:?}");
        if let Some(before) = last.insert(&heard.image, *number) {
            assert!(before < *number, "{sink}: {number} after {before} of {} (seed {seed})", heard.image);
        }
    }
}
