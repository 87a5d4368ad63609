//! Sharing: the five calls on an image's members.
//!
//! Every use case decides in one order (sharing API, section 2): *see* the image, else it is not there; *fit* the call
//! to it: only shared images have members; *may* the caller, by policy; then *do*.

use chrono::{DateTime, Utc};

use crate::{
    caller::{Context, PrivateImages},
    error::{Conflict, Denied, Error, Missing, Result},
    event::{Event, Reason},
    image::{Image, ImageAccess, ImageId, Visibility},
    limits,
    member::{Member, MemberStatus},
    policy::Action,
    project::ProjectId,
    store::{HistoryPage, MembersPage, Roll, Sight, Store, retry},
    visibility::{seen, seen_image, unseen},
};

/// Shares an image with a project: a new membership, pending. A private image becomes shared by it, and its former members
/// are members no more: an owner that took an image back does not give it out again by sharing it with one project.
///
/// # Errors
/// Unseen image; not the owner's side, or the image cannot have members; a member already; too many members.
pub fn add(cx: Context<'_>, store: &dyn Store, image: ImageId, project: &ProjectId) -> Result<Member> {
    store.write(image, &cx.cause(), |tx| {
        let maximum = cx.rules.limits.members_per_image;
        let sharing = tx.sharing(cx.viewer(), project, maximum)?.ok_or_else(|| unseen(image))?;
        let record = seen_image(cx, image, Some(sharing.found))?;
        let access = record.access();
        match (access.visibility, cx.rules.private_images) {
            (Visibility::Shared, _) | (Visibility::Private, PrivateImages::Share) => {}
            (Visibility::Public | Visibility::Community, _)
            | (Visibility::Private, PrivateImages::Forbid) => {
                return Err(Error::Denied(Denied::NotShared));
            }
        }
        cx.may(Action::AddMember, &access, Some(project))?;
        let begins_anew = access.visibility == Visibility::Private;
        if sharing.is_shared_already && !begins_anew {
            return Err(Error::Conflict(Conflict::Member(image, project.clone())));
        }
        let before = if begins_anew { 0 } else { sharing.members };
        limits::keep("image members", before.saturating_add(1), maximum)?;
        if begins_anew {
            tx.end_members(Reason::Reshared)?;
            let shared = Image { visibility: Visibility::Shared, updated_at: cx.now, ..record };
            tx.update_image(&shared)?;
        }
        let member = Member::offered(image, project.clone(), cx.now);
        tx.insert_member(&member)?;
        Ok(member)
    })
}

/// The members of an image that the caller sees: all for its owner and for admins, its own membership otherwise.
/// `limit` and `marker`, a member's project, make a page of it; the second answer says whether more follow. A page has at
/// most [`limits::MEMBERS_PAGE`] members.
///
/// `made` says when the marker's membership was made, if the caller knows: then that membership may be gone meanwhile. It
/// gives no right, it only chooses where the list of what the caller may see starts.
///
/// # Errors
/// Unseen image; an image that is neither shared nor private and the caller's to manage; no `get_members`; a marker that is not on the list.
pub fn list(
    cx: Context<'_>,
    store: &dyn Store,
    image: ImageId,
    limit: Option<usize>,
    marker: Option<&ProjectId>,
    made: Option<DateTime<Utc>>,
) -> Result<(Vec<Member>, bool)> {
    let after = match (marker, made) {
        (None, _) => None,
        (Some(marker), Some(made)) => Some((made, marker.clone())),
        (Some(marker), None) => {
            let sight =
                store.sight(image, cx.caller.project.as_ref(), marker)?.ok_or_else(|| unseen(image))?;
            may_list(cx, image, &sight.image, sight.is_member)?;
            let listed = sight.member.filter(|_| knows_row(cx, &sight.image, marker));
            let row = listed.ok_or_else(|| {
                Error::invalid(format!("The marker {marker} is not a member of the image that you can see."))
            })?;
            Some((row.created_at, row.project))
        }
    };
    let limit = limit.unwrap_or(usize::MAX).min(limits::MEMBERS_PAGE);
    let page = MembersPage { after, limit: Some(limit + 1) };
    let mut members = listed(cx, image, store.members(image, cx.viewer(), &page)?)?;
    let more = members.len() > limit;
    members.truncate(limit);
    Ok((members, more))
}

/// What [`list`] makes of the members it saw.
pub(crate) fn listed(cx: Context<'_>, image: ImageId, roll: Option<Roll>) -> Result<Vec<Member>> {
    let roll = roll.ok_or_else(|| unseen(image))?;
    may_list(cx, image, &roll.image, roll.is_member)?;
    Ok(roll.members)
}

fn may_list(cx: Context<'_>, image: ImageId, access: &ImageAccess, is_member: bool) -> Result<()> {
    seen(cx, image, Some(access), is_member)?;
    must_be_kept(cx, access)?;
    // Whoever is neither owner nor admin sees its own row only, and is asked about that one, if it has one.
    cx.may(Action::GetMembers, access, cx.caller.project.as_ref().filter(|_| is_member))
}

/// One membership.
///
/// # Errors
/// Every refusal is [`Error::NotFound`] (API v2.2, members: show).
pub fn show(cx: Context<'_>, store: &dyn Store, image: ImageId, project: &ProjectId) -> Result<Member> {
    shown(cx, image, project, store.sight(image, cx.caller.project.as_ref(), project)?)
}

/// What [`show`] makes of what it saw.
pub(crate) fn shown(
    cx: Context<'_>,
    image: ImageId,
    project: &ProjectId,
    sight: Option<Sight>,
) -> Result<Member> {
    let sight = sight.ok_or_else(|| unseen(image))?;
    seen(cx, image, Some(&sight.image), sight.is_member)?;
    let missing = || Error::NotFound(Missing::Member(image, project.clone()));
    if must_be_shared(&sight.image).is_err() {
        return Err(missing());
    }
    let member = sight.member.filter(|_| knows_row(cx, &sight.image, project)).ok_or_else(missing)?;
    cx.may(Action::GetMember, &sight.image, Some(project)).map_err(|_| missing())?;
    Ok(member)
}

/// Sets what a project makes of an offer. Every change is allowed, back to pending too; setting what is set already
/// leaves `updated_at` alone.
///
/// # Errors
/// Unseen image; an image that is not shared; a membership that is not there or that the caller may not know of; a
/// caller that may know of it but not answer for it.
pub fn set_status(
    cx: Context<'_>,
    store: &dyn Store,
    image: ImageId,
    project: &ProjectId,
    status: MemberStatus,
) -> Result<Member> {
    retry(|| {
        let sight = store.sight(image, cx.caller.project.as_ref(), project)?;
        let access = answerable(cx, image, project, sight)?;
        store.set_status(&access, project, status, &cx.cause())
    })
}

/// Whether [`set_status`] may go on, from what it saw: the image as it must still be then.
pub(crate) fn answerable(
    cx: Context<'_>,
    image: ImageId,
    project: &ProjectId,
    sight: Option<Sight>,
) -> Result<ImageAccess> {
    let sight = sight.ok_or_else(|| unseen(image))?;
    seen(cx, image, Some(&sight.image), sight.is_member)?;
    must_be_shared(&sight.image)?;
    let access = &sight.image;
    let own = cx.caller.is_in(Some(project));
    if access.owner.is_none() && !own && !cx.is_admin() {
        return Err(Error::Denied(Denied::NoOwner(project.clone())));
    }
    // The owner's side is refused whether or not there is such a member: its own list tells it that.
    if !own && !cx.is_admin() && cx.caller.is_in(access.owner.as_ref()) {
        cx.may(Action::ModifyMember, access, Some(project))
            .map_err(|_| Error::Denied(Denied::OwnerAnswers(project.clone())))?;
    }
    if sight.member.is_none() || !knows_row(cx, access, project) {
        return Err(Error::NotFound(Missing::Member(image, project.clone())));
    }
    cx.may(Action::ModifyMember, access, Some(project))?;
    Ok(sight.image)
}

/// Takes a project's membership away. When this has answered, no later read by that project succeeds by it.
///
/// # Errors
/// Unseen image; an image that is neither shared nor private; not the owner's side; no such membership.
pub fn remove(cx: Context<'_>, store: &dyn Store, image: ImageId, project: &ProjectId) -> Result<()> {
    retry(|| {
        let sight = store.sight(image, cx.caller.project.as_ref(), project)?.ok_or_else(|| unseen(image))?;
        seen(cx, image, Some(&sight.image), sight.is_member)?;
        must_be_kept(cx, &sight.image)?;
        cx.may(Action::DeleteMember, &sight.image, Some(project))?;
        if sight.member.is_none() {
            return Err(Error::NotFound(Missing::Member(image, project.clone())));
        }
        Ok(store.delete_member(&sight.image, project, &cx.cause())?.then_some(()))
    })
}

/// What happened to a project's membership, oldest first, also before it was taken away and made anew; the second answer
/// says whether more follow. A page is as long as one of images, and at most [`limits::HISTORY_PAGE`]. For the owner, the member
/// and admins; an admin may ask about an image that is gone. The owner's begins when the image became its own: what happened
/// before was between others.
///
/// # Errors
/// As of [`show`], for which a membership that is gone is one that is there if anything is known of it.
pub fn history(
    cx: Context<'_>,
    store: &dyn Store,
    image: ImageId,
    project: &ProjectId,
    after: Option<i64>,
    limit: Option<usize>,
) -> Result<(Vec<Event>, bool)> {
    let limit = limit.unwrap_or(cx.rules.limits.page_default).min(cx.rules.limits.page_max);
    let limit = limit.min(limits::HISTORY_PAGE);
    let missing = || Error::NotFound(Missing::Member(image, project.clone()));
    let (is_member, owner) = match store.sight(image, cx.caller.project.as_ref(), project)? {
        Some(sight) => {
            seen(cx, image, Some(&sight.image), sight.is_member)?;
            if !knows_row(cx, &sight.image, project) {
                return Err(missing());
            }
            cx.may(Action::GetMember, &sight.image, Some(project)).map_err(|_| missing())?;
            let sees_all = cx.is_admin() || cx.caller.is_in(Some(project));
            (sight.member.is_some(), sight.image.owner.filter(|_| !sees_all))
        }
        None if cx.is_admin() => (false, None),
        None => return Err(unseen(image)),
    };
    let page = HistoryPage { after, owner: owner.as_ref(), limit: limit.saturating_add(1) };
    let mut events = store.history(image, project, page)?;
    if events.is_empty() && after.is_none() && !is_member {
        return Err(missing());
    }
    let more = events.len() > limit;
    events.truncate(limit);
    Ok((events, more))
}

/// Whether the caller may know of this project's membership: the owner and admins of all, others of their own.
fn knows_row(cx: Context<'_>, image: &ImageAccess, project: &ProjectId) -> bool {
    cx.is_admin() || cx.caller.is_in(image.owner.as_ref()) || cx.caller.is_in(Some(project))
}

/// Whether the image has memberships for this caller to list and to remove: a shared image has; a private one keeps those
/// it had, for its owner and admins only.
fn must_be_kept(cx: Context<'_>, image: &ImageAccess) -> Result<()> {
    let keeps = cx.is_admin() || cx.caller.is_in(image.owner.as_ref());
    if image.visibility == Visibility::Private && keeps { Ok(()) } else { must_be_shared(image) }
}

fn must_be_shared(image: &ImageAccess) -> Result<()> {
    match image.visibility {
        Visibility::Shared => Ok(()),
        Visibility::Public | Visibility::Community | Visibility::Private => {
            Err(Error::Denied(Denied::NotShared))
        }
    }
}
