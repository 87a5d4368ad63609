//! Image records: made, shown, changed, deleted.

use core_domain::{image::Visibility, member::MemberStatus};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::served::Served;

fn named(text: &str, image: &str) -> String {
    let body: Value = serde_json::from_str(text).unwrap();
    let text = text.replace(image, "<image>").replace(body["created_at"].as_str().unwrap(), "<time>");
    text.replace(body["updated_at"].as_str().unwrap(), "<time>")
}

#[test]
fn a_new_image_is_queued_shared_and_its_maker_s() {
    let served = Served::start();
    let reply = served.member_of("owner").post("/v2/images", &json!({}));
    assert_eq!(reply.status, 201);
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    let location = format!("http://image.example.org/v2/images/{id}");
    assert_eq!(reply.header("location"), Some(location.as_str()));
    assert_eq!(reply.header("content-type"), Some("application/json; charset=UTF-8"));
    assert_snapshot!(
        named(reply.text(), &id),
        @r#"{"id":"<image>","name":null,"status":"queued","visibility":"shared","owner":"owner","protected":false,"os_hidden":false,"container_format":null,"disk_format":null,"min_disk":0,"min_ram":0,"size":null,"virtual_size":null,"checksum":null,"os_hash_algo":null,"os_hash_value":null,"created_at":"<time>","updated_at":"<time>","tags":[],"self":"/v2/images/<image>","file":"/v2/images/<image>/file","schema":"/v2/schemas/image"}"#
    );
}

#[test]
fn every_attribute_can_be_given_to_a_new_image() {
    let served = Served::start();
    let given = json!({
        "id": "c0ffee00-0000-4000-8000-000000000000", "name": "sunset", "visibility": "private",
        "container_format": "bare", "disk_format": "qcow2", "min_disk": 10, "min_ram": 512, "protected": true,
        "os_hidden": true, "tags": ["b", "a", "b"], "owner": "owner", "os_distro": "debian", "vendor/x": "y z",
    });
    let owner = served.member_of("owner");
    let made = owner.post("/v2/images", &given).json();
    for (attribute, value) in given.as_object().unwrap() {
        let expected = if attribute == "tags" { &json!(["a", "b"]) } else { value };
        assert_eq!(&made[attribute], expected, "{attribute}");
    }
    assert_eq!(owner.get("/v2/images/c0ffee00-0000-4000-8000-000000000000").json(), made);
}

#[test]
fn an_id_is_given_once_and_never_again() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let given = json!({"id": "c0ffee00-0000-4000-8000-000000000000"});
    owner.creates(&given);
    let no = "An image with the id c0ffee00-0000-4000-8000-000000000000 already exists or once did.";
    assert_eq!(served.member_of("other").post("/v2/images", &given).verdict(), (409, no.into()));
    owner.delete("/v2/images/c0ffee00-0000-4000-8000-000000000000");
    assert_eq!(owner.post("/v2/images", &given).verdict(), (409, no.into()));
}

#[test]
fn attributes_that_make_no_sense_are_refused_in_words() {
    let served = Served::start();
    let owner = served.member_of("owner");
    for (body, status, words) in [
        (json!([]), 400, "Expected an image in the form"),
        (json!("image"), 400, "Expected an image in the form"),
        (json!({"id": "x"}), 400, "An image id is a UUID"),
        (json!({"id": null}), 400, "The value of id must be a string."),
        (json!({"name": 1}), 400, "The value of name must be a string or null."),
        (json!({"name": "x".repeat(256)}), 400, "The name must not be longer than 255 characters."),
        (json!({"name": "a\u{0}b"}), 400, "The name must not contain control characters."),
        (json!({"visibility": "Shared"}), 400, "The visibility must be one of"),
        (json!({"visibility": null}), 400, "The value of visibility must be a string."),
        (json!({"container_format": "zip"}), 400, "container_format must be one of"),
        (json!({"disk_format": "zip"}), 400, "disk_format must be one of"),
        (json!({"min_disk": -1}), 400, "whole number"),
        (json!({"min_ram": 1.5}), 400, "whole number"),
        (json!({"min_ram": 2_147_483_648_u64}), 400, "whole number"),
        (json!({"protected": "yes"}), 400, "true or false"),
        (json!({"os_hidden": 1}), 400, "true or false"),
        (json!({"tags": "a"}), 400, "The value of tags must be a list of strings."),
        (json!({"tags": [1]}), 400, "The value of tags must be a list of strings."),
        (json!({"tags": ["x".repeat(256)]}), 400, "A tag must not be longer than 255 characters."),
        (json!({"owner": ""}), 400, "The value of owner must be a project's id or null."),
        (json!({"os_distro": 7}), 400, "The value of os_distro must be a string."),
        (json!({"": "x"}), 400, "A property's name must not be empty."),
        (json!({"x".repeat(256): "x"}), 400, "A property's name must not be longer than 255 characters."),
        (json!({"p": "x".repeat(65_536)}), 400, "Property p must not be longer than 65535 bytes in UTF-8."),
        (json!({"p": "é".repeat(32_768)}), 400, "Property p must not be longer than 65535 bytes in UTF-8."),
        (json!({"status": "active"}), 403, "Attribute \"status\" is read-only."),
        (json!({"created_at": "now"}), 403, "Attribute \"created_at\" is read-only."),
        (json!({"self": "x"}), 403, "Attribute \"self\" is read-only."),
        (json!({"os_glance_secret": "x"}), 403, "Attribute \"os_glance_secret\" is read-only."),
        (json!({"visibility": "public"}), 403, "publicize_image"),
    ] {
        let reply = owner.post("/v2/images", &body);
        let (given, message) = reply.verdict();
        assert_eq!(given, status, "{body}: {message}");
        assert!(message.contains(words), "{body}: {message}");
    }
    assert!(served.dump().is_empty());
}

#[test]
fn tags_and_properties_are_counted() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let tags: Vec<_> = (0..129).map(|number| format!("t{number}")).collect();
    assert_eq!(owner.post("/v2/images", &json!({"tags": tags[..128]})).status, 201);
    assert_eq!(
        owner.post("/v2/images", &json!({"tags": tags})).verdict(),
        (
            413,
            "The limit has been exceeded on the number of allowed image tags. Attempted: 129, maximum: 128."
                .into()
        )
    );
    let properties: serde_json::Map<_, _> = tags.iter().map(|name| (name.clone(), json!("x"))).collect();
    assert_eq!(owner.post("/v2/images", &Value::Object(properties)).status, 413);
}

#[test]
fn the_bytes_of_a_record_are_counted_in_every_call_that_grows_it() {
    let served = Served::with(|setup| setup.rules.limits.record_bytes = Some(20));
    let owner = served.member_of("owner");
    // "owner" and as much again.
    let new = |name: &str| json!({"name": name});
    let full = owner.creates(&new("a name of 15 by"));
    let path = format!("/v2/images/{full}");
    let refusal = "The limit has been exceeded on the number of allowed bytes of an image's attributes, properties \
        and tags. Attempted: 21, maximum: 20.";
    assert_eq!(owner.post("/v2/images", &new("a name of 16 byt")).verdict(), (413, refusal.into()));
    let step = |op: &str, path: &str, value: &str| json!([{"op": op, "path": path, "value": value}]);
    for grown in
        [step("replace", "/name", "a name of 16 byt"), step("add", "/p", ""), step("add", "/tags", "")]
    {
        let reply = owner.patch(&path, &grown);
        assert!(matches!(reply.status, 413 | 400), "{grown}: {reply}");
    }
    assert_eq!(owner.put(&format!("{path}/tags/t"), &json!({})).verdict(), (413, refusal.into()));
    assert_eq!(owner.patch(&path, &step("replace", "/name", "another name 15")).status, 200);
    assert_eq!(owner.patch(&path, &step("replace", "/name", "short")).status, 200);
    assert_eq!(owner.put(&format!("{path}/tags/t"), &json!({})).status, 204);
}

#[test]
fn a_record_of_256_kib_is_made_shown_and_listed() {
    let served = Served::start();
    let owner = served.member_of("owner");
    // Four values of the largest size, less what their names, the image's name and its owner take.
    let value = "é".repeat(32_760);
    let mut body = json!({"p": value, "q": value, "r": value, "s": value, "name": "x".repeat(255)});
    let fits = 262_144 - "owner".len() - 255 - 4 - 3 * value.len();
    assert!(fits <= 65_535);
    body["s"] = json!("x".repeat(fits));
    let image = owner.creates(&body);
    assert_eq!(owner.get(&format!("/v2/images/{image}")).json()["s"], body["s"]);
    assert_eq!(owner.get("/v2/images").json()["images"][0]["q"], body["q"]);
    body["s"] = json!("x".repeat(fits + 1));
    assert_eq!(owner.post("/v2/images", &body).status, 413);
}

#[test]
fn one_image_more_than_a_project_may_own_is_413_made_or_given() {
    let served = Served::with(|setup| setup.rules.limits.images_per_project = Some(2));
    let (owner, other, admin) = (served.member_of("owner"), served.member_of("other"), served.admin());
    let refusal = (
        413,
        "The limit has been exceeded on the number of allowed images of one project. Attempted: 3, maximum: 2.".into(),
    );
    let first = owner.creates(&json!({}));
    owner.creates(&json!({}));
    assert_eq!(owner.post("/v2/images", &json!({})).verdict(), refusal);
    assert_eq!(admin.post("/v2/images", &json!({"owner": "owner"})).verdict(), refusal);
    let others = other.creates(&json!({"id": "00000000-0000-4000-8000-000000000001"}));
    let give = |image: &str, to: Value| {
        admin
            .patch(&format!("/v2/images/{image}"), &json!([{"op": "replace", "path": "/owner", "value": to}]))
    };
    assert_eq!(give(&others, json!("owner")).verdict(), refusal);
    assert_eq!(give(&first, json!("owner")).status, 200, "it has that owner");
    // An id that is in use is said first, and what is nobody's is not counted.
    let again = json!({"id": others, "owner": "owner"});
    assert_eq!(admin.post("/v2/images", &again).status, 409);
    assert_eq!(admin.post("/v2/images", &json!({"owner": null})).status, 201);
    assert_eq!(give(&first, json!(null)).status, 200);
    assert_eq!(give(&others, json!("owner")).status, 200);
    assert_eq!(owner.delete(&format!("/v2/images/{others}")).status, 204);
    owner.creates(&json!({}));
    assert_eq!(owner.post("/v2/images", &json!({})).status, 413);
}

#[test]
fn an_image_above_a_lowered_limit_can_be_changed_and_reduced() {
    let served = Served::with(|setup| {
        let limits = &mut setup.rules.limits;
        (limits.tags_per_image, limits.properties_per_image) = (Some(1), Some(1));
        (limits.record_bytes, limits.members_per_image) = (Some(10), Some(0));
    });
    let owner = served.member_of("owner");
    let image = served.image("owner", |image| {
        image.name = Some("a name longer than that".into());
        image.protected = true;
        image.tags = ["a", "b", "c"].map(Into::into).into();
        image.properties = ["p", "q", "r"].map(|name| (name.into(), "x".into())).into();
    });
    served.share(image, "guest", MemberStatus::Pending);
    let path = format!("/v2/images/{image}");
    for (op, attribute, value, status) in [
        ("replace", "name", json!("another name"), 200),
        ("replace", "protected", json!(false), 200),
        ("replace", "visibility", json!("private"), 200),
        ("replace", "visibility", json!("shared"), 200),
        ("replace", "p", json!("y"), 200),
        ("remove", "q", json!(null), 200),
        ("add", "s", json!("x"), 413),
        ("replace", "tags", json!(["a", "b"]), 200),
        ("replace", "tags", json!(["a", "b", "c"]), 413),
        ("replace", "name", json!("a name longer than that"), 413),
    ] {
        let step = json!([{"op": op, "path": format!("/{attribute}"), "value": value}]);
        let reply = owner.patch(&path, &step);
        assert_eq!(reply.status, status, "{step}: {reply}");
    }
    assert_eq!(owner.put(&format!("{path}/tags/a"), &json!({})).status, 204, "there already");
    assert_eq!(owner.put(&format!("{path}/tags/z"), &json!({})).status, 413);
    assert_eq!(owner.delete(&format!("{path}/tags/a")).status, 204);
    let guests = format!("{path}/members/guest");
    assert_eq!(owner.post(&format!("{path}/members"), &json!({"member_id": "more"})).status, 413);
    assert_eq!(served.member_of("guest").put(&guests, &json!({"status": "accepted"})).status, 200);
    assert_eq!(owner.delete(&guests).status, 204);
    assert_eq!(owner.delete(&path).status, 204);
}

#[test]
fn only_an_admin_publishes_and_the_owner_shares_with_its_community() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let image = owner.creates(&json!({}));
    let path = format!("/v2/images/{image}");
    let to = |word: &str| json!([{"op": "replace", "path": "/visibility", "value": word}]);
    assert_eq!(owner.patch(&path, &to("public")).status, 403);
    assert_eq!(owner.patch(&path, &to("community")).json()["visibility"], "community");
    assert_eq!(served.admin().patch(&path, &to("public")).json()["visibility"], "public");
    assert_eq!(owner.patch(&path, &to("private")).json()["visibility"], "private");
    assert_eq!(served.admin().post("/v2/images", &json!({"visibility": "public"})).status, 201);
    assert_eq!(owner.post("/v2/images", &json!({"visibility": "community"})).status, 201);
}

#[test]
fn a_patch_is_applied_whole_or_not_at_all() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let path = format!("/v2/images/{}", owner.creates(&json!({"name": "a", "p": "1"})));
    let before = owner.get(&path).json();
    for (steps, status) in [
        (
            json!([{"op": "replace", "path": "/name", "value": "b"}, {"op": "remove", "path": "/nothing"}]),
            409,
        ),
        (
            json!([{"op": "replace", "path": "/name", "value": "b"}, {"op": "replace", "path": "/q", "value": "1"}]),
            409,
        ),
        (
            json!([{"op": "replace", "path": "/name", "value": "b"}, {"op": "replace", "path": "/id", "value": "1"}]),
            403,
        ),
        (
            json!([{"op": "replace", "path": "/name", "value": "b"}, {"op": "add", "path": "/status", "value": "active"}]),
            403,
        ),
        (json!([{"op": "replace", "path": "/name", "value": "b"}, {"op": "remove", "path": "/name"}]), 403),
        (
            json!([{"op": "replace", "path": "/name", "value": "b"}, {"op": "replace", "path": "/visibility", "value": "public"}]),
            403,
        ),
        (json!([{"op": "test", "path": "/name", "value": "a"}]), 400),
        (json!({"op": "replace", "path": "/name", "value": "b"}), 400),
    ] {
        assert_eq!(owner.patch(&path, &steps).status, status, "{steps}");
    }
    assert_eq!(owner.get(&path).json(), before);

    let reply = owner.patch(
        &path,
        &json!([
            {"op": "replace", "path": "/name", "value": "b"},
            {"op": "replace", "path": "/p", "value": "2"},
            {"op": "add", "path": "/q", "value": "3"},
            {"op": "add", "path": "/a~1b", "value": "4"},
            {"op": "remove", "path": "/p"},
            {"op": "replace", "path": "/tags", "value": ["x"]},
            {"op": "replace", "path": "/protected", "value": true},
            {"op": "replace", "path": "/os_hidden", "value": true},
        ]),
    );
    assert_eq!(reply.status, 200, "{reply}");
    let after = reply.json();
    assert_eq!(
        (&after["name"], &after["q"], &after["a/b"], &after["tags"], after.get("p")),
        (&json!("b"), &json!("3"), &json!("4"), &json!(["x"]), None)
    );
    assert_eq!((&after["protected"], &after["os_hidden"]), (&json!(true), &json!(true)));
}

#[test]
fn a_change_is_dated_and_what_changes_nothing_is_not() {
    let served = Served::start();
    let image = served.image("owner", |image| image.name = Some("a".into()));
    let owner = served.member_of("owner");
    let path = format!("/v2/images/{image}");
    for nothing in [json!([]), json!([{"op": "replace", "path": "/name", "value": "a"}])] {
        let reply = owner.patch(&path, &nothing);
        assert_eq!((reply.status, &reply.json()["updated_at"]), (200, &json!("2026-01-01T00:00:00Z")));
    }
    let changed = owner.patch(&path, &json!([{"op": "replace", "path": "/name", "value": "b"}])).json();
    assert_ne!(changed["updated_at"], "2026-01-01T00:00:00Z");
    assert_eq!(changed["created_at"], "2026-01-01T00:00:00Z");
}

#[test]
fn a_protected_image_is_not_deleted() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let image = owner.creates(&json!({"protected": true}));
    let path = format!("/v2/images/{image}");
    let no = format!("Image {image} is protected and cannot be deleted. Set \"protected\" to false first.");
    assert_eq!(owner.delete(&path).verdict(), (403, no.clone()));
    assert_eq!(served.admin().delete(&path).verdict(), (403, no));
    owner.patch(&path, &json!([{"op": "replace", "path": "/protected", "value": false}]));
    let deleted = owner.delete(&path);
    assert_eq!((deleted.status, deleted.header("content-type"), deleted.text()), (204, None, ""));
    assert_eq!(owner.get(&path).status, 404);
}

#[test]
fn a_member_reads_the_image_in_every_status_and_changes_it_in_none() {
    let served = Served::start();
    for status in MemberStatus::ALL {
        let image = served.image("owner", |_| {});
        served.share(image, "guest", status);
        let path = format!("/v2/images/{image}");
        let guest = served.member_of("guest");
        assert_eq!(guest.get(&path).status, 200);
        let rename = json!([{"op": "replace", "path": "/name", "value": "mine"}]);
        assert_eq!(guest.patch(&path, &rename).status, 403);
        assert_eq!(guest.delete(&path).status, 403);
        assert_eq!(guest.ask("PUT", &format!("{path}/tags/mine")).send().status, 403);
        assert_eq!(guest.get(&path).json(), served.member_of("owner").get(&path).json());
    }
}

#[test]
fn public_and_community_images_are_read_by_all_and_private_ones_by_their_owner() {
    let served = Served::start();
    for visibility in Visibility::ALL {
        let image = served.image("owner", |image| image.visibility = visibility);
        let path = format!("/v2/images/{image}");
        let open = matches!(visibility, Visibility::Public | Visibility::Community);
        assert_eq!(served.reader_in("stranger").get(&path).status, if open { 200 } else { 404 });
        assert_eq!(served.reader_in("owner").get(&path).status, 200);
        assert_eq!(served.admin().get(&path).status, 200);
        // Without the role for it, an image that one may not read is not there.
        let no = (404, format!("Image {image} not found."));
        assert_eq!(served.somebody(Some("owner"), &["service"]).get(&path).verdict(), no);
    }
}

#[test]
fn the_older_dialect_adds_only_what_is_new() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let path = format!("/v2/images/{}", owner.creates(&json!({"name": "a", "p": "1"})));
    let draft = |steps: &Value| {
        owner
            .ask("PATCH", &path)
            .header("Content-Type", "application/openstack-images-v2.0-json-patch")
            .body(steps.to_string())
            .send()
    };
    let before = owner.get(&path).json();
    for (step, status) in [
        (json!({"add": "/p", "value": "2"}), 409),
        (json!({"add": "/name", "value": "b"}), 409),
        (json!({"add": "/tags", "value": []}), 409),
        (json!({"add": "/min_ram", "value": "b"}), 400),
        (json!({"add": "/status", "value": "active"}), 403),
        (json!({"replace": "/q", "value": "2"}), 409),
        (json!({"remove": "/q"}), 409),
        (json!({"remove": "/name"}), 403),
    ] {
        let reply = draft(&json!([{"replace": "/name", "value": "z"}, step]));
        assert_eq!(reply.status, status, "{step}: {reply}");
    }
    assert_eq!(owner.get(&path).json(), before);
    let after =
        draft(&json!([{"add": "/q", "value": "2"}, {"remove": "/p"}, {"add": "/p", "value": "3"}])).json();
    assert_eq!((&after["q"], &after["p"]), (&json!("2"), &json!("3")));
    // In the newer one the same replaces.
    let after = owner.patch(
        &path,
        &json!([{"op": "add", "path": "/p", "value": "4"}, {"op": "add", "path": "/name", "value": "b"}]),
    );
    assert_eq!((after.status, &after.json()["p"], &after.json()["name"]), (200, &json!("4"), &json!("b")));
}

#[test]
fn what_is_reserved_is_a_403_and_nothing_has_its_name_twice() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let path = format!("/v2/images/{}", owner.creates(&json!({})));
    let names = [
        "location",
        "locations",
        "size",
        "virtual_size",
        "self",
        "file",
        "schema",
        "status",
        "checksum",
        "created_at",
        "updated_at",
        "direct_url",
        "stores",
        "deleted",
        "deleted_at",
        "os_hash_algo",
        "os_hash_value",
        "os_glance_x",
    ];
    for name in names {
        assert_eq!(owner.post("/v2/images", &json!({name: "x"})).status, 403, "{name}");
        for step in [
            json!({"op": "add", "path": format!("/{name}"), "value": "x"}),
            json!({"op": "replace", "path": format!("/{name}"), "value": "x"}),
            json!({"op": "remove", "path": format!("/{name}")}),
        ] {
            assert_eq!(owner.patch(&path, &json!([step])).status, 403, "{step}");
        }
    }
    for name in [
        "name",
        "visibility",
        "owner",
        "tags",
        "protected",
        "os_hidden",
        "min_disk",
        "min_ram",
        "id",
        "container_format",
        "disk_format",
    ] {
        let step = json!([{"op": "remove", "path": format!("/{name}")}]);
        assert_eq!(owner.patch(&path, &step).status, 403, "{name}");
    }
    for name in ["image_id", "extra_properties", "members", "metadata", "is_public"] {
        assert_eq!(owner.post("/v2/images", &json!({name: "x"})).json()[name], "x");
    }
}

#[test]
fn a_property_kept_under_an_attribute_s_name_is_not_shown_beside_it() {
    let served = Served::start();
    let attributes: Vec<String> = {
        let plain = served.image("owner", |_| {});
        let shown = served.member_of("owner").get(&format!("/v2/images/{plain}")).json();
        shown.as_object().unwrap().keys().cloned().collect()
    };
    let image = served.image("owner", |image| {
        image.properties = attributes.iter().map(|name| (name.clone(), "property".to_owned())).collect();
        image.properties.insert("kept".into(), "property".into());
    });
    let owner = served.member_of("owner");
    let pages = owner.get("/v2/images?limit=9");
    for reply in [owner.get(&format!("/v2/images/{image}")), pages] {
        assert_eq!(reply.text().matches(r#""property""#).count(), 1, "{reply}");
        assert!(reply.text().contains(r#""kept":"property""#), "{reply}");
    }
}
