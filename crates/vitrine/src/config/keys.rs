//! What each key means, for people: the one table behind `vitrine check-config --example`, `deploy/vitrine.toml.example`,
//! the key table of `docs/operating.md` and the deployment check. Names and defaults are those of [`Config`]; a test names
//! each key that has no line here.

use std::fmt::Write as _;

use store_diesel::MaxConnections;
use toml::{Table, Value};

use super::Config;

/// A key, the unit of its value (empty if it has none) and what it means, in one line.
struct Key {
    name: &'static str,
    unit: &'static str,
    meaning: &'static str,
}

const fn key(name: &'static str, unit: &'static str, meaning: &'static str) -> Key {
    Key { name, unit, meaning }
}

/// Every key, in the order in which they are shown; keys of one section stand together.
const KEYS: &[Key] = &[
    key("listen", "address and port", "where the API listens"),
    key("metrics_listen", "address and port", "where /metrics listens; empty: no /metrics"),
    key(
        "public_endpoint",
        "URL",
        "base of links in discovery and in Location; set it behind a proxy that ends TLS. Empty: the host that the client used",
    ),
    key("workers", "threads", "threads that speak HTTP; 0: one for each core"),
    key("deadline", "seconds", "time from a request's arrival to its answer, without its body; beyond: 503"),
    key("policy_file", "path", "oslo.policy file that overrides the built-in rules; empty: none"),
    key(
        "database.url",
        "URL",
        "required: postgres://user:password@host:5432/name or sqlite:///absolute/path",
    ),
    key("database.url_file", "path", "file with database.url, instead of it"),
    key(
        "database.pooler",
        "none or transaction",
        "transaction: PgBouncer in transaction mode stands before Postgres",
    ),
    key("database.migrate_url", "URL", "Postgres itself, for vitrine migrate; empty: database.url"),
    key("database.migrate_url_file", "path", "file with database.migrate_url, instead of it"),
    key("database.replica_url", "URL", "streaming replica that may answer GET /v2/images; empty: none"),
    key("database.replica_url_file", "path", "file with database.replica_url, instead of it"),
    key("database.replica_staleness", "seconds", "age that an answer of the replica may have"),
    key(
        "database.pool_size",
        "connections",
        "calls that work on records at once; a process holds more connections than these, see the top. 0: two for each core",
    ),
    key("keystone.auth_url", "URL", "required: where Keystone is, with or without /v3"),
    key("keystone.public_url", "URL", "what clients read in WWW-Authenticate; empty: keystone.auth_url"),
    key(
        "keystone.username",
        "",
        "the service's user, which needs the role service; or an application credential",
    ),
    key("keystone.password", "", "the user's password"),
    key("keystone.password_file", "path", "file with keystone.password, instead of it"),
    key("keystone.project_name", "", "the user's project"),
    key("keystone.user_domain_id", "", "the user's domain"),
    key("keystone.project_domain_id", "", "the project's domain"),
    key("keystone.application_credential_id", "", "application credential, instead of the user"),
    key("keystone.application_credential_secret", "", "the application credential's secret"),
    key(
        "keystone.application_credential_secret_file",
        "path",
        "file with keystone.application_credential_secret, instead of it",
    ),
    key(
        "keystone.timeout",
        "seconds",
        "time that one validation may take with all its tries; one try has three fifths of it",
    ),
    key(
        "keystone.token_cache_ttl",
        "seconds",
        "time for which a validated token is trusted: how long a removed role may still work",
    ),
    key("keystone.max_privileged_age", "seconds", "the same for privileged tokens, where it is shorter"),
    key(
        "keystone.stale_reads",
        "seconds",
        "while Keystone cannot be asked: age of its last answer with which an unprivileged GET is served; 0: none is",
    ),
    key(
        "keystone.revocation_poll",
        "seconds",
        "interval at which Keystone is asked for revocations; 0: never",
    ),
    key("keystone.calls_at_once", "calls", "validations that Keystone is asked for at once"),
    key("keystone.calls_waiting", "calls", "validations that wait for a place among them; beyond: 503"),
    key(
        "keystone.service_token_roles",
        "",
        "roles that make X-Service-Token a service's, separated by commas",
    ),
    key(
        "keystone.token_formats",
        "",
        "fernet, jws, both separated by a comma, or any; other tokens are 401 unasked",
    ),
    key("keystone.max_token_length", "characters", "length of the longest token; a longer one is 401"),
    key(
        "keystone.jws_public_keys",
        "path",
        "folder with Keystone's public keys (PEM) for JWS tokens; empty: none",
    ),
    key(
        "keystone.ca_file",
        "path",
        "authorities (PEM) to trust for Keystone's certificate; empty: the system's",
    ),
    key("http.max_connections", "connections", "connections that clients may have open at once"),
    key("http.keep_alive", "seconds", "time for which an idle connection is kept"),
    key(
        "http.body_buffer_bytes",
        "bytes",
        "bytes that all request bodies, with what is made of them, hold together; beyond: 503",
    ),
    key(
        "http.trusted_proxies",
        "",
        "addresses and networks of proxies whose X-Forwarded-For is believed, separated by commas; empty: none",
    ),
    key(
        "cors.allowed_origins",
        "",
        "origins of web pages that may call the API from a browser, separated by commas; empty: none",
    ),
    key("sharing.private_images", "share or forbid", "what adding a member to a private image does"),
    key(
        "events.rabbitmq_url",
        "URLs",
        "amqp:// or amqps:// addresses, separated by spaces; empty: no notifications",
    ),
    key("events.rabbitmq_url_file", "path", "file with events.rabbitmq_url, instead of it"),
    key("events.rabbitmq_exchange", "", "exchange of the notifications"),
    key("events.rabbitmq_topic", "", "queue and routing key are TOPIC.info"),
    key(
        "events.rabbitmq_queues",
        "durable, quorum or transient",
        "what is declared if there is no queue yet",
    ),
    key(
        "events.rabbitmq_ca_file",
        "path",
        "authorities (PEM) to trust for the broker's certificate; empty: the system's",
    ),
    key(
        "events.publisher_id",
        "",
        "sender in notifications and in the audit log; empty: image. and the host's name",
    ),
    key(
        "events.webhook_patience",
        "seconds",
        "age at which an event that cannot be delivered becomes a dead letter",
    ),
    key("events.audit_log", "path or stdout", "where CADF records go, one a line; empty: nowhere"),
    key(
        "events.lease",
        "seconds",
        "time after which another server takes over from one that ended without notice",
    ),
    key("events.keep_days", "days", "how long events are kept for histories; 0: for ever"),
    key("events.webhooks.NAME.url", "URL", "address that is called for each event"),
    key("events.webhooks.NAME.url_file", "path", "file with url, instead of it"),
    key(
        "events.webhooks.NAME.secret",
        "",
        "required: what calls are signed with, whsec_ and the Base64 form of 24 to 64 bytes, other ones for each webhook",
    ),
    key("events.webhooks.NAME.secret_file", "path", "file with secret, instead of it"),
    key(
        "events.webhooks.NAME.previous_secret",
        "",
        "secret before, during a rotation: calls are signed with both; empty: none",
    ),
    key("events.webhooks.NAME.previous_secret_file", "path", "file with previous_secret, instead of it"),
    key("limits.members_per_image", "members", "members of one image; -1: no limit"),
    key("limits.properties_per_image", "properties", "properties of one image; -1: no limit"),
    key("limits.tags_per_image", "tags", "tags of one image; -1: no limit"),
    key(
        "limits.record_bytes",
        "bytes",
        "bytes of one image's attributes, tags and properties; beyond: 413. -1: no limit",
    ),
    key("limits.images_per_project", "images", "images that a project owns; beyond: 413. -1: no limit"),
    key("limits.page_default", "images", "images on a page where the client gives no limit"),
    key("limits.page_max", "images", "images on a page at most"),
    key(
        "limits.body_bytes",
        "bytes",
        "largest JSON body; with what is made of it, it may take four times that in memory. Beyond: 413",
    ),
    key(
        "limits.requests_per_second",
        "requests",
        "requests a second of one project in the long run, for each server; beyond: 429. 0: no limit",
    ),
    key(
        "limits.requests_burst",
        "requests",
        "requests of one project at once after a rest; 0: two seconds' worth",
    ),
    key("tls.certificate", "path", "certificate and its intermediates (PEM); empty: plain HTTP"),
    key("tls.key", "path", "the certificate's private key (PEM)"),
    key("log.format", "auto, json or text", "auto: JSON, but text for vitrine dev"),
    key("log.level", "", "level, also for a part alone: info,vitrine::request=warn"),
    key("shutdown.drain", "seconds", "time for which it still answers after SIGTERM, not ready any more"),
    key("shutdown.grace", "seconds", "time that requests under way have after that; more than deadline"),
];

const INTRODUCTION: &str = "\
# Every key of Vitrine with its default. Generated by `vitrine check-config --example`; do not edit it here.
# Copy it to /etc/vitrine/vitrine.toml and take the # off what you change. In the environment keystone.auth_url is
# VITRINE_KEYSTONE__AUTH_URL. docs/operating.md has more on each key.
#
";

/// A configuration file with every key, its unit, its meaning and, as a comment, its default.
pub(crate) fn example() -> String {
    let beside = MaxConnections::of(0, true);
    let alone = MaxConnections::of(0, false).primary;
    let mut text = INTRODUCTION.to_owned();
    // Writing to a string does not fail. The deployment check reads the three numbers.
    let _ = writeln!(
        text,
        "# Connections of one process, at most: database.pool_size + {alone} to Postgres; with database.replica_url it is\n\
         # database.pool_size + {} to the primary and database.pool_size + {} to the replica.",
        beside.primary, beside.replica
    );
    let defaults = Value::try_from(Config::default()).unwrap_or_else(|_| Value::Table(Table::new()));
    let mut section = "";
    for Key { name, unit, meaning } in KEYS {
        let (of, last) = name.rsplit_once('.').unwrap_or(("", name));
        let is_template = of.ends_with(".NAME");
        if of != section {
            let heading = if is_template { "# As often as there is a NAME for it:\n# " } else { "" };
            let _ = write!(text, "\n{heading}[{of}]\n");
            section = of;
        }
        let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
        if is_template {
            let _ = writeln!(text, "#\n#   {meaning}{unit}\n#   {last} = \"\"");
            continue;
        }
        let value = name.split('.').try_fold(&defaults, |value, part| value.get(part));
        let value = value.map_or_else(String::new, Value::to_string);
        let _ = write!(text, "\n# {meaning}{unit}\n# {last} = {value}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;
    use crate::config::{
        events::WebhookKeys,
        layers::{Layers, flatten},
    };

    fn keys() -> Vec<String> {
        let mut leaves = Vec::new();
        flatten("", &Value::try_from(Config::default()).unwrap(), &mut leaves);
        flatten("events.webhooks.NAME", &Value::try_from(WebhookKeys::default()).unwrap(), &mut leaves);
        leaves.into_iter().map(|(key, _)| key).collect()
    }

    /// A file of the repository; tests of a package run in its folder.
    fn of_repository(path: &str) -> String {
        let path = format!("../../{path}");
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[test]
    fn every_key_has_its_description() {
        let described: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
        let known = keys();
        let missing: Vec<_> = known.iter().filter(|key| !described.contains(&key.as_str())).collect();
        assert!(missing.is_empty(), "config/keys.rs has no line for {missing:?}");
        let unknown: Vec<_> = described.iter().filter(|name| !known.iter().any(|key| key == *name)).collect();
        assert!(unknown.is_empty(), "config/keys.rs has a line for {unknown:?}, which are no keys");
        let distinct: BTreeSet<_> = described.iter().collect();
        assert_eq!(distinct.len(), described.len(), "a key stands twice in config/keys.rs");
        for Key { name, unit, meaning } in KEYS {
            assert!(!meaning.is_empty() && !meaning.ends_with('.'), "{name}: {meaning:?}");
            assert!(![unit, meaning].iter().any(|text| text.contains('\n')), "{name}: one line");
        }
    }

    #[test]
    fn the_example_file_is_what_the_program_prints() {
        let file = of_repository("deploy/vitrine.toml.example");
        assert!(
            file == example(),
            "deploy/vitrine.toml.example is not up to date; run: \
             cargo run -p vitrine -- check-config --example > deploy/vitrine.toml.example"
        );
    }

    #[test]
    fn the_example_changes_nothing_and_holds_every_default() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("vitrine.toml");
        let is_setting = |line: &str| {
            line.strip_prefix("# ").and_then(|rest| rest.split_once(" = ")).is_some_and(|(name, _)| {
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            })
        };
        let example = example();
        let uncommented: Vec<&str> =
            example.lines().map(|line| if is_setting(line) { &line[2..] } else { line }).collect();
        let settings = uncommented.iter().filter(|line| !line.is_empty() && !line.starts_with(['#', '[']));
        let keys = keys().into_iter().filter(|key| !key.contains(".NAME."));
        assert_eq!(settings.count(), keys.count());
        // "None" is written as the empty text.
        for text in [example.clone(), uncommented.join("\n")] {
            fs::write(&file, &text).unwrap();
            let mut layers = Layers::default();
            layers.file(&file).unwrap();
            let read = Value::try_from(layers.config().unwrap()).unwrap();
            assert_eq!(read, Value::try_from(Config::default()).unwrap());
        }
    }

    #[test]
    fn the_manual_has_every_key() {
        let manual = of_repository("docs/operating.md");
        let section = manual.split("\n## ").find(|section| section.starts_with("Keys\n")).unwrap();
        let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        let named: BTreeSet<String> =
            cells.flat_map(|cell| cell.split('`').map(str::to_owned).collect::<Vec<_>>()).collect();
        let missing: Vec<_> = keys().into_iter().filter(|key| !named.contains(key)).collect();
        assert!(missing.is_empty(), "the table in docs/operating.md does not name {missing:?}");
        let known = keys();
        let is_name = |word: &&String| word.bytes().any(|byte| byte.is_ascii_lowercase());
        let joining = ["", ", ", " or ", " and "];
        let unknown: Vec<_> = named
            .iter()
            .filter(is_name)
            .filter(|word| !joining.contains(&word.as_str()) && !known.contains(word))
            .collect();
        assert!(unknown.is_empty(), "the table in docs/operating.md names {unknown:?}, which are no keys");
    }
}
