//! Numbers as they are written, and the steps they come from.

use crate::{
    case::{Case, Load, Side},
    catalogue::Catalogue,
    plan::Step,
    results::{Measurement, Results},
    statistics::Spread,
};

/// Four figures at most, thousands apart.
pub(crate) fn number(value: f64) -> String {
    if value >= 1000.0 {
        let whole = format!("{value:.0}");
        let mut apart = String::new();
        for (place, digit) in whole.chars().enumerate() {
            if place > 0 && (whole.len() - place).is_multiple_of(3) {
                apart.push(',');
            }
            apart.push(digit);
        }
        return apart;
    }
    match value {
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The median, and from what to what it went.
pub(crate) fn spread(spread: Option<Spread>) -> String {
    match spread {
        None => "–".to_owned(),
        Some(one) if one.least == one.most => number(one.median),
        Some(one) => format!("{} ({}…{})", number(one.median), number(one.least), number(one.most)),
    }
}

/// The median.
pub(crate) fn median(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "–".to_owned(), |one| number(one.median))
}

/// A ratio as «12 ×».
pub(crate) fn times(ratio: Option<Spread>) -> String {
    ratio.map_or_else(|| "–".to_owned(), |one| format!("{} ×", number(one.median)))
}

/// Answers a second.
pub(crate) fn rate(one: &Measurement) -> f64 {
    one.answers.rate
}

/// Milliseconds within which half of the answers came.
pub(crate) fn p50(one: &Measurement) -> f64 {
    one.answers.p50 / 1000.0
}

/// Milliseconds within which 99 in 100 answers came.
pub(crate) fn p99(one: &Measurement) -> f64 {
    one.answers.p99 / 1000.0
}

impl Results {
    /// A step on the catalogue where everything is measured, with everybody asking as fast as they can.
    pub(crate) fn main(&self, case: Case, side: Side) -> Step {
        self.on(self.plan.main().images, case, side, Load::Saturated)
    }

    /// A step.
    pub(crate) fn on(&self, images: u64, case: Case, side: Side, load: Load) -> Step {
        Step { catalogue: Catalogue { images }, case, side, load }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_many_figures_as_they_deserve() {
        let written: Vec<String> = [1_234_567.8, 999.6, 12.34, 0.123].into_iter().map(number).collect();
        assert_eq!(written, ["1,234,568", "1000", "12.3", "0.12"]);
        assert_eq!(spread(Spread::of([1.0, 2.0, 4.0])), "2.00 (1.00…4.00)");
        assert_eq!(spread(None), "–");
    }
}
