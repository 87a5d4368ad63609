//! What a real consumer of oslo.messaging makes of what RabbitMQ is told.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use relay::{Failure, Queues, Rabbitmq, Secret, Sink as _, Time, Told};
use serde_json::{Value, json};
use testbed::{RabbitMq, rabbitmq::Tls};

use crate::some_events::one_of_each;

fn sink(broker: &RabbitMq, exchange: &str) -> Rabbitmq {
    Rabbitmq::new(&Secret::new(broker.url()), None, "image.host-1")
        .unwrap()
        .exchange(exchange)
        .topic(&format!("{exchange}-notifications"))
}

fn time() -> Time {
    Time::of_one_try(Duration::from_secs(10))
}

#[test]
fn a_listener_of_oslo_messaging_reads_what_glance_would_have_written_and_who_did_it() {
    let broker = RabbitMq::shared();
    let deliveries = one_of_each();
    let (exchange, topic) = ("reads", "reads-notifications");
    // The first is told before anybody listens.
    let mut sink = sink(broker, exchange);
    assert_eq!(sink.tell(&deliveries[..1], time()), Told::all(1));
    let witness = broker.witness(exchange, topic);
    let listener = broker.listener(exchange, topic);
    assert_eq!(sink.tell(&deliveries[1..], time()), Told::all(5));
    sink.rest();

    let heard = listener.heard_at_least(6);
    let kinds: Vec<_> = heard.iter().map(|heard| heard["event_type"].as_str().unwrap()).collect();
    let expected = [
        "image.create",
        "image.update",
        "image.member.create",
        "image.member.update",
        "image.member.delete",
        "image.delete",
    ];
    assert_eq!(kinds, expected);
    let share = &heard[2];
    let image = deliveries[0].event.image.to_string();
    assert_eq!(share["publisher_id"], "image.host-1");
    assert_eq!(share["context"]["user_id"], "alice");
    assert_eq!(share["context"]["project_id"], "owner");
    assert_eq!(share["context"]["request_id"], "req-3");
    assert_eq!(
        share["metadata"],
        json!({"message_id": deliveries[2].event.id.to_string(), "timestamp": "2026-11-22 06:47:03.690418"})
    );
    assert_eq!(
        share["payload"],
        json!({
            "image_id": image,
            "member_id": "consumer",
            "status": "pending",
            "created_at": "2026-11-22T06:47:03Z",
            "updated_at": "2026-11-22T06:47:03Z",
            "deleted": false,
            "deleted_at": null,
            "image_name": "Ubuntu «24.04»",
            "owner": "owner",
            "old_status": null,
            "actor": {"user_id": "alice", "project_id": "owner"},
            "request_id": "req-3",
            "event_number": 3,
            "redelivered": false,
        })
    );
    let unshare = &heard[4]["payload"];
    assert_eq!((&unshare["deleted"], &unshare["old_status"]), (&json!(true), &json!("accepted")));
    assert_eq!(unshare["deleted_at"], "2026-11-22T06:47:03Z");
    assert_eq!((&unshare["reason"], share["payload"].get("reason")), (&json!("reshared"), None));
    let create = &heard[0]["payload"];
    for key in [
        "id",
        "name",
        "status",
        "created_at",
        "updated_at",
        "min_disk",
        "min_ram",
        "protected",
        "checksum",
        "owner",
        "disk_format",
        "container_format",
        "size",
        "virtual_size",
        "is_public",
        "visibility",
        "properties",
        "tags",
        "deleted",
        "deleted_at",
    ] {
        assert!(create.get(key).is_some(), "Glance's payload has {key}: {create}");
    }
    assert_eq!((&create["tags"], &create["properties"]), (&json!(["lts"]), &json!({"os_distro": "ubuntu"})));

    // The envelope is what oslo.messaging's own publisher sends.
    let seen = &witness.heard_at_least(5)[0];
    assert_eq!(seen["version"], "2.0");
    assert_eq!(
        (&seen["content_type"], &seen["content_encoding"]),
        (&json!("application/json"), &json!("utf-8"))
    );
    assert_eq!(seen["properties"], json!({"delivery_mode": 2, "priority": 0}));
    assert_eq!(seen["routing_key"], "reads-notifications.info");
}

#[test]
fn what_is_told_again_is_marked_and_known_by_its_id() {
    let broker = RabbitMq::shared();
    let mut deliveries = one_of_each();
    deliveries.truncate(1);
    let mut sink = sink(broker, "again");
    assert_eq!(sink.tell(&[], time()), Told::all(0));
    let witness = broker.witness("again", "again-notifications");
    assert_eq!(sink.tell(&deliveries, time()), Told::all(1));
    deliveries[0].again = true;
    assert_eq!(sink.tell(&deliveries, time()), Told::all(1));
    let seen = witness.heard_at_least(2);
    let marks: Vec<&Value> = seen.iter().map(|seen| &seen["message"]["payload"]["redelivered"]).collect();
    assert_eq!(marks, [false, true]);
    for key in ["_unique_id", "message_id"] {
        assert_eq!(seen[0]["message"][key], seen[1]["message"][key], "{key}");
    }
}

#[test]
fn queues_that_are_there_are_used_whatever_they_are_made_like() {
    let broker = RabbitMq::shared();
    let deliveries = one_of_each();
    let made = |queues| sink(broker, "made").queues(queues).tell(&deliveries, time());
    assert_eq!(made(Queues::Transient), Told::all(6));
    assert_eq!(made(Queues::Quorum), Told::all(6));
    assert_eq!(made(Queues::Durable), Told::all(6));
}

#[test]
fn a_broker_that_was_killed_is_told_when_it_is_back_and_has_kept_what_it_confirmed() {
    let broker = RabbitMq::private();
    let deliveries = one_of_each();
    let mut sink = sink(&broker, "killed");
    assert_eq!(sink.tell(&deliveries[..3], time()), Told::all(3));
    broker.kill();
    let told = sink.tell(&deliveries[3..], Time::of_one_try(Duration::from_secs(2)));
    assert_eq!(told.done, 0);
    assert!(matches!(told.failure, Some(Failure::Away(_))), "{told:?}");
    let told = sink.tell(&deliveries[3..], Time::of_one_try(Duration::from_secs(2)));
    assert_eq!((told.done, told.tried), (0, 0), "nobody was there to be told: {told:?}");

    broker.start();
    assert_eq!(sink.tell(&deliveries[3..], time()), Told::all(3));
    let heard = broker.listener("killed", "killed-notifications").heard_at_least(6);
    assert_eq!(heard.len(), 6);

    // One that hangs is given up in time.
    broker.signal("STOP");
    let told = sink.tell(&deliveries, Time::of_one_try(Duration::from_millis(500)));
    broker.signal("CONT");
    assert_eq!(told.done, 0);
    assert_eq!(told.failure, Some(Failure::Away("the broker does not answer in time".to_owned())));
}

#[test]
fn an_address_that_is_none_is_refused_without_repeating_it() {
    for url in ["http://user:hunter2@host", "amqp:/hunter2", "hunter2"] {
        let refused = Rabbitmq::new(&Secret::new(url), None, "image").unwrap_err().to_string();
        assert!(refused.contains("amqps://") && !refused.contains("hunter2"), "{url}: {refused}");
    }
}

#[test]
fn over_tls_the_broker_must_be_who_it_is_said_to_be() {
    let authority_key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new([]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(parameters, authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let broker = RabbitMq::with_tls(&Tls {
        authority: authority.pem(),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    });
    let tell = |url: &str, authorities: Option<&[u8]>| {
        let mut sink = Rabbitmq::new(&Secret::new(url), authorities, "image").unwrap().exchange("tls");
        sink.tell(&one_of_each(), time())
    };
    let url = broker.tls_url();
    let trusted = authority.pem();
    assert_eq!(tell(&url, Some(trusted.as_bytes())), Told::all(6));
    // Not by the system, not by that name, and nobody speaks TLS on the other port.
    let elsewhere = url.replace("localhost", "127.0.0.1");
    let plain = broker.url().replace("amqp:", "amqps:").replace("127.0.0.1", "localhost");
    for (url, authorities) in
        [(&url, None), (&elsewhere, Some(trusted.as_bytes())), (&plain, Some(trusted.as_bytes()))]
    {
        let told = tell(url, authorities);
        assert!(matches!(&told.failure, Some(Failure::Away(_))) && told.tried == 0, "{url}: {told:?}");
    }
    let none = Rabbitmq::new(&Secret::new(url), Some(b"no certificate"), "image").unwrap_err();
    assert!(none.to_string().contains("BEGIN CERTIFICATE"), "{none}");
}
