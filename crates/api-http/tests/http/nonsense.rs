//! Input that nobody would think of: whatever it is, the answer is a success or a refusal in words, and no fault.

use std::sync::LazyLock;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{target::Target, wire::Reply};

static TARGET: LazyLock<Target> = LazyLock::new(Target::new);

/// Text that parsers trip over, more often than chance would have it.
fn odd_text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,40}",
        "[\\x00-\\x20\"\\\\{}\\[\\],:]{0,20}",
        prop::sample::select(vec![
            "pending",
            "accepted",
            "rejected",
            "member_id",
            "status",
            "guest",
            "",
            "..",
            "%",
            "null",
            "\u{feff}",
            "\u{0}",
            "\u{10ffff}",
        ])
        .prop_map(ToOwned::to_owned),
    ]
}

fn odd_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        odd_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let key = prop_oneof![
            prop::sample::select(vec![
                "member_id",
                "member",
                "status",
                "op",
                "path",
                "value",
                "name",
                "tags",
                "id"
            ])
            .prop_map(ToOwned::to_owned),
            odd_text(),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// An answer to nonsense: a success, the versions there are, or a refusal with a message, and no fault.
fn is_an_answer(reply: &Reply) {
    match reply.status {
        200 | 201 | 204 | 300 => {}
        400..=499 => assert!(!reply.message().is_empty()),
        _ => panic!("{reply}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_json_is_a_fault(body in odd_json()) {
        for (_, reply) in TARGET.fed(body.to_string().as_bytes()) {
            is_an_answer(&reply);
        }
    }

    #[test]
    fn no_bytes_are_a_fault(body in prop::collection::vec(any::<u8>(), 1..200)) {
        for (_, reply) in TARGET.fed(&body) {
            is_an_answer(&reply);
        }
    }

    #[test]
    fn no_step_of_a_patch_is_a_fault(
        op in prop::sample::select(vec!["add", "replace", "remove", "move", "test", ""]),
        path in prop_oneof![
            prop::sample::select(vec![
                "/name", "/tags", "/visibility", "/owner", "/id", "/status", "/os_distro", "/", "", "/a~1b", "/~2",
                "/protected", "/min_disk", "/tags/0",
            ]).prop_map(ToOwned::to_owned),
            odd_text(),
        ],
        value in odd_json(),
    ) {
        let image = TARGET.served.image("owner", |_| {});
        let path_of_image = format!("/v2/images/{image}");
        let reply = TARGET.owner().patch(&path_of_image, &json!([{"op": op, "path": path, "value": value}]));
        is_an_answer(&reply);
        // What was accepted can be shown, listed and, unless it was given a guard, deleted.
        prop_assert_eq!(TARGET.owner().get(&path_of_image).status, 200);
        is_an_answer(&TARGET.owner().delete(&path_of_image));
    }

    #[test]
    fn no_query_is_a_fault(
        pairs in prop::collection::vec((
            prop_oneof![
                prop::sample::select(vec![
                    "limit", "marker", "sort", "sort_key", "sort_dir", "visibility", "member_status", "owner", "name",
                    "id", "status", "tag", "os_hidden", "protected",
                ]).prop_map(ToOwned::to_owned),
                odd_text(),
            ],
            odd_text(),
        ), 0..6),
    ) {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let query: Vec<_> =
            pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        for path in ["/v2/images".to_owned(), TARGET.members()] {
            let reply = TARGET.owner().get(&format!("{path}?{}", query.join("&")));
            prop_assert!(matches!(reply.status, 200 | 400), "{}", reply);
        }
    }

    #[test]
    fn no_raw_query_is_a_fault(query in "[!-~&&[^#]]{0,80}") {
        for path in ["/v2/images".to_owned(), TARGET.members()] {
            let reply = TARGET.owner().get(&format!("{path}?{query}"));
            prop_assert!(matches!(reply.status, 200 | 400), "{}", reply);
        }
    }

    #[test]
    fn no_path_is_a_fault(path in "(/[!-~&&[^#?]]{0,12}){1,6}", method in "GET|PUT|POST|DELETE|PATCH") {
        for path in [path.clone(), format!("/v2/images{path}"), format!("{}{path}", TARGET.members())] {
            let reply = TARGET.served.member_of("stranger").ask(&method, &path).body("{}").send();
            let versions = method == "GET" && path == "/";
            prop_assert!(versions || (400..500).contains(&reply.status), "{}: {}", path, reply);
        }
    }

    #[test]
    fn a_member_that_is_added_is_found_again(id in prop_oneof![odd_text(), ".{1,255}"]) {
        let image = TARGET.served.image("owner", |_| {});
        let members = format!("/v2/images/{image}/members");
        let added = TARGET.owner().post(&members, &json!({"member_id": id}));
        let fits = !id.is_empty() && !id.contains('\0') && id.chars().count() <= 255;
        prop_assert_eq!(added.status, if fits { 200 } else { 400 }, "{}", added);
        if fits {
            let path = format!("{members}/{}", utf8_percent_encode(&id, NON_ALPHANUMERIC));
            prop_assert_eq!(TARGET.owner().get(&path).json(), added.json());
            prop_assert_eq!(TARGET.owner().delete(&path).status, 204);
        }
    }
}
