use dev_keystone::Realm;
use serde_json::{Value, json};

use crate::served::{Served, demo, keys};

/// What each caller gets for a path.
async fn statuses(served: &Served, path: &str) -> [u16; 5] {
    let callers = [
        served.token("admin").await,
        served.token_for("admin", json!({"system": {"all": true}})).await,
        served.token("owner").await,
        served.token("vitrine").await,
        served.token_for("owner", json!("unscoped")).await,
    ];
    let mut statuses = [0; 5];
    for (status, caller) in statuses.iter_mut().zip(callers) {
        *status = served.get(path, &caller).await.status;
    }
    served.get(path, "garbage").await.refused(401);
    statuses
}

#[actix_web::test]
async fn who_sees_what_is_as_in_keystone() {
    let realm = Realm::demo();
    let own = &realm.project_named("demo-owner").unwrap().id;
    let others = &realm.project_named("demo-member").unwrap().id;
    let user = &realm.user_named("owner").unwrap().id;
    demo(async |served| {
        // admin, admin on the system, owner, service, owner without a scope
        for (path, expected) in [
            ("/v3/projects".to_owned(), [200, 200, 403, 403, 403]),
            (format!("/v3/projects/{own}"), [200, 200, 200, 403, 403]),
            (format!("/v3/projects/{others}"), [200, 200, 403, 403, 403]),
            ("/v3/projects/missing".to_owned(), [404, 404, 403, 403, 403]),
            ("/v3/auth/projects".to_owned(), [200, 200, 200, 200, 200]),
            ("/v3/auth/catalog".to_owned(), [200, 200, 200, 200, 403]),
            ("/v3/users".to_owned(), [200, 200, 403, 403, 403]),
            (format!("/v3/users/{user}"), [200, 200, 200, 403, 200]),
            (format!("/v3/users/{user}/projects"), [200, 200, 200, 403, 200]),
            ("/v3/users/missing".to_owned(), [404, 404, 403, 403, 403]),
            ("/v3/domains".to_owned(), [200, 200, 403, 403, 403]),
            ("/v3/domains/default".to_owned(), [200, 200, 200, 200, 403]),
            ("/v3/domains/missing".to_owned(), [404, 404, 403, 403, 403]),
            ("/v3/services".to_owned(), [200, 200, 403, 403, 403]),
            ("/v3/services/missing".to_owned(), [404, 404, 403, 403, 403]),
            ("/v3/endpoints".to_owned(), [200, 200, 403, 403, 403]),
            ("/v3/endpoints/missing".to_owned(), [404, 404, 403, 403, 403]),
        ] {
            assert_eq!(statuses(&served, &path).await, expected, "{path}");
        }
    })
    .await;
}

#[actix_web::test]
async fn a_list_is_filtered_by_name_domain_and_flags_and_links_to_itself() {
    demo(async |served| {
        let admin = served.token("admin").await;
        for (query, expected) in [
            ("?name=demo-owner", vec!["demo-owner"]),
            ("?name=demo-owner&domain_id=default&enabled=True", vec!["demo-owner"]),
            ("?name=nobody", vec![]),
            ("?domain_id=elsewhere", vec![]),
            ("?is_domain=true", vec![]),
            ("?enabled=false", vec![]),
            ("?unknown=1", vec!["demo-owner", "demo-member", "demo-other", "admin", "service"]),
        ] {
            let answer = served.get(&format!("/v3/projects{query}"), &admin).await.json();
            assert_eq!(names(&answer["projects"]), expected, "{query}");
            assert_eq!(answer["links"]["self"], format!("{}/projects{query}", served.url));
            assert_eq!(answer["links"]["next"], Value::Null);
        }
        let users = served.get("/v3/users?name=member", &admin).await.json();
        assert_eq!(names(&users["users"]), ["member"]);
    })
    .await;
}

#[actix_web::test]
async fn a_project_and_a_user_have_keystones_keys() {
    let realm = Realm::demo();
    demo(async |served| {
        let admin = served.token("admin").await;
        let project = &realm.project_named("demo-member").unwrap().id;
        let body = served.get(&format!("/v3/projects/{project}"), &admin).await.json()["project"].clone();
        let expected = [
            "description",
            "domain_id",
            "enabled",
            "id",
            "is_domain",
            "links",
            "name",
            "options",
            "parent_id",
            "tags",
        ];
        assert_eq!(
            body.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>(),
            keys(&expected)
        );
        let user = &realm.user_named("member").unwrap().id;
        let body = served.get(&format!("/v3/users/{user}"), &admin).await.json()["user"].clone();
        let expected = [
            "default_project_id",
            "domain_id",
            "enabled",
            "id",
            "links",
            "name",
            "options",
            "password_expires_at",
        ];
        assert_eq!(
            body.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>(),
            keys(&expected)
        );
        assert_eq!(body["links"]["self"], format!("{}/users/{user}", served.url));
    })
    .await;
}

#[actix_web::test]
async fn one_learns_where_one_has_roles() {
    demo(async |served| {
        let reader = served.get("/v3/auth/projects", &served.token("reader").await).await.json();
        assert_eq!(names(&reader["projects"]), ["demo-owner", "demo-member"]);
    })
    .await;
}

#[actix_web::test]
async fn discovery_needs_no_token() {
    demo(async |served| {
        let versions = crate::served::answer(served.request(reqwest::Method::GET, "/")).await;
        assert_eq!(
            (versions.status, versions.header("Location")),
            (300, format!("{}/", served.url).as_str())
        );
        assert_eq!(versions.json()["versions"]["values"][0]["id"], "v3.14");
        for path in ["/v3", "/v3/"] {
            let version = crate::served::answer(served.request(reqwest::Method::GET, path)).await;
            assert_eq!((version.status, version.json()["version"]["status"].as_str()), (200, Some("stable")));
        }
    })
    .await;
}

fn names(items: &Value) -> Vec<&str> {
    items.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}
