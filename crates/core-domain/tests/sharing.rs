//! The five use cases on members as tables: who calls, about which image, with which membership, and what comes of it.
#![allow(clippy::unwrap_used, reason = "a test stops where it was surprised")]

use std::{fmt::Debug, sync::Arc};

use core_domain::{
    Caller, Context, Error, Result, Rules,
    caller::PrivateImages,
    error::{Conflict, Denied, Missing},
    image::{Image, ImageId, Visibility},
    member::{Member, MemberStatus},
    policy::Action,
    project::{ProjectId, UserId},
    round, sharing,
    store::{MembersPage, Store, Viewer},
    testing::{
        builders::{an_image, at, caller, cause, project},
        memory::MemoryStore,
    },
};

const MEMBER: &[&str] = &["member", "reader"];
const READER: &[&str] = &["reader"];
const ADMIN: &[&str] = &["admin", "member", "reader"];

/// What came of a call, in a word.
fn word<T>(result: Result<T>) -> &'static str {
    match result {
        Ok(_) => "done",
        Err(Error::NotFound(Missing::Image(_))) => "no image",
        Err(Error::NotFound(Missing::Member(..))) => "no member",
        Err(Error::NotFound(Missing::Tag(..))) => "no tag",
        Err(Error::Denied(Denied::NotShared)) => "not shared",
        Err(Error::Denied(Denied::Policy(_))) => "policy",
        Err(Error::Denied(Denied::OwnerAnswers(_))) => "the owner cannot answer",
        Err(Error::Denied(Denied::NoOwner(_))) => "nobody owns it",
        Err(Error::Denied(
            Denied::Protected(_)
            | Denied::GivingAway
            | Denied::NoProject
            | Denied::ReadOnly(_)
            | Denied::Required(_),
        )) => "denied",
        Err(Error::Conflict(Conflict::Member(..))) => "member already",
        Err(Error::Conflict(Conflict::Image(_) | Conflict::Patch(_))) => "conflict",
        Err(Error::LimitExceeded(_)) => "too many",
        Err(Error::Invalid(_)) => "nonsense",
        Err(Error::Contention(_) | Error::Unavailable(_) | Error::Internal(_)) => "fault",
    }
}

/// What came of a call alone, which must be what came of it in a round.
fn same<T: Debug + PartialEq>(alone: Result<T>, together: Vec<round::Outcome<T>>) -> Result<T> {
    let mut together = together;
    let Some(Some(together)) = together.pop() else { panic!("left to go alone") };
    match (&alone, &together) {
        (Ok(alone), Ok(together)) => assert_eq!(alone, together),
        (Err(alone), Err(together)) => assert_eq!(alone.to_string(), together.to_string()),
        (alone, together) => panic!("{alone:?} alone, {together:?} in a round"),
    }
    alone
}

/// An image in a store of its own; «guest» is a member if it has a status.
struct Scene {
    store: Box<dyn Store>,
    image: ImageId,
    rules: Rules,
}

impl Scene {
    fn new(kind: Kind, guest: Option<MemberStatus>) -> Self {
        let mut image = an_image("owner");
        match kind {
            Kind::Is(visibility) => image.visibility = visibility,
            Kind::Ownerless => image.owner = None,
            Kind::Never => {}
        }
        let store: Box<dyn Store> = Box::new(MemoryStore::default());
        store
            .write(
                image.id,
                &cause(0),
                |tx| if kind == Kind::Never { Ok(()) } else { tx.insert_image(&image) },
            )
            .unwrap();
        if let Some(status) = guest {
            let mut member = Member::offered(image.id, project("guest"), at(0));
            member.status = status;
            store.write(image.id, &cause(0), |tx| tx.insert_member(&member)).unwrap();
        }
        Self { store, image: image.id, rules: Rules::default() }
    }

    fn context<'a>(&'a self, caller: &'a Caller) -> Context<'a> {
        Context { caller, rules: &self.rules, now: at(60), request: "req-60" }
    }

    fn add(&self, caller: &Caller, member: &str) -> Result<Member> {
        sharing::add(self.context(caller), self.store.as_ref(), self.image, &project(member))
    }

    fn list(&self, caller: &Caller) -> Result<(Vec<Member>, bool)> {
        let alone = sharing::list(self.context(caller), self.store.as_ref(), self.image, None, None, None);
        let call = round::Call {
            caller: Arc::new(caller.clone()),
            image: self.image,
            what: (),
            now: at(60),
            request: "req-60".into(),
        };
        let together = round::list_members(&self.rules, self.store.as_ref(), &[call]);
        same(alone.map(|(members, _)| members), together).map(|members| (members, false))
    }

    fn show(&self, caller: &Caller, member: &str) -> Result<Member> {
        let alone = sharing::show(self.context(caller), self.store.as_ref(), self.image, &project(member));
        let together = round::show_member(&self.rules, self.store.as_ref(), &[self.call(caller, member)]);
        same(alone, together)
    }

    fn set_status(&self, caller: &Caller, member: &str, status: MemberStatus) -> Result<Member> {
        let call = round::SetStatus { membership: self.call(caller, member), status, permit: Arc::default() };
        let together = round::set_status(&self.rules, self.store.as_ref(), &[call]);
        let member = project(member);
        // Setting what is set already answers the same.
        same(
            sharing::set_status(self.context(caller), self.store.as_ref(), self.image, &member, status),
            together,
        )
    }

    fn call(&self, caller: &Caller, member: &str) -> round::Call<ProjectId> {
        let caller = Arc::new(caller.clone());
        round::Call {
            caller,
            image: self.image,
            what: project(member),
            now: at(60),
            request: "req-60".into(),
        }
    }

    fn remove(&self, caller: &Caller, member: &str) -> Result<()> {
        sharing::remove(self.context(caller), self.store.as_ref(), self.image, &project(member))
    }

    fn records(&self) -> (Option<Image>, Vec<Member>) {
        let members = self.store.members(self.image, Viewer::ADMIN, &MembersPage::default()).unwrap();
        let image = self.store.image(self.image, Viewer::ADMIN).unwrap().and_then(|found| found.image);
        (image, members.map(|roll| roll.members).unwrap_or_default())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Is(Visibility),
    Ownerless,
    Never,
}

const PUBLIC: Kind = Kind::Is(Visibility::Public);
const COMMUNITY: Kind = Kind::Is(Visibility::Community);
const SHARED: Kind = Kind::Is(Visibility::Shared);
const PRIVATE: Kind = Kind::Is(Visibility::Private);

/// The callers of the tables: somebody in each kind of project, and the status of the guest's own row.
type Row = (&'static str, &'static [&'static str], Kind, &'static str);

/// Runs one table: each row in each status of the guest's membership, and a refusal leaves everything as it was.
fn check(table: &[Row], call: impl Fn(&Scene, &Caller) -> &'static str) {
    for (in_project, roles, kind, expected) in table {
        for status in MemberStatus::ALL {
            let scene = Scene::new(*kind, Some(status));
            let before = scene.records();
            let outcome = call(&scene, &caller(in_project, roles));
            assert_eq!(outcome, *expected, "{in_project} {roles:?} {kind:?}, guest {status}");
            if outcome != "done" {
                assert_eq!(scene.records(), before, "{in_project} {roles:?} {kind:?}, guest {status}");
            }
        }
    }
}

#[test]
fn add() {
    check(
        &[
            ("owner", MEMBER, SHARED, "done"),
            ("owner", READER, SHARED, "policy"),
            ("owner", &[], SHARED, "policy"),
            ("ops", ADMIN, SHARED, "done"),
            ("guest", MEMBER, SHARED, "policy"),
            ("stranger", MEMBER, SHARED, "no image"),
            ("owner", MEMBER, PRIVATE, "done"),
            ("owner", READER, PRIVATE, "policy"),
            ("ops", ADMIN, PRIVATE, "done"),
            ("guest", MEMBER, PRIVATE, "no image"),
            ("stranger", MEMBER, PRIVATE, "no image"),
            ("owner", MEMBER, PUBLIC, "not shared"),
            ("stranger", MEMBER, PUBLIC, "not shared"),
            ("ops", ADMIN, PUBLIC, "not shared"),
            ("owner", MEMBER, COMMUNITY, "not shared"),
            ("stranger", READER, COMMUNITY, "not shared"),
            ("owner", MEMBER, Kind::Ownerless, "policy"),
            ("stranger", MEMBER, Kind::Ownerless, "policy"),
            ("ops", ADMIN, Kind::Ownerless, "done"),
            ("owner", MEMBER, Kind::Never, "no image"),
            ("ops", ADMIN, Kind::Never, "no image"),
        ],
        |scene, caller| word(scene.add(caller, "newcomer")),
    );
}

#[test]
fn list() {
    check(
        &[
            ("owner", READER, SHARED, "done"),
            ("guest", READER, SHARED, "done"),
            ("ops", ADMIN, SHARED, "done"),
            ("owner", &[], SHARED, "policy"),
            ("guest", &[], SHARED, "policy"),
            ("stranger", MEMBER, SHARED, "no image"),
            ("owner", READER, PRIVATE, "done"),
            ("owner", &[], PRIVATE, "policy"),
            ("ops", ADMIN, PRIVATE, "done"),
            ("guest", READER, PRIVATE, "no image"),
            ("stranger", READER, PRIVATE, "no image"),
            ("owner", READER, PUBLIC, "not shared"),
            ("stranger", READER, PUBLIC, "not shared"),
            ("stranger", READER, COMMUNITY, "not shared"),
            ("guest", READER, Kind::Ownerless, "done"),
            ("stranger", READER, Kind::Ownerless, "policy"),
            ("ops", ADMIN, Kind::Never, "no image"),
        ],
        |scene, caller| word(scene.list(caller)),
    );
}

#[test]
fn show() {
    check(
        &[
            ("owner", READER, SHARED, "done"),
            ("guest", READER, SHARED, "done"),
            ("ops", ADMIN, SHARED, "done"),
            ("owner", &[], SHARED, "no member"),
            ("guest", &[], SHARED, "no member"),
            ("stranger", MEMBER, SHARED, "no image"),
            ("owner", MEMBER, PRIVATE, "no member"),
            ("ops", ADMIN, PRIVATE, "no member"),
            ("guest", MEMBER, PRIVATE, "no image"),
            ("owner", MEMBER, PUBLIC, "no member"),
            ("ops", ADMIN, COMMUNITY, "no member"),
            ("stranger", MEMBER, Kind::Ownerless, "no member"),
            ("ops", ADMIN, Kind::Never, "no image"),
        ],
        |scene, caller| word(scene.show(caller, "guest")),
    );
}

#[test]
fn set_status() {
    for to in MemberStatus::ALL {
        check(
            &[
                ("guest", MEMBER, SHARED, "done"),
                ("guest", READER, SHARED, "policy"),
                ("ops", ADMIN, SHARED, "done"),
                ("owner", MEMBER, SHARED, "the owner cannot answer"),
                ("owner", READER, SHARED, "the owner cannot answer"),
                ("owner", ADMIN, SHARED, "done"),
                ("stranger", MEMBER, SHARED, "no image"),
                ("guest", MEMBER, PRIVATE, "no image"),
                ("owner", MEMBER, PRIVATE, "not shared"),
                ("guest", MEMBER, PUBLIC, "not shared"),
                ("stranger", MEMBER, PUBLIC, "not shared"),
                ("ops", ADMIN, COMMUNITY, "not shared"),
                ("guest", MEMBER, Kind::Ownerless, "done"),
                ("guest", READER, Kind::Ownerless, "policy"),
                ("stranger", MEMBER, Kind::Ownerless, "nobody owns it"),
                ("ops", ADMIN, Kind::Ownerless, "done"),
                ("guest", MEMBER, Kind::Never, "no image"),
            ],
            |scene, caller| word(scene.set_status(caller, "guest", to)),
        );
    }
}

#[test]
fn remove() {
    check(
        &[
            ("owner", MEMBER, SHARED, "done"),
            ("owner", READER, SHARED, "policy"),
            ("ops", ADMIN, SHARED, "done"),
            ("guest", MEMBER, SHARED, "policy"),
            ("stranger", MEMBER, SHARED, "no image"),
            ("owner", MEMBER, PRIVATE, "done"),
            ("owner", READER, PRIVATE, "policy"),
            ("ops", ADMIN, PRIVATE, "done"),
            ("guest", MEMBER, PRIVATE, "no image"),
            ("stranger", MEMBER, PRIVATE, "no image"),
            ("owner", MEMBER, PUBLIC, "not shared"),
            ("stranger", MEMBER, COMMUNITY, "not shared"),
            ("owner", MEMBER, Kind::Ownerless, "policy"),
            ("ops", ADMIN, Kind::Ownerless, "done"),
            ("owner", MEMBER, Kind::Never, "no image"),
        ],
        |scene, caller| word(scene.remove(caller, "guest")),
    );
}

#[test]
fn a_call_about_who_is_no_member() {
    let scene = Scene::new(SHARED, Some(MemberStatus::Accepted));
    for (in_project, roles, show, set, remove) in [
        // Source 003: «if the call is made by the image owner, the response is HTTP 403».
        ("owner", MEMBER, "no member", "the owner cannot answer", "no member"),
        ("ops", ADMIN, "no member", "no member", "no member"),
        ("guest", MEMBER, "no member", "no member", "policy"),
        ("stranger", MEMBER, "no image", "no image", "no image"),
    ] {
        let caller = caller(in_project, roles);
        assert_eq!(word(scene.show(&caller, "nobody")), show, "{in_project}");
        assert_eq!(word(scene.set_status(&caller, "nobody", MemberStatus::Accepted)), set, "{in_project}");
        assert_eq!(word(scene.remove(&caller, "nobody")), remove, "{in_project}");
    }
}

#[test]
fn one_member_does_not_learn_of_another() {
    let scene = Scene::new(SHARED, Some(MemberStatus::Accepted));
    let another = caller("another", MEMBER);
    scene.add(&caller("owner", MEMBER), "another").unwrap();
    assert_eq!(word(scene.show(&another, "guest")), "no member");
    assert_eq!(word(scene.set_status(&another, "guest", MemberStatus::Rejected)), "no member");
    let listed = scene.list(&another).unwrap().0;
    assert_eq!(listed, [Member::offered(scene.image, project("another"), at(60))]);
}

#[test]
fn a_caller_without_a_project_matches_nothing() {
    for roles in [&[][..], MEMBER, ADMIN] {
        for kind in [PUBLIC, COMMUNITY, SHARED, PRIVATE, Kind::Ownerless] {
            let nobody = Caller::new(UserId::new("someone"), None, roles);
            let scene = Scene::new(kind, Some(MemberStatus::Accepted));
            assert_eq!(word(scene.add(&nobody, "newcomer")), "no image");
            assert_eq!(word(scene.list(&nobody)), "no image");
            assert_eq!(word(scene.show(&nobody, "guest")), "no image");
            assert_eq!(word(scene.set_status(&nobody, "guest", MemberStatus::Accepted)), "no image");
            assert_eq!(word(scene.remove(&nobody, "guest")), "no image");
        }
    }
}

#[test]
fn who_cannot_see_gets_the_very_answer_of_an_image_that_was_never_there() {
    let stranger = caller("stranger", MEMBER);
    let there = Scene::new(SHARED, Some(MemberStatus::Accepted));
    let never = Scene::new(Kind::Never, None);
    let told = |scene: &Scene| {
        [
            scene.add(&stranger, "newcomer").unwrap_err(),
            scene.list(&stranger).unwrap_err(),
            scene.show(&stranger, "guest").unwrap_err(),
            scene.set_status(&stranger, "guest", MemberStatus::Accepted).unwrap_err(),
            scene.remove(&stranger, "guest").unwrap_err(),
        ]
        .map(|error| error.to_string().replace(&scene.image.to_string(), "…"))
    };
    assert_eq!(told(&there), told(&never));
}

#[test]
fn a_new_member_is_pending_and_its_image_is_left_alone() {
    let scene = Scene::new(SHARED, None);
    let (before, _) = scene.records();
    let added = scene.add(&caller("owner", MEMBER), "guest").unwrap();
    assert_eq!(added, Member::offered(scene.image, project("guest"), at(60)));
    assert_eq!(scene.records(), (before, vec![added]));
}

#[test]
fn adding_again_is_a_conflict_whatever_the_status() {
    for status in MemberStatus::ALL {
        let scene = Scene::new(SHARED, Some(status));
        let before = scene.records();
        assert_eq!(word(scene.add(&caller("owner", MEMBER), "guest")), "member already");
        assert_eq!(scene.records(), before);
    }
}

#[test]
fn setting_a_status_dates_it_unless_it_was_set_already() {
    for (from, to) in MemberStatus::ALL.into_iter().flat_map(|from| MemberStatus::ALL.map(|to| (from, to))) {
        let scene = Scene::new(SHARED, Some(from));
        let set = scene.set_status(&caller("guest", MEMBER), "guest", to).unwrap();
        let updated_at = if from == to { at(0) } else { at(60) };
        assert_eq!((set.status, set.created_at, set.updated_at), (to, at(0), updated_at));
        assert_eq!(scene.records().1, [set]);
    }
}

#[test]
fn adding_to_a_private_image_shares_it_or_is_refused_as_the_site_wishes() {
    let owner = caller("owner", MEMBER);
    let mut scene = Scene::new(PRIVATE, None);
    scene.rules.private_images = PrivateImages::Forbid;
    assert_eq!(word(scene.add(&owner, "guest")), "not shared");
    assert_eq!(word(scene.add(&caller("ops", ADMIN), "guest")), "not shared");
    assert_eq!(word(scene.add(&caller("stranger", MEMBER), "guest")), "no image");
    scene.rules.private_images = PrivateImages::Share;
    assert_eq!(word(scene.add(&owner, "guest")), "done");
    let image = scene.records().0.unwrap();
    assert_eq!((image.visibility, image.updated_at), (Visibility::Shared, at(60)));
}

#[test]
fn sharing_a_private_image_begins_anew_also_for_a_former_member() {
    for name in ["guest", "newcomer"] {
        let scene = Scene::new(PRIVATE, Some(MemberStatus::Accepted));
        let added = scene.add(&caller("owner", MEMBER), name).unwrap();
        assert_eq!(added, Member::offered(scene.image, project(name), at(60)));
        assert_eq!(scene.records().1, [added]);
        assert_eq!(word(scene.add(&caller("owner", MEMBER), name)), "member already");
    }
}

#[test]
fn the_owner_may_share_with_itself_answer_and_withdraw() {
    let scene = Scene::new(SHARED, None);
    let owner = caller("owner", MEMBER);
    scene.add(&owner, "owner").unwrap();
    assert_eq!(word(scene.set_status(&caller("owner", READER), "owner", MemberStatus::Accepted)), "policy");
    assert_eq!(word(scene.set_status(&owner, "owner", MemberStatus::Accepted)), "done");
    assert_eq!(word(scene.remove(&owner, "owner")), "done");
}

#[test]
fn a_policy_of_one_s_own_decides_the_may_and_nothing_else() {
    let rules = [("delete_member", "rule:owner_member or (role:member and rule:member_side)")];
    let mut scene = Scene::new(SHARED, Some(MemberStatus::Accepted));
    scene.rules.policy = core_domain::policy::Policy::with_overrides(rules).unwrap();
    assert_eq!(word(scene.remove(&caller("stranger", MEMBER), "guest")), "no image");
    assert_eq!(word(scene.remove(&caller("guest", READER), "guest")), "policy");
    assert_eq!(word(scene.remove(&caller("guest", MEMBER), "guest")), "done");
}

#[test]
fn a_refusal_by_the_policy_names_its_rule() {
    let scene = Scene::new(SHARED, Some(MemberStatus::Accepted));
    let guest = caller("guest", READER);
    for (refused, action) in [
        (scene.add(&guest, "newcomer").map(drop), Action::AddMember),
        (scene.remove(&guest, "guest"), Action::DeleteMember),
        (scene.set_status(&guest, "guest", MemberStatus::Pending).map(drop), Action::ModifyMember),
    ] {
        let message = refused.unwrap_err().to_string();
        assert!(message.contains(&format!("to complete {action} action")), "{message}");
    }
}

#[test]
fn a_page_ends_where_the_next_begins() {
    let scene = Scene::new(SHARED, None);
    let owner = caller("owner", MEMBER);
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        scene.add(&owner, name).unwrap();
    }
    let page = |limit: usize, marker: Option<&str>| {
        let marker = marker.map(project);
        let (members, more) = sharing::list(
            scene.context(&owner),
            scene.store.as_ref(),
            scene.image,
            Some(limit),
            marker.as_ref(),
            None,
        )
        .unwrap();
        let members: Vec<ProjectId> = members.into_iter().map(|member| member.project).collect();
        (members.iter().map(ToString::to_string).collect::<String>(), more)
    };
    assert_eq!(page(2, None), ("ab".into(), true));
    assert_eq!(page(2, Some("b")), ("cd".into(), true));
    assert_eq!(page(2, Some("d")), ("e".into(), false));
    assert_eq!(page(2, Some("c")), ("de".into(), false));
    assert_eq!(page(0, None), (String::new(), true));
    assert_eq!(page(usize::MAX, None), ("abcde".into(), false));
}
