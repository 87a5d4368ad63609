//! What comes before a request is one: the length and the spelling of URLs, heads and bodies that do not end, too many
//! connections, and what is no HTTP.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    served::Served,
    wire::{Reply, Wire, masked_request_id},
};

/// The value of a counter or a gauge, of its labels only the values.
fn metric(served: &Served, name: &str, label: &str) -> f64 {
    let families = served.figures.gather();
    let family = families.iter().find(|family| family.name() == name).unwrap();
    let metrics = family.get_metric().iter();
    let mut found = metrics
        .filter(|metric| label.is_empty() || metric.get_label().iter().any(|one| one.value() == label));
    let metric = found.next().unwrap();
    if metric.get_counter().get_value() > 0.0 {
        metric.get_counter().get_value()
    } else {
        metric.get_gauge().get_value()
    }
}

fn rejected(served: &Served, reason: &str) -> f64 {
    metric(served, "vitrine_http_rejected_connections_total", reason)
}

#[test]
fn long_url_is_a_414_before_the_token() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let ids = vec!["c0ffee00-0000-4000-8000-000000000000"; 420].join(",");
    assert!(ids.len() > 15_000);
    assert_eq!(owner.get(&format!("/v2/images?id=in:{ids}")).status, 200, "what clients send passes");
    let shown = served.last_shown();

    let path = |bytes: usize| format!("/v2/images/{}", "x".repeat(bytes - "/v2/images/".len()));
    let url = |bytes: usize| format!("/v2/images?name={}", "x".repeat(bytes - "/v2/images?name=".len()));
    let (long_path, long_url) = (
        "The path is too long: at most 2048 bytes are read.",
        "The URL is too long: at most 24576 bytes are read.",
    );
    for (target, say) in [
        (path(2049), long_path),
        (path(20_000), long_path),
        (path(60_000), long_url),
        (url(24_577), long_url),
        (url(60_000), long_url),
        (format!("/{}", path(2049)), long_path),
    ] {
        for client in [served.nobody(), owner.clone()] {
            let reply = client.get(&target);
            assert_eq!(reply.verdict(), (414, say.into()));
            assert_eq!(masked_request_id(reply.header("x-openstack-request-id").unwrap()), "req-<uuid>");
        }
    }
    assert_eq!(served.last_shown(), shown, "no token was looked at");
    assert_eq!(owner.get(&path(2048)).status, 404);
    assert_eq!(owner.get(&url(24_576)).status, 200);
}

#[test]
fn leading_slashes_count_as_one_everywhere() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let image = owner.creates(&json!({"name": "one"}));
    for slashes in ["//", "///", "/////////"] {
        assert_eq!(owner.get(&format!("{slashes}v2/images")).status, 200);
        assert_eq!(served.last_shown(), "Look GET /v2/images None", "as access rules are asked");
        assert_eq!(owner.get(&format!("{slashes}v2.7/images/{image}")).json()["name"], "one");
        assert_eq!(served.nobody().get(&format!("{slashes}v2/images")).status, 401);
        assert_eq!(served.nobody().get(slashes).status, 300);
        assert_eq!(served.nobody().get(&format!("{slashes}livez")).status, 200);
    }
    let reply = owner.get("//v2/images");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    for elsewhere in ["/v2//images", "//v2/images//", "/%2Fv2/images"] {
        assert_ne!(owner.get(elsewhere).status, 200, "{elsewhere}");
    }
    let member = format!("/v2/images/{image}/members/%2F%2Fa");
    owner.post(&format!("/v2/images/{image}/members"), &json!({"member_id": "//a"}));
    assert_eq!(owner.get(&format!("/{member}")).json()["member_id"], "//a");
    let requests = served.figures.gather();
    let requests = requests.iter().find(|family| family.name() == "vitrine_http_requests_total").unwrap();
    let routes = requests.get_metric().iter().flat_map(|metric| metric.get_label());
    assert!(routes.into_iter().all(|label| !label.value().starts_with("//")));
}

fn is_ours(reply: &Reply, status: u16) {
    assert_eq!(reply.status, status, "{reply}");
    assert!(!reply.message().is_empty());
    assert_eq!(masked_request_id(reply.header("x-openstack-request-id").unwrap()), "req-<uuid>");
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn what_is_no_http_is_answered_with_a_request_id() {
    let served = Served::start();
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Huge: {}", "x".repeat(300_000));
    let long = format!("GET /{}", "x".repeat(300_000));
    for (sent, status, reason) in [
        ("NONSENSE\r\n\r\n", 400, "malformed"),
        ("GET / HTTP/9.9\r\n\r\n", 400, "malformed"),
        ("GET / HTTP/1.1\r\nHost a\r\n\r\n", 400, "malformed"),
        (large.as_str(), 431, "large_head"),
        (long.as_str(), 414, "long_target"),
    ] {
        let before = rejected(&served, reason);
        let mut wire = served.connect();
        wire.send(sent.as_bytes());
        is_ours(&wire.reply().unwrap(), status);
        assert!(wire.is_closed());
        assert!(rejected(&served, reason) > before, "{reason}");
    }
    // After an answer as well, and in one piece with it.
    let mut wire = served.connect();
    wire.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\nNONSENSE\r\n\r\n");
    assert_eq!(wire.reply().unwrap().text(), "ok\n");
    is_ours(&wire.reply().unwrap(), 400);
}

#[test]
fn every_head_of_a_connection_has_its_time() {
    let served = Served::start();
    let heads = ["", "GET / HT"].map(|begun| {
        let mut wire = served.connect();
        wire.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(wire.reply().unwrap().status, 200);
        wire.send(begun.as_bytes());
        wire
    });
    let mut first = served.connect();
    first.send(b"GET / HT");
    is_ours(&first.reply().unwrap(), 408);
    let [mut idle, mut later] = heads;
    is_ours(&later.reply().unwrap(), 408);
    assert!(rejected(&served, "slow_head") >= 2.0);
    idle.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(idle.reply().unwrap().status, 200, "a connection that is idle is kept for longer");
}

#[test]
fn answered_connections_make_room_for_new_ones() {
    let served = Served::with(|setup| setup.settings.edge.max_connections = 16);
    let mut idle: Vec<Wire> = Vec::new();
    for _ in 0..200 {
        let mut wire = served.connect();
        wire.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(wire.reply().unwrap().status, 200);
        idle.push(wire);
        assert!(metric(&served, "vitrine_http_connections", "") <= 36.0, "those being ended included");
    }
    assert!(rejected(&served, "idle") >= 184.0);
    assert!(idle[0].is_closed());
    let mut last = idle.pop().unwrap();
    last.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(last.reply().unwrap().status, 200, "the newest is still there");
}

/// The beginning of a body of this length.
fn begun(served: &Served, project: &str, length: usize) -> Wire {
    let ask = served.member_of(project).ask("POST", "/v2/images").body(" ".repeat(length));
    let bytes = ask.bytes();
    let mut wire = served.connect();
    wire.send(&bytes[..bytes.len() - 1]);
    wire
}

#[test]
fn slow_bodies_of_one_project_leave_room_for_another() {
    let served = Served::with(|setup| {
        setup.settings.body_bytes = 1 << 16;
        setup.settings.edge.body_buffer_bytes = 1 << 18;
    });
    // Half of the buffer is two bodies; a byte of each is missing.
    let slow = [begun(&served, "slow", 1 << 16), begun(&served, "slow", 1 << 16)];
    let end = Instant::now() + Duration::from_secs(60);
    while metric(&served, "vitrine_http_body_buffer_bytes", "") < f64::from(2 * ((1 << 16) - 1)) {
        assert!(Instant::now() < end, "they do not arrive");
        thread::sleep(Duration::from_millis(5));
    }
    let refused = begun(&served, "slow", 10).reply().unwrap();
    assert_eq!(refused.status, 503, "the buffer has no room for a third: {refused}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.message(), "The server holds as many request bodies as it can: try again in 1 s.");
    let other = served.member_of("other");
    assert_eq!(other.post("/v2/images", &json!({"name": "here"})).status, 201);
    for mut wire in slow {
        wire.send(b" ");
        assert_eq!(wire.reply().unwrap().status, 400, "it was read to its end");
    }
    assert_eq!(served.member_of("slow").post("/v2/images", &json!({})).status, 201, "all was given back");
}

/// Sends a request without a token and takes its answer.
fn is_answered(wire: &mut Wire) -> bool {
    wire.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    wire.reply().is_some_and(|reply| reply.status == 200)
}

#[test]
fn idle_connection_is_closed_after_keep_alive_and_not_before() {
    const KEEP_ALIVE: Duration = Duration::from_secs(2);
    // The HTTP library reads its clock twice a second.
    const SHORTEST: Duration = Duration::from_millis(1500);
    let [short, long] = [KEEP_ALIVE, Duration::from_secs(3600)]
        .map(|keep_alive| Served::with(|setup| setup.settings.edge.keep_alive = keep_alive));
    let mut kept = long.connect();
    assert!(is_answered(&mut kept));
    let end = Instant::now() + Duration::from_secs(60);
    // A machine that stands still for so long between two requests has tested nothing.
    loop {
        let mut idle = short.connect();
        let answered_first = Instant::now();
        assert!(is_answered(&mut idle));
        let is_served_again = is_answered(&mut idle);
        assert!(is_served_again || answered_first.elapsed() >= SHORTEST, "closed before its time");
        if is_served_again {
            let idle_since = Instant::now();
            assert!(idle.is_closed(), "still open");
            // It was idle a little before the client knew.
            assert!(idle_since.elapsed() + Duration::from_millis(500) >= SHORTEST, "closed before its time");
            break;
        }
        assert!(Instant::now() < end, "no second request was sent in time");
    }
    assert!(kept.is_silent() && is_answered(&mut kept), "3600 s have not passed");
}

#[test]
fn probes_are_answered_beyond_the_limit_and_calls_are_not() {
    const LIMIT: usize = 16;
    let served = Served::with(|setup| setup.settings.edge.max_connections = LIMIT);
    let client = served.member_of("other");
    let list = client.ask("GET", "/v2/images").bytes();
    let least = f64::from((16 << 20) / 512);
    let mut busy: Vec<Wire> = Vec::new();
    for count in 1_u8..=16 {
        busy.push(begun(&served, "slow", 2));
        let end = Instant::now() + Duration::from_secs(60);
        while metric(&served, "vitrine_http_body_buffer_bytes", "") < least * f64::from(count) {
            assert!(Instant::now() < end, "request {count} does not arrive");
            thread::sleep(Duration::from_millis(5));
        }
    }
    // Connections that say nothing do not keep probes out of what is left.
    let silent: Vec<Wire> = (0..8).map(|_| served.connect()).collect();
    for _ in 0..5 {
        for probe in ["/livez", "/versions"] {
            let mut wire = served.connect();
            wire.send(format!("GET {probe} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            let reply = wire.reply().unwrap();
            assert_eq!((reply.status, reply.header("connection")), (200, Some("close")), "{probe}");
            assert!(wire.is_closed(), "its place is for the next probe");
        }
        let mut wire = served.connect();
        wire.send(&list);
        let refused = wire.reply().unwrap();
        assert_eq!(
            refused.verdict(),
            (503, "The server has as many connections as it can hold: try again in 1 s.".into())
        );
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    drop(silent);
    for mut wire in busy {
        assert!(wire.is_silent(), "a request in progress is not ended");
        wire.send(b" ");
        assert_eq!(wire.reply().unwrap().status, 400, "it was read to its end");
    }
    assert_eq!(client.get("/v2/images").status, 200);
}
