//! The story the service exists for: share, accept, list, unshare, from both sides, in production dress and in `vitrine dev`.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]

use serde_json::{Value, json};
use testbed::{Client, Keystone, Party, Postgres, Vitrine};

/// One side of the share as plain HTTP sees it.
struct Side {
    token: String,
    project: String,
}

#[test]
fn an_image_is_shared_and_taken_back_over_http_with_keystone_and_postgres() {
    let keystone = Keystone::shared();
    let database = Postgres::shared().database();
    let vitrine = Vitrine::serve(&database, keystone).start();
    let [owner, member, stranger] = ["owner", "member", "stranger"].map(|name| {
        let party = Party::new(keystone, name, &["member"]);
        Side { token: party.token, project: party.project.id }
    });

    share_over_http(&vitrine, &owner, &member, &stranger);

    let log = vitrine.stop();
    for side in [&owner, &member, &stranger] {
        assert!(!log.contains(&side.token), "a token is in the log:\n{log}");
    }
    for (name, value) in keystone.service_settings() {
        assert!(!name.ends_with("PASSWORD") || !log.contains(&value), "{name} is in the log:\n{log}");
    }
}

#[test]
fn an_image_is_shared_and_taken_back_over_http_in_the_first_minute() {
    let vitrine = Vitrine::dev().start();
    let clouds = vitrine.clouds();
    let [owner, member, stranger] = ["vitrine-owner", "vitrine-member", "vitrine-admin"].map(|cloud| {
        let token = demo(&clouds, cloud).openstack_json(&["token", "issue"]);
        Side { token: text(&token["id"]), project: text(&token["project_id"]) }
    });
    // The demo's administrator sees everything: it stands in for nobody here but gives a third project.
    let stranger = Side { token: "no-such-token-at-all-0123456789".to_owned(), ..stranger };

    share_over_http(&vitrine, &owner, &member, &stranger);

    let log = vitrine.stop();
    assert!(!log.contains(&owner.token) && !log.contains(&member.token), "a token is in the log:\n{log}");
}

#[test]
fn an_image_is_shared_and_taken_back_by_the_openstack_client_with_keystone_and_postgres() {
    let keystone = Keystone::shared();
    let database = Postgres::shared().database();
    let vitrine = Vitrine::serve(&database, keystone).start();
    let region = keystone.region(vitrine.url());
    let [owner, member] = ["owner", "member"].map(|name| Party::new(keystone, name, &["member"]));

    let member_client = member.client(keystone, &region);
    share_with_the_client(&owner.client(keystone, &region), &member_client, &member.project.id);
    vitrine.stop();
}

#[test]
fn an_image_is_shared_and_taken_back_by_the_openstack_client_in_the_first_minute() {
    let vitrine = Vitrine::dev().start();
    let clouds = vitrine.clouds();
    let member = demo(&clouds, "vitrine-member");
    let project = text(&member.openstack_json(&["token", "issue"])["project_id"]);

    share_with_the_client(&demo(&clouds, "vitrine-owner"), &member, &project);
    vitrine.stop();
}

fn share_over_http(vitrine: &Vitrine, owner: &Side, member: &Side, stranger: &Side) {
    let call = |side: &Side, method: &str, path: &str| vitrine.call(method, path).token(&side.token);
    let new =
        json!({"name": "poster", "visibility": "shared", "container_format": "bare", "disk_format": "raw"});
    let image = text(&call(owner, "POST", "/v2/images").json(&new).send().expect(201).json()["id"]);
    let (image_path, members) = (format!("/v2/images/{image}"), format!("/v2/images/{image}/members"));
    let membership = format!("{members}/{}", member.project);
    let shared_with_me = |filter: &str| {
        let path = format!("/v2/images?visibility=shared{filter}");
        let list = call(member, "GET", &path).send().expect(200).json();
        list["images"].as_array().expect("a list").iter().any(|listed| listed["id"] == image.as_str())
    };

    // Before: nobody else knows the image.
    call(member, "GET", &image_path).send().expect(404);

    // The owner shares it.
    let shared = call(owner, "POST", &members).json(&json!({"member": member.project})).send().expect(200);
    assert_eq!(shared.header("content-type"), Some("application/json; charset=UTF-8"));
    assert!(shared.header("x-openstack-request-id").is_some_and(|id| id.starts_with("req-")));
    let shared = shared.json();
    let told = ["member_id", "image_id", "status", "schema"].map(|key| text(&shared[key]));
    assert_eq!(told, [member.project.as_str(), &image, "pending", "/v2/schemas/member"]);
    call(owner, "POST", &members).json(&json!({"member_id": member.project})).send().expect(409);

    // The member sees it by id, but lists it only once it has accepted.
    call(member, "GET", &image_path).send().expect(200);
    assert!(!shared_with_me("") && shared_with_me("&member_status=pending"));
    call(owner, "PUT", &membership).json(&json!({"status": "accepted"})).send().expect(403);
    let accepted =
        call(member, "PUT", &membership).json(&json!({"status": "accepted"})).send().expect(200).json();
    assert_eq!(accepted["status"], "accepted");
    assert!(shared_with_me("") && !shared_with_me("&member_status=pending"));

    // Both sides see the membership; nobody else does.
    for side in [owner, member] {
        let list = call(side, "GET", &members).send().expect(200).json();
        assert_eq!(list["members"], json!([accepted]));
        assert_eq!(list["schema"], "/v2/schemas/members");
        assert_eq!(call(side, "GET", &membership).send().expect(200).json(), accepted);
    }
    let outside = call(stranger, "GET", &members).send();
    assert!([401, 404].contains(&outside.status), "{outside:#?}");

    // The owner takes it back, and it is gone for the member at once.
    call(member, "DELETE", &membership).send().expect(403);
    let removed = call(owner, "DELETE", &membership).send().expect(204);
    assert_eq!((removed.body.as_str(), removed.header("content-type")), ("", None));
    call(member, "GET", &image_path).send().expect(404);
    assert!(!shared_with_me("&member_status=all"));
    call(owner, "DELETE", &membership).send().expect(404);
    call(owner, "DELETE", &image_path).send().expect(204);
}

fn share_with_the_client(owner: &Client, member: &Client, member_project: &str) {
    let formats = ["--container-format", "bare", "--disk-format", "raw"];
    let image = owner.openstack_json(&[&["image", "create", "--shared", "poster"], &formats[..]].concat());
    let image = text(&image["id"]);
    let listed = |filter: &[&str]| {
        let list = member.openstack_json(&[&["image", "list", "--shared"], filter].concat());
        list.as_array().expect("a list").iter().any(|listed| listed["ID"] == image.as_str())
    };

    let shared = owner.openstack_json(&["image", "add", "project", &image, member_project]);
    assert_eq!((&shared["member_id"], &shared["status"]), (&json!(member_project), &json!("pending")));
    assert!(listed(&["--member-status", "pending"]) && !listed(&[]));

    member.openstack(&["image", "set", "--accept", &image]);
    assert!(listed(&[]));
    assert_eq!(member.openstack_json(&["image", "show", &image])["id"], image.as_str());

    let members = owner.openstack_json(&["image", "member", "list", &image]);
    let members = members.as_array().expect("a list");
    assert_eq!(members.len(), 1, "{members:?}");
    assert_eq!(
        (&members[0]["Member ID"], &members[0]["Status"]),
        (&json!(member_project), &json!("accepted"))
    );

    owner.openstack(&["image", "remove", "project", &image, member_project]);
    member.openstack_refused(&["image", "show", &image]);
    assert!(!listed(&["--member-status", "all"]));
}

/// Somebody who pasted what `vitrine dev` prints.
fn demo(clouds: &str, cloud: &str) -> Client {
    Client::new([("OS_CLIENT_CONFIG_FILE", clouds), ("OS_CLOUD", cloud)])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a string where {value} stands")).to_owned()
}
