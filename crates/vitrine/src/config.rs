//! What the program is told: one TOML file, then the environment, then flags; later ones win.
//!
//! The keys are the fields of [`Config`]. In the environment `keystone.auth_url` is `VITRINE_KEYSTONE__AUTH_URL`. Every
//! `…_file` names a file with a secret, for the key without `_file`.

mod events;
mod http;
pub(crate) mod keys;
pub(crate) mod layers;
mod parts;
mod value;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use self::events::Events;
pub(crate) use self::events::host;
use self::http::{CorsKeys, HttpKeys};
use self::value::{Secret, number};

/// Why the program does not start: names the key and says what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {reason}")]
pub(crate) struct BadConfig {
    /// The key, or the file.
    pub(crate) key: String,
    /// What is wrong.
    pub(crate) reason: String,
}

impl BadConfig {
    pub(crate) fn new(key: impl Into<String>, reason: impl ToString) -> Self {
        Self { key: key.into(), reason: reason.to_string() }
    }
}

/// Every key there is, with its default. What each means stands in [`keys`].
#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where the API listens.
    pub(crate) listen: SocketAddr,
    /// Where `/metrics` is; nowhere if empty.
    pub(crate) metrics_listen: String,
    /// The base of absolute links; the host a client used if empty.
    pub(crate) public_endpoint: String,
    /// Threads that speak HTTP; 0: as many as there are cores.
    #[serde(deserialize_with = "number")]
    pub(crate) workers: usize,
    /// How long a request may take, in seconds.
    #[serde(deserialize_with = "number")]
    pub(crate) deadline: u64,
    /// An oslo.policy file that overrides the built-in rules; none if empty.
    pub(crate) policy_file: PathBuf,
    pub(crate) database: Database,
    pub(crate) keystone: Keystone,
    pub(crate) sharing: Sharing,
    pub(crate) events: Events,
    pub(crate) http: HttpKeys,
    pub(crate) cors: CorsKeys,
    pub(crate) limits: LimitKeys,
    pub(crate) tls: TlsKeys,
    pub(crate) log: Log,
    pub(crate) shutdown: Shutdown,
}

/// `database.*`
#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Database {
    /// `postgres://…` or `sqlite:///…`
    pub(crate) url: Secret,
    pub(crate) url_file: PathBuf,
    /// `none` or `transaction`: what stands between this program and Postgres.
    pub(crate) pooler: PoolerWord,
    /// Straight to Postgres, for `vitrine migrate` alone; `url` if empty.
    pub(crate) migrate_url: Secret,
    pub(crate) migrate_url_file: PathBuf,
    /// A streaming replica that may answer lists; none if empty.
    pub(crate) replica_url: Secret,
    pub(crate) replica_url_file: PathBuf,
    /// How old a list may be, in seconds.
    #[serde(deserialize_with = "number")]
    pub(crate) replica_staleness: u64,
    /// Connections, and threads that use them; 0: two for each core.
    #[serde(deserialize_with = "number")]
    pub(crate) pool_size: u32,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PoolerWord {
    #[default]
    None,
    Transaction,
}

/// `keystone.*`
#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keystone {
    /// Where Keystone is, with or without `/v3`.
    pub(crate) auth_url: String,
    /// Where clients reach it, for `WWW-Authenticate`; `auth_url` if empty.
    pub(crate) public_url: String,
    pub(crate) username: String,
    pub(crate) password: Secret,
    pub(crate) password_file: PathBuf,
    pub(crate) project_name: String,
    pub(crate) user_domain_id: String,
    pub(crate) project_domain_id: String,
    pub(crate) application_credential_id: String,
    pub(crate) application_credential_secret: Secret,
    pub(crate) application_credential_secret_file: PathBuf,
    /// How long a question to Keystone may take with all its tries, in seconds; one try has three fifths of it.
    #[serde(deserialize_with = "number")]
    pub(crate) timeout: u64,
    /// How long a validated token is trusted, in seconds.
    #[serde(deserialize_with = "number")]
    pub(crate) token_cache_ttl: u64,
    /// The same for administrators and services, if that is shorter.
    #[serde(deserialize_with = "number")]
    pub(crate) max_privileged_age: u64,
    /// How old Keystone's word may be, in seconds, to let somebody look while Keystone cannot be asked; 0: nobody.
    #[serde(deserialize_with = "number")]
    pub(crate) stale_reads: u64,
    /// How often Keystone is asked what was revoked, in seconds; 0: never.
    #[serde(deserialize_with = "number")]
    pub(crate) revocation_poll: u64,
    /// Validations that Keystone is asked for at once.
    #[serde(deserialize_with = "number")]
    pub(crate) calls_at_once: usize,
    /// Those that may wait for a place among them.
    #[serde(deserialize_with = "number")]
    pub(crate) calls_waiting: usize,
    /// Roles with which a token in `X-Service-Token` is a service's; separated by commas.
    pub(crate) service_token_roles: String,
    /// `fernet`, `jws`, both separated by a comma, or `any`: what Keystone's tokens look like.
    pub(crate) token_formats: String,
    /// The length of the longest token that Keystone is asked about, in bytes.
    #[serde(deserialize_with = "number")]
    pub(crate) max_token_length: usize,
    /// A folder with Keystone's public keys for JWS tokens; none if empty.
    pub(crate) jws_public_keys: PathBuf,
    /// Certificates of the only authorities to trust, as PEM; the system's if empty.
    pub(crate) ca_file: PathBuf,
}

/// `sharing.*`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sharing {
    /// `share` or `forbid`: what adding a member to a private image does.
    pub(crate) private_images: PrivateImagesWord,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PrivateImagesWord {
    #[default]
    Share,
    Forbid,
}

/// `limits.*`; -1 is unlimited where it says so.
#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitKeys {
    /// -1: unlimited.
    #[serde(deserialize_with = "number")]
    pub(crate) members_per_image: i64,
    /// -1: unlimited.
    #[serde(deserialize_with = "number")]
    pub(crate) properties_per_image: i64,
    /// -1: unlimited.
    #[serde(deserialize_with = "number")]
    pub(crate) tags_per_image: i64,
    /// Bytes of one image's attributes, tags and properties; -1: unlimited.
    #[serde(deserialize_with = "number")]
    pub(crate) record_bytes: i64,
    /// Images a project may own; -1: unlimited.
    #[serde(deserialize_with = "number")]
    pub(crate) images_per_project: i64,
    /// Images on a page when the client does not say.
    #[serde(deserialize_with = "number")]
    pub(crate) page_default: usize,
    /// Images on a page at most.
    #[serde(deserialize_with = "number")]
    pub(crate) page_max: usize,
    /// The largest JSON body, in bytes.
    #[serde(deserialize_with = "number")]
    pub(crate) body_bytes: usize,
    /// How often a project may ask, in the long run; 0: as often as it likes.
    #[serde(deserialize_with = "number")]
    pub(crate) requests_per_second: u32,
    /// How many requests a project may make at once; 0: two seconds' worth.
    #[serde(deserialize_with = "number")]
    pub(crate) requests_burst: u32,
}

/// `tls.*`: both or neither.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TlsKeys {
    /// The certificate and those between it and its authority, as PEM; plain HTTP if empty.
    pub(crate) certificate: PathBuf,
    /// Its private key, as PEM.
    pub(crate) key: PathBuf,
}

/// `log.*`
#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// `json`, `text`, or `auto`: JSON but for `vitrine dev`.
    pub(crate) format: LogFormat,
    /// A level such as `info`, or directives such as `info,vitrine::request=warn`.
    pub(crate) level: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    #[default]
    Auto,
    Json,
    Text,
}

/// `shutdown.*`
#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Shutdown {
    /// How long it still answers after SIGTERM, not ready any more, so that requests are sent elsewhere, in seconds.
    #[serde(deserialize_with = "number")]
    pub(crate) drain: u64,
    /// How long requests under way may go on after that, in seconds: more than `deadline`, or some are not answered.
    #[serde(deserialize_with = "number")]
    pub(crate) grace: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9292)),
            metrics_listen: String::new(),
            public_endpoint: String::new(),
            workers: 0,
            deadline: 30,
            policy_file: PathBuf::new(),
            database: Database::default(),
            keystone: Keystone::default(),
            sharing: Sharing::default(),
            events: Events::default(),
            http: HttpKeys::default(),
            cors: CorsKeys::default(),
            limits: LimitKeys::default(),
            tls: TlsKeys::default(),
            log: Log::default(),
            shutdown: Shutdown::default(),
        }
    }
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: Secret::default(),
            url_file: PathBuf::new(),
            pooler: PoolerWord::None,
            migrate_url: Secret::default(),
            migrate_url_file: PathBuf::new(),
            replica_url: Secret::default(),
            replica_url_file: PathBuf::new(),
            replica_staleness: 5,
            pool_size: 0,
        }
    }
}

impl Default for Keystone {
    fn default() -> Self {
        Self {
            auth_url: String::new(),
            public_url: String::new(),
            username: String::new(),
            password: Secret::default(),
            password_file: PathBuf::new(),
            project_name: String::new(),
            user_domain_id: "default".to_owned(),
            project_domain_id: "default".to_owned(),
            application_credential_id: String::new(),
            application_credential_secret: Secret::default(),
            application_credential_secret_file: PathBuf::new(),
            timeout: 5,
            token_cache_ttl: 60,
            max_privileged_age: 60,
            stale_reads: 600,
            revocation_poll: 10,
            calls_at_once: 8,
            calls_waiting: 1024,
            service_token_roles: "service".to_owned(),
            token_formats: "fernet, jws".to_owned(),
            max_token_length: 3072,
            jws_public_keys: PathBuf::new(),
            ca_file: PathBuf::new(),
        }
    }
}

impl Default for LimitKeys {
    fn default() -> Self {
        Self {
            members_per_image: 128,
            properties_per_image: 128,
            tags_per_image: 128,
            record_bytes: 256 << 10,
            images_per_project: 10_000,
            page_default: 25,
            page_max: 1000,
            body_bytes: 1 << 20,
            requests_per_second: 0,
            requests_burst: 0,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: "info".to_owned() }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { drain: 5, grace: 35 }
    }
}

impl Config {
    /// Refuses numbers with which the service would start and not work.
    ///
    /// # Errors
    /// The first of them, by its key.
    pub(crate) fn check_numbers(&self) -> Result<(), BadConfig> {
        let Self { limits, .. } = self;
        let whole = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let long = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for (key, number, least, most) in [
            ("workers", whole(self.workers), 0, 512),
            ("deadline", long(self.deadline), 1, 3600),
            ("database.pool_size", i64::from(self.database.pool_size), 0, 1000),
            ("database.replica_staleness", long(self.database.replica_staleness), 1, 3600),
            ("keystone.timeout", long(self.keystone.timeout), 1, 300),
            ("keystone.token_cache_ttl", long(self.keystone.token_cache_ttl), 0, 86_400),
            ("keystone.max_privileged_age", long(self.keystone.max_privileged_age), 0, 86_400),
            ("keystone.stale_reads", long(self.keystone.stale_reads), 0, 86_400),
            ("keystone.revocation_poll", long(self.keystone.revocation_poll), 0, 3600),
            ("keystone.calls_at_once", whole(self.keystone.calls_at_once), 1, 1000),
            ("keystone.calls_waiting", whole(self.keystone.calls_waiting), 0, 100_000),
            ("keystone.max_token_length", whole(self.keystone.max_token_length), 20, 65_536),
            ("events.webhook_patience", long(self.events.webhook_patience), 1, 30 * 86_400),
            ("events.lease", long(self.events.lease), 1, 300),
            ("events.keep_days", i64::from(self.events.keep_days), 0, 36_500),
            ("http.max_connections", whole(self.http.max_connections), 16, 100_000),
            ("http.keep_alive", long(self.http.keep_alive), 1, 3600),
            // One project may hold half of it, and the largest body must fit with what is made of it.
            (
                "http.body_buffer_bytes",
                whole(self.http.body_buffer_bytes),
                whole(api_http::least_body_buffer(limits.body_bytes)),
                1 << 40,
            ),
            ("limits.members_per_image", limits.members_per_image, -1, i64::MAX),
            ("limits.properties_per_image", limits.properties_per_image, -1, i64::MAX),
            ("limits.tags_per_image", limits.tags_per_image, -1, i64::MAX),
            ("limits.record_bytes", limits.record_bytes, -1, i64::MAX),
            ("limits.images_per_project", limits.images_per_project, -1, i64::MAX),
            ("limits.page_max", whole(limits.page_max), 1, 100_000),
            ("limits.page_default", whole(limits.page_default), 1, whole(limits.page_max)),
            ("limits.body_bytes", whole(limits.body_bytes), 1024, 1 << 30),
            ("limits.requests_per_second", i64::from(limits.requests_per_second), 0, 1_000_000),
            ("limits.requests_burst", i64::from(limits.requests_burst), 0, 1_000_000),
            ("shutdown.drain", long(self.shutdown.drain), 0, 3600),
            ("shutdown.grace", long(self.shutdown.grace), 0, 3600),
        ] {
            if !(least..=most).contains(&number) {
                return Err(BadConfig::new(key, format!("is {number}; it must be from {least} to {most}")));
            }
        }
        Ok(())
    }

    /// Puts the secrets that are in files in their places.
    ///
    /// # Errors
    /// A file that cannot be read, or a secret that is given twice.
    pub(crate) fn read_secrets(&mut self) -> Result<(), BadConfig> {
        let Self { database, keystone, events, .. } = self;
        let secrets = [
            ("database.url", &mut database.url, &database.url_file),
            ("database.replica_url", &mut database.replica_url, &database.replica_url_file),
            ("database.migrate_url", &mut database.migrate_url, &database.migrate_url_file),
            ("events.rabbitmq_url", &mut events.rabbitmq_url, &events.rabbitmq_url_file),
            ("keystone.password", &mut keystone.password, &keystone.password_file),
            (
                "keystone.application_credential_secret",
                &mut keystone.application_credential_secret,
                &keystone.application_credential_secret_file,
            ),
        ];
        for (key, secret, file) in secrets {
            read_secret(key, secret, file)?;
        }
        for (name, keys) in &mut events.webhooks {
            let key = |of: &str| format!("events.webhooks.{name}.{of}");
            read_secret(&key("url"), &mut keys.url, &keys.url_file)?;
            read_secret(&key("secret"), &mut keys.secret, &keys.secret_file)?;
            read_secret(&key("previous_secret"), &mut keys.previous_secret, &keys.previous_secret_file)?;
        }
        Ok(())
    }
}

/// Puts a secret that is in a file in its place; nothing if no file is named.
fn read_secret(key: &str, secret: &mut Secret, file: &Path) -> Result<(), BadConfig> {
    if file.as_os_str().is_empty() {
        return Ok(());
    }
    if !secret.reveal().is_empty() {
        return Err(BadConfig::new(key, format!("is given twice: here and as {key}_file")));
    }
    let text = fs::read_to_string(file).map_err(|error| {
        BadConfig::new(format!("{key}_file"), format!("{} cannot be read: {error}", file.display()))
    })?;
    *secret = Secret::new(text.trim_end_matches(['\r', '\n']));
    Ok(())
}
