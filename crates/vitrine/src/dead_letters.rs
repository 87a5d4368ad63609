//! `vitrine dead-letters`: what sinks could not be told of.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use clap::Subcommand;
use core_domain::{
    event::{Change, Event},
    outbox::{DeadLetter, Delivery, Outbox},
};
use relay::{Failure as NotTold, Sink, Time};
use serde_json::json;
use store_diesel::DieselStore;

use crate::{
    Failure, Settings,
    config::{BadConfig, Config},
    escape, migrate, print,
};

/// How many letters are read at once.
const PAGE: usize = 1000;
/// How long somebody has to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is done with dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// Show them: the sink, the event's number, when it was given up, the event, why
    List {
        #[command(flatten)]
        settings: Settings,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        /// Of this sink only, also one that is not configured any more
        #[arg(long)]
        sink: Option<String>,
    },
    /// Tell them now, marked as told again; those that are told are dead letters no more
    Retry(Which),
    /// Let them go untold
    Drop(Which),
}

/// Which ones.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    #[command(flatten)]
    settings: Settings,
    /// The sink, as `vitrine dead-letters list` names it
    sink: String,
    /// Numbers of events
    #[arg(required_unless_present = "all")]
    numbers: Vec<i64>,
    /// All of the sink's
    #[arg(long, conflicts_with = "numbers")]
    all: bool,
}

/// Does it.
///
/// # Errors
/// The records cannot be reached; a sink or a number that is none; a letter that could not be told.
pub(crate) fn run(deed: &DeadLetters) -> Result<(), Failure> {
    match deed {
        DeadLetters::List { settings, json, sink } => list(&settings.config()?, *json, sink.as_deref()),
        DeadLetters::Retry(which) => retry(which),
        DeadLetters::Drop(which) => drop_them(which),
    }
}

fn list(config: &Config, as_json: bool, sink: Option<&str>) -> Result<(), Failure> {
    let outbox = outbox(config)?;
    let names = match sink {
        Some(name) => vec![name.to_owned()],
        None => config.sinks()?.iter().map(|sink| sink.name().to_owned()).collect(),
    };
    let mut is_empty = true;
    for name in &names {
        each(outbox.as_ref(), name, &mut |letter| {
            is_empty = false;
            print(&format!("{}\n", if as_json { machine(name, &letter) } else { person(name, &letter) }))
        })?;
    }
    if is_empty && !as_json { print("There are no dead letters.\n") } else { Ok(()) }
}

fn retry(which: &Which) -> Result<(), Failure> {
    let config = which.settings.config()?;
    let outbox = outbox(&config)?;
    let mut sink = sink(&config, &which.sink)?;
    which.each(outbox.as_ref(), &mut |letter| {
        let number = letter.number;
        let Some(event) = letter.event else {
            let why = escape::controls(&letter.why);
            return Err(Failure::Other(format!(
                "{number} cannot be told and stays: {why}; it can be dropped"
            )));
        };
        let delivery = Delivery { place: 0, event, again: true };
        let told = sink.tell(&[delivery], Time::of_one_try(PATIENCE));
        if told.done == 0 {
            let why = match told.failure {
                Some(NotTold::Away(why) | NotTold::Refused(why) | NotTold::Hopeless(why)) => why,
                None => "there was no time".to_owned(),
            };
            let why = escape::controls(&why);
            return Err(Failure::Other(format!("{number} could not be told and stays: {why}")));
        }
        exhume(outbox.as_ref(), &which.sink, number)?;
        print(&format!("{number} told\n"))
    })
}

fn drop_them(which: &Which) -> Result<(), Failure> {
    let config = which.settings.config()?;
    let outbox = outbox(&config)?;
    which.each(outbox.as_ref(), &mut |letter| {
        exhume(outbox.as_ref(), &which.sink, letter.number)?;
        print(&format!("{} dropped\n", letter.number))
    })
}

impl Which {
    /// Does it with each of them, by their numbers; with none, if one of those that were named is no dead letter.
    fn each(&self, outbox: &dyn Outbox, deed: Deed<'_>) -> Result<(), Failure> {
        if self.all {
            return each(outbox, &self.sink, deed);
        }
        let numbers: BTreeSet<i64> = self.numbers.iter().copied().collect();
        let mut named = Vec::with_capacity(numbers.len());
        for number in numbers {
            let next = letters(outbox, &self.sink, number.saturating_sub(1), 1)?.pop();
            let missing = || Failure::Other(format!("{} has no dead letter {number}", self.sink));
            named.push(next.filter(|letter| letter.number == number).ok_or_else(missing)?);
        }
        named.into_iter().try_for_each(deed)
    }
}

fn outbox(config: &Config) -> Result<Arc<dyn Outbox>, Failure> {
    let store = config.store()?;
    migrate::must_be_current(&store)?;
    let store = DieselStore::for_a_moment(&store)
        .map_err(|error| Failure::other("cannot open the database", error))?;
    Ok(Arc::new(store))
}

fn sink(config: &Config, name: &str) -> Result<Box<dyn Sink>, Failure> {
    let mut sinks = config.sinks()?;
    let found = sinks.iter().position(|sink| sink.name() == name);
    let missing = || BadConfig::new("events", format!("configures no sink {name:?}"));
    found.map(|index| sinks.swap_remove(index)).ok_or_else(|| missing().into())
}

/// What is done with a letter.
type Deed<'a> = &'a mut dyn FnMut(DeadLetter) -> Result<(), Failure>;

/// Does it with all letters of a sink, however many, until it fails with one.
fn each(outbox: &dyn Outbox, sink: &str, deed: Deed<'_>) -> Result<(), Failure> {
    let mut last = 0;
    loop {
        let letters = letters(outbox, sink, last, PAGE)?;
        let Some(letter) = letters.last() else { return Ok(()) };
        last = letter.number;
        letters.into_iter().try_for_each(&mut *deed)?;
    }
}

/// Those of events with greater numbers than this.
fn letters(outbox: &dyn Outbox, sink: &str, number: i64, most: usize) -> Result<Vec<DeadLetter>, Failure> {
    let letters = outbox.dead_letters(sink, number, most);
    letters.map_err(|error| Failure::other("cannot read the dead letters", error))
}

fn exhume(outbox: &dyn Outbox, sink: &str, number: i64) -> Result<(), Failure> {
    let exhumed = outbox.exhume(sink, number);
    exhumed.map(drop).map_err(|error| Failure::other("cannot take the letter off the list", error))
}

fn machine(sink: &str, letter: &DeadLetter) -> String {
    let DeadLetter { number, event, why, at } = letter;
    let event = event.as_ref();
    let json = json!({
        "sink": sink,
        "number": number,
        "is_readable": event.is_some(),
        "id": event.map(|event| event.id.as_hyphenated().to_string()),
        "type": event.map(Event::kind),
        "time": event.map(|event| event.cause.at.to_rfc3339()),
        "user_id": event.map(|event| event.cause.user.as_str()),
        "request_id": event.map(|event| event.cause.request.as_str()),
        "image_id": event.map(|event| event.image.to_string()),
        "member_id": event.and_then(member),
        "why": why,
        "given_up_at": at.to_rfc3339(),
    });
    // JSON lets some of them stand as they are.
    escape::controls_of_json(&json.to_string())
}

fn person(sink: &str, letter: &DeadLetter) -> String {
    let DeadLetter { number, event, why, at } = letter;
    let given_up = at.format("%Y-%m-%d %H:%M:%S");
    let about = match event {
        Some(event) => {
            let member = member(event).map(|member| format!(" {member}")).unwrap_or_default();
            format!("{} {}{member} by {}", event.kind(), event.image, event.cause.user)
        }
        None => "unreadable".to_owned(),
    };
    escape::controls(&format!("{sink} {number} {given_up} {about}: {why}"))
}

fn member(event: &Event) -> Option<&str> {
    match &event.change {
        Change::Image { .. } => None,
        Change::Member { project, .. } => Some(project.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use core_domain::{
        store::Store,
        testing::{
            builders::{an_image, cause},
            memory::MemoryStore,
        },
    };

    use super::*;

    const SINK: &str = "webhook:host:1";

    /// More dead letters than two pages have.
    fn with_letters() -> MemoryStore {
        let store = MemoryStore::default();
        let records: &dyn Store = &store;
        let life = Duration::from_secs(600);
        let lease = store.lease(SINK, "one", life).expect("an answer").expect("the lease");
        for _ in 0..=2 * PAGE {
            let image = an_image("owner");
            records.write(image.id, &cause(1), |tx| tx.insert_image(&image)).expect("a write");
        }
        for delivery in store.claim(&lease, 3 * PAGE).expect("an answer").expect("the lease").deliveries {
            assert!(store.bury(&lease, delivery.place, "why").expect("an answer"));
        }
        store
    }

    fn which(numbers: &[i64]) -> Which {
        let settings = Settings { config: None, listen: None, set: Vec::new() };
        Which { settings, sink: SINK.to_owned(), numbers: numbers.to_vec(), all: numbers.is_empty() }
    }

    fn taken(store: &MemoryStore, which: &Which) -> Result<Vec<i64>, Failure> {
        let mut numbers = Vec::new();
        which.each(store, &mut |letter| {
            numbers.push(letter.number);
            exhume(store, SINK, letter.number)
        })?;
        Ok(numbers)
    }

    #[test]
    fn all_are_all_however_many_and_each_is_found_by_its_number() {
        let store = with_letters();
        let last = i64::try_from(2 * PAGE + 1).expect("a number");
        assert_eq!(taken(&store, &which(&[last, 7, 7])).expect("letters"), [7, last]);
        let missing = taken(&store, &which(&[8, 7])).expect_err("7 was taken");
        assert!(missing.to_string().contains("has no dead letter 7"), "{missing}");
        assert_eq!(taken(&store, &which(&[])).expect("letters").len(), 2 * PAGE - 1);
        assert_eq!(store.dead_letters(SINK, 0, 1).expect("a look"), []);
    }

    #[test]
    fn no_letter_moves_a_terminal_and_json_stays_what_it_says() {
        let evil = "a\u{1b}]0;title\u{7}\u{9b}2J\r\n\u{202e}b\u{7f}";
        let store = MemoryStore::default();
        let lease =
            store.lease(SINK, "one", Duration::from_secs(600)).expect("an answer").expect("the lease");
        let image = an_image("owner");
        let by = core_domain::event::Cause {
            user: core_domain::project::UserId::new(evil),
            request: evil.to_owned(),
            ..cause(1)
        };
        (&store as &dyn Store).write(image.id, &by, |tx| tx.insert_image(&image)).expect("a write");
        let place = store.claim(&lease, 1).expect("an answer").expect("the lease").deliveries[0].place;
        assert!(store.bury(&lease, place, evil).expect("an answer"));
        let letter = store.dead_letters(SINK, 0, 1).expect("a look").remove(0);
        let unreadable = DeadLetter { event: None, ..letter.clone() };
        for letter in [&letter, &unreadable] {
            let (line, json) = (person(SINK, letter), machine(SINK, letter));
            for text in [&line, &json] {
                assert!(text.chars().all(|one| !one.is_control() && one != '\u{202e}'), "{text:?}");
            }
            assert!(line.ends_with("a\\u{1b}]0;title\\u{7}\\u{9b}2J\\r\\n\\u{202e}b\\u{7f}"), "{line}");
            let parsed: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            assert_eq!((&parsed["why"], &parsed["number"]), (&json!(evil), &json!(letter.number)));
        }
    }
}
