//! Steady load of real requests: a few clients, each asking again as soon as it was answered (and has thought a
//! little), of whichever replica the front names. Each has memberships of its own on images that all share, so that it
//! knows exactly what every answer must be.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};

use super::belief::{Belief, Change, State};
use super::front::Front;
use super::wire::{Ask, Reply, Wire};
use crate::keystone::Keystone;
use crate::party::Party;

/// Who asks: the owner of the images, and a member for each client.
pub struct Cast {
    /// The owner.
    pub owner: Party,
    /// One for each client.
    pub members: Vec<Party>,
}

impl Cast {
    /// New projects and people.
    pub fn new(keystone: &Keystone, clients: usize) -> Arc<Self> {
        let party = |name: &str| Party::new(keystone, name, &["member"]);
        Arc::new(Self { owner: party("owner"), members: (0..clients).map(|_| party("member")).collect() })
    }
}

/// One request and what became of it.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it was sent, after the start of the load.
    pub sent: Duration,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub end: End,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With the one right answer.
    Right,
    /// With 503: come again.
    Refused,
    /// Without an answer.
    Lost(String),
    /// With an answer that cannot be right.
    Wrong(String),
}

/// A load under way.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Vec<Known>>>,
}

/// What a client ended up knowing of a membership.
pub struct Known {
    /// The path of the image.
    pub image: String,
    /// The member.
    pub project: String,
    /// What was told about it.
    pub belief: Belief,
}

struct Shared {
    started: Instant,
    is_over: AtomicBool,
    seen: Mutex<Seen>,
}

/// What has ended and what has not: under one lock, so that each request is in exactly one of them.
#[derive(Default)]
struct Seen {
    events: Vec<Event>,
    /// For each client, when it sent the request that it waits for.
    under_way: Vec<Option<Duration>>,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client sends a request: now, which is read under the lock, so that nobody takes this moment for settled.
    fn sends(&self, client: usize) -> Duration {
        let mut seen = self.seen();
        let sent = self.started.elapsed();
        seen.under_way[client] = Some(sent);
        sent
    }

    /// That request has ended.
    fn ended(&self, client: usize, sent: Duration, end: End) {
        let mut seen = self.seen();
        let took = self.started.elapsed().saturating_sub(sent);
        seen.under_way[client] = None;
        seen.events.push(Event { sent, took, end });
    }
}

/// How a load goes.
#[derive(Clone)]
pub struct Plan {
    /// Where requests go.
    pub front: Arc<Front>,
    /// Who asks.
    pub cast: Arc<Cast>,
    /// Images that all clients share, by path.
    pub images: Vec<String>,
    /// How long each client thinks before it asks again.
    pub think: Duration,
    /// How long a client waits for an answer.
    pub patience: Duration,
}

impl Load {
    /// Starts it: one client for each member.
    pub fn start(plan: &Plan, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            started: Instant::now(),
            is_over: AtomicBool::new(false),
            seen: Mutex::new(Seen { under_way: vec![None; plan.cast.members.len()], ..Seen::default() }),
        });
        let clients = (0..plan.cast.members.len())
            .map(|number| {
                let random = Rng::with_seed(seed.wrapping_mul(1000).wrapping_add(number as u64));
                let client = Client::new(plan.clone(), number, random);
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || client.run(&shared))
            })
            .collect();
        Self { shared, clients }
    }

    /// Time since the start.
    pub fn now(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// The moment, after the start, up to which all that was sent has ended: [`Load::events`] called later has it all.
    pub fn settled(&self) -> Duration {
        let seen = self.shared.seen();
        seen.under_way.iter().flatten().copied().fold(self.now(), Duration::min)
    }

    /// What has ended so far, in no order.
    pub fn events(&self) -> Vec<Event> {
        self.shared.seen().events.clone()
    }

    /// Ends it when the last answers have come.
    pub fn end(self) -> (Vec<Event>, Vec<Known>) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let known = self.clients.into_iter().flat_map(|client| client.join().expect("a client")).collect();
        let events = std::mem::take(&mut self.shared.seen().events);
        (events, known)
    }
}

struct Client {
    plan: Plan,
    number: usize,
    wires: Vec<Wire>,
    random: Rng,
    /// Of this client's own project, by image; then of projects that it made up.
    own: Vec<Belief>,
    guests: Vec<Guest>,
}

/// A membership of a project that nobody is in: the owner alone deals with it.
struct Guest {
    image: usize,
    project: String,
    belief: Belief,
}

/// A request that is about one membership.
enum Call {
    Do(Change),
    Show,
    Look,
    List,
    Browse,
}

impl Client {
    fn new(plan: Plan, number: usize, random: Rng) -> Self {
        let wires =
            plan.front.addresses().into_iter().map(|address| Wire::to(address, plan.patience)).collect();
        let own = vec![Belief::default(); plan.images.len()];
        Self { plan, number, wires, random, own, guests: Vec::new() }
    }

    fn run(mut self, shared: &Shared) -> Vec<Known> {
        while !shared.is_over.load(Ordering::Relaxed) {
            let sent = shared.sends(self.number);
            let end = self.ask();
            shared.ended(self.number, sent, end);
            std::thread::sleep(self.plan.think);
        }
        let Self { plan, number, own, guests, .. } = self;
        let project = &plan.cast.members[number].project.id;
        let own = own.into_iter().enumerate().map(|(image, belief)| Known {
            image: plan.images[image].clone(),
            project: project.clone(),
            belief,
        });
        let guests = guests.into_iter().map(|guest| Known {
            image: plan.images[guest.image].clone(),
            project: guest.project,
            belief: guest.belief,
        });
        own.chain(guests).collect()
    }

    /// One request. What is known for certain is worked on first: of it nothing but one answer is right.
    fn ask(&mut self) -> End {
        let certain: Vec<usize> = (0..self.own.len()).filter(|image| self.own[*image].is_certain()).collect();
        let roll = self.random.u32(..100);
        if roll < 5 {
            return self.browse();
        }
        if certain.is_empty() && roll < 60 {
            return self.guest();
        }
        let image = match certain.len() {
            0 => self.random.usize(..self.own.len()),
            some => certain[self.random.usize(..some)],
        };
        let states = [State::Accepted, State::Rejected, State::Pending];
        let call = match roll {
            5..25 => Call::Do(Change::Add),
            25..40 => Call::Do(Change::Remove),
            40..60 => Call::Do(Change::Set(states[self.random.usize(..3)])),
            60..80 => Call::Show,
            80..90 => Call::Look,
            _ => Call::List,
        };
        let project = self.plan.cast.members[self.number].project.id.clone();
        let reply = self.send(&call, image, &project, false);
        judge(&mut self.own[image], &call, &project, reply)
    }

    /// A new project each time the last one's fate is uncertain.
    fn guest(&mut self) -> End {
        if self.guests.last().is_none_or(|guest| !guest.belief.is_certain()) {
            let project = format!("guest-{}-{}-{:x}", self.number, self.guests.len(), self.random.u32(..));
            let image = self.random.usize(..self.plan.images.len());
            self.guests.push(Guest { image, project, belief: Belief::default() });
        }
        let Some(mut guest) = self.guests.pop() else { return End::Right };
        let call = match self.random.u32(..4) {
            0 => Call::Do(Change::Add),
            1 => Call::Do(Change::Remove),
            _ => Call::Show,
        };
        let reply = self.send(&call, guest.image, &guest.project, true);
        let end = judge(&mut guest.belief, &call, &guest.project, reply);
        self.guests.push(guest);
        end
    }

    /// The member's own list: each of the images that it may have, with any status.
    fn browse(&mut self) -> End {
        let project = self.plan.cast.members[self.number].project.id.clone();
        match self.send(&Call::Browse, 0, &project, false) {
            Err(lost) => End::Lost(lost),
            Ok(reply) if reply.status == 503 => End::Refused,
            Ok(reply) if reply.status != 200 => End::Wrong(format!("a list was answered {}", reply.status)),
            Ok(reply) => {
                let mut wrong = None;
                for (image, belief) in self.plan.images.iter().zip(&mut self.own) {
                    let id = image.trim_start_matches("/v2/images/");
                    let is_listed = reply.body.contains(id);
                    let possible = belief.possible();
                    let fits = possible.iter().any(|state| (*state != State::Absent) == is_listed);
                    if !fits {
                        wrong = Some(format!("listed: {is_listed}, but the membership can be {possible:?}"));
                    }
                }
                wrong.map_or(End::Right, End::Wrong)
            }
        }
    }

    fn send(&mut self, call: &Call, image: usize, project: &str, by_owner: bool) -> Result<Reply, String> {
        let (owner, member) = (&self.plan.cast.owner, &self.plan.cast.members[self.number]);
        let image = &self.plan.images[image];
        let membership = format!("{image}/members/{project}");
        let members = format!("{image}/members");
        let mut body = None;
        let (method, path, mut token) = match call {
            Call::Do(Change::Add) => {
                body = Some(json!({"member": project}).to_string());
                ("POST", members, &owner.token)
            }
            Call::Do(Change::Remove) => ("DELETE", membership, &owner.token),
            Call::Do(Change::Set(state)) => {
                body = Some(json!({"status": state.word()}).to_string());
                ("PUT", membership, &member.token)
            }
            Call::Show => ("GET", membership, &member.token),
            Call::Look => ("GET", image.clone(), &member.token),
            Call::List => ("GET", members, &member.token),
            Call::Browse => {
                let path = "/v2/images?visibility=shared&member_status=all&limit=1000";
                ("GET", path.to_owned(), &member.token)
            }
        };
        if by_owner {
            token = &owner.token;
        }
        let ask = Ask { method, path: &path, token, body: body.as_deref() };
        self.wires[self.plan.front.next()].ask(&ask).map_err(|error| error.to_string())
    }
}

/// Whether a reply is right, and what is known after it.
fn judge(belief: &mut Belief, call: &Call, project: &str, reply: Result<Reply, String>) -> End {
    let reply = match reply {
        Ok(reply) if reply.status != 503 => reply,
        unclear => {
            if let Call::Do(change) = call {
                belief.lost(*change);
            }
            return unclear.map_or_else(End::Lost, |_| End::Refused);
        }
    };
    let judged = match call {
        Call::Do(change) => belief.told(*change, reply.status),
        Call::Show | Call::List => match (reply.status, seen(&reply.body, project)) {
            (200, Some(state)) => belief.saw(state),
            (404, _) => belief.saw(State::Absent),
            (status, _) => Err(format!("a membership was shown with {status}: {}", reply.body)),
        },
        Call::Look | Call::Browse => {
            let is_there = belief.possible().iter().any(|state| *state != State::Absent);
            let may_be_gone = belief.possible().contains(&State::Absent);
            match reply.status {
                200 if is_there => Ok(()),
                404 if may_be_gone => Ok(()),
                status => Err(format!(
                    "an image was shown with {status}, but the membership can be {:?}",
                    belief.possible()
                )),
            }
        }
    };
    judged.map_or_else(End::Wrong, |()| End::Right)
}

/// The state of a project's membership in a body: of a membership, or of a list of them.
fn seen(body: &str, project: &str) -> Option<State> {
    let body: Value = serde_json::from_str(body).ok()?;
    let rows = match body.get("members") {
        Some(rows) => rows.as_array().cloned().unwrap_or_default(),
        None => vec![body],
    };
    let of: BTreeMap<&str, &str> =
        rows.iter().filter_map(|row| Some((row["member_id"].as_str()?, row["status"].as_str()?))).collect();
    of.get(project).map_or(Some(State::Absent), |word| State::of(word))
}
