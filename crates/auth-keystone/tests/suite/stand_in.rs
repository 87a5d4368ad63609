//! A Keystone stand-in on loopback: programmable, and counting.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, http::StatusCode, rt, web};
use auth_keystone::{Clock, Config, Formats, Keystone, Secret, SystemClock};
use chrono::{DateTime, SecondsFormat, SubsecRound, TimeDelta, Utc};
use core_domain::{
    caller::Caller,
    tokens::{Intent, Shown, TokenError, Tokens},
};
use serde_json::{Value, json};
use tokio::sync::watch;

/// The password the service signs in with.
pub(crate) const PASSWORD: &str = "not-a-secret-but-unmistakable";

/// A clock that runs as the machine's does, can be stopped and can be put forward; the stand-in goes by it, too.
#[derive(Debug, Default)]
pub(crate) struct Hands {
    system: SystemClock,
    forward: AtomicU64,
    stopped: OnceLock<(DateTime<Utc>, Duration)>,
}

impl Hands {
    pub(crate) fn put_forward(&self, by: Duration) {
        self.forward.fetch_add(u64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }

    /// From now on time passes only by being put forward, however long a busy machine takes.
    pub(crate) fn stop(&self) {
        self.stopped.get_or_init(|| (self.system.wall(), self.system.steady()));
    }

    fn forward(&self) -> Duration {
        Duration::from_micros(self.forward.load(Ordering::SeqCst))
    }
}

impl Clock for Hands {
    fn wall(&self) -> DateTime<Utc> {
        self.stopped.get().map_or_else(|| self.system.wall(), |(wall, _)| *wall) + self.forward()
    }

    fn steady(&self) -> Duration {
        self.stopped.get().map_or_else(|| self.system.steady(), |(_, steady)| *steady) + self.forward()
    }
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
    pub(crate) at: Instant,
}

impl Seen {
    pub(crate) fn is_validation(&self) -> bool {
        self.method == "GET" && self.path == VALIDATION
    }
}

/// An answer to give.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
    /// First wait so long.
    pub(crate) after: Duration,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let body = body.to_string();
        Self { status, content_type: "application/json", headers: Vec::new(), body, after: Duration::ZERO }
    }

    pub(crate) fn page(status: u16) -> Self {
        let body = "<!doctype html>\n<html lang=en>\n<title>A page</title>".to_owned();
        Self { status, content_type: "text/html", headers: Vec::new(), body, after: Duration::ZERO }
    }

    /// Keystone's own form of an error.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        let error = json!({"error": {"code": status, "title": "A title", "message": message}});
        Self::json(status, &error)
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.after = wait;
        self
    }
}

type Script = Box<dyn FnMut(&Seen) -> Option<Reply> + Send>;

/// What the stand-in knows and does.
pub(crate) struct Realm {
    hands: Arc<Hands>,
    /// Tokens of the service with the second in which they end, by Keystone's clock.
    own: HashMap<String, DateTime<Utc>>,
    revoked: HashSet<String>,
    pub(crate) subjects: HashMap<String, Value>,
    /// How long the service's tokens live, in seconds.
    pub(crate) life: i64,
    pub(crate) own_roles: Vec<&'static str>,
    /// How far Keystone's clock is ahead of everybody's.
    pub(crate) ahead: TimeDelta,
    /// Each validation takes so long.
    pub(crate) delay: Duration,
    /// What was revoked: the answer to whoever asks.
    pub(crate) revocations: Reply,
    /// The validations that are being answered, and the most there ever were.
    pub(crate) open: usize,
    pub(crate) most_open: usize,
    /// Speaks first; `None` leaves the answer to the realm.
    pub(crate) script: Script,
    pub(crate) seen: Vec<Seen>,
}

impl Realm {
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.hands.wall() + self.ahead
    }

    /// A description of a token for a project, ending so many seconds from now.
    pub(crate) fn describe(&self, user: &str, project: &str, roles: &[&str], life: i64) -> Value {
        let issued = self.now().trunc_subsecs(0);
        let stamp = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
        let roles: Vec<_> =
            roles.iter().map(|role| json!({"id": format!("id-{role}"), "name": role})).collect();
        json!({"token": {
            "methods": ["password"],
            "user": {"id": user, "name": user, "domain": {"id": "default", "name": "Default"}, "password_expires_at": null},
            "audit_ids": ["rgcW7j_IRzyqiN2CxTRjGQ"],
            "project": {"id": project, "name": project, "domain": {"id": "default", "name": "Default"}},
            "is_domain": false,
            "roles": roles,
            "issued_at": stamp(issued),
            "expires_at": stamp(issued + TimeDelta::seconds(life)),
        }})
    }

    /// Revokes every token the service has.
    pub(crate) fn revoke_own(&mut self) {
        self.revoked.extend(self.own.keys().cloned());
    }

    fn answer(&mut self, seen: &Seen) -> Reply {
        self.seen.push(seen.clone());
        if let Some(reply) = (self.script)(seen) {
            return reply;
        }
        match (seen.method.as_str(), seen.path.as_str()) {
            ("POST", "/v3/auth/tokens") => self.sign_in(),
            ("GET", VALIDATION) => self.validate(seen),
            ("GET", REVOCATIONS) => self.revocations.clone(),
            ("GET", PROBE) => Reply::json(200, &json!({"version": {"id": "v3.14"}})),
            _ => Reply::page(404),
        }
    }

    fn sign_in(&mut self) -> Reply {
        let token = format!("own-token-{:04}-of-the-service", self.own.len() + 1);
        self.own.insert(token.clone(), self.now().trunc_subsecs(0) + TimeDelta::seconds(self.life));
        let description = self.describe("vitrine", "service", &self.own_roles, self.life);
        Reply::json(201, &description).header("X-Subject-Token", token)
    }

    fn validate(&self, seen: &Seen) -> Reply {
        let own = seen.headers.get("x-auth-token").map_or("", String::as_str);
        let lives = self.own.get(own).is_some_and(|end| self.now() < *end);
        if !lives || self.revoked.contains(own) {
            return Reply::error(401, "The request you have made requires authentication.").after(self.delay);
        }
        let subject = seen.headers.get("x-subject-token").map_or("", String::as_str);
        let ended = |description: &Value| {
            let end = description["token"]["expires_at"].as_str().unwrap_or_default();
            DateTime::parse_from_rfc3339(end).is_ok_and(|end| end <= self.now())
        };
        let allowed = seen.query.split('&').any(|flag| flag == "allow_expired=1");
        match self.subjects.get(subject) {
            Some(description) if allowed || !ended(description) => {
                Reply::json(200, description).header("X-Subject-Token", subject).after(self.delay)
            }
            Some(_) | None => {
                Reply::error(404, &format!("Could not find token: {subject}.")).after(self.delay)
            }
        }
    }
}

const VALIDATION: &str = "/v3/auth/tokens";
/// Where a probe goes.
pub(crate) const PROBE: &str = "/v3";
/// Where it is asked what was revoked.
pub(crate) const REVOCATIONS: &str = "/v3/OS-REVOKE/events";

/// A running stand-in; ends with the value.
pub(crate) struct StandIn {
    pub(crate) hands: Arc<Hands>,
    pub(crate) port: u16,
    realm: Arc<Mutex<Realm>>,
    held: Arc<watch::Sender<bool>>,
    server: ServerHandle,
    thread: Option<thread::JoinHandle<()>>,
}

impl StandIn {
    pub(crate) fn start() -> Self {
        let hands = Arc::<Hands>::default();
        let realm = Arc::new(Mutex::new(Realm {
            hands: Arc::clone(&hands),
            own: HashMap::new(),
            revoked: HashSet::new(),
            subjects: HashMap::new(),
            life: 3600,
            own_roles: vec!["service"],
            ahead: TimeDelta::zero(),
            delay: Duration::ZERO,
            revocations: Reply::page(404),
            open: 0,
            most_open: 0,
            script: Box::new(|_| None),
            seen: Vec::new(),
        }));
        let (started, running) = std::sync::mpsc::channel();
        let held = Arc::new(watch::Sender::new(false));
        let data = web::Data::from(Arc::clone(&realm));
        let hold = web::Data::from(Arc::clone(&held));
        let thread = thread::spawn(move || {
            rt::System::new().block_on(async move {
                let app = move || {
                    App::new().app_data(data.clone()).app_data(hold.clone()).default_service(web::to(serve))
                };
                let server = HttpServer::new(app)
                    .workers(1)
                    .max_connections(10_000)
                    .backlog(4096)
                    .disable_signals()
                    .shutdown_timeout(0)
                    .bind("127.0.0.1:0")
                    .expect("a port on loopback");
                let port = server.addrs()[0].port();
                let server = server.run();
                started.send((port, server.handle())).expect("a test that waits");
                server.await.expect("a server that ends well");
            });
        });
        let (port, server) = running.recv().expect("a server");
        Self { hands, port, realm, held, server, thread: Some(thread) }
    }

    /// The time by the hands, in seconds since some moment.
    pub(crate) fn hands_seconds(&self) -> f64 {
        self.hands.steady().as_secs_f64()
    }

    /// Changes or reads what the stand-in knows.
    pub(crate) fn realm<T>(&self, with: impl FnOnce(&mut Realm) -> T) -> T {
        with(&mut self.realm.lock().expect("no panic in the realm"))
    }

    /// Takes requests, but answers none for or about a token until [`StandIn::release`].
    pub(crate) fn hold(&self) {
        self.held.send_replace(true);
    }

    pub(crate) fn release(&self) {
        self.held.send_replace(false);
    }

    /// Answers by this from now on; `None` leaves the answer to the realm.
    pub(crate) fn script(&self, script: impl FnMut(&Seen) -> Option<Reply> + Send + 'static) {
        self.realm(|realm| realm.script = Box::new(script));
    }

    /// Answers every validation like this from now on.
    pub(crate) fn always(&self, reply: Reply) {
        self.script(move |seen| seen.is_validation().then(|| reply.clone()));
    }

    /// Lets somebody have this token for an hour.
    pub(crate) fn admit(&self, token: &str) {
        self.admit_for(token, 3600);
    }

    pub(crate) fn admit_for(&self, token: &str, life: i64) {
        self.realm(|realm| {
            let description = realm.describe("alice", "studio", &["member", "reader"], life);
            realm.subjects.insert(token.to_owned(), description)
        });
    }

    /// Lets this user have this token for an hour, with these audit ids and roles.
    pub(crate) fn admit_as(&self, token: &str, user: &str, audit_ids: &[&str], roles: &[&str]) {
        self.realm(|realm| {
            let mut description = realm.describe(user, "studio", roles, 3_600);
            description["token"]["audit_ids"] = json!(audit_ids);
            realm.subjects.insert(token.to_owned(), description)
        });
    }

    /// The sign-ins (`POST`) or validations (`GET`) so far.
    pub(crate) fn seen(&self, method: &str) -> Vec<Seen> {
        self.seen_at(VALIDATION).into_iter().filter(|seen| seen.method == method).collect()
    }

    pub(crate) fn seen_at(&self, path: &str) -> Vec<Seen> {
        self.realm(|realm| realm.seen.iter().filter(|seen| seen.path == path).cloned().collect())
    }

    /// How many sign-ins there were.
    pub(crate) fn posts(&self) -> usize {
        self.seen("POST").len()
    }

    /// How many validations there were.
    pub(crate) fn gets(&self) -> usize {
        self.seen("GET").len()
    }

    pub(crate) fn config(&self) -> Config {
        config(self.port)
    }

    /// A validator that asks this stand-in and goes by its clock.
    pub(crate) fn keystone(&self) -> Keystone {
        self.keystone_with(&self.config())
    }

    pub(crate) fn keystone_with(&self, config: &Config) -> Keystone {
        Keystone::with_clock(config, Arc::clone(&self.hands) as Arc<dyn Clock>).expect("a good configuration")
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // The command is sent at once; its future only waits.
        drop(self.server.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    request: HttpRequest,
    body: web::Bytes,
    realm: web::Data<Mutex<Realm>>,
    held: web::Data<watch::Sender<bool>>,
) -> HttpResponse {
    let text = |value: &actix_web::http::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let seen = Seen {
        method: request.method().to_string(),
        path: request.path().to_owned(),
        query: request.query_string().to_owned(),
        headers: request
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
        at: Instant::now(),
    };
    let is_validation = seen.is_validation();
    let reply = {
        let mut realm = realm.lock().expect("no panic in the realm");
        realm.open += usize::from(is_validation);
        realm.most_open = realm.most_open.max(realm.open);
        realm.answer(&seen)
    };
    rt::time::sleep(reply.after).await;
    if seen.path == VALIDATION {
        let _ = held.subscribe().wait_for(|held| !held).await;
    }
    realm.lock().expect("no panic in the realm").open -= usize::from(is_validation);
    let mut response = HttpResponse::build(StatusCode::from_u16(reply.status).expect("a status"));
    for (name, value) in reply.headers {
        response.insert_header((name, value));
    }
    response.content_type(reply.content_type).body(reply.body)
}

/// A configuration with more patience than any machine needs, so that only what a test is about fails it.
pub(crate) fn config(port: u16) -> Config {
    let wait = Duration::from_secs(60);
    Config {
        connect_timeout: wait,
        try_timeout: wait,
        queue_timeout: wait,
        decision_timeout: 2 * wait,
        ..hasty(port)
    }
}

/// The same with the time-outs as they ship. Tokens may look like anything, so that they can have names.
pub(crate) fn hasty(port: u16) -> Config {
    Config {
        auth_url: format!("http://127.0.0.1:{port}/v3"),
        username: Some("vitrine".to_owned()),
        password: Some(Secret::new(PASSWORD)),
        project_name: Some("service".to_owned()),
        token_formats: Formats::Any,
        ..Config::default()
    }
}

/// A well-formed token that nobody else has.
pub(crate) fn token(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::new_v4().simple())
}

pub(crate) const REQUEST: &str = "req-6b1c0a4e-43b1-4a0f-a0f8-1d3c5e7f9a2b";

/// A token, shown by somebody who wants to look at the list of images.
pub(crate) fn shown(token: &str) -> Shown<'_> {
    let (method, path) = ("GET", "/v2/images");
    Shown { token, service_token: None, intent: Intent::Look, method, path, request: REQUEST, peer: None }
}

/// The same by somebody who wants to make an image.
pub(crate) fn shown_for_a_change(token: &str) -> Shown<'_> {
    Shown { intent: Intent::Change, method: "POST", ..shown(token) }
}

/// A verdict in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Rejected,
    Unavailable,
}

impl From<Result<Arc<Caller>, TokenError>> for Verdict {
    fn from(validated: Result<Arc<Caller>, TokenError>) -> Self {
        match validated {
            Ok(_) => Self::Accepted,
            Err(TokenError::Rejected) => Self::Rejected,
            Err(TokenError::Unavailable { .. }) => Self::Unavailable,
        }
    }
}

/// The verdict on a token, shown by a client at this address.
pub(crate) async fn verdict_from(keystone: &Keystone, token: &str, client: IpAddr) -> Verdict {
    keystone.validate(Shown { peer: Some(client), ..shown(token) }).await.into()
}

pub(crate) async fn verdict(keystone: &Keystone, token: &str) -> Verdict {
    keystone.validate(shown(token)).await.into()
}

/// The verdicts on all these, asked at once.
pub(crate) async fn verdicts(keystone: &Keystone, tokens: impl IntoIterator<Item = String>) -> Vec<Verdict> {
    let tasks: Vec<_> = tokens
        .into_iter()
        .map(|token| {
            let keystone = keystone.clone();
            tokio::spawn(async move { verdict(&keystone, &token).await })
        })
        .collect();
    let mut verdicts = Vec::new();
    for task in tasks {
        verdicts.push(task.await.expect("a verdict"));
    }
    verdicts
}

/// Looks again and again until something holds, but not for ever.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
