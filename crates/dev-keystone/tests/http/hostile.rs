use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;

use crate::served::{answer, demo, password};

#[actix_web::test]
async fn a_body_that_is_no_login_is_400_and_never_repeats_a_password() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(10));
    let bodies: [&[u8]; 24] = [
        b"",
        b"{",
        b"[]",
        b"\"x\"",
        b"null",
        b"{}",
        b"{\"a\":\"\xff\"}",
        deep.as_bytes(),
        br#"{"auth":null}"#,
        br#"{"auth":[]}"#,
        br#"{"auth":{}}"#,
        br#"{"auth":{"identity":"x"}}"#,
        br#"{"auth":{"identity":{}}}"#,
        br#"{"auth":{"identity":{"methods":"password"}}}"#,
        br#"{"auth":{"identity":{"methods":[1]}}}"#,
        br#"{"auth":{"identity":{"methods":["password"]}}}"#,
        br#"{"auth":{"identity":{"methods":["token"]}}}"#,
        br#"{"auth":{"identity":{"methods":["token"],"token":{}}}}"#,
        br#"{"auth":{"identity":{"methods":["password"],"password":{}}}}"#,
        br#"{"auth":{"identity":{"methods":["password"],"password":{"user":"hunter2"}}}}"#,
        br#"{"auth":{"identity":{"methods":["password"],"password":{"user":{"password":"hunter2"}}}}}"#,
        br#"{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"owner","password":"hunter2"}}}}}"#,
        br#"{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"x","password":["hunter2"]}}}}}"#,
        br#"{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":{"hunter2":1}}}}}}"#,
    ];
    demo(async |served| {
        for body in bodies {
            let request =
                served.request(Method::POST, "/v3/auth/tokens").header("Content-Type", "application/json");
            let refused = answer(request.body(body.to_vec())).await;
            let message = refused.refused(400);
            assert!(!message.contains("hunter2"), "{message}");
        }
    })
    .await;
}

#[actix_web::test]
async fn a_scope_that_is_no_scope_is_400() {
    demo(async |served| {
        for scope in [
            json!({}),
            json!("everything"),
            json!(1),
            json!([]),
            json!({"OS-TRUST:trust": {"id": "x"}}),
            json!({"project": {"id": "x"}, "domain": {"id": "default"}}),
            json!({"project": {}}),
            json!({"project": {"name": "demo-owner"}}),
            json!({"project": "demo-owner"}),
            json!({"project": {"id": 1}}),
            json!({"domain": 1}),
        ] {
            served.log_in(json!({"identity": password("owner"), "scope": scope})).await.refused(400);
        }
    })
    .await;
}

#[actix_web::test]
async fn another_content_type_is_400_and_none_is_taken_for_json() {
    demo(async |served| {
        let body = json!({"auth": {"identity": password("owner")}}).to_string();
        let post = || served.request(Method::POST, "/v3/auth/tokens").body(body.clone());
        answer(post().header("Content-Type", "text/plain")).await.refused(400);
        assert_eq!(
            answer(post().header("Content-Type", "application/json; charset=utf-8")).await.status,
            201
        );
        assert_eq!(answer(post()).await.status, 201);
    })
    .await;
}

#[actix_web::test]
async fn a_body_beyond_the_limit_is_413() {
    demo(async |served| {
        let request = served.request(Method::POST, "/v3/auth/tokens").body(vec![b' '; 200_000]);
        assert_eq!(answer(request).await.status, 413);
    })
    .await;
}

#[actix_web::test]
async fn an_unknown_url_is_404_in_html_and_a_wrong_method_405() {
    demo(async |served| {
        for path in
            ["/v4", "/v2.0", "/identity/v3", "/v3/v3/auth/tokens", "/v3/nothing", "/v3/projects/a/b", "/%ff"]
        {
            let missing = answer(served.request(Method::GET, path)).await;
            assert_eq!(missing.status, 404, "{path}");
            assert!(missing.header("Content-Type").starts_with("text/html"));
        }
        for (method, path) in
            [(Method::PUT, "/v3/auth/tokens"), (Method::POST, "/v3"), (Method::POST, "/v3/projects")]
        {
            let refused = answer(served.request(method, path)).await;
            assert_eq!(refused.status, 405, "{path}");
            assert!(refused.header("Allow").contains("GET"));
        }
    })
    .await;
}

#[actix_web::test]
async fn odd_headers_and_paths_break_nothing() {
    demo(async |served| {
        let admin = served.token("admin").await;
        for id in ["%00", "%ff%fe", "..%2f..", "%F0%9F%90%98", "a%20b", &"x".repeat(5000)] {
            assert_eq!(served.get(&format!("/v3/projects/{id}"), &admin).await.status, 404, "{id}");
            assert_eq!(served.get(&format!("/v3/projects?name={id}&{id}"), &admin).await.status, 200, "{id}");
        }
        for token in [&b"\xff\xfe"[..], b"   ", b"a.b.c.d", b"eyJhbGciOiJub25lIn0.e30."] {
            let request = served.request(Method::GET, "/v3/auth/tokens").header("X-Auth-Token", token);
            answer(request.header("X-Subject-Token", token)).await.refused(401);
        }
        let padded = format!("  {admin} ");
        assert_eq!(served.validate(&padded, &padded).await.status, 200);
    })
    .await;
}

#[actix_web::test]
async fn every_answer_has_a_request_id_of_its_own() {
    demo(async |served| {
        let mut seen = BTreeSet::new();
        for (method, path) in [
            (Method::GET, "/"),
            (Method::GET, "/v3"),
            (Method::GET, "/nowhere"),
            (Method::PATCH, "/v3/auth/tokens"),
            (Method::POST, "/v3/auth/tokens"),
            (Method::GET, "/v3/projects"),
            (Method::HEAD, "/v3/auth/tokens"),
        ] {
            let given = served.request(method, path).header("X-Openstack-Request-Id", "req-mine");
            let id = answer(given).await.header("X-Openstack-Request-Id").to_owned();
            assert!(id.starts_with("req-") && id.len() == 40, "{id}");
            assert!(seen.insert(id));
        }
    })
    .await;
}
