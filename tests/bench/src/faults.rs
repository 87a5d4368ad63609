//! The fault matrix of `testbed::trouble` with times long enough for a document.

use clap::Args;
use testbed::trouble::{self, lengths::Lengths, outcome::Outcome, stage::Ground};

use crate::{
    documents,
    failure::{Failure, Result},
    report,
    say::{print, say},
};

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Only these faults
    names: Vec<String>,
    /// Names every fault and does nothing
    #[arg(long)]
    list: bool,
    /// As short as the test is
    #[arg(long)]
    short: bool,
    /// How many clients ask
    #[arg(long, default_value_t = 6)]
    clients: usize,
    /// Leave docs/reliability.md alone, as with names or --short
    #[arg(long)]
    no_document: bool,
}

/// Strikes, prints a line for each fault, and fails if a promise was broken.
pub(crate) fn run(options: &Options) -> Result<()> {
    let faults = trouble::faults();
    if options.list {
        for fault in &faults {
            print(&format!("{:24} {}\n", fault.name, fault.what));
        }
        return Ok(());
    }
    if let Some(name) = options.names.iter().find(|name| !faults.iter().any(|fault| fault.name == **name)) {
        return Err(Failure::new(format!("there is no fault {name:?}; --list names them all")));
    }
    let lengths = if options.short { Lengths::short() } else { Lengths::full() };
    say("starting Postgres and Keystone");
    let ground = Ground::new(options.clients);
    let (mut table, mut broken, mut notes) = (format!("{}\n", Outcome::HEAD), Vec::new(), String::new());
    for fault in faults {
        if !options.names.is_empty() && !options.names.iter().any(|name| name == fault.name) {
            continue;
        }
        say(format!("{}: {}", fault.name, fault.what));
        match fault.run(&ground, lengths) {
            Ok(outcome) => {
                print(&format!("{}\n", outcome.row()));
                table.push_str(&format!("{}\n", outcome.row()));
                for note in &outcome.notes {
                    say(format!("  {note}"));
                    notes.push_str(&format!("- `{}`: {note}\n", outcome.name));
                }
                for what in outcome.broken() {
                    say(format!("  BROKEN: {what}"));
                    broken.push(format!("{}: {what}", outcome.name));
                }
            }
            Err(why) => {
                say(format!("  NOT RUN: {why}"));
                table.push_str(&format!("| `{}` | not run: {why} | | | | | | | | | |\n", fault.name));
            }
        }
    }
    print(&format!("\n{table}\n{notes}"));
    if options.names.is_empty() && !options.short && !options.no_document {
        report::document(&documents().join("reliability.md"), &[("faults", table), ("notes", notes)])?;
    }
    if broken.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("{} promises were broken:\n{}", broken.len(), broken.join("\n"))))
}
