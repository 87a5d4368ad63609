//! The plots.

use std::{fs, path::Path};

use super::figures::{number, p50, p99, rate};
use crate::{
    case::{Case, Load, Side},
    failure::{Failure, Result},
    plot::{Bars, Lines, Row, Series},
    results::Results,
};

/// Writes every plot for which there are figures.
pub(crate) fn plots(results: &Results, directory: &Path) -> Result<()> {
    for (name, picture) in [
        (
            "pgbench.svg",
            against(results, "÷ pgbench, the same statements on the same data", &[Side::Pgbench], 1.0),
        ),
        (
            "glance.svg",
            against(
                results,
                "÷ Glance, the same requests (logarithmic)",
                &[Side::Glance, Side::GlanceIndexed],
                1.0,
            ),
        ),
        ("sizes.svg", sizes(results)),
        ("latency.svg", latency(results)),
    ] {
        if let Some(picture) = picture {
            let path = directory.join(name);
            fs::write(&path, picture).map_err(|error| Failure::doing(path.display(), error))?;
        }
    }
    Ok(())
}

/// Rates as ratios.
fn against(results: &Results, title: &str, sides: &[Side], reference: f64) -> Option<String> {
    let mut rows = Vec::new();
    for case in Case::ALL {
        let ours = results.main(case, Side::Vitrine);
        let values: Vec<Option<f64>> = sides
            .iter()
            .map(|side| results.ratio(ours, results.main(case, *side), rate).map(|ratio| ratio.median))
            .collect();
        if values.iter().any(Option::is_some) {
            rows.push(Row { label: case.name().to_owned(), values });
        }
    }
    let bars = Bars {
        title: format!("Requests per second, Vitrine {title}"),
        legend: sides.iter().map(|side| side.name().to_owned()).collect(),
        rows,
        is_logarithmic: sides.len() > 1,
        reference: Some(reference),
        unit: "×",
    };
    bars.svg()
}

/// How long a page takes as the catalogue grows.
fn sizes(results: &Results) -> Option<String> {
    let series = [Case::List, Case::ListMany, Case::Inbox, Case::DeepMarker, Case::ShowMember].map(|case| {
        let point = |images: &u64| {
            let alone = results.on(*images, case, Side::Vitrine, Load::Alone);
            results.spread(alone, p50).map(|spread| (*images as f64, spread))
        };
        Series {
            label: case.name().to_owned(),
            points: results.plan.images.iter().filter_map(point).collect(),
        }
    });
    Lines {
        title: "Milliseconds for one answer (p50, one connection), by images in the catalogue".to_owned(),
        series: series.into_iter().filter(|series| !series.points.is_empty()).collect(),
        x: results.plan.images.iter().map(|images| (*images as f64, number(*images as f64))).collect(),
    }
    .svg()
}

/// p50 and p99 at 70 %.
fn latency(results: &Results) -> Option<String> {
    let mut rows = Vec::new();
    for case in Case::ALL {
        let step = results.on(results.plan.main().images, case, Side::Vitrine, Load::Seventy);
        let (Some(half), Some(most)) = (results.spread(step, p50), results.spread(step, p99)) else {
            continue;
        };
        rows.push(Row { label: case.name().to_owned(), values: vec![Some(half.median), Some(most.median)] });
    }
    let bars = Bars {
        title: "Milliseconds at 70 % of the saturated rate".to_owned(),
        legend: vec!["p50".to_owned(), "p99".to_owned()],
        rows,
        is_logarithmic: false,
        reference: None,
        unit: "ms",
    };
    bars.svg()
}
