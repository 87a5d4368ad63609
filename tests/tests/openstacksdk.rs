//! openstacksdk's member calls, found through the catalog of a real Keystone, against Postgres.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]

use serde_json::json;
use testbed::{Client, Keystone, Party, Postgres, Vitrine};

#[test]
fn the_sdk_shares_an_image_and_tells_every_refusal_by_its_own_exception() {
    let keystone = Keystone::shared();
    let database = Postgres::shared().database();
    let vitrine = Vitrine::serve(&database, keystone).start();
    let region = keystone.region(vitrine.url());
    let [owner, member] = ["owner", "member"].map(|name| Party::new(keystone, name, &["member"]));
    let signing_in = |party: &Party| {
        json!({
            "auth_url": keystone.auth_url(),
            "username": party.user.name,
            "password": party.user.password,
            "user_domain_id": "default",
            "project_id": party.project.id,
        })
    };
    let given = json!({
        "region": region,
        "owner": signing_in(&owner),
        "member": signing_in(&member),
        "project": member.project.id,
    });
    assert_eq!(Client::stranger().script("openstacksdk_members.py", &[&given.to_string()]).trim(), "shared");
    vitrine.stop();
}
