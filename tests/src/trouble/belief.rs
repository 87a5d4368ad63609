//! What a client knows of one membership, from what it was told, and what it cannot know.

use std::collections::BTreeSet;

/// How a membership stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// There is none.
    Absent,
    /// Offered.
    Pending,
    /// Taken.
    Accepted,
    /// Refused.
    Rejected,
}

impl State {
    /// By the API's word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Pending, Self::Accepted, Self::Rejected].into_iter().find(|state| state.word() == word)
    }

    /// The API's word; of an absent one there is none.
    pub fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
        }
    }
}

/// What is done to a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// By the owner.
    Add,
    /// By the owner.
    Remove,
    /// By the member.
    Set(State),
}

impl Change {
    fn made(self, before: State) -> State {
        match (self, before) {
            (Self::Add, State::Absent) => State::Pending,
            (Self::Remove, _) => State::Absent,
            (Self::Set(state), State::Pending | State::Accepted | State::Rejected) => state,
            (Self::Add, other) | (Self::Set(_), other) => other,
        }
    }
}

/// The states in which a membership may be that nobody else changes. A change whose answer was lost may have been made,
/// or may still be.
#[derive(Clone, Debug)]
pub struct Belief {
    states: BTreeSet<State>,
    unanswered: BTreeSet<Change>,
}

impl Default for Belief {
    /// Of a membership that was never added.
    fn default() -> Self {
        Self { states: BTreeSet::from([State::Absent]), unanswered: BTreeSet::new() }
    }
}

impl Belief {
    /// Every state that does not contradict what was told.
    pub fn possible(&self) -> BTreeSet<State> {
        let mut possible = self.states.clone();
        loop {
            let more: BTreeSet<State> = self
                .unanswered
                .iter()
                .flat_map(|change| possible.iter().map(|state| change.made(*state)))
                .filter(|state| !possible.contains(state))
                .collect();
            if more.is_empty() {
                return possible;
            }
            possible.extend(more);
        }
    }

    /// Whether every answer has come.
    pub fn is_certain(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// The answer to this change was lost, or left it open.
    pub fn lost(&mut self, change: Change) {
        self.unanswered.insert(change);
    }

    /// The membership was seen in this state.
    ///
    /// # Errors
    /// What contradicts what was told before.
    pub fn saw(&mut self, state: State) -> Result<(), String> {
        self.known("it is", |known| known == state, Some(state))
    }

    /// This change was answered with this status.
    ///
    /// # Errors
    /// What contradicts what was told before, or is no answer at all.
    pub fn told(&mut self, change: Change, status: u16) -> Result<(), String> {
        let absent = |state| state == State::Absent;
        let present = |state| state != State::Absent;
        match (change, status) {
            (Change::Add, 200) => self.known("added to nothing", absent, Some(State::Pending)),
            (Change::Add, 409) => self.known("there was one", present, None),
            (Change::Remove, 204) => self.known("removed one", present, Some(State::Absent)),
            (Change::Remove | Change::Set(_), 404) => {
                self.known("there was none", absent, Some(State::Absent))
            }
            (Change::Set(state), 200) => self.known("answered an offer", present, Some(state)),
            (change, status) => Err(format!("{change:?} was answered {status}")),
        }
    }

    /// Before, a state that `fits`; since then `after`, or what fits.
    fn known(
        &mut self,
        what: &str,
        fits: impl Fn(State) -> bool,
        after: Option<State>,
    ) -> Result<(), String> {
        let possible = self.possible();
        let fitting: BTreeSet<State> = possible.iter().copied().filter(|state| fits(*state)).collect();
        if fitting.is_empty() {
            return Err(format!("{what}, {after:?}: but it could only be {possible:?}"));
        }
        self.states = after.map_or(fitting, |state| BTreeSet::from([state]));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_must_be_there() {
        let mut belief = Belief::default();
        assert!(belief.told(Change::Add, 200).is_ok());
        assert!(belief.saw(State::Pending).is_ok());
        assert!(belief.clone().saw(State::Absent).is_err());
        assert!(belief.clone().told(Change::Remove, 404).is_err());
        assert!(belief.told(Change::Set(State::Accepted), 200).is_ok());
        assert!(belief.saw(State::Pending).is_err());
        assert!(belief.told(Change::Add, 500).is_err());
    }

    #[test]
    fn a_change_without_an_answer_may_be_made_at_any_time_and_nothing_else() {
        let mut belief = Belief::default();
        belief.told(Change::Add, 200).expect("an addition");
        belief.lost(Change::Set(State::Accepted));
        assert!(belief.clone().saw(State::Pending).is_ok(), "it may not have been made yet");
        for _ in 0..2 {
            assert!(belief.saw(State::Accepted).is_ok());
        }
        assert!(belief.clone().saw(State::Pending).is_err(), "nothing takes it back");
        assert!(belief.clone().saw(State::Absent).is_err());
        belief.told(Change::Set(State::Rejected), 200).expect("a refusal");
        assert_eq!(belief.possible(), BTreeSet::from([State::Rejected, State::Accepted]));
    }
}
