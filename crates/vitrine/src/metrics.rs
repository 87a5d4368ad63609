//! `/metrics`, on a port of its own: the API's figures, the token cache's and the database pool's.

use std::{net::TcpListener, sync::Arc};

use actix_web::{
    App, HttpResponse, HttpServer, Result, dev::Server, error::ErrorInternalServerError, http::header, web,
};
use auth_keystone::Keystone;
use prometheus::{Registry, TextEncoder};
use relay::Relay;
use store_diesel::DieselStore;

use crate::{Failure, figures};

/// Connections to `/metrics` at once: a few servers of Prometheus ask it.
const CONNECTIONS: usize = 64;

/// What is shown.
pub(crate) struct Shown {
    pub(crate) registry: Registry,
    pub(crate) tokens: Keystone,
    pub(crate) store: Arc<DieselStore>,
    pub(crate) events: Arc<Relay>,
}

/// Serves `/metrics` on this port.
///
/// # Errors
/// A listener that cannot be used.
pub(crate) fn server(listener: TcpListener, shown: Shown) -> Result<Server, Failure> {
    let shown = web::Data::new(shown);
    let server = HttpServer::new(move || {
        let app = App::new().app_data(shown.clone());
        app.route("/metrics", web::get().to(metrics)).route("/metrics", web::head().to(metrics))
    });
    let server =
        server.workers(1).max_connections(CONNECTIONS).disable_signals().shutdown_timeout(1).listen(listener);
    Ok(server.map_err(|error| Failure::other("cannot serve metrics", error))?.run())
}

async fn metrics(shown: web::Data<Shown>) -> Result<HttpResponse> {
    let tokens = shown.tokens.figures();
    let mut families = shown.registry.gather();
    families.push(figures::build(env!("BUILD_VERSION")));
    families.extend(figures::tokens(&tokens));
    families.extend(figures::keystone(&tokens));
    families.push(figures::pool(&shown.store.figures()));
    families.extend(shown.store.replica_figures().iter().flat_map(figures::replica));
    // Asks the database.
    let events = Arc::clone(&shown.events);
    families.extend(figures::events(&web::block(move || events.figures()).await?));
    let text = TextEncoder::new().encode_to_string(&families).map_err(ErrorInternalServerError)?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(text))
}
