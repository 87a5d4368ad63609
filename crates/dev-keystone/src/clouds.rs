use std::fmt::Write;

use crate::realm::Realm;

/// Cloud, user, project.
const CLOUDS: [(&str, &str, &str); 4] = [
    ("vitrine-owner", "owner", "demo-owner"),
    ("vitrine-member", "member", "demo-member"),
    ("vitrine-reader", "reader", "demo-member"),
    ("vitrine-admin", "admin", "admin"),
];

/// A `clouds.yaml` for [`Realm::demo`]: `openstack --os-cloud vitrine-owner image list`.
///
/// `identity_url` is [`crate::DevKeystone::url`].
#[must_use]
pub fn clouds_yaml(identity_url: &str) -> String {
    let mut yaml =
        "# The demo projects of the development identity; the passwords are public.\nclouds:\n".to_owned();
    for (cloud, user, project) in CLOUDS {
        let password = Realm::DEMO_PASSWORD;
        // Writing to a String does not fail.
        let _ = write!(
            yaml,
            r#"  {cloud}:
    auth:
      auth_url: "{identity_url}"
      username: {user}
      password: {password}
      project_name: {project}
      user_domain_id: default
      project_domain_id: default
    region_name: RegionOne
    interface: public
    identity_api_version: "3"
    image_api_version: "2"
"#
        );
    }
    yaml
}
