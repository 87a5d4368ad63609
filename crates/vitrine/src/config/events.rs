//! Who is told of events, made from the keys.

use std::{fs, path::PathBuf, time::Duration};

use relay::{Audit, Pace, Queues, Rabbitmq, Secret, Sink, Webhook};

use super::{BadConfig, Config, QueuesWord};

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
        let keys = &self.events;
        let patience = Duration::from_secs(keys.webhook_patience);
        let mut urls: Vec<&str> = keys.webhook_urls.reveal().split_whitespace().collect();
        let secret = Secret::new(keys.webhook_secret.reveal());
        if !urls.is_empty() {
            Webhook::check(&secret).map_err(|invalid| BadConfig::new("events.webhook_secret", invalid))?;
        }
        // One that is named twice is told once.
        urls.sort_unstable();
        urls.dedup();
        let webhook = |url| Webhook::new(url, &secret, patience);
        urls.into_iter()
            .map(webhook)
            .collect::<Result<_, _>>()
            .map_err(|invalid| BadConfig::new("events.webhook_urls", invalid))
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
