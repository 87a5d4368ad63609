//! Forgetting what is old.

use std::{sync::Arc, thread, time::Duration};

use chrono::{TimeDelta, Utc};
use core_domain::outbox::Outbox;

use crate::{pace, stop::Stop};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(3600);
/// Forgotten at once, so that nobody waits long for a lock.
const BATCH: usize = 500;
/// Between two batches.
const BREATH: Duration = Duration::from_millis(100);

/// Forgets events that are older than histories reach and that no sink waits for: soon after the start and then every hour.
/// Several servers may do so at once. Dropping it ends it.
#[derive(Debug)]
pub struct Keeper(Arc<Stop>);

impl Keeper {
    /// Starts it; `sinks` are those that are told.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(outbox: Arc<dyn Outbox>, sinks: Vec<String>, keep_days: u32) -> std::io::Result<Self> {
        let stop = Arc::new(Stop::default());
        let stopped = Arc::clone(&stop);
        let keep = move || {
            let mut wait = Duration::from_secs(60);
            // Servers that were started together do not look together.
            while !stopped.asked_within(pace::spread(wait)) {
                wait = EVERY;
                forget(outbox.as_ref(), &sinks, keep_days, &stopped);
            }
        };
        thread::Builder::new().name("keeper".to_owned()).spawn(keep)?;
        Ok(Self(stop))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.ask();
    }
}

fn forget(outbox: &dyn Outbox, sinks: &[String], keep_days: u32, stop: &Stop) {
    let Some(before) = Utc::now().checked_sub_signed(TimeDelta::days(i64::from(keep_days))) else { return };
    let sinks: Vec<_> = sinks.iter().map(String::as_str).collect();
    let mut forgotten = 0;
    loop {
        match outbox.forget(before, &sinks, BATCH) {
            Ok(count) => forgotten += count,
            Err(error) => {
                tracing::warn!(%error, "old events cannot be forgotten now");
                return;
            }
        }
        if forgotten % BATCH != 0 || forgotten == 0 || stop.asked_within(BREATH) {
            break;
        }
    }
    if forgotten > 0 {
        tracing::info!(events = forgotten, keep_days, "forgot old events");
    }
}
