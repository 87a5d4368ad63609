//! Hostile input: always a 4xx with a message that says what is wrong, never a 5xx, and nothing changed.

use serde_json::{Value, json};

use crate::{served::Served, target::Target};

#[test]
fn what_is_not_json_is_malformed() {
    let target = Target::new();
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(5_000), close.repeat(5_000));
    let mut bodies: Vec<Vec<u8>> = [
        "{",
        "}",
        "[",
        "nul",
        "tru",
        "{\"member_id\"",
        "{\"member_id\":",
        "{\"member_id\":\"a\"",
        "{\"member_id\":\"a\"} x",
        "{\"member_id\":\"a\"}{}",
        "{'member_id':'a'}",
        "{member_id:\"a\"}",
        "{\"member_id\":\"a\",}",
        "member_id=a",
        "status=accepted",
        "<a/>",
        "\u{feff}{\"member_id\":\"a\"}",
        "{\"member_id\":NaN}",
        "{\"member_id\":Infinity}",
        "{\"member_id\":-}",
        "{\"member_id\":01}",
        "{\"member_id\":\"\\ud800\"}",
        "{\"status\":\"\\udc00\"}",
        "{\"member_id\":\"\\ud800\\ud800\"}",
        "{\"member_id\":\"\\x41\"}",
        "{\"member_id\":\"a\nb\"}",
        "\0",
        " ",
        "\n",
        "//",
        "{\"member_id\":\"a\"/**/}",
        "{\"member_id\":\"\\u00",
        "\"\\",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    bodies.push(deep("[", "]").into_bytes());
    bodies.push(deep("{\"m\":", "}").into_bytes());
    bodies.push("[".repeat(20_000).into_bytes());
    bodies.push("{\"\":".repeat(5_000).into_bytes());
    bodies.push(vec![0xff; 10]);
    bodies.push(b"{\"member_id\":\"\xff\"}".to_vec());
    bodies.push(b"{\"member_id\":\"\xed\xa0\x80\"}".to_vec());
    bodies.push(b"{\"status\":\"accepted\xc3\"}".to_vec());
    bodies.push("{\"member_id\":\"a\"}".encode_utf16().flat_map(u16::to_le_bytes).collect());
    bodies.push(b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec());
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        for (call, reply) in target.fed(&body) {
            let (status, message) = reply.verdict();
            assert_eq!(status, 400, "{call} {shown}: {message}");
            assert!(message.starts_with("Malformed JSON in request body: "), "{call} {shown}: {message}");
            assert!(message.len() < 200, "{message}");
        }
    }
    target.is_untouched();
}

#[test]
fn json_of_the_wrong_shape_is_told_the_right_one() {
    let target = Target::new();
    let (owner, guest) = (target.owner(), target.guest());
    let guests = format!("{}/guest", target.members());
    let long = "x".repeat(256);
    let member_form = "Expected a member in the form: {\"member_id\": \"project id\"}.";
    for (body, say) in [
        (json!(null), member_form),
        (json!(true), member_form),
        (json!(7), member_form),
        (json!("guest"), member_form),
        (json!([]), member_form),
        (json!([{"member_id": "a"}]), member_form),
        (json!({}), "The member to be added is not specified."),
        (json!({"Member_id": "a"}), "The member to be added is not specified."),
        (json!({"member": {"member_id": "a"}}), "The member id must be a string: a project's id."),
        (json!({"member_id": null}), "The member id must be a string: a project's id."),
        (json!({"member_id": null, "member": "a"}), "The member id must be a string: a project's id."),
        (json!({"member_id": 7}), "The member id must be a string: a project's id."),
        (json!({"member_id": 1e300}), "The member id must be a string: a project's id."),
        (json!({"member_id": false}), "The member id must be a string: a project's id."),
        (json!({"member_id": ["a"]}), "The member id must be a string: a project's id."),
        (json!({"member_id": ""}), "The member id must not be empty."),
        (json!({"member": ""}), "The member id must not be empty."),
        (json!({"member_id": "\0"}), "The member id must not contain a NUL character."),
        (json!({"member_id": "a\0b"}), "The member id must not contain a NUL character."),
        (json!({"member_id": long}), "The member id must not be longer than 255 characters."),
    ] {
        let (status, message) = owner.post(&target.members(), &body).verdict();
        assert_eq!(status, 400, "{body}: {message}");
        assert!(message.contains(say), "{body}: {message}");
    }
    let status_form = "Expected a status in the form: {\"status\": \"accepted\"}.";
    let strings = "The status must be one of the strings \"pending\", \"accepted\" or \"rejected\".";
    let words = "The status must be one of \"pending\", \"accepted\" or \"rejected\".";
    for (body, say) in [
        (json!(null), status_form),
        (json!("accepted"), status_form),
        (json!(["accepted"]), status_form),
        (json!({}), "The status is not specified."),
        (json!({"member": "guest"}), "The status is not specified."),
        (json!({"Status": "accepted"}), "The status is not specified."),
        (json!({"status": null}), strings),
        (json!({"status": 1}), strings),
        (json!({"status": true}), strings),
        (json!({"status": ["accepted"]}), strings),
        (json!({"status": {"accepted": true}}), strings),
        (json!({"status": ""}), words),
        (json!({"status": "Accepted"}), words),
        (json!({"status": "ACCEPTED"}), words),
        (json!({"status": " accepted"}), words),
        (json!({"status": "accepted\n"}), words),
        (json!({"status": "accepted\0"}), words),
        (json!({"status": "all"}), words),
        (json!({"status": "revoked"}), words),
        (json!({"status": "x".repeat(100_000)}), words),
    ] {
        let (status, message) = guest.put(&guests, &body).verdict();
        assert_eq!(status, 400, "{body}: {message}");
        assert!(message.contains(say), "{body}: {message}");
    }
    target.is_untouched();
}

#[test]
fn of_duplicate_keys_the_last_counts() {
    let target = Target::new();
    let reply = target
        .owner()
        .ask("POST", &target.members())
        .body(r#"{"member_id": "first", "member_id": "last", "member": 7}"#)
        .send();
    assert_eq!(reply.json()["member_id"], "last");
    let guests = format!("{}/guest", target.members());
    let reply =
        target.guest().ask("PUT", &guests).body(r#"{"status": "accepted", "status": "rejected"}"#).send();
    assert_eq!(reply.json()["status"], "rejected");
    let reply = target.guest().ask("PUT", &guests).body(r#"{"status": "accepted", "status": 7}"#).send();
    assert_eq!(reply.status, 400);
}

#[test]
fn the_longest_member_id_is_counted_in_characters() {
    let target = Target::new();
    for id in ["x".repeat(255), "ü".repeat(255), "🦀".repeat(255)] {
        assert_eq!(target.owner().post(&target.members(), &json!({"member_id": id})).status, 200);
        let longer = json!({"member_id": format!("{id}x")});
        assert_eq!(target.owner().post(&target.members(), &longer).status, 400);
    }
}

#[test]
fn wide_and_heavy_bodies_are_read_or_refused() {
    let target = Target::new();
    let wide: serde_json::Map<_, _> = (0..50_000).map(|number| (number.to_string(), json!(null))).collect();
    for (call, reply) in target.fed(Value::Object(wide).to_string().as_bytes()) {
        assert_eq!(reply.status, 413, "{call}: {reply}");
    }
    let wide: serde_json::Map<_, _> = (0..5_000).map(|number| (number.to_string(), json!(null))).collect();
    for (call, reply) in target.fed(Value::Object(wide).to_string().as_bytes()) {
        assert_eq!(reply.status, 400, "{call}: {reply}");
    }
    let steps: Vec<_> =
        (0..1_000).map(|n| json!({"op": "add", "path": format!("/p{n}"), "value": "x"})).collect();
    let image = format!("/v2/images/{}", target.image);
    assert_eq!(target.owner().patch(&image, &Value::Array(steps)).status, 413);
    let digits = format!("{{\"member_id\": {}}}", "9".repeat(500_000));
    for (call, reply) in target.fed(digits.as_bytes()) {
        assert_eq!(reply.status, 400, "{call}: {reply}");
    }
    for (call, reply) in target.fed(&vec![b'['; (1 << 20) + 1]) {
        assert_eq!(reply.status, 413, "{call}: {reply}");
    }
    target.is_untouched();
}

#[test]
fn a_body_that_ends_before_its_length_changes_nothing() {
    let target = Target::new();
    let bytes = target.owner().ask("POST", &target.members()).body(r#"{"member_id": "cut"}"#).bytes();
    for missing in [1, 10, 20] {
        let mut wire = target.served.connect();
        wire.send(&bytes[..bytes.len() - missing]);
        drop(wire);
    }
    let chunks = target.owner().ask("POST", &target.members()).body(r#"{"member_id": "cut"}"#).chunked(5);
    let mut wire = target.served.connect();
    wire.send(&chunks[..chunks.len() - 5]);
    drop(wire);
    target.is_untouched();
}

#[test]
fn what_is_no_http_is_refused_or_hung_up_on() {
    let target = Target::new();
    let token = target.owner().token().to_owned();
    let members = target.members();
    let body = r#"{"member_id": "smuggled"}"#;
    let head = |lines: &str| {
        format!("POST {members} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\n{lines}\r\n\r\n")
    };
    let length = body.len();
    for bytes in [
        "\r\n\r\n\r\nGARBAGE\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        format!("GET {members} HTTP/1.1\r\nHost x\r\n\r\n"),
        format!("GET {members} HTTP/1.1\r\nBad Name: x\r\n\r\n"),
        format!("GET {members}\u{e9} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET {members}?a b HTTP/1.1\r\nHost: x\r\n\r\n"),
        head(&format!("Content-Length: {length}\r\nContent-Length: 3")) + body,
        head("Content-Length: -1") + body,
        head("Content-Length: +25") + body,
        head("Content-Length: 99999999999999999999999") + body,
        head(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked")) + "0\r\n\r\n" + body,
        head("Transfer-Encoding: banana") + body,
        head("Transfer-Encoding: chunked") + "zz\r\n" + body,
        head("Transfer-Encoding: chunked") + "ffffffffffffffffff\r\n" + body,
        head(&format!("X-Huge: {}", "x".repeat(300_000))) + body,
        head(&"X-Many: x\r\n".repeat(500)) + body,
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(300_000)),
    ] {
        let mut wire = target.served.connect();
        wire.send(bytes.as_bytes());
        if let Some(reply) = wire.reply() {
            let shown = &bytes[..bytes.len().min(200)];
            assert!((400..500).contains(&reply.status), "{shown}: {reply}");
        }
    }
    target.is_untouched();
}

#[test]
fn absurd_headers_harm_nobody() {
    let target = Target::new();
    let huge = "x".repeat(8_000);
    for (name, value) in [
        ("Accept", huge.as_str()),
        ("Accept", ",,,;;;q=,=q;q=0;q=9, ;"),
        ("Accept", "text/html;q=0;q=0,\u{e9}"),
        ("Accept-Language", "zz-\u{1f980}"),
        ("Accept-Charset", "utf-7"),
        ("Accept-Encoding", "gzip, br, zstd, identity;q=0"),
        ("Content-Type", "\u{e9}"),
        ("Range", "bytes=0-0"),
        ("If-None-Match", "*"),
        ("If-Match", "\"x\""),
        ("Expect", "a miracle"),
        ("Upgrade", "h2c"),
        ("X-Forwarded-For", "1.2.3.4, \u{e9}"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-Openstack-Request-Id", &huge),
        ("Cookie", "token=x"),
        ("Origin", "https://evil.example"),
    ] {
        let reply = target.owner().ask("GET", &target.members()).header(name, value).send();
        assert_eq!(reply.status, 200, "{name}: {value}: {reply}");
        assert_eq!(reply.json()["members"].as_array().unwrap().len(), 2);
    }
    target.is_untouched();
}

#[test]
fn links_are_well_formed_whatever_host_is_claimed() {
    let served = Served::start();
    for (name, value) in [
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "gopher"),
        ("Forwarded", "host=evil.example;proto=https"),
        ("X-Forwarded-Host", "a\tb \"quoted\" \\"),
    ] {
        let reply = served.nobody().ask("GET", "/").header(name, value).send();
        assert_eq!(reply.status, 300, "{reply}");
        // The request's host is what its Host says; whoever stands in front sets `public_endpoint`.
        let link = "http://image.example.org/v2/";
        assert_eq!(reply.json()["versions"][0]["links"][0]["href"], link, "{name}: {value}");
    }
    for host in ["", "x y", "\"", "[::1]:9292", "a/b", "\u{e9}"] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let reply = served.exchange(request.as_bytes());
        assert!(matches!(reply.status, 300 | 400), "{host}: {reply}");
    }
    assert_eq!(served.exchange(b"GET / HTTP/1.0\r\n\r\n").status, 300);
}
