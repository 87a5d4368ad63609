//! The access matrix: every route × every kind of caller × every kind of image. What is expected comes from [`expected`],
//! written from the words of the sharing API and not from the code; a route without a row there fails.
//!
//! Besides the status: a refusal changes nothing, and one for an image that the caller does not see is, byte for byte,
//! what it would be for an id that was never used.

use api_http::routes::{Route, TABLE};
use core_domain::{
    caller::PrivateImages,
    image::{Image, ImageId, Visibility},
    member::{Member, MemberStatus},
    store::{MembersPage, Store, Viewer},
};

use crate::{
    client::{Ask, Client},
    served::Served,
    wire::{Reply, masked_request_id},
};

/// What Keystone says of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// No token at all.
    Nobody,
    /// A token that is none.
    Garbage,
    /// A token of the owner's that was good once.
    Expired,
    /// A token for no project.
    Unscoped,
    /// An administrator of the system, its token for no project.
    SystemAdmin,
    /// In a project that has nothing to do with the image.
    Stranger(Role),
    /// In a project that the image was offered to, which made this of it.
    Guest(Role, MemberStatus),
    /// In the project that owns the image.
    Owner(Role),
    /// An administrator in a project of its own.
    Admin,
}

/// The highest role of an ordinary user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Neither,
    Reader,
    Member,
}

/// What kind of image a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Is(Visibility),
    /// Shared, and nobody's.
    Ownerless,
    /// Deleted; it was shared.
    Deleted,
    /// Never there.
    Never,
}

const KINDS: [Kind; 7] = [
    Kind::Is(Visibility::Public),
    Kind::Is(Visibility::Community),
    Kind::Is(Visibility::Shared),
    Kind::Is(Visibility::Private),
    Kind::Ownerless,
    Kind::Deleted,
    Kind::Never,
];

fn callers() -> Vec<Who> {
    let roles = [Role::Neither, Role::Reader, Role::Member];
    let mut all = vec![Who::Nobody, Who::Garbage, Who::Expired, Who::Unscoped, Who::SystemAdmin, Who::Admin];
    all.extend(roles.map(Who::Stranger));
    all.extend(roles.map(Who::Owner));
    all.extend(
        roles.into_iter().flat_map(|role| MemberStatus::ALL.map(move |status| Who::Guest(role, status))),
    );
    all
}

impl Who {
    fn is_authenticated(self) -> bool {
        !matches!(self, Self::Nobody | Self::Garbage | Self::Expired)
    }

    fn has_a_project(self) -> bool {
        self.is_authenticated() && !matches!(self, Self::Unscoped | Self::SystemAdmin)
    }

    /// Reader role, which member and admin imply.
    fn may_read(self) -> bool {
        match self {
            Self::Stranger(role) | Self::Guest(role, _) | Self::Owner(role) => role != Role::Neither,
            Self::Admin => true,
            Self::Nobody | Self::Garbage | Self::Expired | Self::Unscoped | Self::SystemAdmin => false,
        }
    }

    /// Member role, which admin implies.
    fn may_write(self) -> bool {
        match self {
            Self::Stranger(role) | Self::Guest(role, _) | Self::Owner(role) => role == Role::Member,
            Self::Admin => true,
            Self::Nobody | Self::Garbage | Self::Expired | Self::Unscoped | Self::SystemAdmin => false,
        }
    }

    fn client(self, served: &Served) -> Client<'_> {
        let roles = |role| match role {
            Role::Neither => &["service"][..],
            Role::Reader => &["reader"],
            Role::Member => &["member", "reader"],
        };
        match self {
            Self::Nobody => served.nobody(),
            Self::Garbage => served.with_token("garbage"),
            Self::Expired => served.with_token("expired"),
            Self::Unscoped => served.somebody(None, &[]),
            Self::SystemAdmin => served.somebody(None, &["admin", "manager", "member", "reader"]),
            Self::Stranger(role) => served.somebody(Some("stranger"), roles(role)),
            Self::Guest(role, _) => served.somebody(Some("guest"), roles(role)),
            Self::Owner(role) => served.somebody(Some("owner"), roles(role)),
            Self::Admin => served.admin(),
        }
    }
}

/// Section 2, «see»: public, community, own, admin; shared and a membership in any status. Without an owner: every
/// project. A caller without a project: nothing.
fn sees(who: Who, kind: Kind) -> bool {
    if !who.has_a_project() {
        return false;
    }
    match kind {
        Kind::Deleted | Kind::Never => false,
        Kind::Ownerless => true,
        Kind::Is(Visibility::Public | Visibility::Community) => true,
        Kind::Is(Visibility::Shared) => matches!(who, Who::Admin | Who::Owner(_) | Who::Guest(..)),
        Kind::Is(Visibility::Private) => matches!(who, Who::Admin | Who::Owner(_)),
    }
}

/// Section 1, «owner side»: the caller's project is the image's owner.
fn on_the_owner_side(who: Who, kind: Kind) -> bool {
    kind != Kind::Ownerless && matches!(who, Who::Owner(_))
}

/// Section 2, «fit»: members exist on shared images.
fn has_members(kind: Kind) -> bool {
    matches!(kind, Kind::Is(Visibility::Shared) | Kind::Ownerless)
}

/// Section 3, private images: the owner and admins list and remove the members that a private image had.
fn keeps_members_for(who: Who, kind: Kind) -> bool {
    let keeps = who == Who::Admin || on_the_owner_side(who, kind);
    has_members(kind) || (kind == Kind::Is(Visibility::Private) && keeps)
}

/// Sections 2, 3 and 5, for the member «guest» where a call names one. `None`: the route has no row.
fn expected(method: &str, path: &str, who: Who, kind: Kind, private: PrivateImages) -> Option<u16> {
    if path.starts_with("/v2") && !who.is_authenticated() {
        return Some(401);
    }
    let unseen = !sees(who, kind);
    let writes = who == Who::Admin || (who.may_write() && on_the_owner_side(who, kind));
    let is_the_guest = matches!(who, Who::Guest(..));
    Some(match (method, path) {
        ("GET" | "HEAD", "/") => 300,
        // `/readyz`: of a service whose records are there and whose Keystone has answered.
        ("GET", "/versions" | "/openapi.json" | "/healthcheck" | "/livez" | "/readyz") => 200,
        ("HEAD", "/versions" | "/healthcheck" | "/livez" | "/readyz") => 200,
        (
            "GET",
            "/v2/schemas/image" | "/v2/schemas/images" | "/v2/schemas/member" | "/v2/schemas/members",
        ) => 200,

        ("GET", "/v2/images") => {
            if who.may_read() {
                200
            } else {
                403
            }
        }
        ("POST", "/v2/images") => {
            if who.may_write() {
                201
            } else {
                403
            }
        }

        ("GET", "/v2/images/{image_id}") => {
            if !unseen && who.may_read() {
                200
            } else {
                404
            }
        }
        (_, "/v2/images/{image_id}" | "/v2/images/{image_id}/tags/{tag}") if unseen => 404,
        ("PATCH", "/v2/images/{image_id}") => {
            if writes {
                200
            } else {
                403
            }
        }
        ("DELETE", "/v2/images/{image_id}") => {
            if writes {
                204
            } else {
                403
            }
        }
        ("PUT" | "DELETE", "/v2/images/{image_id}/tags/{tag}") => {
            if writes {
                204
            } else {
                403
            }
        }

        // Whatever the image is now, and for admins even if it is not any more.
        ("GET", HISTORY) => {
            let on_a_side = who == Who::Admin || is_the_guest || on_the_owner_side(who, kind);
            let is_known = !unseen || (who == Who::Admin && kind == Kind::Deleted);
            if is_known && who.may_read() && on_a_side { 200 } else { 404 }
        }
        (_, "/v2/images/{image_id}/members" | "/v2/images/{image_id}/members/{member_id}") if unseen => 404,
        ("GET", "/v2/images/{image_id}/members") => {
            let on_a_side = who == Who::Admin || is_the_guest || on_the_owner_side(who, kind);
            if keeps_members_for(who, kind) && who.may_read() && on_a_side { 200 } else { 403 }
        }
        ("POST", "/v2/images/{image_id}/members") => {
            let becomes_shared = kind == Kind::Is(Visibility::Private) && private == PrivateImages::Share;
            if (has_members(kind) || becomes_shared) && writes { 200 } else { 403 }
        }
        ("GET", "/v2/images/{image_id}/members/{member_id}") => {
            let on_a_side = who == Who::Admin || is_the_guest || on_the_owner_side(who, kind);
            if has_members(kind) && who.may_read() && on_a_side { 200 } else { 404 }
        }
        ("PUT", "/v2/images/{image_id}/members/{member_id}") => {
            if !has_members(kind) {
                403
            } else if who == Who::Admin {
                200
            } else if is_the_guest {
                if who.may_write() { 200 } else { 403 }
            } else if kind == Kind::Ownerless || on_the_owner_side(who, kind) {
                403
            } else {
                404
            }
        }
        ("DELETE", "/v2/images/{image_id}/members/{member_id}") => {
            if keeps_members_for(who, kind) && writes {
                204
            } else {
                403
            }
        }
        _ => return None,
    })
}

const HISTORY: &str = "/v2/images/{image_id}/members/{member_id}/history";

fn ask<'a>(client: &Client<'a>, route: &Route, image: ImageId) -> Ask<'a> {
    let path = route
        .path
        .replace("{image_id}", &image.to_string())
        .replace("{member_id}", "guest")
        .replace("{tag}", "sunset");
    let ask = client.ask(route.method.as_str(), &path);
    match (route.method.as_str(), route.path) {
        ("POST", "/v2/images") => ask.body("{}"),
        ("POST", _) => ask.body(r#"{"member_id": "newcomer"}"#),
        ("PUT", "/v2/images/{image_id}/members/{member_id}") => ask.body(r#"{"status": "rejected"}"#),
        ("PATCH", _) => ask
            .header("Content-Type", "application/openstack-images-v2.1-json-patch")
            .body(r#"[{"op": "replace", "path": "/name", "value": "renamed"}]"#),
        _ => ask,
    }
}

fn an_image(served: &Served, who: Who, kind: Kind) -> ImageId {
    let id = served.image("owner", |image| {
        image.tags.insert("sunset".into());
        match kind {
            Kind::Is(visibility) => image.visibility = visibility,
            Kind::Ownerless => image.owner = None,
            Kind::Deleted | Kind::Never => {}
        }
    });
    let status = if let Who::Guest(_, status) = who { status } else { MemberStatus::Accepted };
    // On an image that is not shared the row is there as well, and gives nothing.
    served.share(id, "guest", status);
    match kind {
        Kind::Is(_) | Kind::Ownerless => id,
        Kind::Deleted => {
            served
                .store
                .write(id, &core_domain::testing::builders::cause(0), |tx| tx.delete_image())
                .unwrap();
            id
        }
        Kind::Never => ImageId::random(),
    }
}

fn records(store: &dyn Store, image: ImageId) -> Option<(Image, Vec<Member>)> {
    let found = store.image(image, Viewer::ADMIN).unwrap()?.image?;
    Some((found, store.members(image, Viewer::ADMIN, &MembersPage::default()).unwrap().unwrap().members))
}

/// Everything a caller can tell apart, but for the id it asked for and what is new in every answer.
fn told(reply: &Reply, image: ImageId) -> String {
    let mut headers: Vec<_> = reply
        .headers
        .iter()
        .filter(|(name, _)| name != "date")
        .map(|(name, value)| format!("{name}: {}", masked_request_id(value)))
        .collect();
    headers.sort();
    format!("{} {headers:?} {}", reply.status, reply.text().replace(&image.to_string(), "<image>"))
}

fn check(served: &Served, route: &Route, private: PrivateImages) {
    // Readiness waits for the first bearer that was vouched for.
    served.admin();
    for who in callers() {
        let client = who.client(served);
        for kind in KINDS {
            let cell = format!("{} {} by {who:?} on {kind:?} ({private:?})", route.method, route.path);
            let expected = expected(route.method.as_str(), route.path, who, kind, private);
            let expected = expected.unwrap_or_else(|| panic!("{cell}: the access matrix has no row for it"));
            let image = an_image(served, who, kind);
            let before = records(served.store.as_ref(), image);
            let reply = ask(&client, route, image).send();
            assert_eq!(reply.status, expected, "{cell}: {reply}");
            if reply.status >= 400 {
                assert_eq!(records(served.store.as_ref(), image), before, "{cell} changed something");
                assert!(!reply.message().is_empty(), "{cell}");
            }
            let asks_an_admin_of_the_past = route.path == HISTORY && who == Who::Admin;
            if route.path.contains("{image_id}") && !sees(who, kind) && !asks_an_admin_of_the_past {
                let never = ImageId::random();
                let other = ask(&client, route, never).send();
                assert_eq!(told(&reply, image), told(&other, never), "{cell} tells that it is there");
            }
            let _ =
                served.store.write(image, &core_domain::testing::builders::cause(0), |tx| tx.delete_image());
        }
    }
}

#[test]
fn every_route_answers_every_caller_about_every_image_as_the_sharing_api_says() {
    for route in &TABLE {
        check(&Served::start(), route, PrivateImages::Share);
    }
}

#[test]
fn so_it_does_where_private_images_are_not_shared() {
    let served = Served::with(|setup| setup.rules.private_images = PrivateImages::Forbid);
    for route in TABLE.iter().filter(|route| route.path.contains("/members")) {
        check(&served, route, PrivateImages::Forbid);
    }
}

#[test]
fn a_route_that_is_not_in_the_matrix_is_noticed() {
    let row =
        |method, path| expected(method, path, Who::Admin, Kind::Is(Visibility::Shared), PrivateImages::Share);
    assert_eq!(row("GET", "/v2/images/{image_id}/file"), None);
    assert_eq!(row("PUT", "/v2/images/{image_id}/members"), None);
}

#[test]
fn every_route_under_v2_and_no_other_needs_a_token() {
    let served = Served::start();
    for route in &TABLE {
        let reply = ask(&served.nobody(), route, ImageId::random()).send();
        assert_eq!(reply.status == 401, route.needs_token(), "{} {}", route.method, route.path);
        assert_eq!(route.needs_token(), route.path.starts_with("/v2"));
    }
}
