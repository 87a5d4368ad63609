//! The policy language: no text breaks its parser; what was read is decided without a panic, whoever asks; and a check
//! means the same in parentheses and twice denied.

use core_domain::{
    Caller,
    policy::{
        Policy,
        check::{Check, Target},
    },
    project::{ProjectId, UserId},
};

/// Panics where it does not hold.
pub(crate) fn check(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let _ = Policy::with_overrides([("get_image", text)]);
    let Ok(check) = Check::parse(text) else { return };
    let targets = [
        Target::default(),
        Target { owner: Some("p"), member: None, visibility: Some("shared") },
        Target { owner: Some("q"), member: Some("p"), visibility: Some("public") },
    ];
    let callers = [None, ProjectId::parse("p").ok()]
        .map(|project| Caller::new(UserId::new("u"), project, ["member", "reader"]));
    let (grouped, denied) = (Check::parse(&format!("({text})")), Check::parse(&format!("not not ({text})")));
    for caller in &callers {
        for target in &targets {
            let holds = |check: &Check| check.holds(caller, target, &|rule| rule.len() % 2 == 0);
            let verdict = holds(&check);
            // Nesting has an end, and these nest deeper.
            for same in [&grouped, &denied].into_iter().flatten() {
                assert!(text.trim().is_empty() || verdict == holds(same), "{text:?}");
            }
        }
    }
}
