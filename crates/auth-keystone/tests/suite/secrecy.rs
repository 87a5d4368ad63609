//! No token and no password is ever written anywhere.

use std::{
    error::Error,
    io::{self, Write},
    iter,
    sync::{Arc, Mutex},
};

use auth_keystone::Keystone;
use core_domain::tokens::{Shown, Tokens};
use tracing_subscriber::{fmt::MakeWriter, util::SubscriberInitExt};

use crate::{
    rude::{read_request, rude},
    stand_in::{PASSWORD, Reply, StandIn, config, shown, token},
};

/// Everything that is logged on a thread, at the most talkative level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

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
    // Whoever logs first decides whether a line is ever asked for again; tests beside this one do not log at all.
    let everywhere = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::TRACE);
    let _ = tracing::subscriber::set_global_default(everywhere.with_writer(std::io::sink).finish());
    let log = Log::default();
    let _guard = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(log.clone())
        .with_ansi(false)
        .set_default();
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
