#![doc = include_str!("../README.md")]

// The checks that `fuzz/` shares call this crate by its name.
#[cfg(test)]
extern crate self as api_http;

mod answer;
mod app;
mod auth;
mod body;
mod budget;
mod client_address;
mod cors;
mod edge;
mod error;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod history;
mod images;
mod list_body;
mod members;
mod metrics;
mod numbers;
mod openapi;
mod page;
mod parsed_size;
mod path;
mod position;
mod protection;
mod rate;
#[cfg(test)]
mod replay;
mod request_id;
mod rounds;
pub mod routes;
mod schemas;
mod tags;
mod target;
mod times;
mod versions;

pub use app::{App, Settings};
pub use body::least_body_buffer;
pub use client_address::TrustedProxies;
pub use edge::{Edge, READER_TIMEOUT, listen};
pub use metrics::Metrics;
pub use rate::Rate;

use actix_web::{
    body::MessageBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::from_fn,
    web,
};

/// The whole API as an actix application: what the binary serves and what tests call.
///
/// # Errors of the application
/// None escape: every failure is an answer with a body a client can read.
pub fn application(
    app: web::Data<App>,
) -> actix_web::App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let cors = cors::cors(&app.settings.edge.allowed_origins);
    actix_web::App::new()
        .app_data(app)
        .configure(routes::configure)
        .wrap(from_fn(routes::answer_options))
        .wrap(cors)
        .wrap(from_fn(answer::answer))
}
