//! The history of many calls, judged: whether memberships behave as if every call happened at once, at some moment between
//! its request and its answer.
//!
//! Clients make random calls about a few images and projects. What they asked and were told is written down in the order in
//! which it happened, and judged image by image: a checker looks for an order of the calls that agrees with real time and
//! in which a plain model (`Image::made`) gives the very same answers. A call whose answer is lost may have happened or
//! not, then or later.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::Specification;

use super::PATIENCE;
use crate::keystone::Keystone;
use crate::party::Party;

const CLIENTS: usize = 12;
const IMAGES: usize = 12;
const MEMBERS: usize = 3;

type Status = &'static str;

const STATUSES: [Status; 3] = ["pending", "accepted", "rejected"];

/// A call about one image; members are numbered.
#[derive(Clone, Copy, Debug)]
enum Call {
    /// By the owner.
    Add(usize),
    /// By the owner.
    Remove(usize),
    /// By the owner.
    List,
    /// By the owner, to this visibility.
    Turn(&'static str),
    /// By the owner: the image itself.
    Delete,
    /// By the member: its membership.
    Show(usize),
    /// By the member: the image.
    Look(usize),
    /// By the member.
    Answer(usize, Status),
}

/// What a call was told: the status code, and the statuses of memberships in it.
type Told = (u16, Vec<(usize, Status)>);

/// A call and what it was told; `None`: nobody knows.
#[derive(Clone, Debug)]
struct Step {
    call: Call,
    told: Option<Told>,
}

/// The model of one image that may have so many members.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Image<const QUOTA: usize> {
    is_there: bool,
    is_shared: bool,
    members: BTreeMap<usize, Status>,
}

impl<const QUOTA: usize> Image<QUOTA> {
    /// What the call is told, and does, at once (sharing API, sections 2 and 3).
    fn made(&mut self, call: Call) -> Told {
        let told = |status| (status, Vec::new());
        if !self.is_there {
            return told(404);
        }
        let seen = |member: usize| self.members.get(&member).copied().filter(|_| self.is_shared);
        match call {
            // Sharing a private image begins anew: its former members are members no more.
            Call::Add(member) if !self.is_shared => {
                self.is_shared = true;
                self.members = BTreeMap::from([(member, "pending")]);
                (200, vec![(member, "pending")])
            }
            Call::Add(member) if self.members.contains_key(&member) => told(409),
            Call::Add(_) if self.members.len() >= QUOTA => told(413),
            Call::Add(member) => {
                self.members.insert(member, "pending");
                (200, vec![(member, "pending")])
            }
            Call::Remove(member) => told(if self.members.remove(&member).is_some() { 204 } else { 404 }),
            Call::List => (200, self.members.iter().map(|(member, status)| (*member, *status)).collect()),
            Call::Turn(visibility) => {
                self.is_shared = visibility == "shared";
                told(200)
            }
            Call::Delete => {
                self.is_there = false;
                told(204)
            }
            Call::Show(member) => seen(member).map_or(told(404), |status| (200, vec![(member, status)])),
            Call::Look(member) => told(if seen(member).is_some() { 200 } else { 404 }),
            Call::Answer(member, status) if seen(member).is_some() => {
                self.members.insert(member, status);
                (200, vec![(member, status)])
            }
            Call::Answer(..) => told(404),
        }
    }
}

impl<const QUOTA: usize> Specification for Image<QUOTA> {
    type State = Self;
    type Operation = Step;

    fn init() -> Self {
        Self { is_there: true, is_shared: true, members: BTreeMap::new() }
    }

    fn apply(step: &Step, before: &Self) -> (bool, Self) {
        let mut after = before.clone();
        let told = after.made(step.call);
        if step.told.as_ref().is_none_or(|really| *really == told) {
            (true, after)
        } else {
            (false, before.clone())
        }
    }
}

/// Which calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// All.
    Everything,
    /// Those on memberships alone: what a call is told while an image is not shared differs between services.
    Memberships,
}

/// A service by two addresses, and who calls it.
pub struct Stage {
    urls: [String; 2],
    owner: Party,
    members: [Party; MEMBERS],
    mix: Mix,
    calls: usize,
}

impl Stage {
    /// Of so many calls a run.
    pub fn new(urls: [String; 2], keystone: &Keystone, mix: Mix, calls: usize) -> Self {
        let members = ["first", "second", "third"].map(|name| Party::new(keystone, name, &["member"]));
        Self { urls, owner: Party::new(keystone, "owner", &["member"]), members, mix, calls }
    }

    /// Makes a call, and gives what it was told; `None` if that was lost.
    async fn make(&self, client: &Client, replica: usize, image: &str, call: Call) -> Option<Told> {
        let of = |member: usize| format!("{image}/members/{}", self.members[member].project.id);
        let (who, method, path, body) = match call {
            Call::Add(member) => {
                let body = json!({"member": self.members[member].project.id});
                (&self.owner, Method::POST, format!("{image}/members"), Some(body))
            }
            Call::Remove(member) => (&self.owner, Method::DELETE, of(member), None),
            Call::List => (&self.owner, Method::GET, format!("{image}/members"), None),
            Call::Turn(visibility) => {
                let patch = json!([{"op": "replace", "path": "/visibility", "value": visibility}]);
                (&self.owner, Method::PATCH, image.to_owned(), Some(patch))
            }
            Call::Delete => (&self.owner, Method::DELETE, image.to_owned(), None),
            Call::Show(member) => (&self.members[member], Method::GET, of(member), None),
            Call::Look(member) => (&self.members[member], Method::GET, image.to_owned(), None),
            Call::Answer(member, status) => {
                (&self.members[member], Method::PUT, of(member), Some(json!({"status": status})))
            }
        };
        let url = format!("{}{path}", self.urls[replica]);
        let media = match method {
            Method::PATCH => "application/openstack-images-v2.1-json-patch",
            _ => "application/json",
        };
        let mut request = client.request(method, url).header("X-Auth-Token", &who.token);
        if let Some(body) = body {
            request = request.header("Content-Type", media).body(body.to_string());
        }
        let answer = request.send().await.ok()?;
        let status = answer.status();
        // A fault in the middle of a call leaves open whether it was made.
        if status.is_server_error() {
            return None;
        }
        let body: Value = serde_json::from_slice(&answer.bytes().await.ok()?).unwrap_or(Value::Null);
        let rows = match body.get("members") {
            Some(rows) => rows.as_array().cloned().unwrap_or_default(),
            None => vec![body],
        };
        let mut seen: Vec<_> = rows.iter().filter_map(|row| self.membership(row)).collect();
        seen.sort_unstable();
        Some((status.as_u16(), seen))
    }

    /// The membership that a body tells of; an image or an error tells of none.
    fn membership(&self, row: &Value) -> Option<(usize, Status)> {
        let id = row.get("member_id")?.as_str()?;
        let member = self.members.iter().position(|party| party.project.id == id)?;
        let status = STATUSES.into_iter().find(|status| row["status"] == *status)?;
        Some((member, status))
    }

    async fn image(&self, client: &Client) -> String {
        let begun = Instant::now();
        let answer = loop {
            let answer = client
                .post(format!("{}/v2/images", self.urls[0]))
                .header("X-Auth-Token", &self.owner.token)
                .json(&json!({"visibility": "shared"}))
                .send()
                .await
                .expect("an answer");
            // Told to come again: an image of its own that was made all the same is in nobody's way.
            if answer.status().as_u16() != 503 || begun.elapsed() > PATIENCE {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(answer.status().as_u16(), 201);
        let image: Value = answer.json().await.expect("an image");
        format!("/v2/images/{}", image["id"].as_str().expect("an id"))
    }

    /// Random calls of all clients at once: of each image, what happened, in order.
    ///
    /// # Panics
    /// When no image can be made.
    pub async fn run(self: &Arc<Self>, seed: u64) -> Happened {
        let clients: Vec<Client> =
            (0..CLIENTS).map(|_| Client::builder().no_proxy().build().expect("a client")).collect();
        let mut images = Vec::new();
        for _ in 0..IMAGES {
            images.push(self.image(&clients[0]).await);
        }
        let images = Arc::new(images);
        let happened: Arc<Mutex<Vec<Vec<_>>>> = Arc::new(Mutex::new(vec![Vec::new(); IMAGES]));
        let running: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(number, client)| {
                let (stage, images, happened) =
                    (Arc::clone(self), Arc::clone(&images), Arc::clone(&happened));
                tokio::spawn(async move {
                    let note = |image: usize, who: usize, action: Action<Step>| {
                        happened.lock().expect("no panic")[image].push((who, action));
                    };
                    let mut random = Rng::with_seed(seed.wrapping_mul(1_000).wrapping_add(number as u64));
                    let mut lost = Vec::new();
                    for turn in 0..stage.calls / CLIENTS {
                        let image = random.usize(..IMAGES);
                        let call = any_call(&mut random, stage.mix);
                        // A client whose answer was lost goes on as somebody else: that call may still be under way.
                        let who = number + CLIENTS * lost.len();
                        note(image, who, Action::Call(Step { call, told: None }));
                        let told = stage.make(&client, (number + turn) % 2, &images[image], call).await;
                        match told {
                            Some(told) => {
                                note(image, who, Action::Response(Step { call, told: Some(told) }));
                            }
                            None => lost.push((image, who, call)),
                        }
                    }
                    lost
                })
            })
            .collect();
        let mut lost = Vec::new();
        for client in running {
            lost.extend(client.await.expect("no panic"));
        }
        let mut happened = std::mem::take(&mut *happened.lock().expect("no panic"));
        for (image, who, call) in lost {
            happened[image].push((who, Action::Response(Step { call, told: None })));
        }
        Happened(happened)
    }
}

/// What happened to each image.
pub struct Happened(Vec<Vec<(usize, Action<Step>)>>);

fn any_call(random: &mut Rng, mix: Mix) -> Call {
    let member = random.usize(..MEMBERS);
    let first = if mix == Mix::Everything { 0 } else { 30 };
    match random.usize(first..1000) {
        0 => Call::Delete,
        1..30 => Call::Turn(["private", "shared", "shared"][random.usize(..3)]),
        30..200 => Call::Add(member),
        200..330 => Call::Remove(member),
        330..450 => Call::List,
        450..600 => Call::Look(member),
        600..800 => Call::Show(member),
        _ => Call::Answer(member, STATUSES[random.usize(..3)]),
    }
}

impl Happened {
    /// How many calls and answers were written down.
    pub fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The calls that were not answered, or with a 5xx.
    pub fn unanswered(&self) -> usize {
        let lost = |action: &Action<Step>| matches!(action, Action::Response(Step { told: None, .. }));
        self.0.iter().flatten().filter(|(_, action)| lost(action)).count()
    }

    /// How many images there were.
    pub fn images(&self) -> usize {
        self.0.len()
    }

    /// The images whose history no order of calls explains, if so many members are allowed.
    pub fn unexplained<const QUOTA: usize>(&self) -> Vec<usize> {
        let explained = |actions: &Vec<_>| {
            actions.is_empty()
                || WGLChecker::<Image<QUOTA>>::is_linearizable(History::from_actions(actions.clone()))
        };
        (0..self.0.len()).filter(|image| !explained(&self.0[*image])).collect()
    }
}
