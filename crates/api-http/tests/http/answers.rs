//! What every answer has: its request id, and, where it refuses, a body in the form asked for and the headers that say
//! what to do instead (sharing API, sections 3 and 6).

use core_domain::image::ImageId;
use insta::assert_snapshot;
use serde_json::json;

use crate::{
    served::{Served, UNDECIDED},
    wire::{Reply, masked_request_id},
};

const IMAGE: &str = "/v2/images/c0ffee00-0000-4000-8000-000000000000";

fn refused(served: &Served, accept: &[&str]) -> Reply {
    let mut ask = served.member_of("anybody").ask("GET", IMAGE);
    for accept in accept {
        ask = ask.header("Accept", accept);
    }
    ask.send()
}

#[test]
fn json_is_the_form_of_errors_unless_another_is_named() {
    let served = Served::start();
    assert_snapshot!(refused(&served, &[]).transcript(), @r#"
    404
    content-type: application/json
    x-openstack-request-id: req-<uuid>

    {"error":{"code":404,"message":"Image c0ffee00-0000-4000-8000-000000000000 not found.","title":"Not Found"}}
    "#);
    for accept in [
        "",
        "*/*",
        "application/json",
        "application/json, text/plain",
        "text/plain, application/json;q=0.5",
        "APPLICATION/JSON",
        "application/*",
        "text/*",
        "application/xml",
        "application/problem+json",
        "text/html;q=0, */*",
        "text/plain;q=0",
        "text/html;level=1;q=0.0, application/json",
        "nonsense; of / a , kind",
        "application/vnd.openstack.images-v2.7",
    ] {
        let reply = refused(&served, &[accept]);
        assert_eq!(reply.header("content-type"), Some("application/json"), "{accept}");
        assert_eq!(reply.message(), "Image c0ffee00-0000-4000-8000-000000000000 not found.");
    }
}

#[test]
fn a_browser_gets_a_page() {
    let served = Served::start();
    assert_snapshot!(refused(&served, &["text/html"]).transcript(), @r"
    404
    content-type: text/html; charset=UTF-8
    x-openstack-request-id: req-<uuid>

    <html>
    <head>
    <title>404 Not Found</title>
    </head>
    <body>
    <h1>404 Not Found</h1>
    Image c0ffee00-0000-4000-8000-000000000000 not found.
    </body>
    </html>
    ");
    for accept in [
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "application/json, text/html",
        "text/plain, text/html;q=0.1",
        "Text/HTML",
    ] {
        let reply = refused(&served, &[accept]);
        assert_eq!(reply.header("content-type"), Some("text/html; charset=UTF-8"), "{accept}");
    }
    assert_eq!(
        refused(&served, &["application/json", "text/html"]).header("content-type"),
        Some("text/html; charset=UTF-8"),
        "two headers are one list"
    );
}

#[test]
fn plain_text_is_plain() {
    let served = Served::start();
    assert_snapshot!(refused(&served, &["text/plain"]).transcript(), @r"
    404
    content-type: text/plain; charset=UTF-8
    x-openstack-request-id: req-<uuid>

    404 Not Found

    Image c0ffee00-0000-4000-8000-000000000000 not found.
    ");
    for accept in ["text/plain, */*", "application/xml, text/plain;q=0.2", "application/json;q=0, text/plain"]
    {
        let reply = refused(&served, &[accept]);
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=UTF-8"), "{accept}");
    }
}

#[test]
fn what_a_client_wrote_is_escaped_in_a_page() {
    let served = Served::start();
    let reply = served
        .member_of("anybody")
        .ask("GET", "/v2/images/%3Cscript%3Ealert(%22x%22)%26%3C%2Fscript%3E")
        .header("Accept", "text/html")
        .send();
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains("Image &lt;script&gt;alert(&quot;x&quot;)&amp;&lt;/script&gt; not found."));
}

#[test]
fn success_is_json_whatever_is_asked_for() {
    let served = Served::start();
    for accept in ["text/html", "text/plain", "application/json", "image/png"] {
        let reply = served.member_of("anybody").ask("GET", "/v2/images").header("Accept", accept).send();
        assert_eq!(reply.header("content-type"), Some("application/json; charset=UTF-8"));
    }
}

#[test]
fn every_error_comes_in_every_form() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let image = served.image("owner", |_| {});
    let members = format!("/v2/images/{image}/members");
    for (ask, status, title) in [
        (owner.ask("POST", &members).body("{"), 400, "Bad Request"),
        (served.nobody().ask("GET", &members), 401, "Unauthorized"),
        (served.reader_in("owner").ask("POST", &members).body(r#"{"member":"x"}"#), 403, "Forbidden"),
        (owner.ask("GET", "/v2/nothing"), 404, "Not Found"),
        (owner.ask("PUT", &members), 405, "Method Not Allowed"),
        (owner.ask("POST", &members).body(vec![b' '; (1 << 20) + 1]), 413, "Payload Too Large"),
        (
            owner.ask("POST", &members).header("Content-Type", "text/xml").body("x"),
            415,
            "Unsupported Media Type",
        ),
        (served.with_token(UNDECIDED).ask("GET", &members), 503, "Service Unavailable"),
    ] {
        let message = ask.send().message();
        let plain = ask.header("Accept", "text/plain");
        let reply = plain.send();
        assert_eq!(reply.status, status);
        assert_eq!(reply.text(), format!("{status} {title}\n\n{message}\n"));
        let reply = plain.header("Accept", "text/html").send();
        assert!(reply.text().contains(&format!("<h1>{status} {title}</h1>")), "{reply}");
    }
}

#[test]
fn every_answer_has_a_request_id_of_ours_and_no_two_the_same() {
    let served = Served::start();
    let (owner, nobody) = (served.member_of("owner"), served.nobody());
    let mut seen = Vec::new();
    for (reply, status) in [
        (nobody.get("/"), 300),
        (nobody.get("/versions"), 200),
        (nobody.get("/healthcheck"), 200),
        (nobody.get("/nothing"), 404),
        (nobody.get("/v2/images"), 401),
        (served.with_token(UNDECIDED).get("/v2/images"), 503),
        (owner.get("/v2/images"), 200),
        (owner.get("/v2/nothing"), 404),
        (owner.delete("/v2/images"), 405),
        (owner.ask("HEAD", "/v2/images").send(), 405),
        (nobody.ask("OPTIONS", "/v2/images").send(), 204),
        (nobody.ask("OPTIONS", "/v2/nothing").send(), 401),
        (owner.delete("/v2/images//members/x"), 405),
        (owner.get("/v2/images/%FF"), 400),
        (owner.post("/v2/images", &json!({"name": 1})), 400),
    ] {
        assert_eq!(reply.status, status, "{reply}");
        let id = reply.header("x-openstack-request-id").unwrap().to_owned();
        assert_eq!(masked_request_id(&id), "req-<uuid>", "{id}");
        assert!(!seen.contains(&id));
        seen.push(id);
    }
}

#[test]
fn a_caller_s_request_id_does_not_replace_ours() {
    let served = Served::start();
    let long = format!("req-{}", "a".repeat(60_000));
    for theirs in
        ["req-5b0d5c5e-3f5c-4b9a-9a3e-0d6d6b2f9b1c", "<b>x</b>", "", "req-\u{e9}", &long[..65], &long]
    {
        let reply = served.nobody().ask("GET", "/v2/images").header("X-Openstack-Request-Id", theirs).send();
        assert_eq!(reply.status, 401, "{reply}");
        let ours = reply.header("x-openstack-request-id").unwrap();
        assert_eq!(masked_request_id(ours), "req-<uuid>");
        assert_ne!(ours, theirs);
    }
}

#[test]
fn without_a_good_token_there_is_a_401_that_says_where_to_get_one() {
    let served = Served::start();
    let unknown = "gAAAAABexpired".repeat(20);
    for client in
        [served.nobody(), served.with_token(""), served.with_token(&unknown), served.with_token("\u{e9}")]
    {
        for path in ["/v2/images", "/v2/schemas/member", IMAGE, "/v2/nothing", "/v2", "/v2/images//members/x"]
        {
            let reply = client.get(path);
            let say = "The request you have made requires authentication.";
            assert_eq!(reply.verdict(), (401, say.into()), "{path}");
            assert_eq!(
                reply.header("www-authenticate"),
                Some(r#"Keystone uri="https://identity.example.org/v3""#)
            );
        }
    }
}

#[test]
fn a_body_without_a_token_is_a_401_whatever_it_holds() {
    let served = Served::start();
    for body in ["", "{", r#"{"member_id":"x"}"#] {
        let reply = served.nobody().ask("POST", &format!("{IMAGE}/members")).body(body).send();
        assert_eq!(reply.status, 401);
    }
}

#[test]
fn a_token_is_shown_with_the_call_as_it_was_made_and_a_services_token_beside_it() {
    let served = Served::start();
    let client = served.member_of("owner");
    let ask = |method: &str, path: &str| client.ask(method, path);
    for (ask, shown) in [
        (ask("GET", "/v2/images?limit=1"), "Look GET /v2/images None"),
        (ask("GET", "/v2/im%61ges//x/"), "Look GET /v2/im%61ges//x/ None"),
        (ask("POST", "/v2/images").body("{}"), "Change POST /v2/images None"),
        (ask("DELETE", "/v2/images/x"), "Change DELETE /v2/images/x None"),
        (ask("PURGE", "/v2/x"), "Change PURGE /v2/x None"),
        (ask("GET", "/v2/images").header("X-Service-Token", " s "), r#"Look GET /v2/images Some("s")"#),
        (ask("GET", "/v2/images").header("X-Service-Token", " "), "Look GET /v2/images None"),
    ] {
        ask.send();
        assert_eq!(served.last_shown(), shown);
    }
}

#[test]
fn a_token_is_shown_with_the_address_of_the_client() {
    for (trusted, client) in [("", "127.0.0.1"), ("127.0.0.0/8", "192.0.2.1"), ("10.0.0.0/8", "127.0.0.1")] {
        let served = Served::with(|setup| setup.settings.trusted_proxies = trusted.parse().unwrap());
        let asked = served.member_of("owner").ask("GET", "/v2/images");
        asked.header("X-Forwarded-For", "198.51.100.9, 192.0.2.1").send();
        assert_eq!(served.last_peer(), Some(client.parse().unwrap()), "{trusted}");
    }
}

#[test]
fn a_services_token_that_is_no_text_is_a_401() {
    let served = Served::start();
    let client = served.member_of("owner");
    assert_eq!(client.ask("GET", "/v2/images").send().status, 200);
    assert_eq!(client.ask("GET", "/v2/images").header("X-Service-Token", "\u{e9}").send().status, 401);
}

#[test]
fn identity_that_a_client_claims_itself_means_nothing() {
    let served = Served::start();
    let image = served.image("owner", |_| {});
    let owner = served.member_of("owner");
    let claim = |token: Option<&str>| {
        let client = token.map_or(served.nobody(), |token| served.with_token(token));
        client
            .ask("GET", &format!("/v2/images/{image}"))
            .header("X-Identity-Status", "Confirmed")
            .header("X-Project-Id", "owner")
            .header("X-Tenant-Id", "owner")
            .header("X-User-Id", "owner")
            .header("X-Roles", "admin,member,reader")
            .header("X-Role", "admin")
            .header("X-Is-Admin-Project", "True")
            .header("X-Service-Token", "admin")
            .header("X-Storage-Token", owner.token())
            .header("Authorization", "Basic b3duZXI6b3duZXI=")
            .send()
            .status
    };
    let stranger = served.member_of("stranger");
    assert_eq!(claim(Some(stranger.token())), 404);
    assert_eq!(claim(Some("unknown")), 401);
    assert_eq!(claim(None), 401);
}

#[test]
fn a_wrong_method_on_a_known_path_is_told_the_right_ones() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let image = ImageId::random();
    for (path, allowed) in [
        ("/v2/images".to_owned(), "GET, POST"),
        (format!("/v2/images/{image}"), "GET, PATCH, DELETE"),
        (format!("/v2/images/{image}/members"), "GET, POST"),
        (format!("/v2/images/{image}/members/x"), "GET, PUT, DELETE"),
        (format!("/v2/images/{image}/tags/x"), "PUT, DELETE"),
        ("/v2/schemas/member".to_owned(), "GET"),
        ("/healthcheck".to_owned(), "GET, HEAD"),
        ("/versions".to_owned(), "GET, HEAD"),
        ("/".to_owned(), "GET, HEAD"),
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE", "get"] {
            if allowed.split(", ").any(|one| one == method) {
                continue;
            }
            let reply = owner.ask(method, &path).body("{").send();
            let say = format!("The method is not allowed for this resource: there are {allowed}.");
            assert_eq!(reply.verdict(), (405, say), "{method} {path}");
            assert_eq!(reply.header("allow"), Some(allowed), "{method} {path}");
        }
    }
}

#[test]
fn a_blank_image_id_is_a_405_for_every_method() {
    let served = Served::start();
    let owner = served.member_of("owner");
    for (path, allowed) in [
        ("/v2/images//members/guest", "GET, PUT, DELETE"),
        ("/v2/images//members", "GET, POST"),
        ("/v2/images//tags/x", "PUT, DELETE"),
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let reply = owner.ask(method, path).json(&json!({"status": "accepted"})).send();
            let say =
                "The image id in the path is blank, and nothing can be done to no image: put an id there.";
            assert_eq!(reply.verdict(), (405, say.into()), "{method} {path}");
            assert_eq!(reply.header("allow"), Some(allowed));
        }
        assert_eq!(served.nobody().get(path).status, 401);
    }
}
