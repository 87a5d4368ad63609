//! HTTP/1.1 as bytes: what is sent is what a test says, what comes back is kept whole.

use std::{
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// Longer than any answer takes: a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What `protection.rs` looks at, and what HTTP itself adds.
const OF_EVERY_ANSWER: [&str; 4] = ["cache-control", "content-length", "date", "x-content-type-options"];

/// One connection.
pub(crate) struct Wire(BufReader<TcpStream>);

impl Wire {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends bytes; a server that has stopped listening meanwhile is no surprise: its answer tells.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        match self.0.get_mut().write_all(bytes) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
            Err(error) => panic!("sending: {error}"),
        }
    }

    /// The next answer; `None` where the connection was closed instead.
    pub(crate) fn reply(&mut self) -> Option<Reply> {
        let mut reply = self.head()?;
        if reply.header("transfer-encoding").is_some() {
            reply.body = self.chunks();
            return Some(reply);
        }
        let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        reply.body = vec![0; length];
        self.0.read_exact(&mut reply.body).unwrap();
        Some(reply)
    }

    /// As above, but for the body.
    pub(crate) fn head(&mut self) -> Option<Reply> {
        let first = self.line()?;
        let mut words = first.splitn(3, ' ');
        assert!(matches!(words.next(), Some("HTTP/1.1" | "HTTP/1.0")), "{first}");
        let status = words.next().unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line().unwrap();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap();
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let reply = Reply { status, headers, body: Vec::new() };
        let is_chunked = reply.header("transfer-encoding") == Some("chunked");
        assert_ne!(
            is_chunked,
            reply.header("content-length").is_some() || status == 204,
            "answers end where they say"
        );
        Some(reply)
    }

    /// A body in chunks, as lists have that are larger than what is written at once.
    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let length = usize::from_str_radix(&self.line().unwrap(), 16).unwrap();
            let mut chunk = vec![0; length + 2];
            self.0.read_exact(&mut chunk).unwrap();
            assert!(chunk.ends_with(b"\r\n"));
            body.extend_from_slice(&chunk[..length]);
            if length == 0 {
                return body;
            }
        }
    }

    /// Whether the other side has closed, or closes before a test has failed.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.0.get_mut().read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    /// Whether the other side has neither closed nor sent anything.
    pub(crate) fn is_silent(&mut self) -> bool {
        let stream = self.0.get_mut();
        stream.set_nonblocking(true).unwrap();
        let looked = stream.peek(&mut [0]);
        stream.set_nonblocking(false).unwrap();
        looked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("waiting for an answer: {error}"),
        }
    }
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found =
            self.headers.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str());
        let value = found.next();
        assert_eq!(found.next(), None, "{name} is there twice");
        value
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// The message of an error in JSON, whose form it checks on the way.
    pub(crate) fn message(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self}");
        let body = self.json();
        assert_eq!(body.as_object().unwrap().len(), 1, "{self}");
        let error = body["error"].as_object().unwrap();
        assert_eq!(error["code"], self.status, "{self}");
        assert!(error["title"].as_str().is_some_and(|title| !title.is_empty()), "{self}");
        assert_eq!(error.len(), 3, "{self}");
        error["message"].as_str().unwrap().to_owned()
    }

    /// The status, and of a refusal the message as well: what most tests are about.
    pub(crate) fn verdict(&self) -> (u16, String) {
        (self.status, self.message())
    }

    /// The answer as a text to compare: status, headers that mean something, body; what varies is named.
    pub(crate) fn transcript(&self) -> String {
        let mut headers: Vec<_> = self
            .headers
            .iter()
            .filter(|(name, _)| !OF_EVERY_ANSWER.contains(&name.as_str()))
            .map(|(name, value)| match name.as_str() {
                "x-openstack-request-id" => format!("{name}: {}\n", masked_request_id(value)),
                _ => format!("{name}: {value}\n"),
            })
            .collect();
        headers.sort();
        let text = self.text();
        let blank = if text.is_empty() { "" } else { "\n" };
        format!("{}\n{}{blank}{text}", self.status, headers.concat())
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, String::from_utf8_lossy(&self.body))
    }
}

/// `req-<uuid>` for what is one.
pub(crate) fn masked_request_id(id: &str) -> &str {
    match id.strip_prefix("req-").map(uuid::Uuid::try_parse) {
        Some(Ok(_)) if id.len() == 40 => "req-<uuid>",
        _ => id,
    }
}
