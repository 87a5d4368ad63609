//! The exchange with Keystone: what is sent, and how often.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::{
    Method, RequestBuilder, Response, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect,
};
use tokio::time::{Instant, sleep};

use crate::{
    backoff,
    config::{Config, Invalid},
    known::End,
    meaning::{Meaning, Told},
    outage::Outage,
    vouched::{Unusable, Vouched},
};

const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");
/// Without it Keystone calls every token that has access rules unknown.
const ACCESS_RULES: HeaderName = HeaderName::from_static("openstack-identity-access-rules");

/// Longer answers are not read; without a catalog they have about 1 KiB.
const LONGEST_BODY: usize = 1024 * 1024;
/// How long a probe may take; it costs Keystone a millisecond.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause before the one repetition.
const PAUSE: std::ops::Range<Duration> = Duration::from_millis(50)..Duration::from_millis(150);

/// Talks to one Keystone.
#[derive(Debug)]
pub(crate) struct Client {
    pooled: reqwest::Client,
    /// Never reuses a connection: servers drop idle ones without a word, and a repetition must not meet the next.
    fresh: reqwest::Client,
    tokens: Url,
    /// The same for tokens that may be past their end.
    ended_tokens: Url,
    revocations: Url,
    root: Url,
    /// A sign-in. Contains a secret, hence never printed.
    sign_in: Body,
    try_timeout: Duration,
    decision_timeout: Duration,
}

/// A body whose `Debug` shows nothing.
struct Body(Vec<u8>);

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Body(…)")
    }
}

/// A token Keystone gave to the service itself.
#[derive(Debug)]
pub(crate) struct SignedIn {
    /// Marked sensitive.
    pub(crate) value: HeaderValue,
    pub(crate) described: Vouched,
}

/// An answer as far as we care.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Client {
    /// # Errors
    /// The key of the configuration that cannot be used.
    pub(crate) fn new(config: &Config) -> Result<Self, Invalid> {
        let tokens = config.tokens_url()?;
        let mut ended_tokens = tokens.clone();
        ended_tokens.query_pairs_mut().append_pair("allow_expired", "1");
        let (revocations, root) = (config.url("/OS-REVOKE/events")?, config.url("")?);
        let sign_in = Body(config.sign_in()?.to_string().into_bytes());
        let authorities = config.authorities()?;
        let build = |idle: usize| {
            let builder = reqwest::Client::builder()
                .connect_timeout(config.connect_timeout)
                .timeout(config.try_timeout)
                .pool_max_idle_per_host(idle)
                // Tokens go to this address and no other.
                .redirect(redirect::Policy::none())
                // Ours to decide, below.
                .retry(reqwest::retry::never());
            let builder = match (&authorities, tokens.scheme()) {
                (Some(authorities), _) => builder.tls_certs_only(authorities.clone()),
                // The system's certificates, which small images lack, are read only where needed.
                (None, "http") => builder.tls_certs_only([]),
                (None, _) => builder,
            };
            builder.build().map_err(|error| {
                Invalid::new(
                    "keystone.ca_file",
                    format!("no TLS connection can be prepared ({})", chain(&error)),
                )
            })
        };
        let (pooled, fresh) = (build(32)?, build(0)?);
        let (try_timeout, decision_timeout) = (config.try_timeout, config.decision_timeout);
        Ok(Self {
            pooled,
            fresh,
            tokens,
            ended_tokens,
            revocations,
            root,
            sign_in,
            try_timeout,
            decision_timeout,
        })
    }

    /// Asks who bears `subject`. Both tokens are marked sensitive.
    ///
    /// `may_validate`: whether our own token is known to be allowed to ask.
    pub(crate) async fn validate(
        &self,
        own: &HeaderValue,
        (subject, end): (&HeaderValue, End),
        request: &str,
        may_validate: bool,
    ) -> Meaning {
        let url = match end {
            End::Counts => &self.tokens,
            End::Waived => &self.ended_tokens,
        };
        let mut headers = HeaderMap::new();
        headers.insert(AUTH_TOKEN, own.clone());
        headers.insert(SUBJECT_TOKEN, subject.clone());
        headers.insert(ACCESS_RULES, HeaderValue::from_static("1"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Ok(request) = HeaderValue::from_str(request) {
            headers.insert(REQUEST_ID, request);
        }
        let ask =
            |client: &reqwest::Client| client.request(Method::GET, url.clone()).headers(headers.clone());
        match self.call(ask).await {
            Ok(answer) => Meaning::of(answer.status, &answer.body, may_validate),
            Err(outage) => Meaning::Undecided(outage),
        }
    }

    /// Gets a token for the service itself.
    pub(crate) async fn sign_in(&self) -> Result<SignedIn, Outage> {
        let ask = |client: &reqwest::Client| {
            client
                .request(Method::POST, self.tokens.clone())
                .header(CONTENT_TYPE, "application/json")
                .header(ACCEPT, "application/json")
                .body(self.sign_in.0.clone())
        };
        let answer = self.call(ask).await?;
        match answer.status {
            200 | 201 => {
                let described = Vouched::parse(&answer.body).map_err(|unusable| match unusable {
                    Unusable::Malformed(reason) => Outage::Unreadable(reason),
                    Unusable::TooManyRules { .. } => Outage::Unreadable(
                        "the service's own application credential has more than 256 access rules",
                    ),
                })?;
                let mut value = answer
                    .headers
                    .get(SUBJECT_TOKEN)
                    .cloned()
                    .ok_or(Outage::Unreadable("the token is not in the header X-Subject-Token"))?;
                value.set_sensitive(true);
                Ok(SignedIn { value, described })
            }
            404 | 405 | 300..=399 => Err(Outage::WrongAddress(answer.status)),
            429 => Err(Outage::Failing(429)),
            400..=499 => Err(Outage::CredentialRefused(answer.status)),
            other => Err(Outage::Failing(other)),
        }
    }

    /// What was revoked after `since`, by Keystone's clock.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn revocations(&self, own: &HeaderValue, since: DateTime<Utc>) -> Result<Told, Outage> {
        let mut url = self.revocations.clone();
        let since = since.to_rfc3339_opts(SecondsFormat::Micros, true);
        url.query_pairs_mut().append_pair("since", &since);
        let ask = |client: &reqwest::Client| {
            client
                .request(Method::GET, url.clone())
                .header(AUTH_TOKEN, own.clone())
                .header(ACCEPT, "application/json")
        };
        let answer = self.call(ask).await?;
        Told::of(answer.status, &answer.body)
    }

    /// Whether somebody who is not failing answers at Keystone's address.
    pub(crate) async fn probe(&self) -> bool {
        let probe = self.fresh.request(Method::GET, self.root.clone()).timeout(PROBE_TIMEOUT);
        self.attempt(probe).await.is_ok_and(|answer| answer.status < 500)
    }

    /// One call, repeated at most once: on a connection that failed or broke, and on 502, 503 and 504. All kinds of
    /// request are safe to repeat.
    async fn call(&self, ask: impl Fn(&reqwest::Client) -> RequestBuilder) -> Result<Answer, Outage> {
        let start = Instant::now();
        let first = self.attempt(ask(&self.pooled)).await;
        let pause = match &first {
            Ok(answer) if matches!(answer.status, 502..=504) => {
                let asked = retry_after(&answer.headers).unwrap_or_default();
                asked.max(backoff::within(PAUSE))
            }
            Err(Failure::Broken(_)) => backoff::within(PAUSE),
            Ok(_) | Err(Failure::Slow | Failure::Long) => {
                return first.map_err(|failure| self.outage(failure));
            }
        };
        // Not if there is no time left to hear the answer.
        if start.elapsed() + pause >= self.decision_timeout {
            return first.map_err(|failure| self.outage(failure));
        }
        sleep(pause).await;
        self.attempt(ask(&self.fresh)).await.map_err(|failure| self.outage(failure))
    }

    async fn attempt(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let mut response = request.send().await.map_err(Failure::from)?;
        let status = response.status().as_u16();
        let body = read(&mut response).await?;
        Ok(Answer { status, headers: std::mem::take(response.headers_mut()), body })
    }

    fn outage(&self, failure: Failure) -> Outage {
        match failure {
            Failure::Slow => Outage::Late(self.try_timeout),
            Failure::Long => Outage::TooLong,
            Failure::Broken(reason) => Outage::Unreachable(reason),
        }
    }
}

/// Why there is no answer.
enum Failure {
    /// It did not come in time.
    Slow,
    /// It is longer than anybody means.
    Long,
    /// No connection, or one that ended too early.
    Broken(Arc<str>),
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() && !error.is_connect() {
            return Self::Slow;
        }
        // The URL is in the configuration, and the log is no place for whatever it might contain.
        Self::Broken(chain(&error.without_url()).into())
    }
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

async fn read(response: &mut Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > LONGEST_BODY {
            return Err(Failure::Long);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// How long Keystone, or what stands before it, asks to wait; only the form in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
