//! What hostile input is thrown at.

use core_domain::{image::ImageId, member::MemberStatus};

use crate::{client::Client, served::Served, wire::Reply};

/// Records worth breaking: an image with two members, and one that nobody else sees.
pub(crate) struct Target {
    pub(crate) served: Served,
    pub(crate) image: ImageId,
    before: Vec<String>,
}

impl Target {
    pub(crate) fn new() -> Self {
        let served = Served::start();
        let image = served.image("owner", |image| {
            image.name = Some("sunset".into());
            image.tags.insert("sky".into());
            image.properties.insert("os_distro".into(), "debian".into());
        });
        served.share(image, "guest", MemberStatus::Accepted);
        served.share(image, "another", MemberStatus::Pending);
        served.image("elsewhere", |_| {});
        let before = served.dump();
        Self { served, image, before }
    }

    pub(crate) fn owner(&self) -> Client<'_> {
        self.served.member_of("owner")
    }

    pub(crate) fn guest(&self) -> Client<'_> {
        self.served.member_of("guest")
    }

    pub(crate) fn members(&self) -> String {
        format!("/v2/images/{}/members", self.image)
    }

    pub(crate) fn is_untouched(&self) {
        assert_eq!(self.served.dump(), self.before);
    }

    /// The answers of the calls that read a body, to this one.
    pub(crate) fn fed(&self, body: &[u8]) -> [(&'static str, Reply); 4] {
        let patch = "application/openstack-images-v2.1-json-patch";
        let image = format!("/v2/images/{}", self.image);
        [
            ("member", self.owner().ask("POST", &self.members()).body(body).send()),
            ("status", self.guest().ask("PUT", &format!("{}/guest", self.members())).body(body).send()),
            ("patch", self.owner().ask("PATCH", &image).header("Content-Type", patch).body(body).send()),
            ("image", self.owner().ask("POST", "/v2/images").body(body).send()),
        ]
    }
}
