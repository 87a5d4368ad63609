//! Ids in paths: percent-encoded member ids of any kind are addressable on every call exactly as they were added, and
//! what is no path is told apart from what is no image (sharing API, section 3).

use core_domain::{image::ImageId, testing::builders};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::served::Served;

/// Every byte but letters and digits encoded, as a careful client does it.
fn encoded(id: &str) -> String {
    utf8_percent_encode(id, NON_ALPHANUMERIC).to_string()
}

#[test]
fn a_member_is_addressable_by_every_call_exactly_as_it_was_added() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let long = "長".repeat(255);
    for id in [
        "1efb79fe4437490aab966b57da5b9f05",
        "a/b",
        "/",
        "//",
        ".",
        "..",
        "../../schemas/member",
        "...",
        " ",
        " padded ",
        "with space",
        "100%",
        "%2F",
        "%25",
        "%zz",
        "a+b",
        "+",
        "a?b#c&d=e",
        "a;b",
        "quote\"'\\",
        "line\nbreak\ttab",
        "\u{7f}\u{1}",
        "*",
        "members",
        "Großschreibung",
        "ÄÖÜ",
        "проект",
        "项目",
        "مشروع",
        "🦀",
        "e\u{301}",
        "\u{e9}",
        "\u{202e}abc",
        "\u{feff}",
        "null",
        "<b>x</b>",
        "'; DROP TABLE members; --",
        &long,
    ] {
        let image = owner.creates(&json!({}));
        let members = format!("/v2/images/{image}/members");
        let path = format!("{members}/{}", encoded(id));
        let added = owner.post(&members, &json!({"member_id": id}));
        assert_eq!(added.status, 200, "{id:?}: {added}");
        assert_eq!(added.json()["member_id"], id);
        assert_eq!(owner.get(&path).json(), added.json(), "{id:?}");

        let project = served.bearer(&format!("of-{}", encoded(id)), Some(id), &["member", "reader"]);
        let accepted = project.put(&path, &json!({"status": "accepted"}));
        assert_eq!((accepted.status, accepted.json()["member_id"].as_str()), (200, Some(id)), "{id:?}");
        assert_eq!(project.get(&members).json()["members"][0]["member_id"], id);
        let after = owner.get(&format!("{members}?marker={}", encoded(id)));
        assert_eq!(after.json()["members"], json!([]), "{id:?}");

        assert_eq!(owner.delete(&path).status, 204, "{id:?}");
        let gone = owner.get(&path);
        assert_eq!((gone.status, owner.get(&members).json()["members"] == json!([])), (404, true), "{id:?}");
    }
}

#[test]
fn ids_that_look_alike_are_different_members() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let members = format!("/v2/images/{}/members", owner.creates(&json!({})));
    let alike = ["a b", "a+b", "a%20b", "A B", "a b ", "e\u{301}", "\u{e9}", "a/b", "a%2Fb"];
    for id in alike {
        assert_eq!(owner.post(&members, &json!({"member_id": id})).status, 200, "{id:?}");
    }
    for id in alike {
        assert_eq!(owner.get(&format!("{members}/{}", encoded(id))).json()["member_id"], id);
    }
    assert_eq!(owner.get(&members).json()["members"].as_array().unwrap().len(), alike.len());
}

#[test]
fn characters_that_need_no_encoding_may_come_either_way() {
    let served = Served::start();
    let image = served.image("owner", |_| {});
    let members = format!("/v2/images/{image}/members");
    let owner = served.member_of("owner");
    for (id, ways) in [
        ("a+b", ["a+b", "a%2Bb", "%61%2bb"]),
        ("..", ["..", "%2E%2E", ".%2e"]),
        ("~x", ["~x", "%7Ex", "%7e%78"]),
        ("a:b@c", ["a:b@c", "a%3Ab%40c", "a:b%40c"]),
    ] {
        owner.post(&members, &json!({"member_id": id}));
        for way in ways {
            let reply = owner.get(&format!("{members}/{way}"));
            assert_eq!((reply.status, reply.json()["member_id"].as_str()), (200, Some(id)), "{way}");
        }
    }
    // The names of the path itself, too.
    assert_eq!(owner.get(&format!("/v2/%69mages/{image}/members")).status, 200);
    // An encoded slash separates nothing.
    assert_eq!(owner.get(&format!("/v2/images/{image}%2Fmembers")).status, 404);
    assert_eq!(owner.get("/v2%2Fimages").status, 404);
}

#[test]
fn what_is_not_utf_8_when_decoded_is_a_400() {
    let served = Served::start();
    let image = served.image("owner", |_| {});
    let owner = served.member_of("owner");
    let say = "The path is not UTF-8 when decoded: percent-encode ids as UTF-8.";
    for odd in ["%FF", "a%C3", "%ED%A0%80", "%C0%AF", "%F4%90%80%80", "%80"] {
        let member = format!("/v2/images/{image}/members/{odd}");
        assert_eq!(owner.get(&member).verdict(), (400, say.into()), "{odd}");
        assert_eq!(owner.delete(&member).verdict(), (400, say.into()), "{odd}");
        assert_eq!(owner.put(&member, &json!({"status": "accepted"})).verdict(), (400, say.into()));
        for rest in ["", "/members", "/members/x", "/tags/x"] {
            let path = format!("/v2/images/{odd}{rest}");
            let method = if rest == "/tags/x" { "PUT" } else { "GET" };
            assert_eq!(owner.ask(method, &path).send().verdict(), (400, say.into()), "{path}");
        }
        assert_eq!(owner.ask("PUT", &format!("/v2/images/{image}/tags/{odd}")).send().status, 400);
        assert_eq!(
            owner.get(&format!("/v2/images?name={odd}")).verdict(),
            (400, "The query is not UTF-8 when decoded: percent-encode values as UTF-8.".into())
        );
        assert_eq!(owner.get(&format!("/v2/images/{image}/members?marker={odd}")).status, 400);
    }
}

#[test]
fn an_id_that_cannot_be_a_member_s_is_a_404() {
    let served = Served::start();
    let image = served.image("owner", |_| {});
    let owner = served.member_of("owner");
    for id in ["%00", "a%00b", &"x".repeat(256), &"%F0%9F%A6%80".repeat(256)] {
        let path = format!("/v2/images/{image}/members/{id}");
        for reply in [owner.get(&path), owner.delete(&path), owner.put(&path, &json!({"status": "accepted"}))]
        {
            assert_eq!(reply.verdict(), (404, "The resource could not be found.".into()));
        }
    }
}

#[test]
fn a_malformed_image_id_is_answered_like_one_that_was_never_used() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let hex = ImageId::random().uuid().simple().to_string();
    for id in [
        "x",
        "1",
        "null",
        "-",
        "%20",
        "a%2Fb",
        "%00",
        "..",
        ".",
        "%E2%82%AC",
        "members",
        "images",
        &hex,
        "{c0ffee00-0000-4000-8000-000000000000}",
        "urn:uuid:c0ffee00-0000-4000-8000-000000000000",
        "c0ffee00-0000-4000-8000-00000000000",
        "c0ffee00-0000-4000-8000-0000000000000",
        "g0ffee00-0000-4000-8000-000000000000",
    ] {
        for (method, rest, body) in [
            ("GET", "", ""),
            ("DELETE", "", ""),
            ("GET", "/members", ""),
            ("POST", "/members", r#"{"member": "guest"}"#),
            ("GET", "/members/guest", ""),
            ("PUT", "/members/guest", r#"{"status": "accepted"}"#),
            ("DELETE", "/members/guest", ""),
            ("PUT", "/tags/a", ""),
            ("DELETE", "/tags/a", ""),
        ] {
            let reply = owner.ask(method, &format!("/v2/images/{id}{rest}")).body(body).send();
            let (status, message) = reply.verdict();
            assert_eq!(status, 404, "{method} {id}{rest}: {message}");
            assert!(message.starts_with("Image ") && message.ends_with(" not found."), "{message}");
        }
    }
    let endless = owner.get(&format!("/v2/images/{}", "x".repeat(2000))).message();
    assert_eq!(endless, format!("Image {} not found.", "x".repeat(64)));
}

#[test]
fn an_image_id_is_read_in_either_case() {
    let served = Served::start();
    let id = builders::an_image("owner").id.to_string().replace(|c: char| c.is_ascii_digit(), "a");
    let owner = served.member_of("owner");
    let made = owner.post("/v2/images", &json!({"id": id.to_uppercase()})).json();
    assert_eq!(made["id"], id);
    assert_eq!(owner.get(&format!("/v2/images/{}", id.to_uppercase())).json()["id"], id);
}

#[test]
fn a_trailing_slash_or_one_too_many_is_a_404() {
    let served = Served::start();
    let image = served.image("owner", |_| {});
    let owner = served.member_of("owner");
    for path in [
        "/v2/images/".to_owned(),
        format!("/v2/images/{image}/"),
        format!("/v2/images/{image}/members/"),
        format!("/v2/images/{image}/members/guest/"),
        format!("/v2/images/{image}/members//"),
        format!("/v2/images/{image}//members"),
        format!("/v2/images/{image}/members/guest/more"),
        format!("/v2/images/{image}/members/a/b"),
        format!("/v2/./images/{image}"),
        format!("/v2/schemas/../images/{image}"),
        "/v2/schemas/member/".to_owned(),
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let reply = owner.ask(method, &path).send();
            assert_eq!(reply.verdict(), (404, "The resource could not be found.".into()), "{method} {path}");
        }
    }
}

#[test]
fn tags_of_any_kind_are_addressable() {
    let served = Served::start();
    let image = served.image("owner", |_| {});
    let owner = served.member_of("owner");
    let path = format!("/v2/images/{image}");
    for tag in ["plain", "a/b", "..", "100%", "a b", "🦀"] {
        let tagged = format!("{path}/tags/{}", encoded(tag));
        let put = owner.ask("PUT", &tagged).send();
        assert_eq!((put.status, put.header("content-type")), (204, None), "{tag}");
        assert_eq!(owner.get(&path).json()["tags"], json!([tag]));
        assert_eq!(owner.ask("PUT", &tagged).send().status, 204, "twice is once");
        assert_eq!(owner.delete(&tagged).status, 204);
        assert_eq!(owner.delete(&tagged).verdict(), (404, format!("Image {image} has no tag {tag}.")));
    }
    for tag in ["%00".to_owned(), "%07".to_owned(), "x".repeat(256)] {
        assert_eq!(owner.ask("PUT", &format!("{path}/tags/{tag}")).send().status, 400);
    }
}
