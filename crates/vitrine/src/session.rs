//! The session that `vitrine dev` prints, to be pasted: share, accept, list.

use std::path::Path;

/// What a session is about.
pub(crate) struct Session<'a> {
    /// The API: `http://127.0.0.1:9292`.
    pub(crate) api: &'a str,
    /// The identity: `http://127.0.0.1:5000/v3`.
    pub(crate) identity: &'a str,
    /// The `clouds.yaml` with the demo's users.
    pub(crate) clouds: &'a Path,
    /// The project to share with, by its id: a user may not look up other projects by name.
    pub(crate) member: &'a str,
    /// Every demo user's password.
    pub(crate) password: &'a str,
}

impl Session<'_> {
    /// With curl and nothing else.
    pub(crate) fn with_curl(&self) -> String {
        let Self { api, identity, member, password, .. } = self;
        format!(
            r#"token() {{ curl -si {identity}/auth/tokens -H 'Content-Type: application/json' -d '{{"auth": {{"identity": {{
    "methods": ["password"], "password": {{"user": {{"name": "'$1'", "domain": {{"id": "default"}}, "password": "{password}"}}}}}}}}}}' |
  tr -d '\r' | sed -n 's/^x-subject-token: //Ip'; }}
owner=$(token owner); member=$(token member)
image=$(curl -s {api}/v2/images -H "X-Auth-Token: $owner" -d '{{"name": "poster"}}' | sed 's/^{{"id":"\([^"]*\)".*/\1/')
curl -s {api}/v2/images/$image/members -H "X-Auth-Token: $owner" -d '{{"member_id": "{member}"}}'; echo
curl -s -X PUT {api}/v2/images/$image/members/{member} -H "X-Auth-Token: $member" -d '{{"status": "accepted"}}'; echo
curl -s "{api}/v2/images?visibility=shared" -H "X-Auth-Token: $member"; echo
"#
        )
    }

    /// With the `openstack` client.
    pub(crate) fn with_openstack(&self) -> String {
        let Self { clouds, member, .. } = self;
        let clouds = clouds.display();
        format!(
            r#"export OS_CLIENT_CONFIG_FILE='{clouds}'
image=$(openstack --os-cloud vitrine-owner image create --shared --format value --column id poster)
openstack --os-cloud vitrine-owner image add project $image {member}
openstack --os-cloud vitrine-member image list --shared --member-status pending
openstack --os-cloud vitrine-member image set --accept $image
openstack --os-cloud vitrine-member image list --shared
"#
        )
    }
}
