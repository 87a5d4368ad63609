use proptest::prelude::*;

use super::{Action, DEFAULTS, Policy, check::Check};
use crate::{
    caller::Caller,
    image::{ImageAccess, ImageId, Visibility},
    project::{ProjectId, UserId},
};

fn project(id: &str) -> ProjectId {
    ProjectId::parse(id).unwrap()
}

fn caller(in_project: &str, roles: &[&str]) -> Caller {
    Caller::new(UserId::new("u"), Some(project(in_project)), roles)
}

fn image(visibility: Visibility) -> ImageAccess {
    ImageAccess { id: ImageId::random(), owner: Some(project("owner")), visibility }
}

#[test]
fn the_defaults_are_consistent_and_name_every_action() {
    Policy::with_overrides([]).unwrap();
    for action in Action::ALL {
        assert!(DEFAULTS.iter().any(|(name, _)| *name == action.as_str()), "{action} has no rule");
    }
}

#[test]
fn only_the_member_project_itself_or_an_admin_sets_a_status() {
    let policy = Policy::default();
    let shared = image(Visibility::Shared);
    let member = project("member");
    let may = |who: &Caller| policy.allows(Action::ModifyMember, who, &shared, Some(&member));
    assert!(may(&caller("member", &["member", "reader"])));
    assert!(may(&caller("elsewhere", &["Admin"])), "roles compare case-insensitively");
    assert!(!may(&caller("member", &["reader"])));
    assert!(!may(&caller("owner", &["member", "reader"])));
    assert!(!may(&caller("other", &["member", "reader"])));
}

#[test]
fn nobody_is_on_the_side_of_an_absent_owner() {
    let policy = Policy::default();
    let image = ImageAccess { owner: None, ..image(Visibility::Shared) };
    let nobody = Caller::new(UserId::new("u"), None, ["member", "reader"]);
    assert!(!policy.allows(Action::AddMember, &nobody, &image, None));
    assert!(!policy.allows(Action::AddMember, &caller("p", &["member"]), &image, None));
}

#[test]
fn operators_and_parentheses_bind_as_in_oslo_policy() {
    let who = caller("p", &["a", "b"]);
    let holds = |text: &str| Check::parse(text).unwrap().holds(&who, &Default::default(), &|_| false);
    for yes in [
        "",
        "@",
        "role:a",
        "role:A",
        "not role:c",
        "role:a and role:b",
        "role:c or role:a and role:b",
        "(role:c or role:a) and role:b",
        "not (role:c and role:a)",
        "NOT role:c AND role:a",
        "'x':x",
        "project_id:p",
        "user_id:u",
        "((role:a))",
        "not not role:a",
    ] {
        assert!(holds(yes), "{yes}");
    }
    for no in [
        "!",
        "role:c",
        "not role:a",
        "role:a and role:c",
        "(role:a or role:b) and role:c",
        "'x':y",
        "project_id:q",
        "project_id:%(project_id)s",
        "rule:something",
    ] {
        assert!(!holds(no), "{no}");
    }
}

#[test]
fn a_bad_check_is_refused_in_words() {
    for (text, words) in [
        ("role:a and", "ends too early"),
        ("(role:a", "closing parenthesis"),
        ("role:a)", "unexpected"),
        ("role:a role:b", "unexpected"),
        ("banana", "is no check"),
        ("role:", "names nothing"),
        ("role: member", "names nothing"),
        ("rule:", "names nothing"),
        ("project_id:", "names nothing"),
        ("role:%(role)s", "no plain name"),
        ("role:'member'", "no plain name"),
        ("rule:(owner)", "no plain name"),
        ("roles:member", "is no check"),
        ("is_admin:True", "is no check"),
        ("project_id:%(project_id)", "%(project_id)s, with % before and s after"),
        ("(role:a and project_id:%(project_id))", "\"%(project_id)\" is no attribute"),
        ("project_id:(project_id)s", "with % before"),
        ("project_id:%project_id)s", "with % before"),
        ("project_id:%(project_id s", "with % before"),
        ("project_id:%(project_id)d", "with % before"),
        ("project_id:%(project_id)sx", "with % before"),
        ("project_id:x%(project_id)s", "with % before"),
        ("project_id:%()s", "with % before"),
        ("project_id:'%(project_id)s'", "with % before"),
        ("project_id:'q", "with % before"),
        ("'%(visibility)s':public", "is no check"),
        ("project_id:project_id", "write %(project_id)s"),
        ("'public':visibility", "write %(visibility)s"),
        ("project_id:%(target.image.owner)s", "no attribute"),
        ("colour:red", "is no check"),
        ("project_id:%(colour)s", "no attribute"),
        ("()", "unexpected"),
    ] {
        let message = Check::parse(text).unwrap_err().to_string();
        assert!(message.contains(words), "{text}: {message}");
    }
    let deep = format!("{}@{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(Check::parse(&deep).unwrap_err().to_string().contains("nested"));
    assert!(Check::parse(&"not ".repeat(100_000)).unwrap_err().to_string().contains("nested"));
}

#[test]
fn an_override_replaces_its_rule_and_no_other() {
    let policy = Policy::with_overrides([
        ("add_member", "rule:sharers"),
        ("sharers", "role:sharer and project_id:%(project_id)s"),
    ])
    .unwrap();
    let shared = image(Visibility::Shared);
    assert!(policy.allows(Action::AddMember, &caller("owner", &["sharer"]), &shared, None));
    assert!(!policy.allows(Action::AddMember, &caller("owner", &["member"]), &shared, None));
    assert!(policy.allows(Action::DeleteMember, &caller("owner", &["member"]), &shared, None));
}

#[test]
fn a_rule_that_is_unknown_unused_or_circular_is_refused_by_name() {
    let refused = |rules: &[(&'static str, &'static str)]| {
        Policy::with_overrides(rules.iter().copied()).unwrap_err().to_string()
    };
    assert_eq!(
        refused(&[("add_member", "rule:nobody")]),
        "rule \"add_member\": refers to the unknown rule \"nobody\""
    );
    assert!(refused(&[("get_imgae", "@")]).starts_with("rule \"get_imgae\": unknown rule"));
    assert!(refused(&[("get_image", "rule:get_image")]).contains("refers to itself"));
    assert!(refused(&[("get_image", "rule:x"), ("x", "not rule:get_image")]).contains("refers to itself"));
}

#[test]
fn a_rule_of_a_call_that_is_not_built_may_use_what_there_is_not_here() {
    let of = |rules: &[(&'static str, &'static str)]| Policy::with_overrides(rules.iter().copied());
    for check in
        ["project_id:%(target.image.owner)s", "is_admin:True or http://host/%(id)s", "rule:metadef_admin"]
    {
        let policy = of(&[("get_metadef_tag", check), ("get_image", "role:reader")]).unwrap();
        assert_eq!(policy.without_effect(), ["get_metadef_tag"], "{check}");
    }
    // By way of another rule as well, and such a rule is no slip.
    let policy = of(&[("upload_image", "rule:mine"), ("mine", "project_id:%(target.owner)s")]).unwrap();
    assert_eq!(policy.without_effect(), ["upload_image", "mine"]);
    // But not where a call that is built asks for it, directly or by way of another.
    let refused = |rules: &[(&'static str, &'static str)]| of(rules).unwrap_err().to_string();
    for rules in [
        &[("get_image", "project_id:%(target.image.owner)s")][..],
        &[("get_image", "rule:mine"), ("mine", "project_id:%(target.image.owner)s")],
        &[("get_image", "rule:default"), ("default", "project_id:%(target.image.owner)s")],
        &[("get_image", "rule:get_task"), ("get_task", "rule:default")],
    ] {
        let refused = refused(rules);
        assert!(
            refused.contains("no attribute") || refused.contains("unknown rule \"default\""),
            "{refused}"
        );
    }
    // What is written wrongly is so everywhere.
    for check in ["role:", "(role:a", "project_id:%(project_id)", "role:a or", "rule:nobody", "rule:get_task"]
    {
        assert!(of(&[("get_task", check)]).is_err(), "{check}");
    }
}

#[test]
fn rules_that_refer_to_each_other_without_end_or_measure_are_refused_at_once() {
    let refused = |reference: &dyn Fn(usize) -> String, count: usize| {
        let rules: Vec<(String, String)> = (0..count)
            .map(|number| (format!("r{number}"), reference(number)))
            .chain([(format!("r{count}"), "@".to_owned()), ("get_image".to_owned(), "rule:r0".to_owned())])
            .collect();
        let rules = rules.iter().map(|(name, check)| (name.as_str(), check.as_str()));
        Policy::with_overrides(rules).unwrap_err().to_string()
    };
    let doubling = |number: usize| format!("rule:r{0} or rule:r{0}", number + 1);
    assert!(refused(&doubling, 40).contains("so many rules"));
    assert!(refused(&|number| format!("rule:r{}", number + 1), 500).contains("so many rules"));
}

proptest! {
    #[test]
    fn no_text_breaks_the_parser(text in "[ ()@!a-z:'%_]{0,200}") {
        if let Ok(check) = Check::parse(&text) {
            prop_assert_eq!(Check::parse_unused(&text), Ok(check));
        }
    }

    #[test]
    fn a_check_and_its_double_negation_agree(text in "(@|!|role:[ab])( (and|or) (@|!|role:[ab])){0,6}") {
        let who = caller("p", &["a"]);
        let holds = |text: &str| Check::parse(text).unwrap().holds(&who, &Default::default(), &|_| false);
        prop_assert_eq!(holds(&text), holds(&format!("not not ({text})")));
    }
}
