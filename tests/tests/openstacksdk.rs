//! openstacksdk's member calls and lists, found through the catalog of a real Keystone, against Postgres.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testbed::{Client, Keystone, Party, Postgres, Vitrine};

#[test]
fn the_sdk_shares_an_image_and_tells_every_refusal_by_its_own_exception() {
    let keystone = Keystone::shared();
    let database = Postgres::shared().database();
    let vitrine = Vitrine::serve(&database, keystone).start();
    let region = keystone.region(vitrine.url());
    let [owner, member] = ["owner", "member"].map(|name| Party::new(keystone, name, &["member"]));
    let given = json!({
        "region": region,
        "owner": signing_in(keystone, &owner),
        "member": signing_in(keystone, &member),
        "project": member.project.id,
    });
    assert_eq!(Client::stranger().script("openstacksdk_members.py", &[&given.to_string()]).trim(), "shared");
    vitrine.stop();
}

#[test]
fn images_deleted_while_the_sdk_lists_them_are_all_found() {
    let keystone = Keystone::shared();
    let database = Postgres::shared().database();
    let vitrine = Vitrine::serve(&database, keystone).start();
    let region = keystone.region(vitrine.url());
    let owner = Party::new(keystone, "owner", &["member"]);
    let given = json!({"region": region, "owner": signing_in(keystone, &owner)});
    assert_eq!(Client::stranger().script("openstacksdk_pages.py", &[&given.to_string()]).trim(), "deleted");
    vitrine.stop();
}

#[test]
fn the_client_lists_every_image_by_pages_and_cleans_a_project() {
    let keystone = Keystone::shared();
    let database = Postgres::shared().database();
    let vitrine = Vitrine::serve(&database, keystone).start();
    let region = keystone.region(vitrine.url());
    let owner = Party::new(keystone, "owner", &["member"]);
    let client = owner.client(keystone, &region);
    for number in 0..27 {
        let image =
            json!({"name": format!("image {number}"), "container_format": "bare", "disk_format": "raw"});
        vitrine.call("POST", "/v2/images").token(&owner.token).json(&image).send().expect(201);
    }
    let ids = |arguments: &[&str]| -> Vec<String> {
        let listed = client.openstack_json(&[&["image", "list"], arguments].concat());
        listed.as_array().unwrap().iter().map(|image| image["ID"].as_str().unwrap().to_owned()).collect()
    };
    // The client sorts what it has read; all are in one status, so that they stay in the server's order.
    let order = ["--sort", "status:asc"];
    // Without a limit it follows the server's links, of pages of 25.
    let all = ids(&order);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 27, "{all:?}");

    // With a limit it reads one page, and the next one from the marker that it is given.
    let (mut paged, mut pages) = (Vec::new(), 0);
    loop {
        let marker = paged.last().cloned().map(|last: String| ["--marker".to_owned(), last]);
        let marker: Vec<&str> = marker.iter().flatten().map(String::as_str).collect();
        let page = ids(&[&order[..], &["--limit", "10"], &marker[..]].concat());
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 10 && pages < 3, "{page:?}");
        paged.extend(page);
        pages += 1;
    }
    assert_eq!((&paged, pages), (&all, 3));

    client.openstack(&["project", "cleanup", "--auto-approve", "--auth-project"]);
    assert_eq!(client.openstack_json(&["image", "list"]), json!([]));
    vitrine.stop();
}

/// What `openstack.connect` signs in with.
fn signing_in(keystone: &Keystone, party: &Party) -> Value {
    json!({
        "auth_url": keystone.auth_url(),
        "username": party.user.name,
        "password": party.user.password,
        "user_domain_id": "default",
        "project_id": party.project.id,
    })
}
