//! Steps of work on what a client sent: a comparison, a value read. Tests and fuzz targets judge them by their number.
//!
//! They are counted with the feature `testing` alone; without it [`count`] is nothing.

/// Counts steps of this thread.
#[inline(always)]
pub fn count(steps: usize) {
    #[cfg(feature = "testing")]
    counted::COUNTED.set(counted::COUNTED.get().wrapping_add(steps));
    #[cfg(not(feature = "testing"))]
    let _ = steps;
}

#[cfg(feature = "testing")]
pub use counted::during;

#[cfg(feature = "testing")]
mod counted {
    use std::cell::Cell;

    thread_local! { pub(super) static COUNTED: Cell<usize> = const { Cell::new(0) }; }

    /// The result of `work`, and how many steps this thread counted in it.
    pub fn during<T>(work: impl FnOnce() -> T) -> (T, usize) {
        let before = COUNTED.get();
        let result = work();
        (result, COUNTED.get().wrapping_sub(before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_work_are_counted_also_within_other_work() {
        let (inner, outer) = during(|| {
            count(2);
            during(|| count(3)).1
        });
        assert_eq!((inner, outer), (3, 5));
    }
}
