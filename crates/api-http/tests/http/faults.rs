//! When something behind the API fails: 503 where trying again may help, 500 for a fault of ours, and never a refusal
//! in disguise nor a word about what is behind.

use std::{sync::Arc, time::Duration};

use core_domain::{
    Error, Result,
    event::{Cause, Event},
    image::{ImageAccess, ImageId},
    listing::Listing,
    member::{Member, MemberStatus},
    project::ProjectId,
    store::{FoundImage, HistoryPage, ImagePage, MembersPage, Roll, Sight, Store, Tx, Viewer},
};
use serde_json::json;

use crate::{
    client::Client,
    served::{Served, UNDECIDED},
    wire::Reply,
};

/// Records that cannot be had.
pub(crate) struct Broken(pub(crate) fn() -> Error);

pub(crate) const SECRET: &str = "SELECT * FROM images -- postgres://vitrine:secret@10.0.0.7/srv/data";

impl Store for Broken {
    fn ping(&self) -> Result<()> {
        Err(self.0())
    }
    fn sight(&self, _: ImageId, _: Option<&ProjectId>, _: &ProjectId) -> Result<Option<Sight>> {
        Err(self.0())
    }
    fn members(&self, _: ImageId, _: Viewer<'_>, _: &MembersPage) -> Result<Option<Roll>> {
        Err(self.0())
    }
    fn image(&self, _: ImageId, _: Viewer<'_>) -> Result<Option<FoundImage>> {
        Err(self.0())
    }
    fn images(&self, _: &Listing) -> Result<ImagePage> {
        Err(self.0())
    }
    fn history(&self, _: ImageId, _: &ProjectId, _: HistoryPage<'_>) -> Result<Vec<Event>> {
        Err(self.0())
    }
    fn set_status(
        &self,
        _: &ImageAccess,
        _: &ProjectId,
        _: MemberStatus,
        _: &Cause,
    ) -> Result<Option<Member>> {
        Err(self.0())
    }
    fn delete_member(&self, _: &ImageAccess, _: &ProjectId, _: &Cause) -> Result<bool> {
        Err(self.0())
    }
    fn begin(&self, _: ImageId, _: &Cause) -> Result<Box<dyn Tx + '_>> {
        Err(self.0())
    }
}

fn broken(error: fn() -> Error) -> Served {
    Served::with(|setup| setup.store = Arc::new(Broken(error)))
}

fn every_call(client: &Client<'_>) -> Vec<Reply> {
    let image = format!("/v2/images/{}", ImageId::random());
    let members = format!("{image}/members");
    let guests = format!("{members}/guest");
    vec![
        client.get("/v2/images"),
        client.post("/v2/images", &json!({})),
        client.get(&image),
        client.patch(&image, &json!([])),
        client.delete(&image),
        client.ask("PUT", &format!("{image}/tags/a")).send(),
        client.delete(&format!("{image}/tags/a")),
        client.get(&members),
        client.post(&members, &json!({"member_id": "guest"})),
        client.get(&guests),
        client.get(&format!("{guests}/history")),
        client.put(&guests, &json!({"status": "accepted"})),
        client.delete(&guests),
    ]
}

#[test]
fn unreachable_records_are_a_503_on_every_call() {
    let served = broken(|| Error::Unavailable(SECRET.into()));
    for reply in every_call(&served.member_of("owner")) {
        let say = "The service cannot reach its records at the moment; try again.";
        assert_eq!(reply.verdict(), (503, say.into()));
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
}

#[test]
fn endless_contention_is_a_503_on_every_call() {
    let served = broken(|| Error::Contention(SECRET.into()));
    for reply in every_call(&served.member_of("owner")) {
        let say = "The records of this image are changing too fast; try again.";
        assert_eq!(reply.verdict(), (503, say.into()));
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
}

#[test]
fn a_fault_of_ours_is_a_500_that_tells_nothing_but_how_to_find_it() {
    let served = broken(|| Error::Internal(SECRET.into()));
    for reply in every_call(&served.member_of("owner")) {
        let say = "The service made a mistake. The request id will help its operator to find out which.";
        assert_eq!(reply.verdict(), (500, say.into()));
        assert!(reply.header("x-openstack-request-id").is_some());
        assert_eq!(reply.header("retry-after"), None);
    }
}

#[test]
fn even_a_panic_is_answered() {
    #[expect(clippy::panic, reason = "this is the test of it")]
    let served = broken(|| panic!("a fault"));
    for reply in every_call(&served.member_of("owner")) {
        assert_eq!(reply.status, 500, "{reply}");
    }
}

#[test]
fn a_call_that_takes_too_long_is_a_503() {
    let served = Served::with(|setup| {
        setup.settings.deadline = Duration::from_millis(50);
        setup.store = Arc::new(Broken(|| {
            std::thread::sleep(Duration::from_secs(5));
            Error::Internal("far too late".into())
        }));
    });
    let reply = served.member_of("owner").get("/v2/images");
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
}

#[test]
fn an_unreachable_keystone_is_a_503_and_not_a_401() {
    let served = Served::start();
    for reply in every_call(&served.with_token(UNDECIDED)) {
        let say = "The identity service cannot be asked at the moment; try again.";
        assert_eq!(reply.verdict(), (503, say.into()));
        assert_eq!(reply.header("retry-after"), Some("2"));
        assert_eq!(reply.header("www-authenticate"), None);
    }
    // Not even an unknown path is told from a known one.
    assert_eq!(served.with_token(UNDECIDED).get("/v2/nothing").status, 503);
}

#[test]
fn unreachable_records_make_it_unready_but_not_dead() {
    let served = broken(|| Error::Unavailable(SECRET.into()));
    let unready = served.nobody().get("/readyz");
    assert_eq!(
        (unready.status, unready.text()),
        (503, "not ready: neither the database nor the identity service has answered\n")
    );
    served.member_of("anybody");
    let unready = served.nobody().get("/readyz");
    assert_eq!((unready.status, unready.text()), (503, "not ready: the database does not answer\n"));
    assert_eq!(unready.header("retry-after"), Some("1"));
    assert_eq!(served.nobody().get("/livez").status, 200);
    assert_eq!(served.nobody().get("/healthcheck").status, 200);
}

#[test]
fn records_that_hang_keep_nobody_waiting_who_asks_whether_it_is_ready() {
    let served = broken(|| {
        std::thread::sleep(Duration::from_secs(3));
        Error::Unavailable(SECRET.into())
    });
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(served.nobody().get("/readyz").status, 503));
        }
    });
    // One question for all of them, and its patience: eight in turn would take eight seconds.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(6), "the last one waited {took:?}");
}
