//! What Diesel tells of the statements it runs, for each thread apart.

use std::cell::RefCell;

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};

/// The statements of this thread.
#[derive(Clone, Default)]
pub(crate) struct Told {
    /// Those that were run.
    pub(crate) run: Vec<String>,
    /// Those that were prepared to be kept.
    pub(crate) kept: Vec<String>,
}

thread_local! { static TOLD: RefCell<Told> = RefCell::default(); }

/// Listens to every connection that is opened from now on.
pub(crate) fn listen() {
    set_default_instrumentation(|| Some(Box::new(listener) as Box<dyn Instrumentation>)).expect("a listener");
}

fn listener(event: InstrumentationEvent<'_>) {
    TOLD.with_borrow_mut(|told| {
        if let InstrumentationEvent::StartQuery { query, .. } = &event {
            let text = query.to_string();
            told.run.push(text.split(" -- binds:").next().unwrap_or_default().to_owned());
        }
        if let InstrumentationEvent::CacheQuery { sql, .. } = &event {
            told.kept.push((*sql).to_owned());
        }
    });
}

/// What this thread's `work` ran.
pub(crate) fn during(work: impl FnOnce()) -> Told {
    TOLD.take();
    work();
    TOLD.take()
}
