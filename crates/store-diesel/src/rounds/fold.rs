//! Changes of one membership within a round, folded into one: a statement changes a row once, whoever asks how often.

use std::collections::HashMap;

use core_domain::{image::ImageId, project::ProjectId, store::StatusChange};

/// Changes that set one membership to the same status, decided on the same sight of its image.
pub(super) struct Fold<'a> {
    /// The first of them: those after it change nothing.
    pub(super) change: StatusChange<'a>,
    /// The place of each in the round.
    pub(super) places: Vec<usize>,
}

/// Folds a round. Of two changes of one membership that saw different images or want different statuses, the later is
/// left out: it goes alone.
pub(super) fn fold<'a>(changes: &[StatusChange<'a>]) -> Vec<Fold<'a>> {
    let mut folds: Vec<Fold<'a>> = Vec::with_capacity(changes.len());
    let mut numbers: HashMap<(ImageId, &ProjectId), usize> = HashMap::with_capacity(changes.len());
    for (place, change) in changes.iter().enumerate() {
        let number = *numbers.entry((change.seen.id, change.member)).or_insert(folds.len());
        match folds.get_mut(number) {
            None => folds.push(Fold { change: *change, places: vec![place] }),
            Some(Fold { change: first, places })
                if first.seen == change.seen && first.status == change.status =>
            {
                places.push(place);
            }
            Some(_) => {}
        }
    }
    folds
}
