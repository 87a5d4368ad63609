//! Medians and spreads.

use serde::{Deserialize, Serialize};

/// What several repetitions gave.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// The one in the middle, or the mean of the two.
    pub(crate) median: f64,
    /// The least.
    pub(crate) least: f64,
    /// The greatest.
    pub(crate) most: f64,
}

impl Spread {
    /// Of these; `None` of none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        Some(Self { median: f64::midpoint(lower, upper), least, most })
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn the_median_is_the_middle_one_or_between_the_middle_two() {
        let odd = Spread::of([5.0, 1.0, 3.0]).unwrap();
        assert_eq!(odd, Spread { median: 3.0, least: 1.0, most: 5.0 });
        let even = Spread::of([4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(even, Spread { median: 2.5, least: 1.0, most: 4.0 });
        assert_eq!(Spread::of([7.0]).unwrap().median, 7.0);
    }

    #[test]
    fn nothing_has_no_median_and_what_is_no_number_is_left_out() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([f64::NAN, 2.0]).unwrap().median, 2.0);
    }
}
