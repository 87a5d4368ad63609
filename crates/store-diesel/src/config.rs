//! Where the records are and how long to wait for them.

use std::{fmt, path::PathBuf, time::Duration};

use core_domain::{Error, Result};
use percent_encoding::percent_decode_str;

use crate::{
    replica::WATCHING,
    store::{ROUNDS, TELLING},
};

/// How to reach the records. `Debug` and [`Config::location`] never show the password.
#[derive(Clone)]
pub struct Config {
    pub(crate) address: Address,
    /// Connections kept open, at least one; by default 4.
    pub pool_size: u32,
    /// How long a call waits for a connection; by default 3 s.
    pub connection_timeout: Duration,
    /// How long Postgres works on one statement; by default 10 s.
    pub statement_timeout: Duration,
    /// How long a change waits for others that change the same image; by default 5 s.
    pub lock_timeout: Duration,
    /// How long Postgres keeps a transaction whose server fell silent; by default 10 s.
    pub idle_in_transaction_timeout: Duration,
    /// What stands between this program and Postgres; by default nothing.
    pub pooler: Pooler,
    /// See [`Config::with_replica`].
    pub(crate) replica: Option<(String, Duration)>,
}

/// What stands between this program and Postgres.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooler {
    /// Nothing, or what keeps a session for each connection, as PgBouncer does in session mode.
    #[default]
    None,
    /// What lends a session for one transaction at a time.
    Transaction,
}

/// How many connections one process holds at most, once it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxConnections {
    /// To the primary.
    pub primary: u32,
    /// To the replica.
    pub replica: u32,
}

impl MaxConnections {
    /// Those of a process with this `Config::pool_size`, with or without [`Config::with_replica`].
    #[must_use]
    pub const fn of(pool_size: u32, has_replica: bool) -> Self {
        let primary = pool_size.saturating_add(ROUNDS + TELLING);
        if has_replica {
            let replica = pool_size.saturating_add(WATCHING);
            Self { primary: primary.saturating_add(WATCHING), replica }
        } else {
            Self { primary, replica: 0 }
        }
    }
}

#[derive(Clone)]
pub(crate) enum Address {
    /// A URL for libpq, password included.
    Postgres(String),
    /// A file, absolute.
    Sqlite(PathBuf),
}

/// What may stand in `database.url`.
const ALLOWED: &str =
    "It must be postgres://user:password@host:port/database or sqlite:///absolute/path/to/file.";

/// What a connection to Postgres needs so that a server that vanishes is noticed within seconds; what the URL says
/// itself goes first.
const PARAMETERS: [(&str, &str); 7] = [
    ("application_name", "vitrine"),
    ("connect_timeout", "3"),
    ("keepalives", "1"),
    ("keepalives_idle", "2"),
    ("keepalives_interval", "1"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "4000"),
];

impl Config {
    /// What `database.url` says, and defaults for the rest.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another scheme or an URL that cannot be right. It says what would be and repeats nothing
    /// that might be a password.
    pub fn parse(url: &str) -> Result<Self> {
        let address = match url.split_once("://") {
            Some(("postgres" | "postgresql", rest)) => {
                check_postgres(rest)?;
                Address::Postgres(url.to_owned())
            }
            Some(("sqlite", path)) => Address::Sqlite(sqlite_path(path)?),
            Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                return Err(Error::invalid(format!(
                    "The database URL has the scheme \"{scheme}\", which is not known. {ALLOWED}"
                )));
            }
            Some(_) | None => {
                return Err(Error::invalid(format!("The database URL has no scheme. {ALLOWED}")));
            }
        };
        Ok(Self {
            address,
            pool_size: 4,
            connection_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(5),
            idle_in_transaction_timeout: Duration::from_secs(10),
            pooler: Pooler::None,
            replica: None,
        })
    }

    /// Lets the streaming replica at `url` answer lists, while it is proven to show everything that was committed
    /// `bound` ago.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a URL that cannot be right, and where one of the two is no Postgres.
    pub fn with_replica(mut self, url: &str, bound: Duration) -> Result<Self> {
        if self.is_embedded() || Self::parse(url)?.is_embedded() {
            return Err(Error::invalid("A replica and its primary are Postgres servers, postgres://…."));
        }
        self.replica = Some((url.to_owned(), bound));
        Ok(self)
    }

    /// The same at the replica, and the bound.
    #[must_use]
    pub fn replica(&self) -> Option<(Self, Duration)> {
        let (url, bound) = self.replica.as_ref()?;
        Some((Self { address: Address::Postgres(url.clone()), replica: None, ..self.clone() }, *bound))
    }

    /// How many connections a process with this configuration holds at most.
    #[must_use]
    pub const fn max_connections(&self) -> MaxConnections {
        MaxConnections::of(self.pool_size, self.replica.is_some())
    }

    /// Whether the records are in a file of this machine, so that one server alone may use them.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        matches!(self.address, Address::Sqlite(_))
    }

    /// The URL, for people: the password is `***`.
    #[must_use]
    pub fn location(&self) -> String {
        match &self.address {
            Address::Postgres(url) => redacted(url),
            Address::Sqlite(path) => format!("sqlite://{}", path.display()),
        }
    }

    /// Refuses numbers that cannot work.
    pub(crate) fn checked(&self) -> Result<&Self> {
        if self.pool_size == 0 {
            return Err(Error::invalid("The database pool needs at least one connection."));
        }
        let waits = [
            ("connection", self.connection_timeout),
            ("statement", self.statement_timeout),
            ("lock", self.lock_timeout),
            ("idle-in-transaction", self.idle_in_transaction_timeout),
        ];
        for (name, wait) in waits {
            // Postgres takes a 32-bit number of milliseconds, and 0 for «for ever».
            if wait.as_millis() == 0 || i32::try_from(wait.as_millis()).is_err() {
                return Err(Error::invalid(format!(
                    "The database's {name} timeout must be between 1 ms and 24 days."
                )));
            }
        }
        Ok(self)
    }
}

impl Address {
    /// The URL for libpq, with [`PARAMETERS`].
    pub(crate) fn with_parameters(url: &str) -> String {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let is_given = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
        let mut full = url.to_owned();
        for (name, value) in PARAMETERS.iter().filter(|(name, _)| !is_given(name)) {
            full.push(if full.contains('?') { '&' } else { '?' });
            full.push_str(&format!("{name}={value}"));
        }
        full
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("location", &self.location())
            .field("pool_size", &self.pool_size)
            .field("connection_timeout", &self.connection_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("lock_timeout", &self.lock_timeout)
            .field("idle_in_transaction_timeout", &self.idle_in_transaction_timeout)
            .field("pooler", &self.pooler)
            .field("replica", &self.replica().map(|(replica, bound)| (replica.location(), bound)))
            .finish()
    }
}

/// The part between `//` and the path, and what follows.
fn authority(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

/// libpq would repeat a part of what it cannot read, and that may be a part of the password.
fn check_postgres(rest: &str) -> Result<()> {
    let (authority, after) = authority(rest);
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let are_hosts = hosts.split(',').all(|host| {
        let port = match host.rsplit_once(']') {
            Some((_, port)) => port.strip_prefix(':').unwrap_or(port),
            None => host.split_once(':').map_or("", |(_, port)| port),
        };
        port.bytes().all(|b| b.is_ascii_digit())
    });
    if !are_hosts || authority.matches('@').count() > 1 || after.contains(['@', '#']) {
        return Err(Error::invalid(format!(
            "The database URL cannot be taken apart: in the password, characters such as / ? # @ : must be \
             percent-encoded (%2F %3F %23 %40 %3A), and the port is a number. {ALLOWED}"
        )));
    }
    Ok(())
}

fn sqlite_path(path: &str) -> Result<PathBuf> {
    let decoded = percent_decode_str(path).decode_utf8();
    match decoded {
        Ok(decoded)
            if path.starts_with('/')
                && !path.contains(['?', '#'])
                && !decoded.contains('\0')
                && !decoded.ends_with('/') =>
        {
            Ok(PathBuf::from(decoded.as_ref()))
        }
        Ok(_) | Err(_) => Err(Error::invalid(format!(
            "The SQLite URL does not name a file by its absolute path (? and # are written %3F and %23). {ALLOWED}"
        ))),
    }
}

/// The URL without what is secret in it.
fn redacted(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, after) = authority(rest);
    let authority = match authority.rsplit_once('@') {
        Some((user, hosts)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:***@{hosts}"),
            None => authority.to_owned(),
        },
        None => authority.to_owned(),
    };
    let after = match after.split_once('?') {
        Some((path, query)) => {
            let pairs: Vec<String> = query
                .split('&')
                .map(|pair| match pair.split_once('=') {
                    Some((name, _)) if name.contains("password") => format!("{name}=***"),
                    Some(_) | None => pair.to_owned(),
                })
                .collect();
            format!("{path}?{}", pairs.join("&"))
        }
        None => after.to_owned(),
    };
    format!("{scheme}://{authority}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        Config::parse(url).map(|config| format!("{config:?}")).expect_err(url).to_string()
    }

    #[test]
    fn an_unknown_scheme_is_refused_with_what_is_allowed() {
        for url in
            ["mysql://h/d", "postgres:/h/d", "postgrse://h/d", "/var/lib/vitrine.db", "", "sqlite:x.db"]
        {
            let said = refusal(url);
            assert!(said.contains("postgres://") && said.contains("sqlite:///absolute"), "{url}: {said}");
        }
    }

    #[test]
    fn a_sqlite_file_is_named_by_its_absolute_path_and_nothing_else() {
        for url in
            ["sqlite://vitrine.db", "sqlite://", "sqlite:///", "sqlite:///a?mode=rwc", "sqlite://:memory:"]
        {
            assert!(refusal(url).contains("absolute path"), "{url}");
        }
        assert_eq!(Config::parse("sqlite:///a%20b/c%3Fd").expect("a path").location(), "sqlite:///a b/c?d");
    }

    #[test]
    fn no_text_shows_the_password() {
        let config =
            Config::parse("postgres://u:s3cret@h:5432/d?sslmode=require&password=s3cret&sslpassword=s3cret");
        let shown = format!("{:?}", config.expect("a URL"));
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("postgres://u:***@h:5432/d?sslmode=require"), "{shown}");
        for url in ["postgres://u:s3cret/x@h/d", "postgres://u:s3@cret@h/d", "postgres://h:s3cret/d"] {
            let said = refusal(url);
            assert!(!said.contains("s3cret") && !said.contains("cret@"), "{said}");
        }
    }

    #[test]
    fn parameters_of_the_url_go_before_ours() {
        let full = Address::with_parameters("postgres://h/d?connect_timeout=9");
        assert!(full.contains("connect_timeout=9&application_name=vitrine"), "{full}");
        assert!(!full.contains("connect_timeout=3"), "{full}");
        assert!(
            Address::with_parameters("postgres://h/d")
                .starts_with("postgres://h/d?application_name=vitrine&")
        );
    }

    #[test]
    fn a_pool_without_connections_and_a_wait_of_nothing_are_refused() {
        let config = Config::parse("postgres://h/d").expect("a URL");
        assert!(Config { pool_size: 0, ..config.clone() }.checked().is_err());
        assert!(Config { lock_timeout: Duration::ZERO, ..config.clone() }.checked().is_err());
        assert!(config.checked().is_ok());
    }
}
