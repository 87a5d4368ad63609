//! Telling who wants to know of events, beside serving.

use std::{sync::Arc, time::Duration};

use core_domain::outbox::Outbox;
use relay::{Keeper, Relay};
use store_diesel::DieselStore;

use crate::{
    Failure,
    config::{Config, host},
};

/// What runs beside the service, in threads of its own.
pub(crate) struct Telling {
    relay: Arc<Relay>,
    _keeper: Option<Keeper>,
}

impl Telling {
    /// Starts telling everybody the configuration names, and forgetting what is old.
    ///
    /// # Errors
    /// Somebody who cannot be told, ever; no thread.
    pub(crate) fn start(config: &Config, store: &Arc<DieselStore>) -> Result<Self, Failure> {
        let sinks = config.sinks()?;
        let names: Vec<_> = sinks.iter().map(|sink| sink.name().to_owned()).collect();
        let outbox: Arc<dyn Outbox> = Arc::clone(store) as _;
        let failed = |error| Failure::other("cannot start telling events", error);
        // Nobody else's, ever: one who comes after a kill is another.
        let holder = format!("{}/{}/{}", host(), std::process::id(), uuid::Uuid::new_v4());
        for name in &names {
            tracing::info!(sink = name, "events are told to this sink");
        }
        let keep_days = config.events.keep_days;
        let keeper = if keep_days > 0 {
            Some(Keeper::start(Arc::clone(&outbox), names, keep_days).map_err(failed)?)
        } else {
            None
        };
        let relay = Relay::start(&outbox, sinks, &holder, config.pace()).map_err(failed)?;
        Ok(Self { relay: Arc::new(relay), _keeper: keeper })
    }

    /// Who tells, for its figures.
    pub(crate) fn relay(&self) -> Arc<Relay> {
        Arc::clone(&self.relay)
    }

    /// What asks telling to end and does not wait for it, so that another server goes on while this one finishes what was asked
    /// of it.
    pub(crate) fn ending(&self) -> impl FnOnce() + use<> {
        let relay = self.relay();
        move || relay.ask_to_end()
    }

    /// Ends telling and gives the leases back, if that can be done in this time.
    pub(crate) fn end(self, patience: Duration) {
        self.relay.end(patience);
    }
}
