//! Which migrations are the first schema, and which came later. Nobody has a catalogue in use when the first are applied, so
//! that the rules for later ones do not bind them.
#![allow(dead_code, reason = "each test program that has this uses a part of it")]

use std::{collections::BTreeSet, fs};

/// The first schema; those of its names that are there.
const INITIAL: [&str; 4] = ["0001_images", "0002_list_indexes", "0002_events", "0003_events"];

/// The migrations of the first schema that are in a folder, in order.
pub(crate) fn present(folder: &str) -> BTreeSet<String> {
    names(folder).into_iter().filter(|name| INITIAL.contains(&name.as_str())).collect()
}

/// The others, in order.
pub(crate) fn later(folder: &str) -> BTreeSet<String> {
    names(folder).into_iter().filter(|name| !INITIAL.contains(&name.as_str())).collect()
}

fn names(folder: &str) -> BTreeSet<String> {
    fs::read_dir(folder)
        .expect(folder)
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect()
}
