//! What is in the audit log.

use std::{fs, io::Write as _, time::Duration};

use relay::{Audit, Sink as _, Time, Told};
use serde_json::Value;
use testbed::python::{Python, run};

use crate::some_events::one_of_each;

fn time() -> Time {
    Time::of_one_try(Duration::from_secs(5))
}

#[test]
fn every_line_is_a_record_that_pycadf_calls_valid() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let mut deliveries = one_of_each();
    let mut sink = Audit::file(path.clone(), "image.host-1");
    assert_eq!(sink.tell(&deliveries, time()), Told::all(6));
    deliveries[3].again = true;
    assert_eq!(sink.tell(&deliveries[3..4], time()), Told::all(1));

    let mut validator = Python::environment().command("python", directory.path());
    validator.arg("-I").arg(Python::script("cadf_validator.py")).arg(&path);
    assert!(run(&mut validator).contains("7 valid"), "pycadf's word");
    let lines: Vec<Value> = lines(&path).into_iter().map(Option::unwrap).collect();
    let update = &lines[3];
    assert_eq!(update["action"], "update");
    assert_eq!(update["initiator"]["id"], "alice");
    assert_eq!(update["initiator"]["request_id"], "req-4");
    assert_eq!(update["eventTime"], "2026-11-22T06:47:03.690418+0000");
    let attached: Vec<_> =
        update["attachments"].as_array().unwrap().iter().map(|one| &one["content"]).collect();
    assert_eq!(attached, ["pending", "accepted"]);
    assert!(update.get("tags").is_none());
    let reason = &lines[4]["attachments"].as_array().unwrap().last().unwrap();
    assert_eq!((&reason["name"], &reason["content"]), (&"reason".into(), &"reshared".into()));
    assert_eq!((&lines[6]["tags"][0], &lines[6]["id"]), (&Value::from("redelivered"), &update["id"]));
}

#[test]
fn a_line_that_was_torn_by_a_kill_spoils_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let deliveries = one_of_each();
    let mut sink = Audit::file(path.clone(), "image");
    sink.tell(&deliveries[..2], time());
    // Another server was killed in the middle of a line, while this one has the file open.
    let mut torn = fs::OpenOptions::new().append(true).open(&path).unwrap();
    torn.write_all(b"{\"typeURI\": \"http://sch").unwrap();
    sink.tell(&deliveries[2..4], time());
    torn.write_all(b"{\"typ").unwrap();
    Audit::file(path.clone(), "image").tell(&deliveries[4..], time());
    let whole: Vec<_> = lines(&path).into_iter().map(|line| line.is_some()).collect();
    assert_eq!(whole, [true, true, false, true, true, false, true, true]);
}

#[test]
fn a_log_that_was_renamed_goes_on_in_a_new_file() {
    let directory = tempfile::tempdir().unwrap();
    let [path, old] = ["audit.log", "audit.log.1"].map(|name| directory.path().join(name));
    let deliveries = one_of_each();
    let mut sink = Audit::file(path.clone(), "image");
    sink.tell(&deliveries[..2], time());
    fs::rename(&path, &old).unwrap();
    sink.tell(&deliveries[2..], time());
    assert_eq!((lines(&old).len(), lines(&path).len()), (2, 4));
}

#[test]
fn a_directory_that_is_missing_is_a_sink_that_is_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("later").join("audit.log");
    let mut sink = Audit::file(path.clone(), "image");
    let told = sink.tell(&one_of_each(), time());
    assert_eq!(told.done, 0);
    assert!(told.failure.is_some());
    fs::create_dir(path.parent().unwrap()).unwrap();
    assert_eq!(sink.tell(&one_of_each(), time()), Told::all(6));
}

/// Each line, if it is JSON.
fn lines(path: &std::path::Path) -> Vec<Option<Value>> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).ok()).collect()
}
