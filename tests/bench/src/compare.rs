//! Two programs, measured in turn: whether the later one has lost anything.
//!
//! A figure is as good as before if each median lies within what the repetitions of the other gave, or if it is better.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use crate::{
    case::{Case, Load, Side},
    failure::Result,
    report::figures::{number, spread},
    results::{Measurement, Results},
    statistics::Spread,
};

/// A figure's name: the size of the catalogue, what was asked, and what was counted.
type Name = (u64, String, &'static str);

/// What was counted of one measurement, and whether more of it is better.
type Figure = (&'static str, bool, fn(&Measurement) -> f64);

const FIGURES: [Figure; 6] = [
    ("requests/s", true, |one| one.answers.rate),
    ("p50 ms", false, |one| one.answers.p50 / 1000.0),
    ("p99 ms", false, |one| one.answers.p99 / 1000.0),
    ("µs of the service", false, |one| one.cpu.server),
    ("µs of Postgres", false, |one| one.cpu.postgres),
    ("RSS MiB", false, |one| one.memory.map_or(f64::NAN, |memory| memory.rss as f64 / 1024.0)),
];

/// The repetitions of one figure.
#[derive(Default)]
struct Pair {
    is_better_if_more: bool,
    before: Vec<f64>,
    after: Vec<f64>,
}

/// A table of all figures that both have, each file a repetition; those that lost are marked.
pub(crate) fn compare(before: &[PathBuf], after: &[PathBuf]) -> Result<String> {
    let mut pairs: BTreeMap<Name, Pair> = BTreeMap::new();
    for (files, is_before) in [(before, true), (after, false)] {
        for file in files {
            let results = Results::read(file)?;
            for (name, is_better_if_more, value) in of(&results) {
                let pair = pairs.entry(name).or_default();
                pair.is_better_if_more = is_better_if_more;
                if is_before { pair.before.push(value) } else { pair.after.push(value) }
            }
        }
    }
    let mut table =
        "| images | | | before (from…to) | after (from…to) | |\n|---|---|---|---|---|---|\n".to_owned();
    let (mut all, mut lost) = (0, 0);
    for ((images, what, figure), pair) in &pairs {
        let (Some(before), Some(after)) =
            (Spread::of(pair.before.iter().copied()), Spread::of(pair.after.iter().copied()))
        else {
            continue;
        };
        let verdict = judged(before, after, pair.is_better_if_more);
        all += 1;
        lost += usize::from(verdict == "**worse**");
        let (images, before, after) = (number(*images as f64), spread(Some(before)), spread(Some(after)));
        let _ = writeln!(table, "| {images} | {what} | {figure} | {before} | {after} | {verdict} |");
    }
    let _ = writeln!(table, "\n{lost} of {all} figures are worse.");
    Ok(table)
}

fn judged(before: Spread, after: Spread, is_better_if_more: bool) -> &'static str {
    let is_better =
        if is_better_if_more { after.median >= before.median } else { after.median <= before.median };
    let is_within = |median: f64, of: Spread| (of.least..=of.most).contains(&median);
    if is_better {
        "better"
    } else if is_within(after.median, before) && is_within(before.median, after) {
        "within"
    } else {
        "**worse**"
    }
}

/// The figures of Vitrine in one run.
fn of(results: &Results) -> impl Iterator<Item = (Name, bool, f64)> {
    let is_ours = |one: &&Measurement| one.side == Side::Vitrine && one.case != Case::Nothing;
    let measured = results.measurements.iter().filter(is_ours).flat_map(|one| {
        let load = match one.load {
            Load::Saturated => "",
            Load::Seventy => ", 70 %",
            Load::Alone => ", alone",
        };
        let what = format!("{}{load}", one.case.name());
        FIGURES
            .iter()
            .map(move |(figure, more, value)| ((one.images, what.clone(), *figure), *more, value(one)))
    });
    let starts = results.starts.iter().flat_map(|start| {
        let of = |figure, value| ((0, "start".to_owned(), figure), false, value);
        [of("ms to the first 200", start.answers), of("ms to the first from the records", start.reads)]
    });
    measured.chain(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread_of(values: [f64; 3]) -> Spread {
        Spread::of(values).unwrap()
    }

    #[test]
    fn medians_within_the_other_range_or_better_are_as_good() {
        let before = spread_of([9.0, 10.0, 11.0]);
        for (after, more, verdict) in [
            ([9.5, 10.5, 12.0], true, "better"),
            ([9.5, 10.5, 12.0], false, "within"),
            ([10.4, 10.5, 12.0], false, "**worse**"),
            ([11.5, 12.0, 12.5], false, "**worse**"),
            ([11.5, 12.0, 12.5], true, "better"),
            ([8.0, 8.5, 12.0], true, "**worse**"),
        ] {
            assert_eq!(judged(before, spread_of(after), more), verdict, "{after:?}");
        }
    }
}
