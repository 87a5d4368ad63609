//! `vitrine serve`: puts the parts together and runs them until told to stop.

use std::{net::TcpListener, sync::Arc, time::Duration};

use actix_web::{dev::Server, rt::System, web};
use api_http::App;
use auth_keystone::Keystone;
use prometheus::Registry;
use store_diesel::{DieselStore, Pooler};

use crate::{
    Failure,
    config::{BadConfig, Config},
    connections,
    metrics::{self, Shown},
    migrate,
    signals::Signals,
    telling::Telling,
    tls::Tls,
};

/// How long is waited at the end for leases to be given back.
const LEASES_BACK: Duration = Duration::from_secs(1);

/// Serves until SIGTERM.
///
/// # Errors
/// What cannot be used or is not there.
pub(crate) fn serve(config: &Config) -> Result<(), Failure> {
    let store = config.store()?;
    if store.pooler == Pooler::None {
        migrate::must_have_sessions("database.pooler", &store)?;
        must_have_sessions_on_replica(&store)?;
    }
    migrate::must_be_current(&store)?;
    if store.is_embedded() {
        tracing::warn!(database = store.location(), "records are in a file: run no second server on it");
    }
    let listener = listen("listen", config.listen)?;
    System::new().block_on(run(config, listener, async {}))
}

/// The same on the replica, if it is there; without it lists come from the primary.
fn must_have_sessions_on_replica(store: &store_diesel::Config) -> Result<(), Failure> {
    let Some((replica, _)) = store.replica() else { return Ok(()) };
    match migrate::must_have_sessions("database.pooler", &replica) {
        Err(Failure::Other(reason)) => {
            tracing::warn!(replica = replica.location(), reason, "the replica cannot be reached");
            Ok(())
        }
        done => done,
    }
}

/// Takes a port.
///
/// # Errors
/// One that is taken or not ours to take, by its key.
pub(crate) fn listen(key: &str, address: std::net::SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .map_err(|error| BadConfig::new(key, format!("cannot listen on {address}: {error}")).into())
}

/// Runs the service on this port, and `beside` it, until it is told to stop.
///
/// # Errors
/// What cannot be used or is not there.
pub(crate) async fn run(
    config: &Config,
    listener: TcpListener,
    beside: impl Future<Output = ()> + 'static,
) -> Result<(), Failure> {
    let store = DieselStore::open(&config.store()?);
    let store = Arc::new(store.map_err(|error| Failure::other("cannot open the database", error))?);
    let rules = Arc::new(config.rules()?);
    let tokens = Keystone::new(&config.tokens(&rules)?)
        .map_err(|invalid| BadConfig::new(invalid.key, invalid.reason))?;
    let registry = Registry::new();
    let figures =
        api_http::Metrics::new(&registry).map_err(|error| Failure::other("cannot make figures", error))?;
    if let [_, ..] = rules.policy.without_effect() {
        let names = rules.policy.without_effect().join(", ");
        tracing::warn!(
            rules = names,
            "the policy file has rules for calls that Vitrine does not have; they have no effect"
        );
    }
    let app = web::Data::new(App::new(
        Arc::clone(&store) as _,
        Arc::new(tokens.clone()),
        rules,
        config.api()?,
        figures,
    ));

    let telling = Telling::start(config, &store)?;
    let files = connections::take_all_files();
    connections::check_files(files, app.most_connections());
    connections::let_many_wait(&listener);
    connections::let_go_of_those_who_never_read(&listener);
    let address = listener.local_addr().map_err(|error| Failure::other("cannot listen", error))?;
    let workers = config.workers();
    // The API lets as many use cases run as there are connections, and all may be one worker's; the rest is for what
    // must not wait behind them: readiness, looking up Keystone's address, reading its keys.
    let blocking = config.pool_size() as usize + 4;
    let tls = Tls::of(&config.tls)?;
    let builder = Server::build()
        .worker_max_blocking_threads(blocking)
        .shutdown_timeout(config.shutdown.grace)
        .disable_signals();
    let secured = tls.as_ref().map(Tls::server).transpose();
    let secured = secured.map_err(|error| Failure::other("cannot speak TLS", error))?;
    let server = api_http::listen(builder, workers, listener, &app, secured);
    let server = server.map_err(|error| Failure::other("cannot serve", error))?.run();

    let drain = Duration::from_secs(config.shutdown.drain);
    let signals = Signals::listen().map_err(|error| Failure::other("cannot listen to signals", error))?;
    let telling_ends = telling.ending();
    actix_web::rt::spawn(signals.stop(app.into_inner(), drain, telling_ends, server.handle()));
    actix_web::rt::spawn(tokens.keep_signed_in());
    actix_web::rt::spawn(tokens.follow_revocations());
    actix_web::rt::spawn(beside);
    let scheme = if tls.is_some() { "https" } else { "http" };
    if let Some(tls) = tls {
        actix_web::rt::spawn(tls.keep_fresh());
    }
    if let Some(metrics_address) = config.metrics()? {
        let listener = listen("metrics_listen", metrics_address)?;
        let metrics_address = listener.local_addr().unwrap_or(metrics_address);
        actix_web::rt::spawn(metrics::server(
            listener,
            Shown { registry, tokens, store, events: telling.relay() },
        )?);
        tracing::info!(address = %metrics_address, "metrics");
    }
    tracing::info!(%address, scheme, workers, connections = config.pool_size(), version = env!("BUILD_VERSION"), "listening");
    let served = server.await.map_err(|error| Failure::other("the server failed", error));
    // It was asked when the server was, and has had as long; what the last requests left is told by who comes next.
    telling.end(LEASES_BACK);
    served?;
    tracing::info!("stopped");
    Ok(())
}
