//! The OpenAPI document says what is there: every call and no other, and every code that an answer may have. That bodies
//! are as it describes them is shown by schemathesis (`tests/tests/schemathesis.rs` of the workspace).

use std::{
    collections::BTreeSet,
    sync::{LazyLock, OnceLock},
};

use api_http::routes::TABLE;
use serde_json::Value;

use crate::{served::Served, wire::Reply};

static DOCUMENT: OnceLock<Value> = OnceLock::new();

fn document() -> &'static Value {
    DOCUMENT.get_or_init(|| {
        // Not by a client of the tests, whose answers are looked up here.
        let served = Served::start();
        let mut wire = served.connect();
        wire.send(b"GET /openapi.json HTTP/1.1\r\nHost: image.example.org\r\n\r\n");
        let reply = wire.reply().unwrap();
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        reply.json()
    })
}

/// Every call of the document: path, method, what is said of it.
fn operations() -> impl Iterator<Item = (&'static String, &'static String, &'static Value)> {
    let paths = document()["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, calls)| {
        calls.as_object().unwrap().iter().map(move |(method, operation)| (path, method, operation))
    })
}

fn codes(operation: &Value) -> impl Iterator<Item = &str> {
    operation["responses"].as_object().unwrap().keys().map(String::as_str)
}

/// Checks an answer: if the document has its call, the document has its code too.
pub(crate) fn describes(request: &[u8], reply: &Reply) {
    // What is no HTTP is refused before there is a request, and has no id.
    if reply.header("x-openstack-request-id").is_none() {
        return;
    }
    let line = String::from_utf8_lossy(request.split(|byte| *byte == b'\r').next().unwrap_or_default());
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let is_it = |pattern: &str| {
        let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
        let fits = |(pattern, part): (&&str, &&str)| pattern == part || pattern.starts_with('{');
        pattern.len() == path.len() && pattern.iter().zip(&path).all(fits)
    };
    let wanted = method.to_lowercase();
    let mut found =
        operations().filter(|(path, other, _)| method != wanted && **other == wanted && is_it(path));
    if let Some((path, method, operation)) = found.next() {
        let code = reply.status.to_string();
        assert!(
            codes(operation).any(|known| known == code),
            "{method} {path} may not answer {code}: {reply}"
        );
    }
}

#[test]
fn every_call_of_the_table_is_in_the_document_and_no_other() {
    let described: BTreeSet<_> = operations().map(|(path, method, _)| format!("{method} {path}")).collect();
    let routed = TABLE.iter().map(|route| format!("{} {}", route.method.as_str().to_lowercase(), route.path));
    assert_eq!(described, routed.collect::<BTreeSet<_>>());
}

#[test]
fn the_codes_of_the_document_are_those_of_the_page_on_status_codes() {
    static PAGE: &str = include_str!("../../../../docs/status-codes.md");
    static REFUSALS: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
        let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| **"));
        rows.filter_map(|row| row.split("**").next()).collect()
    });
    assert!(REFUSALS.len() > 10, "the page has its table no more: {:?}", *REFUSALS);
    let described: BTreeSet<_> = operations().flat_map(|(_, _, operation)| codes(operation)).collect();
    let successes = ["200", "201", "204"];
    let known: BTreeSet<_> = REFUSALS.iter().copied().chain(successes).collect();
    assert_eq!(described, known);
}

#[test]
fn a_call_that_needs_a_token_says_so() {
    for (path, method, operation) in operations() {
        let asks = operation["security"] != serde_json::json!([]);
        assert_eq!(asks, path.starts_with("/v2"), "{method} {path}");
        assert_eq!(asks, codes(operation).any(|code| code == "401"), "{method} {path}");
    }
}

#[test]
fn whatever_the_document_points_to_is_in_it() {
    fn pointers<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|field| pointers(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| pointers(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    pointers(document(), &mut found);
    assert!(found.len() > 100, "{found:?}");
    for pointer in found {
        assert!(document().pointer(pointer.trim_start_matches('#')).is_some(), "{pointer}");
    }
}

#[test]
fn ids_of_operations_are_given_once() {
    let ids: Vec<_> =
        operations().map(|(_, _, operation)| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}
