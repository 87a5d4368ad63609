//! What an operator sees of requests: a line each in the log, and figures that clients cannot swell.

use std::{
    fmt::{Debug, Write as _},
    sync::{Arc, Mutex, Once},
};

use core_domain::{Error, member::MemberStatus};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::{faults, served::Served, wire::Reply};

/// The lines logged by all the tests of this process.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Log;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "vitrine::request"
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        LINES.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Log).unwrap());
}

/// The lines of the request that was answered so.
fn lines(reply: &Reply) -> Vec<String> {
    let id = reply.header("x-openstack-request-id").unwrap();
    LINES.lock().unwrap().iter().filter(|line| line.contains(id)).cloned().collect()
}

#[test]
fn every_request_is_one_line_that_names_no_token_and_no_query() {
    listen();
    let served = Served::start();
    let image = served.image("owner", |_| {});
    served.share(image, "guest", MemberStatus::Pending);
    let guest = served.bearer("a-secret-token", Some("guest"), &["reader"]);
    let path = format!("/v2/images/{image}/members");
    let reply = guest.get(&format!("{path}?marker=private-matter"));
    let [line] = &lines(&reply)[..] else { panic!("{:?}", lines(&reply)) };
    for part in [
        "INFO ",
        "method=\"GET\"",
        "route=\"/v2/images/{image_id}/members\"",
        &format!("path={path:?}"),
        "status=400",
        "duration_ms=",
        "client=127.0.0.1",
        "project=guest",
        "user=someone",
    ] {
        assert!(line.contains(part), "{part} is missing: {line}");
    }
    assert!(!line.contains("a-secret-token") && !line.contains("private-matter"), "{line}");
    for reply in [served.nobody().get("/nothing"), served.with_token("a-forged-token").get("/v2/images")] {
        let [line] = &lines(&reply)[..] else { panic!("{:?}", lines(&reply)) };
        assert!(line.contains(&format!("status={}", reply.status)) && !line.contains("forged"), "{line}");
    }
}

#[test]
fn line_of_an_invented_method_says_other_and_stays_short() {
    listen();
    let served = Served::start();
    for method in ["PROPFIND".to_owned(), "X".repeat(50_000)] {
        let reply = served.nobody().ask(&method, "/v2/images").send();
        let [line] = &lines(&reply)[..] else { panic!("{:?}", lines(&reply)) };
        assert!(line.contains(" method=\"other\" ") && line.len() < 512, "{} bytes: {line}", line.len());
        assert!(!line.contains(&method[..8]), "{line}");
    }
}

#[test]
fn line_of_a_long_path_has_its_first_512_bytes_and_a_mark() {
    listen();
    let served = Served::start();
    let path = format!("/{}", "x".repeat(2047));
    let reply = served.nobody().get(&path);
    assert_eq!(reply.status, 404, "{reply}");
    let [line] = &lines(&reply)[..] else { panic!("{:?}", lines(&reply)) };
    assert!(line.contains(&format!(" path=\"{}… (2048 bytes)\" ", &path[..512])), "{line}");
    assert!(line.len() < 1024, "{} bytes", line.len());
}

#[test]
fn a_caller_s_well_formed_request_id_is_kept_in_the_log_beside_ours() {
    listen();
    let served = Served::start();
    let longest = format!("req-{}", "a".repeat(60));
    let too_long = format!("req-{}", "a".repeat(61));
    for (theirs, kept) in [
        ("req-5b0d5c5e-3f5c-4b9a-9a3e-0d6d6b2f9b1c", true),
        (longest.as_str(), true),
        (&too_long, false),
        ("5b0d5c5e-3f5c-4b9a-9a3e-0d6d6b2f9b1c", false),
        ("req-<b>", false),
        ("req-a b", false),
    ] {
        let reply = served.nobody().ask("GET", "/versions").header("X-Openstack-Request-Id", theirs).send();
        let [line] = &lines(&reply)[..] else { panic!("{:?}", lines(&reply)) };
        assert_eq!(line.contains(&format!("global_request_id={theirs:?}")), kept, "{line}");
    }
}

#[test]
fn the_cause_of_a_fault_is_in_the_log_and_not_in_the_answer() {
    listen();
    for error in [
        || Error::Unavailable(faults::SECRET.into()),
        || Error::Contention(faults::SECRET.into()),
        || Error::Internal(faults::SECRET.into()),
    ] {
        let served = Served::with(|setup| setup.store = Arc::new(faults::Broken(error)));
        let reply = served.member_of("owner").get("/v2/images");
        assert!(!reply.text().contains("SELECT"));
        let lines = lines(&reply);
        assert!(
            lines.iter().any(|line| line.starts_with("ERROR") && line.contains(faults::SECRET)),
            "{lines:?}"
        );
    }
}

#[test]
fn figures_do_not_grow_with_what_clients_invent() {
    let served = Served::start();
    let owner = served.member_of("owner");
    for number in 0..20 {
        owner.get(&format!("/v2/images/{number}/members/{number}"));
        owner.get(&format!("/nothing/{number}"));
        owner.ask(&format!("METHOD{number}"), "/v2/images").send();
    }
    let mut labels = Vec::new();
    for family in served.figures.gather() {
        if family.name() == "vitrine_http_requests_total" {
            for metric in family.get_metric() {
                let values: Vec<_> = metric.get_label().iter().map(|label| label.value()).collect();
                labels.push((values.join(" "), metric.get_counter().get_value()));
            }
        }
    }
    labels.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        labels,
        [
            ("GET /v2/images/{image_id}/members/{member_id} 404".to_owned(), 20.0),
            ("GET unmatched 404".to_owned(), 20.0),
            ("other /v2/images 405".to_owned(), 20.0),
        ]
    );
}
