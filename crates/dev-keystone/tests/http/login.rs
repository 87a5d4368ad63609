use dev_keystone::Realm;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::served::{IMAGE_URL, demo, from_token, keys, password, project};

const ALWAYS: [&str; 5] = ["audit_ids", "expires_at", "issued_at", "methods", "user"];

#[actix_web::test]
async fn a_project_token_has_keystones_keys_roles_and_catalog() {
    demo(async |served| {
        let answer =
            served.log_in(json!({"identity": password("owner"), "scope": project("demo-owner")})).await;
        answer.token();
        let mut expected = keys(&ALWAYS);
        expected.extend(keys(&["catalog", "is_domain", "project", "roles"]));
        assert_eq!(answer.token_keys(), expected);
        let token = answer.json()["token"].clone();
        assert_eq!(token["methods"], json!(["password"]));
        assert_eq!(token["is_domain"], false);
        assert_eq!(token["project"]["name"], "demo-owner");
        assert_eq!(token["project"]["domain"], json!({"id": "default", "name": "Default"}));
        assert_eq!(token["user"]["password_expires_at"], Value::Null);
        assert_eq!(names(&token["roles"]), ["member", "reader"]);
        let [identity, image] = [&token["catalog"][0], &token["catalog"][1]];
        assert_eq!([&identity["type"], &image["type"]], ["identity", "image"]);
        let interfaces: Vec<_> =
            image["endpoints"].as_array().unwrap().iter().map(|e| &e["interface"]).collect();
        assert_eq!(interfaces, ["public", "internal", "admin"]);
        assert_eq!(image["endpoints"][0]["url"], IMAGE_URL);
        assert_eq!(identity["endpoints"][0]["url"], served.url.as_str());
    })
    .await;
}

#[actix_web::test]
async fn domain_system_and_unscoped_tokens_have_keystones_keys() {
    demo(async |served| {
        for (scope, added) in [
            (json!({"domain": {"id": "default"}}), &["catalog", "domain", "roles"][..]),
            (json!({"domain": {"name": "Default"}}), &["catalog", "domain", "roles"]),
            (json!({"system": {"all": true}}), &["catalog", "roles", "system"]),
            (json!("unscoped"), &[]),
            (json!({"unscoped": {}}), &[]),
        ] {
            let answer = served.log_in(json!({"identity": password("admin"), "scope": scope})).await;
            let mut expected = keys(&ALWAYS);
            expected.extend(keys(added));
            assert_eq!(answer.token_keys(), expected, "{scope}");
            if !added.is_empty() {
                assert_eq!(names(&answer.json()["token"]["roles"]), ["admin", "manager", "member", "reader"]);
            }
        }
    })
    .await;
}

#[actix_web::test]
async fn without_a_scope_the_default_project_is_meant() {
    demo(async |served| {
        for (user, home) in [("owner", "demo-owner"), ("member", "demo-member"), ("vitrine", "service")] {
            let answer = served.log_in(json!({"identity": password(user), "scope": null})).await;
            assert_eq!(answer.json()["token"]["project"]["name"], home);
        }
    })
    .await;
}

#[actix_web::test]
async fn a_user_and_a_project_may_be_named_by_id() {
    demo(async |served| {
        let realm = Realm::demo();
        let (user, home) = (realm.user_named("owner").unwrap(), realm.project_named("demo-owner").unwrap());
        let identity =
            json!({"methods": ["password"], "password": {"user": {"id": user.id, "password": "secret"}}});
        let answer =
            served.log_in(json!({"identity": identity, "scope": {"project": {"id": home.id}}})).await;
        assert_eq!(answer.json()["token"]["project"]["id"], home.id);
    })
    .await;
}

#[actix_web::test]
async fn a_reader_reads_in_both_demo_projects() {
    demo(async |served| {
        for home in ["demo-owner", "demo-member"] {
            let answer = served.log_in(json!({"identity": password("reader"), "scope": project(home)})).await;
            assert_eq!(names(&answer.json()["token"]["roles"]), ["reader"]);
        }
    })
    .await;
}

#[actix_web::test]
async fn every_wrong_credential_is_the_same_401() {
    let named = |name: &str, word: &str, domain: &str| {
        json!({"methods": ["password"],
               "password": {"user": {"name": name, "password": word, "domain": {"id": domain}}}})
    };
    demo(async |served| {
        let without_password = json!({"methods": ["password"], "password": {"user": {"id": "x"}}});
        for auth in [
            json!({"identity": named("owner", "wrong", "default")}),
            json!({"identity": named("nobody", "secret", "default")}),
            json!({"identity": named("owner", "secret", "elsewhere")}),
            json!({"identity": without_password}),
            json!({"identity": {"methods": []}}),
            json!({"identity": password("owner"), "scope": project("nowhere")}),
            json!({"identity": password("owner"), "scope": project("demo-member")}),
            json!({"identity": password("owner"), "scope": {"project": {"id": "f"}}}),
            json!({"identity": password("owner"), "scope": {"domain": {"id": "default"}}}),
            json!({"identity": password("owner"), "scope": {"system": {"all": true}}}),
        ] {
            let answer = served.log_in(auth).await;
            assert_eq!(answer.refused(401), "The request you have made requires authentication.");
            assert_eq!(answer.header("WWW-Authenticate"), format!("Keystone uri=\"{}\"", served.url));
        }
    })
    .await;
}

#[actix_web::test]
async fn a_method_that_is_not_served_is_401_and_says_which_are() {
    demo(async |served| {
        let answer = served.log_in(json!({"identity": {"methods": ["application_credential"]}})).await;
        assert_eq!(answer.refused(401), "Attempted to authenticate with an unsupported method.");
        assert_eq!(answer.json()["error"]["identity"]["methods"], json!(["password", "token"]));
    })
    .await;
}

#[actix_web::test]
async fn rescoping_keeps_the_expiry_and_remembers_where_it_came_from() {
    demo(async |served| {
        let first = served.log_in(json!({"identity": password("reader"), "scope": "unscoped"})).await;
        let second = served
            .log_in(json!({"identity": from_token(&first.token()), "scope": project("demo-owner")}))
            .await;
        let (before, after) = (first.json()["token"].clone(), second.json()["token"].clone());
        assert_eq!(after["expires_at"], before["expires_at"]);
        assert_eq!(after["methods"], json!(["token", "password"]));
        assert_eq!(after["audit_ids"][1], before["audit_ids"][0]);
        assert_eq!(after["project"]["name"], "demo-owner");
        let home = served.log_in(json!({"identity": from_token(&first.token())})).await;
        assert_eq!(home.json()["token"]["project"]["name"], "demo-member");
    })
    .await;
}

#[actix_web::test]
async fn two_proofs_of_two_users_prove_nobody() {
    demo(async |served| {
        let mut identity = password("owner");
        identity["methods"] = json!(["password", "token"]);
        identity["token"] = json!({"id": served.token("owner").await});
        assert_eq!(served.log_in(json!({"identity": identity})).await.status, 201);
        identity["token"] = json!({"id": served.token("member").await});
        served.log_in(json!({"identity": identity})).await.refused(401);
    })
    .await;
}

#[actix_web::test]
async fn the_public_key_verifies_a_token_with_keystones_claims() {
    demo(async |served| {
        let text = served.token("owner").await;
        let header = jsonwebtoken::decode_header(&text).unwrap();
        assert_eq!((header.alg, header.kid), (Algorithm::ES256, None));
        let key = DecodingKey::from_ec_pem(served.public_key_pem.as_bytes()).unwrap();
        let claims =
            jsonwebtoken::decode::<Value>(&text, &key, &Validation::new(Algorithm::ES256)).unwrap().claims;
        let claims = claims.as_object().unwrap();
        let expected =
            ["exp", "iat", "openstack_audit_ids", "openstack_methods", "openstack_project_id", "sub"];
        assert_eq!(claims.keys().cloned().collect::<std::collections::BTreeSet<_>>(), keys(&expected));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    })
    .await;
}

fn names(roles: &Value) -> Vec<&str> {
    let mut names: Vec<_> =
        roles.as_array().unwrap().iter().map(|role| role["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}
