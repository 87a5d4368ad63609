//! Attacks on exactness: many clients at once on one image, through two addresses of one service, whose answers and records
//! must be what some order of the calls, one after the other, would have left. The service may be another than Vitrine that
//! speaks the same API.

pub mod history;
mod kinds;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::sync::Barrier;

pub use self::kinds::{Attack, attacks};
use crate::keystone::Keystone;
use crate::party::Party;
use crate::postgres::Database;

/// Clients at once.
pub const CLIENTS: usize = 32;
/// How many members an image may have.
pub const QUOTA: usize = 4;

/// Who is attacked.
pub struct Target<'a> {
    /// Its addresses, `http://127.0.0.1:PORT`; every other call goes to the other one.
    pub urls: [String; 2],
    /// Its records.
    pub database: &'a Database<'a>,
    /// The statement for the members of an image, whose id stands for `$1`.
    pub rows: &'static str,
    /// Whether a private image can be shared, and becomes a shared one.
    pub shares_private: bool,
}

/// The statement for Vitrine's records.
pub const ROWS: &str = "SELECT member_id FROM image_members WHERE image_id = '$1'";
/// The statement for Glance's.
pub const GLANCE_ROWS: &str = "SELECT member FROM image_members WHERE image_id = '$1' AND NOT deleted";

/// One call of a round.
#[derive(Clone)]
pub(crate) struct Shot {
    method: Method,
    path: String,
    token: String,
    body: Option<Value>,
}

impl Shot {
    pub(crate) fn new(method: Method, path: String, party: &Party) -> Self {
        Self { method, path, token: party.token.clone(), body: None }
    }

    pub(crate) fn json(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }
}

/// What a test of the harness itself does to the calls that a round builds on.
pub trait SetUps: Send + Sync {
    /// Such a call is about to be made, for this path.
    fn before(&self, path: &str);
    /// It was answered with this status.
    fn after(&self, path: &str, status: u16);
    /// Whether it is made again while it is told to come again. If not, what it was told is not looked at.
    fn are_repeated(&self) -> bool;
}

/// How long a call that a round builds on may be told to come again.
const PATIENCE: Duration = Duration::from_secs(120);

/// The service and as many clients as there are shots, each with a connection of its own.
pub struct Range<'a> {
    target: Target<'a>,
    clients: Vec<Client>,
    owner: Party,
    member: Party,
    set_ups: Option<Arc<dyn SetUps>>,
}

/// What a round showed.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What no order of the calls explains.
    pub violations: Vec<String>,
    /// Answers that the call never gives: 5xx, none, another status.
    pub strange: Vec<String>,
    /// Some call was answered with 5xx or not at all: nobody knows whether it was made, and no count can be held against
    /// the service.
    is_open: bool,
    /// Calls that were answered with something else than they ever are, and than 503.
    is_odd: bool,
}

impl Verdict {
    /// Whether all that was strange is that calls were told to come again: on a machine that stands still for a while a call
    /// waits too long for what many want at once.
    pub fn is_only_refused(&self) -> bool {
        self.violations.is_empty() && !self.strange.is_empty() && !self.is_odd
    }

    /// Notes answers of this status, if the call never gives them.
    fn answered(&mut self, method: &str, status: u16, count: usize, is_allowed: bool) {
        if !is_allowed {
            self.is_open |= status == 0 || status >= 500;
            self.is_odd |= status != 503;
            self.strange.push(format!("{method} was answered {status}, {count} times"));
        }
    }

    fn must(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(otherwise());
        }
    }
}

impl<'a> Range<'a> {
    /// Before this service, with an owner and a member of their own.
    pub fn new(target: Target<'a>, keystone: &Keystone) -> Self {
        let [owner, member] = ["owner", "member"].map(|name| Party::new(keystone, name, &["member"]));
        let clients = (0..CLIENTS).map(|_| Client::builder().no_proxy().build().expect("a client")).collect();
        Self { target, clients, owner, member, set_ups: None }
    }

    /// The same, for a test of the harness itself.
    #[must_use]
    pub fn with_set_ups(self, set_ups: Arc<dyn SetUps>) -> Self {
        Self { set_ups: Some(set_ups), ..self }
    }

    /// Fires all shots at once and counts the statuses per method.
    async fn volley(&self, shots: impl IntoIterator<Item = Shot>) -> Outcome {
        let shots: Vec<Shot> = shots.into_iter().collect();
        assert!(shots.len() <= CLIENTS, "{} shots", shots.len());
        let start = Arc::new(Barrier::new(shots.len()));
        let fired: Vec<_> = shots
            .into_iter()
            .enumerate()
            .map(|(number, shot)| {
                let (client, start) = (self.clients[number].clone(), Arc::clone(&start));
                let url = self.target.urls[number % 2].clone();
                tokio::spawn(async move {
                    start.wait().await;
                    (shot.method.clone(), fire(&client, &url, shot).await.0)
                })
            })
            .collect();
        let mut outcome = Outcome::default();
        for shot in fired {
            let (method, status) = shot.await.expect("no panic");
            *outcome.0.entry((method.to_string(), status)).or_default() += 1;
        }
        outcome
    }

    /// One call by itself, at the given address.
    async fn call(&self, number: usize, shot: Shot) -> (u16, Value) {
        fire(&self.clients[0], &self.target.urls[number], shot).await
    }

    /// A call that others do not race with, made again while it is told to come again: its status, its body, and whether it
    /// was made again. A 503 here says nothing about what is judged.
    async fn settled(&self, number: usize, shot: Shot) -> (u16, Value, bool) {
        let begun = Instant::now();
        let mut is_repeated = false;
        loop {
            let (status, body) = self.call(number, shot.clone()).await;
            if status != 503 || begun.elapsed() > PATIENCE {
                return (status, body, is_repeated);
            }
            is_repeated = true;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A change that a round builds on: it is made, or the round does not begin.
    ///
    /// A 503 leaves open whether the change was made; the next try tells.
    async fn set_up(&self, number: usize, shot: Shot, wanted: u16) -> Value {
        let (method, path) = (shot.method.clone(), shot.path.clone());
        if let Some(set_ups) = &self.set_ups {
            set_ups.before(&path);
            let (status, body) = self.call(number, shot.clone()).await;
            set_ups.after(&path, status);
            if status == wanted || !set_ups.are_repeated() {
                return body;
            }
        }
        let (status, body, is_repeated) = self.settled(number, shot).await;
        let is_there = (is_repeated || self.set_ups.is_some()) && method == Method::POST && status == 409;
        assert!(status == wanted || is_there, "set-up {method} {path} was answered {status}: {body}");
        body
    }

    /// The path of a new image of the owner's.
    async fn image(&self, visibility: &str) -> String {
        let new = json!({"name": "poster", "visibility": visibility});
        let shot = Shot::new(Method::POST, "/v2/images".into(), &self.owner).json(new);
        let (status, image, _) = self.settled(0, shot).await;
        assert_eq!(status, 201, "{image}");
        format!("/v2/images/{}", image["id"].as_str().expect("an id"))
    }

    fn share(&self, image: &str, project: &str) -> Shot {
        Shot::new(Method::POST, format!("{image}/members"), &self.owner).json(json!({"member": project}))
    }

    fn share_with_member(&self, image: &str) -> Shot {
        self.share(image, &self.member.project.id)
    }

    fn membership(&self, image: &str) -> String {
        format!("{image}/members/{}", self.member.project.id)
    }

    fn unshare(&self, image: &str) -> Shot {
        Shot::new(Method::DELETE, self.membership(image), &self.owner)
    }

    fn accept(&self, image: &str) -> Shot {
        Shot::new(Method::PUT, self.membership(image), &self.member).json(json!({"status": "accepted"}))
    }

    /// How many rows an image has in the database. None may be there twice, and the member must see the image exactly if it
    /// has one, at either address.
    async fn rows(&self, image: &str, verdict: &mut Verdict) -> usize {
        let id = image.trim_start_matches("/v2/images/");
        let rows = self.target.database.query(&self.target.rows.replace("$1", id));
        let mut distinct = rows.clone();
        distinct.sort();
        distinct.dedup();
        verdict.must(rows.len() == distinct.len(), || format!("a project twice: {rows:?}"));
        let is_member = rows.contains(&self.member.project.id);
        for number in 0..2 {
            let look = Shot::new(Method::GET, image.to_owned(), &self.member);
            let (status, _, _) = self.settled(number, look).await;
            verdict.must(status == if is_member { 200 } else { 404 }, || {
                format!("a project whose membership is there: {is_member} is shown the image with {status}")
            });
        }
        rows.len()
    }

    /// What the service itself remembers of the member's memberships: how many began and how many ended. A service without
    /// histories remembers nothing.
    ///
    /// It tells apart what a count of answers cannot: a change that was made and not answered for, and one that was answered
    /// for and not made.
    async fn remembered(&self, image: &str) -> Option<(usize, usize)> {
        let path = format!("{}/history?limit=1000", self.membership(image));
        let (status, history, _) = self.settled(0, Shot::new(Method::GET, path, &self.owner)).await;
        let events = history["history"].as_array().filter(|_| status == 200)?;
        let count = |end: &str| {
            let is_of = |event: &&Value| event["event_type"].as_str().is_some_and(|kind| kind.ends_with(end));
            events.iter().filter(is_of).count()
        };
        Some((count("create"), count("delete")))
    }
}

/// The status and the body; 0: no answer.
async fn fire(client: &Client, url: &str, shot: Shot) -> (u16, Value) {
    let mut request =
        client.request(shot.method, format!("{url}{}", shot.path)).header("X-Auth-Token", shot.token);
    if let Some(body) = shot.body {
        request = request.json(&body);
    }
    match request.send().await {
        Ok(answer) => {
            let status = answer.status().as_u16();
            (status, answer.json().await.unwrap_or(Value::Null))
        }
        Err(_) => (0, Value::Null),
    }
}

/// How often which method was answered with which status.
#[derive(Debug, Default)]
struct Outcome(BTreeMap<(String, u16), usize>);

impl Outcome {
    fn count(&self, method: Method, status: u16) -> usize {
        self.0.get(&(method.to_string(), status)).copied().unwrap_or_default()
    }

    /// Notes all but these answers.
    fn only(&self, allowed: &[(Method, u16)], verdict: &mut Verdict) {
        for ((method, status), count) in &self.0 {
            let is_allowed = allowed.iter().any(|(m, s)| m.as_str() == method && s == status);
            verdict.answered(method, *status, *count, is_allowed);
        }
    }
}
