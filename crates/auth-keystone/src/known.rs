//! What is kept of a good token, and for how long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use core_domain::caller::Caller;

use crate::{
    access_rules::AccessRules,
    backoff,
    clock::KeystoneTime,
    revocation::{Events, Marks, Print},
    vouched::Vouched,
};

/// What a token's end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It ends.
    Counts,
    /// A service asks for its bearer: it is good for a while after its end, as Keystone decides.
    Waived,
}

/// How long things are remembered, and how many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lives {
    /// Good tokens …
    pub(crate) good: usize,
    pub(crate) good_for: Duration,
    /// … with much power …
    pub(crate) privileged_for: Duration,
    /// … and when Keystone cannot be asked.
    pub(crate) stale_for: Duration,
    /// Rejected ones.
    pub(crate) bad: usize,
    pub(crate) bad_for: Duration,
}

/// Somebody vouched for.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) caller: Arc<Caller>,
    access_rules: Option<AccessRules>,
    is_privileged: bool,
    marks: Marks,
    /// When Keystone was asked, on the steady clock.
    asked: Duration,
    /// Then Keystone is asked again.
    fresh_until: Duration,
    /// Then Keystone is asked behind the back of who uses it; in microseconds.
    refresh_from: AtomicU64,
}

impl Known {
    /// What came of a question asked at `asked`, with its times in here: up to a tenth less than the full ones, for
    /// tokens that came together are not to be asked for together again.
    ///
    /// `is_admin`: whether the bearer administers the cloud, whatever the roles are.
    pub(crate) fn new(vouched: Vouched, asked: Duration, lives: &Lives, is_admin: bool) -> Self {
        let Vouched { caller, access_rules, marks } = vouched;
        let is_privileged = is_admin || PRIVILEGED_ROLES.iter().any(|role| caller.has_role(role));
        let life = if is_privileged { lives.good_for.min(lives.privileged_for) } else { lives.good_for };
        let kept = backoff::within(life.mul_f64(0.9)..life);
        Self {
            caller: Arc::new(caller),
            access_rules,
            is_privileged,
            marks,
            asked,
            fresh_until: asked + kept,
            refresh_from: AtomicU64::new(micros(asked + kept.mul_f64(0.8))),
        }
    }

    /// Roughly the memory this holds, in bytes.
    pub(crate) fn size(&self) -> usize {
        let texts = self.caller.roles().iter().map(|role| role.len() + size_of::<String>()).sum::<usize>()
            + self.caller.user.as_str().len()
            + self.caller.project.as_ref().map_or(0, |project| project.as_str().len());
        let rules = self.access_rules.as_ref().map_or(0, AccessRules::size);
        texts + rules + self.marks.size() + size_of::<Self>() + size_of::<Caller>()
    }

    /// Whether the token is good for this call.
    pub(crate) fn allows(&self, method: &str, path: &str) -> bool {
        self.access_rules.as_ref().is_none_or(|rules| rules.allow(method, path))
    }

    /// Whether much can be done with it: Keystone is asked more often, and never done without.
    pub(crate) fn is_privileged(&self) -> bool {
        self.is_privileged
    }

    /// Whether it is past its end, or nobody knows what time it is.
    pub(crate) fn ends(&self, end: End, time: &KeystoneTime) -> bool {
        end == End::Counts && time.now().is_none_or(|now| self.marks.expires_at <= now)
    }

    /// How long ago Keystone was asked.
    pub(crate) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.asked)
    }

    /// Whether Keystone need not be asked yet.
    pub(crate) fn is_fresh(&self, now: Duration) -> bool {
        now < self.fresh_until
    }

    /// Whether it is time to ask again; said to one of those who ask, and after a while to another.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        let due = self.refresh_from.load(Relaxed);
        let now = micros(now);
        now >= due && {
            let again = now + micros(self.fresh_until).saturating_sub(now) / 4 + 1_000_000;
            self.refresh_from.compare_exchange(due, again, Relaxed, Relaxed).is_ok()
        }
    }

    /// Whether one of these events hits it.
    pub(crate) fn is_hit(&self, events: &Events) -> bool {
        events.hit(&self.marks)
    }

    /// See [`Print`].
    pub(crate) fn print(&self) -> Print {
        self.marks.print()
    }

    /// The ids by which Keystone's operators find it.
    pub(crate) fn audit_ids(&self) -> &[Box<str>] {
        &self.marks.audit_ids
    }
}

/// Roles with which one reads and changes what is others'.
const PRIVILEGED_ROLES: [&str; 2] = ["admin", "service"];

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use chrono::{TimeDelta, Utc};
    use core_domain::project::{ProjectId, UserId};

    use super::*;

    /// Somebody with this role among others.
    pub(crate) fn vouched(role: &str) -> Vouched {
        let id = "6c81211a796a4ae3940cca1e6af77c96";
        let roles = ["manager", "member", "reader", role];
        Vouched {
            caller: Caller::new(UserId::new(id), ProjectId::parse(id).ok(), roles),
            access_rules: None,
            marks: Marks {
                issued_at: Some(Utc::now()),
                expires_at: Utc::now() + TimeDelta::hours(1),
                audit_ids: vec!["rgcW7j_IRzyqiN2CxTRjGQ".into(), "rgcW7j_IRzyqiN2CxTRjGQ".into()],
                users: vec![id.into(), id.into(), id.into()],
                project: Some(id.into()),
                domains: vec![id.into(), id.into()],
                trust: Some(id.into()),
            },
        }
    }

    /// A minute, half of it for the powerful, ten while Keystone cannot be asked.
    pub(crate) fn lives(good: usize, bad: usize) -> Lives {
        let minute = Duration::from_secs(60);
        let (privileged_for, stale_for) = (minute / 2, 10 * minute);
        Lives { good, good_for: minute, privileged_for, stale_for, bad, bad_for: minute }
    }

    #[test]
    fn the_powerful_are_asked_about_more_often() {
        for (role, is_admin, longest, privileged) in [
            ("owner", false, 60, false),
            ("owner", true, 30, true),
            ("admin", false, 30, true),
            ("service", false, 30, true),
            ("Admin", false, 30, true),
        ] {
            let known = Known::new(vouched(role), Duration::ZERO, &lives(1, 1), is_admin);
            let longest = Duration::from_secs(longest);
            assert!((longest.mul_f64(0.9)..=longest).contains(&known.fresh_until), "{role}");
            assert_eq!(known.is_privileged(), privileged, "{role}");
        }
    }

    #[test]
    fn one_of_those_who_use_an_old_entry_is_told_to_ask_again() {
        let known = Known::new(vouched("owner"), Duration::ZERO, &lives(1, 1), false);
        let told = |second| (0..100).filter(|_| known.is_due(Duration::from_secs(second))).count();
        assert_eq!(told(0), 0);
        assert_eq!(told(50), 1);
        assert_eq!(told(50), 0);
        assert_eq!(told(58), 1);
    }
}
