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
    use super::parse;

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
    fn what_is_wrong_is_said_with_line_and_rule() {
        for (text, words) in [
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
