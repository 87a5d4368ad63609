//! python-glanceclient's member commands and its library, against a real Keystone and Postgres.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]

use serde_json::json;
use testbed::{Client, Keystone, Party, Postgres, Vitrine};

#[test]
fn the_glance_commands_create_list_show_update_and_delete_a_member() {
    let keystone = Keystone::shared();
    let database = Postgres::shared().database();
    let vitrine = Vitrine::serve(&database, keystone).start();
    let region = keystone.region(vitrine.url());
    let [owner, member] = ["owner", "member"].map(|name| Party::new(keystone, name, &["member"]));
    let (at_owner, at_member) = (owner.client(keystone, &region), member.client(keystone, &region));
    let project = member.project.id.as_str();

    let formats = ["--container-format", "bare", "--disk-format", "raw"];
    let created = at_owner
        .glance(&[&["image-create", "--name", "poster", "--visibility", "shared"], &formats[..]].concat());
    let image = cell(&created, "id");

    assert_eq!(
        row(&at_owner.glance(&["member-create", &image, project]), project),
        [&image, project, "pending"]
    );
    let again = at_owner.glance_refused(&["member-create", &image, project]);
    assert!(again.contains("409") || again.to_lowercase().contains("already"), "{again}");
    assert_eq!(
        row(&at_owner.glance(&["member-list", "--image-id", &image]), project),
        [&image, project, "pending"]
    );

    let accepted = at_member.glance(&["member-update", &image, project, "accepted"]);
    assert_eq!(row(&accepted, project), [&image, project, "accepted"]);
    let shown = at_member.glance(&["member-get", &image, project]);
    assert_eq!((cell(&shown, "member_id").as_str(), cell(&shown, "status").as_str()), (project, "accepted"));
    assert!(at_member.glance(&["image-list"]).contains(&image));
    at_member.glance_refused(&["member-delete", &image, project]);

    at_owner.glance(&["member-delete", &image, project]);
    at_member.glance_refused(&["image-show", &image]);
    assert!(!at_member.glance(&["image-list"]).contains(&image));
    vitrine.stop();
}

#[test]
fn the_glanceclient_library_shares_and_tells_every_refusal_by_its_own_exception() {
    let keystone = Keystone::shared();
    let database = Postgres::shared().database();
    let vitrine = Vitrine::serve(&database, keystone).start();
    let [owner, member, stranger] =
        ["owner", "member", "stranger"].map(|name| Party::new(keystone, name, &["member"]));
    let given = json!({
        "endpoint": vitrine.url(),
        "owner": owner.token,
        "member": member.token,
        "stranger": stranger.token,
        "project": member.project.id,
    });
    assert_eq!(Client::stranger().script("glanceclient_members.py", &[&given.to_string()]).trim(), "shared");
    vitrine.stop();
}

/// The value beside a property in a two-column table.
fn cell(table: &str, property: &str) -> String {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let found = table.lines().map(cells).find(|cells| cells.get(1).is_some_and(|name| name == property));
    found.and_then(|cells| cells.get(2).cloned()).unwrap_or_else(|| panic!("no {property} in\n{table}"))
}

/// The cells of the one row that names this project.
fn row(table: &str, project: &str) -> Vec<String> {
    let rows: Vec<_> = table.lines().filter(|line| line.contains(project)).collect();
    assert_eq!(rows.len(), 1, "rows with {project} in\n{table}");
    rows[0].split('|').map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect()
}
