//! What was to be reached, and what was.

use std::fmt::Write as _;

use super::figures::{number, p50, p99, rate, spread};
use crate::{
    case::{Case, Load, Side},
    results::Results,
    statistics::Spread,
};

/// A goal: what, what came of it, the floor and the aim.
struct Goal {
    what: &'static str,
    reached: Option<Spread>,
    floor: f64,
    aim: f64,
    unit: &'static str,
    /// Whether less is better.
    is_limit: bool,
}

/// Every goal in a line.
pub(crate) fn table(results: &Results) -> String {
    let mut table = String::from("| goal | reached (from…to) | floor | aim | |\n|---|---|---|---|---|\n");
    for goal in goals(results) {
        let sign = if goal.is_limit { "≤" } else { "≥" };
        let _ = writeln!(
            table,
            "| {} | {} | {sign} {} {} | {} {} | {} |",
            goal.what,
            spread(goal.reached),
            number(goal.floor),
            goal.unit,
            number(goal.aim),
            goal.unit,
            goal.verdict()
        );
    }
    table
}

impl Goal {
    fn verdict(&self) -> &'static str {
        let Some(reached) = self.reached else { return "not measured" };
        let is_within = |bound: f64| {
            if self.is_limit { reached.median <= bound } else { reached.median >= bound }
        };
        match (is_within(self.aim), is_within(self.floor)) {
            (true, _) => "**aim**",
            (false, true) => "floor",
            (false, false) => "**missed**",
        }
    }
}

fn goals(results: &Results) -> Vec<Goal> {
    let at_least =
        |what, reached, floor, aim| Goal { what, reached, floor, aim, unit: "×", is_limit: false };
    let at_most = |what, reached, floor, aim, unit| Goal { what, reached, floor, aim, unit, is_limit: true };
    let against =
        |case, side| results.ratio(results.main(case, Side::Vitrine), results.main(case, side), rate);
    let tail = |case| {
        let step = results.on(results.plan.main().images, case, Side::Vitrine, Load::Seventy);
        results.spread(step, |one| p99(one) / p50(one))
    };
    let mebibytes = |kib: u64| kib as f64 / 1024.0;
    let resident = |side| {
        let of_side = results.measurements.iter().filter(move |one| {
            one.side == side && one.load == Load::Saturated && one.images == results.plan.main().images
        });
        let most = of_side.filter_map(|one| one.memory).map(|memory| memory.rss).max();
        most.and_then(|kib| Spread::of([mebibytes(kib)]))
    };
    let tenth = match (resident(Side::Glance), resident(Side::Vitrine)) {
        (Some(glance), Some(vitrine)) => Spread::of([glance.median / vitrine.median]),
        (Some(_) | None, _) => None,
    };
    let starts = |of: fn(&crate::service::Start) -> f64| {
        Spread::of(results.starts.iter().map(|start| of(start) / 1000.0))
    };
    let nothing = results.main(Case::Nothing, Side::Empty);
    let of_nothing = |case| results.ratio(results.main(case, Side::Vitrine), nothing, rate);
    vec![
        at_least("show member ÷ pgbench", against(Case::ShowMember, Side::Pgbench), 0.5, 1.0),
        at_least("show member ÷ Glance", against(Case::ShowMember, Side::Glance), 60.0, 150.0),
        at_least("update status ÷ pgbench", against(Case::UpdateStatus, Side::Pgbench), 0.7, 1.5),
        at_least("update status ÷ Glance", against(Case::UpdateStatus, Side::Glance), 30.0, 80.0),
        at_most(
            "list images: time at the most images ÷ at the fewest",
            growth(results, Case::List),
            1.5,
            1.1,
            "×",
        ),
        at_most("inbox: the same", growth(results, Case::Inbox), 1.5, 1.1, "×"),
        at_least("list images ÷ Glance as it comes", against(Case::List, Side::Glance), 50.0, 50.0),
        at_least("list images ÷ Glance with indexes", against(Case::List, Side::GlanceIndexed), 5.0, 5.0),
        at_most("show member, 70 % load: p99 ÷ p50", tail(Case::ShowMember), 5.0, 3.0, "×"),
        at_most("update status, 70 % load: p99 ÷ p50", tail(Case::UpdateStatus), 5.0, 3.0, "×"),
        at_most("list images, 70 % load: p99 ÷ p50", tail(Case::List), 5.0, 3.0, "×"),
        at_most("resident memory, most under any load", resident(Side::Vitrine), 64.0, 32.0, "MiB"),
        at_least("Glance's resident memory ÷ Vitrine's", tenth, 10.0, 10.0),
        at_most("start to the first 200", starts(|start| start.answers), 0.3, 0.1, "s"),
        at_least("schema document ÷ empty handler", of_nothing(Case::Schema), 0.5, 0.7),
        at_least("404 without database ÷ empty handler", of_nothing(Case::UnknownPath), 0.5, 0.7),
    ]
}

/// How much longer one page takes at the largest catalogue than at the smallest, asked for by nobody else.
fn growth(results: &Results, case: Case) -> Option<Spread> {
    let alone = |images: u64| results.on(images, case, Side::Vitrine, Load::Alone);
    let (least, most) = (*results.plan.images.first()?, *results.plan.images.last()?);
    if least == most { None } else { results.ratio(alone(most), alone(least), p50) }
}
