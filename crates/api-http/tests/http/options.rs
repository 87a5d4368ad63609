//! `OPTIONS` and `HEAD` as load balancers and browsers send them, and calls from pages of other origins.

use api_http::routes::TABLE;

use crate::{
    served::Served,
    wire::{Reply, Wire},
};

const PAGE: &str = "https://horizon.example.org";

fn exchange(served: &Served, bytes: &str) -> Reply {
    let mut wire: Wire = served.connect();
    wire.send(bytes.as_bytes());
    wire.head().unwrap()
}

#[test]
fn stock_checks_of_load_balancers_succeed() {
    let served = Served::start();
    served.member_of("anybody");
    for (check, status) in [
        ("OPTIONS / HTTP/1.0\r\n\r\n", 204),
        ("HEAD / HTTP/1.0\r\n\r\n", 300),
        ("HEAD /versions HTTP/1.0\r\n\r\n", 200),
        ("OPTIONS /healthcheck HTTP/1.0\r\n\r\n", 204),
        ("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n", 204),
        ("HEAD /versions HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("OPTIONS /healthcheck HTTP/1.1\r\nHost: a\r\n\r\n", 204),
        ("HEAD /readyz HTTP/1.0\r\n\r\n", 200),
    ] {
        assert_eq!(exchange(&served, check).status, status, "{check}");
    }
}

#[test]
fn head_of_the_versions_is_that_of_get() {
    let served = Served::start();
    for path in ["/", "/versions"] {
        let head = served.exchange(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let get = served.exchange(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        for header in ["content-type", "content-length"] {
            assert_eq!(head.header(header), get.header(header), "{path}");
        }
        assert_eq!(head.status, get.status);
        // HTTP/1.0 knows no Host: links name the address that was reached.
        let old = served.exchange(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes());
        let link = format!("http://{}/v2/", served.address);
        assert_eq!(old.json()["versions"][0]["links"][0]["href"], link);
    }
}

#[test]
fn options_on_every_known_path_needs_no_token() {
    let served = Served::start();
    for route in &TABLE {
        let path = route.path.replace("{image_id}", "any").replace(['{', '}'], "");
        for path in [path.clone(), format!("/{path}"), path.replacen("/v2/", "/v2.1/", 1)] {
            let reply = served.nobody().ask("OPTIONS", &path).send();
            assert_eq!((reply.status, reply.header("allow")), (204, Some(route.allow)), "{path}");
            assert!(reply.header("x-openstack-request-id").is_some());
            assert_eq!(reply.header("access-control-allow-origin"), None);
        }
    }
    assert_eq!(served.last_shown(), "", "no token was looked at");
    for (path, status) in [("/nothing", 404), ("/v2/nothing", 401), ("/v2/images/", 401), ("/v2", 401)] {
        assert_eq!(served.nobody().ask("OPTIONS", path).send().status, status, "{path}");
    }
    assert_eq!(served.admin().ask("OPTIONS", "/v2/nothing").send().status, 404);
}

#[test]
fn pages_of_allowed_origins_may_call_the_api() {
    let served = Served::with(|setup| setup.settings.edge.allowed_origins = vec![PAGE.to_owned()]);
    let preflight_of = |path: &str, origin: &str, header: &str| {
        let ask = served.nobody().ask("OPTIONS", path).header("Origin", origin);
        ask.header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", header)
            .send()
    };
    let preflight = |origin: &str, header: &str| preflight_of("/v2/images", origin, header);
    let reply = preflight(PAGE, "x-auth-token, content-type, x-openstack-request-id");
    assert_eq!((reply.status, reply.header("allow")), (204, Some("GET, POST")), "{reply}");
    assert_eq!(reply.header("content-length"), None);
    assert_eq!(reply.header("access-control-allow-origin"), Some(PAGE));
    assert!(reply.header("access-control-allow-methods").unwrap().contains("PATCH"));
    assert!(reply.header("access-control-allow-headers").unwrap().contains("x-auth-token"));
    assert!(reply.header("x-openstack-request-id").is_some());
    for (path, allow) in [
        ("//v2.9/images/any/members", None),
        ("//v2.7/images/any/members", Some("GET, POST")),
        ("/v2/nothing", None),
    ] {
        let reply = preflight_of(path, PAGE, "x-auth-token");
        assert_eq!((reply.status, reply.header("allow")), (204, allow), "{path}");
    }
    for refused in [preflight("https://evil.example.org", "x-auth-token"), preflight(PAGE, "x-roles")] {
        assert_eq!((refused.status, refused.header("access-control-allow-origin")), (400, None), "{refused}");
        assert!(!refused.message().is_empty());
    }

    let owner = served.member_of("owner");
    let get = |origin: &str| owner.ask("GET", "/v2/images").header("Origin", origin).send();
    let reply = get(PAGE);
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some(PAGE)));
    assert!(reply.header("access-control-expose-headers").unwrap().contains("x-openstack-request-id"));
    assert!(reply.header("vary").unwrap().to_lowercase().contains("origin"));
    // The other page is told nothing, and its browser keeps the answer from it.
    let reply = get("https://evil.example.org");
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, None));
    // A page may read why it was refused.
    let refused = served.nobody().ask("GET", "/v2/images").header("Origin", PAGE).send();
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, Some(PAGE)));
    assert!(refused.header("www-authenticate").is_some());
}

#[test]
fn no_origin_is_allowed_unless_configured() {
    let served = Served::start();
    let ask = served.nobody().ask("OPTIONS", "/v2/images").header("Origin", PAGE);
    let reply = ask.header("Access-Control-Request-Method", "GET").send();
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (204, None));
}
