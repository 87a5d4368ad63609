//! The layers: a file, the environment, flags; and where each value came from.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use toml::{Table, Value};

use super::{BadConfig, Config};

/// Where the file is if nobody says.
pub(crate) const DEFAULT_FILE: &str = "/etc/vitrine/vitrine.toml";
/// What names of environment variables start with.
const PREFIX: &str = "VITRINE_";
/// Variables of ours that are no keys: what the build was told, and the file itself.
const NOT_KEYS: [&str; 2] = ["VITRINE_COMMIT", "VITRINE_CONFIG"];

/// Everything said so far, and who said it.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    table: Table,
    origins: BTreeMap<String, String>,
}

impl Layers {
    /// Adds a file.
    ///
    /// # Errors
    /// A file that cannot be read or is no TOML; the message never repeats a line, which might hold a secret.
    pub(crate) fn file(&mut self, path: &Path) -> Result<(), BadConfig> {
        let name = path.display().to_string();
        let text = fs::read_to_string(path)
            .map_err(|error| BadConfig::new(&name, format!("the configuration cannot be read: {error}")))?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            BadConfig::new(&name, format!("line {line} is not TOML: {}", error.message()))
        })?;
        let mut leaves = Vec::new();
        flatten("", &Value::Table(table), &mut leaves);
        for (key, value) in leaves {
            self.set(&key, value, &name)?;
        }
        Ok(())
    }

    /// Adds the environment: `VITRINE_KEYSTONE__AUTH_URL` is `keystone.auth_url`.
    ///
    /// # Errors
    /// A name that cannot be a key.
    pub(crate) fn environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), BadConfig> {
        for (name, value) in variables {
            let Some(key) = name.strip_prefix(PREFIX) else { continue };
            if NOT_KEYS.contains(&name.as_str()) || is_service_link(key, &value) {
                continue;
            }
            let key = key.to_lowercase().replace("__", ".");
            self.set(&key, Value::String(value), &name)?;
        }
        Ok(())
    }

    /// Adds one flag.
    ///
    /// # Errors
    /// A name that cannot be a key.
    pub(crate) fn flag(&mut self, flag: &str, key: &str, value: &str) -> Result<(), BadConfig> {
        self.set(key, Value::String(value.to_owned()), flag)
    }

    fn set(&mut self, key: &str, value: Value, origin: &str) -> Result<(), BadConfig> {
        let mut table = &mut self.table;
        let (sections, last) = match key.rsplit_once('.') {
            Some((sections, last)) => (sections.split('.').collect(), last),
            None => (Vec::new(), key),
        };
        for section in sections {
            let entry = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            match entry.as_table_mut() {
                Some(deeper) => table = deeper,
                None => return Err(BadConfig::new(key, format!("unknown key (from {origin})"))),
            }
        }
        table.insert(last.to_owned(), value);
        self.origins.insert(key.to_owned(), origin.to_owned());
        Ok(())
    }

    /// The configuration that all layers make.
    ///
    /// # Errors
    /// An unknown key or a value that makes no sense: the key, what is wrong, and where it was said.
    pub(crate) fn config(&self) -> Result<Config, BadConfig> {
        let mut config: Config =
            serde_path_to_error::deserialize(Value::Table(self.table.clone())).map_err(|error| {
                let key = error.path().to_string();
                let origin =
                    self.origins.get(&key).map(|origin| format!(" (from {origin})")).unwrap_or_default();
                BadConfig::new(key, format!("{}{origin}", error.inner().message()))
            })?;
        config.read_secrets()?;
        Ok(config)
    }

    /// Every key with its value and where it is from, a line each; secrets as `***`.
    pub(crate) fn describe(&self, config: &Config) -> String {
        let mut leaves = Vec::new();
        if let Ok(value) = Value::try_from(config) {
            flatten("", &value, &mut leaves);
        }
        leaves.into_iter().fold(String::new(), |mut text, (key, value)| {
            let origin = self.origins.get(&key).map_or("default", String::as_str);
            // Writing to a string does not fail.
            let _ = writeln!(text, "{:<62} # {origin}", format!("{key} = {value}"));
            text
        })
    }
}

pub(super) fn flatten(prefix: &str, value: &Value, leaves: &mut Vec<(String, Value)>) {
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&key, value, leaves);
            }
        }
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_) => leaves.push((prefix.to_owned(), value.clone())),
    }
}

/// Kubernetes tells every container where the services of its namespace are, and ours may be called «vitrine» or
/// «vitrine-metrics»: `VITRINE_SERVICE_HOST`, `VITRINE_SERVICE_PORT_HTTP`, `VITRINE_PORT` with an address such as
/// `tcp://10.0.0.1:9292`, `VITRINE_PORT_9292_TCP_ADDR`. Nothing else is let through.
fn is_service_link(key: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let is_of_port = key.split_once("PORT_").is_some_and(|(_, rest)| {
        let mut words = rest.split('_');
        words.next().is_some_and(|number| number.parse::<u16>().is_ok())
            && words.next().is_some_and(|protocol| matches!(protocol, "TCP" | "UDP" | "SCTP"))
    });
    !key.contains("__")
        && (key.ends_with("SERVICE_HOST")
            || key.ends_with("SERVICE_PORT")
            || key.contains("SERVICE_PORT_")
            || (key.ends_with("PORT") && is_address)
            || is_of_port)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use core_domain::{
        caller::Caller,
        project::{ProjectId, UserId},
    };

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Result<Config, BadConfig> {
        let mut layers = Layers::default();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        layers.environment(variables)?;
        layers.config()
    }

    #[test]
    fn whoever_was_heard_before_the_end_is_answered_by_then() {
        let config = environment(&[]).unwrap();
        assert!(config.shutdown.grace > config.deadline, "{:?}", config.shutdown);
    }

    #[test]
    fn a_later_layer_wins_and_is_named_as_the_origin() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("vitrine.toml");
        fs::write(&file, "listen = \"127.0.0.1:1\"\n[limits]\nmembers_per_image = 5\npage_max = 7\n")
            .unwrap();
        let mut layers = Layers::default();
        layers.file(&file).unwrap();
        layers.environment([("VITRINE_LIMITS__PAGE_MAX".to_owned(), "8".to_owned())].into_iter()).unwrap();
        layers.flag("--listen", "listen", "127.0.0.1:2").unwrap();
        let config = layers.config().unwrap();
        assert_eq!(config.listen.port(), 2);
        assert_eq!((config.limits.members_per_image, config.limits.page_max), (5, 8));
        let text = layers.describe(&config);
        assert!(text.lines().any(
            |line| line.starts_with("limits.page_max = 8") && line.ends_with("VITRINE_LIMITS__PAGE_MAX")
        ));
        assert!(
            text.lines().any(|line| line.starts_with("shutdown.grace = 35") && line.ends_with("default"))
        );
    }

    #[test]
    fn a_password_of_digits_stays_text_and_is_never_shown() {
        let config = environment(&[("VITRINE_KEYSTONE__PASSWORD", "0123")]).unwrap();
        assert_eq!(config.keystone.password.reveal(), "0123");
        assert!(!Layers::default().describe(&config).contains("0123"));
        assert!(!format!("{config:?}").contains("0123"));
    }

    #[test]
    fn a_slip_is_named_with_its_key_and_its_origin() {
        for (name, value, words) in [
            (
                "VITRINE_LIMITS__PAGE_MAX",
                "many",
                &["limits.page_max", "whole number", "VITRINE_LIMITS__PAGE_MAX"][..],
            ),
            ("VITRINE_DATABASE__URI", "x", &["database", "uri"]),
            ("VITRINE_COLOUR", "x", &["colour"]),
            ("VITRINE_LISTEN", "localhost", &["listen", "VITRINE_LISTEN"]),
            ("VITRINE_DATABASE__POOL_SIZE", "-1", &["database.pool_size"]),
            ("VITRINE_DATABASE__PORT", "5433", &["database", "port"]),
            ("VITRINE_PORT", "8080", &["port"]),
            ("VITRINE_REPORT", "1", &["report"]),
            ("VITRINE_DATABASE__POOLER", "session", &["database.pooler", "none", "transaction"]),
            ("VITRINE_SHARING__PRIVATE_IMAGES", "maybe", &["sharing.private_images", "share", "forbid"]),
            ("VITRINE_EVENTS__RABBITMQ_QUEUES", "lasting", &["events.rabbitmq_queues", "durable", "quorum"]),
        ] {
            let message = environment(&[(name, value)]).unwrap_err().to_string();
            for word in words {
                assert!(message.contains(word), "{name}={value}: {message}");
            }
        }
    }

    #[test]
    fn what_kubernetes_adds_for_a_service_called_vitrine_is_no_key() {
        environment(&[
            ("VITRINE_SERVICE_HOST", "10.0.0.1"),
            ("VITRINE_PORT", "tcp://10.0.0.1:9292"),
            ("VITRINE_PORT_9292_TCP_ADDR", "10.0.0.1"),
            ("VITRINE_SERVICE_PORT", "9292"),
            ("VITRINE_METRICS_SERVICE_PORT_HTTP", "9293"),
            ("VITRINE_METRICS_PORT_9293_TCP_PORT", "9293"),
        ])
        .unwrap();
    }

    #[test]
    fn a_secret_that_is_no_text_is_refused_without_showing_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("vitrine.toml");
        fs::write(&file, "[keystone]\npassword = 123456789\n").unwrap();
        let mut layers = Layers::default();
        layers.file(&file).unwrap();
        let message = layers.config().unwrap_err().to_string();
        assert!(message.contains("keystone.password") && message.contains("in quotes"), "{message}");
        assert!(!message.contains("1234"), "{message}");
    }

    #[test]
    fn a_number_that_would_break_the_service_is_refused_by_its_key() {
        for (name, value, key) in [
            ("VITRINE_LIMITS__PAGE_MAX", "0", "limits.page_max"),
            ("VITRINE_LIMITS__PAGE_DEFAULT", "0", "limits.page_default"),
            ("VITRINE_LIMITS__PAGE_DEFAULT", "2000", "limits.page_default"),
            ("VITRINE_LIMITS__BODY_BYTES", "10", "limits.body_bytes"),
            ("VITRINE_LIMITS__MEMBERS_PER_IMAGE", "-2", "limits.members_per_image"),
            ("VITRINE_WORKERS", "5000", "workers"),
            ("VITRINE_DATABASE__POOL_SIZE", "100000", "database.pool_size"),
            ("VITRINE_DATABASE__REPLICA_STALENESS", "0", "database.replica_staleness"),
            ("VITRINE_DEADLINE", "0", "deadline"),
            ("VITRINE_KEYSTONE__TIMEOUT", "0", "keystone.timeout"),
            ("VITRINE_KEYSTONE__MAX_TOKEN_LENGTH", "19", "keystone.max_token_length"),
            ("VITRINE_KEYSTONE__MAX_TOKEN_LENGTH", "65537", "keystone.max_token_length"),
            ("VITRINE_EVENTS__LEASE", "0", "events.lease"),
            ("VITRINE_EVENTS__WEBHOOK_PATIENCE", "0", "events.webhook_patience"),
            ("VITRINE_EVENTS__KEEP_DAYS", "40000", "events.keep_days"),
            ("VITRINE_SHUTDOWN__GRACE", "100000", "shutdown.grace"),
            ("VITRINE_HTTP__MAX_CONNECTIONS", "15", "http.max_connections"),
            ("VITRINE_HTTP__KEEP_ALIVE", "0", "http.keep_alive"),
            ("VITRINE_HTTP__BODY_BUFFER_BYTES", "1048575", "http.body_buffer_bytes"),
        ] {
            let config = environment(&[(name, value)]).unwrap();
            let refusal = config.check_numbers().unwrap_err().to_string();
            assert!(refusal.starts_with(key), "{name}={value}: {refusal}");
        }
        Config::default().check_numbers().unwrap();
    }

    #[test]
    fn a_question_to_keystone_has_its_timeout_and_each_try_a_part_of_it() {
        for (timeout, whole, one_try, connecting) in
            [("1", 1000, 600, 600), ("5", 5000, 3000, 1000), ("300", 300_000, 180_000, 1000)]
        {
            let config = environment(&[
                ("VITRINE_KEYSTONE__AUTH_URL", "http://127.0.0.1:5000"),
                ("VITRINE_KEYSTONE__USERNAME", "vitrine"),
                ("VITRINE_KEYSTONE__PASSWORD", "secret"),
                ("VITRINE_KEYSTONE__PROJECT_NAME", "service"),
                ("VITRINE_KEYSTONE__TIMEOUT", timeout),
            ]);
            let tokens = config.unwrap().tokens(&Arc::default()).unwrap();
            let times = [tokens.decision_timeout, tokens.try_timeout, tokens.connect_timeout];
            assert_eq!(times, [whole, one_try, connecting].map(Duration::from_millis), "{timeout}");
        }
    }

    #[test]
    fn administrators_by_the_policy_file_are_privileged() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("policy.yaml");
        let caller =
            |user: &str, roles: &[&str]| Caller::new(UserId::new(user), ProjectId::parse("p").ok(), roles);
        for (policy, privileged, others) in [
            ("context_is_admin: role:Cloud_Operator", &["cloud_operator"][..], &["admin", "member"][..]),
            (
                "context_is_admin: rule:operators or role:admin\noperators: role:operator or role:auditor",
                &["operator", "auditor", "admin"],
                &["member"],
            ),
            // Not by roles alone.
            ("context_is_admin: user_id:root and role:member", &[], &["member", "admin"]),
            ("context_is_admin: not role:reader", &["member", "admin"], &["reader"]),
            ("get_image: role:reader", &["admin"], &["reader", "member"]),
        ] {
            fs::write(&file, policy).unwrap();
            let config = environment(&[
                ("VITRINE_KEYSTONE__AUTH_URL", "http://127.0.0.1:5000"),
                ("VITRINE_KEYSTONE__USERNAME", "vitrine"),
                ("VITRINE_KEYSTONE__PASSWORD", "secret"),
                ("VITRINE_KEYSTONE__PROJECT_NAME", "service"),
                ("VITRINE_POLICY_FILE", file.to_str().unwrap()),
            ])
            .unwrap();
            let tokens = config.tokens(&Arc::new(config.rules().unwrap())).unwrap();
            for (roles, expected) in [(privileged, true), (others, false)] {
                for role in roles {
                    let is_admin = tokens.administrators.include(&caller("alice", &[role]));
                    assert_eq!(is_admin, expected, "{policy}: {role}");
                }
            }
            let root = tokens.administrators.include(&caller("root", &["member"]));
            assert_eq!(root, policy.contains("root") || policy.contains("not "), "{policy}");
        }
    }

    #[test]
    fn the_length_of_tokens_and_trusted_proxies_are_what_the_keys_say() {
        let config = environment(&[
            ("VITRINE_KEYSTONE__AUTH_URL", "http://127.0.0.1:5000"),
            ("VITRINE_KEYSTONE__USERNAME", "vitrine"),
            ("VITRINE_KEYSTONE__PASSWORD", "secret"),
            ("VITRINE_KEYSTONE__PROJECT_NAME", "service"),
            ("VITRINE_KEYSTONE__MAX_TOKEN_LENGTH", "8000"),
            ("VITRINE_HTTP__TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7"),
        ])
        .unwrap();
        assert_eq!(config.tokens(&Arc::default()).unwrap().max_token_length, 8000);
        assert_eq!(config.api().unwrap().trusted_proxies, "10.0.0.0/8,192.0.2.7".parse().unwrap());
        let config = environment(&[("VITRINE_HTTP__TRUSTED_PROXIES", "10.0.0.0/33")]).unwrap();
        let refusal = config.api().unwrap_err().to_string();
        assert!(refusal.starts_with("http.trusted_proxies: \"10.0.0.0/33\" is neither"), "{refusal}");
    }

    #[test]
    fn a_file_that_is_no_toml_is_refused_by_its_line_without_repeating_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("vitrine.toml");
        fs::write(&file, "listen = \"127.0.0.1:1\"\n[keystone]\npassword = hunter2\n").unwrap();
        let message = Layers::default().file(&file).unwrap_err().to_string();
        assert!(message.contains("line 3") && !message.contains("hunter2"), "{message}");
    }
}
