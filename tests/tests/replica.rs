//! A service that may take lists from a streaming replica: what a client notices, and what it never does.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]

use std::time::{Duration, Instant};

use serde_json::json;
use testbed::postgres::Durability;
use testbed::{Call, Database, Keystone, Party, Postgres, Vitrine, patience};

/// So long that somebody lists within it though the machine stands still for a while.
const BOUND: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(60);

struct Gallery {
    vitrine: Vitrine,
    owner: Party,
    member: Party,
}

impl Gallery {
    fn new(database: &Database<'_>, standby_url: &str) -> Self {
        let keystone = Keystone::shared();
        let vitrine = Vitrine::serve(database, keystone)
            .with("VITRINE_DATABASE__REPLICA_URL", standby_url)
            .with("VITRINE_DATABASE__REPLICA_STALENESS", &BOUND.as_secs().to_string())
            .start();
        let [owner, member] = ["owner", "member"].map(|name| Party::new(keystone, name, &["member"]));
        Self { vitrine, owner, member }
    }

    fn call(&self, party: &Party, method: &str, path: &str) -> Call {
        self.vitrine.call(method, path).token(&party.token)
    }

    /// An image that the member has accepted.
    fn shared(&self) -> String {
        let new = json!({"name": "poster", "visibility": "shared"});
        let image = self.call(&self.owner, "POST", "/v2/images").json(&new).send().expect(201).json();
        let image = format!("/v2/images/{}", image["id"].as_str().expect("an id"));
        let share = self.call(&self.owner, "POST", &format!("{image}/members"));
        share.json(&json!({"member": self.member.project.id})).send().expect(200);
        let accept = self.call(&self.member, "PUT", &self.membership(&image));
        accept.json(&json!({"status": "accepted"})).send().expect(200);
        image
    }

    fn membership(&self, image: &str) -> String {
        format!("{image}/members/{}", self.member.project.id)
    }

    fn lists(&self, image: &str) -> bool {
        let list = self.call(&self.member, "GET", "/v2/images?visibility=shared").send().expect(200).json();
        let id = image.trim_start_matches("/v2/images/");
        list["images"].as_array().expect("a list").iter().any(|listed| listed["id"] == id)
    }

    /// How many lists were answered by whom, as `/metrics` tells.
    fn answered(&self, by: &str) -> u64 {
        let log = self.vitrine.log();
        let address = log
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .map(|line| line.get("fields").cloned().unwrap_or(line))
            .find(|fields| fields["message"] == "metrics")
            .and_then(|fields| fields["address"].as_str().map(str::to_owned))
            .expect("an address of the figures");
        let figures = Call::new("GET", format!("http://{address}/metrics")).send().expect(200).body;
        let of = format!("vitrine_lists_total{{by=\"{by}\"");
        let counts = figures.lines().filter(|line| line.starts_with(&of));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().expect("a count")).sum()
    }

    fn serves_from_the_replica(&self) {
        let before = self.answered("replica");
        patience::until("a list from the replica", SOON, || {
            self.lists("");
            (self.answered("replica") > before).then_some(())
        });
    }
}

#[test]
fn a_list_from_a_replica_is_late_by_the_bound_at_most_and_a_revoke_is_at_once_for_all_else() {
    let postgres = Postgres::private(Durability::Forgone);
    let database = postgres.database();
    let standby = postgres.standby();
    let standby_url = database.url_at(&standby);
    let gallery = Gallery::new(&database, &standby_url);
    let image = gallery.shared();
    patience::until("the list to show the image", SOON, || gallery.lists(&image).then_some(()));
    gallery.serves_from_the_replica();

    database.query_at(&standby_url, "SELECT pg_wal_replay_pause()");
    patience::until("replay to stand still", SOON, || {
        let state = database.query_at(&standby_url, "SELECT pg_get_wal_replay_pause_state()");
        (state == ["paused"]).then_some(())
    });
    gallery.call(&gallery.owner, "DELETE", &gallery.membership(&image)).send().expect(204);
    let revoked = Instant::now();
    gallery.call(&gallery.member, "GET", &image).send().expect(404);
    gallery.call(&gallery.member, "GET", &format!("{image}/members")).send().expect(404);
    let accept = gallery.call(&gallery.member, "PUT", &gallery.membership(&image));
    accept.json(&json!({"status": "accepted"})).send().expect(404);

    // The replica stands still: what it shows is true of a moment that grows older.
    let (mut late, mut right) = (0, 0);
    while revoked.elapsed() < BOUND + Duration::from_secs(2) {
        let is_due = revoked.elapsed() > BOUND;
        if gallery.lists(&image) {
            late += 1;
            assert!(!is_due, "an image is listed {:?} after its sharing ended", revoked.elapsed());
        } else {
            right += 1;
        }
        gallery.call(&gallery.member, "GET", &image).send().expect(404);
    }
    assert!(late > 0, "the lists did not come from the replica");
    assert!(right > 0 && gallery.answered("primary") > 0);

    database.query_at(&standby_url, "SELECT pg_wal_replay_resume()");
    gallery.serves_from_the_replica();
    assert!(!gallery.lists(&image));
    gallery.vitrine.stop();
}

#[test]
fn lists_go_on_when_the_replica_is_away_from_the_start_or_killed() {
    let postgres = Postgres::private(Durability::Forgone);
    let database = postgres.database();
    let standby = postgres.standby();
    standby.kill();
    let gallery = Gallery::new(&database, &database.url_at(&standby));
    let image = gallery.shared();
    assert!(gallery.lists(&image));
    assert_eq!(gallery.answered("replica"), 0);

    standby.start();
    gallery.serves_from_the_replica();
    standby.kill();
    let image = gallery.shared();
    for _ in 0..20 {
        let asked = Instant::now();
        assert!(gallery.lists(&image));
        assert!(asked.elapsed() < Duration::from_secs(15), "a list took {:?}", asked.elapsed());
    }
    gallery.vitrine.stop();
}
