//! Somebody who is called for each event: a small HTTP server that writes down what it was told.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::patience;

/// A running receiver; it ends with the test process.
pub struct Webhooks {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    calls: Vec<Told>,
    /// What it answers; 200 if nobody said otherwise.
    status: Option<u16>,
    /// How long it thinks before it answers.
    pause: Duration,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Told {
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// As it came.
    pub body: String,
    /// What was answered.
    pub answered: u16,
}

impl Told {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.body))
    }
}

impl Webhooks {
    /// One that takes everything.
    pub fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(Mutex::new(State::default()));
        let kept = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&kept);
                std::thread::spawn(move || serve(&stream, &state));
            }
        });
        Self { address, state }
    }

    /// Where it is called.
    pub fn url(&self) -> String {
        format!("http://{}/hooks/images?key=quite-secret", self.address)
    }

    /// Answers with this status from now on.
    pub fn answer(&self, status: u16) {
        self.state().status = Some(status);
    }

    /// Thinks so long before it answers, from now on.
    pub fn think(&self, pause: Duration) {
        self.state().pause = pause;
    }

    /// Every call so far, in order.
    pub fn calls(&self) -> Vec<Told> {
        self.state().calls.clone()
    }

    /// How many calls there were so far.
    pub fn count(&self) -> usize {
        self.state().calls.len()
    }

    /// The calls that were taken.
    pub fn taken(&self) -> Vec<Told> {
        self.calls().into_iter().filter(|call| call.answered < 300).collect()
    }

    /// Waits until so many were taken, and gives them.
    ///
    /// # Panics
    /// When there are not so many in half a minute.
    pub fn taken_at_least(&self, count: usize) -> Vec<Told> {
        patience::until("calls of a webhook", Duration::from_secs(30), || {
            let taken = self.taken();
            (taken.len() >= count).then_some(taken)
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic while holding the calls")
    }
}

impl Default for Webhooks {
    fn default() -> Self {
        Self::new()
    }
}

/// Answers on one connection until it is closed.
fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    while let Some((headers, body)) = request(&mut reader) {
        let pause = state.lock().expect("no panic while holding the calls").pause;
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
        let answered = {
            let mut state = state.lock().expect("no panic while holding the calls");
            let answered = state.status.unwrap_or(200);
            state.calls.push(Told { headers, body, answered });
            answered
        };
        let mut writer = stream;
        // In one piece: of several small ones the second would wait for the first to be acknowledged.
        let answer = format!("HTTP/1.1 {answered} Answer\r\nContent-Length: 0\r\n\r\n");
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The next request, whole; what was cut off is none.
fn request(reader: &mut impl BufRead) -> Option<(BTreeMap<String, String>, String)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length: usize = headers.get("content-length").and_then(|length| length.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((headers, String::from_utf8(body).ok()?))
}
