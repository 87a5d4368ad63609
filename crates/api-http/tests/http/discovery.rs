//! Versions, schemas and the questions of load balancers (sharing API, section 7): no token is needed but for schemas.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::served::Served;

fn ids(document: &Value) -> Vec<&str> {
    document["versions"].as_array().unwrap().iter().map(|version| version["id"].as_str().unwrap()).collect()
}

#[test]
fn the_root_lets_clients_choose_and_versions_tells_the_same() {
    let served = Served::start();
    let root = served.nobody().get("/");
    assert_snapshot!(root.transcript(), @r#"
    300
    content-type: application/json; charset=UTF-8
    x-openstack-request-id: req-<uuid>

    {"versions":[{"id":"v2.7","links":[{"href":"http://image.example.org/v2/","rel":"self"}],"status":"CURRENT"},{"id":"v2.5","links":[{"href":"http://image.example.org/v2/","rel":"self"}],"status":"SUPPORTED"},{"id":"v2.1","links":[{"href":"http://image.example.org/v2/","rel":"self"}],"status":"SUPPORTED"},{"id":"v2.0","links":[{"href":"http://image.example.org/v2/","rel":"self"}],"status":"SUPPORTED"}]}
    "#);
    let versions = served.nobody().get("/versions");
    assert_eq!((versions.status, &versions.body), (200, &root.body));
}

#[test]
fn links_begin_as_the_operator_says() {
    let served = Served::with(|setup| {
        setup.settings.public_endpoint = Some("https://image.cloud.example/images/".into());
    });
    let document = served.nobody().get("/versions").json();
    for version in document["versions"].as_array().unwrap() {
        let self_link = json!([{"rel": "self", "href": "https://image.cloud.example/images/v2/"}]);
        assert_eq!(version["links"], self_link);
    }
    let made = served.member_of("owner").post("/v2/images", &json!({}));
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        made.header("location"),
        Some(format!("https://image.cloud.example/images/v2/images/{id}").as_str())
    );
}

#[test]
fn an_announced_version_in_the_path_is_v2_and_no_other_is_anything() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let image = owner.creates(&json!({"name": "same"}));
    owner.post(&format!("/v2/images/{image}/members"), &json!({"member_id": "a/b"}));
    let document = served.nobody().get("/versions").json();
    assert_eq!(ids(&document), ["v2.7", "v2.5", "v2.1", "v2.0"]);
    for version in ids(&document) {
        for path in [
            format!("images/{image}"),
            format!("images/{image}/members/a%2Fb"),
            "images?name=same".to_owned(),
            "schemas/member".to_owned(),
        ] {
            let (asked, plain) =
                (owner.get(&format!("/{version}/{path}")), owner.get(&format!("/v2/{path}")));
            assert_eq!((asked.status, asked.body), (200, plain.body), "{version}/{path}");
        }
        assert_eq!(served.nobody().get(&format!("/{version}/images")).status, 401);
        assert_eq!(owner.delete(&format!("/{version}/images")).header("allow"), Some("GET, POST"));
        assert_eq!(owner.delete(&format!("/{version}/images//members/x")).status, 405);
        assert_eq!(owner.get(&format!("/{version}")).status, 404);
    }
    for version in ["v2.2", "v2.6", "v2.17", "v2.18", "v2.70", "v2.", "V2", "v1", "v3", "v20", "2"] {
        assert_eq!(owner.get(&format!("/{version}/images")).verdict(), no_such_path(), "{version}");
    }
}

fn no_such_path() -> (u16, String) {
    (404, "The resource could not be found.".into())
}

#[test]
fn unknown_paths_are_not_found_and_under_v2_only_with_a_token() {
    let served = Served::start();
    for path in ["/nothing", "/v1/images", "/images", "/v2x", "/healthcheck/", "/versions/", "//nothing"] {
        assert_eq!(served.nobody().get(path).verdict(), no_such_path(), "{path}");
    }
    for path in
        ["/v2", "/v2/", "/v2/nothing", "/v2/images/", "/v2//images", "/v2/schemas", "/v2/schemas/task"]
    {
        assert_eq!(served.nobody().get(path).status, 401, "{path}");
        assert_eq!(served.admin().get(path).verdict(), no_such_path(), "{path}");
    }
}

#[test]
fn every_schema_bears_the_name_in_its_path() {
    let served = Served::start();
    for name in ["member", "members", "image", "images"] {
        let path = format!("/v2/schemas/{name}");
        assert_eq!(served.nobody().get(&path).status, 401);
        let reply = served.member_of("anybody").get(&path);
        assert_eq!(reply.header("content-type"), Some("application/json; charset=UTF-8"));
        assert_eq!(reply.json()["name"], name);
    }
}

#[test]
fn what_is_answered_is_what_the_schemas_describe() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let schema = |name: &str| owner.get(&format!("/v2/schemas/{name}")).json();
    let keys = |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };

    let image = owner.creates(&json!({"name": "described", "os_distro": "debian"}));
    let members = format!("/v2/images/{image}/members");
    let member = owner.post(&members, &json!({"member_id": "guest"})).json();
    assert_eq!(keys(&member), keys(&schema("member")["properties"]));
    assert_eq!(schema("member")["properties"]["status"]["enum"], json!(["pending", "accepted", "rejected"]));

    let mut shown = owner.get(&format!("/v2/images/{image}")).json();
    assert_eq!(shown.as_object_mut().unwrap().remove("os_distro"), Some(json!("debian")));
    assert_eq!(keys(&shown), keys(&schema("image")["properties"]));

    for key in keys(&owner.get(&format!("{members}?limit=1")).json()) {
        assert!(schema("members")["properties"].get(&key).is_some(), "{key}");
    }
    for key in keys(&owner.get("/v2/images?limit=1").json()) {
        assert!(schema("images")["properties"].get(&key).is_some(), "{key}");
    }
}

#[test]
fn a_process_that_answers_is_healthy_and_alive() {
    let served = Served::start();
    let health = served.nobody().get("/healthcheck");
    assert_eq!((health.status, health.text()), (200, "OK"));
    assert_eq!(served.nobody().get("/livez").status, 200);
}

#[test]
fn who_asks_for_the_head_of_a_probe_is_told_the_same_without_the_text() {
    let served = Served::start();
    let both = |path: &str| {
        let mut wire = served.connect();
        wire.send(&served.nobody().ask("HEAD", path).bytes());
        let head = wire.head().unwrap();
        // What comes next on the connection is the next answer.
        wire.send(&served.nobody().ask("GET", path).bytes());
        let whole = wire.reply().unwrap();
        assert_eq!(head.status, whole.status, "{path}");
        for header in ["content-type", "content-length", "retry-after"] {
            assert_eq!(head.header(header), whole.header(header), "{path}");
        }
        head.status
    };
    assert_eq!(both("/readyz"), 503);
    served.member_of("anybody");
    assert_eq!(["/healthcheck", "/livez", "/readyz"].map(both), [200, 200, 200]);
}

#[test]
fn it_is_ready_once_its_records_and_the_identity_service_have_answered() {
    let served = Served::start();
    let not_yet = served.nobody().get("/readyz");
    assert_eq!(not_yet.status, 503);
    assert_eq!(not_yet.text(), "not ready: the identity service has not answered yet\n");
    assert_eq!(not_yet.header("retry-after"), Some("1"));
    served.member_of("anybody");
    let ready = served.nobody().get("/readyz");
    assert_eq!((ready.status, ready.text()), (200, "ready\n"));
}
