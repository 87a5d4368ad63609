//! The exactness attack: 32 clients at once, through two service processes, on one Postgres.
//!
//! Seven kinds of attack, two hundred rounds each (`VITRINE_TEST_ROUNDS` for more or fewer). After each round the
//! answers and the rows have to be what some order of the calls, one after the other, would have left.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use testbed::{Database, Keystone, Party, Postgres, Vitrine};
use tokio::sync::Barrier;

const CLIENTS: usize = 32;

/// Rounds of each attack.
fn rounds() -> usize {
    std::env::var("VITRINE_TEST_ROUNDS")
        .map_or(200, |rounds| rounds.parse().expect("VITRINE_TEST_ROUNDS: a number"))
}

const QUOTA: usize = 3;

/// One call of a round.
#[derive(Clone)]
struct Shot {
    method: Method,
    path: String,
    token: String,
    body: Option<Value>,
}

impl Shot {
    fn new(method: Method, path: String, party: &Party) -> Self {
        Self { method, path, token: party.token.clone(), body: None }
    }

    fn json(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }
}

/// Two services on one database and as many clients as there are shots, each with a connection of its own.
struct Range<'a> {
    replicas: [Vitrine; 2],
    clients: Vec<Client>,
    database: &'a Database<'a>,
    owner: Party,
    member: Party,
}

impl<'a> Range<'a> {
    fn new(database: &'a Database<'a>, keystone: &Keystone) -> Self {
        let quota = QUOTA.to_string();
        let replica =
            || Vitrine::serve(database, keystone).with("VITRINE_LIMITS__MEMBERS_PER_IMAGE", &quota).start();
        let [owner, member] = ["owner", "member"].map(|name| Party::new(keystone, name, &["member"]));
        let clients = (0..CLIENTS).map(|_| Client::builder().no_proxy().build().expect("a client")).collect();
        Self { replicas: [replica(), replica()], clients, database, owner, member }
    }

    /// Fires all shots at once, every other one at the other replica, and counts the statuses per method.
    async fn volley(&self, shots: Vec<Shot>) -> Outcome {
        assert!(shots.len() <= CLIENTS, "{} shots", shots.len());
        let start = Arc::new(Barrier::new(shots.len()));
        let fired: Vec<_> = shots
            .into_iter()
            .enumerate()
            .map(|(number, shot)| {
                let (client, start) = (self.clients[number].clone(), Arc::clone(&start));
                let url = self.replicas[number % 2].url().to_owned();
                tokio::spawn(async move {
                    start.wait().await;
                    (shot.method.clone(), fire(&client, &url, shot).await.0)
                })
            })
            .collect();
        let mut outcome = Outcome::default();
        for shot in fired {
            let (method, status) = shot.await.expect("no panic");
            *outcome.0.entry((method.to_string(), status.as_u16())).or_default() += 1;
        }
        outcome
    }

    /// One call by itself, at the given replica.
    async fn call(&self, replica: usize, shot: Shot) -> (StatusCode, Value) {
        fire(&self.clients[0], self.replicas[replica].url(), shot).await
    }

    /// The path of a new image of the owner's.
    async fn image(&self, visibility: &str) -> String {
        let new = json!({"name": "poster", "visibility": visibility});
        let (status, image) =
            self.call(0, Shot::new(Method::POST, "/v2/images".into(), &self.owner).json(new)).await;
        assert_eq!(status, StatusCode::CREATED, "{image}");
        format!("/v2/images/{}", image["id"].as_str().expect("an id"))
    }

    fn share(&self, image: &str, project: &str) -> Shot {
        Shot::new(Method::POST, format!("{image}/members"), &self.owner).json(json!({"member": project}))
    }

    fn unshare(&self, image: &str) -> Shot {
        Shot::new(Method::DELETE, format!("{image}/members/{}", self.member.project.id), &self.owner)
    }

    fn accept(&self, image: &str) -> Shot {
        let path = format!("{image}/members/{}", self.member.project.id);
        Shot::new(Method::PUT, path, &self.member).json(json!({"status": "accepted"}))
    }

    /// The rows of an image in the database: none twice, and the member sees the image exactly if it has one.
    async fn rows(&self, image: &str) -> usize {
        let id = image.trim_start_matches("/v2/images/");
        let rows =
            self.database.query(&format!("SELECT member_id FROM image_members WHERE image_id = '{id}'"));
        let mut distinct = rows.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(rows.len(), distinct.len(), "a project twice: {rows:?}");
        let expected =
            if rows.contains(&self.member.project.id) { StatusCode::OK } else { StatusCode::NOT_FOUND };
        for replica in 0..2 {
            let (status, _) =
                self.call(replica, Shot::new(Method::GET, image.to_owned(), &self.member)).await;
            assert_eq!(status, expected, "what the member sees through replica {replica}, rows {rows:?}");
        }
        rows.len()
    }

    fn stop(self) {
        for replica in self.replicas {
            replica.stop();
        }
    }
}

async fn fire(client: &Client, url: &str, shot: Shot) -> (StatusCode, Value) {
    let mut request =
        client.request(shot.method, format!("{url}{}", shot.path)).header("X-Auth-Token", shot.token);
    if let Some(body) = shot.body {
        request = request.json(&body);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status();
    (status, answer.json().await.unwrap_or(Value::Null))
}

/// How often which method was answered with which status.
#[derive(Debug, Default)]
struct Outcome(BTreeMap<(String, u16), usize>);

impl Outcome {
    fn count(&self, method: Method, status: u16) -> usize {
        self.0.get(&(method.to_string(), status)).copied().unwrap_or_default()
    }

    /// Nothing but these answers.
    #[track_caller]
    fn only(&self, allowed: &[(Method, u16)]) {
        let known = |(method, status): &(String, u16)| {
            allowed.iter().any(|(m, s)| m.as_str() == method && s == status)
        };
        assert!(self.0.keys().all(known), "{self:?} holds more than {allowed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_add_one_project_exactly_one_does() {
    let database = Postgres::shared().database();
    let range = tokio::task::block_in_place(|| Range::new(&database, Keystone::shared()));
    for round in 0..rounds() {
        // Every other round on a private image, which the first share turns into a shared one.
        let image = range.image(["shared", "private"][round % 2]).await;
        let outcome = range.volley(vec![range.share(&image, &range.member.project.id); CLIENTS]).await;
        assert_eq!(outcome.count(Method::POST, 200), 1, "round {round}: {outcome:?}");
        assert_eq!(outcome.count(Method::POST, 409), CLIENTS - 1, "round {round}: {outcome:?}");
        assert_eq!(range.rows(&image).await, 1, "round {round}");
        let (_, shown) = range.call(1, Shot::new(Method::GET, image, &range.owner)).await;
        assert_eq!(shown["visibility"], "shared", "round {round}");
    }
    range.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removals_racing_additions_leave_what_their_answers_say() {
    let database = Postgres::shared().database();
    let range = tokio::task::block_in_place(|| Range::new(&database, Keystone::shared()));
    for round in 0..rounds() {
        let image = range.image("shared").await;
        let before = round % 2;
        if before == 1 {
            range.call(0, range.share(&image, &range.member.project.id)).await;
        }
        let share = range.share(&image, &range.member.project.id);
        let shots = (0..CLIENTS)
            .map(|n| if n / 2 % 2 == 0 { share.clone() } else { range.unshare(&image) })
            .collect();
        let outcome = range.volley(shots).await;
        outcome.only(&[
            (Method::POST, 200),
            (Method::POST, 409),
            (Method::DELETE, 204),
            (Method::DELETE, 404),
        ]);
        let (added, removed) = (outcome.count(Method::POST, 200), outcome.count(Method::DELETE, 204));
        let rows = range.rows(&image).await;
        assert_eq!(before + added, removed + rows, "round {round}: {outcome:?}");
    }
    range.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_cannot_undo_its_removal_by_accepting_meanwhile() {
    let database = Postgres::shared().database();
    let range = tokio::task::block_in_place(|| Range::new(&database, Keystone::shared()));
    for round in 0..rounds() {
        let image = range.image("shared").await;
        range.call(0, range.share(&image, &range.member.project.id)).await;
        let removals = 1 + round % 4;
        let shots =
            (0..CLIENTS).map(|n| if n < removals { range.unshare(&image) } else { range.accept(&image) });
        let outcome = range.volley(shots.collect()).await;
        outcome.only(&[(Method::PUT, 200), (Method::PUT, 404), (Method::DELETE, 204), (Method::DELETE, 404)]);
        assert_eq!(outcome.count(Method::DELETE, 204), 1, "round {round}: {outcome:?}");
        assert_eq!(range.rows(&image).await, 0, "round {round}: {outcome:?}");
    }
    range.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_answers_to_one_offer_each_is_given_and_the_last_one_stands() {
    let database = Postgres::shared().database();
    let range = tokio::task::block_in_place(|| Range::new(&database, Keystone::shared()));
    let statuses = ["accepted", "rejected", "pending"];
    for round in 0..rounds() {
        let image = range.image("shared").await;
        range.call(0, range.share(&image, &range.member.project.id)).await;
        let path = format!("{image}/members/{}", range.member.project.id);
        let show = Shot::new(Method::GET, path, &range.member);
        let shots = (0..CLIENTS).map(|n| match n % 4 {
            3 => show.clone(),
            // In some rounds all say the same.
            _ => range.accept(&image).json(json!({"status": statuses[n % (1 + round % 3)]})),
        });
        let outcome = range.volley(shots.collect()).await;
        assert_eq!(outcome.count(Method::PUT, 200), CLIENTS / 4 * 3, "round {round}: {outcome:?}");
        assert_eq!(outcome.count(Method::GET, 200), CLIENTS / 4, "round {round}: {outcome:?}");
        let (_, last) = range.call(0, range.accept(&image).json(json!({"status": "rejected"}))).await;
        let (_, shown) = range.call(1, show).await;
        assert_eq!(shown, last, "round {round}");
        assert_eq!(range.rows(&image).await, 1, "round {round}");
    }
    range.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adding_accepting_and_removing_at_once_leave_one_row_or_none() {
    let database = Postgres::shared().database();
    let range = tokio::task::block_in_place(|| Range::new(&database, Keystone::shared()));
    for round in 0..rounds() {
        let image = range.image("shared").await;
        let member = range.member.project.id.clone();
        let shots = (0..CLIENTS).map(|n| match n % 8 {
            0..3 => range.share(&image, &member),
            3..6 => range.accept(&image),
            _ => range.unshare(&image),
        });
        let outcome = range.volley(shots.collect()).await;
        outcome.only(&[
            (Method::POST, 200),
            (Method::POST, 409),
            (Method::PUT, 200),
            (Method::PUT, 404),
            (Method::DELETE, 204),
            (Method::DELETE, 404),
        ]);
        let (added, removed) = (outcome.count(Method::POST, 200), outcome.count(Method::DELETE, 204));
        assert_eq!(added, removed + range.rows(&image).await, "round {round}: {outcome:?}");
        let accepted_nothing = added == 0 && outcome.count(Method::PUT, 200) > 0;
        assert!(!accepted_nothing, "round {round}: accepted what nobody shared: {outcome:?}");
    }
    range.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quota_is_never_exceeded_and_never_wasted() {
    let database = Postgres::shared().database();
    let range = tokio::task::block_in_place(|| Range::new(&database, Keystone::shared()));
    for round in 0..rounds() {
        let image = range.image("shared").await;
        // Up to two places are taken before the rush.
        let taken = round % QUOTA;
        for guest in 0..taken {
            range.call(guest % 2, range.share(&image, &format!("guest-{guest}"))).await;
        }
        let shots = (0..CLIENTS).map(|n| range.share(&image, &format!("project-{n}"))).collect();
        let outcome = range.volley(shots).await;
        assert_eq!(outcome.count(Method::POST, 200), QUOTA - taken, "round {round}: {outcome:?}");
        assert_eq!(outcome.count(Method::POST, 413), CLIENTS - QUOTA + taken, "round {round}: {outcome:?}");
        assert_eq!(range.rows(&image).await, QUOTA, "round {round}");
    }
    range.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_deleted_while_it_is_shared_keeps_no_member() {
    let database = Postgres::shared().database();
    let range = tokio::task::block_in_place(|| Range::new(&database, Keystone::shared()));
    for round in 0..rounds() {
        let image = range.image("shared").await;
        let shots = (0..CLIENTS).map(|n| match n % 16 {
            5 => Shot::new(Method::DELETE, image.clone(), &range.owner),
            _ => range.share(&image, &format!("project-{}", n % 3)),
        });
        let outcome = range.volley(shots.collect()).await;
        outcome.only(&[
            (Method::POST, 200),
            (Method::POST, 404),
            (Method::POST, 409),
            (Method::DELETE, 204),
            (Method::DELETE, 404),
        ]);
        assert_eq!(outcome.count(Method::DELETE, 204), 1, "round {round}: {outcome:?}");
        assert_eq!(range.rows(&image).await, 0, "round {round}: {outcome:?}");
    }
    range.stop();
}
