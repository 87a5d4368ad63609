//! `GET /v2/images`: what a list holds, in which order, on which page (sharing API, section 4).

use core_domain::{image::Visibility, member::MemberStatus, testing::builders};
use serde_json::{Value, json};

use crate::served::Served;

/// Images of all kinds, named after what they are, by two owners; «guest» is a member of three of them.
fn catalog() -> Served {
    let served = Served::start();
    let mut second = 0;
    for owner in ["mine", "theirs"] {
        for visibility in Visibility::ALL {
            second += 1;
            served.image(owner, |image| {
                image.visibility = visibility;
                image.name = Some(format!("{owner} {visibility}"));
                image.created_at = builders::at(second);
            });
        }
    }
    for status in MemberStatus::ALL {
        second += 1;
        let image = served.image("theirs", |image| {
            image.name = Some(format!("offer {status}"));
            image.created_at = builders::at(second);
        });
        served.share(image, "mine", status);
    }
    served
}

#[test]
fn unasked_a_list_holds_what_is_public_own_and_accepted() {
    let served = catalog();
    assert_eq!(
        served.reader_in("mine").lists(""),
        ["offer accepted", "theirs public", "mine private", "mine shared", "mine community", "mine public"]
    );
    assert_eq!(served.reader_in("stranger").lists(""), ["theirs public", "mine public"]);
}

#[test]
fn member_status_says_which_offers_are_listed_and_hides_nothing_else() {
    let served = catalog();
    let offers = |query: &str| -> Vec<String> {
        let listed = served.member_of("mine").lists(query);
        let (offers, others): (Vec<_>, Vec<_>) =
            listed.into_iter().partition(|name| name.starts_with("offer"));
        assert_eq!(others.len(), 5, "{query}");
        offers
    };
    assert_eq!(offers("?member_status=pending"), ["offer pending"]);
    assert_eq!(offers("?member_status=accepted"), ["offer accepted"]);
    assert_eq!(offers("?member_status=rejected"), ["offer rejected"]);
    assert_eq!(offers("?member_status=all"), ["offer rejected", "offer accepted", "offer pending"]);
    for wrong in ["", "Accepted", "maybe", "pending,accepted"] {
        let reply = served.member_of("mine").get(&format!("/v2/images?member_status={wrong}"));
        let say =
            "The member_status to list must be one of \"pending\", \"accepted\", \"rejected\" or \"all\".";
        assert_eq!(reply.verdict(), (400, say.into()));
    }
}

#[test]
fn visibility_restricts_to_one_kind() {
    let served = catalog();
    let mine = served.member_of("mine");
    assert_eq!(mine.lists("?visibility=shared"), ["offer accepted", "mine shared"]);
    assert_eq!(mine.lists("?visibility=shared&member_status=pending"), ["offer pending", "mine shared"]);
    assert_eq!(mine.lists("?visibility=public"), ["theirs public", "mine public"]);
    assert_eq!(mine.lists("?visibility=private"), ["mine private"]);
    assert_eq!(mine.lists("?visibility=community"), ["theirs community", "mine community"]);
    assert_eq!(
        mine.lists("?visibility=all"),
        [
            "offer accepted",
            "theirs community",
            "theirs public",
            "mine private",
            "mine shared",
            "mine community",
            "mine public",
        ]
    );
    for wrong in ["", "Shared", "bogus"] {
        assert_eq!(mine.get(&format!("/v2/images?visibility={wrong}")).status, 400);
    }
}

#[test]
fn an_admin_lists_every_image_whatever_the_memberships_say() {
    let served = catalog();
    for query in ["?visibility=all", "?visibility=all&member_status=rejected"] {
        assert_eq!(served.admin().lists(query).len(), 11, "{query}");
    }
    assert_eq!(served.admin().lists("?visibility=private"), ["theirs private", "mine private"]);
    assert_eq!(served.admin().lists("").len(), 9, "all but the community images of others");
}

#[test]
fn attributes_restrict_a_list() {
    let served = Served::start();
    let owner = served.member_of("owner");
    owner.creates(&json!({"name": "a", "tags": ["x", "y"], "container_format": "bare", "disk_format": "raw",
        "os_distro": "debian", "protected": true}));
    owner.creates(&json!({"name": "b, c", "tags": ["x"], "disk_format": "qcow2", "os_distro": "fedora"}));
    owner.creates(&json!({"name": "hidden", "os_hidden": true}));
    let by = |query: &str| {
        let mut names = owner.lists(query);
        names.sort();
        names
    };
    assert_eq!(by(""), ["a", "b, c"]);
    assert_eq!(by("?name=a"), ["a"]);
    assert_eq!(by("?name=in:a,%22b,+c%22"), ["a", "b, c"]);
    assert_eq!(by("?tag=x"), ["a", "b, c"]);
    assert_eq!(by("?tag=x&tag=y"), ["a"]);
    assert_eq!(by("?os_distro=debian"), ["a"]);
    assert_eq!(by("?os_distro=debian&name=b"), [""; 0]);
    assert_eq!(by("?disk_format=in:raw,qcow2"), ["a", "b, c"]);
    assert_eq!(by("?container_format=bare"), ["a"]);
    assert_eq!(by("?protected=true"), ["a"]);
    assert_eq!(by("?protected=false"), ["b, c"]);
    assert_eq!(by("?status=queued"), ["a", "b, c"]);
    assert_eq!(by("?status=active"), [""; 0]);
    assert_eq!(by("?owner=owner"), ["a", "b, c"]);
    assert_eq!(by("?owner=other"), [""; 0]);
    assert_eq!(by("?os_hidden=True"), ["hidden"]);
    assert_eq!(by("?os_hidden=false"), ["a", "b, c"]);
    let page = owner.get("/v2/images?name=a").json();
    let id = page["images"][0]["id"].as_str().unwrap();
    assert_eq!(by(&format!("?id={id}")), ["a"]);
    assert_eq!(by(&format!("?id=eq:{id}")), ["a"]);
    assert_eq!(by("?name=eq:b,+c&status=eq:queued&disk_format=eq:qcow2"), ["b, c"]);
    assert_eq!(by("?container_format=eq:bare"), ["a"]);
    assert_eq!(served.member_of("other").lists("?owner=owner&name=a"), [""; 0]);
}

#[test]
fn a_filter_that_makes_no_sense_is_a_400() {
    let served = Served::start();
    let owner = served.member_of("owner");
    for query in [
        "limit=-1",
        "limit=x",
        "limit=",
        "marker=x",
        "marker=",
        "name=neq:a",
        "status=gt:queued",
        "min_ram=x",
        "min_disk=",
        "tags=x",
        "sort=colour",
        "sort=name:up",
        "sort=name&sort_dir=asc",
        "sort_key=",
        "os_hidden=maybe",
        "protected=True",
        "name=in:%22a",
        "size_min=1",
        "changes-since=2020",
        "name=%FF",
        "name=a%00b",
        "%00=a",
        "tag=%00",
        "disk_format=%00",
        "p=%00",
    ] {
        let reply = owner.get(&format!("/v2/images?{query}"));
        assert_eq!(reply.status, 400, "{query}: {reply}");
        assert!(reply.message().ends_with('.'), "{query}");
    }
}

#[test]
fn a_list_is_ordered_as_asked_and_newest_first_unasked() {
    let served = Served::start();
    for (name, second, disk) in [("b", 1, 5), ("a", 2, 5), ("c", 2, 1)] {
        served.image("owner", |image| {
            image.name = Some(name.into());
            image.created_at = builders::at(second);
            image.updated_at = builders::at(10 - second);
            image.disk_format = Some(if disk == 5 { "raw" } else { "qcow2" }.into());
        });
    }
    let owner = served.member_of("owner");
    assert_eq!(owner.lists("")[2], "b");
    assert_eq!(owner.lists("?sort=name:asc"), ["a", "b", "c"]);
    assert_eq!(owner.lists("?sort=name"), ["c", "b", "a"]);
    assert_eq!(owner.lists("?sort_key=name&sort_dir=asc"), ["a", "b", "c"]);
    assert_eq!(owner.lists("?sort=disk_format:asc,name:desc"), ["c", "b", "a"]);
    assert_eq!(
        owner.lists("?sort_key=disk_format&sort_key=name&sort_dir=desc&sort_dir=asc"),
        ["a", "b", "c"]
    );
    assert_eq!(owner.lists("?sort=updated_at:desc,name:asc"), ["b", "a", "c"]);
    assert_eq!(owner.lists("?sort_dir=asc")[0], "b");
}

#[test]
fn pages_join_without_gap_or_repetition_and_keep_every_filter() {
    let served = Served::start();
    let owner = served.member_of("owner");
    for number in 0..11 {
        served.image("owner", |image| {
            image.name = Some(format!("n{number:02}"));
            image.tags = ["x y".to_owned(), "ü&".to_owned()].into();
        });
    }
    served.image("owner", |image| image.tags = ["x y".to_owned()].into());
    let query = "?tag=x+y&tag=%C3%BC%26&limit=4&sort=name:asc&visibility=shared";
    let mut next = Some(format!("/v2/images{query}"));
    let mut gathered = Vec::new();
    let mut sizes = Vec::new();
    while let Some(link) = next {
        let page = owner.get(&link).json();
        let images = page["images"].as_array().unwrap();
        sizes.push(images.len());
        gathered.extend(images.iter().map(|image| image["name"].as_str().unwrap().to_owned()));
        let kept = "/v2/images?tag=x+y&tag=%C3%BC%26&limit=4&sort=name:asc&visibility=shared";
        assert_eq!(page["first"], kept);
        assert_eq!(page["schema"], "/v2/schemas/images");
        next = page["next"].as_str().map(ToOwned::to_owned);
        if let Some(next) = &next {
            let last = images[images.len() - 1]["id"].as_str().unwrap();
            assert!(next.starts_with(&format!("{kept}&marker={last}&marker_position=")), "{next}");
        }
    }
    assert_eq!(sizes, [4, 4, 3]);
    assert_eq!(gathered, (0..11).map(|number| format!("n{number:02}")).collect::<Vec<_>>());
    // A full last page has no next.
    assert_eq!(owner.get("/v2/images?limit=12").json().get("next"), None);
    assert!(owner.get("/v2/images?limit=11").json()["next"].is_string());
}

#[test]
fn a_page_is_as_long_as_asked_but_no_longer_than_allowed() {
    let served = Served::with(|setup| {
        setup.rules.limits.page_default = 3;
        setup.rules.limits.page_max = 5;
    });
    for _ in 0..7 {
        served.image("owner", |_| {});
    }
    let owner = served.member_of("owner");
    for (query, length, more) in [
        ("", 3, true),
        ("?limit=4", 4, true),
        ("?limit=1000", 5, true),
        ("?limit=99999999999999999999999999", 5, true),
        ("?limit=0", 0, false),
    ] {
        let page = owner.get(&format!("/v2/images{query}")).json();
        assert_eq!(page["images"].as_array().unwrap().len(), length, "{query}");
        assert_eq!(page.get("next").is_some(), more, "{query}");
    }
}

#[test]
fn a_marker_that_is_not_the_caller_s_to_see_is_answered_like_one_that_is_not_there() {
    let served = Served::start();
    let theirs = served.image("theirs", |image| image.visibility = Visibility::Private);
    let never = builders::an_image("nobody").id;
    let asked = |id: &str| {
        let reply = served.member_of("mine").get(&format!("/v2/images?marker={id}"));
        let (status, message) = reply.verdict();
        (status, message.replace(id, "<image>"))
    };
    let unseen = asked(&theirs.to_string());
    assert_eq!(unseen, asked(&never.to_string()));
    assert_eq!(unseen, (400, "The marker <image> is not an image that you can see.".into()));
}

#[test]
fn a_list_needs_a_role() {
    let served = catalog();
    let reply = served.somebody(Some("mine"), &["service"]).get("/v2/images");
    assert_eq!(reply.status, 403);
    assert!(reply.message().contains("get_images"));
}

#[test]
fn a_policy_of_one_s_own_does_not_cut_a_list_short() {
    let served = Served::with(|setup| {
        let rules = [("get_image", "rule:owner_side")];
        setup.rules.policy = core_domain::policy::Policy::with_overrides(rules).unwrap();
    });
    for (second, owner) in ["mine", "theirs", "theirs", "theirs", "mine"].into_iter().enumerate() {
        served.image(owner, |image| {
            image.visibility = Visibility::Public;
            image.name = Some(format!("{owner} {second}"));
            image.created_at = builders::at(i64::try_from(second).unwrap());
        });
    }
    let mine = served.member_of("mine");
    let mut next = Some("/v2/images?limit=2".to_owned());
    let mut names = Vec::new();
    while let Some(link) = next {
        let page: Value = mine.get(&link).json();
        names.extend(page["images"].as_array().unwrap().iter().map(|image| image["name"].clone()));
        next = page["next"].as_str().map(ToOwned::to_owned);
    }
    assert_eq!(names, ["mine 4", "mine 0"]);
}

#[test]
fn a_filter_that_can_match_nothing_is_an_empty_list() {
    let served = Served::start();
    let owner = served.member_of("owner");
    owner.creates(&json!({"name": "foo:bar", "min_ram": 512, "min_disk": 7}));
    for query in [
        "status=error",
        "status=",
        "id=cirros",
        "id=in:cirros,debian",
        "owner=",
        "disk_format=zip",
        "min_ram=99999999999999999999",
        "min_ram=-1",
    ] {
        let page = owner.get(&format!("/v2/images?{query}"));
        assert_eq!((page.status, &page.json()["images"]), (200, &json!([])), "{query}");
    }
    for query in [
        "name=foo:bar",
        "name=eq:foo:bar",
        "min_ram=512",
        "min_disk=7&min_ram=512",
        "deleted=false",
        "deleted=true",
        "status=in:error,queued",
    ] {
        assert_eq!(owner.lists(&format!("?{query}")), ["foo:bar"], "{query}");
    }
    assert_eq!(owner.lists("?min_ram=511"), [""; 0]);
}

#[test]
fn a_list_of_too_much_is_a_400_that_says_how_much() {
    let served = Served::start();
    let owner = served.member_of("owner");
    let first = owner.creates(&json!({"name": "a", "tags": ["x"]}));
    let times = |text: &str, count: usize| vec![text; count].join("&");
    let properties = |count: usize| (0..count).map(|n| format!("p{n}=x")).collect::<Vec<_>>().join("&");
    let values = |name: &str, count: usize| format!("{name}=in:{}", vec!["a"; count].join(","));
    for (query, words) in [
        (format!("marker={first}&sort={}", vec!["name"; 4_800].join(",")), "at most 8 keys"),
        (format!("sort={}", vec!["name:asc"; 1_700].join(",")), "at most 8 keys"),
        (times("sort_key=name", 1_500), "at most 64"),
        (times("sort_key=name", 9), "at most 8 keys"),
        (times("tag=x", 17), "at most 16"),
        (times("tag=x", 100), "at most 64"),
        (properties(17), "at most 16 properties"),
        (properties(2_500), "at most 64"),
        (values("name", 1_001), "at most 1000 values"),
        (values("id", 1_001), "at most 1000 values"),
        (times("limit=1", 17), "at most 16"),
    ] {
        let (status, message) = owner.get(&format!("/v2/images?{query}")).verdict();
        assert_eq!((status, message.contains(words)), (400, true), "{message}");
    }
    // Ten thousand keys are more than a URL may hold.
    let long = format!("/v2/images?marker={first}&sort={}", vec!["name"; 10_000].join(","));
    assert_eq!(owner.get(&long).verdict().0, 414);
    // What is at the bound is answered; both forms of an order alike.
    for query in [
        times("tag=x", 16),
        format!("{}&name=a", values("name", 1_000)),
        "sort=name,name:asc,status,id,size,disk_format,created_at,updated_at".to_owned(),
        times("sort_key=name", 8),
    ] {
        assert_eq!(owner.lists(&format!("?{query}")), ["a"]);
    }
    assert_eq!(owner.get(&format!("/v2/images?{}", properties(16))).status, 200);
    let members = format!("/v2/images/{first}/members");
    for path in [members.clone(), format!("{members}/p/history")] {
        assert_eq!(owner.get(&format!("{path}?{}", times("limit=1", 17))).status, 400);
    }
}

#[test]
fn the_server_s_next_stays_good_when_its_last_image_is_gone() {
    for sort in ["", "&sort=name:asc", "&sort=disk_format:desc,updated_at:asc"] {
        let served = Served::start();
        let (owner, guest) = (served.member_of("owner"), served.member_of("guest"));
        let ids: Vec<String> = (0..27)
            .map(|number| {
                let image = served.image("owner", |image| {
                    image.name = Some(format!("n{number:02} \"&"));
                    image.created_at = builders::at(number / 2);
                });
                served.share(image, "guest", MemberStatus::Accepted);
                image.to_string()
            })
            .collect();
        let mut next = Some(format!("/v2/images?limit=5{sort}"));
        let mut walked = Vec::new();
        let mut turn = 0;
        while let Some(link) = next {
            let page = guest.get(&link);
            assert_eq!(page.status, 200, "{link}: {page}");
            let page = page.json();
            let seen: Vec<String> = page["images"]
                .as_array()
                .unwrap()
                .iter()
                .map(|image| image["id"].as_str().unwrap().into())
                .collect();
            // All of the page are deleted, or no longer shared, or private, in turn.
            for id in &seen {
                let path = format!("/v2/images/{id}");
                let gone = match turn % 3 {
                    0 => owner.delete(&path),
                    1 => owner.delete(&format!("{path}/members/guest")),
                    _ => owner
                        .patch(&path, &json!([{"op": "replace", "path": "/visibility", "value": "private"}])),
                };
                assert!(gone.status < 300, "{gone}");
            }
            walked.extend(seen);
            turn += 1;
            next = page["next"].as_str().map(ToOwned::to_owned);
        }
        walked.sort();
        let mut all = ids;
        all.sort();
        assert_eq!(walked, all, "{sort}");
    }
}

#[test]
fn a_position_shows_nothing_that_is_not_for_the_caller() {
    let served = Served::start();
    served.image("theirs", |image| {
        image.visibility = Visibility::Private;
        image.created_at = builders::at(1);
    });
    served.image("mine", |image| {
        image.name = Some("mine".into());
        image.created_at = builders::at(0);
    });
    let never = builders::an_image("nobody").id;
    let mine = served.member_of("mine");
    // Forged: a place before all, and one behind all.
    assert_eq!(mine.lists(&format!("?marker={never}&marker_position=c1893456000-0.i{never}")), ["mine"]);
    assert_eq!(mine.lists(&format!("?marker_position=c0-0.i{never}")), [""; 0]);
    for position in ["", "x", "c0-0", "n61.c0-0", "c99999999999999999-0"] {
        let (status, message) = mine.get(&format!("/v2/images?marker_position={position}")).verdict();
        assert_eq!((status, message.contains("marker_position")), (400, true), "{position}: {message}");
    }
    // Beside another marker it does not count.
    let other =
        mine.get(&format!("/v2/images?marker={}&marker_position=c0-0.i{never}", builders::an_image("x").id));
    assert_eq!(other.status, 400);
}
