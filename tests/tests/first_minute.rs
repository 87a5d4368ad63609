//! `vitrine dev`: what it prints can be pasted, and what it keeps is kept.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]

use testbed::{Client, Vitrine, python};

#[test]
fn the_session_with_curl_works_as_printed() {
    let vitrine = Vitrine::dev().start();
    let said = paste(&session(&vitrine, "With curl:"));
    let answers: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect();
    let [shared, accepted, listed] = &answers[..] else { panic!("three answers, not\n{said}") };
    assert_eq!((&shared["status"], &accepted["status"]), (&"pending".into(), &"accepted".into()));
    assert_eq!(listed["images"][0]["id"], accepted["image_id"]);
    assert_eq!(listed["images"][0]["name"], "poster");
    vitrine.stop();
}

#[test]
fn the_session_with_the_openstack_client_works_as_printed() {
    let vitrine = Vitrine::dev().start();
    let said = paste(&session(&vitrine, "With the openstack client"));
    let lists = said.lines().filter(|line| line.contains("poster")).count();
    assert_eq!(lists, 2, "listed while pending and once accepted:\n{said}");
    assert!(said.contains("pending"), "{said}");
    vitrine.stop();
}

#[test]
fn what_was_shared_in_a_data_directory_is_there_the_next_day() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let first = Vitrine::dev_in(directory.path()).start();
    let owner = client(&first, "vitrine-owner");
    let image = owner.openstack(&["image", "create", "--shared", "-f", "value", "-c", "id", "poster"]);
    let image = image.trim();
    first.stop();

    let second = Vitrine::dev_in(directory.path()).start();
    let shown = client(&second, "vitrine-owner").openstack_json(&["image", "show", image]);
    assert_eq!(shown["name"], "poster");
    second.stop();
}

/// Somebody who uses the announced `clouds.yaml`.
fn client(vitrine: &Vitrine, cloud: &str) -> Client {
    Client::new([("OS_CLIENT_CONFIG_FILE", vitrine.clouds().as_str()), ("OS_CLOUD", cloud)])
}

/// The indented lines below the line with this heading.
fn session(vitrine: &Vitrine, heading: &str) -> String {
    let log = vitrine.log();
    let below = log.lines().skip_while(|line| !line.contains(heading)).skip(1);
    let lines = below.skip_while(|line| line.trim().is_empty()).take_while(|line| line.starts_with("    "));
    let session: Vec<_> = lines.map(str::trim_start).collect();
    assert!(session.len() > 3, "no session under {heading:?} in\n{log}");
    session.join("\n")
}

/// Runs the lines in a shell where the first failure ends it, and gives what they printed.
fn paste(session: &str) -> String {
    let client = Client::stranger();
    python::run(&mut client.command("sh", ["-euc", session]))
}
