//! Private images: before API 2.5 one with members *was* the shared image, since then it has none. Both ways, and
//! what becomes of the members that it had.

use core_domain::{
    caller::PrivateImages,
    image::{ImageId, Visibility},
    member::MemberStatus,
};
use serde_json::json;

use crate::served::Served;

fn private(served: &Served) -> (ImageId, String) {
    let image = served.image("owner", |image| image.visibility = Visibility::Private);
    (image, format!("/v2/images/{image}/members"))
}

fn forbidding() -> Served {
    Served::with(|setup| setup.rules.private_images = PrivateImages::Forbid)
}

const NO: &str = "Only shared images have members.";

#[test]
fn adding_a_member_to_a_private_image_shares_it() {
    let served = Served::start();
    let (image, members) = private(&served);
    let owner = served.member_of("owner");
    assert_eq!(owner.post(&members, &json!({"member_id": "guest"})).status, 200);
    let now = owner.get(&format!("/v2/images/{image}")).json();
    assert_eq!(now["visibility"], "shared");
    assert_ne!(now["updated_at"], "2026-01-01T00:00:00Z", "turning shared is a change of the image");
    assert_eq!(served.member_of("guest").get(&format!("/v2/images/{image}")).status, 200);
}

#[test]
fn sharing_a_private_image_ends_every_former_membership() {
    let served = Served::start();
    let (image, members) = private(&served);
    let [kept, again] = ["kept", "again"].map(|name| served.member_of(name));
    served.share(image, "kept", MemberStatus::Accepted);
    served.share(image, "again", MemberStatus::Rejected);
    let owner = served.member_of("owner");
    let added = owner.post(&members, &json!({"member_id": "again"}));
    assert_eq!((added.status, &added.json()["status"]), (200, &json!("pending")), "{added}");
    assert_eq!(added.json()["created_at"], added.json()["updated_at"]);
    assert_ne!(added.json()["created_at"], "2026-01-01T00:00:00Z", "it starts anew");
    let listed = owner.get(&members).json();
    assert_eq!(listed["members"], json!([added.json()]));
    assert_eq!(again.get(&format!("/v2/images/{image}")).status, 200);
    assert_eq!(kept.get(&format!("/v2/images/{image}")).status, 404);
    let words = |name: &str| -> Vec<(String, String)> {
        let history = owner.get(&format!("{members}/{name}/history")).json();
        let entries = history["history"].as_array().unwrap().iter();
        let word = |value: &serde_json::Value| value.as_str().unwrap_or("none").to_owned();
        entries.map(|entry| (word(&entry["event_type"]), word(&entry["reason"]))).collect()
    };
    let said =
        |words: &[(&str, &str)]| words.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect::<Vec<_>>();
    let (create, ended) = (("image.member.create", "none"), ("image.member.delete", "reshared"));
    assert_eq!(words("kept"), said(&[create, ended]));
    assert_eq!(words("again"), said(&[create, ended, create]));
}

#[test]
fn the_limit_of_members_counts_after_the_former_ones_have_ended() {
    let served = Served::with(|setup| setup.rules.limits.members_per_image = Some(1));
    let (image, members) = private(&served);
    for name in ["one", "two", "three"] {
        served.share(image, name, MemberStatus::Accepted);
    }
    let owner = served.member_of("owner");
    assert_eq!(owner.post(&members, &json!({"member_id": "more"})).status, 200);
    assert_eq!(owner.post(&members, &json!({"member_id": "one"})).status, 413);
}

#[test]
fn a_refused_addition_leaves_a_private_image_private() {
    let served = Served::with(|setup| setup.rules.limits.members_per_image = Some(0));
    let (image, members) = private(&served);
    served.share(image, "once", MemberStatus::Accepted);
    let before = served.dump();
    let owner = served.member_of("owner");
    assert_eq!(owner.post(&members, &json!({"member_id": "more"})).status, 413);
    assert_eq!(served.reader_in("owner").post(&members, &json!({"member_id": "more"})).status, 403);
    assert_eq!(served.member_of("once").post(&members, &json!({"member_id": "more"})).status, 404);
    assert_eq!(served.dump(), before);
}

#[test]
fn a_site_may_forbid_it() {
    let served = forbidding();
    let (image, members) = private(&served);
    let reply = served.member_of("owner").post(&members, &json!({"member_id": "guest"}));
    assert_eq!(reply.verdict(), (403, NO.into()));
    assert_eq!(served.admin().post(&members, &json!({"member_id": "guest"})).verdict(), (403, NO.into()));
    assert_eq!(served.admin().get(&format!("/v2/images/{image}")).json()["visibility"], "private");
}

#[test]
fn the_owner_and_admins_list_and_remove_the_members_of_a_private_image() {
    for served in [Served::start(), forbidding()] {
        let (image, members) = private(&served);
        for client in [served.member_of("owner"), served.admin()] {
            for name in ["guest", "other"] {
                served.share(image, name, MemberStatus::Accepted);
            }
            let guests = format!("{members}/guest");
            let listed = |query: &str| -> Vec<String> {
                let body = client.get(&format!("{members}{query}")).json();
                let listed = body["members"].as_array().unwrap();
                listed.iter().map(|member| member["member_id"].as_str().unwrap().to_owned()).collect()
            };
            assert_eq!(listed(""), ["guest", "other"]);
            assert_eq!(listed("?limit=1&marker=guest"), ["other"]);
            assert_eq!(client.get(&guests).status, 404);
            assert_eq!(client.put(&guests, &json!({"status": "pending"})).verdict(), (403, NO.into()));
            assert_eq!(client.delete(&guests).status, 204);
            assert_eq!(client.delete(&guests).status, 404, "removed");
            assert_eq!(listed(""), ["other"]);
            // What was removed meanwhile does not come back with the visibility.
            let steps = |to: &str| json!([{"op": "replace", "path": "/visibility", "value": to}]);
            let path = format!("/v2/images/{image}");
            assert_eq!(client.patch(&path, &steps("shared")).status, 200);
            assert_eq!(served.member_of("guest").get(&path).status, 404);
            assert_eq!(served.member_of("other").get(&path).status, 200);
            assert_eq!(client.patch(&path, &steps("private")).status, 200);
            assert_eq!(client.delete(&format!("{members}/other")).status, 204);
        }
        let reader = served.reader_in("owner");
        served.share(image, "guest", MemberStatus::Accepted);
        assert_eq!(reader.get(&members).status, 200);
        assert_eq!(reader.delete(&format!("{members}/guest")).status, 403);
    }
}

#[test]
fn a_private_image_is_not_there_for_its_former_members() {
    for served in [Served::start(), forbidding()] {
        let (image, members) = private(&served);
        served.share(image, "guest", MemberStatus::Accepted);
        let guests = format!("{members}/guest");
        let guest = served.member_of("guest");
        let no = (404, format!("Image {image} not found."));
        assert_eq!(guest.get(&format!("/v2/images/{image}")).verdict(), no);
        assert_eq!(guest.get(&members).verdict(), no);
        assert_eq!(guest.get(&guests).verdict(), no);
        assert_eq!(guest.delete(&guests).verdict(), no);
        assert_eq!(guest.put(&guests, &json!({"status": "pending"})).verdict(), no);
        assert_eq!(guest.lists("?member_status=all"), [""; 0]);
    }
}

#[test]
fn taking_visibility_away_keeps_the_memberships_and_giving_it_back_revives_them() {
    let served = Served::start();
    let (owner, admin, guest) = (served.member_of("owner"), served.admin(), served.member_of("guest"));
    let image = served.image("owner", |_| {});
    served.share(image, "guest", MemberStatus::Rejected);
    let path = format!("/v2/images/{image}");
    for visibility in ["private", "community", "public"] {
        let steps = |to: &str| json!([{"op": "replace", "path": "/visibility", "value": to}]);
        assert_eq!(admin.patch(&path, &steps(visibility)).status, 200);
        assert_eq!(guest.get(&path).status, if visibility == "private" { 404 } else { 200 });
        assert_eq!(guest.get(&format!("{path}/members/guest")).status, 404);
        assert_eq!(owner.patch(&path, &steps("shared")).status, 200);
        assert_eq!(guest.get(&format!("{path}/members/guest")).json()["status"], "rejected");
    }
}
