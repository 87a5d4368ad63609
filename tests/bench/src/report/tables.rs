//! The tables, as Markdown.

use std::fmt::Write as _;

use super::figures::{median, number, p50, p99, rate, spread, times};
use crate::{
    case::{Case, Load, Side},
    plan::GATE,
    results::{Measurement, Results},
    statistics::Spread,
};

/// Where, with what, on which records.
pub(crate) fn machine(results: &Results) -> String {
    let machine = &results.machine;
    let mut text = format!(
        "| | |\n|---|---|\n| machine | {}, {} cores, {} GiB, {}, Linux {} |\n",
        machine.processor, machine.cores, machine.memory, machine.system, machine.kernel
    );
    for (name, version) in &results.versions {
        let _ = writeln!(text, "| {name} | {version} |");
    }
    for one in &results.catalogues {
        let gib = one.bytes as f64 / f64::from(1 << 30);
        let _ = writeln!(
            text,
            "| catalogue | {} images, {} memberships, {} GiB |",
            number(one.images as f64),
            number(one.members as f64),
            number(gib)
        );
    }
    let plan = &results.plan;
    let _ = writeln!(
        text,
        "| this run | {}: {} repetitions of {} s{} |",
        plan.form,
        plan.repetitions,
        plan.seconds,
        if plan.settings.is_empty() { String::new() } else { format!("; {}", plan.settings.join(", ")) }
    );
    text
}

/// Requests a second of everything, on the main catalogue.
pub(crate) fn rates(results: &Results) -> String {
    let mut table = format!(
        "{} images, everybody asking as fast as answered.\n\n\
         | | requests/s (from…to) | p50 ms | p99 ms | pgbench | ÷ pgbench | Glance | ÷ Glance |\n\
         |---|---|---|---|---|---|---|---|\n",
        number(results.plan.main().images as f64)
    );
    for case in Case::ALL {
        let side = if case == Case::Nothing { Side::Empty } else { Side::Vitrine };
        let ours = results.main(case, side);
        if results.of(ours).next().is_none() {
            continue;
        }
        let of = |side| median(results.spread(results.main(case, side), rate));
        let against = |side| times(results.ratio(ours, results.main(case, side), rate));
        let mut line = |glance: Side, name: &str| {
            let _ = writeln!(
                table,
                "| {name} | {} | {} | {} | {} | {} | {} | {} |",
                spread(results.spread(ours, rate)),
                median(results.spread(ours, p50)),
                median(results.spread(ours, p99)),
                of(Side::Pgbench),
                against(Side::Pgbench),
                of(glance),
                against(glance),
            );
        };
        line(Side::Glance, if side == Side::Empty { "empty handler" } else { case.name() });
        if results.of(results.main(case, Side::GlanceIndexed)).next().is_some() {
            line(Side::GlanceIndexed, &format!("… beside {}", Side::GlanceIndexed.name()));
        }
    }
    table
}

/// What depends on the size of the catalogue, at each size.
pub(crate) fn lists(results: &Results) -> String {
    let mut table = String::from("| |");
    for images in &results.plan.images {
        let _ = write!(table, " {} images |", number(*images as f64));
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(results.plan.images.len()));
    table.push('\n');
    let cases =
        [Case::List, Case::ListMany, Case::Inbox, Case::DeepMarker, Case::ShowMember, Case::UpdateStatus];
    for case in cases {
        let mut line = |what: &str, load: Load, side: Side, figure: fn(&Measurement) -> f64| {
            let cells: Vec<Option<Spread>> = results
                .plan
                .images
                .iter()
                .map(|images| results.spread(results.on(*images, case, side, load), figure))
                .collect();
            if cells.iter().any(Option::is_some) {
                let cells: Vec<String> = cells.into_iter().map(spread).collect();
                let _ = writeln!(table, "| {}, {what} | {} |", case.name(), cells.join(" | "));
            }
        };
        line("ms alone (p50)", Load::Alone, Side::Vitrine, p50);
        line("requests/s, 64 connections", Load::Saturated, Side::Vitrine, rate);
        if !case.lists_images() {
            line("pgbench", Load::Saturated, Side::Pgbench, rate);
        }
    }
    table
}

/// Latency at 70 % of the saturated rate.
pub(crate) fn latency(results: &Results) -> String {
    let mut table = String::from(
        "| | asked for, requests/s | reached ÷ asked | p50 ms | p99 ms (from…to) | p99.9 ms | p99 ÷ p50 |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for case in Case::ALL {
        let step = results.on(results.plan.main().images, case, Side::Vitrine, Load::Seventy);
        if results.of(step).next().is_none() {
            continue;
        }
        let target = |one: &Measurement| one.target.unwrap_or(f64::NAN);
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | {} |",
            case.name(),
            median(results.spread(step, target)),
            spread(results.spread(step, |one| rate(one) / target(one))),
            median(results.spread(step, p50)),
            spread(results.spread(step, p99)),
            median(results.spread(step, |one| one.answers.p999 / 1000.0)),
            times(results.spread(step, |one| p99(one) / p50(one))),
        );
    }
    table
}

/// Microseconds of processor time a request.
pub(crate) fn processor(results: &Results) -> String {
    let mut table = String::from(
        "| | who | server | Postgres | Keystone, memcached | load generator |\n|---|---|---|---|---|---|\n",
    );
    for case in Case::ALL {
        for side in case.sides() {
            let step = results.main(case, *side);
            if results.of(step).next().is_none() {
                continue;
            }
            let of = |figure: fn(&Measurement) -> f64| median(results.spread(step, figure));
            let server = if *side == Side::Pgbench { "–".to_owned() } else { of(|one| one.cpu.server) };
            let _ = writeln!(
                table,
                "| {} | {} | {server} | {} | {} | {} |",
                case.name(),
                side.name(),
                of(|one| one.cpu.postgres),
                of(|one| one.cpu.identity),
                of(|one| one.cpu.generator),
            );
        }
    }
    table
}

/// Memory and starts.
pub(crate) fn memory(results: &Results) -> String {
    let mebibytes = |kib: u64| number(kib as f64 / 1024.0);
    let mut table = String::from("| | RSS MiB | PSS MiB |\n|---|---|---|\n");
    if let Some(idle) = results.idle {
        let _ =
            writeln!(table, "| Vitrine, just started | {} | {} |", mebibytes(idle.rss), mebibytes(idle.pss));
    }
    for side in [Side::Vitrine, Side::Glance, Side::Empty] {
        for case in Case::ALL {
            let under_load = results.of(results.main(case, side)).filter_map(|one| one.memory);
            if let Some(most) = under_load.max_by_key(|memory| memory.rss) {
                let name = format!("{}, {}", side.name(), case.name());
                let _ = writeln!(table, "| {name} | {} | {} |", mebibytes(most.rss), mebibytes(most.pss));
            }
        }
    }
    table.push_str("\n| start | ms (from…to) |\n|---|---|\n");
    let starts = |of: fn(&crate::service::Start) -> f64| spread(Spread::of(results.starts.iter().map(of)));
    let _ = writeln!(table, "| Vitrine, to the first 200 | {} |", starts(|start| start.answers));
    let _ =
        writeln!(table, "| Vitrine, to the first 200 from the records | {} |", starts(|start| start.reads));
    let _ = writeln!(
        table,
        "| … of which Keystone, asked twice, takes about | {} |",
        starts(|start| start.keystone)
    );
    if let Some(start) = results.glance_start {
        let _ = writeln!(table, "| Glance, to the first 200 | {} |", number(start));
    }
    table
}

/// The statements that one request sends.
pub(crate) fn statements(results: &Results) -> String {
    let mut text = String::new();
    for (case, statements) in &results.statements {
        let _ = writeln!(text, "{}:\n\n```sql", case.name());
        for statement in statements {
            let _ = writeln!(text, "{};", statement.sql);
        }
        text.push_str("```\n\n");
    }
    text
}

/// What to doubt: measurements that were disturbed, answers that were wrong, comparisons that are missing.
pub(crate) fn doubts(results: &Results) -> String {
    let all = results.measurements.len();
    let disturbed = results.measurements.iter().filter(|one| one.disturbed).count();
    let foreign = spread(Spread::of(results.measurements.iter().map(|one| one.foreign * 100.0)));
    let mut text = format!(
        "- {all} measurements; others used {foreign} % of the machine meanwhile; {disturbed} were disturbed (more than \
         {:.0} %) in every try.\n",
        GATE * 100.0
    );
    for one in &results.measurements {
        if one.answers.wrong > 0.0 || one.answers.broken > 0.0 {
            let _ = writeln!(
                text,
                "- {}, {}, {} images, repetition {}: of {} answers {} were wrong, {} requests broke or came late.",
                one.case.name(),
                one.side.name(),
                number(one.images as f64),
                one.repetition + 1,
                number(one.answers.requests),
                one.answers.wrong,
                one.answers.broken
            );
        }
    }
    for remark in &results.remarks {
        let _ = writeln!(text, "- {}", remark.replace('\n', " "));
    }
    text
}
