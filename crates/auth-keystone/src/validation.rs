//! One question about a token, from what is remembered to what Keystone says.

use std::{sync::Arc, time::Duration};

use core_domain::tokens::{Shown, TokenError};
use reqwest::header::HeaderValue;
use tokio::{runtime::Handle, time::timeout};

use crate::{
    access_rules::MAX_RULES,
    breaker::Breaker,
    cache::{Digest, Memory, TokenCache},
    client::Client,
    clock::{Clock, KeystoneTime},
    config::{Config, Invalid, JwsAlgorithm},
    flight::{Flights, Seat},
    format::Formats,
    jws::{Jws, Look},
    known::{End, Known, Lives},
    meaning::Meaning,
    metrics::{Figures, Latency, Metrics},
    outage::Outage,
    own_token::{OwnToken, ServiceToken},
    polling::Revocations,
    queue::{Peer, Queue},
    seldom::Seldom,
    token,
    vouched::Vouched,
};

/// How often our own token may be replaced for one validation: once since it may have been revoked, and once more
/// since the new one may be caught in the very second of that revocation.
const REPLACEMENTS: u32 = 2;

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
            Refusal::Undecided(outage) => {
                Self::Unavailable { again_in: outage.again_in(), source: Box::new(outage) }
            }
        }
    }
}

/// Who bears a token, or why nobody does.
pub(crate) type Decision = Result<Arc<Known>, Refusal>;

/// A token that might be one.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// In its one spelling.
    token: &'a str,
    pub(crate) digest: Digest,
    pub(crate) end: End,
}

/// The same on its way to Keystone.
struct Passenger {
    /// Marked sensitive.
    value: HeaderValue,
    digest: Digest,
    end: End,
    /// The client that asked first: the question takes its turn.
    peer: Peer,
}

/// The request for which Keystone is asked.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    /// Its id.
    pub(crate) request: &'a str,
    /// The client that sent it.
    pub(crate) peer: Peer,
}

impl<'a> From<&Shown<'a>> for Asker<'a> {
    fn from(shown: &Shown<'a>) -> Self {
        Self { request: shown.request, peer: shown.peer.into() }
    }
}

/// All that takes part.
#[derive(Debug)]
pub(crate) struct Validator {
    pub(crate) cache: TokenCache,
    pub(crate) own: Arc<OwnToken>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) client: Arc<Client>,
    pub(crate) time: Arc<KeystoneTime>,
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) revocations: Revocations,
    pub(crate) revocation_poll: Duration,
    /// No word of Keystone's is used that is older.
    pub(crate) oldest_word: Duration,
    pub(crate) decision_timeout: Duration,
    pub(crate) service_roles: Vec<String>,
    pub(crate) stale_noted: Seldom,
    jws: Option<Jws>,
    jws_algorithms: Vec<JwsAlgorithm>,
    formats: Formats,
    flights: Flights<Digest, Decision>,
    queue: Queue,
    longest_token: usize,
    misconfiguration_noted: Seldom,
    rules_noted: Seldom,
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
        let lives = Lives {
            good: config.token_cache_entries,
            good_for: config.token_cache_ttl,
            privileged_for: config.max_privileged_age,
            stale_for: config.stale_reads,
            bad: config.rejected_cache_entries,
            bad_for: config.rejected_cache_ttl,
        };
        let cache = TokenCache::new(lives, config.administrators.clone())
            .map_err(|_| Invalid::new("keystone", "the system gives no random numbers"))?;
        Ok(Self {
            cache,
            own: Arc::new(OwnToken::new(Arc::clone(&client), Arc::clone(&time), Arc::clone(&metrics))),
            metrics,
            client,
            time,
            breaker: Arc::default(),
            revocations: Revocations::default(),
            revocation_poll: config.revocation_poll,
            oldest_word: config.token_cache_ttl.max(config.stale_reads),
            decision_timeout: config.decision_timeout,
            service_roles: config.service_token_roles.iter().map(|role| role.trim().to_lowercase()).collect(),
            stale_noted: Seldom::default(),
            jws,
            jws_algorithms: config.jws_algorithms.clone(),
            formats: config.token_formats,
            flights: Flights::new(),
            queue: Queue::new(config.calls_at_once, config.calls_waiting, config.queue_timeout),
            longest_token: config.max_token_length,
            misconfiguration_noted: Seldom::default(),
            rules_noted: Seldom::default(),
        })
    }

    /// The token in its one spelling, or `None` (and counted) if it cannot be one.
    pub(crate) fn subject<'a>(&self, given: &'a str, end: End) -> Option<Subject<'a>> {
        let token = token::canonical(given, self.longest_token)
            .filter(|token| self.formats.fit(token, &self.jws_algorithms, self.time.now()));
        if token.is_none() {
            self.metrics.malformed.add();
        }
        let token = token?;
        Some(Subject { token, digest: self.cache.digest(token, end), end })
    }

    /// What is remembered, counted; `None` if Keystone has to be asked.
    pub(crate) fn remembered(self: &Arc<Self>, subject: &Subject<'_>, asker: Asker<'_>) -> Option<Decision> {
        match self.cache.recall(&subject.digest, subject.end, &self.time) {
            Memory::Good { known, due } => {
                self.used(subject, due, asker);
                Some(Ok(known))
            }
            Memory::Bad => {
                self.metrics.negative_hits.add();
                Some(Err(Refusal::Rejected))
            }
            Memory::Nothing => {
                self.metrics.misses.add();
                None
            }
        }
    }

    /// Counts the use of a token that is remembered as good, and sees to it that Keystone is asked again if that is due.
    pub(crate) fn used(self: &Arc<Self>, subject: &Subject<'_>, due: bool, asker: Asker<'_>) {
        self.metrics.hits.add();
        if due {
            self.refresh(subject, asker);
        }
    }

    /// Finds out about a token that is not remembered, or waits for whoever is at it.
    pub(crate) async fn ask(self: &Arc<Self>, subject: &Subject<'_>, asker: Asker<'_>) -> Decision {
        if self.breaker.is_open() {
            return Err(Outage::Away.into());
        }
        let seat = self.take_off(subject, asker, false).ok_or(Refusal::Rejected)?;
        if seat.shared {
            self.metrics.coalesced.add();
        }
        seat.answer().await.unwrap_or(Err(Refusal::Undecided(Outage::GivenUp)))
    }

    /// Asks again about a token that is remembered, and waits for nothing.
    fn refresh(self: &Arc<Self>, subject: &Subject<'_>, asker: Asker<'_>) {
        if !self.breaker.is_open() && Handle::try_current().is_ok() {
            self.metrics.refreshes.add();
            drop(self.take_off(subject, asker, true));
        }
    }

    fn take_off(
        self: &Arc<Self>,
        subject: &Subject<'_>,
        asker: Asker<'_>,
        anew: bool,
    ) -> Option<Seat<Decision>> {
        let Subject { token, digest, end } = *subject;
        // What cannot stand in a header was refused as malformed.
        let mut value = HeaderValue::from_str(token).ok()?;
        value.set_sensitive(true);
        Some(self.flights.join(digest, || {
            let validator = Arc::clone(self);
            let request = asker.request.to_owned();
            let passenger = Passenger { value, digest, end, peer: asker.peer };
            async move { validator.decide(&passenger, &request, anew).await }
        }))
    }

    /// Decides within the time there is, and remembers what was decided.
    async fn decide(&self, passenger: &Passenger, request: &str, anew: bool) -> Decision {
        let Passenger { digest, end, .. } = *passenger;
        if !anew {
            // Somebody may have landed between our look and our take-off.
            match self.cache.recall(&digest, end, &self.time) {
                Memory::Good { known, .. } => return Ok(known),
                Memory::Bad => return Err(Refusal::Rejected),
                Memory::Nothing => {}
            }
        }
        let answer = timeout(self.decision_timeout, async {
            self.look(passenger).await?;
            let answer = self.question(passenger, request).await;
            if let Err(Refusal::Rejected) = answer {
                self.cache.remember_bad(digest, &self.time);
            }
            answer
        });
        let late = || {
            let outage = Outage::Late(self.decision_timeout);
            self.blame(digest, &outage);
            Err(outage.into())
        };
        let (vouched, asked) = answer.await.unwrap_or_else(|_| late())?;
        let known = self.cache.known(vouched, asked);
        // A service may show a token past its end; as long as that has not come, it is anybody's.
        let digest = match end {
            End::Waived if !known.ends(End::Counts, &self.time) => self.plain(passenger).unwrap_or(digest),
            End::Waived | End::Counts => digest,
        };
        self.cache.remember_good(digest, &known);
        if self.revocations.hit_meanwhile(&known, asked) {
            self.cache.forget_one(&digest);
        }
        Ok(known)
    }

    fn plain(&self, passenger: &Passenger) -> Option<Digest> {
        passenger.value.to_str().ok().map(|token| self.cache.digest(token, End::Counts))
    }

    /// What the token itself gives away. Not remembered: a key may be put in place at any moment.
    async fn look(&self, passenger: &Passenger) -> Result<(), Refusal> {
        let (Some(jws), Ok(token)) = (&self.jws, passenger.value.to_str()) else { return Ok(()) };
        match jws.look(token, self.time.now(), self.time.steady()).await {
            Look::Ask => return Ok(()),
            Look::Expired if passenger.end == End::Waived => return Ok(()),
            Look::Forged => self.metrics.bad_signatures.add(),
            Look::Expired => self.metrics.expired_signed.add(),
        }
        Err(Refusal::Rejected)
    }

    /// Asks Keystone, with another token of our own when it rejects that. Besides the answer: when it was asked.
    async fn question(&self, passenger: &Passenger, request: &str) -> Result<(Vouched, Duration), Refusal> {
        let mut own = self.own.current().await.inspect_err(|outage| self.blame(passenger.digest, outage))?;
        let mut replacements = 0;
        loop {
            let place = self.queue.enter(passenger.peer).await?;
            // Who has waited in vain need not try.
            if self.breaker.is_open() {
                return Err(Outage::Away.into());
            }
            let start = self.time.steady();
            let subject = (&passenger.value, passenger.end);
            let meaning = self.client.validate(&own.value, subject, request, own.may_validate()).await;
            drop(place);
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
            if let Meaning::Undecided(outage) = &meaning {
                self.blame(passenger.digest, outage);
            }
            return self.outcome(meaning, &own, request).map(|vouched| (vouched, start));
        }
    }

    /// Notes whose fault it was; when it looks as if Keystone is away, somebody finds out.
    fn blame(&self, digest: Digest, outage: &Outage) {
        if !outage.is_keystones() {
            return;
        }
        let Some(watch) = self.breaker.failed(digest, self.time.steady()) else { return };
        let (client, time, own) =
            (Arc::clone(&self.client), Arc::clone(&self.time), Arc::downgrade(&self.own));
        tokio::spawn(async move {
            let is_back = watch.keep(|| client.probe(), || time.steady()).await;
            if let (true, Some(own)) = (is_back, own.upgrade()) {
                own.hurry();
            }
        });
    }

    fn latency(&self, meaning: &Meaning) -> &Latency {
        match meaning {
            Meaning::Vouched(_) => &self.metrics.accepted,
            Meaning::Rejected | Meaning::TooManyRules { .. } => &self.metrics.rejected,
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
                let audit_ids = &vouched.marks.audit_ids;
                tracing::debug!(user = %vouched.caller.user, ?audit_ids, request, "token accepted");
                Ok(*vouched)
            }
            Meaning::Rejected => {
                own.was_taken();
                tracing::debug!(request, "token rejected");
                Err(Refusal::Rejected)
            }
            Meaning::TooManyRules { rules, user } => {
                own.was_taken();
                if self.rules_noted.is_time(self.time.steady()) {
                    tracing::warn!(
                        user = &*user,
                        rules,
                        most = MAX_RULES,
                        request,
                        "refused a token: its application credential has more access rules than are read"
                    );
                }
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
        if outage.is_misconfiguration() && self.misconfiguration_noted.is_time(self.time.steady()) {
            tracing::error!(error = %outage, request, "tokens cannot be validated");
        } else {
            tracing::debug!(error = %outage, request, "a token could not be validated");
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        let (good_entries, bad_entries) = self.cache.len();
        let (calls, waiting) = self.queue.len();
        let now = self.time.steady();
        Figures {
            in_flight: self.flights.len(),
            calls,
            waiting,
            good_entries,
            bad_entries,
            own_token_left: self.own.left(),
            breaker_open: self.breaker.is_open(),
            since_revocations: self.revocations.polled().map(|polled| now.saturating_sub(polled)),
            ..self.metrics.snapshot()
        }
    }
}
