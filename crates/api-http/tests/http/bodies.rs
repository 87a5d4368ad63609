//! Request bodies: which media types are read, how they may arrive, how large they may be (sharing API, section 3).

use core_domain::{image::ImageId, member::MemberStatus};
use serde_json::json;

use crate::{client::Ask, served::Served};

const JSON_PATCH: &str = "application/openstack-images-v2.1-json-patch";

struct Fixture {
    served: Served,
    image: ImageId,
}

impl Fixture {
    fn new() -> Self {
        let served = Served::start();
        let image = served.image("owner", |_| {});
        served.share(image, "guest", MemberStatus::Pending);
        Self { served, image }
    }

    fn accept(&self) -> Ask<'_> {
        let path = format!("/v2/images/{}/members/guest", self.image);
        self.served.member_of("guest").ask("PUT", &path)
    }
}

const ACCEPTED: &str = r#"{"status": "accepted"}"#;

#[test]
fn json_is_read_under_any_of_its_names() {
    let fixture = Fixture::new();
    assert_eq!(fixture.accept().body(ACCEPTED).send().status, 200, "without a media type");
    for media_type in [
        "application/json",
        "application/json; charset=UTF-8",
        "application/json;charset=utf-8",
        "Application/JSON",
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=UTF-8",
        "",
    ] {
        let reply = fixture.accept().header("Content-Type", media_type).body(ACCEPTED).send();
        assert_eq!(reply.status, 200, "{media_type}: {reply}");
    }
}

#[test]
fn any_other_media_type_with_a_body_is_a_415() {
    let fixture = Fixture::new();
    let before = fixture.served.dump();
    for media_type in [
        "text/plain",
        "text/json",
        "application/octet-stream",
        "application/xml",
        "application/json-patch+json",
        JSON_PATCH,
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/json, text/plain",
        "json",
    ] {
        let reply = fixture.accept().header("Content-Type", media_type).body(ACCEPTED).send();
        let say = "The media type of the body is not supported here: send application/json.";
        assert_eq!(reply.verdict(), (415, say.into()), "{media_type}");
        // The media type is looked at before the form, and before the image.
        assert_eq!(fixture.accept().header("Content-Type", media_type).body("{").send().status, 415);
    }
    assert_eq!(fixture.served.dump(), before);
}

#[test]
fn a_request_without_a_body_is_never_refused_for_its_media_type() {
    let fixture = Fixture::new();
    let owner = fixture.served.member_of("owner");
    let members = format!("/v2/images/{}/members", fixture.image);
    for media_type in ["application/octet-stream", "text/plain", "nonsense"] {
        for (method, path, status) in [
            ("GET", members.clone(), 200),
            ("GET", format!("{members}/guest"), 200),
            ("DELETE", format!("{members}/nobody"), 404),
            ("PUT", format!("/v2/images/{}/tags/a", fixture.image), 204),
        ] {
            let reply = owner.ask(method, &path).header("Content-Type", media_type).send();
            assert_eq!(reply.status, status, "{method} {path}: {reply}");
        }
        // Where a body is needed, it is the body that is missed.
        for body in [None, Some("")] {
            let mut ask = fixture.accept().header("Content-Type", media_type);
            if let Some(body) = body {
                ask = ask.body(body);
            }
            assert_eq!(ask.send().verdict(), (400, "Body expected in request.".into()));
        }
        for (method, path) in [("POST", members.as_str()), ("POST", "/v2/images")] {
            let reply = owner.ask(method, path).header("Content-Type", media_type).send();
            assert_eq!(reply.verdict(), (400, "Body expected in request.".into()));
        }
    }
}

#[test]
fn a_body_where_none_is_expected_is_ignored() {
    let fixture = Fixture::new();
    let owner = fixture.served.member_of("owner");
    let path = format!("/v2/images/{}/members/guest", fixture.image);
    assert_eq!(owner.ask("GET", &path).header("Content-Type", "text/xml").body("<a/>").send().status, 200);
    assert_eq!(owner.ask("DELETE", &path).body("{").send().status, 204);
    assert_eq!(owner.ask("DELETE", &path).body("{").send().status, 404);
}

#[test]
fn a_patch_is_read_in_its_two_dialects_and_no_other() {
    let fixture = Fixture::new();
    let owner = fixture.served.member_of("owner");
    let path = format!("/v2/images/{}", fixture.image);
    let patch = |media_type: Option<&str>, body: &str| {
        let ask = owner.ask("PATCH", &path);
        let ask = match media_type {
            Some(media_type) => ask.header("Content-Type", media_type),
            None => ask,
        };
        ask.body(body).send()
    };
    let rfc = r#"[{"op": "replace", "path": "/name", "value": "new"}]"#;
    let draft = r#"[{"replace": "/name", "value": "newer"}]"#;
    assert_eq!(patch(Some(JSON_PATCH), rfc).json()["name"], "new");
    let dialect = "application/openstack-images-v2.0-json-patch; charset=UTF-8";
    assert_eq!(patch(Some(dialect), draft).json()["name"], "newer");
    for media_type in [None, Some("application/json"), Some("application/json-patch+json")] {
        let reply = patch(media_type, rfc);
        assert_eq!(reply.status, 415);
        assert_eq!(
            reply.header("accept-patch"),
            Some(
                "application/openstack-images-v2.1-json-patch, application/openstack-images-v2.0-json-patch"
            )
        );
    }
    assert_eq!(patch(Some(JSON_PATCH), "").verdict(), (400, "Body expected in request.".into()));
}

#[test]
fn bodies_may_come_in_chunks() {
    let fixture = Fixture::new();
    for size in [1, 7, 1000] {
        let reply = fixture.served.exchange(
            &fixture.accept().header("Content-Type", "application/json").body(ACCEPTED).chunked(size),
        );
        assert_eq!(reply.status, 200, "{reply}");
        assert_eq!(reply.json()["status"], "accepted");
    }
    let owner = fixture.served.member_of("owner");
    let add = owner.ask("POST", &format!("/v2/images/{}/members", fixture.image));
    let reply = fixture.served.exchange(&add.body(r#"{"member_id": "chunked"}"#).chunked(5));
    assert_eq!(reply.status, 200, "{reply}");
    let none = fixture.served.exchange(&fixture.accept().chunked(1));
    assert_eq!(none.verdict(), (400, "Body expected in request.".into()));
    let wrong = fixture.accept().header("Content-Type", "text/plain").body(ACCEPTED).chunked(5);
    assert_eq!(fixture.served.exchange(&wrong).status, 415);
}

#[test]
fn a_body_over_the_limit_is_a_413_and_the_connection_stays_usable() {
    let served = Served::with(|setup| setup.settings.body_bytes = 1000);
    let image = served.image("owner", |_| {});
    let owner = served.member_of("owner");
    let ask = |length: usize| {
        let fill = "x".repeat(length - r#"{"member":"m","":""}"#.len());
        owner
            .ask("POST", &format!("/v2/images/{image}/members"))
            .body(format!(r#"{{"member":"m","":"{fill}"}}"#))
    };
    let mut wire = served.connect();
    for large in [ask(1001).bytes(), ask(16_000).bytes(), ask(5000).chunked(100), ask(1001).chunked(1001)] {
        wire.send(&large);
        let reply = wire.reply().unwrap();
        let say = "The request body is too large: at most 1000 bytes are read.";
        assert_eq!(reply.verdict(), (413, say.into()));
    }
    wire.send(&ask(1000).bytes());
    assert_eq!(wire.reply().unwrap().status, 200, "the limit itself is within");
}

#[test]
fn a_body_far_over_the_limit_is_a_413_that_says_whether_it_ends_the_connection() {
    let served = Served::with(|setup| setup.settings.body_bytes = 1000);
    let owner = served.member_of("owner");
    for length in [16_001, 200_000, 20_000_000] {
        let ask = owner.ask("POST", "/v2/images").body("x".repeat(length));
        for bytes in [ask.bytes(), ask.chunked(65_536)] {
            let mut wire = served.connect();
            wire.send(&bytes);
            let reply = wire.reply().unwrap();
            assert_eq!(reply.status, 413, "{length}: {reply}");
            if reply.header("connection") != Some("close") {
                wire.send(&owner.ask("GET", "/v2/images").bytes());
                assert_eq!(wire.reply().map(|reply| reply.status), Some(200), "{length}: {reply}");
            }
        }
    }
}

#[test]
fn a_body_that_does_not_arrive_in_time_is_a_408() {
    let served = Served::with(|setup| setup.settings.deadline = std::time::Duration::from_secs(2));
    let image = served.image("owner", |_| {});
    let members = format!("/v2/images/{image}/members");
    let mut bytes = served.member_of("owner").ask("POST", &members).body(r#"{"member":"slow"}"#).bytes();
    bytes.pop();
    let mut wire = served.connect();
    wire.send(&bytes);
    let reply = wire.reply().unwrap();
    assert_eq!(reply.verdict(), (408, "The request body did not arrive in time.".into()));
    assert!(served.dump()[1].contains(r#""members":[]"#));
}

#[test]
fn a_wrong_media_type_comes_before_the_size_and_the_size_before_the_form() {
    let served = Served::with(|setup| setup.settings.body_bytes = 10);
    let owner = served.member_of("owner");
    let ask = || owner.ask("POST", &format!("/v2/images/{}/members", ImageId::random())).body("{".repeat(11));
    assert_eq!(ask().header("Content-Type", "text/plain").send().status, 415);
    assert_eq!(ask().send().status, 413);
    assert_eq!(ask().body("{").send().status, 400);
    assert_eq!(ask().body("{}").send().status, 400, "the form comes before the image");
    assert_eq!(ask().body(r#"{"a":1}"#).send().status, 400);
}

/// A whole body of some 1 MB: this many of `unit`, between these ends.
fn full_of(unit: &str, start: &str, end: &str) -> String {
    let count = 1_000_000 / (unit.len() + 1);
    format!("{start}{}{end}", vec![unit; count].join(","))
}

/// The same of a text that counts.
fn full_of_different(unit: impl Fn(usize) -> String, start: &str, end: &str) -> String {
    let count = 1_000_000 / (unit(99_999).len() + 1);
    format!("{start}{}{end}", (0..count).map(unit).collect::<Vec<_>>().join(","))
}

#[test]
fn a_body_of_too_many_values_is_a_413_before_it_is_parsed() {
    let fixture = Fixture::new();
    let owner = fixture.served.member_of("owner");
    let (image, before) = (format!("/v2/images/{}", fixture.image), fixture.served.dump());
    let tag = |number: usize| format!("\"{number:x}\"");
    let property = |number: usize| format!("\"{number:x}\":\"\"");
    let step = |number: usize| format!(r#"{{"op":"add","path":"/{number:x}","value":""}}"#);
    let of_draft = |number: usize| format!(r#"{{"add":"/{number:x}","value":""}}"#);
    let draft = "application/openstack-images-v2.0-json-patch";
    for (method, path, media_type, body) in [
        ("POST", "/v2/images", "application/json", full_of("0", "[", "]")),
        ("POST", "/v2/images", "application/json", full_of("[[[[]]]]", "{\"x\":[", "]}")),
        ("POST", "/v2/images", "application/json", "[".repeat(1 << 20)),
        ("POST", "/v2/images", "application/json", full_of(r#"{"":0}"#, "[", "]")),
        ("POST", "/v2/images", "application/json", full_of_different(tag, "{\"tags\":[", "]}")),
        ("POST", "/v2/images", "application/json", full_of_different(property, "{", "}")),
        ("PATCH", &image, JSON_PATCH, full_of_different(step, "[", "]")),
        ("PATCH", &image, draft, full_of_different(of_draft, "[", "]")),
        ("PATCH", &image, JSON_PATCH, full_of("null", "[", "]")),
        ("POST", &format!("{image}/members"), "", full_of("0", "{\"member\":\"m\",\"x\":[", "]}")),
    ] {
        assert!((900_000..=1 << 20).contains(&body.len()), "{}", body.len());
        let what = body[..30].to_owned();
        let reply = owner.ask(method, path).header("Content-Type", media_type).body(body).send();
        let say = "The request body has too many values: it may take 4194304 bytes of memory. Send fewer in one request.";
        assert_eq!(reply.verdict(), (413, say.into()), "{what}");
    }
    assert_eq!(fixture.served.dump(), before);
    let figures = fixture.served.figures.gather();
    let held = figures.iter().find(|family| family.name() == "vitrine_http_body_buffer_bytes").unwrap();
    assert!(held.get_metric()[0].get_gauge().get_value() < 1.0, "all was given back");
}

#[test]
fn bodies_of_thousands_of_values_are_read() {
    let served = Served::with(|setup| {
        let limits = &mut setup.rules.limits;
        (limits.tags_per_image, limits.properties_per_image, limits.record_bytes) = (None, None, None);
    });
    let owner = served.member_of("owner");
    let tags: Vec<_> = (0..20_000).map(|number| format!("tag-{number:05}")).collect();
    let image = owner.creates(&json!({"tags": tags}));
    let properties: serde_json::Map<_, _> = (0..8_000)
        .map(|number| (format!("property-{number:04}"), json!("a value of some letters")))
        .collect();
    owner.creates(&json!(properties));
    let steps: Vec<_> = (0..2_000)
        .map(|number| json!({"op": "add", "path": format!("/property-{number:04}"), "value": "a value"}))
        .collect();
    let changed = owner.patch(&format!("/v2/images/{image}"), &json!(steps));
    assert_eq!(changed.status, 200);
    // However low the limit of bodies, what fits it is no less dense than this.
    let low = Served::with(|setup| setup.settings.body_bytes = 4096);
    let few: serde_json::Map<_, _> =
        (0..128).map(|number| (format!("{number}"), json!("abcdefgh"))).collect();
    assert_eq!(low.member_of("owner").post("/v2/images", &json!(few)).status, 201);
}

#[test]
fn the_default_limit_is_a_mebibyte() {
    let fixture = Fixture::new();
    let ask = |length: usize| {
        let padding = " ".repeat(length - ACCEPTED.len());
        fixture.accept().body(format!("{ACCEPTED}{padding}")).send().status
    };
    assert_eq!(ask(1 << 20), 200);
    assert_eq!(ask((1 << 20) + 1), 413);
}

#[test]
fn an_answer_to_an_unread_body_leaves_the_connection_in_step_or_says_that_it_ends_it() {
    let fixture = Fixture::new();
    let path = format!("/v2/images/{}/members", fixture.image);
    let nobody = fixture.served.nobody();
    let owner = fixture.served.member_of("owner");
    for (ask, status) in [
        (nobody.ask("POST", &path).body(ACCEPTED), 401),
        (nobody.ask("POST", &path).body("x".repeat(200_000)), 401),
        (owner.ask("PUT", &path).body(ACCEPTED), 405),
        (owner.ask("POST", "/v2/nothing").body("x".repeat(200_000)), 404),
        (owner.ask("PUT", &format!("{path}/%FF")).body("x".repeat(200_000)), 400),
        (owner.ask("GET", &path).body(ACCEPTED), 200),
        (owner.ask("GET", &path).body(""), 200),
    ] {
        for bytes in [ask.bytes(), ask.chunked(1000)] {
            let mut wire = fixture.served.connect();
            wire.send(&bytes);
            let reply = wire.reply().unwrap();
            assert_eq!(reply.status, status, "{reply}");
            if reply.header("connection") == Some("close") {
                assert!(wire.is_closed());
            } else {
                wire.send(&owner.ask("GET", &path).bytes());
                assert_eq!(wire.reply().map(|reply| reply.status), Some(200), "{reply}");
            }
        }
    }
}

#[test]
fn a_stranger_s_malformed_body_is_a_400_as_anybody_s() {
    let fixture = Fixture::new();
    let path = format!("/v2/images/{}/members", fixture.image);
    for client in [fixture.served.member_of("owner"), fixture.served.member_of("stranger")] {
        for image in [path.clone(), format!("/v2/images/{}/members", ImageId::random())] {
            let reply = client.ask("POST", &image).body("{").send();
            assert_eq!(
                reply.verdict(),
                (
                    400,
                    "Malformed JSON in request body: EOF while parsing an object at line 1 column 1.".into()
                )
            );
            assert_eq!(client.put(&format!("{image}/x"), &json!({"status": "yes"})).status, 400);
        }
    }
}

#[test]
fn a_number_of_any_size_under_an_ignored_key_is_ignored() {
    let served = Served::start();
    let (owner, guest) = (served.member_of("owner"), served.member_of("guest"));
    let patch = "application/openstack-images-v2.1-json-patch";
    for number in ["1e400", "-1E+999", &"9".repeat(400), "[1e400]", "{\"1e400\":1e400}"] {
        let image = owner.creates(&serde_json::json!({"p": "1"}));
        let (path, members) = (format!("/v2/images/{image}"), format!("/v2/images/{image}/members"));
        let sent = |client: &crate::client::Client<'_>, method: &str, path: &str, body: String| {
            let media = if method == "PATCH" { patch } else { "application/json" };
            client.ask(method, path).header("Content-Type", media).body(body).send()
        };
        let member = format!("{{\"x\": {number}, \"member_id\": \"guest\", \"member\": {number}}}");
        assert_eq!(sent(&owner, "POST", &members, member).status, 200, "{number}");
        let status = format!("{{\"status\": \"accepted\", \"x\": {number}}}");
        assert_eq!(sent(&guest, "PUT", &format!("{members}/guest"), status).status, 200, "{number}");
        let steps =
            format!("[{{\"op\": \"remove\", \"path\": \"/p\", \"value\": {number}, \"x\": {number}}}]");
        assert_eq!(sent(&owner, "PATCH", &path, steps).status, 200, "{number}");
    }
    for (body, words) in [
        ("{\"member_id\": 1e400}", "The member id must be a string"),
        ("{\"member\": -1e400}", "The member id must be a string"),
    ] {
        let members = format!("/v2/images/{}/members", owner.creates(&serde_json::json!({})));
        let (status, message) = owner.ask("POST", &members).body(body).send().verdict();
        assert_eq!((status, message.contains(words)), (400, true), "{message}");
    }
    for (body, words) in [
        ("{\"os_distro\": 1e400}", "The value of os_distro must be a string."),
        ("{\"min_ram\": 1e400}", "The value of min_ram must be a whole number"),
        ("{\"min_ram\": 1e400x}", "Malformed JSON"),
    ] {
        let (status, message) = owner.ask("POST", "/v2/images").body(body).send().verdict();
        assert_eq!((status, message.contains(words)), (400, true), "{message}");
    }
    let whole = owner.ask("POST", "/v2/images").body("{\"min_ram\": 857.0, \"min_disk\": 1e1}").send();
    assert!(whole.text().contains(r#""min_disk":10,"min_ram":857,"#), "{whole}");
}
