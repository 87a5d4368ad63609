//! A limit on how often a project asks: off by default, after the token, and never for probes.

use std::{num::NonZeroU32, time::Instant};

use api_http::Rate;

use crate::served::Served;

const BURST: u32 = 5;

fn limited() -> Served {
    let rate = Rate { per_second: NonZeroU32::MIN, burst: NonZeroU32::new(BURST).unwrap() };
    Served::with(|setup| setup.settings.rate = Some(rate))
}

#[test]
fn a_project_that_asks_too_often_is_told_when_to_come_again() {
    let served = limited();
    let clients = [served.member_of("busy"), served.reader_in("busy")];
    let start = Instant::now();
    let mut passed = 0;
    for client in clients.iter().cycle().take(40) {
        let reply = client.get("/v2/images");
        if reply.status == 200 {
            passed += 1;
            continue;
        }
        let say = "Your project sends more requests than it may: try again in 1 s.";
        assert_eq!(reply.verdict(), (429, say.into()), "{reply}");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    // Its users share the burst, and one more a second.
    let at_most = u64::from(BURST) + start.elapsed().as_secs() + 1;
    assert!((u64::from(BURST)..=at_most).contains(&passed), "{passed}, not {BURST} to {at_most}");
    assert_eq!(served.member_of("quiet").get("/v2/images").status, 200, "other projects notice nothing");
}

#[test]
fn probes_and_documents_are_not_counted_and_no_token_is_no_flood() {
    let served = limited();
    let client = served.member_of("busy");
    while client.get("/v2/images").status == 200 {}
    for _ in 0..3 * BURST {
        for path in ["/healthcheck", "/livez", "/readyz", "/versions", "/openapi.json"] {
            assert_eq!(client.get(path).status, 200, "{path}");
        }
        assert_eq!(served.with_token("unknown").get("/v2/images").status, 401);
    }
}

#[test]
fn nobody_is_limited_unless_the_operator_says_so() {
    let served = Served::start();
    let client = served.member_of("busy");
    assert!((0..200).all(|_| client.get("/v2/schemas/member").status == 200));
}
