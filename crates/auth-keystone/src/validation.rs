//! One validation, from what is remembered to what Keystone says.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use core_domain::{caller::Caller, tokens::TokenError};
use reqwest::header::HeaderValue;
use tokio::time::timeout;

use crate::{
    cache::{Digest, Memory, TokenCache},
    client::{Client, Meaning},
    clock::{Clock, KeystoneTime},
    config::{Config, Invalid},
    flight::Flights,
    jws::{Jws, Look},
    metrics::{Figures, Latency, Metrics},
    outage::Outage,
    own_token::{OwnToken, ServiceToken},
    token::{self, Vouched},
};

/// How often our own token may be replaced for one validation: once since it may have been revoked, and once more
/// since the new one may be caught in the very second of that revocation.
const REPLACEMENTS: u32 = 2;

/// A misconfiguration is logged again after so many seconds.
const COMPLAIN_AGAIN: u64 = 10;

/// Why a token is not accepted; shared by all who waited for it.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// It is not good: decided.
    Rejected,
    /// It could not be decided.
    Undecided(Outage),
}

impl From<Outage> for Refusal {
    fn from(outage: Outage) -> Self {
        Self::Undecided(outage)
    }
}

impl From<Refusal> for TokenError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Rejected => Self::Rejected,
            Refusal::Undecided(outage) => Self::Unavailable(Box::new(outage)),
        }
    }
}

type Decision = Result<Arc<Caller>, Refusal>;

/// All that takes part.
#[derive(Debug)]
pub(crate) struct Validator {
    pub(crate) cache: TokenCache,
    pub(crate) own: Arc<OwnToken>,
    pub(crate) metrics: Arc<Metrics>,
    client: Arc<Client>,
    time: Arc<KeystoneTime>,
    jws: Option<Jws>,
    flights: Flights<Digest, Decision>,
    longest_token: usize,
    decision_timeout: Duration,
    /// When a misconfiguration was last logged, in seconds on the steady clock, from 1 on.
    complained: AtomicU64,
}

impl Validator {
    pub(crate) fn new(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Invalid> {
        let time = Arc::new(KeystoneTime::new(clock));
        let metrics = Arc::new(Metrics::default());
        let client = Arc::new(Client::new(config)?);
        let jws = match &config.jws_public_keys {
            Some(folder) => Some(Jws::new(folder, &config.jws_algorithms, config.jws_leeway, time.steady())?),
            None => None,
        };
        let cache = TokenCache::new(
            (config.token_cache_entries, config.token_cache_ttl),
            (config.rejected_cache_entries, config.rejected_cache_ttl),
        )
        .map_err(|_| Invalid::new("keystone", "the system gives no random numbers"))?;
        Ok(Self {
            cache,
            own: Arc::new(OwnToken::new(Arc::clone(&client), Arc::clone(&time), Arc::clone(&metrics))),
            metrics,
            client,
            time,
            jws,
            flights: Flights::new(),
            longest_token: config.token_max_length,
            decision_timeout: config.decision_timeout,
            complained: AtomicU64::new(0),
        })
    }

    /// The one spelling of a token, or `None` (and counted) if it cannot be one.
    pub(crate) fn canonical<'a>(&self, given: &'a str) -> Option<&'a str> {
        let token = token::canonical(given, self.longest_token);
        if token.is_none() {
            self.metrics.malformed.add();
        }
        token
    }

    /// What is remembered, counted.
    pub(crate) fn recall(&self, digest: &Digest) -> Memory {
        let memory = self.cache.recall(digest, &self.time);
        match memory {
            Memory::Good(_) => self.metrics.hits.add(),
            Memory::Bad => self.metrics.negative_hits.add(),
            Memory::Nothing => self.metrics.misses.add(),
        }
        memory
    }

    /// Finds out about a canonical token that is not remembered, or waits for whoever is at it.
    pub(crate) async fn ask(self: &Arc<Self>, token: &str, digest: Digest, request: &str) -> Decision {
        // What cannot stand in a header was refused as malformed.
        let Ok(mut subject) = HeaderValue::from_str(token) else { return Err(Refusal::Rejected) };
        subject.set_sensitive(true);
        let seat = self.flights.join(digest, || {
            let validator = Arc::clone(self);
            let request = request.to_owned();
            async move { validator.decide(digest, subject, &request).await }
        });
        if seat.shared {
            self.metrics.coalesced.add();
        }
        seat.answer().await.unwrap_or(Err(Refusal::Undecided(Outage::GivenUp)))
    }

    /// Decides within the time there is, and remembers what was decided.
    async fn decide(&self, digest: Digest, subject: HeaderValue, request: &str) -> Decision {
        // Somebody may have landed between our look and our take-off.
        match self.cache.recall(&digest, &self.time) {
            Memory::Good(caller) => return Ok(caller),
            Memory::Bad => return Err(Refusal::Rejected),
            Memory::Nothing => {}
        }
        let answer = timeout(self.decision_timeout, async {
            self.look(&subject).await?;
            let answer = self.question(&subject, request).await;
            if let Err(Refusal::Rejected) = answer {
                self.cache.remember_bad(digest, &self.time);
            }
            answer
        });
        let vouched = answer.await.unwrap_or(Err(Outage::Late(self.decision_timeout).into()))?;
        if vouched.has_access_rules {
            // We told Keystone that we know what access rules are, or we would not see this. As long as nobody here
            // holds a call against them, a token that has them must not be good for every call.
            tracing::info!(
                audit_ids = ?vouched.audit_ids,
                request,
                "refused a token of an application credential with access rules, which are not supported yet"
            );
            self.cache.remember_bad(digest, &self.time);
            return Err(Refusal::Rejected);
        }
        Ok(self.cache.remember_good(digest, vouched, &self.time))
    }

    /// What the token itself gives away. Not remembered: a key may be put in place at any moment.
    async fn look(&self, subject: &HeaderValue) -> Result<(), Refusal> {
        let (Some(jws), Ok(token)) = (&self.jws, subject.to_str()) else { return Ok(()) };
        match jws.look(token, self.time.now(), self.time.steady()).await {
            Look::Ask => return Ok(()),
            Look::Forged => self.metrics.bad_signatures.add(),
            Look::Expired => self.metrics.expired_signed.add(),
        }
        Err(Refusal::Rejected)
    }

    /// Asks Keystone, with another token of our own when it rejects that.
    async fn question(&self, subject: &HeaderValue, request: &str) -> Result<Vouched, Refusal> {
        let mut own = self.own.current().await?;
        let mut replacements = 0;
        loop {
            let start = self.time.steady();
            let meaning = self.client.validate(&own.value, subject, request, own.may_validate()).await;
            let took = self.time.steady() - start;
            if let Meaning::OwnTokenRejected = meaning {
                self.metrics.undecided.record(took);
                if replacements == REPLACEMENTS {
                    return Err(Outage::OwnTokenRefused.into());
                }
                replacements += 1;
                own = self.own.replace(&own).await?;
                continue;
            }
            self.latency(&meaning).record(took);
            return self.outcome(meaning, &own, request);
        }
    }

    fn latency(&self, meaning: &Meaning) -> &Latency {
        match meaning {
            Meaning::Vouched(_) => &self.metrics.accepted,
            Meaning::Rejected => &self.metrics.rejected,
            Meaning::OwnTokenRejected | Meaning::Undecided(_) => &self.metrics.undecided,
        }
    }

    fn outcome(&self, meaning: Meaning, own: &ServiceToken, request: &str) -> Result<Vouched, Refusal> {
        match meaning {
            Meaning::Vouched(vouched) => {
                own.was_taken();
                if vouched.caller.user != own.user {
                    own.has_validated();
                }
                tracing::debug!(user = %vouched.caller.user, audit_ids = ?vouched.audit_ids, request, "token accepted");
                Ok(*vouched)
            }
            Meaning::Rejected => {
                own.was_taken();
                tracing::debug!(request, "token rejected");
                Err(Refusal::Rejected)
            }
            Meaning::OwnTokenRejected => Err(Outage::OwnTokenRefused.into()),
            Meaning::Undecided(outage) => {
                if let Outage::NotAllowed = outage {
                    own.was_taken();
                }
                self.note(&outage, request);
                Err(Refusal::Undecided(outage))
            }
        }
    }

    /// Tells the operator what only he can end, but not with every request. The rest is on the line of the request
    /// that failed.
    fn note(&self, outage: &Outage, request: &str) {
        let now = self.time.steady().as_secs() + 1;
        let last = self.complained.load(Relaxed);
        if outage.is_misconfiguration() && (last == 0 || now >= last + COMPLAIN_AGAIN) {
            self.complained.store(now, Relaxed);
            tracing::error!(error = %outage, request, "tokens cannot be validated");
        } else {
            tracing::debug!(error = %outage, request, "a token could not be validated");
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        let (good_entries, bad_entries) = self.cache.len();
        Figures {
            in_flight: self.flights.len(),
            good_entries,
            bad_entries,
            own_token_left: self.own.left(),
            ..self.metrics.snapshot()
        }
    }
}
