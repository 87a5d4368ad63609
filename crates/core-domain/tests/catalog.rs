//! The use cases on image records as tables.
#![allow(clippy::unwrap_used, reason = "a test stops where it was surprised")]

use core_domain::{
    Caller, Context, Error, Rules,
    catalog::{self, Edit, Larger, NewImage, Page, Start},
    error::{Conflict, Denied, Missing},
    image::{Image, Visibility},
    member::{Member, MemberStatus},
    policy::{Action, Policy},
    project::UserId,
    store::{Store, Viewer},
    testing::{
        builders::{an_image, at, caller, cause, project},
        memory::MemoryStore,
    },
};

const MEMBER: &[&str] = &["member", "reader"];
const READER: &[&str] = &["reader"];
const ADMIN: &[&str] = &["admin", "member", "reader"];

fn cx<'a>(caller: &'a Caller, rules: &'a Rules) -> Context<'a> {
    Context { caller, rules, now: at(60), request: "req-60" }
}

fn world(change: impl FnOnce(&mut Image)) -> (Box<dyn Store>, Image) {
    let store: Box<dyn Store> = Box::new(MemoryStore::default());
    let mut image = an_image("owner");
    change(&mut image);
    store.write(image.id, &cause(0), |tx| tx.insert_image(&image)).unwrap();
    let member =
        Member { status: MemberStatus::Pending, ..Member::offered(image.id, project("guest"), at(0)) };
    store.write(image.id, &cause(0), |tx| tx.insert_member(&member)).unwrap();
    (store, image)
}

/// What came of a call: nothing, or which kind of refusal.
fn refusal<T>(result: Result<T, Error>) -> Option<String> {
    result.err().map(|error| match error {
        Error::NotFound(Missing::Image(_)) => "no image".to_owned(),
        Error::NotFound(missing) => format!("{missing:?}"),
        Error::Denied(Denied::Policy(action)) => action.to_string(),
        Error::Denied(Denied::GivingAway) => "giving away".to_owned(),
        Error::Denied(Denied::NoProject) => "no project".to_owned(),
        Error::Denied(Denied::Protected(_)) => "protected".to_owned(),
        Error::Denied(Denied::ReadOnly(_)) => "read-only".to_owned(),
        Error::Denied(Denied::Required(_)) => "required".to_owned(),
        Error::Denied(denied @ (Denied::NotShared | Denied::OwnerAnswers(_) | Denied::NoOwner(_))) => {
            format!("{denied:?}")
        }
        Error::Conflict(Conflict::Image(_)) => "id taken".to_owned(),
        Error::Conflict(Conflict::Member(..) | Conflict::Patch(_)) => "conflict".to_owned(),
        Error::Invalid(_) => "nonsense".to_owned(),
        other @ (Error::LimitExceeded(_)
        | Error::Contention(_)
        | Error::Unavailable(_)
        | Error::Internal(_)) => format!("{other:?}"),
    })
}

#[test]
fn who_may_make_which_image() {
    let rules = Rules::default();
    let for_owner = |owner: Option<&str>| NewImage { owner: Some(owner.map(project)), ..NewImage::default() };
    let of = |visibility| NewImage { visibility: Some(visibility), ..NewImage::default() };
    for (in_project, roles, new, expected) in [
        ("p", MEMBER, NewImage::default(), None),
        ("p", READER, NewImage::default(), Some("add_image")),
        ("p", &[][..], NewImage::default(), Some("add_image")),
        ("p", ADMIN, NewImage::default(), None),
        ("p", MEMBER, for_owner(Some("p")), None),
        ("p", MEMBER, for_owner(Some("q")), Some("giving away")),
        ("p", MEMBER, for_owner(None), Some("giving away")),
        ("p", ADMIN, for_owner(Some("q")), None),
        ("p", ADMIN, for_owner(None), None),
        ("p", MEMBER, of(Visibility::Private), None),
        ("p", MEMBER, of(Visibility::Community), None),
        ("p", MEMBER, of(Visibility::Public), Some("publicize_image")),
        ("p", ADMIN, of(Visibility::Public), None),
    ] {
        let store: Box<dyn Store> = Box::new(MemoryStore::default());
        let who = caller(in_project, roles);
        let made = catalog::create(cx(&who, &rules), store.as_ref(), new.clone());
        assert_eq!(refusal(made).as_deref(), expected, "{roles:?} {new:?}");
    }
    let nobody = Caller::new(UserId::new("u"), None, ADMIN);
    let store: Box<dyn Store> = Box::new(MemoryStore::default());
    let made = catalog::create(cx(&nobody, &rules), store.as_ref(), NewImage::default());
    assert_eq!(refusal(made).as_deref(), Some("no project"));
}

#[test]
fn who_may_change_and_delete() {
    let rules = Rules::default();
    let rename = [Edit::Name(Some("new".into()))];
    for (in_project, roles, visibility, change, delete) in [
        ("owner", MEMBER, Visibility::Shared, None, None),
        ("ops", ADMIN, Visibility::Private, None, None),
        ("owner", READER, Visibility::Shared, Some("modify_image"), Some("delete_image")),
        ("guest", MEMBER, Visibility::Shared, Some("modify_image"), Some("delete_image")),
        ("guest", MEMBER, Visibility::Private, Some("no image"), Some("no image")),
        ("other", MEMBER, Visibility::Shared, Some("no image"), Some("no image")),
        ("other", MEMBER, Visibility::Public, Some("modify_image"), Some("delete_image")),
        ("other", MEMBER, Visibility::Community, Some("modify_image"), Some("delete_image")),
    ] {
        let (store, image) = world(|image| image.visibility = visibility);
        let who = caller(in_project, roles);
        let changed = catalog::change(cx(&who, &rules), store.as_ref(), image.id, &rename);
        assert_eq!(refusal(changed).as_deref(), change, "{in_project} {roles:?} {visibility}");
        let deleted = catalog::delete(cx(&who, &rules), store.as_ref(), image.id);
        assert_eq!(refusal(deleted).as_deref(), delete, "{in_project} {roles:?} {visibility}");
        let left = store.image(image.id, Viewer::ADMIN).unwrap().and_then(|found| found.image);
        assert_eq!(left, delete.map(|_| image));
    }
}

#[test]
fn a_change_is_all_of_its_edits_or_none() {
    let rules = Rules::default();
    let owner = caller("owner", MEMBER);
    let rename = Edit::Name(Some("new".into()));
    for (edit, expected) in [
        (Edit::ReplaceProperty("p".into(), "x".into()), "conflict"),
        (Edit::RemoveProperty("p".into()), "conflict"),
        (Edit::ReadOnly("status".into()), "read-only"),
        (Edit::Owner(None), "giving away"),
        (Edit::Owner(Some(project("q"))), "giving away"),
        (Edit::Visibility(Visibility::Public), "publicize_image"),
        (Edit::MinDisk(-1), "nonsense"),
        (Edit::DiskFormat(Some("zip".into())), "nonsense"),
        (Edit::AddTag("\u{1}".into()), "nonsense"),
        (Edit::AddProperty(String::new(), "x".into()), "nonsense"),
    ] {
        let (store, image) = world(|_| {});
        let edits = [rename.clone(), edit.clone()];
        let changed = catalog::change(cx(&owner, &rules), store.as_ref(), image.id, &edits);
        assert_eq!(refusal(changed).as_deref(), Some(expected), "{edit:?}");
        let left = store.image(image.id, Viewer::ADMIN).unwrap().and_then(|found| found.image);
        assert_eq!(left, Some(image));
    }
    let (store, image) = world(|_| {});
    let edits = [rename, Edit::Owner(Some(project("owner"))), Edit::Visibility(Visibility::Community)];
    let changed = catalog::change(cx(&owner, &rules), store.as_ref(), image.id, &edits).unwrap();
    assert_eq!((changed.visibility, changed.updated_at), (Visibility::Community, at(60)));
}

#[test]
fn larger_image_is_changed_only_with_memory_for_it() {
    let rules = Rules::default();
    let owner = caller("owner", MEMBER);
    let (store, image) = world(|image| {
        image.properties.insert("p".into(), "x".repeat(20_000));
    });
    let held = || store.image(image.id, Viewer::ADMIN).unwrap().and_then(|found| found.image).unwrap();
    let change = |edits: &[Edit], most| {
        catalog::change_within(cx(&owner, &rules), store.as_ref(), image.id, edits, most).unwrap()
    };
    let (size, grow) = (image.memory_bytes(), Edit::AddProperty("q".into(), "y".repeat(5_000)));
    let shrink = Edit::RemoveProperty("p".into());
    // What it was counts, and what it is to be.
    for edits in [&[][..], std::slice::from_ref(&shrink)] {
        assert_eq!(change(edits, size - 1), Err(Larger { bytes: size }));
    }
    let larger = change(std::slice::from_ref(&grow), size).unwrap_err();
    assert!(larger.bytes > size + 5_000);
    assert_eq!(held(), image);
    let grown = change(&[grow], larger.bytes).unwrap();
    assert_eq!((grown.memory_bytes(), &grown), (larger.bytes, &held()));
    assert_eq!(change(&[shrink], larger.bytes).unwrap().properties.len(), 1);
    // Refused as ever, whatever its size.
    let stranger = caller("stranger", MEMBER);
    let unseen = catalog::change_within(cx(&stranger, &rules), store.as_ref(), image.id, &[], 0);
    assert_eq!(refusal(unseen).as_deref(), Some("no image"));
}

#[test]
fn new_image_takes_no_more_memory_than_was_reckoned() {
    let rules = Rules::default();
    let owner = caller(&"\u{1F5BC}".repeat(255), MEMBER);
    let tags = (0..3).map(|number| number.to_string()).collect();
    let properties = (0..9).map(|number| (format!("p{number}"), "x".repeat(2_000))).collect();
    for new in [
        NewImage::default(),
        NewImage { name: Some("n".repeat(255)), disk_format: Some("raw".into()), ..NewImage::default() },
        NewImage { tags, properties, ..NewImage::default() },
    ] {
        let reckoned = new.memory_bytes();
        let (store, _) = world(|_| {});
        let made = catalog::create(cx(&owner, &rules), store.as_ref(), new).unwrap();
        let takes = made.memory_bytes();
        assert!(takes <= reckoned && reckoned <= takes + 4 * 255, "{takes} of {reckoned}");
    }
}

#[test]
fn a_visibility_that_stays_needs_no_leave() {
    let rules = Rules::default();
    let (store, image) = world(|image| image.visibility = Visibility::Public);
    let owner = caller("owner", MEMBER);
    let edits = [Edit::Name(Some("new".into())), Edit::Visibility(Visibility::Public)];
    assert!(catalog::change(cx(&owner, &rules), store.as_ref(), image.id, &edits).is_ok());
}

#[test]
fn a_deleted_image_takes_its_memberships_along_and_its_id_is_spent() {
    let rules = Rules::default();
    let (store, image) = world(|_| {});
    let owner = caller("owner", MEMBER);
    catalog::delete(cx(&owner, &rules), store.as_ref(), image.id).unwrap();
    let again = NewImage { id: Some(image.id), ..NewImage::default() };
    let made = catalog::create(cx(&owner, &rules), store.as_ref(), again);
    assert_eq!(refusal(made).as_deref(), Some("id taken"));
    let guest = caller("guest", MEMBER);
    assert!(catalog::show(cx(&guest, &rules), store.as_ref(), image.id).is_err());
}

#[test]
fn a_protected_image_is_deleted_by_nobody() {
    let rules = Rules::default();
    let (store, image) = world(|image| image.protected = true);
    for (who, expected) in [
        (caller("owner", MEMBER), "protected"),
        (caller("ops", ADMIN), "protected"),
        (caller("guest", MEMBER), "delete_image"),
        (caller("other", MEMBER), "no image"),
    ] {
        let deleted = catalog::delete(cx(&who, &rules), store.as_ref(), image.id);
        assert_eq!(refusal(deleted).as_deref(), Some(expected));
    }
}

#[test]
fn a_list_is_opened_by_its_rule_and_filtered_by_that_of_each_image() {
    let (store, image) = world(|image| image.visibility = Visibility::Public);
    let lists = |who: &Caller, rules: &Rules| {
        catalog::list(cx(who, rules), store.as_ref(), Start::Beginning, Ok).map(|page| page.images.len())
    };
    let defaults = Rules::default();
    assert_eq!(lists(&caller("other", READER), &defaults).unwrap(), 1);
    let refused = lists(&caller("other", &["service"]), &defaults);
    assert_eq!(refusal(refused).as_deref(), Some(Action::GetImages.as_str()));
    let policy = Policy::with_overrides([("get_image", "rule:owner_side")]).unwrap();
    let narrow = Rules { policy, ..Rules::default() };
    assert_eq!(lists(&caller("other", READER), &narrow).unwrap(), 0);
    assert_eq!(lists(&caller("owner", READER), &narrow).unwrap(), 1);
    let shown = catalog::show(cx(&caller("other", READER), &narrow), store.as_ref(), image.id);
    assert_eq!(refusal(shown).as_deref(), Some("no image"));
}

#[test]
fn a_marker_that_is_not_seen_is_nonsense_like_one_that_is_not_there() {
    let rules = Rules::default();
    let (store, image) = world(|_| {});
    let never = an_image("nobody").id;
    let from = |who: &Caller, marker| {
        catalog::list(cx(who, &rules), store.as_ref(), Start::Marker(marker), Ok)
            .map_err(|error| error.to_string())
    };
    let other = caller("other", READER);
    let told = |id: core_domain::image::ImageId| from(&other, id).unwrap_err().replace(&id.to_string(), "…");
    assert_eq!(told(image.id), told(never));
    assert_eq!(from(&caller("guest", READER), image.id), Ok(Page { images: Vec::new(), next: None }));
}

#[test]
fn what_every_image_has_is_neither_removed_nor_added_anew() {
    let rules = Rules::default();
    let (store, before) = world(|image| {
        image.properties.insert("p".into(), "1".into());
    });
    let change = |edits: &[Edit]| {
        catalog::change(cx(&caller("owner", MEMBER), &rules), store.as_ref(), before.id, edits)
    };
    let name = || "name".to_owned();
    assert!(matches!(
        change(&[Edit::Name(Some("new".into())), Edit::RemoveAttribute(name())]),
        Err(Error::Denied(Denied::Required(attribute))) if attribute == "name"
    ));
    assert!(matches!(change(&[Edit::AddNewAttribute(name())]), Err(Error::Conflict(Conflict::Patch(_)))));
    let add = |name: &str| Edit::AddNewProperty(name.into(), "2".into());
    assert!(matches!(change(&[add("p")]), Err(Error::Conflict(Conflict::Patch(_)))));
    assert_eq!(store.image(before.id, Viewer::ADMIN).unwrap().unwrap().image.as_ref(), Some(&before));
    let after = change(&[Edit::RemoveProperty("p".into()), add("p"), add("q")]).unwrap();
    assert_eq!((after.properties["p"].as_str(), after.properties["q"].as_str()), ("2", "2"));
    // A stranger learns nothing from a patch that makes no sense.
    let stranger = caller("stranger", MEMBER);
    let refused = catalog::change(cx(&stranger, &rules), store.as_ref(), before.id, &[add("p")]);
    assert_eq!(refusal(refused).as_deref(), Some("no image"));
}
