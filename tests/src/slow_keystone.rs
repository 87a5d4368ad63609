//! A Keystone that takes its time for each validation, and knows only tokens that a test gave out.
//!
//! Its clock stands still: whoever asks it goes by its stamps.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{io, thread};

use serde_json::{Value, json};

/// How a Fernet token begins that was made when this Keystone's clock stood still.
const FERNET_HEAD: &str = "gAAAAABpVbkA";
/// Letters for the rest of it: a length that Keystone's tokens have.
const FERNET_REST: usize = 192;

/// A running Keystone; its threads end with the process.
pub struct SlowKeystone {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    delay: Duration,
    good: Mutex<HashSet<String>>,
    validations: AtomicUsize,
}

impl SlowKeystone {
    /// One that takes so long for each validation.
    ///
    /// # Panics
    /// When there is no port on loopback.
    pub fn start(delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let port = listener.local_addr().expect("a bound port").port();
        let (good, validations) = (Mutex::default(), AtomicUsize::new(0));
        let shared = Arc::new(Shared { delay, good, validations });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = Arc::clone(&serving);
                thread::spawn(move || serving.serve(stream));
            }
        });
        Self { port, shared }
    }

    /// The settings with which Vitrine asks this one.
    pub fn service_settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("VITRINE_KEYSTONE__AUTH_URL", format!("http://127.0.0.1:{}/v3", self.port)),
            ("VITRINE_KEYSTONE__USERNAME", "vitrine".to_owned()),
            ("VITRINE_KEYSTONE__PASSWORD", "not-a-secret".to_owned()),
            ("VITRINE_KEYSTONE__PROJECT_NAME", "service".to_owned()),
        ]
    }

    /// A new token of good form that is unknown here.
    pub fn forged_token() -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let letter = |_| char::from(LETTERS[fastrand::usize(..LETTERS.len())]);
        FERNET_HEAD.chars().chain((0..FERNET_REST).map(letter)).collect()
    }

    /// A new token of a reader.
    ///
    /// # Panics
    /// After another panic.
    pub fn token(&self) -> String {
        let token = Self::forged_token();
        self.shared.good.lock().expect("no panic").insert(token.clone());
        token
    }

    /// How many validations it was asked for.
    pub fn validations(&self) -> usize {
        self.shared.validations.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Answers one connection until it ends.
    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let request = Request::read(&mut stream).ok()??;
            let (status, headers, body) = self.answer(&request);
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n",
                body.len()
            );
            stream.get_mut().write_all(format!("{head}{body}").as_bytes()).ok()?;
        }
    }

    fn answer(&self, request: &Request) -> (u16, &'static str, Value) {
        match request.call.as_str() {
            "POST /v3/auth/tokens" => {
                let own = "X-Subject-Token: own-token-of-the-service-itself\r\n";
                (201, own, description("vitrine", "service", "service"))
            }
            "GET /v3/auth/tokens" => {
                self.validations.fetch_add(1, Ordering::Relaxed);
                thread::sleep(self.delay);
                if self.good.lock().expect("no panic").contains(&request.subject) {
                    (200, "", description("alice", "studio", "reader"))
                } else {
                    (404, "", error(404))
                }
            }
            "GET /v3" => (200, "", json!({})),
            _ => (404, "", error(404)),
        }
    }
}

/// What of a request matters here.
struct Request {
    /// Method and path, without the query.
    call: String,
    subject: String,
}

impl Request {
    /// The next one; `None` when the connection ended.
    fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split([' ', '?']);
        let call = format!("{} {}", words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (mut subject, mut length) = (String::new(), 0);
        loop {
            line.clear();
            stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "x-subject-token" => subject = value.trim().to_owned(),
                "content-length" => length = value.trim().parse().unwrap_or(0),
                _ => {}
            }
        }
        stream.read_exact(&mut vec![0; length])?;
        Ok(Some(Self { call, subject }))
    }
}

fn description(user: &str, project: &str, role: &str) -> Value {
    json!({"token": {
        "methods": ["password"],
        "user": {"id": user, "name": user, "domain": {"id": "default", "name": "Default"}},
        "project": {"id": project, "name": project, "domain": {"id": "default", "name": "Default"}},
        "roles": [{"id": role, "name": role}],
        "audit_ids": ["rgcW7j_IRzyqiN2CxTRjGQ"],
        "issued_at": "2026-01-01T00:00:00.000000Z",
        "expires_at": "2026-01-02T00:00:00.000000Z",
    }})
}

fn error(code: u16) -> Value {
    json!({"error": {"code": code, "title": "Not Found", "message": "Could not find token."}})
}
