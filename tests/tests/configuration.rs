//! What stops a start, and that it says which key is to blame.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]

use std::process::{Command, Output};

use testbed::vitrine::{command, said};
use testbed::{Keystone, Postgres, Vitrine};

const SECRET: &str = "not-to-be-seen-5up3r";

/// `vitrine check-config` with a configuration that is complete but for these changes.
fn check_config(changes: &[(&str, &str)]) -> Output {
    let mut check = command(&["check-config"]);
    check
        .env("VITRINE_DATABASE__URL", format!("postgres://vitrine:{SECRET}@127.0.0.1:1/vitrine"))
        .env("VITRINE_KEYSTONE__AUTH_URL", "http://127.0.0.1:1/v3")
        .env("VITRINE_KEYSTONE__USERNAME", "vitrine")
        .env("VITRINE_KEYSTONE__PASSWORD", SECRET)
        .env("VITRINE_KEYSTONE__PROJECT_NAME", "service")
        .env("VITRINE_KEYSTONE__USER_DOMAIN_ID", "default")
        .env("VITRINE_KEYSTONE__PROJECT_DOMAIN_ID", "default");
    for (name, value) in changes {
        check.env(name, value);
    }
    run(&mut check)
}

fn run(command: &mut Command) -> Output {
    command.output().expect("vitrine starts")
}

#[track_caller]
fn refused_naming(output: &Output, words: &[&str]) {
    let said = said(output);
    assert!(!output.status.success(), "should have been refused, naming {words:?}:\n{said}");
    for word in words {
        assert!(said.contains(word), "does not name {word:?}:\n{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    assert!(!said.contains(SECRET), "a secret is shown:\n{said}");
}

#[test]
fn check_config_says_what_would_be_used_and_never_a_secret() {
    let output = check_config(&[("VITRINE_LIMITS__MEMBERS_PER_IMAGE", "17")]);
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    for word in ["members_per_image", "17", "token_cache_ttl", "60", "http://127.0.0.1:1/v3"] {
        assert!(said.contains(word), "does not say {word:?}:\n{said}");
    }
    assert!(!said.contains(SECRET), "a secret is shown:\n{said}");
}

#[test]
fn an_unknown_key_is_refused_by_its_name() {
    refused_naming(&check_config(&[("VITRINE_KEYSTONE__TOKEN_CACHE_TLL", "60")]), &["token_cache_tll"]);
}

#[test]
fn an_unknown_key_in_the_file_is_refused_by_its_name() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("vitrine.toml");
    std::fs::write(&file, "listen = \"127.0.0.1:9292\"\n[database]\npool_sise = 3\n").expect("a file");
    let mut check = command(&["check-config"]);
    refused_naming(&run(check.arg("--config").arg(&file)), &["pool_sise"]);
}

#[test]
fn a_bad_value_is_refused_by_the_name_of_its_key() {
    for (variable, value, key) in [
        ("VITRINE_LISTEN", "somewhere", "listen"),
        ("VITRINE_KEYSTONE__TOKEN_CACHE_TTL", "soon", "token_cache_ttl"),
        ("VITRINE_KEYSTONE__TOKEN_FORMATS", "uuid", "token_formats"),
        ("VITRINE_KEYSTONE__CALLS_AT_ONCE", "0", "calls_at_once"),
        ("VITRINE_KEYSTONE__MAX_TOKEN_LENGTH", "19", "keystone.max_token_length"),
        ("VITRINE_HTTP__TRUSTED_PROXIES", "10.0.0.0/33", "http.trusted_proxies"),
        ("VITRINE_SHARING__PRIVATE_IMAGES", "perhaps", "private_images"),
        ("VITRINE_LIMITS__MEMBERS_PER_IMAGE", "many", "members_per_image"),
        ("VITRINE_DATABASE__URL", "mysql://127.0.0.1/vitrine", "database.url"),
        ("VITRINE_KEYSTONE__AUTH_URL", "not an address", "auth_url"),
    ] {
        refused_naming(&check_config(&[(variable, value)]), &[key]);
    }
}

#[test]
fn a_secret_that_cannot_be_read_is_refused_by_the_name_of_its_key() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let missing = directory.path().join("no-such-secret");
    let mut check = command(&["check-config"]);
    check
        .env("VITRINE_DATABASE__URL", "sqlite:///vitrine.sqlite")
        .env("VITRINE_KEYSTONE__AUTH_URL", "http://127.0.0.1:1/v3");
    check.env("VITRINE_KEYSTONE__USERNAME", "vitrine").env("VITRINE_KEYSTONE__PROJECT_NAME", "service");
    refused_naming(&run(check.env("VITRINE_KEYSTONE__PASSWORD_FILE", missing)), &["keystone.password_file"]);
}

#[test]
fn a_policy_file_that_names_an_unknown_rule_is_refused_with_line_and_rule() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("policy.yaml");
    std::fs::write(&file, "\"get_image\": \"role:reader\"\n\"get_imgae\": \"role:reader\"\n")
        .expect("a file");
    let output = check_config(&[("VITRINE_POLICY_FILE", file.to_str().expect("a path in UTF-8"))]);
    refused_naming(&output, &["get_imgae", "line 2"]);
}

#[test]
fn a_policy_check_with_a_mistyped_substitution_is_refused_with_line_and_rule() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("policy.yaml");
    let rules = "\"get_image\": \"role:reader\"\n\"get_images\": \"project_id:%(project_id)\"\n";
    std::fs::write(&file, rules).expect("a file");
    let path = file.to_str().expect("a path in UTF-8");
    let output = check_config(&[("VITRINE_POLICY_FILE", path)]);
    refused_naming(&output, &["get_images", "line 2", "%(project_id)"]);
}

#[test]
fn the_policy_file_of_glance_is_served_with_one_warning() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("policy.yaml");
    std::fs::write(&file, include_str!("../../crates/vitrine/src/policy_file/glance-33.0.0.yaml"))
        .expect("a file");
    let path = file.to_str().expect("a path in UTF-8");
    let output = check_config(&[("VITRINE_POLICY_FILE", path)]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains("without effect: default, service_api, download_image,"),
        "{}",
        said(&output)
    );

    let database = Postgres::shared().database();
    let vitrine = Vitrine::serve(&database, Keystone::shared()).with("VITRINE_POLICY_FILE", path).start();
    let log = vitrine.log();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("the policy file has rules")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("tasks_api_access"), "{log}");
    assert!(!warnings[0].contains("add_member"), "{log}");
    vitrine.stop();
}

#[test]
fn check_config_says_how_many_connections_there_may_be() {
    for (pool, replica, lines) in [
        ("8", None, &["connections to the database: at most 14\n"][..]),
        (
            "8",
            Some("postgres://vitrine@127.0.0.1:2/vitrine"),
            &["connections to the database: at most 15\n", "connections to the replica: at most 9\n"],
        ),
    ] {
        let mut changes = vec![("VITRINE_DATABASE__POOL_SIZE", pool)];
        changes.extend(replica.map(|url| ("VITRINE_DATABASE__REPLICA_URL", url)));
        let said = said(&check_config(&changes));
        assert!(lines.iter().all(|line| said.contains(line)), "{said}");
        assert_eq!(said.matches("at most").count(), lines.len(), "{said}");
    }
}

#[test]
fn serve_refuses_a_database_that_was_never_migrated_and_says_what_to_run() {
    let database = Postgres::shared().database();
    let (status, log) = Vitrine::serve_as_it_is(database.url(), Keystone::shared()).end();
    assert_ne!(status, 0, "{log}");
    assert!(log.contains("vitrine migrate"), "{log}");
}

#[test]
fn serve_refuses_a_schema_from_which_a_newer_program_has_removed_something() {
    let database = Postgres::shared().database();
    let migrated = run(command(&["migrate"]).env("VITRINE_DATABASE__URL", database.url()));
    assert!(migrated.status.success(), "{}", said(&migrated));
    database.query("INSERT INTO __diesel_schema_migrations (version) VALUES ('9999c')");
    let (status, log) = Vitrine::serve_as_it_is(database.url(), Keystone::shared()).end();
    assert_ne!(status, 0, "{log}");
    assert!(log.contains("newer") && log.contains("9999c"), "{log}");
}

#[test]
fn migrations_started_at_once_all_succeed() {
    let database = Postgres::shared().database();
    let started: Vec<_> = (0..4)
        .map(|_| {
            let mut migrate = command(&["migrate"]);
            migrate.env("VITRINE_DATABASE__URL", database.url());
            std::thread::spawn(move || run(&mut migrate))
        })
        .collect();
    for migration in started {
        let output = migration.join().expect("no panic");
        assert!(output.status.success(), "{}", said(&output));
    }
    let twice =
        database.query("SELECT version FROM __diesel_schema_migrations GROUP BY version HAVING count(*) > 1");
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn dev_refuses_an_address_that_others_can_reach() {
    for flag in ["--listen", "--keystone-listen"] {
        let output = run(&mut command(&["dev", "--ephemeral", flag, "0.0.0.0:0"]));
        refused_naming(&output, &["0.0.0.0", "loopback"]);
    }
}

#[test]
fn every_subcommand_explains_itself_and_the_program_says_its_version() {
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["migrate", "--help"],
        &["check-config", "--help"],
        &["dev", "--help"],
    ] {
        let output = run(&mut command(arguments));
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains("Usage"), "{arguments:?}: {}", said(&output));
    }
    let version = run(&mut command(&["--version"]));
    assert!(version.status.success() && said(&version).starts_with("vitrine "), "{}", said(&version));
    refused_naming(&run(&mut command(&["exhibit"])), &["exhibit"]);
}
