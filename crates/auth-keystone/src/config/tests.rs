use super::*;

fn config() -> Config {
    Config {
        auth_url: "http://keystone:5000/v3".to_owned(),
        username: Some("vitrine".to_owned()),
        password: Some(Secret::new("pa55word")),
        project_name: Some("service".to_owned()),
        ..Config::default()
    }
}

fn invalid(change: impl FnOnce(&mut Config)) -> String {
    let mut config = config();
    change(&mut config);
    config.check().expect_err("a refusal").to_string()
}

#[test]
fn addresses_may_have_or_lack_the_version_a_last_slash_and_a_prefix() {
    for (given, asked) in [
        ("http://k:5000", "http://k:5000/v3/auth/tokens?nocatalog=1"),
        ("http://k:5000/", "http://k:5000/v3/auth/tokens?nocatalog=1"),
        ("http://k:5000/v3", "http://k:5000/v3/auth/tokens?nocatalog=1"),
        (" http://k:5000/v3/ ", "http://k:5000/v3/auth/tokens?nocatalog=1"),
        ("https://c.example/identity", "https://c.example/identity/v3/auth/tokens?nocatalog=1"),
        ("https://c.example/identity/v3//", "https://c.example/identity/v3/auth/tokens?nocatalog=1"),
        ("https://c.example/a/b/", "https://c.example/a/b/v3/auth/tokens?nocatalog=1"),
    ] {
        let config = Config { auth_url: given.to_owned(), ..config() };
        assert_eq!(config.tokens_url().unwrap().as_str(), asked, "{given}");
    }
}

#[test]
fn addresses_that_cannot_be_keystones_are_refused_by_name() {
    for address in
        ["", "keystone", "keystone:5000", "ftp://k/v3", "http://u:p@k/v3", "http://k/v3?x", "http://k/v2.0"]
    {
        let said = invalid(|config| config.auth_url = address.to_owned());
        assert!(said.starts_with("keystone.auth_url: ") && !said.contains("u:p"), "{said}");
    }
}

#[test]
fn a_credential_is_whole_and_alone() {
    assert_eq!(config().check(), Ok(()));
    let credential = |config: &mut Config| {
        config.username = None;
        config.password = None;
        config.application_credential_id = Some("id".to_owned());
        config.application_credential_secret = Some(Secret::new("s3cret"));
    };
    let mut other = config();
    credential(&mut other);
    assert_eq!(other.check(), Ok(()));
    assert!(!other.sign_in().unwrap().to_string().contains("scope"));

    for (said, key) in [
        (invalid(|config| config.username = None), "keystone.username"),
        (invalid(|config| config.password = Some(Secret::new(" "))), "keystone.password"),
        (invalid(|config| config.project_name = None), "keystone.project_name"),
        (invalid(|config| config.user_domain_id.clear()), "keystone.user_domain_id"),
        (invalid(|config| config.project_domain_id.clear()), "keystone.project_domain_id"),
        (
            invalid(|config| config.application_credential_id = Some("id".to_owned())),
            "keystone.application_credential_id",
        ),
        (
            invalid(|config| {
                credential(config);
                config.application_credential_secret = None;
            }),
            "keystone.application_credential_secret",
        ),
    ] {
        assert!(said.starts_with(&format!("{key}: ")), "{said}");
    }
}

#[test]
fn times_and_sizes_fit_together() {
    let day = Duration::from_secs(86_401);
    for (said, key) in [
        (invalid(|config| config.connect_timeout = Duration::ZERO), "keystone.connect_timeout"),
        (invalid(|config| config.connect_timeout = Duration::from_secs(4)), "keystone.connect_timeout"),
        (invalid(|config| config.try_timeout = Duration::from_secs(6)), "keystone.try_timeout"),
        (invalid(|config| config.token_cache_ttl = day), "keystone.token_cache_ttl"),
        (invalid(|config| config.token_cache_entries = 0), "keystone.token_cache_entries"),
        (invalid(|config| config.rejected_cache_entries = 0), "keystone.rejected_cache_entries"),
        (invalid(|config| config.max_token_length = 19), "keystone.max_token_length"),
        (invalid(|config| config.jws_algorithms.clear()), "keystone.jws_algorithms"),
        (invalid(|config| config.ca_file = Some("missing.pem".into())), "keystone.ca_file"),
    ] {
        assert!(said.starts_with(&format!("{key}: ")), "{said}");
    }
}

#[test]
fn what_is_secret_is_not_shown() {
    let shown = format!("{:?}", config());
    assert!(!shown.contains("pa55word") && shown.contains("vitrine"), "{shown}");
}
