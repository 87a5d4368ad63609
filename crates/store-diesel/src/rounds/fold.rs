//! Changes of one membership within a round, folded into one: a statement changes a row once, whoever asks how often.

use std::collections::HashMap;

use chrono::NaiveDateTime;
use core_domain::{
    image::{ImageAccess, ImageId},
    member::{Member, MemberStatus},
    project::ProjectId,
    store::StatusChange,
};

use crate::{
    error::{Fault, read},
    images::kept,
};

/// The changes of one membership, decided on the same sight of its image, in their order.
pub(super) struct Fold<'a> {
    pub(super) seen: &'a ImageAccess,
    pub(super) member: &'a ProjectId,
    /// The place of each in the round, what it sets, and when.
    steps: Vec<(usize, MemberStatus, NaiveDateTime)>,
}

/// Folds a round. Of two changes of one membership that saw different images, the later is left out: it goes alone.
pub(super) fn fold<'a>(changes: &[StatusChange<'a>]) -> Vec<Fold<'a>> {
    let mut folds: Vec<Fold<'a>> = Vec::with_capacity(changes.len());
    let mut places: HashMap<(ImageId, &ProjectId), usize> = HashMap::with_capacity(changes.len());
    for (place, change) in changes.iter().enumerate() {
        let step = (place, change.status, kept(change.now));
        let first = *places.entry((change.seen.id, change.member)).or_insert(folds.len());
        match folds.get_mut(first) {
            None => folds.push(Fold { seen: change.seen, member: change.member, steps: vec![step] }),
            Some(fold) if fold.seen == change.seen => fold.steps.push(step),
            Some(_) => {}
        }
    }
    folds
}

impl Fold<'_> {
    /// What the membership is in the end.
    pub(super) fn last_status(&self) -> MemberStatus {
        self.steps.last().map_or(MemberStatus::Pending, |(_, status, _)| *status)
    }

    /// Whether it changes whatever it was before.
    pub(super) fn is_certain(&self) -> bool {
        self.steps.iter().any(|(_, status, _)| *status != self.last_status())
    }

    /// When it last changed: at its last step that set another status than the one before, else at its first, if that
    /// changed anything.
    pub(super) fn time(&self) -> NaiveDateTime {
        let changing = self.steps.windows(2).rev().find(|pair| pair[0].1 != pair[1].1).map(|pair| &pair[1]);
        changing.or(self.steps.first()).map_or(NaiveDateTime::MIN, |(_, _, time)| *time)
    }

    /// What each step answers, by its place in the round, from what the membership was before.
    pub(super) fn answers(
        &self,
        old: &str,
        old_time: NaiveDateTime,
        made: NaiveDateTime,
    ) -> Result<Vec<(usize, Member)>, Fault> {
        let mut now = (read(old.parse::<MemberStatus>())?, old_time);
        let answer = |(place, status, time): &(usize, MemberStatus, NaiveDateTime)| {
            if now.0 != *status {
                now = (*status, *time);
            }
            let member = Member {
                image: self.seen.id,
                project: self.member.clone(),
                status: now.0,
                created_at: made.and_utc(),
                updated_at: now.1.and_utc(),
            };
            (*place, member)
        };
        Ok(self.steps.iter().map(answer).collect())
    }
}
