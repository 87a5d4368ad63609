//! `events.*`, and who is told of events, made from them.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use relay::{Audit, Pace, Queues, Rabbitmq, Secret, SigningKey, Sink, Webhook};

use serde::{Deserialize, Serialize};

use super::{
    BadConfig, Config,
    value::{self, number},
};

/// `events.*`: who is told of changes; nobody, if all are empty.
#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Events {
    /// `amqp://…` or `amqps://…`, several separated by spaces.
    pub(crate) rabbitmq_url: value::Secret,
    pub(crate) rabbitmq_url_file: PathBuf,
    pub(crate) rabbitmq_exchange: String,
    /// The routing key and the queue are `TOPIC.info`.
    pub(crate) rabbitmq_topic: String,
    /// `durable`, `quorum` or `transient`: what is made if there is nothing yet.
    pub(crate) rabbitmq_queues: QueuesWord,
    /// Certificates of the only authorities to trust, as PEM; the system's if empty.
    pub(crate) rabbitmq_ca_file: PathBuf,
    /// Who tells, for those who are told; `image.` and the host's name if empty.
    pub(crate) publisher_id: String,
    /// Addresses that are called, each by a name of its own: `[events.webhooks.NAME]`.
    pub(crate) webhooks: BTreeMap<String, WebhookKeys>,
    /// How old an event may be, in seconds, before it is given up.
    #[serde(deserialize_with = "number")]
    pub(crate) webhook_patience: u64,
    /// A file, or `stdout`.
    pub(crate) audit_log: String,
    /// How long a server that ended without notice is waited for, in seconds.
    #[serde(deserialize_with = "number")]
    pub(crate) lease: u64,
    /// How long events are kept for histories; 0: for ever.
    #[serde(deserialize_with = "number")]
    pub(crate) keep_days: u32,
}

/// `events.webhooks.NAME.*`
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WebhookKeys {
    /// The address.
    pub(crate) url: value::Secret,
    pub(crate) url_file: PathBuf,
    /// What calls are signed with: `whsec_` and Base64.
    pub(crate) secret: value::Secret,
    pub(crate) secret_file: PathBuf,
    /// The secret before, while the receiver changes over; calls are signed with both.
    pub(crate) previous_secret: value::Secret,
    pub(crate) previous_secret_file: PathBuf,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum QueuesWord {
    #[default]
    Durable,
    Quorum,
    Transient,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            rabbitmq_url: value::Secret::default(),
            rabbitmq_url_file: PathBuf::new(),
            rabbitmq_exchange: "glance".to_owned(),
            rabbitmq_topic: "notifications".to_owned(),
            rabbitmq_queues: QueuesWord::Durable,
            rabbitmq_ca_file: PathBuf::new(),
            publisher_id: String::new(),
            webhooks: BTreeMap::new(),
            webhook_patience: 4 * 3600,
            audit_log: String::new(),
            lease: 10,
            keep_days: 400,
        }
    }
}

/// The longest name of a webhook.
const LONGEST_NAME: usize = 64;

/// The most sinks of events: each holds a claim of up to 8 MiB, and as much that is being sent.
const MOST_SINKS: usize = 16;

/// The word for standard output.
const OUTPUT: &str = "stdout";

impl Config {
    /// Everybody who is told of events, by a thread each; nobody, if the keys name none.
    ///
    /// # Errors
    /// What cannot be used, by its key. Nobody is asked whether they are there.
    pub(crate) fn sinks(&self) -> Result<Vec<Box<dyn Sink>>, BadConfig> {
        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        if let Some(rabbitmq) = self.rabbitmq()? {
            sinks.push(Box::new(rabbitmq));
        }
        for webhook in self.webhooks()? {
            sinks.push(Box::new(webhook));
        }
        if let Some(audit) = self.audit()? {
            sinks.push(Box::new(audit));
        }
        if sinks.len() > MOST_SINKS {
            return Err(BadConfig::new(
                "events.webhooks",
                format!(
                    "makes {} sinks with RabbitMQ and the audit log; there may be at most {MOST_SINKS}",
                    sinks.len()
                ),
            ));
        }
        Ok(sinks)
    }

    /// How quick telling is.
    pub(crate) fn pace(&self) -> Pace {
        Pace { lease: Duration::from_secs(self.events.lease), ..Pace::default() }
    }

    fn rabbitmq(&self) -> Result<Option<Rabbitmq>, BadConfig> {
        let keys = &self.events;
        if keys.rabbitmq_url.reveal().trim().is_empty() {
            return Ok(None);
        }
        // AMQP's short strings.
        for (key, name) in [
            ("events.rabbitmq_exchange", &keys.rabbitmq_exchange),
            ("events.rabbitmq_topic", &keys.rabbitmq_topic),
        ] {
            if name.is_empty() || name.len() > 200 || name.chars().any(|letter| letter.is_control()) {
                return Err(BadConfig::new(key, "must be a name of at most 200 bytes"));
            }
        }
        let authorities = if keys.rabbitmq_ca_file.as_os_str().is_empty() {
            None
        } else {
            let file = &keys.rabbitmq_ca_file;
            let read = fs::read(file).map_err(|error| {
                BadConfig::new(
                    "events.rabbitmq_ca_file",
                    format!("{} cannot be read: {error}", file.display()),
                )
            })?;
            Some(read)
        };
        let key = if authorities.is_some() { "events.rabbitmq_ca_file" } else { "events.rabbitmq_url" };
        let url = |invalid| BadConfig::new("events.rabbitmq_url", invalid);
        // First the addresses alone, so that what is wrong is said of its own key.
        let secret = Secret::new(keys.rabbitmq_url.reveal());
        Rabbitmq::check(&secret).map_err(url)?;
        let rabbitmq = Rabbitmq::new(&secret, authorities.as_deref(), &self.publisher_id())
            .map_err(|invalid| BadConfig::new(key, invalid))?;
        let queues = match keys.rabbitmq_queues {
            QueuesWord::Durable => Queues::Durable,
            QueuesWord::Quorum => Queues::Quorum,
            QueuesWord::Transient => Queues::Transient,
        };
        Ok(Some(rabbitmq.exchange(&keys.rabbitmq_exchange).topic(&keys.rabbitmq_topic).queues(queues)))
    }

    fn webhooks(&self) -> Result<Vec<Webhook>, BadConfig> {
        let patience = Duration::from_secs(self.events.webhook_patience);
        // The secrets of the webhooks so far, each with its key.
        let mut taken: Vec<(String, SigningKey)> = Vec::new();
        let webhook = |(name, keys): (&String, &WebhookKeys)| {
            let letters = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '_' | '-');
            if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(letters) {
                return Err(BadConfig::new(
                    format!("events.webhooks.{}", name.escape_debug()),
                    format!(
                        "the name of a webhook must be at most {LONGEST_NAME} of the characters a-z, 0-9, _ and -"
                    ),
                ));
            }
            let key = |of: &str| format!("events.webhooks.{name}.{of}");
            let signing = |of: &str, secret: &value::Secret| {
                SigningKey::parse(&Secret::new(secret.reveal()))
                    .map_err(|invalid| BadConfig::new(key(of), invalid))
            };
            let mut own = vec![(key("secret"), signing("secret", &keys.secret)?)];
            if !keys.previous_secret.reveal().is_empty() {
                let previous = signing("previous_secret", &keys.previous_secret)?;
                // Nothing is signed twice with the same secret.
                if own.iter().all(|(_, secret)| *secret != previous) {
                    own.push((key("previous_secret"), previous));
                }
            }
            for (key, secret) in &own {
                if let Some((other, _)) = taken.iter().find(|(_, other)| other == secret) {
                    return Err(BadConfig::new(
                        key,
                        format!(
                            "is the secret of another webhook too, {other}: give each webhook its own, or one receiver can \
                             forge calls to the other"
                        ),
                    ));
                }
            }
            let secrets = own.iter().map(|(_, secret)| secret.clone()).collect();
            taken.extend(own);
            Webhook::new(name, keys.url.reveal().trim(), secrets, patience)
                .map_err(|invalid| BadConfig::new(key("url"), invalid))
        };
        self.events.webhooks.iter().map(webhook).collect()
    }

    fn audit(&self) -> Result<Option<Audit>, BadConfig> {
        let path = match self.events.audit_log.as_str() {
            "" => return Ok(None),
            OUTPUT => return Ok(Some(Audit::output(&self.publisher_id()))),
            path => PathBuf::from(path),
        };
        if !path.is_absolute() {
            return Err(BadConfig::new(
                "events.audit_log",
                "must be an absolute path such as /var/log/vitrine/audit.log, or stdout",
            ));
        }
        Ok(Some(Audit::file(path, &self.publisher_id())))
    }

    /// As Glance's `default_publisher_id`, with the host's name.
    fn publisher_id(&self) -> String {
        let given = &self.events.publisher_id;
        if given.is_empty() { format!("image.{}", host()) } else { given.clone() }
    }
}

/// What this machine, or this container, is called.
pub(crate) fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use crate::config::layers::Layers;

    fn sinks(keys: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let mut layers = Layers::default();
        for (key, value) in keys {
            layers.flag("--set", key, value).unwrap();
        }
        let sinks = layers.config().and_then(|config| config.sinks()).map_err(|error| error.to_string())?;
        Ok(sinks.iter().map(|sink| sink.name().to_owned()).collect())
    }

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const URL: (&str, &str) = ("events.webhooks.a.url", "https://hooks.example.org/x");

    #[test]
    fn nobody_is_told_unless_the_keys_say_so() {
        assert_eq!(sinks(&[]).unwrap(), [""; 0]);
        assert_eq!(sinks(&[("events.rabbitmq_exchange", "other")]).unwrap(), [""; 0]);
    }

    #[test]
    fn each_webhook_is_a_sink_of_its_own_name() {
        let told = sinks(&[
            ("events.rabbitmq_url", "amqp://guest:guest@localhost/%2f amqp://guest:guest@other/%2f"),
            ("events.webhooks.cmdb.url", "https://b.example.org/x"),
            ("events.webhooks.cmdb.secret", SECRET),
            ("events.webhooks.billing-2.url", "https://a.example.org/y"),
            ("events.webhooks.billing-2.secret", OTHER),
            ("events.audit_log", "stdout"),
        ]);
        assert_eq!(told.unwrap(), ["rabbitmq", "webhook:billing-2", "webhook:cmdb", "audit"]);
    }

    #[test]
    fn more_than_sixteen_sinks_are_refused() {
        let hooks: Vec<[(String, String); 2]> = (0..16)
            .map(|number| {
                let key = |of: &str| format!("events.webhooks.a{number:02}.{of}");
                let secret = SECRET.replace("MfKQ", &format!("MfK{}", char::from(b'A' + number)));
                [(key("url"), "https://a.example.org/".to_owned()), (key("secret"), secret)]
            })
            .collect();
        let mut keys: Vec<(&str, &str)> =
            hooks.iter().flatten().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(sinks(&keys).unwrap().len(), 16);
        keys.push(("events.audit_log", "stdout"));
        let refused = sinks(&keys).unwrap_err();
        assert!(refused.starts_with("events.webhooks") && refused.contains("17 sinks"), "{refused}");
    }

    #[test]
    fn a_new_secret_or_address_makes_no_new_sink() {
        let before = sinks(&[URL, ("events.webhooks.a.secret", SECRET)]).unwrap();
        let after = sinks(&[
            ("events.webhooks.a.url", "https://moved.example.org/"),
            ("events.webhooks.a.secret", OTHER),
            ("events.webhooks.a.previous_secret", SECRET),
        ]);
        assert_eq!(after.unwrap(), before);
    }

    #[test]
    fn a_secret_of_two_webhooks_is_refused_by_both_keys() {
        let both = |first: (&str, &str), second: (&str, &str)| {
            sinks(&[
                URL,
                ("events.webhooks.a.secret", "whsec_cHVibGljIGFuZCBvbmx5IGZvciB0aGlzIHRlc3Qh"),
                ("events.webhooks.b.url", "https://b.example.org/"),
                ("events.webhooks.b.secret", "whsec_cHVibGljIGFuZCBvbmx5IGZvciBhbm90aGVyIG9uZSE="),
                first,
                second,
            ])
        };
        const KEYS: [&str; 4] = [
            "events.webhooks.a.secret",
            "events.webhooks.a.previous_secret",
            "events.webhooks.b.secret",
            "events.webhooks.b.previous_secret",
        ];
        for (one, other) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
            let refused = both((KEYS[one], SECRET), (KEYS[other], SECRET)).unwrap_err();
            assert!(refused.starts_with(&format!("{}: ", KEYS[other])), "{refused}");
            assert!(refused.contains(&format!(" {}:", KEYS[one])) && !refused.contains("MfKQ"), "{refused}");
        }
        // One webhook may have the same twice: it is signed with once.
        for (one, other) in [(0, 1), (2, 3), (0, 2)] {
            let second = if other == 2 { OTHER } else { SECRET };
            assert!(both((KEYS[one], SECRET), (KEYS[other], second)).is_ok());
        }
    }

    #[test]
    fn webhooks_come_from_a_file_and_the_environment_and_secrets_from_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("secret"), format!("{SECRET}\n")).unwrap();
        std::fs::write(path("url"), "https://hooks.example.org/x?key=hunter2\n").unwrap();
        let quoted = |name: &str| path(name).display().to_string();
        let file = format!("[events.webhooks.cmdb]\nurl_file = \"{}\"\n", quoted("url"));
        std::fs::write(path("vitrine.toml"), file).unwrap();
        let mut layers = Layers::default();
        layers.file(&path("vitrine.toml")).unwrap();
        let variables = [
            ("VITRINE_EVENTS__WEBHOOKS__CMDB__SECRET_FILE", quoted("secret")),
            ("VITRINE_EVENTS__WEBHOOKS__CMDB__PREVIOUS_SECRET", SECRET.to_owned()),
        ];
        layers.environment(variables.map(|(name, value)| (name.to_owned(), value)).into_iter()).unwrap();
        let config = layers.config().unwrap();
        assert_eq!(config.sinks().unwrap()[0].name(), "webhook:cmdb");
        assert_eq!(config.events.webhooks["cmdb"].secret.reveal(), SECRET);
        let shown = format!("{}{config:?}", layers.describe(&config));
        assert!(shown.contains("events.webhooks.cmdb.secret = \"***\""), "{shown}");
        assert!(!shown.contains("MfKQ") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_its_key_and_never_shown() {
        for (keys, key) in [
            (&[("events.rabbitmq_url", "http://hunter2")][..], "events.rabbitmq_url"),
            (
                &[("events.rabbitmq_url", "amqp://hunter2/"), ("events.rabbitmq_topic", "")],
                "events.rabbitmq_topic",
            ),
            (
                &[("events.rabbitmq_url", "amqp://hunter2/"), ("events.rabbitmq_ca_file", "/nowhere")],
                "events.rabbitmq_ca_file",
            ),
            (&[URL], "events.webhooks.a.secret"),
            (&[URL, ("events.webhooks.a.secret", "hunter2")], "events.webhooks.a.secret"),
            (
                &[
                    URL,
                    ("events.webhooks.a.secret", SECRET),
                    ("events.webhooks.a.previous_secret", "hunter2"),
                ],
                "events.webhooks.a.previous_secret",
            ),
            (&[URL, ("events.webhooks.a.secret_file", "/nowhere")], "events.webhooks.a.secret_file"),
            (
                &[
                    URL,
                    ("events.webhooks.a.secret", "hunter2"),
                    ("events.webhooks.a.secret_file", "/nowhere"),
                ],
                "events.webhooks.a.secret",
            ),
            (
                &[("events.webhooks.a.url", "ftp://hunter2/"), ("events.webhooks.a.secret", SECRET)],
                "events.webhooks.a.url",
            ),
            (&[("events.webhooks.a.secret", SECRET)], "events.webhooks.a.url"),
            (&[("events.webhooks.a.token", "hunter2")], "events.webhooks.a.token"),
            (&[("events.webhooks.A b.url", "https://host/hunter2")], "events.webhooks.A b"),
            (&[("events.webhook_secret", "hunter2")], "events.webhook_secret"),
            (&[("events.audit_log", "relative.log")], "events.audit_log"),
        ] {
            let refused = sinks(keys).unwrap_err();
            assert!(refused.starts_with(key) && !refused.contains("hunter2"), "{keys:?}: {refused}");
        }
    }
}
