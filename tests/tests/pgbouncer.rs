//! Two service processes behind a PgBouncer in transaction mode with four sessions: the same answers as without.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::postgres::Durability;
use testbed::vitrine::{command, said};
use testbed::{Answer, Call, Database, Keystone, Party, PgBouncer, Postgres, Vitrine, patience};

const CLIENTS: usize = 32;
const SESSIONS: u32 = 4;
const ROUNDS: usize = 60;
const RECOVERY: Duration = Duration::from_secs(60);

/// Two services on one database, through PgBouncer.
struct Behind<'a> {
    replicas: [Vitrine; 2],
    database: &'a Database<'a>,
    owner: Party,
    member: Party,
}

impl<'a> Behind<'a> {
    fn new(pgbouncer: &PgBouncer, database: &'a Database<'a>) -> Self {
        let keystone = Keystone::shared();
        migrate(&pgbouncer.url(database), database.url());
        let replica = || {
            Vitrine::serve_as_it_is(&pgbouncer.url(database), keystone)
                .with("VITRINE_DATABASE__POOLER", "transaction")
                .with("VITRINE_DATABASE__POOL_SIZE", "8")
                // As everywhere in these tests: Keystone may be slow here.
                .with("VITRINE_KEYSTONE__TIMEOUT", "20")
                .start()
        };
        let [owner, member] = ["owner", "member"].map(|name| Party::new(keystone, name, &["member"]));
        Self { replicas: [replica(), replica()], database, owner, member }
    }

    fn call(&self, number: usize, party: &Party, method: &str, path: &str) -> Call {
        self.replicas[number % 2].call(method, path).token(&party.token)
    }

    fn image(&self) -> String {
        let new = json!({"name": "poster", "visibility": "shared"});
        let image = self.call(0, &self.owner, "POST", "/v2/images").json(&new).settled().expect(201).json();
        format!("/v2/images/{}", image["id"].as_str().expect("an id"))
    }

    /// Whether the member finds the image in its list.
    fn lists(&self, number: usize, image: &str) -> bool {
        let path = "/v2/images?visibility=shared&member_status=all&limit=1000";
        let list = self.call(number, &self.member, "GET", path).settled().expect(200).json();
        let id = image.trim_start_matches("/v2/images/");
        list["images"].as_array().expect("a list").iter().any(|listed| listed["id"] == id)
    }

    fn rows(&self, image: &str) -> usize {
        let id = image.trim_start_matches("/v2/images/");
        self.database.query(&format!("SELECT member_id FROM image_members WHERE image_id = '{id}'")).len()
    }

    fn stop(self) {
        for replica in self.replicas {
            let log = replica.stop();
            assert!(!log.contains("\"level\":\"ERROR\""), "{log}");
        }
    }
}

/// `vitrine migrate` as it is told in production: where the service finds the records, and beside PgBouncer.
fn migrate(pooled: &str, direct: &str) {
    let migrated = command(&["migrate"])
        .env("VITRINE_DATABASE__URL", pooled)
        .env("VITRINE_DATABASE__POOLER", "transaction")
        .env("VITRINE_DATABASE__MIGRATE_URL", direct)
        .output()
        .expect("vitrine starts");
    assert!(migrated.status.success(), "{}", said(&migrated));
}

#[test]
fn an_image_is_shared_and_taken_back_through_two_services_behind_pgbouncer() {
    let database = Postgres::shared().database();
    let behind = Behind::new(PgBouncer::shared(), &database);
    let Behind { owner, member, .. } = &behind;
    for round in 0..20 {
        let (here, there) = (round, round + 1);
        let image = behind.image();
        let membership = format!("{image}/members/{}", member.project.id);
        behind.call(there, member, "GET", &image).send().expect(404);
        let share = behind.call(here, owner, "POST", &format!("{image}/members"));
        share.json(&json!({"member": member.project.id})).send().expect(200);
        behind.call(there, member, "GET", &image).send().expect(200);
        let accept = behind.call(there, member, "PUT", &membership).json(&json!({"status": "accepted"}));
        accept.send().expect(200);
        assert!(behind.lists(here, &image));
        behind.call(here, owner, "DELETE", &membership).send().expect(204);
        behind.call(there, member, "GET", &image).send().expect(404);
        assert!(!behind.lists(there, &image));
        behind.call(there, owner, "DELETE", &image).send().expect(204);
    }
    behind.stop();
}

#[test]
fn adding_accepting_removing_and_listing_at_once_behind_pgbouncer_stays_exact() {
    let database = Postgres::shared().database();
    let behind = Behind::new(PgBouncer::shared(), &database);
    let Behind { owner, member, .. } = &behind;
    let mut refused = 0;
    for round in 0..ROUNDS {
        let image = behind.image();
        let (members, own) = (format!("{image}/members"), format!("{image}/members/{}", member.project.id));
        let start = Barrier::new(CLIENTS);
        let shoot = |number: usize| {
            let call = match number % 8 {
                0..3 => behind
                    .call(number / 2, owner, "POST", &members)
                    .json(&json!({"member": member.project.id})),
                3 | 4 => behind.call(number / 2, member, "PUT", &own).json(&json!({"status": "accepted"})),
                5 | 6 => behind.call(number / 2, owner, "DELETE", &own),
                _ => behind.call(number / 2, owner, "GET", &members),
            };
            start.wait();
            let answer = call.send();
            (["POST", "POST", "POST", "PUT", "PUT", "DELETE", "DELETE", "GET"][number % 8], answer.status)
        };
        let mut outcome = BTreeMap::<(&str, u16), usize>::new();
        std::thread::scope(|scope| {
            let shots: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || shoot(number))).collect();
            for shot in shots {
                *outcome.entry(shot.join().expect("no panic")).or_default() += 1;
            }
        });
        let allowed = [
            ("POST", 200),
            ("POST", 409),
            ("PUT", 200),
            ("PUT", 404),
            ("DELETE", 204),
            ("DELETE", 404),
            ("GET", 200),
        ];
        let is_refused = |answer: &(&str, u16)| answer.1 == 503;
        assert!(
            outcome.keys().all(|answer| allowed.contains(answer) || is_refused(answer)),
            "round {round}: {outcome:?}"
        );
        // A machine that stands still makes somebody wait too long for the one row. Whether such a change was made nobody
        // knows, so that there is nothing to count: the round says nothing, and few may.
        if outcome.keys().any(is_refused) {
            refused += 1;
            assert!(refused <= ROUNDS / 20, "{refused} rounds with a 503, the last one {round}: {outcome:?}");
            continue;
        }
        let count = |method, status| outcome.get(&(method, status)).copied().unwrap_or_default();
        let rows = behind.rows(&image);
        assert_eq!(count("POST", 200), count("DELETE", 204) + rows, "round {round}: {outcome:?}");
        for number in 0..2 {
            let seen = behind.call(number, member, "GET", &image).settled().status == 200;
            assert_eq!((seen, behind.lists(number, &image)), (rows == 1, rows == 1), "round {round}");
        }
    }
    // The sessions were shared indeed: sixteen connections of two services have been served by four at most.
    let served = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                  AND application_name = 'vitrine'";
    let served: u32 = database.query(served)[0].parse().expect("a number");
    assert!((1..=SESSIONS).contains(&served), "{served} sessions");
    if refused == 0 {
        behind.stop();
    } else {
        // Whoever refuses says why.
        for replica in behind.replicas {
            replica.stop();
        }
    }
}

#[test]
fn a_held_image_is_a_503_for_those_who_wait_and_for_nobody_else_behind_pgbouncer() {
    let database = Postgres::shared().database();
    let behind = Behind::new(PgBouncer::shared(), &database);
    let (image, owner) = (behind.image(), &behind.owner);
    database.query("CREATE TABLE released (at timestamp)");
    let hold = "SELECT id FROM images FOR UPDATE; \
                DO $$ BEGIN WHILE NOT EXISTS (SELECT 1 FROM released) LOOP PERFORM pg_sleep(0.02); END LOOP; END $$";
    let is_held = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%FROM released%' AND state = 'active' \
                   AND pid <> pg_backend_pid() AND datname = current_database()";
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| database.query(hold));
        patience::until("the image to be held", RECOVERY, || {
            (database.query(is_held) == ["1"]).then_some(())
        });
        let asked = Instant::now();
        let add = behind.call(0, owner, "POST", &format!("{image}/members"));
        add.json(&json!({"member": "somebody"})).send().expect(503);
        // The wait for a lock is five seconds.
        let took = asked.elapsed();
        assert!((Duration::from_secs(4)..Duration::from_secs(25)).contains(&took), "took {took:?}");
        behind.call(1, owner, "GET", &image).send().expect(200);
        database.query("INSERT INTO released VALUES (now())");
        holder.join().expect("an end");
    });
    assert_eq!(behind.rows(&image), 0);
    for replica in behind.replicas {
        replica.stop();
    }
}

#[test]
fn a_killed_pgbouncer_or_postgres_is_a_503_that_passes_when_it_is_back() {
    let postgres = Postgres::private(Durability::Kept);
    let database = postgres.database();
    let pgbouncer = PgBouncer::before(&postgres, SESSIONS);
    let behind = Behind::new(&pgbouncer, &database);
    let (image, owner) = (behind.image(), &behind.owner);
    let show = |number| behind.call(number, owner, "GET", &image);
    let add = |number: usize| {
        let add = behind.call(number, owner, "POST", &format!("{image}/members"));
        add.json(&json!({"member": format!("member-{number}")}))
    };
    let outage = |kill: &dyn Fn(), start: &dyn Fn()| {
        kill();
        for number in 0..4 {
            come_back(show(number));
            come_back(add(number));
        }
        behind.replicas[0].call("GET", "/livez").send().expect(200);
        behind.replicas[0].call("GET", "/readyz").send().expect(503);
        start();
        for number in 0..2 {
            patience::until("the image to be shown again", RECOVERY, || answered(show(number)));
            patience::until("the service to be ready again", RECOVERY, || {
                answered(behind.replicas[number].call("GET", "/readyz"))
            });
        }
        assert_eq!(behind.rows(&image), 0, "a call that was answered 503 has changed something");
    };
    outage(&|| pgbouncer.kill(), &|| pgbouncer.start());
    outage(&|| postgres.kill(), &|| postgres.start());
    add(0).send().expect(200);
    for replica in behind.replicas {
        replica.stop();
    }
}

#[test]
fn a_pooler_that_nobody_mentioned_stops_the_start_by_the_name_of_the_key() {
    let database = Postgres::shared().database();
    let pooled = PgBouncer::shared().url(&database);
    let ended = |subcommand: &str, pooler: &str| {
        let keystone = Keystone::shared().service_settings();
        let ended = command(&[subcommand])
            .envs(keystone)
            .env("VITRINE_DATABASE__URL", &pooled)
            .env("VITRINE_DATABASE__POOLER", pooler)
            .env("VITRINE_LISTEN", "127.0.0.1:0")
            .output()
            .expect("vitrine starts");
        assert_eq!(ended.status.code(), Some(2), "{subcommand} {pooler}: {}", said(&ended));
        said(&ended)
    };
    assert!(ended("serve", "none").contains("database.pooler"));
    assert!(ended("migrate", "none").contains("database.migrate_url"));
    assert!(ended("migrate", "transaction").contains("database.migrate_url"));
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(database.query(tables), ["0"]);
}

/// An answer that tells the client to come back, in time.
#[track_caller]
fn come_back(call: Call) {
    let asked = Instant::now();
    let answer = call.send();
    let took = asked.elapsed();
    assert_eq!(answer.status, 503, "{answer:#?}");
    assert!(answer.header("retry-after").is_some(), "{answer:#?}");
    // PgBouncer looks for a server that is gone for as long as its query_wait_timeout, five seconds here.
    assert!(took <= Duration::from_secs(25), "answered after {took:?}");
}

/// The answer if it is a 200; never one that would send clients away for good.
fn answered(call: Call) -> Option<Answer> {
    let answer = call.try_send()?;
    assert!([200, 503].contains(&answer.status), "{answer:#?}");
    (answer.status == 200).then_some(answer)
}
