//! Private images: before API 2.5 one with members *was* the shared image, since then it has none. Both ways.

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
fn a_refused_addition_leaves_a_private_image_private() {
    let served = Served::with(|setup| setup.rules.limits.members_per_image = Some(1));
    let (image, members) = private(&served);
    served.share(image, "once", MemberStatus::Accepted);
    let before = served.dump();
    let owner = served.member_of("owner");
    assert_eq!(owner.post(&members, &json!({"member_id": "once"})).status, 409);
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
fn the_other_member_calls_treat_a_private_image_as_any_that_is_not_shared() {
    for served in [Served::start(), forbidding()] {
        let (image, members) = private(&served);
        served.share(image, "guest", MemberStatus::Accepted);
        let guests = format!("{members}/guest");
        for client in [served.member_of("owner"), served.admin()] {
            assert_eq!(client.get(&members).verdict(), (403, NO.into()));
            assert_eq!(client.get(&guests).status, 404);
            assert_eq!(client.put(&guests, &json!({"status": "pending"})).verdict(), (403, NO.into()));
            assert_eq!(client.delete(&guests).verdict(), (403, NO.into()));
        }
        // The member of old sees nothing of it.
        let guest = served.member_of("guest");
        let no = (404, format!("Image {image} not found."));
        assert_eq!(guest.get(&format!("/v2/images/{image}")).verdict(), no);
        assert_eq!(guest.get(&members).verdict(), no);
        assert_eq!(guest.get(&guests).verdict(), no);
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
