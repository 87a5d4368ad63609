//! A client with a token, or without.

use serde_json::Value;

use crate::{served::Served, wire::Reply};

/// Somebody who asks.
#[derive(Clone)]
pub(crate) struct Client<'a> {
    served: &'a Served,
    token: Option<String>,
}

impl<'a> Client<'a> {
    pub(crate) fn new(served: &'a Served, token: Option<String>) -> Self {
        Self { served, token }
    }

    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask("GET", path).send()
    }

    pub(crate) fn delete(&self, path: &str) -> Reply {
        self.ask("DELETE", path).send()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.ask("POST", path).json(body).send()
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Reply {
        self.ask("PUT", path).json(body).send()
    }

    /// A patch in the dialect of API v2.1.
    pub(crate) fn patch(&self, path: &str, steps: &Value) -> Reply {
        self.ask("PATCH", path)
            .header("Content-Type", "application/openstack-images-v2.1-json-patch")
            .body(steps.to_string())
            .send()
    }

    /// The id of a new image with these attributes.
    pub(crate) fn creates(&self, attributes: &Value) -> String {
        let reply = self.post("/v2/images", attributes);
        assert_eq!(reply.status, 201, "{reply}");
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    /// The names of the images on a page, in its order.
    pub(crate) fn lists(&self, query: &str) -> Vec<String> {
        let reply = self.get(&format!("/v2/images{query}"));
        assert_eq!(reply.status, 200, "{reply}");
        let page = reply.json();
        let images = page["images"].as_array().unwrap();
        images.iter().map(|image| image["name"].as_str().unwrap_or("").to_owned()).collect()
    }

    /// A request to be completed and sent.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask<'a> {
        let headers = self.token.iter().map(|token| ("X-Auth-Token".to_owned(), token.clone())).collect();
        Ask { served: self.served, line: format!("{method} {path}"), headers, body: None }
    }
}

/// A request.
pub(crate) struct Ask<'a> {
    served: &'a Served,
    line: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Ask<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("Content-Type", "application/json").body(body.to_string())
    }

    /// The request as it goes over the wire, its length told.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        if let Some(body) = &self.body {
            bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
            bytes.extend(body);
        } else {
            bytes.extend(b"\r\n");
        }
        bytes
    }

    /// The same in chunks of at most `size` bytes, its length not told.
    pub(crate) fn chunked(&self, size: usize) -> Vec<u8> {
        let mut bytes = self.head();
        bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
        for chunk in self.body.as_deref().unwrap_or_default().chunks(size) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    }

    pub(crate) fn send(&self) -> Reply {
        self.served.exchange(&self.bytes())
    }

    fn head(&self) -> Vec<u8> {
        let mut head = format!("{} HTTP/1.1\r\nHost: image.example.org\r\n", self.line);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.into_bytes()
    }
}
