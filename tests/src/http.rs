//! Plain HTTP calls, so that a story shows the very bytes that matter.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::http::{Request, Response};

/// A call to be made.
#[derive(Clone)]
pub struct Call {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl Call {
    /// A call without a body.
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        Self { method: method.to_owned(), url: url.into(), headers: Vec::new(), body: None }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Carries this token.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("X-Auth-Token", token)
    }

    /// Carries this JSON.
    #[must_use]
    pub fn json(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string());
        self.header("Content-Type", "application/json")
    }

    /// Carries this text, of a type that a header names.
    #[must_use]
    pub fn text(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    /// Makes the call; `None` when nobody answers.
    pub fn try_send(self) -> Option<Answer> {
        static AGENT: LazyLock<ureq::Agent> = LazyLock::new(|| {
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .proxy(None)
                .timeout_global(Some(Duration::from_secs(30)))
                .build()
                .into()
        });
        let mut request = Request::builder().method(self.method.as_str()).uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        match self.body {
            Some(body) => AGENT.run(request.body(body).expect("a well-formed request")),
            None => AGENT.run(request.body(()).expect("a well-formed request")),
        }
        .ok()
        .and_then(Answer::read)
    }

    /// Makes the call.
    ///
    /// # Panics
    /// When nobody answers.
    pub fn send(self) -> Answer {
        let call = format!("{} {}", self.method, self.url);
        self.try_send().unwrap_or_else(|| panic!("no answer to {call}"))
    }

    /// Makes the call again while it is told to come again: for looks, and for what a test builds on, where a 503 says
    /// nothing about what is judged.
    ///
    /// # Panics
    /// When nobody answers.
    pub fn settled(self) -> Answer {
        let begun = Instant::now();
        loop {
            let answer = self.clone().send();
            if answer.status != 503 || begun.elapsed() > COME_AGAIN {
                return answer;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// How long a call that a test builds on may be told to come again.
const COME_AGAIN: Duration = Duration::from_secs(120);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Every header, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Answer {
    fn read(mut response: Response<ureq::Body>) -> Option<Self> {
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let body = response.body_mut().read_to_string().ok()?;
        Some(Self { status: response.status().as_u16(), headers, body })
    }

    /// A header's value, its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The answer itself if its status is this one.
    ///
    /// # Panics
    /// With the whole answer if it is not.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// With the body when it is not JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.body))
    }
}
