//! Rounds: calls of many callers that arrived at about the same time, answered by one look and, for changes, one write.
//!
//! A round looks when all of its calls are there, so each gets an answer it could have got alone, decided by the same
//! functions of [`sharing`] and [`catalog`]. What cannot be answered in a round is not answered by it: `None` says that this call is to
//! be made alone, and that nothing was done yet.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::{
    caller::{Caller, Context, Rules},
    catalog,
    error::{Error, Result},
    event::Cause,
    image::{Image, ImageAccess, ImageId},
    member::{Member, MemberStatus},
    permit::Permit,
    project::ProjectId,
    sharing,
    store::{Batched, SightOf, StatusChange, Store},
};

/// What became of a call in a round; `None`: it is to be made alone.
pub type Outcome<T> = Option<Result<T>>;

/// A call about an image.
#[derive(Clone, Debug)]
pub struct Call<W> {
    /// Who makes it.
    pub caller: Arc<Caller>,
    /// The image.
    pub image: ImageId,
    /// What of it: the project whose membership it is, or `()`.
    pub what: W,
    /// When.
    pub now: DateTime<Utc>,
    /// The id of the request it came with.
    pub request: Arc<str>,
}

/// A call of [`sharing::set_status`].
#[derive(Clone, Debug)]
pub struct SetStatus {
    /// By whom, and of which membership.
    pub membership: Call<ProjectId>,
    /// What it is to become.
    pub status: MemberStatus,
    /// Leave to do it.
    pub permit: Arc<Permit>,
}

impl<W> Call<W> {
    /// A call made now.
    #[must_use]
    pub fn now(caller: Arc<Caller>, rules: &Rules, request: Arc<str>, image: ImageId, what: W) -> Self {
        let now = Context::now(&caller, rules, &request).now;
        Self { caller, image, what, now, request }
    }

    fn context<'a>(&'a self, rules: &'a Rules) -> Context<'a> {
        Context { caller: &self.caller, rules, now: self.now, request: &self.request }
    }
}

impl Call<ProjectId> {
    fn sight(&self) -> SightOf<'_> {
        SightOf { image: self.image, caller: self.caller.project.as_ref(), member: &self.what }
    }
}

/// [`sharing::show`] for each of these; the outcomes in their order.
pub fn show_member(rules: &Rules, store: &dyn Store, calls: &[Call<ProjectId>]) -> Vec<Outcome<Member>> {
    let asked: Vec<_> = calls.iter().map(Call::sight).collect();
    let seen = store.sights(&asked).map(|sights| sights.into_iter().map(Batched::Answered).collect());
    judged(calls, seen, |call, sight| sharing::shown(call.context(rules), call.image, &call.what, sight))
}

/// [`sharing::list`] of all members, for each of these; the outcomes in their order. A list of more than [`BATCH_MEMBERS`](crate::limits::BATCH_MEMBERS) members is
/// to be made alone.
pub fn list_members(rules: &Rules, store: &dyn Store, calls: &[Call<()>]) -> Vec<Outcome<Vec<Member>>> {
    let asked: Vec<_> = calls.iter().map(|call| (call.image, call.context(rules).viewer())).collect();
    judged(calls, store.rolls(&asked), |call, roll| sharing::listed(call.context(rules), call.image, roll))
}

/// [`catalog::show`] for each of these; the outcomes in their order.
pub fn show_image(rules: &Rules, store: &dyn Store, calls: &[Call<()>]) -> Vec<Outcome<Image>> {
    let asked: Vec<_> = calls.iter().map(|call| (call.image, call.context(rules).viewer())).collect();
    judged(calls, store.whole_images(&asked), |call, found| {
        catalog::shown(call.context(rules), call.image, found)
    })
}

/// What each call makes of what was seen for it.
fn judged<W, S, T>(
    calls: &[Call<W>],
    seen: Result<Vec<Batched<S>>>,
    judge: impl Fn(&Call<W>, S) -> Result<T>,
) -> Vec<Outcome<T>> {
    match seen {
        Ok(seen) => calls
            .iter()
            .zip(seen)
            .map(|(call, seen)| match seen {
                Batched::Answered(seen) => Some(judge(call, seen)),
                Batched::Alone => None,
            })
            .collect(),
        Err(error) => calls.iter().map(|_| of_all(&error)).collect(),
    }
}

/// [`sharing::set_status`] for each of these, as if one after another; the outcomes in their order.
pub fn set_status(rules: &Rules, store: &dyn Store, calls: &[SetStatus]) -> Vec<Outcome<Member>> {
    let asked: Vec<_> = calls.iter().map(|call| call.membership.sight()).collect();
    let sights = match store.sights(&asked) {
        Ok(sights) => sights,
        Err(error) => return calls.iter().map(|_| of_all(&error)).collect(),
    };
    let decided: Vec<Result<(ImageAccess, Cause)>> = calls
        .iter()
        .zip(sights)
        .map(|(SetStatus { membership, permit, .. }, sight)| {
            let cx = membership.context(rules);
            let seen = sharing::answerable(cx, membership.image, &membership.what, sight)?;
            permit.take()?;
            Ok((seen, cx.cause()))
        })
        .collect();
    let changes: Vec<_> = calls
        .iter()
        .zip(&decided)
        .filter_map(|(SetStatus { membership, status, .. }, seen)| {
            let (seen, cause) = seen.as_ref().ok()?;
            Some(StatusChange { seen, member: &membership.what, status: *status, cause })
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

fn written(store: &dyn Store, changes: &[StatusChange<'_>]) -> Vec<Outcome<Member>> {
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
fn of_all<T>(error: &Error) -> Outcome<T> {
    match error {
        Error::Unavailable(source) => Some(Err(Error::Unavailable(source.to_string().into()))),
        _ => None,
    }
}
