//! Lists of members: their order, their pages and how many there may be (sharing API, section 3).

use core_domain::{
    limits::Limits,
    member::MemberStatus,
    testing::builders::{at, cause},
};
use serde_json::json;

use crate::{served::Served, wire::Reply};

/// Whose memberships an answer lists, in its order.
pub(crate) fn ids(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{reply}");
    let body = reply.json();
    assert_eq!(body["schema"], "/v2/schemas/members");
    let members = body["members"].as_array().unwrap();
    members.iter().map(|member| member["member_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn members_are_ordered_by_when_they_were_added_then_by_id() {
    let served = Served::start();
    let image = served.image("owner", |_| {});
    for (member, second) in [("z", 1), ("b", 2), ("a", 2), ("c", 0)] {
        let mut offer = core_domain::member::Member::offered(
            image,
            core_domain::testing::builders::project(member),
            at(second),
        );
        offer.status = MemberStatus::Accepted;
        served.store.write(image, &cause(0), |tx| tx.insert_member(&offer)).unwrap();
    }
    let listed = served.member_of("owner").get(&format!("/v2/images/{image}/members"));
    assert_eq!(ids(&listed), ["c", "z", "a", "b"]);
}

#[test]
fn members_come_on_pages_only_when_asked() {
    let served = Served::with(|setup| {
        setup.rules.limits = Limits { members_per_image: None, page_default: 2, ..Limits::default() };
    });
    let owner = served.member_of("owner");
    let image = served.image("owner", |_| {});
    let many: Vec<String> = (0..40).map(|number| format!("member/{number:02}")).collect();
    for member in &many {
        served.share(image, member, MemberStatus::Pending);
    }
    let members = format!("/v2/images/{image}/members");
    let whole = owner.get(&members);
    assert_eq!(ids(&whole), many);
    assert_eq!(whole.json().get("next"), None);

    let mut gathered = Vec::new();
    let mut next = Some(format!("{members}?limit=9&more=x%26y"));
    let mut pages = 0;
    while let Some(link) = next {
        let page = owner.get(&link);
        gathered.extend(ids(&page));
        next = page.json()["next"].as_str().map(ToOwned::to_owned);
        if let Some(next) = &next {
            assert!(next.starts_with(&format!("{members}?limit=9&more=x%26y&marker=member%2F")), "{next}");
        }
        pages += 1;
    }
    assert_eq!((gathered, pages), (many.clone(), 5));

    assert_eq!(ids(&owner.get(&format!("{members}?marker=member/37"))), many[38..]);
    assert_eq!(ids(&owner.get(&format!("{members}?limit=0"))), [""; 0]);
    assert_eq!(owner.get(&format!("{members}?limit=0")).json().get("next"), None);
    assert_eq!(ids(&owner.get(&format!("{members}?limit=40"))), many);
    assert_eq!(owner.get(&format!("{members}?limit=40")).json().get("next"), None);
}

#[test]
fn a_page_of_members_that_makes_no_sense_is_refused() {
    let served = Served::start();
    let image = served.image("owner", |_| {});
    served.share(image, "guest", MemberStatus::Pending);
    served.share(image, "other", MemberStatus::Pending);
    let members = format!("/v2/images/{image}/members");
    let owner = served.member_of("owner");
    for limit in ["-1", "x", "", "1.5", "%20"] {
        let reply = owner.get(&format!("{members}?limit={limit}"));
        assert_eq!(reply.verdict(), (400, "The limit must be a whole number, not negative.".into()));
    }
    let unknown = owner.get(&format!("{members}?marker=nobody"));
    assert_eq!(
        unknown.verdict(),
        (400, "The marker nobody is not a member of the image that you can see.".into())
    );
    // A member learns nothing of the others by asking to start after one of them.
    let guest = served.member_of("guest");
    assert_eq!(
        guest.get(&format!("{members}?marker=other")).verdict(),
        (400, "The marker other is not a member of the image that you can see.".into())
    );
    assert_eq!(ids(&guest.get(&format!("{members}?marker=guest"))), [""; 0]);
    assert_eq!(owner.get(&format!("{members}?marker=")).status, 400);
    assert_eq!(served.member_of("stranger").get(&format!("{members}?marker=guest")).status, 404);
}

#[test]
fn an_image_has_no_more_members_than_the_limit_allows() {
    let full = |limit| {
        let served = Served::with(|setup| setup.rules.limits.members_per_image = limit);
        let image = served.image("owner", |_| {});
        let adds = |member: &str| {
            served
                .member_of("owner")
                .post(&format!("/v2/images/{image}/members"), &json!({"member_id": member}))
        };
        let mut added = 0;
        let last = loop {
            let reply = adds(&format!("member-{added}"));
            if reply.status != 200 || added == 150 {
                break reply;
            }
            added += 1;
        };
        // Who is a member already is told so, room or no room.
        (added, last.status, if added > 0 { adds("member-0").status } else { 0 }, last)
    };
    let (added, status, again, reply) = full(Some(128));
    assert_eq!((added, status, again), (128, 413, 409));
    assert_eq!(
        reply.message(),
        "The limit has been exceeded on the number of allowed image members. Attempted: 129, maximum: 128."
    );
    let (added, status, ..) = full(Some(0));
    assert_eq!((added, status), (0, 413));
    let (added, status, again, _) = full(None);
    assert_eq!((added, status, again), (150, 200, 409));
}

#[test]
fn a_member_that_leaves_makes_room_for_another() {
    let served = Served::with(|setup| setup.rules.limits.members_per_image = Some(1));
    let owner = served.member_of("owner");
    let members = format!("/v2/images/{}/members", owner.creates(&json!({})));
    assert_eq!(owner.post(&members, &json!({"member_id": "a"})).status, 200);
    assert_eq!(owner.post(&members, &json!({"member_id": "b"})).status, 413);
    assert_eq!(owner.delete(&format!("{members}/a")).status, 204);
    assert_eq!(owner.post(&members, &json!({"member_id": "b"})).status, 200);
}

#[test]
fn the_server_s_next_stays_good_when_its_last_member_is_gone() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let image = served.image("owner", |_| {});
    let many: Vec<String> = (0..9).map(|number| format!("m/{number}")).collect();
    for member in &many {
        served.share(image, member, MemberStatus::Pending);
    }
    let members = format!("/v2/images/{image}/members");
    let mut next = Some(format!("{members}?limit=2"));
    let mut walked = Vec::new();
    while let Some(link) = next {
        let page = owner.get(&link);
        let seen = ids(&page);
        next = page.json()["next"].as_str().map(ToOwned::to_owned);
        for member in &seen {
            assert_eq!(owner.delete(&format!("{members}/{}", member.replace('/', "%2F"))).status, 204);
        }
        walked.extend(seen);
    }
    assert_eq!(walked, many);
    assert_eq!(owner.get(&format!("{members}?marker=m/3")).status, 400, "a marker alone must be a member");
    // A position gives no right, and one that is none is refused.
    served.share(image, "guest", MemberStatus::Pending);
    served.share(image, "other", MemberStatus::Pending);
    let forged = format!("{members}?marker=a&marker_position=m61.c0-0");
    assert_eq!(ids(&served.member_of("guest").get(&forged)), ["guest"]);
    assert_eq!(served.member_of("stranger").get(&forged).status, 404);
    assert_eq!(owner.get(&format!("{members}?marker_position=x")).status, 400);
}

#[test]
fn more_members_than_an_answer_holds_come_on_pages() {
    let served = Served::with(|setup| setup.rules.limits.members_per_image = None);
    let image = served.image("owner", |_| {});
    let count = core_domain::limits::MEMBERS_PAGE + 1;
    served
        .store
        .write(image, &cause(0), |tx| {
            for number in 0..count {
                let project = core_domain::testing::builders::project(&format!("{number:05}"));
                tx.insert_member(&core_domain::member::Member::offered(image, project, at(0)))?;
            }
            Ok(())
        })
        .unwrap();
    let owner = served.member_of("owner");
    let whole = owner.get(&format!("/v2/images/{image}/members"));
    let next = whole.json()["next"].as_str().unwrap().to_owned();
    let rest = owner.get(&next);
    let (mut listed, rest) = (ids(&whole), ids(&rest));
    assert_eq!((listed.len(), rest.len()), (count - 1, 1));
    listed.extend(rest);
    assert!(listed.is_sorted());
    assert_eq!(served.list_memory(), 0);
}
