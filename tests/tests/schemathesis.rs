//! schemathesis, which makes up requests from the OpenAPI document that the service publishes and judges every answer by
//! it: no 5xx, no code or header or media type or body that is not in it, nothing refused that it allows, nothing let through
//! that it forbids, no call without a token. Against a real Keystone and Postgres, three quarters of a minute for each kind of caller.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]
#![allow(clippy::print_stdout, reason = "figures")]

use testbed::python::Python;
use testbed::{Client, Keystone, Party, Postgres, Vitrine};

const SECONDS: &str = "45";

fn finds_nothing(party: impl FnOnce(&Keystone) -> Party) {
    let keystone = Keystone::shared();
    let database = Postgres::shared().database();
    let vitrine = Vitrine::serve(&database, keystone).start();
    let document = format!("{}/openapi.json", vitrine.url());
    let configuration = Python::script("schemathesis.toml");
    let client = Client::stranger();
    let mut command = client.command("schemathesis", ["--config-file"]);
    command.arg(&configuration);
    // One worker: what it makes requests up with stumbles over its own memory when two threads use it.
    command.args(["run", &document, "--max-time", SECONDS, "--no-color", "--workers", "1"]);
    let run = command
        .env("VITRINE_TOKEN", party(keystone).token)
        .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .env("PYTHONPATH", configuration.parent().unwrap())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("schemathesis starts");
    let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{said}");
    // The document itself is not asked for again; every other call is.
    let document = vitrine.call("GET", "/openapi.json").send().json();
    let paths = document["paths"].as_object().unwrap().values();
    let methods = ["get", "head", "post", "put", "patch", "delete"];
    let calls = paths.flat_map(|path| methods.iter().filter(|method| path.get(**method).is_some())).count();
    assert!(said.contains(&format!("Tested: {}\n", calls - 1)), "{said}");
    println!("{}", said.split("SUMMARY").nth(1).unwrap_or(&said));
    vitrine.stop();
}

#[test]
fn a_member_finds_no_answer_that_the_document_does_not_describe() {
    finds_nothing(|keystone| Party::new(keystone, "fuzz", &["member"]));
}

#[test]
fn an_admin_finds_no_answer_that_the_document_does_not_describe() {
    finds_nothing(Party::administrator);
}
