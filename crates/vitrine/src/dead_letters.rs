//! `vitrine dead-letters`: what sinks could not be told of.

use std::{sync::Arc, time::Duration};

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
    migrate, print,
};

/// How many letters are looked at.
const MOST: usize = 10_000;
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
    let mut text = String::new();
    for name in &names {
        for letter in letters(outbox.as_ref(), name)? {
            text.push_str(&if as_json { machine(name, &letter) } else { person(name, &letter) });
            text.push('\n');
        }
    }
    if text.is_empty() && !as_json {
        text.push_str("There are no dead letters.\n");
    }
    print(&text)
}

fn retry(which: &Which) -> Result<(), Failure> {
    let config = which.settings.config()?;
    let outbox = outbox(&config)?;
    let letters = which.letters(outbox.as_ref())?;
    let mut sink = sink(&config, &which.sink)?;
    for letter in letters {
        let number = letter.event.number;
        let delivery = Delivery { place: 0, event: letter.event, again: true };
        let told = sink.tell(&[delivery], Time::of_one_try(PATIENCE));
        if told.done == 0 {
            let why = match told.failure {
                Some(NotTold::Away(why) | NotTold::Hopeless(why)) => why,
                None => "there was no time".to_owned(),
            };
            return Err(Failure::Other(format!("{number} could not be told and stays: {why}")));
        }
        exhume(outbox.as_ref(), &which.sink, number)?;
        print(&format!("{number} told\n"))?;
    }
    Ok(())
}

fn drop_them(which: &Which) -> Result<(), Failure> {
    let config = which.settings.config()?;
    let outbox = outbox(&config)?;
    for letter in which.letters(outbox.as_ref())? {
        exhume(outbox.as_ref(), &which.sink, letter.event.number)?;
        print(&format!("{} dropped\n", letter.event.number))?;
    }
    Ok(())
}

impl Which {
    fn letters(&self, outbox: &dyn Outbox) -> Result<Vec<DeadLetter>, Failure> {
        let mut letters = letters(outbox, &self.sink)?;
        if !self.all {
            let is_there = |number: &&i64| !letters.iter().any(|letter| letter.event.number == **number);
            if let Some(number) = self.numbers.iter().find(is_there) {
                return Err(Failure::Other(format!("{} has no dead letter {number}", self.sink)));
            }
            letters.retain(|letter| self.numbers.contains(&letter.event.number));
        }
        Ok(letters)
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

fn letters(outbox: &dyn Outbox, sink: &str) -> Result<Vec<DeadLetter>, Failure> {
    outbox.dead_letters(sink, MOST).map_err(|error| Failure::other("cannot read the dead letters", error))
}

fn exhume(outbox: &dyn Outbox, sink: &str, number: i64) -> Result<(), Failure> {
    let exhumed = outbox.exhume(sink, number);
    exhumed.map(drop).map_err(|error| Failure::other("cannot take the letter off the list", error))
}

fn machine(sink: &str, letter: &DeadLetter) -> String {
    let DeadLetter { event, why, at } = letter;
    json!({
        "sink": sink,
        "number": event.number,
        "id": event.id.as_hyphenated().to_string(),
        "type": event.kind(),
        "time": event.cause.at.to_rfc3339(),
        "user_id": event.cause.user.as_str(),
        "request_id": event.cause.request,
        "image_id": event.image.to_string(),
        "member_id": member(event),
        "why": why,
        "given_up_at": at.to_rfc3339(),
    })
    .to_string()
}

fn person(sink: &str, letter: &DeadLetter) -> String {
    let DeadLetter { event, why, at } = letter;
    let member = member(event).map(|member| format!(" {member}")).unwrap_or_default();
    let given_up = at.format("%Y-%m-%d %H:%M:%S");
    let (number, kind, image, user) = (event.number, event.kind(), event.image, &event.cause.user);
    format!("{sink} {number} {given_up} {kind} {image}{member} by {user}: {why}")
}

fn member(event: &Event) -> Option<&str> {
    match &event.change {
        Change::Image { .. } => None,
        Change::Member { project, .. } => Some(project.as_str()),
    }
}
