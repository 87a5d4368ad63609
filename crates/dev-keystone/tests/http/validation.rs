use dev_keystone::Options;
use reqwest::Method;
use serde_json::json;

use crate::served::{IMAGE_URL, demo, from_token, password, project, with};

#[actix_web::test]
async fn the_service_sees_what_was_issued() {
    demo(async |served| {
        let service = served.token("vitrine").await;
        for (user, scope) in [
            ("owner", project("demo-owner")),
            ("owner", json!("unscoped")),
            ("admin", json!({"domain": {"id": "default"}})),
            ("admin", json!({"system": {"all": true}})),
        ] {
            let issued = served.log_in(json!({"identity": password(user), "scope": scope})).await;
            let subject = issued.token();
            let full = served.subject(Method::GET, "", Some(&service), Some(&subject)).await;
            assert_eq!((full.status, full.json()), (200, issued.json()));
            assert_eq!(full.header("X-Subject-Token"), subject);
            assert_eq!(full.header("Vary"), "X-Auth-Token");
        }
    })
    .await;
}

#[actix_web::test]
async fn nocatalog_drops_the_catalog_whatever_its_value() {
    demo(async |served| {
        let own = served.token("owner").await;
        for (query, catalog) in
            [("", true), ("?nocatalog", false), ("?nocatalog=1", false), ("?nocatalog=0", false)]
        {
            let answer = served.subject(Method::GET, query, Some(&own), Some(&own)).await;
            assert_eq!(answer.token_keys().contains("catalog"), catalog, "{query}");
        }
        let issued = served.request(Method::POST, "/v3/auth/tokens?nocatalog=1");
        let issued =
            crate::served::answer(issued.json(&json!({"auth": {"identity": password("vitrine")}}))).await;
        assert_eq!((issued.status, issued.token_keys().contains("catalog")), (201, false));
    })
    .await;
}

#[actix_web::test]
async fn who_may_validate_check_and_revoke_is_as_in_keystone() {
    demo(async |served| {
        let system = served.token_for("admin", json!({"system": {"all": true}})).await;
        let bare_service = served.token_for("vitrine", json!("unscoped")).await;
        let unscoped_self = served.token_for("owner", json!("unscoped")).await;
        let of = async |user: &str| served.token(user).await;
        for (who, caller, get, head, delete) in [
            ("service", of("vitrine").await, 200, 403, 403),
            ("admin", of("admin").await, 200, 200, 204),
            ("admin on the system", system, 200, 200, 204),
            ("another member", of("member").await, 403, 403, 403),
            ("a reader", of("reader").await, 403, 403, 403),
            ("the service user unscoped", bare_service, 403, 403, 403),
            ("the same user unscoped", unscoped_self, 200, 200, 204),
        ] {
            let subject = served.token("owner").await;
            for (method, expected) in [(Method::GET, get), (Method::HEAD, head), (Method::DELETE, delete)] {
                let answer = served.subject(method.clone(), "", Some(&caller), Some(&subject)).await;
                assert_eq!(answer.status, expected, "{who} {method}");
            }
        }
    })
    .await;
}

#[actix_web::test]
async fn a_bad_subject_is_a_json_404_without_the_token_for_every_caller() {
    demo(async |served| {
        let subject = served.token("owner").await;
        let forged = format!("{}AAAAAA", &subject[..subject.len() - 6]);
        for caller in [served.token("vitrine").await, served.token("member").await] {
            for bad in ["garbage", forged.as_str(), "a.b.c", "gAAAAABm"] {
                let answer = served.validate(&caller, bad).await;
                assert_eq!(answer.refused(404), "Failed to validate token");
                assert!(!answer.text.contains(bad));
            }
            let answer = served.subject(Method::GET, "", Some(&caller), None).await;
            assert_eq!(answer.refused(404), "No token in the request");
        }
    })
    .await;
}

#[actix_web::test]
async fn a_bad_own_token_is_401_before_anything_else() {
    demo(async |served| {
        let subject = served.token("owner").await;
        for (auth, subject) in [
            (None, subject.as_str()),
            (Some("garbage"), subject.as_str()),
            (Some("garbage"), "garbage"),
            (Some(""), "x"),
        ] {
            served.subject(Method::GET, "", auth, Some(subject)).await.refused(401);
        }
    })
    .await;
}

#[actix_web::test]
async fn an_expired_token_validates_only_with_allow_expired_and_only_in_the_window() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { data_dir: Some(directory.path().to_owned()), ..Options::new(IMAGE_URL) };
    // Same key, tokens without any life: expired as soon as they are issued, so nothing has to wait.
    let lifeless = Options { token_life: 0, ..options.clone() };
    let no_window = Options { expired_window: 0, ..options.clone() };
    with(&lifeless, async |issuer| {
        let expired = issuer.token("owner").await;
        issuer.validate(&expired, &expired).await.refused(401);
        with(&options, async |served| {
            let service = served.token("vitrine").await;
            served.validate(&service, &expired).await.refused(404);
            for yes in ["1", "true", "True", "yes"] {
                let query = format!("?nocatalog=1&allow_expired={yes}");
                let answer = served.subject(Method::GET, &query, Some(&service), Some(&expired)).await;
                assert_eq!(answer.status, 200);
                let token = answer.json()["token"].clone();
                assert_eq!(token["expires_at"], token["issued_at"], "the original expiry is told");
            }
            for no in ["0", "false", ""] {
                let query = format!("?allow_expired={no}");
                served.subject(Method::GET, &query, Some(&service), Some(&expired)).await.refused(404);
            }
            served
                .subject(Method::GET, "?allow_expired=1", Some(&expired), Some(&service))
                .await
                .refused(401);
            served.log_in(json!({"identity": from_token(&expired)})).await.refused(404);
        })
        .await;
        with(&no_window, async |served| {
            let service = served.token("vitrine").await;
            let answer =
                served.subject(Method::GET, "?allow_expired=1", Some(&service), Some(&expired)).await;
            answer.refused(404);
        })
        .await;
    })
    .await;
}
