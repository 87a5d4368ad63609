//! The SQL that this thread sends, counted where Diesel hands it to the database.

use std::{cell::Cell, sync::Once};

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    /// Statements, the beginning and the end of a transaction among them.
    pub(crate) statements: usize,
    /// Bytes of the longest text of a statement.
    pub(crate) longest: usize,
    /// Bytes of all values that were bound, as Diesel writes them for a person: a byte of text becomes six at most.
    pub(crate) bound: usize,
}

thread_local! { static SENT: Cell<Sent> = const { Cell::new(Sent { statements: 0, longest: 0, bound: 0 }) }; }

/// Counts what is sent on every connection that is opened from now on.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        set_default_instrumentation(|| Some(Box::new(count) as Box<dyn Instrumentation>))
            .expect("Diesel can be listened to");
    });
}

fn count(event: InstrumentationEvent<'_>) {
    let InstrumentationEvent::StartQuery { query, .. } = event else { return };
    let text = query.to_string();
    let (statement, bound) = text.split_once(" -- binds:").unwrap_or((&text, ""));
    let sent = SENT.get();
    SENT.set(Sent {
        statements: sent.statements + 1,
        longest: sent.longest.max(statement.len()),
        bound: sent.bound + bound.len(),
    });
}

/// The result of `work`, and what this thread sent in it.
pub(crate) fn during<T>(work: impl FnOnce() -> T) -> (T, Sent) {
    SENT.set(Sent::default());
    let result = work();
    (result, SENT.get())
}
