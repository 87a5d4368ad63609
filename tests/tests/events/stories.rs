//! When all is well, and when somebody is away.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::http::Answer;
use testbed::{Call, Database, Keystone, Party, Postgres, RabbitMq, Vitrine, patience};

use crate::ear::{Ears, SECRET, records};

/// Two projects whose tokens the service knows: what it is to tell does not depend on how busy Keystone is.
fn sides(vitrine: &Vitrine) -> [Party; 2] {
    ["owner", "member"].map(|name| {
        let party = Party::new(Keystone::shared(), name, &["member"]);
        know(vitrine, &party);
        party
    })
}

fn know(vitrine: &Vitrine, party: &Party) {
    patience::until("Keystone's word", Duration::from_secs(30), || {
        let answer = vitrine.call("GET", "/v2/images").token(&party.token).send();
        (answer.status == 200).then_some(())
    });
}

/// So many sinks have been leased, so that everything from now on is told.
pub(crate) fn leased(database: &Database<'_>, count: usize) {
    patience::until("sinks to be leased", Duration::from_secs(30), || {
        (database.query("SELECT name FROM event_sinks").len() == count).then_some(())
    });
}

fn request(answer: &Answer) -> String {
    answer.header("x-openstack-request-id").expect("a request id").to_owned()
}

pub(crate) fn image(vitrine: &Vitrine, owner: &Party) -> (String, Answer) {
    let new = json!({"name": "poster", "visibility": "shared"});
    let made = vitrine.call("POST", "/v2/images").token(&owner.token).json(&new).send().expect(201);
    (made.json()["id"].as_str().expect("an id").to_owned(), made)
}

#[test]
fn every_change_is_told_to_every_sink_once_and_in_order_with_who_did_it_and_for_which_request() {
    let ears = Ears::new(RabbitMq::shared(), "stories");
    let listener = RabbitMq::shared().listener("stories", "stories-notifications");
    let database = Postgres::shared().database();
    let vitrine = ears.told_by(Vitrine::serve(&database, Keystone::shared())).start();
    leased(&database, 3);
    let [owner, member] = sides(&vitrine);
    let call = |party: &Party, method: &str, path: &str| vitrine.call(method, path).token(&party.token);

    let (image, created) = image(&vitrine, &owner);
    let path = format!("/v2/images/{image}");
    let membership = format!("{path}/members/{}", member.project.id);
    let share =
        || call(&owner, "POST", &format!("{path}/members")).json(&json!({"member": member.project.id}));
    let patch = r#"[{"op": "replace", "path": "/name", "value": "placard"}]"#;
    let renamed = Call::new("PATCH", format!("{}{path}", vitrine.url()))
        .token(&owner.token)
        .header("Content-Type", "application/openstack-images-v2.1-json-patch")
        .text(patch)
        .send()
        .expect(200);
    let shared = share().send().expect(200);
    let accept = json!({"status": "accepted"});
    let accepted = call(&member, "PUT", &membership).json(&accept).send().expect(200);
    let unshared = call(&owner, "DELETE", &membership).send().expect(204);
    let again = share().send().expect(200);
    let deleted = call(&owner, "DELETE", &path).send().expect(204);
    // What is refused is no event.
    share().send().expect(404);

    let expected = [
        ("image.create", &owner, request(&created)),
        ("image.update", &owner, request(&renamed)),
        ("image.member.create", &owner, request(&shared)),
        ("image.member.update", &member, request(&accepted)),
        ("image.member.delete", &owner, request(&unshared)),
        ("image.member.create", &owner, request(&again)),
        ("image.member.delete", &owner, request(&deleted)),
        ("image.delete", &owner, request(&deleted)),
    ];
    for (sink, heard) in ears.told(expected.len(), &vitrine) {
        assert_eq!(heard.len(), expected.len(), "{sink}: {heard:#?}");
        for (heard, (kind, by, request)) in heard.iter().zip(&expected) {
            assert_eq!((heard.kind.as_str(), heard.image.as_str()), (*kind, image.as_str()), "{sink}");
            assert_eq!((&heard.user, &heard.project), (&by.user.id, &by.project.id), "{sink} {kind}");
            assert_eq!((&heard.request, heard.marked), (request, false), "{sink} {kind}");
        }
    }
    for (heard, (kind, by, request)) in listener.heard_at_least(expected.len()).iter().zip(&expected) {
        assert_eq!((&heard["event_type"], &heard["publisher_id"]), (&json!(kind), &json!("image.tests")));
        let context = json!({"user_id": by.user.id, "project_id": by.project.id, "request_id": request});
        assert_eq!(heard["context"], context, "oslo.messaging's context of {kind}");
    }
    let calls: Vec<Value> = ears.webhooks.taken().iter().map(|call| call.json()).collect();
    let statuses: Vec<_> =
        calls.iter().map(|call| (&call["member"]["old_status"], &call["member"]["status"])).collect();
    let null = &Value::Null;
    assert_eq!(
        statuses[2..5],
        [(null, &json!("pending")), (&json!("pending"), &json!("accepted")), (&json!("accepted"), null)]
    );
    assert_eq!(
        (&calls[0]["image"]["name"], &calls[7]["image"]["name"]),
        (&json!("poster"), &json!("placard"))
    );
    assert_eq!(calls[7]["image"]["owner"], owner.project.id.as_str());
    let log = vitrine.stop();
    assert!(!log.contains("quite-secret") && !log.contains(SECRET) && !log.contains("guest:guest"), "{log}");
}

#[test]
fn a_broker_and_a_webhook_that_are_away_delay_their_events_and_nothing_else() {
    let broker = RabbitMq::private();
    let ears = Ears::new(&broker, "away");
    let database = Postgres::shared().database();
    let vitrine = ears.told_by(Vitrine::serve(&database, Keystone::shared())).start();
    leased(&database, 3);
    let [owner, _] = sides(&vitrine);
    broker.kill();
    ears.webhooks.answer(503);
    let begun = Instant::now();
    for _ in 0..20 {
        image(&vitrine, &owner);
    }
    assert!(begun.elapsed() < Duration::from_secs(25), "the API took {:?} for 20 calls", begun.elapsed());
    // The audit log waits for nobody.
    patience::until("the audit log", Duration::from_secs(60), || {
        (records(&ears.audit_log()).len() == 20).then_some(())
    });
    patience::until("figures of what waits", Duration::from_secs(60), || {
        let figures = vitrine.figures();
        let is = |name: &str, sink: &str, value: &str| {
            figures.lines().any(|line| {
                line.starts_with(&format!("vitrine_events_{name}{{sink=\"{sink}")) && line.ends_with(value)
            })
        };
        (is("waiting", "rabbitmq", " 20") && is("waiting", "webhook:", " 20") && is("waiting", "audit", " 0"))
            .then_some(())
    });
    broker.start();
    ears.webhooks.answer(200);
    for (sink, heard) in ears.told(20, &vitrine) {
        let numbers: Vec<_> = heard.iter().filter_map(|heard| heard.number).collect();
        assert!(numbers.is_sorted(), "{sink}: {numbers:?}");
    }
    let log = vitrine.stop();
    for said in ["the sink is away; events wait", "the sink is back; events are told"] {
        // Once for each of the two, however often it was tried.
        assert_eq!(log.matches(said).count(), 2, "{said}:\n{log}");
    }
}

#[test]
fn of_two_servers_one_tells_and_when_it_stops_the_other_goes_on_at_once_without_a_mark() {
    let ears = Ears::new(RabbitMq::shared(), "two");
    let database = Postgres::shared().database();
    // Nobody waits for the end of such a lease.
    let server = || {
        let launch = ears.told_by(Vitrine::serve(&database, Keystone::shared()));
        launch.with("VITRINE_EVENTS__LEASE", "60").start()
    };
    let first = server();
    leased(&database, 3);
    let second = server();
    let [owner, _] = sides(&first);
    know(&second, &owner);
    for number in 0..10 {
        image(if number % 2 == 0 { &first } else { &second }, &owner);
    }
    ears.told(10, &first);
    let telling = |vitrine: &Vitrine| {
        vitrine
            .figures()
            .lines()
            .filter(|line| line.starts_with("vitrine_events_leased") && line.ends_with(" 1"))
            .count()
    };
    assert_eq!((telling(&first), telling(&second)), (3, 0));
    first.stop();
    for _ in 0..10 {
        image(&second, &owner);
    }
    for (sink, heard) in ears.told(20, &second) {
        assert_eq!((heard.len(), heard.iter().filter(|heard| heard.marked).count()), (20, 0), "{sink}");
    }
    second.stop();
}

#[test]
fn a_server_that_slept_through_its_lease_is_replaced_and_tells_nothing_that_it_has_not_claimed() {
    let ears = Ears::new(RabbitMq::shared(), "slept");
    let database = Postgres::shared().database();
    let server = || {
        let launch = ears.told_by(Vitrine::serve(&database, Keystone::shared()));
        launch.with("VITRINE_EVENTS__LEASE", "1").start()
    };
    let first = server();
    leased(&database, 3);
    let second = server();
    let [owner, _] = sides(&second);
    know(&first, &owner);
    ears.webhooks.think(Duration::from_millis(20));
    for round in 0..4 {
        // In the middle of telling.
        for _ in 0..5 {
            image(&second, &owner);
        }
        first.process().signal("STOP");
        for _ in 0..5 {
            image(&second, &owner);
        }
        ears.told(12 * round + 10, &second);
        first.process().signal("CONT");
        image(&first, &owner);
        image(&second, &owner);
    }
    let events = database.query("SELECT id FROM events").len();
    for (sink, heard) in ears.told(events, &second) {
        let unmarked: Vec<_> = heard.iter().filter(|heard| !heard.marked).map(|heard| &heard.id).collect();
        let once: std::collections::BTreeSet<_> = unmarked.iter().collect();
        assert_eq!(once.len(), unmarked.len(), "{sink}: an event was told unmarked twice");
    }
    first.stop();
    second.stop();
}

#[test]
fn what_nobody_wants_is_a_dead_letter_that_can_be_listed_told_again_and_let_go() {
    let ears = Ears::new(RabbitMq::shared(), "dead");
    let database = Postgres::shared().database();
    let vitrine = ears.told_by(Vitrine::serve(&database, Keystone::shared())).start();
    leased(&database, 3);
    let [owner, _] = sides(&vitrine);
    ears.webhooks.answer(410);
    let made: Vec<String> = (0..3).map(|_| image(&vitrine, &owner).0).collect();
    let webhook = ears.webhooks.url();
    let command = |arguments: &[&str]| {
        testbed::vitrine::command(arguments)
            .env("VITRINE_DATABASE__URL", database.url())
            .env("VITRINE_EVENTS__WEBHOOKS__TESTS__URL", &webhook)
            .env("VITRINE_EVENTS__WEBHOOKS__TESTS__SECRET", SECRET)
            .output()
            .expect("vitrine can be started")
    };
    let letters = || -> Vec<Value> {
        let listed = command(&["dead-letters", "list", "--json"]);
        assert!(listed.status.success(), "{}", testbed::vitrine::said(&listed));
        let text = String::from_utf8(listed.stdout).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let letters = patience::until("three dead letters", Duration::from_secs(30), || {
        Some(letters()).filter(|letters| letters.len() == 3)
    });
    let images: Vec<_> = letters.iter().map(|letter| letter["image_id"].as_str().unwrap()).collect();
    assert_eq!(images, made);
    assert_eq!(letters[0]["why"], "answered 410");
    let sink = letters[0]["sink"].as_str().unwrap();
    let numbers: Vec<String> = letters.iter().map(|letter| letter["number"].to_string()).collect();

    // Still not wanted: it stays.
    let refused = command(&["dead-letters", "retry", sink, &numbers[0]]);
    assert_eq!(refused.status.code(), Some(1), "{}", testbed::vitrine::said(&refused));
    ears.webhooks.answer(200);
    let told = command(&["dead-letters", "retry", sink, &numbers[0]]);
    assert!(told.status.success(), "{}", testbed::vitrine::said(&told));
    let taken = ears.webhooks.taken();
    assert_eq!((taken[0].json()["redelivered"].as_bool(), taken.len()), (Some(true), 1));
    let dropped = command(&["dead-letters", "drop", sink, "--all"]);
    assert!(dropped.status.success(), "{}", testbed::vitrine::said(&dropped));
    let none = command(&["dead-letters", "list"]);
    assert_eq!(String::from_utf8_lossy(&none.stdout), "There are no dead letters.\n");
    for _ in 0..5 {
        // It ends well, and not only when there was time for everything it began.
        assert_eq!(command(&["dead-letters", "list"]).status.code(), Some(0));
    }
    let unknown = command(&["dead-letters", "drop", sink, &numbers[0]]);
    assert_eq!(unknown.status.code(), Some(1), "{}", testbed::vitrine::said(&unknown));
    vitrine.stop();
}

#[test]
fn an_event_that_cannot_be_read_is_a_dead_letter_that_can_be_dropped() {
    let ears = Ears::new(RabbitMq::shared(), "unreadable");
    let database = Postgres::shared().database();
    let vitrine = ears.told_by(Vitrine::serve(&database, Keystone::shared())).start();
    leased(&database, 3);
    let [owner, _] = sides(&vitrine);
    database.query(
        "CREATE FUNCTION damage() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             NEW.image := 'no JSON' || chr(27) || '[2J'; RETURN NEW; END $$;
         CREATE TRIGGER damage BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION damage()",
    );
    image(&vitrine, &owner);
    database.query("DROP TRIGGER damage ON events");
    let (next, _) = image(&vitrine, &owner);
    for (sink, heard) in ears.told(1, &vitrine) {
        let images: Vec<&str> = heard.iter().map(|one| one.image.as_str()).collect();
        assert_eq!(images, [next.as_str()], "{sink}");
    }
    let webhook = ears.webhooks.url();
    let command = |arguments: &[&str]| {
        testbed::vitrine::command(arguments)
            .env("VITRINE_DATABASE__URL", database.url())
            .env("VITRINE_EVENTS__WEBHOOKS__TESTS__URL", &webhook)
            .env("VITRINE_EVENTS__WEBHOOKS__TESTS__SECRET", SECRET)
            .output()
            .expect("vitrine can be started")
    };
    let listed = command(&["dead-letters", "list", "--json"]);
    let letter: Value = serde_json::from_slice(&listed.stdout).expect("one letter");
    assert_eq!(
        (&letter["is_readable"], &letter["sink"]),
        (&Value::Bool(false), &Value::from("webhook:tests"))
    );
    let number = letter["number"].to_string();
    let line = String::from_utf8(command(&["dead-letters", "list"]).stdout).expect("UTF-8");
    assert!(line.contains("cannot be read") && !line.contains('\u{1b}'), "{line:?}");
    let refused = command(&["dead-letters", "retry", "webhook:tests", &number]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(testbed::vitrine::said(&refused).contains("can be dropped"));
    let dropped = command(&["dead-letters", "drop", "webhook:tests", &number]);
    assert!(dropped.status.success(), "{}", testbed::vitrine::said(&dropped));
    let none = command(&["dead-letters", "list"]);
    assert_eq!(String::from_utf8_lossy(&none.stdout), "There are no dead letters.\n");
    vitrine.stop();
}
