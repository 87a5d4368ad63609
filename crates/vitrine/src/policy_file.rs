//! An oslo.policy file: YAML, one rule a line, each a name and a check.

use std::{fs, path::Path};

use core_domain::policy::Policy;
use saphyr_parser::{Event, Parser};

use crate::config::BadConfig;

/// The policy with the overrides of this file; the built-in one if the path is empty.
///
/// # Errors
/// A file that cannot be read, is no mapping of names to checks, or has a rule that cannot be used: with its line.
pub(crate) fn read(path: &Path) -> Result<Policy, BadConfig> {
    if path.as_os_str().is_empty() {
        return Ok(Policy::default());
    }
    let bad = |reason: String| BadConfig::new("policy_file", format!("{}: {reason}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
    parse(&text).map_err(bad)
}

/// A rule and the line on which its name stands.
struct Line {
    name: String,
    check: String,
    number: usize,
}

/// Reads the text of a file.
fn parse(text: &str) -> Result<Policy, String> {
    let lines = lines(text)?;
    for (place, line) in lines.iter().enumerate() {
        if let Some(first) = lines[..place].iter().find(|other| other.name == line.name) {
            return Err(format!(
                "line {}: rule \"{}\" is given twice, first on line {}",
                line.number, line.name, first.number
            ));
        }
    }
    let rules = lines.iter().map(|line| (line.name.as_str(), line.check.as_str()));
    Policy::with_overrides(rules).map_err(|bad| {
        let number = lines.iter().find(|line| line.name == bad.rule).map_or(0, |line| line.number);
        format!("line {number}: {bad}")
    })
}

fn lines(text: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    let mut depth = 0_usize;
    let mut name: Option<(String, usize)> = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| format!("is not YAML: {error}"))?;
        let number = span.start.line();
        let wrong = || Err(format!("line {number}: expected a rule such as \"get_image\": \"role:reader\""));
        match event {
            Event::MappingStart(..) if depth == 0 => depth = 1,
            Event::MappingEnd if depth == 1 => depth = 0,
            Event::Scalar(word, ..) if depth == 1 => match name.take() {
                None => name = Some((word.into_owned(), number)),
                Some((name, number)) => lines.push(Line { name, check: word.into_owned(), number }),
            },
            // A file of nothing but comments is empty, which is a file without overrides.
            Event::Scalar(word, ..) if depth == 0 && (word.is_empty() || word == "~") => {}
            Event::Scalar(..)
            | Event::MappingStart(..)
            | Event::MappingEnd
            | Event::SequenceStart(..)
            | Event::SequenceEnd
            | Event::Alias(..) => return wrong(),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd => {}
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use core_domain::{
        Caller,
        image::{ImageAccess, ImageId, Visibility},
        policy::{Action, Policy},
        project::{ProjectId, UserId},
    };

    use super::parse;

    /// Glance's own rules, as its sample file has them; an operator takes the `#` off what shall hold.
    const GLANCE: &str = include_str!("policy_file/glance-33.0.0.yaml");

    fn rules() -> impl Iterator<Item = &'static str> {
        GLANCE.lines().filter(|line| line.starts_with('"'))
    }

    #[test]
    fn a_file_as_operators_write_it_is_read() {
        for text in [
            "",
            "---\n",
            "# nothing but a comment\n",
            "\"get_image\": \"role:reader\"\n# \"add_image\": \"@\"\nadd_member: 'role:sharer'\n",
            "add_image: >-\n  role:member and\n  project_id:%(project_id)s\n",
            "{\"get_image\": \"@\"}",
        ] {
            parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }

    #[test]
    fn the_sample_file_of_glance_loads_as_it_comes_and_in_parts() {
        let commented: String = rules().map(|rule| format!("#{rule}\n")).collect();
        assert!(parse(&commented).unwrap().without_effect().is_empty());
        for rule in rules() {
            parse(&format!("{rule}\n")).unwrap_or_else(|error| panic!("{rule}: {error}"));
        }
        // Who follows Glance's advice for what its file leaves out.
        let deprecated = GLANCE.replace("\"default\": \"\"", "\"default\": \"rule:context_is_admin\"");
        assert_eq!(parse(&deprecated).unwrap().without_effect().len(), 54);
    }

    #[test]
    fn rules_of_glance_for_calls_that_are_not_built_are_named() {
        let policy = parse(GLANCE).unwrap();
        let named = policy.without_effect();
        let (built, not_built): (Vec<_>, Vec<_>) =
            rules().filter_map(|rule| rule.split('"').nth(1)).partition(|name| {
                *name == "context_is_admin" || Action::ALL.iter().any(|action| action.as_str() == *name)
            });
        assert_eq!((built.len(), not_built.len()), (13, 54));
        assert_eq!(named, not_built);
        for name in
            ["default", "get_image_location", "manage_image_cache", "tasks_api_access", "metadef_default"]
        {
            assert!(named.iter().any(|named| named == name), "{name}");
        }
    }

    #[test]
    fn the_rules_of_glance_decide_as_the_built_in_ones() {
        let project = |id: &str| ProjectId::parse(id).unwrap();
        let (ours, theirs) = (Policy::default(), parse(GLANCE).unwrap());
        let (owner, member) = (project("owner"), project("member"));
        let mut allowed = 0;
        for roles in [&[][..], &["reader"], &["member"], &["member", "reader"], &["admin"], &["service"]] {
            for id in ["owner", "member", "other"] {
                let caller = Caller::new(UserId::new("u"), Some(project(id)), roles);
                assert_eq!(ours.makes_admin(&caller), theirs.makes_admin(&caller));
                for action in Action::ALL {
                    let may = |policy: &Policy| policy.allows_in_own_project(action, &caller);
                    assert!(action != Action::GetImages || may(&ours) == may(&theirs), "{roles:?}");
                    assert!(action != Action::AddImage || may(&ours) == may(&theirs), "{roles:?}");
                    for visibility in
                        [Visibility::Private, Visibility::Shared, Visibility::Community, Visibility::Public]
                    {
                        let image =
                            ImageAccess { id: ImageId::random(), owner: Some(owner.clone()), visibility };
                        let may = |policy: &Policy| policy.allows(action, &caller, &image, Some(&member));
                        let is_of_images = matches!(action, Action::GetImages | Action::AddImage);
                        assert!(
                            is_of_images || may(&ours) == may(&theirs),
                            "{action} of a {visibility} image by {id} with {roles:?}"
                        );
                        allowed += usize::from(may(&theirs));
                    }
                }
            }
        }
        assert!(allowed > 100, "{allowed}");
    }

    #[test]
    fn what_is_wrong_is_said_with_line_and_rule() {
        for (text, words) in [
            ("get_image: '@'\nadd_member: 'project_id:%(project_id)'\n", ["line 2", "%(project_id)s"]),
            ("get_image: 'role:reader and project_id:%(target.owner)s'\n", ["line 1", "target.owner"]),
            ("get_task: '@'\nget_tasks: 'role:'\n", ["line 2", "names nothing"]),
            ("get_image: 'role:reader or is_admin:True'\n", ["line 1", "is_admin:True"]),
            ("get_image: '@'\nadd_image: 'role:'\n", ["line 2", "add_image"]),
            ("\nget_imgae: '@'\n", ["line 2", "get_imgae"]),
            ("get_image: 'rule:nobody'\n", ["line 1", "nobody"]),
            ("get_image: '@'\nget_image: '!'\n", ["line 2", "twice"]),
            ("get_image:\n  - role:reader\n", ["line 2", "expected a rule"]),
            ("- get_image\n", ["line 1", "expected a rule"]),
            ("just words\n", ["line 1", "expected a rule"]),
            ("get_image: \"role:reader\n", ["not YAML", "line"]),
        ] {
            let error = parse(text).map(|_| ()).unwrap_err();
            for word in words {
                assert!(error.contains(word), "{text:?}: {error}");
            }
        }
    }
}
