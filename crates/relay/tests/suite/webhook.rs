//! What whoever is called gets to see.

use std::{process::Command, time::Duration};

use chrono::Utc;
use relay::{Failure, Secret, Sink as _, Time, Told, Webhook};
use serde_json::json;
use testbed::Webhooks;

use crate::some_events::one_of_each;

const SECRET: &str = "a secret of the receiver's";
/// Longer ago than the moment of the events, whenever this runs.
const AGES: Duration = Duration::from_secs(50 * 365 * 86_400);

fn time() -> Time {
    Time::of_one_try(Duration::from_secs(5))
}

fn sink(receiver: &Webhooks, patience: Duration) -> Webhook {
    Webhook::new(&receiver.url(), &Secret::new(SECRET), patience).unwrap()
}

#[test]
fn each_event_is_one_signed_call_in_order() {
    let receiver = Webhooks::new();
    let deliveries = one_of_each();
    assert_eq!(sink(&receiver, AGES).tell(&deliveries, time()), Told::all(6));
    let calls = receiver.calls();
    let kinds: Vec<_> = calls.iter().map(|call| call.headers["x-vitrine-event-type"].as_str()).collect();
    let expected: Vec<_> = deliveries.iter().map(|delivery| delivery.event.kind()).collect();
    assert_eq!(kinds, expected);
    let share = &calls[2];
    let event = &deliveries[2].event;
    assert_eq!(share.headers["x-vitrine-event-id"], event.id.to_string());
    assert_eq!(share.headers["x-vitrine-attempt"], "1");
    assert!(!share.headers.contains_key("x-vitrine-redelivered"));
    assert_eq!(
        share.json(),
        json!({
            "id": event.id.to_string(),
            "number": 3,
            "type": "image.member.create",
            "time": "2026-11-22T06:47:03.690418Z",
            "redelivered": false,
            "actor": {"user_id": "alice", "project_id": "owner"},
            "request_id": "req-3",
            "image": {"id": event.image.to_string(), "name": "Ubuntu «24.04»", "owner": "owner"},
            "member": {
                "project_id": "consumer",
                "old_status": null,
                "status": "pending",
                "created_at": "2026-11-22T06:47:03.690418Z",
            },
        })
    );
    assert_eq!(calls[0].json()["record"]["visibility"], "shared");
    assert_eq!(calls[4].json()["reason"], "reshared");
}

/// The verifier of docs/events.md, as it stands there.
fn verifier() -> String {
    let document = include_str!("../../../../docs/events.md");
    let (_, rest) = document.split_once("```python\n").expect("docs/events.md shows a verifier");
    rest.split_once("```").expect("its end").0.to_owned()
}

fn verifies(secret: &str, timestamp: &str, signature: &str, body: &str) -> bool {
    let program = format!(
        "{}\nimport sys\nsecret, timestamp, signature, body = (argument.encode() for argument in sys.argv[1:])\n\
         sys.exit(0 if is_from_vitrine(secret, timestamp, signature, body) else 1)",
        verifier()
    );
    let mut python = Command::new("python3");
    python.args(["-I", "-c", &program, secret, timestamp, signature, body]);
    let status = python.status().expect("python3").code();
    assert!(matches!(status, Some(0 | 1)), "{status:?}");
    status == Some(0)
}

#[test]
fn the_documented_verifier_tells_good_signatures_from_bad_ones() {
    let receiver = Webhooks::new();
    sink(&receiver, AGES).tell(&one_of_each()[..1], time());
    let call = receiver.calls().remove(0);
    let (time, signature) = (&call.headers["x-vitrine-timestamp"], &call.headers["x-vitrine-signature"]);
    assert!(verifies(SECRET, time, signature, &call.body));
    assert!(!verifies("another secret, as long", time, signature, &call.body));
    assert!(!verifies(SECRET, time, signature, &call.body.replace("create", "delete")));
    assert!(!verifies(SECRET, time, "sha256=00", &call.body));
    let long_ago = (Utc::now().timestamp() - 3600).to_string();
    assert!(!verifies(SECRET, &long_ago, signature, &call.body));
}

#[test]
fn what_is_tried_again_says_so_and_counts_the_tries() {
    let receiver = Webhooks::new();
    receiver.answer(503);
    let mut deliveries = one_of_each();
    let mut sink = sink(&receiver, AGES);
    for attempt in 1..=7 {
        let told = sink.tell(&deliveries, time());
        let away = Failure::Away("answered 503".to_owned());
        assert_eq!(told, Told { done: 0, tried: 1, failure: Some(away) }, "attempt {attempt}");
        deliveries[0].again = true;
    }
    receiver.answer(204);
    assert_eq!(sink.tell(&deliveries, time()), Told::all(6));
    let calls = receiver.calls();
    let first: Vec<_> = calls[..8].iter().map(|call| call.headers["x-vitrine-attempt"].as_str()).collect();
    assert_eq!(first, ["1", "2", "3", "4", "5", "6", "7", "8"]);
    let marks: Vec<_> = calls.iter().map(|call| call.json()["redelivered"].as_bool().unwrap()).collect();
    assert_eq!(marks[..9], [false, true, true, true, true, true, true, true, false]);
    assert_eq!(calls[1].headers["x-vitrine-redelivered"], "true");
}

#[test]
fn an_address_that_says_no_is_asked_five_times_and_one_that_is_gone_once() {
    let receiver = Webhooks::new();
    let deliveries = one_of_each();
    let mut sink = sink(&receiver, AGES);
    for (status, tries) in [(400, 5), (302, 5), (410, 1)] {
        receiver.answer(status);
        for attempt in 1..=tries {
            let why = format!("answered {status}");
            let failure = if attempt == tries { Failure::Hopeless(why) } else { Failure::Refused(why) };
            let told = sink.tell(&deliveries[1..], time());
            assert_eq!(told.failure, Some(failure), "{status}, attempt {attempt}");
        }
        // As the relay does: on to another event.
        receiver.answer(200);
        sink.tell(&deliveries[..1], time());
    }
}

#[test]
fn an_address_that_was_down_and_refuses_while_it_comes_back_is_asked_five_times_all_the_same() {
    let receiver = Webhooks::new();
    let deliveries = one_of_each();
    let mut sink = sink(&receiver, AGES);
    // Never five refusals in a row, however many tries there are.
    for status in [503, 503, 503, 503, 503, 503, 404, 401, 404, 404, 502, 404, 404, 404, 404] {
        receiver.answer(status);
        let failure = sink.tell(&deliveries, time()).failure;
        assert!(matches!(failure, Some(Failure::Away(_) | Failure::Refused(_))), "{status}: {failure:?}");
    }
    let last = receiver.calls().pop().unwrap();
    assert_eq!(last.headers["x-vitrine-attempt"], "15");
    receiver.answer(404);
    assert_eq!(sink.tell(&deliveries, time()).failure, Some(Failure::Hopeless("answered 404".to_owned())));
}

#[test]
fn an_old_event_is_tried_though_the_one_before_it_was_given_up() {
    let receiver = Webhooks::new();
    receiver.answer(500);
    let deliveries = one_of_each();
    let mut sink = sink(&receiver, Duration::from_millis(1));
    let mut tries = 1;
    while !matches!(sink.tell(&deliveries, time()).failure, Some(Failure::Hopeless(_))) {
        tries += 1;
    }
    assert!(tries <= 5, "{tries}");
    // It was the event, and not the address: the next one is taken.
    receiver.answer(200);
    assert_eq!(sink.tell(&deliveries[1..], time()), Told::all(5));
}

#[test]
fn patience_ends_with_an_events_age_but_never_before_five_tries() {
    let receiver = Webhooks::new();
    receiver.answer(500);
    let deliveries = one_of_each();
    // The events are from a moment that is more than a second ago, or else not before a year has passed.
    let (short, long) = (Duration::from_secs(1), AGES);
    let is_past = deliveries[0].event.cause.at < Utc::now() - chrono::TimeDelta::seconds(2);
    for (patience, is_hopeless) in [(short, is_past), (long, false)] {
        let mut sink = sink(&receiver, patience);
        let mut last = None;
        for _ in 0..5 {
            assert!(!matches!(last, Some(Failure::Hopeless(_))), "{patience:?}");
            last = sink.tell(&deliveries, time()).failure;
        }
        assert_eq!(matches!(last, Some(Failure::Hopeless(_))), is_hopeless, "{patience:?}: {last:?}");
    }
}

#[test]
fn one_that_does_not_answer_is_given_up_in_time_and_its_address_is_not_repeated() {
    let receiver = Webhooks::new();
    receiver.think(Duration::from_secs(3));
    let told = sink(&receiver, AGES).tell(&one_of_each(), Time::of_one_try(Duration::from_millis(200)));
    let Some(Failure::Away(why)) = &told.failure else { panic!("{told:?}") };
    assert!(!why.contains("quite-secret"), "{why}");
    assert_eq!((told.done, told.tried), (0, 1));
}

#[test]
fn a_name_is_of_the_address_without_what_is_secret_in_it() {
    let name = |url| Webhook::new(url, &Secret::new(SECRET), AGES).unwrap().name().to_owned();
    let one = name("https://hooks.example.org/images?key=hunter2");
    assert!(one.starts_with("webhook:hooks.example.org:") && !one.contains("hunter2"), "{one}");
    assert_eq!(one, name("https://hooks.example.org/images?key=hunter2"));
    assert_ne!(one, name("https://hooks.example.org/images?key=hunter3"));
    for (url, secret) in [("ftp://host/", SECRET), ("hooks", SECRET), ("https://host/", "short")] {
        assert!(Webhook::new(url, &Secret::new(secret), AGES).is_err(), "{url}");
    }
}
