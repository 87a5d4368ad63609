//! What was answered stays true: after a stop, after a crash of the service, and after both.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]

use std::time::Duration;

use serde_json::{Value, json};
use testbed::postgres::Durability;
use testbed::{Keystone, Party, Postgres, Vitrine};

#[test]
fn what_was_shared_is_still_shared_after_the_service_and_its_database_were_killed() {
    let keystone = Keystone::shared();
    let postgres = Postgres::private(Durability::Kept);
    let database = postgres.database();
    let vitrine = Vitrine::serve(&database, keystone).start();
    let [owner, member] = ["owner", "member"].map(|name| Party::new(keystone, name, &["member"]));
    let image = shared(&vitrine, &owner, &member);

    vitrine.process().signal("KILL");
    assert_eq!(vitrine.process().ended_within(Duration::from_secs(60)), Some(128 + 9));
    postgres.kill();
    postgres.start();
    let again = Vitrine::serve(&database, keystone).start();

    let path = format!("/v2/images/{image}/members/{}", member.project.id);
    let kept = again.call("GET", &path).token(&owner.token).send().expect(200).json();
    assert_eq!(kept["status"], "accepted");
    again.call("GET", &format!("/v2/images/{image}")).token(&member.token).send().expect(200);
    again.stop();
}

#[test]
fn a_second_service_on_the_same_database_sees_at_once_what_the_first_answered() {
    let keystone = Keystone::shared();
    let database = Postgres::shared().database();
    let first = Vitrine::serve(&database, keystone).start();
    let second = Vitrine::serve(&database, keystone).start();
    let [owner, member] = ["owner", "member"].map(|name| Party::new(keystone, name, &["member"]));
    let image = shared(&first, &owner, &member);

    let (image, members) = (format!("/v2/images/{image}"), format!("/v2/images/{image}/members"));
    second.call("GET", &image).token(&member.token).send().expect(200);
    second.call("DELETE", &format!("{members}/{}", member.project.id)).token(&owner.token).send().expect(204);
    first.call("GET", &image).token(&member.token).send().expect(404);
    first.stop();
    second.stop();
}

/// An image of the owner's that the member has accepted.
fn shared(vitrine: &Vitrine, owner: &Party, member: &Party) -> String {
    let new =
        json!({"name": "poster", "visibility": "shared", "container_format": "bare", "disk_format": "raw"});
    let image = vitrine.call("POST", "/v2/images").token(&owner.token).json(&new).send().expect(201).json();
    let image = image["id"].as_str().expect("an id").to_owned();
    let members = format!("/v2/images/{image}/members");
    let call = |party: &Party, method: &str, path: &str, body: &Value| {
        vitrine.call(method, path).token(&party.token).json(body).send().expect(200);
    };
    call(owner, "POST", &members, &json!({"member": member.project.id}));
    call(member, "PUT", &format!("{members}/{}", member.project.id), &json!({"status": "accepted"}));
    image
}
