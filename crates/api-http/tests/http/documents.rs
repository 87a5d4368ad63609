//! The execution examples of the documents that the sharing API is drawn from: each request goes over the wire as the
//! document prints it, to records that hold what the document's did. What the document answers is compared with ours;
//! where ours differs, a comment says which sentence of the sharing API decided it.

use core_domain::{
    Result,
    image::{Image, ImageId},
    member::{Member, MemberStatus},
    testing::builders,
};
use serde_json::{Value, json};

use crate::{
    client::Client,
    served::Served,
    wire::{Reply, masked_request_id},
};

const IMAGE_OF_UPDATE: &str = "54d63e39-4ee1-4a62-8704-0ae5025a0deb";
const IMAGE_OF_SHOW: &str = "b74e0497-764d-4b02-8b8b-51c396a7ff5a";
const PROJECT: &str = "1efb79fe4437490aab966b57da5b9f05";

fn time(text: &str) -> chrono::DateTime<chrono::Utc> {
    text.parse().unwrap()
}

/// Keeps a shared image of «owner» with this id, and, if told, a member.
fn keep(served: &Served, id: &str, member: Option<(&str, MemberStatus, &str, &str)>) {
    let id: ImageId = id.parse().unwrap();
    let image = Image { id, ..builders::an_image("owner") };
    let kept: Result<()> = served.store.write(id, &builders::cause(0), |tx| {
        tx.insert_image(&image)?;
        match member {
            Some((project, status, created_at, updated_at)) => tx.insert_member(&Member {
                image: id,
                project: builders::project(project),
                status,
                created_at: time(created_at),
                updated_at: time(updated_at),
            }),
            None => Ok(()),
        }
    });
    kept.unwrap();
}

/// The request as the document prints it: line ends are the wire's.
fn as_printed(served: &Served, request: &str) -> Reply {
    served.exchange(request.replace('\n', "\r\n").as_bytes())
}

fn has_the_documents_headers(reply: &Reply, content_type: &str) {
    assert_eq!(reply.header("content-type"), Some(content_type));
    assert_eq!(masked_request_id(reply.header("x-openstack-request-id").unwrap()), "req-<uuid>");
    assert!(reply.header("date").unwrap().ends_with(" GMT"));
    assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()));
}

// Document 000, «Update image member».

#[test]
fn document_000_execution_example() {
    let served = Served::start();
    let row = (PROJECT, MemberStatus::Accepted, "2014-08-06T07:17:40Z", "2014-08-07T05:18:25Z");
    keep(&served, IMAGE_OF_UPDATE, Some(row));
    served.bearer("f6b446be2b3d4b1b95b9dba71a958e7a", Some(PROJECT), &["member", "reader"]);
    let reply = as_printed(
        &served,
        r#"PUT /v2/images/54d63e39-4ee1-4a62-8704-0ae5025a0deb/members/1efb79fe4437490aab966b57da5b9f05 HTTP/1.1
User-Agent: curl/7.35.0
Host: 192.168.11.141:9292
Accept: */*
X-Auth-Token: f6b446be2b3d4b1b95b9dba71a958e7a
Content-Length: 22
Content-Type: application/x-www-form-urlencoded

{"status": "accepted"}"#,
    );
    assert_eq!(reply.status, 200, "{reply}");
    has_the_documents_headers(&reply, "application/json; charset=UTF-8");
    // The document's call was made at 05:20:45 and answered `updated_at` 05:18:25: the status was set already.
    let documented: Value = serde_json::from_str(
        r#"{"status": "accepted", "created_at": "2014-08-06T07:17:40Z", "updated_at": "2014-08-07T05:18:25Z", "image_id": "54d63e39-4ee1-4a62-8704-0ae5025a0deb", "member_id": "1efb79fe4437490aab966b57da5b9f05", "schema": "/v2/schemas/member"}"#,
    )
    .unwrap();
    assert_eq!(reply.json(), documented);
    // The keys come in the order of the sharing API, section 3, and without blanks; JSON knows neither.
    assert_eq!(
        reply.text(),
        r#"{"member_id":"1efb79fe4437490aab966b57da5b9f05","image_id":"54d63e39-4ee1-4a62-8704-0ae5025a0deb","status":"accepted","created_at":"2014-08-06T07:17:40Z","updated_at":"2014-08-07T05:18:25Z","schema":"/v2/schemas/member"}"#
    );
}

#[test]
fn document_000_error_execution_example() {
    let served = Served::start();
    keep(&served, "82c96579-ba53-4a84-a69a-716382fe0293", None);
    let project = "ad355aa6ed3e4cf5ae0fa0df652bc291";
    served.bearer("68ee29d9f7be490c9ba0ff384ea55e1e", Some(project), &["member", "reader"]);
    let reply = as_printed(
        &served,
        "PUT /v2/images/82c96579-ba53-4a84-a69a-716382fe0293/members/ad355aa6ed3e4cf5ae0fa0df652bc291 HTTP/1.1
User-Agent: curl/7.35.0
Host: 192.168.56.250:9292
Accept: */*
X-Auth-Token: 68ee29d9f7be490c9ba0ff384ea55e1e

",
    );
    // The document answers `*/*` in HTML. Ours answers in JSON (sharing API, section 6): the one form that today's
    // clients all read. Status and message are the document's.
    assert_eq!(reply.verdict(), (400, "Body expected in request.".into()));
    has_the_documents_headers(&reply, "application/json");
    assert_eq!(reply.json()["error"]["title"], "Bad Request");
}

#[test]
fn document_000_response_codes() {
    let served = Served::start();
    let row = (PROJECT, MemberStatus::Pending, "2014-08-06T07:17:40Z", "2014-08-06T07:17:40Z");
    keep(&served, IMAGE_OF_UPDATE, Some(row));
    let public = served.image("owner", |image| image.visibility = core_domain::image::Visibility::Public);
    let ownerless = served.image("owner", |image| image.owner = None);
    let member = served.member_of(PROJECT);
    let path = format!("/v2/images/{IMAGE_OF_UPDATE}/members/{PROJECT}");
    let put = |client: &Client<'_>, path: &str| client.put(path, &json!({"status": "accepted"}));

    assert_eq!(put(&member, &path).status, 200, "normal end");
    assert_eq!(member.ask("PUT", &path).send().status, 400, "empty body");
    assert_eq!(member.ask("PUT", &path).body("{status").send().status, 400, "call with malformed JSON");
    assert_eq!(member.put(&path, &json!({})).status, 400, "key \"status\" is not specified");
    assert_eq!(member.put(&path, &json!({"status": "maybe"})).status, 400, "invalid member_status");
    assert_eq!(put(&served.nobody(), &path).status, 401, "unauthorized");
    assert_eq!(put(&member, &format!("/v2/images/{public}/members/{PROJECT}")).status, 403, "public image");
    // «requested by user whose project is the owner but not the member […] (if image has no owner, the response code
    // is same but the message is different)»
    let owners = put(&served.member_of("owner"), &path);
    let nobodys = put(&served.member_of("owner"), &format!("/v2/images/{ownerless}/members/{PROJECT}"));
    assert_eq!((owners.status, nobodys.status), (403, 403));
    assert_ne!(owners.message(), nobodys.message());
    let never = ImageId::random();
    assert_eq!(put(&member, &format!("/v2/images/{never}/members/{PROJECT}")).status, 404, "no such image");
    let others = format!("/v2/images/{IMAGE_OF_UPDATE}/members/no-member");
    assert_eq!(put(&served.member_of("no-member"), &others).status, 404, "not a member of the image");
    assert_eq!(put(&member, &others).status, 404, "not the member and not the owner");
    assert_eq!(put(&member, &format!("/v2/images//members/{PROJECT}")).status, 405, "the blank image id");
    served.member_of("owner").delete(&format!("/v2/images/{IMAGE_OF_UPDATE}"));
    assert_eq!(put(&member, &path).status, 404, "deleted image");
}

// Document 001, «Show image member details».

#[test]
fn document_001_execution_example() {
    let served = Served::start();
    let row = (PROJECT, MemberStatus::Accepted, "2014-07-31T08:03:41Z", "2014-07-31T08:07:17Z");
    keep(&served, IMAGE_OF_SHOW, Some(row));
    served.bearer("35266111e7c3495d8273f59fdcca8210", Some(PROJECT), &["reader"]);
    let reply = as_printed(
        &served,
        "GET /v2/images/b74e0497-764d-4b02-8b8b-51c396a7ff5a/members/1efb79fe4437490aab966b57da5b9f05 HTTP/1.1
User-Agent: curl/7.35.0
Host: 192.168.11.141:9292
Accept: */*
X-Auth-Token: 35266111e7c3495d8273f59fdcca8210

",
    );
    assert_eq!(reply.status, 200, "{reply}");
    has_the_documents_headers(&reply, "application/json; charset=UTF-8");
    let documented: Value = serde_json::from_str(
        r#"{"status": "accepted", "created_at": "2014-07-31T08:03:41Z", "updated_at": "2014-07-31T08:07:17Z", "image_id": "b74e0497-764d-4b02-8b8b-51c396a7ff5a", "member_id": "1efb79fe4437490aab966b57da5b9f05", "schema": "/v2/schemas/member"}"#,
    )
    .unwrap();
    assert_eq!(reply.json(), documented);
}

#[test]
fn document_001_error_message_example() {
    let served = Served::start();
    served.bearer("b4039009185744c19e95271805a944b5", Some(PROJECT), &["reader"]);
    let request = "GET /v2/images/b74e0497-764d-4b02-8b8b-51c396a7ff5a/members/1efb79fe4437490aab966b57da5b9f05 HTTP/1.1
User-Agent: curl/7.35.0
Host: 192.168.56.250:8776
X-Auth-Token: b4039009185744c19e95271805a944b5
Accept: application/json

";
    // The document answers in plain text although JSON is asked for. Ours gives what is asked for (sharing API,
    // section 6), and says which image there is not.
    let reply = as_printed(&served, request);
    assert_eq!(reply.verdict(), (404, format!("Image {IMAGE_OF_SHOW} not found.")));
    has_the_documents_headers(&reply, "application/json");
    // Who asks for plain text gets the document's form: status line, blank line, message.
    let reply = as_printed(&served, &request.replace("application/json", "text/plain"));
    has_the_documents_headers(&reply, "text/plain; charset=UTF-8");
    assert_eq!(reply.text(), format!("404 Not Found\n\nImage {IMAGE_OF_SHOW} not found.\n"));
}

#[test]
fn document_001_response_codes() {
    let served = Served::start();
    let row = (PROJECT, MemberStatus::Accepted, "2014-07-31T08:03:41Z", "2014-07-31T08:07:17Z");
    keep(&served, IMAGE_OF_SHOW, Some(row));
    let public = served.image("owner", |image| image.visibility = core_domain::image::Visibility::Public);
    served.share(public, PROJECT, MemberStatus::Accepted);
    let member = served.reader_in(PROJECT);
    let path = format!("/v2/images/{IMAGE_OF_SHOW}/members/{PROJECT}");
    assert_eq!(member.get(&path).status, 200, "normal end");
    assert_eq!(served.nobody().get(&path).status, 401, "unauthorized");
    let never = ImageId::random();
    assert_eq!(member.get(&format!("/v2/images/{never}/members/{PROJECT}")).status, 404, "no such image");
    let others = format!("/v2/images/{IMAGE_OF_SHOW}/members/no-member");
    assert_eq!(served.member_of("owner").get(&others).status, 404, "not a member of the image");
    assert_eq!(member.get(&format!("/v2/images/{public}/members/{PROJECT}")).status, 404, "public image");
    assert_eq!(served.member_of("stranger").get(&path).status, 404, "not the member and not the owner");
    served.member_of("owner").delete(&format!("/v2/images/{IMAGE_OF_SHOW}"));
    assert_eq!(member.get(&path).status, 404, "deleted image");
}

// Document 002, «Members (images, members)».

#[test]
fn document_002_show_update_and_delete() {
    let served = Served::start();
    let (owner, member) = (served.member_of("owner"), served.member_of(PROJECT));
    let row = (PROJECT, MemberStatus::Pending, "2014-07-31T08:03:41Z", "2014-07-31T08:03:41Z");
    keep(&served, IMAGE_OF_SHOW, Some(row));
    let path = format!("/v2/images/{IMAGE_OF_SHOW}/members/{PROJECT}");
    // «You must be the owner or a member of the image.»
    for client in [&owner, &member] {
        assert_eq!(client.get(&path).status, 200);
    }
    let shown = member.get(&path).json();
    for parameter in ["status", "created_at", "updated_at", "image_id", "member_id", "schema"] {
        assert!(shown[parameter].is_string(), "{parameter}");
    }
    // «If you update the member status to accepted […], you see the image in list images responses.»
    let listed = || member.get("/v2/images").json()["images"].as_array().unwrap().len();
    assert_eq!(listed(), 0);
    assert_eq!(member.put(&path, &json!({"status": "accepted"})).status, 200);
    assert_eq!(listed(), 1);
    // «You must be the owner of the image»: 204, 403 and 404 are the codes of the removal.
    assert_eq!(member.delete(&path).status, 403);
    assert_eq!(owner.delete(&path).status, 204);
    assert_eq!(owner.delete(&path).status, 404);
}

#[test]
fn document_002_list() {
    let served = Served::start();
    let image = served.image("owner", |_| {});
    for project in [PROJECT, "another"] {
        served.share(image, project, MemberStatus::Accepted);
    }
    let path = format!("/v2/images/{image}/members");
    let listed = |client: &Client<'_>| client.get(&path).json()["members"].as_array().unwrap().len();
    assert_eq!(listed(&served.member_of("owner")), 2);
    // «If a user who shares this image makes this call, the member list contains only information for that user.»
    assert_eq!(listed(&served.member_of(PROJECT)), 1);
    // «If a user who does not share this image makes this call, the call returns the HTTP 404 response code.»
    assert_eq!(served.member_of("stranger").get(&path).status, 404);
}

#[test]
fn document_002_create() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let image = served.image("owner", |image| image.visibility = core_domain::image::Visibility::Private);
    let public = served.image("owner", |image| image.visibility = core_domain::image::Visibility::Public);
    let members = format!("/v2/images/{image}/members");
    // «You can add a member to a private image.»
    let added = owner.post(&members, &json!({"member": "a"}));
    assert_eq!((added.status, added.json()["status"].as_str()), (200, Some("pending")));
    // «If you specify both attributes, the API uses the member_id value and ignores the member value.»
    let both = owner.post(&members, &json!({"member": "ignored", "member_id": "b"}));
    assert_eq!((both.status, both.json()["member_id"].as_str()), (200, Some("b")));
    // «If the member is already a member for the image, the service returns the Conflict (409) response code.»
    assert_eq!(owner.post(&members, &json!({"member_id": "b"})).status, 409);
    // «if the visibility attribute is set to public, the request returns the HTTP 403 response code»
    let public = format!("/v2/images/{public}/members");
    assert_eq!(owner.post(&public, &json!({"member_id": "c"})).status, 403);
    // «You must be the owner of the image.»
    assert_eq!(served.member_of("a").post(&members, &json!({"member_id": "c"})).status, 403);
}

// Document 003, «Update image member».

#[test]
fn document_003_example() {
    let served = Served::start();
    let id = "a96be11e-8536-4910-92cb-de50aa19dfe6";
    let row = ("554433", MemberStatus::Accepted, "2013-09-20T19:22:19Z", "2013-09-20T20:15:31Z");
    keep(&served, id, Some(row));
    let path = format!("/v2/images/{id}/members/554433");
    let request = "{\n    \"status\": \"accepted\"\n}\n";
    let reply = served
        .member_of("554433")
        .ask("PUT", &path)
        .header("Content-Type", "application/json")
        .body(request)
        .send();
    assert_eq!(reply.status, 200, "{reply}");
    assert_eq!(
        reply.json(),
        json!({
            "created_at": "2013-09-20T19:22:19Z",
            "image_id": "a96be11e-8536-4910-92cb-de50aa19dfe6",
            "member_id": "554433",
            "schema": "/v2/schemas/member",
            "status": "accepted",
            "updated_at": "2013-09-20T20:15:31Z"
        })
    );
    // «If the call is made by the image owner, the response is HTTP 403 (Forbidden).»
    assert_eq!(served.member_of("owner").put(&path, &json!({"status": "accepted"})).status, 403);
    // «If the call is made by a user who is not the owner and whose tenant ID is not the same as the {member_id} […],
    // the response is HTTP 404.»
    assert_eq!(served.member_of("998877").put(&path, &json!({"status": "accepted"})).status, 404);
}

#[test]
fn document_003_every_status_leaves_the_image_bootable() {
    let served = Served::start();
    let image = served.image("owner", |_| {});
    served.share(image, "554433", MemberStatus::Pending);
    let member = served.member_of("554433");
    for (status, listed) in [("pending", 0), ("accepted", 1), ("rejected", 0)] {
        let reply = member.put(&format!("/v2/images/{image}/members/554433"), &json!({"status": status}));
        assert_eq!((reply.status, reply.json()["status"].as_str()), (200, Some(status)));
        let images = member.get("/v2/images").json();
        assert_eq!(images["images"].as_array().unwrap().len(), listed, "{status}");
        assert_eq!(member.get(&format!("/v2/images/{image}")).status, 200, "{status}");
    }
}

#[test]
fn document_003_response_codes() {
    let served = Served::with(|setup| setup.settings.body_bytes = 100);
    let image = served.image("owner", |_| {});
    served.share(image, "554433", MemberStatus::Pending);
    let member = served.member_of("554433");
    let path = format!("/v2/images/{image}/members/554433");
    assert_eq!(member.put(&path, &json!({"status": 7})).status, 400);
    assert_eq!(served.with_token("expired").put(&path, &json!({"status": "accepted"})).status, 401);
    assert_eq!(served.reader_in("554433").put(&path, &json!({"status": "accepted"})).status, 403);
    assert_eq!(member.ask("PATCH", &path).body("{}").send().status, 405);
    // The document's 413 counts items; so does ours on an addition, and bytes on every call with a body.
    assert_eq!(member.ask("PUT", &path).body(" ".repeat(101)).send().status, 413);
    assert_eq!(member.ask("PUT", &path).header("Content-Type", "text/xml").body("<a/>").send().status, 415);
    let undecided = served.with_token(crate::served::UNDECIDED);
    assert_eq!(undecided.put(&path, &json!({"status": "accepted"})).status, 503);
}
