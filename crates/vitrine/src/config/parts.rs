//! What each part of the program is told, made from the keys.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use api_http::{Edge, Rate};
use auth_keystone::Administrators;
use core_domain::{
    caller::{PrivateImages, Rules},
    limits::Limits,
};
use store_diesel::Pooler;

use super::{BadConfig, Config, PoolerWord, PrivateImagesWord, value::Secret};
use crate::policy_file;

impl Config {
    /// The rules that use cases go by.
    ///
    /// # Errors
    /// A limit that is no limit; a policy file that does not parse or names an unknown rule.
    pub(crate) fn rules(&self) -> Result<Rules, BadConfig> {
        self.check_numbers()?;
        // What is negative is -1, «no limit».
        let limit = |number: i64| usize::try_from(number).ok();
        let policy = policy_file::read(&self.policy_file)?;
        let private_images = match self.sharing.private_images {
            PrivateImagesWord::Share => PrivateImages::Share,
            PrivateImagesWord::Forbid => PrivateImages::Forbid,
        };
        let limits = Limits {
            members_per_image: limit(self.limits.members_per_image),
            properties_per_image: limit(self.limits.properties_per_image),
            tags_per_image: limit(self.limits.tags_per_image),
            record_bytes: limit(self.limits.record_bytes),
            images_per_project: limit(self.limits.images_per_project),
            page_default: self.limits.page_default,
            page_max: self.limits.page_max,
        };
        Ok(Rules { policy, limits, private_images })
    }

    /// Where and how the records are kept.
    ///
    /// # Errors
    /// No URL, or one that names no database we know.
    pub(crate) fn store(&self) -> Result<store_diesel::Config, BadConfig> {
        let url = self.database.url.reveal();
        if url.is_empty() {
            return Err(BadConfig::new(
                "database.url",
                "is not set; say where the records are: postgres://user:password@host/database",
            ));
        }
        let mut store =
            store_diesel::Config::parse(url).map_err(|error| BadConfig::new("database.url", error))?;
        store.pool_size = self.pool_size();
        store.pooler = match self.database.pooler {
            PoolerWord::None => Pooler::None,
            PoolerWord::Transaction => Pooler::Transaction,
        };
        if store.is_embedded() && store.pooler != Pooler::None {
            return Err(BadConfig::new("database.pooler", "is for Postgres; a SQLite file has no pooler"));
        }
        let replica = self.database.replica_url.reveal();
        if replica.is_empty() {
            return Ok(store);
        }
        store
            .with_replica(replica, Duration::from_secs(self.database.replica_staleness))
            .map_err(|error| BadConfig::new("database.replica_url", error))
    }

    /// Where migrations are applied: where the records are, but never through a pooler that lends transactions.
    ///
    /// # Errors
    /// As [`Config::store`]; no way around the pooler.
    pub(crate) fn migration(&self) -> Result<store_diesel::Config, BadConfig> {
        let key = "database.migrate_url";
        let url = self.database.migrate_url.reveal();
        if url.is_empty() {
            let store = self.store()?;
            return match store.pooler {
                Pooler::None => Ok(store),
                Pooler::Transaction => Err(BadConfig::new(
                    key,
                    "is not set; a migration holds a lock for longer than the pooler of database.pooler lends a \
                     session: say where Postgres itself is",
                )),
            };
        }
        let store = store_diesel::Config::parse(url).map_err(|error| BadConfig::new(key, error))?;
        if store.is_embedded() { Err(BadConfig::new(key, "is for Postgres")) } else { Ok(store) }
    }

    /// Who vouches for callers, and that administrators by these rules are asked about more often.
    ///
    /// # Errors
    /// What cannot be used, by its key.
    pub(crate) fn tokens(&self, rules: &Arc<Rules>) -> Result<auth_keystone::Config, BadConfig> {
        let keystone = &self.keystone;
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let secret = |secret: &Secret| text(secret.reveal()).map(auth_keystone::Secret::new);
        let path = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
        let token_formats = auth_keystone::Formats::from_words(&keystone.token_formats).ok_or_else(|| {
            BadConfig::new("keystone.token_formats", "must be fernet, jws, both with a comma between, or any")
        })?;
        let rules = Arc::clone(rules);
        let administrators = Administrators::new(move |caller| rules.policy.makes_admin(caller));
        let defaults = auth_keystone::Config::default();
        let decision_timeout = Duration::from_secs(keystone.timeout);
        let try_timeout = decision_timeout * 3 / 5;
        let config = auth_keystone::Config {
            auth_url: keystone.auth_url.clone(),
            username: text(&keystone.username),
            password: secret(&keystone.password),
            project_name: text(&keystone.project_name),
            user_domain_id: keystone.user_domain_id.clone(),
            project_domain_id: keystone.project_domain_id.clone(),
            application_credential_id: text(&keystone.application_credential_id),
            application_credential_secret: secret(&keystone.application_credential_secret),
            ca_file: path(&keystone.ca_file),
            connect_timeout: defaults.connect_timeout.min(try_timeout),
            try_timeout,
            decision_timeout,
            token_cache_ttl: Duration::from_secs(keystone.token_cache_ttl),
            max_privileged_age: Duration::from_secs(keystone.max_privileged_age),
            stale_reads: Duration::from_secs(keystone.stale_reads),
            administrators,
            revocation_poll: Duration::from_secs(keystone.revocation_poll),
            calls_at_once: keystone.calls_at_once,
            calls_waiting: keystone.calls_waiting,
            service_token_roles: keystone.service_token_roles.split(',').map(str::to_owned).collect(),
            token_formats,
            max_token_length: keystone.max_token_length,
            jws_public_keys: path(&keystone.jws_public_keys),
            ..defaults
        };
        config.check().map_err(|invalid| BadConfig::new(invalid.key, invalid.reason))?;
        Ok(config)
    }

    /// What the API is told.
    ///
    /// # Errors
    /// Addresses that cannot stand in a header or a link.
    pub(crate) fn api(&self) -> Result<api_http::Settings, BadConfig> {
        let keystone = &self.keystone;
        let identity_uri =
            if keystone.public_url.is_empty() { &keystone.auth_url } else { &keystone.public_url };
        let usable = |key: &str, url: &str| {
            let plain = url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
            if plain && (url.is_empty() || url.starts_with("http://") || url.starts_with("https://")) {
                Ok(())
            } else {
                Err(BadConfig::new(key, "must be a URL such as https://image.example.org"))
            }
        };
        usable("public_endpoint", &self.public_endpoint)?;
        usable("keystone.public_url", &keystone.public_url)?;
        let trusted_proxies = self.http.trusted_proxies.parse();
        Ok(api_http::Settings {
            public_endpoint: (!self.public_endpoint.is_empty()).then(|| self.public_endpoint.clone()),
            identity_uri: identity_uri.clone(),
            body_bytes: self.limits.body_bytes,
            deadline: Duration::from_secs(self.deadline),
            connections: self.pool_size() as usize,
            rate: self.rate()?,
            edge: self.edge()?,
            trusted_proxies: trusted_proxies
                .map_err(|reason: String| BadConfig::new("http.trusted_proxies", reason))?,
        })
    }

    /// How the server holds its connections.
    ///
    /// # Errors
    /// Text that is no origin.
    fn edge(&self) -> Result<Edge, BadConfig> {
        Ok(Edge {
            max_connections: self.http.max_connections,
            keep_alive: Duration::from_secs(self.http.keep_alive),
            body_buffer_bytes: self.http.body_buffer_bytes,
            allowed_origins: self.cors.origins()?,
        })
    }

    /// How often each project may ask, if there is a limit.
    fn rate(&self) -> Result<Option<Rate>, BadConfig> {
        let (per_second, burst) = (self.limits.requests_per_second, self.limits.requests_burst);
        if per_second == 0 && burst > 0 {
            return Err(BadConfig::new(
                "limits.requests_burst",
                "says nothing without limits.requests_per_second",
            ));
        }
        let burst = NonZeroU32::new(burst).or(NonZeroU32::new(per_second.saturating_mul(2)));
        Ok(NonZeroU32::new(per_second).zip(burst).map(|(per_second, burst)| Rate { per_second, burst }))
    }

    /// Where `/metrics` is, if anywhere.
    ///
    /// # Errors
    /// Text that is no address.
    pub(crate) fn metrics(&self) -> Result<Option<SocketAddr>, BadConfig> {
        if self.metrics_listen.is_empty() {
            return Ok(None);
        }
        let address: SocketAddr = self.metrics_listen.parse().map_err(|_| {
            BadConfig::new("metrics_listen", "must be an address and port such as 0.0.0.0:9293")
        })?;
        if address == self.listen && address.port() != 0 {
            return Err(BadConfig::new(
                "metrics_listen",
                "is the same as listen; figures need a port of their own",
            ));
        }
        Ok(Some(address))
    }

    /// Threads that speak HTTP.
    pub(crate) fn workers(&self) -> usize {
        if self.workers > 0 { self.workers } else { cores() }
    }

    /// Connections to the database, and calls that use them at once.
    pub(crate) fn pool_size(&self) -> u32 {
        if self.database.pool_size > 0 {
            self.database.pool_size
        } else {
            u32::try_from(2 * cores()).unwrap_or(u32::MAX)
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
