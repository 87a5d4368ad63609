//! `http.*` and `cors.*`: what the HTTP server holds and for how long, and which web pages may call it.

use api_http::Edge;
use serde::{Deserialize, Serialize};

use super::{BadConfig, value::number};

/// `http.*`
#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HttpKeys {
    /// Connections that clients may have open at once, over all workers.
    #[serde(deserialize_with = "number")]
    pub(crate) max_connections: usize,
    /// Seconds for which an idle connection is kept.
    #[serde(deserialize_with = "number")]
    pub(crate) keep_alive: u64,
    /// Bytes that all request bodies together may hold while they are received.
    #[serde(deserialize_with = "number")]
    pub(crate) body_buffer_bytes: usize,
    /// Addresses and networks of the proxies whose `X-Forwarded-For` is believed; separated by commas.
    pub(crate) trusted_proxies: String,
}

impl Default for HttpKeys {
    fn default() -> Self {
        // `deploy/checks/product.py` checks these against the memory limit of the manifests.
        let Edge { max_connections, keep_alive, body_buffer_bytes, .. } = Edge::default();
        Self {
            max_connections,
            keep_alive: keep_alive.as_secs(),
            body_buffer_bytes,
            trusted_proxies: String::new(),
        }
    }
}

/// `cors.*`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CorsKeys {
    /// Origins of web pages that may call the API from a browser, separated by commas; none if empty.
    pub(crate) allowed_origins: String,
}

impl CorsKeys {
    /// The origins, each once.
    ///
    /// # Errors
    /// Text that is no origin.
    pub(crate) fn origins(&self) -> Result<Vec<String>, BadConfig> {
        let mut origins = Vec::new();
        for origin in self.allowed_origins.split(',').map(str::trim).filter(|origin| !origin.is_empty()) {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            let is_origin = host.is_some_and(|host| {
                !host.is_empty()
                    && host.bytes().all(|byte| {
                        byte.is_ascii_lowercase()
                            || byte.is_ascii_digit()
                            || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
                    })
            });
            if !is_origin {
                return Err(BadConfig::new(
                    "cors.allowed_origins",
                    format!(
                        "{origin:?} is not an origin; an origin is a scheme, a host in lower case and perhaps a port, \
                         such as https://horizon.example.org or http://localhost:8080; separate several by commas"
                    ),
                ));
            }
            let origin = origin.to_owned();
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
        Ok(origins)
    }
}

#[cfg(test)]
mod tests {
    use super::{CorsKeys, HttpKeys};

    #[test]
    fn defaults_are_those_of_the_documents() {
        let HttpKeys { max_connections, keep_alive, body_buffer_bytes, trusted_proxies } =
            HttpKeys::default();
        assert_eq!((max_connections, keep_alive, body_buffer_bytes), (1024, 75, 16_777_216));
        assert_eq!(trusted_proxies, "");
    }

    fn origins(text: &str) -> Result<Vec<String>, String> {
        let keys = CorsKeys { allowed_origins: text.to_owned() };
        keys.origins().map_err(|error| error.to_string())
    }

    #[test]
    fn origins_are_read_from_a_list_with_commas() {
        assert_eq!(origins(""), Ok(Vec::new()));
        assert_eq!(
            origins("https://a.example.org, http://localhost:8080,,https://a.example.org"),
            Ok(vec!["https://a.example.org".to_owned(), "http://localhost:8080".to_owned()])
        );
        assert_eq!(origins("http://[::1]:8080").unwrap().len(), 1);
    }

    #[test]
    fn text_that_is_no_origin_is_refused_by_its_key() {
        for wrong in
            ["*", "null", "a.example.org", "https://", "https://a/", "https://A.example.org", "ftp://a"]
        {
            let refusal = origins(wrong).unwrap_err();
            assert!(
                refusal.starts_with("cors.allowed_origins: ") && refusal.contains("such as"),
                "{refusal}"
            );
        }
    }
}
