//! The default policy as the table of the sharing API, section 5: every rule by its name in a policy file.
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test stops where it was surprised, and says where"
)]

#[path = "../../../fuzz/checks/policy.rs"]
mod check;
#[path = "../../../fuzz/checks/seeds.rs"]
mod seeds;

use core_domain::{
    Caller,
    image::{Image, ImageAccess, Visibility},
    policy::{Action, Policy},
    testing::builders::{an_image, caller, project},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Owner,
    Member,
    Neither,
}

/// Who holds the rule by default, besides admins: the least role, on which sides.
const TABLE: [(&str, &str, &[Side]); 16] = [
    ("get_image", "reader", &[Side::Owner, Side::Member]),
    ("get_images", "reader", &[Side::Owner, Side::Member, Side::Neither]),
    ("get_member", "reader", &[Side::Owner, Side::Member]),
    ("get_members", "reader", &[Side::Owner, Side::Member]),
    ("add_member", "member", &[Side::Owner]),
    ("delete_member", "member", &[Side::Owner]),
    ("modify_member", "member", &[Side::Member]),
    ("add_image", "member", &[Side::Owner]),
    ("modify_image", "member", &[Side::Owner]),
    ("delete_image", "member", &[Side::Owner]),
    ("upload_image", "member", &[Side::Owner]),
    ("communitize_image", "member", &[Side::Owner]),
    ("deactivate", "member", &[Side::Owner]),
    ("reactivate", "member", &[Side::Owner]),
    ("download_image", "member", &[Side::Owner, Side::Member]),
    ("publicize_image", "nobody", &[]),
];

/// Whether a rule holds, asked by way of one that is never used otherwise here.
fn holds(rule: &str, who: &Caller, image: &ImageAccess) -> bool {
    let reference = format!("rule:{rule}");
    let policy = match rule {
        "delete_image" => Policy::default(),
        _ => Policy::with_overrides([("delete_image", reference.as_str())]).unwrap(),
    };
    policy.allows(Action::DeleteImage, who, image, Some(&project("guest")))
}

fn access(change: impl FnOnce(&mut Image)) -> ImageAccess {
    // A private image: who reads it does so by its side alone.
    let mut image = Image { visibility: Visibility::Private, ..an_image("owner") };
    change(&mut image);
    image.access()
}

#[test]
fn every_rule_is_held_by_whom_the_table_names() {
    let image = access(|_| {});
    for (rule, least, sides) in TABLE {
        for (side, in_project) in [(Side::Owner, "owner"), (Side::Member, "guest"), (Side::Neither, "other")]
        {
            for roles in [&[][..], &["reader"], &["member", "reader"], &["Member", "READER"], &["service"]] {
                let who = caller(in_project, roles);
                let expected = sides.contains(&side) && who.has_role(least) && who.has_role("reader");
                assert_eq!(holds(rule, &who, &image), expected, "{rule} {side:?} {roles:?}");
            }
            let admin = caller(in_project, &["admin", "manager", "member", "reader"]);
            assert!(holds(rule, &admin, &image), "{rule} {side:?} admin");
        }
    }
}

#[test]
fn what_is_open_is_read_by_every_reader() {
    let other = caller("other", &["reader"]);
    let writer = caller("other", &["member", "reader"]);
    for visibility in [Visibility::Public, Visibility::Community] {
        let image = access(|image| image.visibility = visibility);
        assert!(holds("get_image", &other, &image) && holds("download_image", &writer, &image));
        assert!(!holds("download_image", &other, &image) && !holds("get_members", &writer, &image));
    }
}

#[test]
fn nobody_is_on_the_owner_side_of_what_nobody_owns() {
    let image = access(|image| image.owner = None);
    for rule in ["add_member", "delete_member", "modify_image", "delete_image"] {
        for in_project in ["owner", "guest", "other"] {
            assert!(!holds(rule, &caller(in_project, &["member", "reader"]), &image), "{rule}");
        }
    }
}

#[test]
fn inputs_derived_from_seeds_break_no_reader_of_rules() {
    seeds::replay("policy", 300, check::check);
}
