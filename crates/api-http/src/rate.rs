//! How many requests each project may make: one bucket a project, in the memory of this process.
//!
//! A bucket is one moment: when it would be full again (GCRA, «generic cell rate algorithm»). A request moves it on by what
//! one request costs and is refused if it then lay further ahead than a whole bucket takes to fill. A bucket whose moment
//! has passed is full, which is what a project without one has: it can be forgotten.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use core_domain::{
    caller::Caller,
    project::{ProjectId, UserId},
};

use crate::{app::App, error::ApiError};

/// How often a project may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second, in the long run.
    pub per_second: NonZeroU32,
    /// Requests at once, after a rest.
    pub burst: NonZeroU32,
}

/// The buckets of all projects.
pub(crate) struct Buckets {
    /// What one request costs: the time in which one more is allowed.
    cost: Duration,
    /// How long an empty bucket takes to fill.
    whole: Duration,
    full_again: Mutex<FullAgain>,
}

struct FullAgain {
    at: HashMap<Whose, Instant>,
    swept: Instant,
}

/// Whose bucket it is; a token for no project has its user's.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Whose {
    Project(ProjectId),
    User(UserId),
}

/// Buckets kept at most. Only projects that Keystone knows have one, and only while it is not full.
const MOST: usize = 65_536;
/// How often the full ones may be looked for, which takes a look at all.
const SWEEP: Duration = Duration::from_secs(1);

impl Buckets {
    /// Full ones.
    pub(crate) fn new(rate: Rate) -> Self {
        let cost = Duration::from_secs(1) / rate.per_second.get();
        let full_again = FullAgain { at: HashMap::new(), swept: Instant::now() };
        Self { cost, whole: cost * rate.burst.get(), full_again: Mutex::new(full_again) }
    }

    /// Takes one request out of the caller's bucket.
    ///
    /// # Errors
    /// It is empty: says in how many seconds it will not be.
    fn take(&self, caller: &Caller) -> Result<(), ApiError> {
        self.take_at(caller, Instant::now())
    }

    fn take_at(&self, caller: &Caller, now: Instant) -> Result<(), ApiError> {
        let whose = match &caller.project {
            Some(project) => Whose::Project(project.clone()),
            None => Whose::User(caller.user.clone()),
        };
        let mut full_again = self.full_again.lock().unwrap_or_else(PoisonError::into_inner);
        let FullAgain { at, swept } = &mut *full_again;
        let next = at.get(&whose).copied().unwrap_or(now).max(now) + self.cost;
        let ahead = next.saturating_duration_since(now);
        if ahead > self.whole {
            let wait = ahead - self.whole;
            return Err(ApiError::TooManyRequests(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)));
        }
        if at.len() >= MOST && !at.contains_key(&whose) {
            if now.saturating_duration_since(*swept) >= SWEEP {
                *swept = now;
                at.retain(|_, full| *full > now);
            }
            // So many projects at once are no one project's flood: who has no bucket then is not held up.
            if at.len() >= MOST {
                return Ok(());
            }
        }
        at.insert(whose, next);
        Ok(())
    }
}

impl App {
    /// Counts one request of the caller's.
    ///
    /// # Errors
    /// It is one too many.
    pub(crate) fn takes_one_more(&self, caller: &Caller) -> Result<(), ApiError> {
        self.buckets.as_ref().map_or(Ok(()), |buckets| buckets.take(caller))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(per_second: u32, burst: u32) -> Buckets {
        let [per_second, burst] = [per_second, burst].map(|number| NonZeroU32::new(number).unwrap());
        Buckets::new(Rate { per_second, burst })
    }

    fn caller(project: Option<&str>, user: &str) -> Caller {
        let project = project.map(|id| ProjectId::parse(id).unwrap());
        Caller::new(UserId::new(user), project, ["member"])
    }

    /// How many of a hundred requests at this moment pass.
    fn passed(buckets: &Buckets, caller: &Caller, now: Instant) -> usize {
        (0..100).filter(|_| buckets.take_at(caller, now).is_ok()).count()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_does() {
        let (buckets, caller, start) = (buckets(10, 30), caller(Some("p"), "u"), Instant::now());
        assert_eq!(passed(&buckets, &caller, start), 30);
        assert_eq!(passed(&buckets, &caller, start + Duration::from_millis(99)), 0);
        assert_eq!(passed(&buckets, &caller, start + Duration::from_millis(100)), 1);
        assert_eq!(passed(&buckets, &caller, start + Duration::from_millis(1100)), 10);
        assert_eq!(
            passed(&buckets, &caller, start + Duration::from_secs(100)),
            30,
            "no more than a bucket holds"
        );
    }

    #[test]
    fn who_is_refused_is_told_when_to_come_again_and_being_refused_costs_nothing() {
        let (buckets, caller, start) = (buckets(1, 1), caller(Some("p"), "u"), Instant::now());
        assert_eq!(passed(&buckets, &caller, start), 1);
        match buckets.take_at(&caller, start + Duration::from_millis(300)) {
            Err(ApiError::TooManyRequests(seconds)) => assert_eq!(seconds, 1),
            other => panic!("{other:?}"),
        }
        assert_eq!(passed(&buckets, &caller, start + Duration::from_secs(1)), 1);
    }

    #[test]
    fn each_project_has_its_own_and_a_user_without_one_too() {
        let (buckets, start) = (buckets(1, 5), Instant::now());
        for caller in [caller(Some("p"), "u"), caller(Some("q"), "u"), caller(None, "u"), caller(None, "p")] {
            assert_eq!(passed(&buckets, &caller, start), 5);
        }
        assert_eq!(passed(&buckets, &caller(Some("p"), "another"), start), 0, "its users share it");
    }

    #[test]
    fn no_more_buckets_are_kept_than_there_is_room_for() {
        let (buckets, start) = (buckets(1, 1), Instant::now());
        let kept = || buckets.full_again.lock().unwrap().at.len();
        for number in 0..MOST {
            buckets.take_at(&caller(Some(&number.to_string()), "u"), start).unwrap();
        }
        assert_eq!(kept(), MOST);
        let late = caller(Some("late"), "u");
        assert_eq!(passed(&buckets, &late, start), 100);
        assert_eq!(kept(), MOST);
        assert_eq!(passed(&buckets, &late, start + Duration::from_secs(2)), 1, "the full ones are forgotten");
        assert_eq!(kept(), 1);
    }
}
