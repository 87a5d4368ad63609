//! What the operator decides: the keys under `keystone.`, checked before anything starts.

use std::{fmt, fs, path::PathBuf, sync::Arc, time::Duration};

use core_domain::caller::Caller;
use reqwest::{Certificate, Url};
use serde_json::{Value, json};

use crate::{format::Formats, secret::Secret, token};

/// How Keystone is asked. Field names are the names of the keys.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where Keystone is, with or without `/v3`, a slash at the end, a path before it: `https://cloud.example/identity`.
    pub auth_url: String,
    /// The service's user, for a password.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// The project in which that user has the role `service`.
    pub project_name: Option<String>,
    /// The domain of the user.
    pub user_domain_id: String,
    /// The domain of the project.
    pub project_domain_id: String,
    /// Instead of user, password and project: the id of an application credential with the role `service`.
    pub application_credential_id: Option<String>,
    /// Its secret.
    pub application_credential_secret: Option<Secret>,
    /// Certificates (PEM) of the only authorities trusted to vouch for Keystone's; otherwise the system's are.
    pub ca_file: Option<PathBuf>,
    /// The longest time for a connection to come about.
    pub connect_timeout: Duration,
    /// The longest time for one call.
    pub try_timeout: Duration,
    /// The longest time for a validation with all its calls.
    pub decision_timeout: Duration,
    /// How long Keystone's word is taken without asking again: how long a revoked token may still work. Never past
    /// the token's expiry.
    pub token_cache_ttl: Duration,
    /// The same for privileged tokens, if that is shorter: those with the role `admin` or `service`, and those of
    /// `administrators`.
    pub max_privileged_age: Duration,
    /// How old Keystone's word may be to let somebody look whose token is not privileged, while Keystone cannot be
    /// asked; none if zero.
    pub stale_reads: Duration,
    /// The callers whose tokens are privileged, whatever their roles are.
    pub administrators: Administrators,
    /// How often Keystone is asked what was revoked; never if zero.
    pub revocation_poll: Duration,
    /// How many good tokens are remembered, each in up to about 1.6 KiB.
    pub token_cache_entries: usize,
    /// How long a rejected token is rejected without asking again: how long a project that was enabled again may
    /// still be shut out.
    pub rejected_cache_ttl: Duration,
    /// How many rejected tokens are remembered.
    pub rejected_cache_entries: usize,
    /// How many validations Keystone is asked for at once.
    pub calls_at_once: usize,
    /// How many wait for a place among them; those beyond are told at once to come again.
    pub calls_waiting: usize,
    /// How long they wait.
    pub queue_timeout: Duration,
    /// Who may vouch for others' calls (`X-Service-Token`): a token with any of these roles, in lower case.
    pub service_token_roles: Vec<String>,
    /// The shapes of Keystone's tokens; others are refused without asking.
    pub token_formats: Formats,
    /// The length of the longest token passed on, in bytes. Keystone behind uWSGI resets the connection when it
    /// gets more than about 3,800.
    pub max_token_length: usize,
    /// A folder with the public keys (PEM) of Keystone's JWS tokens, as Keystone's own `jws_public_key_repository`.
    /// With it, forged and expired ones are refused without asking.
    pub jws_public_keys: Option<PathBuf>,
    /// The algorithms of signed tokens, as Keystone's `jws_accepted_algorithms`; others are refused without asking.
    pub jws_algorithms: Vec<JwsAlgorithm>,
    /// How long past its end a signed token is still asked about, for clocks that differ.
    pub jws_leeway: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            auth_url: String::new(),
            username: None,
            password: None,
            project_name: None,
            user_domain_id: "default".to_owned(),
            project_domain_id: "default".to_owned(),
            application_credential_id: None,
            application_credential_secret: None,
            ca_file: None,
            connect_timeout: Duration::from_secs(1),
            try_timeout: Duration::from_secs(3),
            decision_timeout: Duration::from_secs(5),
            token_cache_ttl: Duration::from_secs(60),
            max_privileged_age: Duration::from_secs(60),
            stale_reads: Duration::from_secs(600),
            administrators: Administrators::default(),
            revocation_poll: Duration::from_secs(10),
            token_cache_entries: 10_000,
            rejected_cache_ttl: Duration::from_secs(10),
            rejected_cache_entries: 10_000,
            calls_at_once: 8,
            calls_waiting: 1024,
            queue_timeout: Duration::from_secs(2),
            service_token_roles: vec!["service".to_owned()],
            token_formats: Formats::default(),
            max_token_length: 3072,
            jws_public_keys: None,
            jws_algorithms: vec![JwsAlgorithm::Es256],
            jws_leeway: Duration::from_secs(5),
        }
    }
}

/// Which callers administer the cloud: decided once for each answer of Keystone.
#[derive(Clone)]
pub struct Administrators(Arc<dyn Fn(&Caller) -> bool + Send + Sync>);

impl Administrators {
    /// Those of whom `is_administrator` holds.
    pub fn new(is_administrator: impl Fn(&Caller) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_administrator))
    }

    /// Whether this caller is one.
    #[must_use]
    pub fn include(&self, caller: &Caller) -> bool {
        (self.0)(caller)
    }
}

impl Default for Administrators {
    /// No caller.
    fn default() -> Self {
        Self::new(|_| false)
    }
}

impl fmt::Debug for Administrators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Administrators")
    }
}

/// An algorithm Keystone can sign tokens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwsAlgorithm {
    /// ECDSA on P-256 with SHA-256: Keystone's default.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512. Known, but never checked here: such tokens are always asked about.
    Es512,
    /// Ed25519.
    EdDsa,
}

impl JwsAlgorithm {
    /// The name in a token's header and in Keystone's configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Es256, Self::Es384, Self::Es512, Self::EdDsa].into_iter().find(|known| known.name() == name)
    }
}

/// A key whose value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct Invalid {
    /// The whole name of the key: `keystone.auth_url`.
    pub key: &'static str,
    /// What is wrong and what would be right; no value that is secret.
    pub reason: String,
}

impl Invalid {
    pub(crate) fn new(key: &'static str, reason: impl Into<String>) -> Self {
        Self { key, reason: reason.into() }
    }
}

impl Config {
    /// Whether all this can be used together. Reads `ca_file`, but neither the folder with the keys nor the network.
    ///
    /// # Errors
    /// The first key whose value cannot be used.
    pub fn check(&self) -> Result<(), Invalid> {
        self.tokens_url()?;
        self.sign_in()?;
        self.authorities()?;
        self.check_times()?;
        self.check_sizes()
    }

    /// The address of `/v3/auth/tokens`.
    pub(crate) fn tokens_url(&self) -> Result<Url, Invalid> {
        let mut url = self.url("/auth/tokens")?;
        // Nobody here needs the catalog, which is most of a body.
        url.set_query(Some("nocatalog=1"));
        Ok(url)
    }

    /// The address of `/v3` and what comes after.
    pub(crate) fn url(&self, rest: &str) -> Result<Url, Invalid> {
        let invalid = |reason: &str| Invalid::new("keystone.auth_url", reason);
        if self.auth_url.trim().is_empty() {
            return Err(invalid("is missing; it is Keystone's address, as https://keystone.example:5000/v3"));
        }
        let mut url = Url::parse(self.auth_url.trim()).map_err(|error| {
            invalid(&format!("is not a URL ({error}); an example is https://keystone.example:5000/v3"))
        })?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(invalid("must start with https:// or http:// and a host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("must not contain a user or password; these have keys of their own"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("must end with its path, without ? or #"));
        }
        let path = url.path().trim_end_matches('/');
        if path.ends_with("/v2.0") {
            return Err(invalid("names the Identity API v2.0, which is no more; use v3"));
        }
        let path = path.strip_suffix("/v3").unwrap_or(path).trim_end_matches('/');
        let path = format!("{path}/v3{rest}");
        url.set_path(&path);
        Ok(url)
    }

    /// The body of a sign-in. Contains a secret.
    pub(crate) fn sign_in(&self) -> Result<Value, Invalid> {
        let missing = |key, what: &str| Invalid::new(key, format!("is missing; it is {what}"));
        if self.application_credential_id.is_some() || self.application_credential_secret.is_some() {
            if self.username.is_some() || self.password.is_some() {
                return Err(Invalid::new(
                    "keystone.application_credential_id",
                    "cannot be used together with keystone.username and keystone.password; leave out one or the other",
                ));
            }
            let id = set(self.application_credential_id.as_deref()).ok_or_else(|| {
                missing("keystone.application_credential_id", "the id that goes with the secret")
            })?;
            let secret =
                set(self.application_credential_secret.as_ref().map(Secret::reveal)).ok_or_else(|| {
                    missing("keystone.application_credential_secret", "the secret that goes with the id")
                })?;
            // Without a scope: the credential has one.
            return Ok(json!({"auth": {"identity": {
                "methods": ["application_credential"],
                "application_credential": {"id": id, "secret": secret},
            }}}));
        }
        let user = set(self.username.as_deref()).ok_or_else(|| {
            missing("keystone.username", "the service's user in Keystone (or use an application credential)")
        })?;
        let password = set(self.password.as_ref().map(Secret::reveal))
            .ok_or_else(|| missing("keystone.password", "the password of keystone.username"))?;
        let project = set(self.project_name.as_deref()).ok_or_else(|| {
            missing("keystone.project_name", "the project in which keystone.username has the role service")
        })?;
        for (key, domain) in [
            ("keystone.user_domain_id", &self.user_domain_id),
            ("keystone.project_domain_id", &self.project_domain_id),
        ] {
            set(Some(domain)).ok_or_else(|| missing(key, "an id, usually \"default\""))?;
        }
        Ok(json!({"auth": {
            "identity": {"methods": ["password"], "password": {
                "user": {"name": user, "domain": {"id": self.user_domain_id}, "password": password},
            }},
            "scope": {"project": {"name": project, "domain": {"id": self.project_domain_id}}},
        }}))
    }

    /// The authorities to trust, if not the system's.
    pub(crate) fn authorities(&self) -> Result<Option<Vec<Certificate>>, Invalid> {
        let Some(file) = &self.ca_file else { return Ok(None) };
        let invalid =
            |reason: String| Invalid::new("keystone.ca_file", format!("{}: {reason}", file.display()));
        let pem = fs::read(file).map_err(|error| invalid(error.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
        if certificates.is_empty() {
            return Err(invalid(
                "holds no certificate; it should be a PEM file with BEGIN CERTIFICATE".to_owned(),
            ));
        }
        Ok(Some(certificates))
    }

    fn check_times(&self) -> Result<(), Invalid> {
        for (key, time, longest, longest_key) in [
            ("keystone.connect_timeout", self.connect_timeout, self.try_timeout, "keystone.try_timeout"),
            ("keystone.try_timeout", self.try_timeout, self.decision_timeout, "keystone.decision_timeout"),
        ] {
            if time.is_zero() {
                return Err(Invalid::new(key, "must be more than nothing"));
            }
            if time > longest {
                return Err(Invalid::new(
                    key,
                    format!("must not be longer than {longest_key} ({longest:?})"),
                ));
            }
        }
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        for (key, time) in [
            ("keystone.token_cache_ttl", self.token_cache_ttl),
            ("keystone.max_privileged_age", self.max_privileged_age),
            ("keystone.stale_reads", self.stale_reads),
            ("keystone.revocation_poll", self.revocation_poll),
            ("keystone.queue_timeout", self.queue_timeout),
            ("keystone.rejected_cache_ttl", self.rejected_cache_ttl),
            ("keystone.decision_timeout", self.decision_timeout),
            ("keystone.jws_leeway", self.jws_leeway),
        ] {
            if time > DAY {
                return Err(Invalid::new(key, "must not be longer than a day"));
            }
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<(), Invalid> {
        for (key, entries) in [
            ("keystone.token_cache_entries", self.token_cache_entries),
            ("keystone.rejected_cache_entries", self.rejected_cache_entries),
        ] {
            if entries == 0 {
                return Err(Invalid::new(key, "must be at least 1; to remember nothing, set the time to 0"));
            }
        }
        if self.calls_at_once == 0 {
            return Err(Invalid::new(
                "keystone.calls_at_once",
                "must be at least 1, or nobody is ever asked",
            ));
        }
        if self.service_token_roles.iter().any(|role| role.trim().is_empty()) {
            return Err(Invalid::new("keystone.service_token_roles", "must name roles, usually service"));
        }
        if !(token::SHORTEST..=65_536).contains(&self.max_token_length) {
            return Err(Invalid::new(
                "keystone.max_token_length",
                format!("must be {} to 65536 bytes", token::SHORTEST),
            ));
        }
        if self.jws_algorithms.is_empty() {
            return Err(Invalid::new("keystone.jws_algorithms", "must name at least one, usually ES256"));
        }
        Ok(())
    }
}

/// A value that was given and is not blank.
fn set(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.trim().is_empty())
}

#[cfg(test)]
mod tests;
