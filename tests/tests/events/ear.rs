//! What a sink was told, in one form for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use testbed::rabbitmq::Listener;
use testbed::vitrine::Launch;
use testbed::webhooks::Told;
use testbed::{RabbitMq, Vitrine, Webhooks, patience};

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One delivery.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) image: String,
    /// Where the sink says it.
    pub(crate) number: Option<i64>,
    pub(crate) request: String,
    pub(crate) user: String,
    pub(crate) project: String,
    pub(crate) marked: bool,
}

/// Everybody who can be told: all three sinks of one service.
pub(crate) struct Ears {
    pub(crate) exchange: String,
    pub(crate) webhooks: Webhooks,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) witness: Listener,
    pub(crate) broker_url: String,
}

impl Ears {
    /// With an exchange of this name.
    pub(crate) fn new(broker: &RabbitMq, exchange: &str) -> Self {
        Self {
            exchange: exchange.to_owned(),
            webhooks: Webhooks::new(),
            directory: tempfile::tempdir().expect("a temporary directory"),
            witness: broker.witness(exchange, &format!("{exchange}-notifications")),
            broker_url: broker.url(),
        }
    }

    /// A service that tells them.
    pub(crate) fn told_by(&self, launch: Launch) -> Launch {
        let log = self.audit_log();
        launch
            .with("VITRINE_EVENTS__RABBITMQ_URL", &self.broker_url)
            .with("VITRINE_EVENTS__RABBITMQ_EXCHANGE", &self.exchange)
            .with("VITRINE_EVENTS__RABBITMQ_TOPIC", &format!("{}-notifications", self.exchange))
            .with("VITRINE_EVENTS__WEBHOOKS__TESTS__URL", &self.webhooks.url())
            .with("VITRINE_EVENTS__WEBHOOKS__TESTS__SECRET", SECRET)
            .with("VITRINE_EVENTS__AUDIT_LOG", log.to_str().expect("a path in UTF-8"))
            .with("VITRINE_EVENTS__PUBLISHER_ID", "image.tests")
    }

    pub(crate) fn audit_log(&self) -> std::path::PathBuf {
        self.directory.path().join("audit.log")
    }

    /// Grows whenever somebody is told something; cheap.
    pub(crate) fn noise(&self) -> u64 {
        let written = std::fs::metadata(self.audit_log()).map_or(0, |data| data.len());
        written + self.webhooks.count() as u64 + self.witness.noise()
    }

    /// Waits until each was told of at least so many events, and gives what each was told.
    ///
    /// # Panics
    /// When they were not in a minute, with how many each was told of and what the service says.
    pub(crate) fn told(&self, count: usize, vitrine: &Vitrine) -> BTreeMap<&'static str, Vec<Heard>> {
        let told = patience::within(Duration::from_secs(60), || {
            let heard = self.heard();
            heard.values().all(|heard| distinct(heard).len() >= count).then_some(heard)
        });
        told.unwrap_or_else(|| {
            let heard = self.heard();
            let counts: Vec<_> = heard.iter().map(|(sink, heard)| (sink, distinct(heard).len())).collect();
            panic!(
                "told of {counts:?}, not of {count}; the service:\n{}\n{}",
                vitrine.log(),
                self.witness.log()
            )
        })
    }

    /// What each was told so far, by the sink's name.
    pub(crate) fn heard(&self) -> BTreeMap<&'static str, Vec<Heard>> {
        BTreeMap::from([
            ("rabbitmq", self.witness.heard().iter().map(of_message).collect()),
            ("webhook", self.webhooks.taken().iter().map(of_call).collect()),
            ("audit", records(&self.audit_log()).iter().map(of_record).collect()),
        ])
    }
}

pub(crate) fn records(path: &Path) -> Vec<Value> {
    let text = std::fs::read(path).unwrap_or_default();
    // A line may be torn, and the last one be under way.
    String::from_utf8_lossy(&text).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The events that were told at least once.
pub(crate) fn distinct(heard: &[Heard]) -> BTreeSet<&str> {
    heard.iter().map(|one| one.id.as_str()).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn of_message(seen: &Value) -> Heard {
    let message = &seen["message"];
    let payload = &message["payload"];
    let image = if payload["image_id"].is_string() { &payload["image_id"] } else { &payload["id"] };
    Heard {
        id: text(&message["message_id"]),
        kind: text(&message["event_type"]),
        image: text(image),
        number: payload["event_number"].as_i64(),
        request: text(&message["_context_request_id"]),
        user: text(&message["_context_user_id"]),
        project: text(&message["_context_project_id"]),
        marked: payload["redelivered"] == true,
    }
}

fn of_call(call: &Told) -> Heard {
    let body = call.json();
    let marked = body["redelivered"] == true;
    assert_eq!(call.headers.contains_key("x-vitrine-redelivered"), marked, "{call:?}");
    Heard {
        id: text(&body["id"]),
        kind: text(&body["type"]),
        image: text(&body["image"]["id"]),
        number: body["number"].as_i64(),
        request: text(&body["request_id"]),
        user: text(&body["actor"]["user_id"]),
        project: text(&body["actor"]["project_id"]),
        marked,
    }
}

fn of_record(record: &Value) -> Heard {
    let target = &record["target"];
    let is_member = target["typeURI"] == "data/image/member";
    let of = if is_member { "image.member" } else { "image" };
    Heard {
        id: text(&record["id"]),
        kind: format!("{of}.{}", text(&record["action"])),
        image: text(if is_member { &target["image_id"] } else { &target["id"] }),
        number: None,
        request: text(&record["initiator"]["request_id"]),
        user: text(&record["initiator"]["id"]),
        project: text(&record["initiator"]["project_id"]),
        marked: record["tags"][0] == "redelivered",
    }
}
