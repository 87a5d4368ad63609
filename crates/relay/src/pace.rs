//! How long to wait before trying again, never in step with others.

use std::time::Duration;

use aws_lc_rs::rand;

/// The first wait.
const FIRST: Duration = Duration::from_millis(250);

/// The wait after so many failures in a row: 0.25 s, 0.5 s, 1 s … `longest`, and up to a fifth less.
pub(crate) fn after_failure(failures: u32, longest: Duration) -> Duration {
    let exponent = failures.saturating_sub(1).min(16);
    let wait = (FIRST * 2_u32.pow(exponent)).min(longest);
    wait.mul_f64(1.0 - 0.2 * fraction())
}

/// Between one and two times as long.
pub(crate) fn spread(time: Duration) -> Duration {
    time.mul_f64(1.0 + fraction())
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
    fn waits_double_up_to_the_longest_and_chance_shortens_them_by_a_fifth_at_most() {
        let longest = Duration::from_secs(10);
        for (failures, seconds) in [(1, 0.25), (2, 0.5), (3, 1.0), (6, 8.0), (7, 10.0), (u32::MAX, 10.0)] {
            for _ in 0..100 {
                let wait = after_failure(failures, longest).as_secs_f64();
                assert!((seconds * 0.8..=seconds).contains(&wait), "{failures} failures: {wait} s");
            }
        }
    }
}
