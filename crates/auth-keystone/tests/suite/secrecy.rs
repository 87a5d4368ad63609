//! No token and no password is ever written anywhere.

use std::{error::Error, iter};

use auth_keystone::Keystone;
use core_domain::tokens::{Shown, Tokens};

use crate::{
    log::Log,
    rude::{read_request, rude},
    stand_in::{PASSWORD, Reply, StandIn, config, shown, token},
};

/// The error, its causes, and what `Debug` says of all of it.
fn everything(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    causes.map(|error| format!("{error}\n{error:?}\n")).collect()
}

async fn outcome(keystone: &Keystone, token: &str) -> String {
    match keystone.validate(shown(token)).await {
        Ok(caller) => format!("{caller:?}"),
        Err(error) => everything(&error),
    }
}

// On one thread, so that all of it is captured.
#[tokio::test(flavor = "current_thread")]
async fn no_token_or_password_is_in_the_log_an_error_or_a_debug_text() {
    let (log, _guard) = Log::capture();
    let mut said = String::new();
    let mut tokens = Vec::new();

    let stand_in = StandIn::start();
    let mut config_with_a_secret = stand_in.config();
    config_with_a_secret.jws_leeway = std::time::Duration::ZERO;
    let keystone = stand_in.keystone_with(&config_with_a_secret);
    for reply in [
        None,
        Some(Reply::error(404, "Could not find token: {token}.")),
        Some(Reply::error(401, "{token}")),
        Some(Reply::error(403, "{token}")),
        Some(Reply::error(500, "{token}")),
        Some(Reply::page(404)),
        Some(Reply::page(200)),
    ] {
        let token = token("secret");
        stand_in.admit(&token);
        let scripted = reply.map(|mut reply| {
            reply.body = reply.body.replace("{token}", &token);
            reply
        });
        stand_in.script(move |seen| scripted.clone().filter(|_| seen.method == "GET"));
        said += &outcome(&keystone, &token).await;
        let service = self::token("secret");
        let beside = Shown { service_token: Some(&service), ..shown(&token) };
        said += &format!("{beside:?} {:?}", keystone.validate(beside).await);
        tokens.extend([token, service]);
    }
    for malformed in ["with blanks inside the token", "with-an-exclamation-mark!"] {
        said += &outcome(&keystone, malformed).await;
        tokens.push(malformed.to_owned());
    }
    stand_in.script(|seen| (seen.method == "POST").then(|| Reply::error(401, PASSWORD)));
    let other = stand_in.keystone();
    tokens.push(token("secret"));
    said += &outcome(&other, &tokens[tokens.len() - 1]).await;
    let (port, _) = rude(|_, mut stream| read_request(&mut stream));
    tokens.push(token("secret"));
    said += &outcome(&Keystone::new(&config(port)).unwrap(), &tokens[tokens.len() - 1]).await;
    said += &format!("{keystone:?} {:?} {config_with_a_secret:?}", keystone.figures());

    tokens.extend([PASSWORD.to_owned(), "own-token-".to_owned()]);
    let log = log.text();
    assert!(log.contains("signed in to Keystone") && log.contains("TRACE"), "the log was captured:\n{log}");
    for secret in &tokens {
        assert!(!log.contains(secret.as_str()), "{secret} is in the log:\n{log}");
        assert!(!said.contains(secret.as_str()), "{secret} is in a text:\n{said}");
    }
}
