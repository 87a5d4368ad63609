#![doc = include_str!("../README.md")]

// The checks that `fuzz/` shares call this crate by its name.
#[cfg(test)]
extern crate self as auth_keystone;

mod access_rules;
mod admission;
mod backoff;
mod breaker;
mod cache;
mod client;
mod clock;
mod config;
mod flight;
mod format;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod jws;
mod known;
mod meaning;
mod metrics;
mod outage;
mod own_token;
mod path_pattern;
mod polling;
mod queue;
#[cfg(test)]
mod replay;
mod revocation;
mod secret;
mod seldom;
mod token;
mod validation;
mod vouched;

use std::{
    future::ready,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use core_domain::tokens::{Shown, Tokens, Validation};
use tokio::time::sleep;

pub use crate::{
    clock::{Clock, SystemClock},
    config::{Administrators, Config, Invalid, JwsAlgorithm},
    format::Formats,
    metrics::{Figures, Histogram, LATENCY_BOUNDS},
    revocation::Revoked,
    secret::Secret,
};
use crate::{
    known::End,
    validation::{Refusal, Validator},
};

/// Keystone, as the one who vouches for callers. Clones share everything.
#[derive(Clone, Debug)]
pub struct Keystone {
    validator: Arc<Validator>,
}

/// The longest [`Keystone::keep_signed_in`] sleeps: a machine that was suspended should notice soon.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// The shortest, so that it never spins.
const SHORTEST_SLEEP: Duration = Duration::from_millis(50);

impl Keystone {
    /// Prepares everything and asks nothing yet.
    ///
    /// # Errors
    /// The key of the configuration that cannot be used: see [`Config::check`]; and the folder with public keys.
    pub fn new(config: &Config) -> Result<Self, Invalid> {
        Self::with_clock(config, Arc::new(SystemClock::default()))
    }

    /// The same, by another clock.
    ///
    /// # Errors
    /// As [`Keystone::new`].
    pub fn with_clock(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Invalid> {
        config.check()?;
        Ok(Self { validator: Arc::new(Validator::new(config, clock)?) })
    }

    /// Signs the service in, again and again until Keystone lets it, and renews its token before it ends. Never
    /// returns: run it as a task for as long as the service runs, and it is ready before its first caller.
    pub fn keep_signed_in(&self) -> impl Future<Output = ()> + Send + 'static {
        let validator = Arc::clone(&self.validator);
        async move {
            loop {
                let wait = validator.own.tend().await;
                sleep(wait.clamp(SHORTEST_SLEEP, LONGEST_SLEEP)).await;
            }
        }
    }

    /// Asks Keystone every `keystone.revocation_poll` what was revoked, and forgets that. Run it as a task for as
    /// long as the service runs.
    pub fn follow_revocations(&self) -> impl Future<Output = ()> + Send + 'static {
        let validator = Arc::clone(&self.validator);
        async move {
            if validator.revocation_poll.is_zero() {
                return;
            }
            let mut wait = validator.revocation_poll;
            loop {
                sleep(wait).await;
                wait = validator.poll_revocations().await;
            }
        }
    }

    /// Forgets good tokens that are known to be revoked, and says how many: for those who know it before Keystone tells.
    pub fn forget(&self, revoked: Revoked<'_>) -> usize {
        self.validator.forget(revoked)
    }

    /// What there is to see now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.validator.figures()
    }
}

impl Tokens for Keystone {
    fn validate<'a>(&'a self, shown: Shown<'a>) -> Validation<'a> {
        let validator = &self.validator;
        if let Some(service_token) = shown.service_token {
            return Box::pin(async move { Ok(validator.admit_for_service(service_token, &shown).await?) });
        }
        let Some(subject) = validator.subject(shown.token, End::Counts) else {
            return Box::pin(ready(Err(Refusal::Rejected.into())));
        };
        match validator.admit_from_memory(&subject, &shown) {
            Some(admission) => Box::pin(ready(admission.map_err(Into::into))),
            None => Box::pin(async move { Ok(validator.admit(&subject, &shown).await?) }),
        }
    }

    fn is_ready(&self) -> bool {
        self.validator.metrics.has_answered.load(Relaxed)
    }
}
