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
