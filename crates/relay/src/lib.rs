//! Tells events to who wants them.
//!
//! A [`Relay`] has one thread for each [`Sink`]: it takes the sink's lease, claims what waits in the
//! [`core_domain::outbox::Outbox`], tells the sink and settles. Sinks are a broker ([`Rabbitmq`]), addresses that are called
//! ([`Webhook`]) and a file ([`Audit`]); none waits for another. A [`Keeper`] forgets what is old.
//!
//! What each is told, and what it may rely on: `docs/events.md`.

mod audit;
mod away;
mod background;
mod cadf;
mod figures;
mod keeper;
mod notification;
mod pace;
mod rabbitmq;
mod relay;
mod secret;
mod signature;
mod sink;
mod stop;
mod text;
mod webhook;

pub use audit::Audit;
pub use figures::Figures;
pub use keeper::Keeper;
pub use rabbitmq::{Queues, Rabbitmq};
pub use relay::{Pace, Relay};
pub use secret::Secret;
pub use signature::SigningKey;
pub use sink::{Failure, Sink, Time, Told};
pub use webhook::Webhook;

/// What cannot be used, and why; for whoever wrote the configuration.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Invalid(pub String);
