use std::net::TcpListener;

use dev_keystone::{DevKeystone, Error, Options, Realm, clouds_yaml};

use crate::served::{IMAGE_URL, demo, with};

fn bind(listen: &str) -> Result<DevKeystone, Error> {
    DevKeystone::bind(listen.parse().unwrap(), Realm::demo(), &Options::new(IMAGE_URL))
}

#[actix_web::test]
async fn every_address_off_loopback_is_refused_with_a_reason() {
    for listen in
        ["0.0.0.0:0", "[::]:0", "192.0.2.1:5000", "10.0.0.1:0", "[2001:db8::1]:0", "[::ffff:192.0.2.1]:0"]
    {
        let refused = bind(listen).map(|_| ()).unwrap_err();
        assert!(matches!(refused, Error::NotLoopback(_)), "{listen}");
        let said = refused.to_string();
        assert!(said.contains(listen) && said.contains("127.0.0.1"), "{said}");
    }
}

#[actix_web::test]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let said = bind(&listen).map(|_| ()).unwrap_err().to_string();
    assert!(said.contains(&listen), "{said}");
}

#[actix_web::test]
async fn a_realm_that_contradicts_itself_does_not_start() {
    let mut realm = Realm::demo();
    realm.users[0].default_project_id = Some("gone".to_owned());
    let refused = DevKeystone::bind("127.0.0.1:0".parse().unwrap(), realm, &Options::new(IMAGE_URL));
    assert!(refused.map(|_| ()).unwrap_err().to_string().contains("gone"));
}

#[actix_web::test]
async fn tokens_survive_a_restart_with_a_data_directory_and_only_then() {
    let directory = tempfile::tempdir().unwrap();
    let kept = Options { data_dir: Some(directory.path().join("identity")), ..Options::new(IMAGE_URL) };
    let (mut token, mut pem) = (String::new(), String::new());
    with(&kept, async |served| {
        token = served.token("owner").await;
        pem = served.public_key_pem;
    })
    .await;
    with(&kept, async |served| {
        assert_eq!(served.public_key_pem, pem);
        assert_eq!(served.validate(&served.token("vitrine").await, &token).await.status, 200);
    })
    .await;
    demo(async |served| {
        assert_ne!(served.public_key_pem, pem);
        served.validate(&served.token("vitrine").await, &token).await.refused(404);
    })
    .await;
}

#[actix_web::test]
async fn every_cloud_of_the_clouds_file_can_log_in() {
    demo(async |served| {
        let yaml = clouds_yaml(&served.url);
        for (cloud, user, project) in [
            ("vitrine-owner", "owner", "demo-owner"),
            ("vitrine-member", "member", "demo-member"),
            ("vitrine-reader", "reader", "demo-member"),
            ("vitrine-admin", "admin", "admin"),
        ] {
            let (_, entry) = yaml.split_once(&format!("  {cloud}:\n")).unwrap();
            assert!(entry.contains(&format!("auth_url: \"{}\"", served.url)));
            assert!(entry.contains(&format!("username: {user}\n")));
            assert!(entry.contains(&format!("project_name: {project}\n")));
            served.token_for(user, crate::served::project(project)).await;
        }
    })
    .await;
}
