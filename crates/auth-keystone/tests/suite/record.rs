//! `docs/adr/0005` names what shows each of its promises: all of that is there.

use std::{fs, path::PathBuf};

const RECORD: &str = include_str!("../../../../docs/adr/0005-token-validation.md");

/// Words in backticks of the form `file::test`.
fn named() -> impl Iterator<Item = (&'static str, &'static str)> {
    let is_word = |text: &&str| text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    RECORD
        .split('`')
        .filter_map(|word| word.split_once("::"))
        .filter(move |(file, test)| is_word(file) && is_word(test))
}

#[test]
fn every_test_that_the_decision_names_is_there() {
    // Where the package is now, not where it was built; a test runs in its folder.
    let home = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(PathBuf::new, PathBuf::from);
    assert!(named().count() > 20, "it names its tests no more");
    for (file, test) in named() {
        let places = ["src", "tests/suite", "tests", "../../tests/tests"];
        let declaration = format!("fn {test}(");
        let texts = places.map(|place| fs::read_to_string(home.join(place).join(format!("{file}.rs"))));
        assert!(texts.iter().flatten().any(|text| text.contains(&declaration)), "there is no {file}::{test}");
    }
}
