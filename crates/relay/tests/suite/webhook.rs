//! What whoever is called gets to see.

use std::{process::Command, time::Duration};

use chrono::Utc;
use core_domain::event::Change;
use relay::{Failure, Sink as _, Time, Told, Webhook};
use serde_json::json;
use testbed::{
    Webhooks,
    python::{Python, run},
    webhooks::Told as Call,
};

use crate::some_events::{OTHER_SECRET, SECRET, one_of_each, signing_keys};

/// Longer ago than the moment of the events, whenever this runs.
const AGES: Duration = Duration::from_secs(50 * 365 * 86_400);

fn time() -> Time {
    Time::of_one_try(Duration::from_secs(5))
}

fn signed_with(receiver: &Webhooks, secrets: &[&str], patience: Duration) -> Webhook {
    Webhook::new("receiver", &receiver.url(), signing_keys(secrets), patience).unwrap()
}

fn sink(receiver: &Webhooks, patience: Duration) -> Webhook {
    signed_with(receiver, &[SECRET], patience)
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
    assert_eq!(share.headers["webhook-id"], event.id.to_string());
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
    assert_eq!((&calls[0].json()["changed"], &calls[1].json()["changed"]), (&json!([]), &json!(["tags"])));
}

#[test]
fn an_image_without_its_record_is_told_with_what_is_known() {
    let receiver = Webhooks::new();
    let mut deliveries = one_of_each();
    let Change::Image { image, .. } = &mut deliveries[1].event.change else { panic!("an image's update") };
    *image = None;
    assert_eq!(sink(&receiver, AGES).tell(&deliveries[1..2], time()), Told::all(1));
    let told = receiver.calls()[0].json();
    assert_eq!(
        (&told["type"], &told["record"], &told["changed"]),
        (&json!("image.update"), &json!(null), &json!(["tags"]))
    );
    assert_eq!(told["image"]["name"], "Ubuntu «24.04»");
}

/// The verifier of docs/events.md, as it stands there.
fn verifier() -> String {
    let document = include_str!("../../../../docs/events.md");
    let (_, rest) = document.split_once("```python\n").expect("docs/events.md shows a verifier");
    rest.split_once("```").expect("its end").0.to_owned()
}

/// What the documented verifier says of a call with these headers.
fn verifies(secret: &str, call: &Call, [timestamp, signatures]: [&str; 2], body: &str) -> bool {
    let program = format!(
        "{}\nimport sys\narguments = (argument.encode() for argument in sys.argv[1:])\n\
         sys.exit(0 if is_from_vitrine(*arguments) else 1)",
        verifier()
    );
    let mut python = Command::new("python3");
    python.args(["-I", "-c", &program, secret, &call.headers["webhook-id"], timestamp, signatures, body]);
    let status = python.status().expect("python3").code();
    assert!(matches!(status, Some(0 | 1)), "{status:?}");
    status == Some(0)
}

fn signed(call: &Call) -> [&str; 2] {
    [&call.headers["webhook-timestamp"], &call.headers["webhook-signature"]]
}

/// One call of a sink with these secrets.
fn call_signed_with(secrets: &[&str]) -> Call {
    let receiver = Webhooks::new();
    assert_eq!(signed_with(&receiver, secrets, AGES).tell(&one_of_each()[..1], time()), Told::all(1));
    receiver.calls().remove(0)
}

#[test]
fn the_documented_verifier_tells_good_signatures_from_bad_ones() {
    let call = call_signed_with(&[SECRET]);
    let [time, signature] = signed(&call);
    assert!(verifies(SECRET, &call, [time, signature], &call.body));
    assert!(!verifies(OTHER_SECRET, &call, [time, signature], &call.body));
    assert!(!verifies(SECRET, &call, [time, signature], &call.body.replace("create", "delete")));
    assert!(!verifies(SECRET, &call, [time, "v1,AAAA"], &call.body));
    let long_ago = (Utc::now().timestamp() - 3600).to_string();
    assert!(!verifies(SECRET, &call, [&long_ago, signature], &call.body));
}

/// Whether the reference library, from PyPI, takes a call.
fn library_accepts(secret: &str, call: &Call) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("call.json");
    let told = json!({"secret": secret, "headers": call.headers, "body": call.body});
    std::fs::write(&path, told.to_string()).unwrap();
    let mut python = Python::environment().command("python", directory.path());
    let said = run(python.arg("-I").arg(Python::script("webhook_verifier.py")).arg(&path));
    match said.trim() {
        "accepted" => true,
        "refused" => false,
        said => panic!("{said}"),
    }
}

#[test]
fn one_receivers_secret_verifies_no_call_to_another() {
    let (ours, theirs) = (call_signed_with(&[SECRET]), call_signed_with(&[OTHER_SECRET]));
    assert!(library_accepts(SECRET, &ours) && library_accepts(OTHER_SECRET, &theirs));
    assert!(!library_accepts(SECRET, &theirs) && !library_accepts(OTHER_SECRET, &ours));
}

#[test]
fn during_a_rotation_the_old_and_the_new_secret_verify() {
    let call = call_signed_with(&[OTHER_SECRET, SECRET]);
    assert!(library_accepts(SECRET, &call) && library_accepts(OTHER_SECRET, &call));
    assert_eq!(call.headers["webhook-signature"].split(' ').count(), 2);
    for secret in [SECRET, OTHER_SECRET] {
        assert!(verifies(secret, &call, signed(&call), &call.body));
    }
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
fn a_sink_has_the_name_it_was_given_and_shows_nothing_else() {
    let url = "https://hooks.example.org/images?key=hunter2";
    let webhook = Webhook::new("cmdb", url, signing_keys(&[SECRET]), AGES).unwrap();
    assert_eq!(webhook.name(), "webhook:cmdb");
    let shown = format!("{webhook:?} {:?}", signing_keys(&[SECRET]));
    assert!(!shown.contains("hunter2") && !shown.contains("MfKQ"), "{shown}");
    for url in ["ftp://host/", "hooks", ""] {
        assert!(Webhook::new("cmdb", url, signing_keys(&[SECRET]), AGES).is_err(), "{url}");
    }
}
