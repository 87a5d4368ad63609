//! What handlers share, and the single hop from a request to the blocking threads on which records are read and kept.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use actix_web::{rt::time::timeout, web};
use core_domain::{Context, Error, Rules, caller::Caller, store::Store, tokens::Tokens};

use crate::{error::ApiError, metrics::Metrics};

/// What the API is told of its surroundings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The base of absolute links, such as `https://image.example.org`; the request's host if `None`.
    pub public_endpoint: Option<String>,
    /// Where clients get tokens: goes into `WWW-Authenticate`.
    pub identity_uri: String,
    /// The largest JSON body, in bytes.
    pub body_bytes: usize,
    /// How long a request may take, its body's arrival included each time.
    pub deadline: Duration,
}

/// What handlers share.
pub struct App {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) tokens: Arc<dyn Tokens>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    last_ping: Mutex<Option<(Instant, bool)>>,
}

/// How long an answer to «are the records there?» is good for: readiness is asked for by anybody, without a token.
const PING_LIFE: Duration = Duration::from_millis(500);

impl App {
    /// An API over these records, vouched for by `tokens`, by these rules.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        tokens: Arc<dyn Tokens>,
        rules: Arc<Rules>,
        settings: Settings,
        metrics: Metrics,
    ) -> Self {
        Self { store, tokens, rules, settings, metrics, last_ping: Mutex::new(None) }
    }

    /// Runs one use case for `caller` on a blocking thread: the only way from here to the records.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        caller: Arc<Caller>,
        use_case: impl FnOnce(Context<'_>, &dyn Store) -> core_domain::Result<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (store, rules) = (Arc::clone(&self.store), Arc::clone(&self.rules));
        let work = web::block(move || use_case(Context::now(&caller, &rules), store.as_ref()));
        match timeout(self.settings.deadline, work).await {
            Ok(Ok(done)) => Ok(done?),
            Ok(Err(panicked)) => Err(Error::Internal(Box::new(panicked)).into()),
            Err(late) => Err(Error::Unavailable(Box::new(late)).into()),
        }
    }

    /// Whether the records can be reached, asked at most twice a second.
    pub(crate) async fn reaches_records(&self) -> bool {
        let last = || self.last_ping.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, answer)) = *last()
            && when.elapsed() < PING_LIFE
        {
            return answer;
        }
        let store = Arc::clone(&self.store);
        let ping = timeout(self.settings.deadline, web::block(move || store.ping())).await;
        let answer = matches!(ping, Ok(Ok(Ok(()))));
        *last() = Some((Instant::now(), answer));
        answer
    }
}
