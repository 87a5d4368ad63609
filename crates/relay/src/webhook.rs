//! Webhooks: an address that is called for each event, with signatures as the Standard Webhooks specification has them.

use std::time::{Duration, Instant};

use chrono::Utc;
use core_domain::{
    event::{Change, Event},
    outbox::Delivery,
};
use reqwest::{Client, Url, redirect};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::{
    Invalid,
    background::runtime,
    notification::{actor, names, reason, record},
    signature::{self, SigningKey},
    sink::{Failure, Sink, Time, Told},
    text,
};

/// Claimed at a time. Few: of those that were claimed when a server was killed, all but one are marked for nothing.
const MOST: usize = 8;
/// An answer that says «not so» is asked for so often, over some four seconds, before the event becomes a dead letter.
const TRIES: u32 = 5;
/// Whoever has not asked for so long does not know whether the address answered another server meanwhile.
const STALE: Duration = Duration::from_secs(600);
/// An address that several events found silent is not asked for another one that is too old within this time: where
/// nobody answers at all, each try lasts to the end of its patience.
const ASKED_LATELY: Duration = Duration::from_secs(5);
/// More of an answer is not read.
const LONGEST_BODY: usize = 64 * 1024;

/// An address that is called.
pub struct Webhook {
    name: String,
    url: Url,
    keys: Vec<SigningKey>,
    patience: Duration,
    client: Client,
    runtime: Runtime,
    trying: Trying,
    silence: Option<Silence>,
}

/// The event that was tried last.
#[derive(Default)]
struct Trying {
    event: Uuid,
    /// How often it was tried.
    attempts: u32,
    /// How many of the last answers, in a row, said «not so».
    refusals: u32,
}

/// The address has not taken anything for a while, and the last answers were «not now», or none.
struct Silence {
    since: Instant,
    /// The last try.
    asked: Instant,
    /// The event that was tried then.
    event: Uuid,
    /// Whether it is the address: another event than the first found it silent too.
    is_for_several: bool,
    /// The last answer.
    why: String,
}

/// What an answer means.
enum Answer {
    /// Done.
    Taken,
    /// Not now.
    Later(String),
    /// Not so.
    Refused(String),
    /// Never again.
    Gone(String),
}

impl Webhook {
    /// One at this address; `name` is its own among webhooks, and its place among the events is kept by it. Each call is
    /// signed with each of the keys, of which there is one, or two while a receiver changes over. An event older than
    /// `patience` that still cannot be told becomes a dead letter.
    ///
    /// # Errors
    /// An address that cannot be used.
    pub fn new(name: &str, url: &str, keys: Vec<SigningKey>, patience: Duration) -> Result<Self, Invalid> {
        let wrong = || Invalid("must be an address such as https://hooks.example.org/images".to_owned());
        let parsed = Url::parse(url).map_err(|_| wrong())?;
        if parsed.host_str().is_none() || !matches!(parsed.scheme(), "http" | "https") {
            return Err(wrong());
        }
        let failed = |what: &str, error: &dyn std::fmt::Display| Invalid(format!("{what}: {error}"));
        let builder = Client::builder()
            .user_agent(concat!("vitrine/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never());
        // The system's authorities, which a bare container does not have, are for those who need them.
        let builder = if parsed.scheme() == "https" { builder } else { builder.tls_certs_only([]) };
        let client = builder.build().map_err(|error| failed("no HTTP client can be made", &error))?;
        let runtime = runtime("webhook").map_err(|error| failed("no thread can be started", &error))?;
        Ok(Self {
            name: format!("webhook:{name}"),
            keys,
            url: parsed,
            patience,
            client,
            runtime,
            trying: Trying::default(),
            silence: None,
        })
    }

    /// Calls once.
    fn call(&self, delivery: &Delivery, attempt: u32, limit: Duration) -> Answer {
        let body = body(delivery).to_string();
        let id = delivery.event.id.as_hyphenated().to_string();
        let time = Utc::now().timestamp().to_string();
        let signatures = signature::sign(&self.keys, &id, &time, &body);
        let request = self
            .client
            .post(self.url.clone())
            .timeout(limit)
            .header("Content-Type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", time)
            .header("webhook-signature", signatures)
            .header("X-Vitrine-Event-Type", delivery.event.kind())
            .header("X-Vitrine-Attempt", attempt);
        let request = if delivery.again { request.header("X-Vitrine-Redelivered", "true") } else { request };
        // Time-outs want a timer, which is there only inside.
        let status = self.runtime.block_on(async {
            let answer = request.body(body).send().await?;
            let status = answer.status().as_u16();
            read_to_its_end(answer).await;
            Ok::<_, reqwest::Error>(status)
        });
        match status {
            Ok(status) => meaning(status),
            // Its address may contain a secret.
            Err(error) => Answer::Later(text::reasons(&error.without_url())),
        }
    }

    /// What it means that an event was not taken.
    fn failure(&mut self, event: &Event, answer: Answer) -> Option<Failure> {
        match answer {
            Answer::Taken => {
                self.silence = None;
                None
            }
            Answer::Gone(why) => Some(Failure::Hopeless(why)),
            Answer::Refused(why) => {
                self.trying.refusals += 1;
                let is_last = self.trying.refusals >= TRIES;
                Some(if is_last { Failure::Hopeless(why) } else { Failure::Refused(why) })
            }
            Answer::Later(why) => {
                self.trying.refusals = 0;
                let is_known = self.is_silent_for(event.id, &why) > self.patience;
                let is_last = (is_known || self.trying.attempts >= TRIES) && self.is_too_old(event);
                Some(if is_last { Failure::Hopeless(why) } else { Failure::Away(why) })
            }
        }
    }

    /// Keeps in mind that the address was silent for this event too; for how long it has been.
    fn is_silent_for(&mut self, event: Uuid, why: &str) -> Duration {
        let now = Instant::now();
        let known = self.silence.take().filter(|silence| now.duration_since(silence.asked) < STALE);
        let since = known.as_ref().map_or(now, |silence| silence.since);
        let is_for_several = known.is_some_and(|silence| silence.is_for_several || silence.event != event);
        self.silence = Some(Silence { since, asked: now, event, is_for_several, why: why.to_owned() });
        now.duration_since(since)
    }

    /// Why an event that is too old need not be tried: others just found that nobody has answered for all the patience.
    fn is_hopeless(&self, event: &Event) -> Option<Failure> {
        let silence = self.silence.as_ref().filter(|silence| {
            silence.is_for_several
                && silence.asked.elapsed() < ASKED_LATELY
                && silence.asked.duration_since(silence.since) > self.patience
        })?;
        self.is_too_old(event).then(|| Failure::Hopeless(silence.why.clone()))
    }

    fn is_too_old(&self, event: &Event) -> bool {
        Utc::now().signed_duration_since(event.cause.at).to_std().is_ok_and(|age| age > self.patience)
    }
}

impl Sink for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn most(&self) -> usize {
        MOST
    }

    fn tell(&mut self, deliveries: &[Delivery], time: Time) -> Told {
        for (done, delivery) in deliveries.iter().enumerate() {
            if time.is_up() {
                return Told { done, tried: done, failure: None };
            }
            if let Some(failure) = self.is_hopeless(&delivery.event) {
                return Told { done, tried: done, failure: Some(failure) };
            }
            let event = delivery.event.id;
            if self.trying.event != event {
                self.trying = Trying { event, ..Trying::default() };
            }
            self.trying.attempts = self.trying.attempts.saturating_add(1);
            let answer = self.call(delivery, self.trying.attempts, time.left());
            if let Some(failure) = self.failure(&delivery.event, answer) {
                return Told { done, tried: done + 1, failure: Some(failure) };
            }
        }
        Told::all(deliveries.len())
    }
}

/// Reads what nobody wants to know, if it is short, so that the connection can be used again.
async fn read_to_its_end(mut answer: reqwest::Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = answer.chunk().await {
        read += chunk.len();
        if read > LONGEST_BODY {
            return;
        }
    }
}

fn meaning(status: u16) -> Answer {
    let why = format!("answered {status}");
    match status {
        200..=299 => Answer::Taken,
        410 => Answer::Gone(why),
        408 | 429 => Answer::Later(why),
        // A redirect is not followed: the secret's holder is where it was said to be.
        300..=499 => Answer::Refused(why),
        _ => Answer::Later(why),
    }
}

/// What it is told.
fn body(delivery: &Delivery) -> Value {
    let Delivery { event, again, .. } = delivery;
    let mut body = json!({
        "id": event.id.as_hyphenated().to_string(),
        "number": event.number,
        "type": event.kind(),
        "time": text::microseconds(event.cause.at),
        "redelivered": again,
        "actor": actor(event),
        "request_id": event.cause.request,
        "image": {
            "id": event.image.to_string(),
            "name": event.image_name,
            "owner": event.owner.as_ref().map(|owner| owner.as_str()),
        },
    });
    if let Some(reason) = reason(event) {
        body["reason"] = reason;
    }
    match &event.change {
        Change::Image { changed, image, .. } => {
            body["changed"] = names(changed);
            body["record"] = image.as_ref().map_or(Value::Null, |image| Value::Object(record(image)));
        }
        Change::Member { project, old, new, created_at, .. } => {
            body["member"] = json!({
                "project_id": project.as_str(),
                "old_status": old.map(|status| status.as_str()),
                "status": new.map(|status| status.as_str()),
                "created_at": text::microseconds(*created_at),
            });
        }
    }
    body
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("name", &self.name).finish_non_exhaustive()
    }
}
