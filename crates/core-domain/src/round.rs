//! Rounds: calls of many callers that arrived at about the same time, answered by one look and, for changes, one write.
//!
//! A round looks when all of its calls are there, so each gets an answer it could have got alone, decided by the same
//! functions of [`sharing`]. What cannot be answered in a round is not answered by it: `None` says that this call is to
//! be made alone, and that nothing was done yet.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::{
    caller::{Caller, Context, Rules},
    error::{Error, Result},
    image::{ImageAccess, ImageId},
    member::{Member, MemberStatus},
    permit::Permit,
    project::ProjectId,
    sharing,
    store::{SightOf, StatusChange, Store},
};

/// What became of a call in a round; `None`: it is to be made alone.
pub type Outcome = Option<Result<Member>>;

/// A call of [`sharing::show`], or the first half of another.
#[derive(Clone, Debug)]
pub struct Show {
    /// Who asks.
    pub caller: Arc<Caller>,
    /// For which image.
    pub image: ImageId,
    /// For whose membership.
    pub project: ProjectId,
    /// When.
    pub now: DateTime<Utc>,
}

/// A call of [`sharing::set_status`].
#[derive(Clone, Debug)]
pub struct SetStatus {
    /// By whom, and of which membership.
    pub membership: Show,
    /// What it is to become.
    pub status: MemberStatus,
    /// Leave to do it.
    pub permit: Arc<Permit>,
}

impl Show {
    /// A call made now.
    #[must_use]
    pub fn now(caller: Arc<Caller>, rules: &Rules, image: ImageId, project: ProjectId) -> Self {
        let now = Context::now(&caller, rules).now;
        Self { caller, image, project, now }
    }

    fn context<'a>(&'a self, rules: &'a Rules) -> Context<'a> {
        Context { caller: &self.caller, rules, now: self.now }
    }

    fn sight(&self) -> SightOf<'_> {
        SightOf { image: self.image, caller: self.caller.project.as_ref(), member: &self.project }
    }
}

/// [`sharing::show`] for each of these; the outcomes in their order.
pub fn show(rules: &Rules, store: &dyn Store, calls: &[Show]) -> Vec<Outcome> {
    let asked: Vec<_> = calls.iter().map(Show::sight).collect();
    match store.sights(&asked) {
        Ok(sights) => calls
            .iter()
            .zip(sights)
            .map(|(call, sight)| Some(sharing::shown(call.context(rules), call.image, &call.project, sight)))
            .collect(),
        Err(error) => calls.iter().map(|_| of_all(&error)).collect(),
    }
}

/// [`sharing::set_status`] for each of these, as if one after another; the outcomes in their order.
pub fn set_status(rules: &Rules, store: &dyn Store, calls: &[SetStatus]) -> Vec<Outcome> {
    let asked: Vec<_> = calls.iter().map(|call| call.membership.sight()).collect();
    let sights = match store.sights(&asked) {
        Ok(sights) => sights,
        Err(error) => return calls.iter().map(|_| of_all(&error)).collect(),
    };
    let decided: Vec<Result<ImageAccess>> = calls
        .iter()
        .zip(sights)
        .map(|(SetStatus { membership, permit, .. }, sight)| {
            let cx = membership.context(rules);
            let seen = sharing::answerable(cx, membership.image, &membership.project, sight)?;
            permit.take()?;
            Ok(seen)
        })
        .collect();
    let changes: Vec<_> = calls
        .iter()
        .zip(&decided)
        .filter_map(|(SetStatus { membership, status, .. }, seen)| {
            let seen = seen.as_ref().ok()?;
            Some(StatusChange { seen, member: &membership.project, status: *status, now: membership.now })
        })
        .collect();
    let mut written = written(store, &changes).into_iter();
    decided
        .into_iter()
        .map(|decided| match decided {
            Ok(_) => written.next().flatten(),
            Err(refused) => Some(Err(refused)),
        })
        .collect()
}

fn written(store: &dyn Store, changes: &[StatusChange<'_>]) -> Vec<Outcome> {
    if changes.is_empty() {
        return Vec::new();
    }
    match store.set_statuses(changes) {
        Ok(members) => members.into_iter().map(|member| member.map(Ok)).collect(),
        Err(error) => changes.iter().map(|_| of_all(&error)).collect(),
    }
}

/// What the failure of a whole round means for one of its calls: records that are away are away for all; anything
/// else may be the matter of one, and each finds out alone.
#[allow(clippy::wildcard_enum_match_arm, reason = "only one kind of failure is everybody's")]
fn of_all(error: &Error) -> Outcome {
    match error {
        Error::Unavailable(source) => Some(Err(Error::Unavailable(source.to_string().into()))),
        _ => None,
    }
}
