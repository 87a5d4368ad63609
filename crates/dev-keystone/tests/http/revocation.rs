use reqwest::Method;
use serde_json::json;

use crate::served::{demo, from_token};

#[actix_web::test]
async fn a_revoked_token_is_404_as_subject_and_401_as_own() {
    demo(async |served| {
        let (service, token) = (served.token("vitrine").await, served.token("owner").await);
        let answer = served.subject(Method::DELETE, "", Some(&token), Some(&token)).await;
        assert_eq!((answer.status, answer.text.as_str()), (204, ""));
        served.validate(&service, &token).await.refused(404);
        served.subject(Method::GET, "?allow_expired=1", Some(&service), Some(&token)).await.refused(404);
        served.validate(&token, &service).await.refused(401);
        served.log_in(json!({"identity": from_token(&token)})).await.refused(404);
        let admin = served.token("admin").await;
        served.subject(Method::DELETE, "", Some(&admin), Some(&token)).await.refused(404);
        assert_eq!(served.validate(&service, &served.token("owner").await).await.status, 200);
    })
    .await;
}

#[actix_web::test]
async fn a_token_made_from_a_revoked_one_is_gone_but_not_the_other_way_round() {
    demo(async |served| {
        let (service, parent) = (served.token("vitrine").await, served.token("owner").await);
        let child = async || served.log_in(json!({"identity": from_token(&parent)})).await.token();
        let (first, second) = (child().await, child().await);
        served.subject(Method::DELETE, "", Some(&parent), Some(&first)).await;
        assert_eq!(served.validate(&service, &first).await.status, 404);
        assert_eq!(served.validate(&service, &parent).await.status, 200);
        served.subject(Method::DELETE, "", Some(&parent), Some(&parent)).await;
        assert_eq!(served.validate(&service, &second).await.status, 404);
    })
    .await;
}

#[actix_web::test]
async fn what_was_revoked_is_told_to_services_and_administrators() {
    demo(async |served| {
        let (service, token) = (served.token("vitrine").await, served.token("owner").await);
        let events =
            async |query: &str, asker: &str| served.get(&format!("/v3/OS-REVOKE/events{query}"), asker).await;
        assert_eq!(events("", &service).await.json()["events"], json!([]));
        let audit_ids = served.validate(&service, &token).await.json()["token"]["audit_ids"].clone();
        served.subject(Method::DELETE, "", Some(&token), Some(&token)).await;
        let admin = served.token("admin").await;
        for asker in [&service, &admin] {
            let told = events("", asker).await.json()["events"].clone();
            assert_eq!((&told[0]["audit_id"], &told[1]["audit_chain_id"]), (&audit_ids[0], &audit_ids[0]));
            let at = told[0]["revoked_at"].as_str().unwrap();
            assert_eq!(told[0]["issued_before"], at);
            for (since, number) in [("2026-01-01T00:00:00.000000Z", 2), (at, 0)] {
                let since = since.replace(':', "%3A");
                let told = events(&format!("?since={since}"), asker).await.json()["events"].clone();
                assert_eq!(told.as_array().unwrap().len(), number, "{since}");
            }
        }
        events("?since=yesterday", &service).await.refused(400);
        events("", &served.token("member").await).await.refused(403);
    })
    .await;
}
