//! Images without an owner (sharing API, section 2): made by admins only, seen by id by every project, listed to their
//! members, and nobody is on their owner side.

use core_domain::{
    image::{ImageId, Visibility},
    member::MemberStatus,
};
use serde_json::json;

use crate::served::Served;

fn ownerless(served: &Served) -> (ImageId, String) {
    let image = served.image("nobody", |image| image.owner = None);
    (image, format!("/v2/images/{image}/members"))
}

#[test]
fn only_an_admin_makes_an_image_without_an_owner() {
    let served = Served::start();
    let no = "Only an administrator can make an image for another project or without an owner.";
    for owner in [json!(null), json!("another")] {
        let body = json!({"owner": owner});
        assert_eq!(served.member_of("owner").post("/v2/images", &body).verdict(), (403, no.into()));
        assert_eq!(served.admin().post("/v2/images", &body).json()["owner"], owner);
    }
    assert_eq!(served.member_of("owner").post("/v2/images", &json!({"owner": "owner"})).status, 201);
    let image = served.member_of("owner").creates(&json!({}));
    let give = json!([{"op": "replace", "path": "/owner", "value": null}]);
    let path = format!("/v2/images/{image}");
    assert_eq!(served.member_of("owner").patch(&path, &give).verdict(), (403, no.into()));
    assert_eq!(served.admin().patch(&path, &give).json()["owner"], json!(null));
}

#[test]
fn every_project_sees_it_by_id_and_none_but_its_members_lists_it() {
    let served = Served::start();
    let shared = served.image("nobody", |image| {
        image.owner = None;
        image.name = Some("shared".into());
    });
    served.share(shared, "guest", MemberStatus::Accepted);
    let private = served.image("nobody", |image| {
        image.owner = None;
        image.visibility = Visibility::Private;
    });
    for project in ["guest", "other"] {
        for image in [shared, private] {
            let path = format!("/v2/images/{image}");
            assert_eq!(served.reader_in(project).get(&path).status, 200, "{project}");
        }
    }
    assert_eq!(served.member_of("guest").lists("?visibility=all&member_status=all"), ["shared"]);
    assert_eq!(served.member_of("other").lists("?visibility=all&member_status=all"), [""; 0]);
}

#[test]
fn nobody_is_on_its_owner_side() {
    let served = Served::start();
    let (image, members) = ownerless(&served);
    served.share(image, "guest", MemberStatus::Accepted);
    let path = format!("/v2/images/{image}");
    for client in [served.member_of("other"), served.member_of("guest"), served.member_of("None")] {
        assert_eq!(client.post(&members, &json!({"member_id": "more"})).status, 403);
        assert_eq!(client.delete(&format!("{members}/guest")).status, 403);
        assert_eq!(client.delete(&path).status, 403);
        assert_eq!(client.patch(&path, &json!([])).status, 403);
    }
    let admin = served.admin();
    assert_eq!(admin.post(&members, &json!({"member_id": "more"})).status, 200);
    assert_eq!(admin.delete(&format!("{members}/more")).status, 204);
}

#[test]
fn who_is_not_the_member_is_told_why_it_cannot_answer() {
    let served = Served::start();
    let (image, members) = ownerless(&served);
    served.share(image, "guest", MemberStatus::Pending);
    let path = format!("{members}/guest");
    let accept = json!({"status": "accepted"});
    assert_eq!(
        served.member_of("other").put(&path, &accept).verdict(),
        (403, "This image has no owner: the status of project guest can be set by that project only.".into())
    );
    assert_eq!(served.reader_in("guest").put(&path, &accept).status, 403);
    assert_eq!(served.member_of("guest").put(&path, &accept).status, 200);
    assert_eq!(served.admin().put(&path, &accept).status, 200);
}

#[test]
fn its_members_are_told_to_members_alone() {
    let served = Served::start();
    let (image, members) = ownerless(&served);
    served.share(image, "guest", MemberStatus::Pending);
    served.share(image, "second", MemberStatus::Pending);
    let listed = |client: crate::client::Client<'_>| {
        let reply = client.get(&members);
        (reply.status, reply.json()["members"].as_array().map_or(0, Vec::len))
    };
    assert_eq!(listed(served.member_of("guest")), (200, 1));
    assert_eq!(listed(served.admin()), (200, 2));
    // On neither side of it: seen, and refused by `get_members`.
    assert_eq!(listed(served.member_of("other")), (403, 0));
    assert_eq!(served.member_of("other").get(&format!("{members}/guest")).status, 404);
}
