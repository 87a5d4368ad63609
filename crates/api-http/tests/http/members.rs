//! The five member calls (sharing API, section 3), as their clients see them.

use core_domain::member::MemberStatus;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{member_lists::ids, served::Served, wire::Reply};

/// With the image's id and the times named.
fn told(reply: &Reply, image: &str) -> String {
    let mut text = reply.transcript().replace(image, "<image>");
    if let Ok(Value::Object(body)) = serde_json::from_slice(&reply.body) {
        for (key, value) in body {
            if let (true, Some(value)) = (key.ends_with("_at"), value.as_str()) {
                assert!(
                    chrono::NaiveDateTime::parse_from_str(value, "%Y-%m-%dT%H:%M:%SZ").is_ok(),
                    "{value}"
                );
                text = text.replace(value, "<time>");
            }
        }
    }
    text
}

#[test]
fn an_image_is_offered_accepted_shown_listed_and_withdrawn() {
    let served = Served::start();
    let (owner, guest) = (served.member_of("owner"), served.member_of("guest"));
    let image = owner.creates(&json!({"name": "sunset"}));
    let members = format!("/v2/images/{image}/members");
    let guests = format!("{members}/guest");

    assert_snapshot!(told(&owner.post(&members, &json!({"member_id": "guest"})), &image), @r#"
    200
    content-type: application/json; charset=UTF-8
    x-openstack-request-id: req-<uuid>

    {"member_id":"guest","image_id":"<image>","status":"pending","created_at":"<time>","updated_at":"<time>","schema":"/v2/schemas/member"}
    "#);
    assert_snapshot!(told(&guest.put(&guests, &json!({"status": "accepted"})), &image), @r#"
    200
    content-type: application/json; charset=UTF-8
    x-openstack-request-id: req-<uuid>

    {"member_id":"guest","image_id":"<image>","status":"accepted","created_at":"<time>","updated_at":"<time>","schema":"/v2/schemas/member"}
    "#);
    assert_snapshot!(told(&guest.get(&guests), &image), @r#"
    200
    content-type: application/json; charset=UTF-8
    x-openstack-request-id: req-<uuid>

    {"member_id":"guest","image_id":"<image>","status":"accepted","created_at":"<time>","updated_at":"<time>","schema":"/v2/schemas/member"}
    "#);
    let list = owner.get(&members);
    assert_eq!(list.header("content-type"), Some("application/json; charset=UTF-8"));
    assert_eq!(list.json(), json!({"members": [guest.get(&guests).json()], "schema": "/v2/schemas/members"}));
    assert_eq!(guest.lists(""), ["sunset"]);

    assert_snapshot!(told(&owner.delete(&guests), &image), @r"
    204
    x-openstack-request-id: req-<uuid>
    ");
    assert_eq!(guest.get(&format!("/v2/images/{image}")).status, 404);
    assert_eq!(guest.lists(""), [""; 0]);
    assert_eq!(ids(&owner.get(&members)), [""; 0]);
}

#[test]
fn a_member_is_named_by_member_id_or_by_member_and_the_former_wins() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let image = owner.creates(&json!({}));
    let members = format!("/v2/images/{image}/members");
    for (body, member) in [
        (json!({"member_id": "a"}), "a"),
        (json!({"member": "b"}), "b"),
        (json!({"member": "ignored", "member_id": "c"}), "c"),
        (json!({"member_id": "d", "status": "accepted", "more": [1]}), "d"),
    ] {
        let reply = owner.post(&members, &body);
        assert_eq!(reply.status, 200, "{reply}");
        let answer = reply.json();
        assert_eq!(
            (answer["member_id"].as_str(), answer["status"].as_str()),
            (Some(member), Some("pending"))
        );
    }
    assert_eq!(ids(&owner.get(&members)), ["a", "b", "c", "d"]);
}

#[test]
fn adding_a_member_again_is_a_conflict_that_leaves_its_status_alone() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let image = served.image("owner", |_| {});
    served.share(image, "guest", MemberStatus::Accepted);
    let before = served.dump();
    let reply = owner.post(&format!("/v2/images/{image}/members"), &json!({"member_id": "guest"}));
    assert_eq!(reply.verdict(), (409, format!("Project guest is already a member of image {image}.")));
    assert_eq!(served.dump(), before);
}

#[test]
fn a_member_removed_and_added_again_starts_anew() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let image = served.image("owner", |_| {});
    served.share(image, "guest", MemberStatus::Rejected);
    let members = format!("/v2/images/{image}/members");
    let first = owner.get(&format!("{members}/guest")).json();
    assert_eq!(owner.delete(&format!("{members}/guest")).status, 204);
    let second = owner.post(&members, &json!({"member_id": "guest"})).json();
    assert_eq!(second["status"], "pending");
    assert_ne!(first["created_at"], second["created_at"]);
    assert_eq!(second["created_at"], second["updated_at"]);
}

#[test]
fn every_change_of_status_is_allowed_and_the_same_status_leaves_updated_at_alone() {
    let served = Served::start();
    let guest = served.member_of("guest");
    for from in MemberStatus::ALL {
        for to in MemberStatus::ALL {
            let image = served.image("owner", |_| {});
            served.share(image, "guest", from);
            let reply =
                guest.put(&format!("/v2/images/{image}/members/guest"), &json!({"status": to.as_str()}));
            assert_eq!(reply.status, 200, "{from} to {to}: {reply}");
            let body = reply.json();
            assert_eq!(body["status"], to.as_str());
            assert_eq!(body["created_at"], "2026-01-01T00:00:00Z");
            assert_eq!(body["updated_at"] == body["created_at"], from == to, "{from} to {to}");
        }
    }
}

#[test]
fn a_status_body_may_hold_more_than_the_status() {
    let served = Served::start();
    let image = served.image("owner", |_| {});
    served.share(image, "guest", MemberStatus::Pending);
    let reply = served.member_of("guest").put(
        &format!("/v2/images/{image}/members/guest"),
        &json!({"member": "guest", "status": "accepted", "created_at": "never"}),
    );
    assert_eq!(reply.status, 200, "{reply}");
    assert_eq!(reply.json()["status"], "accepted");
}

#[test]
fn member_calls_never_touch_the_image_s_updated_at() {
    let served = Served::start();
    let (owner, guest) = (served.member_of("owner"), served.member_of("guest"));
    let image = served.image("owner", |_| {});
    let members = format!("/v2/images/{image}/members");
    owner.post(&members, &json!({"member_id": "guest"}));
    guest.put(&format!("{members}/guest"), &json!({"status": "accepted"}));
    owner.delete(&format!("{members}/guest"));
    let image = owner.get(&format!("/v2/images/{image}")).json();
    assert_eq!(image["updated_at"], "2026-01-01T00:00:00Z");
}

#[test]
fn the_owner_and_admins_list_all_members_a_member_only_itself() {
    let served = Served::start();
    let image = served.image("owner", |_| {});
    for (member, status) in ["one", "two", "three"].into_iter().zip(MemberStatus::ALL) {
        served.share(image, member, status);
    }
    let members = format!("/v2/images/{image}/members");
    // All were added in the same moment: then their ids decide.
    for sees_all in [served.member_of("owner"), served.reader_in("owner"), served.admin()] {
        assert_eq!(ids(&sees_all.get(&members)), ["one", "three", "two"]);
    }
    for member in ["one", "two", "three"] {
        assert_eq!(ids(&served.member_of(member).get(&members)), [member]);
        assert_eq!(ids(&served.reader_in(member).get(&members)), [member]);
    }
    assert_eq!(served.member_of("other").get(&members).verdict(), (404, format!("Image {image} not found.")));
}

#[test]
fn public_and_community_images_have_no_members() {
    let served = Served::start();
    let (owner, admin) = (served.member_of("owner"), served.admin());
    for visibility in [core_domain::image::Visibility::Public, core_domain::image::Visibility::Community] {
        let image = served.image("owner", |image| image.visibility = visibility);
        served.share(image, "guest", MemberStatus::Accepted);
        let members = format!("/v2/images/{image}/members");
        let guests = format!("{members}/guest");
        for client in [&owner, &admin, &served.member_of("guest"), &served.member_of("other")] {
            let no = (403, "Only shared images have members.".to_owned());
            assert_eq!(client.get(&members).verdict(), no);
            assert_eq!(client.post(&members, &json!({"member_id": "new"})).verdict(), no);
            assert_eq!(client.put(&guests, &json!({"status": "pending"})).verdict(), no);
            assert_eq!(client.delete(&guests).verdict(), no);
            // The single show alone hides behind a 404.
            assert_eq!(client.get(&guests).status, 404);
        }
    }
}

#[test]
fn only_the_member_itself_or_an_admin_answers_an_offer() {
    let served = Served::start();
    let image = served.image("owner", |_| {});
    served.share(image, "guest", MemberStatus::Pending);
    served.share(image, "another", MemberStatus::Accepted);
    let path = format!("/v2/images/{image}/members/guest");
    let accept = |client: &crate::client::Client<'_>| client.put(&path, &json!({"status": "accepted"}));

    assert_eq!(
        accept(&served.member_of("owner")).verdict(),
        (403, "The owner of an image cannot set a member's status: only project guest itself can.".into())
    );
    assert_eq!(accept(&served.reader_in("owner")).status, 403);
    assert_eq!(
        accept(&served.reader_in("guest")).verdict(),
        (
            403,
            "You are not authorized to complete modify_member action: neither your project nor your roles allow it."
                .into()
        )
    );
    // Another member of the same image does not even learn of this one.
    assert_eq!(
        accept(&served.member_of("another")).verdict(),
        (404, format!("guest not found in the member list of the image {image}."))
    );
    assert_eq!(accept(&served.member_of("stranger")).verdict(), (404, format!("Image {image} not found.")));
    assert_eq!(accept(&served.member_of("guest")).status, 200);
    assert_eq!(served.admin().put(&path, &json!({"status": "rejected"})).status, 200);
}

#[test]
fn a_member_neither_adds_others_nor_leaves() {
    let served = Served::start();
    let image = served.image("owner", |_| {});
    served.share(image, "guest", MemberStatus::Accepted);
    served.share(image, "another", MemberStatus::Accepted);
    let members = format!("/v2/images/{image}/members");
    let guest = served.member_of("guest");
    for (reply, action) in [
        (guest.post(&members, &json!({"member_id": "friend"})), "add_member"),
        (guest.delete(&format!("{members}/guest")), "delete_member"),
        (guest.delete(&format!("{members}/another")), "delete_member"),
        (served.reader_in("owner").delete(&format!("{members}/guest")), "delete_member"),
        (served.reader_in("owner").post(&members, &json!({"member_id": "friend"})), "add_member"),
    ] {
        let message = format!(
            "You are not authorized to complete {action} action: neither your project nor your roles allow it."
        );
        assert_eq!(reply.verdict(), (403, message));
    }
}

#[test]
fn a_membership_that_is_not_there_is_not_found() {
    let served = Served::start();
    let image = served.image("owner", |_| {});
    let path = format!("/v2/images/{image}/members/nobody");
    let no = (404, format!("nobody not found in the member list of the image {image}."));
    for client in [served.member_of("owner"), served.admin()] {
        assert_eq!(client.get(&path).verdict(), no);
        assert_eq!(client.delete(&path).verdict(), no);
    }
    let accepted = json!({"status": "accepted"});
    assert_eq!(served.admin().put(&path, &accepted).verdict(), no);
    // Source 003: «if the call is made by the image owner, the response is HTTP 403», member or not.
    assert_eq!(served.member_of("owner").put(&path, &accepted).status, 403);
}

#[test]
fn an_owner_may_share_with_its_own_project_and_accept() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let image = owner.creates(&json!({"name": "mine"}));
    let members = format!("/v2/images/{image}/members");
    assert_eq!(owner.post(&members, &json!({"member_id": "owner"})).status, 200);
    assert_eq!(owner.put(&format!("{members}/owner"), &json!({"status": "accepted"})).status, 200);
    assert_eq!(owner.get(&format!("{members}/owner")).json()["status"], "accepted");
    assert_eq!(owner.lists(""), ["mine"]);
    assert_eq!(owner.delete(&format!("{members}/owner")).status, 204);
    assert_eq!(owner.lists(""), ["mine"]);
}

#[test]
fn a_queued_image_can_be_shared() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let image = owner.creates(&json!({}));
    assert_eq!(owner.get(&format!("/v2/images/{image}")).json()["status"], "queued");
    let reply = owner.post(&format!("/v2/images/{image}/members"), &json!({"member_id": "guest"}));
    assert_eq!(reply.status, 200, "{reply}");
}

#[test]
fn a_deleted_image_is_gone_for_everybody_and_its_memberships_with_it() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let image = served.image("owner", |image| image.name = Some("gone".into()));
    served.share(image, "guest", MemberStatus::Accepted);
    assert_eq!(owner.delete(&format!("/v2/images/{image}")).status, 204);
    let members = format!("/v2/images/{image}/members");
    let guests = format!("{members}/guest");
    let no = (404, format!("Image {image} not found."));
    for client in [&owner, &served.member_of("guest"), &served.admin()] {
        assert_eq!(client.get(&members).verdict(), no);
        assert_eq!(client.post(&members, &json!({"member_id": "guest"})).verdict(), no);
        assert_eq!(client.get(&guests).verdict(), no);
        assert_eq!(client.put(&guests, &json!({"status": "accepted"})).verdict(), no);
        assert_eq!(client.delete(&guests).verdict(), no);
        assert_eq!(client.lists("?visibility=all&member_status=all"), [""; 0]);
    }
    assert!(served.dump().is_empty());
}

#[test]
fn a_token_without_a_project_sees_no_image_not_even_a_public_one() {
    let served = Served::start();
    let image = served.image("owner", |image| image.visibility = core_domain::image::Visibility::Public);
    for bearer in [
        served.somebody(None, &[]),
        served.somebody(None, &["reader"]),
        served.somebody(None, &["admin", "member", "reader"]),
    ] {
        let no = (404, format!("Image {image} not found."));
        assert_eq!(bearer.get(&format!("/v2/images/{image}")).verdict(), no);
        assert_eq!(bearer.get(&format!("/v2/images/{image}/members")).verdict(), no);
        let needs = (403, "This call needs a token that is scoped to a project.".to_owned());
        assert_eq!(bearer.get("/v2/images").verdict(), needs);
        assert_eq!(bearer.post("/v2/images", &json!({})).verdict(), needs);
        assert_eq!(bearer.get("/v2/schemas/member").status, 200);
    }
}

#[test]
fn roles_compare_without_regard_to_case_and_are_not_expanded_again() {
    let served = Served::start();
    let image = served.image("owner", |_| {});
    served.share(image, "guest", MemberStatus::Pending);
    let accept = |roles: &[&str]| {
        served
            .somebody(Some("guest"), roles)
            .put(&format!("/v2/images/{image}/members/guest"), &json!({"status": "accepted"}))
            .status
    };
    assert_eq!(accept(&["Member", "READER"]), 200);
    // Keystone says every implied role; one that it does not say, the caller has not.
    assert_eq!(accept(&["manager"]), 403);
    assert_eq!(accept(&["manager", "member", "reader"]), 200);
}
