//! The seeds of a target and inputs derived from them, through the same check as the target: part of the test command, so
//! always the same inputs, without coverage.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
};

/// The longest derived input, in bytes.
const LONGEST: usize = 4096;

/// Checks each seed of `target` and `derived` inputs made of each of them.
///
/// # Panics
/// An input breaks the check: the message has the input. There is no seed.
pub(crate) fn replay(target: &str, derived: usize, check: fn(&[u8])) {
    let seeds = seeds(target);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (name, seed) in &seeds {
        try_one(name, seed, check);
        for _ in 0..derived {
            let (_, other) = &seeds[random.below(seeds.len())];
            try_one(name, &derive(seed, other, &mut random), check);
        }
    }
}

fn try_one(name: &str, input: &[u8], check: fn(&[u8])) {
    if let Err(reason) = catch_unwind(AssertUnwindSafe(|| check(input))) {
        eprintln!("the input, made of the seed {name}: b\"{}\"", input.escape_ascii());
        resume_unwind(reason);
    }
}

/// The names and contents of the seeds, in order.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    // Asked when the test runs: the clone may have moved since it was built.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let places = [package, std::env::current_dir().ok()];
    let directory = places
        .iter()
        .flatten()
        .flat_map(|place| place.ancestors())
        .map(|place| place.join("fuzz/seeds").join(target))
        .find(|directory| directory.is_dir())
        .expect("a test runs in a clone of the repository: set CARGO_MANIFEST_DIR to a package of it");
    let mut seeds: Vec<_> = fs::read_dir(&directory)
        .expect("the seeds can be listed")
        .map(|entry| {
            let path = entry.expect("the seeds can be listed").path();
            (path.display().to_string(), fs::read(&path).expect("a seed can be read"))
        })
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{} is empty", directory.display());
    seeds
}

/// A seed with some bytes changed, added, repeated, removed, or taken from another seed.
fn derive(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut input = seed.to_vec();
    for _ in 0..=random.below(6) {
        let (from, to) = (random.below(input.len() + 1), random.below(input.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        match random.below(6) {
            0 if from < input.len() => input[from] = random.byte(other),
            1 => input.insert(from, random.byte(other)),
            2 => drop(input.drain(from..to)),
            3 => {
                let again = input[from..to].to_vec();
                input.splice(to..to, again);
            }
            4 => {
                let start = random.below(other.len() + 1);
                let end = (start + random.below(32)).min(other.len());
                input.splice(from..from, other[start..end].iter().copied());
            }
            _ => input.truncate(to),
        }
    }
    input.truncate(LONGEST);
    input
}

/// Numbers that are the same in every run (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }

    /// Any byte or, twice as often, one that `other` has: texts stay texts.
    fn byte(&mut self, other: &[u8]) -> u8 {
        let any = self.next().to_le_bytes()[0];
        if other.is_empty() || self.below(3) == 0 { any } else { other[self.below(other.len())] }
    }
}
