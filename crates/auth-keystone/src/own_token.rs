//! The service's own token: got before it is needed, renewed before it ends, replaced when Keystone rejects it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use core_domain::project::UserId;
use reqwest::header::HeaderValue;
use tokio::time::sleep;

use crate::{
    backoff,
    client::{Client, SignedIn},
    clock::KeystoneTime,
    flight::Flights,
    metrics::Metrics,
    outage::Outage,
};

/// Renewal comes this long before the end, or a fifth of the token's life if that is shorter.
const LONGEST_LEAD: Duration = Duration::from_secs(120);
/// Keystone revokes by the second, including the tokens it issues within that second: a new token that is rejected
/// at once may be good a second later, but only another one.
const REVOCATION_STEP: Duration = Duration::from_secs(1);
/// Roles with which Keystone's own policy lets a user validate others' tokens.
const VALIDATING_ROLES: [&str; 2] = ["service", "admin"];

/// A token of the service itself. Times are on the steady clock.
#[derive(Debug)]
pub(crate) struct ServiceToken {
    pub(crate) value: HeaderValue,
    pub(crate) user: UserId,
    generation: u64,
    obtained: Duration,
    renew_at: Duration,
    ends: Duration,
    /// Its roles, or Keystone's answer to an earlier question, say that it may validate.
    may_validate: AtomicBool,
    /// Keystone has taken it at least once.
    taken: AtomicBool,
    /// How many tokens in a row just before this one were never taken.
    untaken_before: u32,
}

impl ServiceToken {
    pub(crate) fn may_validate(&self) -> bool {
        self.may_validate.load(Relaxed)
    }

    /// Keystone has answered a question asked with this token.
    pub(crate) fn was_taken(&self) {
        self.taken.store(true, Relaxed);
    }

    /// Keystone has told us about somebody else.
    pub(crate) fn has_validated(&self) {
        self.may_validate.store(true, Relaxed);
    }
}

type Renewal = Result<Arc<ServiceToken>, Outage>;

/// Holds the token and sees to the next one.
#[derive(Debug)]
pub(crate) struct OwnToken {
    client: Arc<Client>,
    time: Arc<KeystoneTime>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// By the generation they replace: there is one sign-in at a time.
    renewals: Flights<u64, Renewal>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Arc<ServiceToken>>,
    failures: u32,
    /// The next sign-in is not before, and why.
    pause: Option<(Duration, Arc<Outage>)>,
}

impl State {
    fn generation(&self) -> u64 {
        self.token.as_ref().map_or(0, |token| token.generation)
    }
}

impl OwnToken {
    pub(crate) fn new(client: Arc<Client>, time: Arc<KeystoneTime>, metrics: Arc<Metrics>) -> Self {
        Self { client, time, metrics, state: Mutex::default(), renewals: Flights::new() }
    }

    /// A token to ask with. Waits only if there is none; one that is soon to end is renewed behind the caller's back.
    pub(crate) async fn current(self: &Arc<Self>) -> Renewal {
        let now = self.time.steady();
        let (token, generation, paused) = {
            let state = self.lock();
            (
                state.token.clone(),
                state.generation(),
                state.pause.as_ref().is_some_and(|(until, _)| now < *until),
            )
        };
        match token {
            Some(token) if now < token.ends => {
                if now >= token.renew_at && !paused {
                    drop(self.start_renewal(generation));
                }
                Ok(token)
            }
            _ => self.renew(generation).await,
        }
    }

    /// Another token than this one, which Keystone has just rejected.
    ///
    /// # Errors
    /// Signing in failed, or too many tokens in a row were rejected as soon as they were made.
    pub(crate) async fn replace(self: &Arc<Self>, rejected: &ServiceToken) -> Renewal {
        if let Some(newer) = self.lock().token.clone().filter(|token| token.generation > rejected.generation)
        {
            return Ok(newer);
        }
        if !rejected.taken.load(Relaxed) {
            let pause = match rejected.untaken_before {
                0 => REVOCATION_STEP,
                more => backoff::after_refusal(more),
            };
            let wait = (rejected.obtained + pause).saturating_sub(self.time.steady());
            if rejected.untaken_before > 0 && !wait.is_zero() {
                return Err(Outage::Waiting { wait, reason: Arc::new(Outage::OwnTokenRefused) });
            }
            sleep(wait).await;
        }
        self.renew(rejected.generation).await
    }

    /// Renews the token if that is due, and says when to look again.
    pub(crate) async fn tend(self: &Arc<Self>) -> Duration {
        let now = self.time.steady();
        let (due, generation) = {
            let state = self.lock();
            let due = state.token.as_ref().map_or(Duration::ZERO, |token| token.renew_at);
            let paused = state.pause.as_ref().map_or(Duration::ZERO, |(until, _)| *until);
            (due.max(paused), state.generation())
        };
        if now < due {
            return due - now;
        }
        // Success or failure is in the state now.
        let _ = self.renew(generation).await;
        Duration::ZERO
    }

    /// Keystone is back: there is no reason left to wait before signing in, unless it was the credential.
    pub(crate) fn hurry(&self) {
        let mut state = self.lock();
        if state.pause.as_ref().is_some_and(|(_, reason)| reason.is_keystones()) {
            state.failures = 0;
            state.pause = None;
        }
    }

    /// How long the token remains good; `None` without one.
    pub(crate) fn left(&self) -> Option<Duration> {
        let token = self.lock().token.clone()?;
        Some(token.ends.saturating_sub(self.time.steady()))
    }

    async fn renew(self: &Arc<Self>, generation: u64) -> Renewal {
        self.start_renewal(generation).answer().await.unwrap_or(Err(Outage::GivenUp))
    }

    fn start_renewal(self: &Arc<Self>, generation: u64) -> crate::flight::Seat<Renewal> {
        self.renewals.join(generation, || {
            let own = Arc::clone(self);
            async move { own.sign_in(generation).await }
        })
    }

    /// Signs in, unless somebody else has replaced this generation meanwhile or the last failure is too fresh.
    async fn sign_in(&self, generation: u64) -> Renewal {
        let now = self.time.steady();
        {
            let state = self.lock();
            if let Some(newer) = state.token.as_ref().filter(|token| token.generation > generation) {
                return Ok(Arc::clone(newer));
            }
            if let Some((until, reason)) = state.pause.as_ref().filter(|(until, _)| now < *until) {
                return Err(Outage::Waiting { wait: *until - now, reason: Arc::clone(reason) });
            }
        }
        match self.client.sign_in().await.and_then(|signed_in| self.token(signed_in, now)) {
            Ok(token) => {
                self.metrics.sign_ins.add();
                self.metrics.has_answered.store(true, Relaxed);
                Ok(token)
            }
            Err(outage) => {
                self.metrics.failed_sign_ins.add();
                self.pause(&outage);
                Err(outage)
            }
        }
    }

    /// Puts a new token in place. `sent` is on the steady clock.
    fn token(&self, signed_in: SignedIn, sent: Duration) -> Renewal {
        let SignedIn { value, described } = signed_in;
        // Its life is a difference of Keystone's own stamps, so that no other clock matters.
        let issued_at = described.marks.issued_at.ok_or(Outage::Unreadable("the token has no issued_at"))?;
        let life = (described.marks.expires_at - issued_at)
            .to_std()
            .ok()
            .filter(|life| !life.is_zero())
            .ok_or(Outage::Unreadable("the service's own token ends before it begins"))?;
        self.time.learn(issued_at, sent);
        let lead = LONGEST_LEAD.min(life / 5);
        let may_validate = VALIDATING_ROLES.iter().any(|role| described.caller.has_role(role));
        if !may_validate {
            tracing::warn!("the service's own user has neither the role service nor admin in its project");
        }
        let mut state = self.lock();
        let untaken_before = match &state.token {
            Some(old) if !old.taken.load(Relaxed) => old.untaken_before + 1,
            _ => 0,
        };
        let token = Arc::new(ServiceToken {
            value,
            user: described.caller.user,
            generation: state.generation() + 1,
            obtained: self.time.steady(),
            renew_at: sent + life - lead - backoff::within(Duration::ZERO..lead / 10),
            // Issued after sending, but the stamp is cut to whole seconds.
            ends: (sent + life).saturating_sub(Duration::from_secs(1)),
            may_validate: AtomicBool::new(may_validate),
            taken: AtomicBool::new(false),
            untaken_before,
        });
        *state = State { token: Some(Arc::clone(&token)), failures: 0, pause: None };
        drop(state);
        tracing::info!(life = life.as_secs(), "signed in to Keystone");
        Ok(token)
    }

    /// Notes a failed sign-in, so that the next is not too soon.
    fn pause(&self, outage: &Outage) {
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        let wait = if outage.is_misconfiguration() {
            backoff::after_refusal(state.failures)
        } else {
            backoff::after_failure(state.failures)
        };
        state.pause = Some((self.time.steady() + wait, Arc::new(outage.clone())));
        drop(state);
        tracing::warn!(error = %outage, again_in = ?wait, "cannot sign in to Keystone");
    }

    /// No panic can leave the state half written.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
