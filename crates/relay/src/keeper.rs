//! Forgetting what is old.

use std::{sync::Arc, thread, time::Duration};

use chrono::{TimeDelta, Utc};
use core_domain::{Result, outbox::Outbox};

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
    let forgotten = in_batches(|most| outbox.forget(before, &sinks, most), stop);
    if forgotten > 0 {
        tracing::info!(events = forgotten, keep_days, "forgot old events");
    }
}

/// Forgets one batch after the other until none is full; answers how many events that were.
fn in_batches(mut forget: impl FnMut(usize) -> Result<usize>, stop: &Stop) -> usize {
    let mut forgotten = 0;
    loop {
        match forget(BATCH) {
            Ok(batch) => {
                forgotten += batch;
                if batch < BATCH || stop.asked_within(BREATH) {
                    return forgotten;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "old events cannot be forgotten now");
                return forgotten;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core_domain::{
        store::Store as _,
        testing::{
            builders::{an_image, cause},
            memory::MemoryStore,
        },
    };

    use super::*;

    #[test]
    fn what_is_old_is_forgotten_in_batches_but_not_what_a_configured_sink_waits_for() {
        let store = MemoryStore::default();
        let life = Duration::from_secs(60);
        let lease = store.lease("slow", "somebody", life).unwrap().unwrap();
        // The builders' time is the beginning of 2026.
        for _ in 0..BATCH + 10 {
            let image = an_image("owner");
            let mut change = store.begin(image.id, &cause(1)).unwrap();
            change.insert_image(&image).unwrap();
            change.commit().unwrap();
        }
        let waiting = || store.backlog("slow").unwrap().events;
        let forget = |sinks: &[&str]| {
            let sinks: Vec<_> = sinks.iter().map(|sink| (*sink).to_owned()).collect();
            forget(&store, &sinks, 30, &Stop::default());
        };
        let all = waiting();
        forget(&["slow"]);
        assert_eq!(waiting(), all);
        let told = store.claim(&lease, BATCH).unwrap().unwrap().deliveries;
        assert!(store.settle(&lease, told[4].place).unwrap());
        forget(&["slow"]);
        assert_eq!(waiting(), all - 5);
        // Nobody of that name is configured any more.
        forget(&[]);
        assert_eq!(waiting(), 0);
    }

    #[test]
    fn at_most_500_events_are_forgotten_at_once() {
        let (mut left, mut batches) = (1_200, Vec::new());
        let forgotten = in_batches(
            |most| {
                let batch = most.min(left);
                left -= batch;
                batches.push((most, batch));
                Ok(batch)
            },
            &Stop::default(),
        );
        assert_eq!((forgotten, batches), (1_200, vec![(500, 500), (500, 500), (500, 200)]));
    }

    #[test]
    fn it_ends_when_what_is_old_makes_up_whole_batches() {
        let store = MemoryStore::default();
        for _ in 0..BATCH {
            let image = an_image("owner");
            let mut change = store.begin(image.id, &cause(1)).unwrap();
            change.insert_image(&image).unwrap();
            change.commit().unwrap();
        }
        let (ended, has_ended) = std::sync::mpsc::channel();
        thread::spawn(move || {
            forget(&store, &[], 30, &Stop::default());
            ended.send(()).unwrap();
        });
        assert!(has_ended.recv_timeout(Duration::from_secs(30)).is_ok());
    }
}
