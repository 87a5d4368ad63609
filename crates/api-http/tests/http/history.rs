//! Histories of memberships: who did what, and when.

use core_domain::{
    limits::{HISTORY_PAGE, Limits},
    member::MemberStatus,
};
use serde_json::{Value, json};

use crate::served::Served;

/// What an entry says, without what is new every time.
fn said(entry: &Value) -> (&str, &str, Value, Value) {
    assert!(uuid::Uuid::parse_str(entry["id"].as_str().unwrap()).is_ok(), "{entry}");
    assert!(entry["at"].as_str().unwrap().ends_with('Z'), "{entry}");
    (
        entry["event_type"].as_str().unwrap(),
        entry["project_id"].as_str().unwrap(),
        entry["old_status"].clone(),
        entry["new_status"].clone(),
    )
}

#[test]
fn owner_member_and_admin_read_who_did_what_and_in_which_request() {
    let served = Served::start();
    let (owner, guest) = (served.member_of("owner"), served.member_of("guest"));
    let image = owner.creates(&json!({"name": "sunset"}));
    let members = format!("/v2/images/{image}/members");
    let guests = format!("{members}/guest");
    let offer = owner.post(&members, &json!({"member_id": "guest"}));
    guest.put(&guests, &json!({"status": "accepted"}));
    guest.put(&guests, &json!({"status": "accepted"}));
    served.admin().put(&guests, &json!({"status": "rejected"}));

    let history = owner.get(&format!("{guests}/history"));
    assert_eq!(history.status, 200, "{history}");
    for client in [guest, served.admin()] {
        assert_eq!(client.get(&format!("{guests}/history")).json(), history.json());
    }
    let body = history.json();
    let entries = body["history"].as_array().unwrap();
    assert_eq!(
        entries.iter().map(said).collect::<Vec<_>>(),
        [
            ("image.member.create", "owner", json!(null), json!("pending")),
            ("image.member.update", "guest", json!("pending"), json!("accepted")),
            ("image.member.update", "operations", json!("accepted"), json!("rejected")),
        ]
    );
    assert_eq!(entries[0]["request_id"].as_str(), offer.header("x-openstack-request-id"));
    assert!(entries.iter().all(|entry| entry["user_id"] == "someone"), "{entries:?}");
    assert!(body.get("next").is_none());
}

#[test]
fn a_history_goes_on_after_the_end_of_a_membership_for_who_may_still_know_of_it() {
    let served = Served::start();
    let (owner, guest) = (served.member_of("owner"), served.member_of("guest"));
    let image = owner.creates(&json!({}));
    let members = format!("/v2/images/{image}/members");
    let guests = format!("{members}/guest");
    let history = format!("{guests}/history");
    assert_eq!(owner.get(&history).status, 404, "before there was one");
    owner.post(&members, &json!({"member_id": "guest"}));
    owner.delete(&guests);
    let types = |reply: crate::wire::Reply| -> Vec<String> {
        let body = reply.json();
        let entries = body["history"].as_array().unwrap_or_else(|| panic!("{reply}"));
        entries.iter().map(|entry| said(entry).0.to_owned()).collect()
    };
    assert_eq!(types(owner.get(&history)), ["image.member.create", "image.member.delete"]);
    assert_eq!(guest.get(&history).status, 404, "it does not see the image any more");
    owner.post(&members, &json!({"member_id": "guest"}));
    assert_eq!(types(guest.get(&history)).len(), 3);
    assert_eq!(served.member_of("stranger").get(&history).status, 404);

    owner.delete(&format!("/v2/images/{image}"));
    assert_eq!(owner.get(&history).status, 404);
    assert_eq!(types(served.admin().get(&history)).last().unwrap(), "image.member.delete");
}

#[test]
fn a_history_comes_in_pages_that_lead_to_the_next() {
    let served = Served::start();
    let (owner, guest) = (served.member_of("owner"), served.member_of("guest"));
    let image = owner.creates(&json!({}));
    let guests = format!("/v2/images/{image}/members/guest");
    owner.post(&format!("/v2/images/{image}/members"), &json!({"member_id": "guest"}));
    for status in ["accepted", "rejected", "pending", "accepted"] {
        guest.put(&guests, &json!({"status": status}));
    }
    let whole = owner.get(&format!("{guests}/history")).json()["history"].clone();
    let mut walked: Vec<Value> = Vec::new();
    let mut next = Some(format!("{guests}/history?limit=2"));
    while let Some(page) = next {
        let body = owner.get(&page).json();
        let entries = body["history"].as_array().unwrap();
        assert!(entries.len() <= 2);
        walked.extend(entries.iter().cloned());
        next = body["next"].as_str().map(ToOwned::to_owned);
    }
    assert_eq!(json!(walked), whole);
    assert_eq!(owner.get(&format!("{guests}/history?limit=0")).json(), json!({"history": []}));
    for query in ["marker=x", "marker=-1", "marker=", "marker=99999999999999999999", "limit=x"] {
        let reply = owner.get(&format!("{guests}/history?{query}"));
        assert_eq!(reply.status, 400, "{query}: {reply}");
    }
}

#[test]
fn longer_history_than_an_answer_holds_comes_on_pages() {
    let served = Served::with(|setup| {
        setup.rules.limits = Limits { page_default: 5_000, page_max: 5_000, ..Limits::default() };
    });
    let guest = served.member_of("guest");
    let image = served.image("owner", |_| {});
    served.share(image, "guest", MemberStatus::Pending);
    let path = format!("/v2/images/{image}/members/guest");
    // One change beyond a page, over one connection; the share above is the first entry.
    let mut wire = served.connect();
    for number in 0..HISTORY_PAGE {
        let status = if number % 2 == 0 { "accepted" } else { "rejected" };
        wire.send(&guest.ask("PUT", &path).json(&json!({"status": status})).bytes());
        assert_eq!(wire.reply().unwrap().status, 200);
    }
    for query in ["", "?limit=5000"] {
        let page = guest.get(&format!("{path}/history{query}")).json();
        assert_eq!(page["history"].as_array().unwrap().len(), HISTORY_PAGE, "{query}");
        let rest = guest.get(page["next"].as_str().unwrap()).json();
        assert_eq!(rest["history"].as_array().unwrap().len(), 1, "{query}");
        assert_eq!(rest.get("next"), None);
    }
    assert_eq!(served.list_memory(), 0);
}
