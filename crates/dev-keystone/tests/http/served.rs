//! A running development identity and a client of it.

use std::collections::BTreeSet;

use dev_keystone::{DevKeystone, Options, Realm};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

/// Where the catalog says that images are.
pub(crate) const IMAGE_URL: &str = "http://127.0.0.1:9292";

pub(crate) struct Served {
    pub(crate) url: String,
    pub(crate) public_key_pem: String,
    client: Client,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

/// Runs `story` against the demo realm, with the default options.
pub(crate) async fn demo(story: impl AsyncFnOnce(Served)) {
    with(&Options::new(IMAGE_URL), story).await;
}

/// Runs `story` against the demo realm.
pub(crate) async fn with(options: &Options, story: impl AsyncFnOnce(Served)) {
    let identity = DevKeystone::bind("127.0.0.1:0".parse().unwrap(), Realm::demo(), options).unwrap();
    let served = Served {
        url: identity.url().to_owned(),
        public_key_pem: identity.public_key_pem().to_owned(),
        client: Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap(),
    };
    let handle = identity.handle();
    let running = actix_web::rt::spawn(identity.run());
    story(served).await;
    handle.stop(true).await;
    running.await.unwrap().unwrap();
}

impl Served {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let root = self.url.strip_suffix("/v3").unwrap();
        self.client.request(method, format!("{root}{path}"))
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        answer(self.request(Method::GET, path).header("X-Auth-Token", token)).await
    }

    pub(crate) async fn log_in(&self, auth: Value) -> Answer {
        answer(self.request(Method::POST, "/v3/auth/tokens").json(&json!({"auth": auth}))).await
    }

    /// A token of a demo user, scoped to the user's default project.
    pub(crate) async fn token(&self, user: &str) -> String {
        self.log_in(json!({"identity": password(user)})).await.token()
    }

    /// A token of a demo user with the scope.
    pub(crate) async fn token_for(&self, user: &str, scope: Value) -> String {
        self.log_in(json!({"identity": password(user), "scope": scope})).await.token()
    }

    pub(crate) async fn subject(
        &self,
        method: Method,
        query: &str,
        auth: Option<&str>,
        subject: Option<&str>,
    ) -> Answer {
        let mut request = self.request(method, &format!("/v3/auth/tokens{query}"));
        for (name, value) in [("X-Auth-Token", auth), ("X-Subject-Token", subject)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        answer(request).await
    }

    pub(crate) async fn validate(&self, auth: &str, subject: &str) -> Answer {
        self.subject(Method::GET, "?nocatalog", Some(auth), Some(subject)).await
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response: Response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{} with {:?}", self.status, self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("{} without {name}", self.status)).to_str().unwrap()
    }

    /// The issued token.
    pub(crate) fn token(&self) -> String {
        assert_eq!(self.status, 201, "{}", self.text);
        self.header("X-Subject-Token").to_owned()
    }

    /// The names of the keys in `token`.
    pub(crate) fn token_keys(&self) -> BTreeSet<String> {
        self.json()["token"].as_object().unwrap().keys().cloned().collect()
    }

    /// Asserts Keystone's error shape with this status.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        let error = &self.json()["error"];
        assert_eq!(error["code"], status);
        assert!(error["title"].is_string());
        let header = self.headers.get("WWW-Authenticate");
        assert_eq!(header.is_some(), status == 401, "WWW-Authenticate belongs to 401");
        error["message"].as_str().unwrap().to_owned()
    }
}

/// The identity part for a demo user.
pub(crate) fn password(user: &str) -> Value {
    json!({"methods": ["password"], "password": {"user": {
        "name": user, "domain": {"id": "default"}, "password": Realm::DEMO_PASSWORD,
    }}})
}

/// The identity part for rescoping.
pub(crate) fn from_token(token: &str) -> Value {
    json!({"methods": ["token"], "token": {"id": token}})
}

pub(crate) fn project(name: &str) -> Value {
    json!({"project": {"name": name, "domain": {"id": "default"}}})
}

pub(crate) fn keys(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
