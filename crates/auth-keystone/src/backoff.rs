//! How long to wait before trying again, never in step with others.

use std::{ops::Range, time::Duration};

use aws_lc_rs::rand;

/// Waits stop growing here.
const LONGEST: Duration = Duration::from_secs(60);
/// The first wait after Keystone could not be reached.
const FIRST: Duration = Duration::from_secs(1);
/// The first wait after Keystone said no to the credential: it may lock accounts that are wrong too often.
const FIRST_AFTER_REFUSAL: Duration = Duration::from_secs(5);
/// Never shorter than this, however the dice fall.
const SHORTEST: Duration = Duration::from_millis(100);

/// A random duration within a range.
pub(crate) fn within(range: Range<Duration>) -> Duration {
    range.start + range.end.saturating_sub(range.start).mul_f64(fraction())
}

/// The wait after so many sign-ins in a row that reached nobody: anything up to 1 s, 2 s, 4 s … 60 s («full jitter»),
/// so that the processes of a cloud do not come back all at once.
pub(crate) fn after_failure(failures: u32) -> Duration {
    within(SHORTEST..doubled(FIRST, failures))
}

/// The wait after so many refusals in a row: 5 s, 10 s … 60 s, and up to a tenth more. Chance never shortens it.
pub(crate) fn after_refusal(refusals: u32) -> Duration {
    let wait = doubled(FIRST_AFTER_REFUSAL, refusals);
    within(wait..wait + wait / 10)
}

fn doubled(first: Duration, times: u32) -> Duration {
    let exponent = times.saturating_sub(1).min(16);
    (first * 2_u32.pow(exponent)).min(LONGEST)
}

/// At least 0, less than 1.
fn fraction() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness the waits are merely in step.
    let _ = rand::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_wait_five_seconds_then_twice_as_long_up_to_a_minute() {
        for (refusals, seconds) in [(1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (6, 60), (u32::MAX, 60)] {
            let wait = after_refusal(refusals).as_secs_f64();
            let least = f64::from(seconds);
            assert!((least..least * 1.1).contains(&wait), "{refusals} refusals: {wait} s");
        }
    }

    #[test]
    fn failures_wait_anything_up_to_a_bound_that_doubles_up_to_a_minute() {
        for (failures, seconds) in [(1, 1), (2, 2), (4, 8), (7, 60), (u32::MAX, 60)] {
            for _ in 0..100 {
                let wait = after_failure(failures);
                assert!((SHORTEST..Duration::from_secs(seconds)).contains(&wait), "{failures}: {wait:?}");
            }
        }
    }
}
