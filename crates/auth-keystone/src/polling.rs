//! Asks Keystone now and then what was revoked, so that it need not be waited for until tokens are asked about again.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    backoff,
    known::Known,
    meaning::Told,
    outage::Outage,
    revocation::{Event, Events, Revoked},
    validation::Validator,
    vouched::stamp,
};

/// Keystone's stamps are whole seconds and `since` leaves out its own: so much of what was told is asked for again.
const OVERLAP: TimeDelta = TimeDelta::seconds(2);
/// The same where only our idea of Keystone's clock tells what was seen.
const MARGIN: TimeDelta = TimeDelta::seconds(60);
/// After so many polls in a row without an answer, tokens are trusted for no longer than [`UNTOLD`].
const MISSED: u32 = 3;
const UNTOLD: Duration = Duration::from_secs(60);
/// A poll without an answer is made up for so soon.
const SOON: Duration = Duration::from_secs(2);
/// A Keystone that tells nothing may be told to by an upgrade.
const LATER: Duration = Duration::from_secs(60 * 60);

/// What was told so far.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// From when on to ask, by Keystone's clock.
    since: Option<DateTime<Utc>>,
    /// What the last answer held: the next will hold some of it again.
    told: HashSet<Event>,
    /// What was new and when, on the steady clock: for answers about tokens that were under way then.
    recent: VecDeque<(Duration, Arc<Events>)>,
    missed: u32,
    /// It was said once that Keystone tells nothing.
    said_off: bool,
    polled: Option<Duration>,
}

impl Revocations {
    /// Whether a token asked about at `asked` was revoked while its answer was under way.
    pub(crate) fn hit_meanwhile(&self, known: &Known, asked: Duration) -> bool {
        let state = self.lock();
        state.recent.iter().rev().take_while(|(at, _)| *at >= asked).any(|(_, events)| known.is_hit(events))
    }

    /// When Keystone last told something, on the steady clock.
    pub(crate) fn polled(&self) -> Option<Duration> {
        self.lock().polled
    }

    /// Takes an answer in, and gives what is new in it.
    fn hear(&self, events: Vec<Event>, now: Duration, longest_question: Duration) -> Option<Arc<Events>> {
        let mut state = self.lock();
        let newest = events.iter().filter_map(|event| stamp(event.revoked_at.as_deref()?)).max();
        if let Some(newest) = newest {
            state.since = state.since.max(Some(newest - OVERLAP));
        }
        let new: Vec<_> = events.iter().filter(|event| !state.told.contains(event)).cloned().collect();
        state.told = events.into_iter().collect();
        (!new.is_empty()).then(|| state.keep(Events::new(new), now, longest_question))
    }

    /// More was revoked than can be told: all of it counts as heard.
    fn hear_all(&self, asked: DateTime<Utc>, now: Duration, longest_question: Duration) -> Arc<Events> {
        let mut state = self.lock();
        state.since = Some(asked - MARGIN);
        state.told.clear();
        state.keep(Events::all(), now, longest_question)
    }

    /// No panic can leave the state half written.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep(&mut self, events: Events, now: Duration, longest_question: Duration) -> Arc<Events> {
        self.recent.retain(|(at, _)| *at + longest_question >= now);
        let events = Arc::new(events);
        self.recent.push_back((now, Arc::clone(&events)));
        events
    }
}

impl Validator {
    /// Forgets what is revoked, also what is being asked about now; says how many tokens that were.
    pub(crate) fn forget(&self, revoked: Revoked<'_>) -> usize {
        let events = Events::new([revoked.into()]);
        let events = self.revocations.lock().keep(events, self.time.steady(), self.decision_timeout);
        self.drop_hit(&events)
    }

    fn drop_hit(&self, events: &Events) -> usize {
        let forgotten = self.cache.forget(events);
        self.metrics.revoked.add_many(forgotten);
        forgotten
    }

    /// Asks once, forgets what is revoked, and says when to ask again.
    pub(crate) async fn poll_revocations(&self) -> Duration {
        let usual = self.revocation_poll;
        let usual = backoff::within(usual.mul_f64(0.8)..usual.mul_f64(1.2));
        let told = if self.breaker.is_open() { Err(Outage::Away) } else { self.told().await };
        let now = self.time.steady();
        let mut state = self.revocations.lock();
        match told {
            Ok(Some(status)) => {
                if !std::mem::replace(&mut state.said_off, true) {
                    tracing::info!(
                        status,
                        "Keystone tells no revocations (OS-REVOKE): a revoked token works for up to keystone.token_cache_ttl"
                    );
                }
                state.missed = 0;
                self.cache.limit(None);
                LATER
            }
            Ok(None) => {
                if state.missed >= MISSED {
                    tracing::info!("Keystone tells revocations again");
                }
                (state.missed, state.polled) = (0, Some(now));
                self.cache.limit(None);
                usual
            }
            Err(outage) => {
                state.missed = state.missed.saturating_add(1);
                tracing::debug!(error = %outage, "no word from Keystone about revocations");
                if state.missed == MISSED {
                    tracing::warn!(
                        error = %outage,
                        "no word from Keystone about revocations three times in a row: tokens are trusted for a minute at most"
                    );
                    self.cache.limit(Some(UNTOLD));
                }
                if state.missed < MISSED { SOON.min(usual) } else { usual }
            }
        }
    }

    /// Asks what was revoked, and forgets that. The status, if Keystone does not tell.
    async fn told(&self) -> Result<Option<u16>, Outage> {
        let mut own = self.own.current().await?;
        let asked = self.time.now().ok_or(Outage::Unreadable("the service has not signed in yet"))?;
        let since = self.revocations.lock().since;
        // Nothing in memory was asked about earlier than that.
        let since = since.unwrap_or_else(|| asked - self.oldest_word - MARGIN);
        let mut answer = self.client.revocations(&own.value, since).await;
        if let Ok(Told::OwnTokenRejected) = answer {
            own = self.own.replace(&own).await?;
            answer = self.client.revocations(&own.value, since).await;
        }
        let now = self.time.steady();
        let new = match answer {
            Ok(Told::Events(events)) => self.revocations.hear(events, now, self.decision_timeout),
            Ok(Told::Nothing(status)) => return Ok(Some(status)),
            Ok(Told::OwnTokenRejected) => return Err(Outage::OwnTokenRefused),
            Err(Outage::TooLong) => Some(self.revocations.hear_all(asked, now, self.decision_timeout)),
            Err(outage) => return Err(outage),
        };
        own.was_taken();
        // Kept for answers under way first, then held against memory: nothing slips through between.
        if let Some(events) = new {
            let forgotten = self.drop_hit(&events);
            tracing::debug!(forgotten, "tokens were revoked");
        }
        Ok(None)
    }
}
