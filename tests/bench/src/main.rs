//! Measures Vitrine: `cargo run --release -p bench -- quick`, or `full`. See docs/performance.md.

mod agreement;
mod attack;
mod capture;
mod case;
mod cast;
mod catalogue;
mod cluster;
mod compare;
mod empty;
mod failure;
mod faults;
mod glance;
mod machine;
mod measure;
mod pgbench;
mod plan;
mod plot;
mod processes;
mod replicas;
mod report;
mod results;
mod run;
mod say;
mod service;
mod stage;
mod statements;
mod statistics;
mod wrk;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    case::Case,
    failure::{Failure, Result},
    plan::Plan,
    results::Results,
    say::{print, say},
};

/// Measures Vitrine beside pgbench, an empty handler and Glance, on this machine.
#[derive(Debug, Parser)]
#[command(name = "bench", max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Under three minutes: 10,000 images, no Glance; prints tables and leaves docs/ alone
    Quick(Options),
    /// All of it, Glance included; writes docs/performance.md and docs/performance/
    Full(Options),
    /// Only loads what a full run needs and keeps it, so that the run itself begins at once
    Load(Options),
    /// One, two and four processes on one Postgres; writes docs/scaling.md
    Replicas(Options),
    /// Strikes two replicas under load with one fault after another; writes docs/reliability.md
    Faults(faults::Options),
    /// Attacks exactness, here and at Glance; writes docs/reliability.md
    Attack(attack::Options),
    /// Makes tables and plots anew from results
    Report {
        /// The results of a run
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Holds the results of one program against those of another, measured in turn
    Compare {
        /// Results of the earlier program, a repetition each
        #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
        before: Vec<PathBuf>,
        /// Results of the later one
        #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
        after: Vec<PathBuf>,
    },
    /// Serves nothing
    #[command(hide = true)]
    Empty {
        #[arg(long)]
        port: u16,
    },
}

#[derive(Args, Debug)]
struct Options {
    /// Sizes of the catalogues, in thousands' multiples [default: 10000; full: 10000,200000,1000000]
    #[arg(long, value_delimiter = ',')]
    images: Vec<u64>,
    /// How often everything is measured [default: 2; full: 5]
    #[arg(long)]
    repetitions: Option<u32>,
    /// Seconds for one measurement [default: 2; full: 5]
    #[arg(long)]
    seconds: Option<u64>,
    /// Only these cases
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Case>,
    /// Leave Glance out
    #[arg(long)]
    no_glance: bool,
    /// How often a measurement is tried when others use the machine [default: 1; full: 4]
    #[arg(long)]
    tries: Option<u32>,
    /// A vitrine to measure instead of the one built from this workspace
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// A setting of Vitrine, such as database.pool_size=8; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where results, tables and plots go [default: quick: bench/quick in the target directory; full: docs/]
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
    /// Go on with a run that was ended: what its results hold is not measured again
    #[arg(long)]
    resume: bool,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Quick(options) => quick(&options),
        Command::Full(options) => full(&options),
        Command::Load(options) => load(&options),
        Command::Replicas(options) => replicas(&options),
        Command::Faults(options) => faults::run(&options),
        Command::Attack(options) => attack::run(&options),
        Command::Report { from } => report(from),
        Command::Compare { before, after } => compare::compare(&before, &after).map(|table| print(&table)),
        Command::Empty { port } => empty::serve(port),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(format!("{failure}"));
            ExitCode::FAILURE
        }
    }
}

fn quick(options: &Options) -> Result<()> {
    let plan = Plan {
        form: "quick".to_owned(),
        images: if options.images.is_empty() { vec![10_000] } else { options.images.clone() },
        repetitions: options.repetitions.unwrap_or(2),
        seconds: options.seconds.unwrap_or(2),
        only: options.only.clone(),
        glance: false,
        tries: options.tries.unwrap_or(1),
        starts: 3,
        settings: options.set.clone(),
    };
    let out = options.out.clone().map_or_else(|| cluster::home().map(|home| home.join("quick")), Ok)?;
    measure(options, plan, &out, None)
}

fn full(options: &Options) -> Result<()> {
    let plan = full_plan(options);
    match &options.out {
        Some(out) => measure(options, plan, out, None),
        None => measure(options, plan, &documents().join("performance"), Some(&document())),
    }
}

fn load(options: &Options) -> Result<()> {
    let plan = full_plan(options);
    plan.check()?;
    stage::load(&plan, program(options)?)
}

fn replicas(options: &Options) -> Result<()> {
    let plan = Plan {
        images: if options.images.is_empty() { vec![10_000] } else { options.images.clone() },
        repetitions: options.repetitions.unwrap_or(3),
        glance: false,
        ..full_plan(options)
    };
    plan.check()?;
    let table = replicas::table(&plan, program(options)?)?;
    report::document(&documents().join("scaling.md"), &[("replicas", table.clone())])?;
    print(&table);
    Ok(())
}

fn full_plan(options: &Options) -> Plan {
    let mut plan = Plan {
        form: "full".to_owned(),
        images: if options.images.is_empty() {
            vec![10_000, 200_000, 1_000_000]
        } else {
            options.images.clone()
        },
        repetitions: options.repetitions.unwrap_or(5),
        seconds: options.seconds.unwrap_or(5),
        only: options.only.clone(),
        glance: !options.no_glance,
        tries: options.tries.unwrap_or(4),
        starts: 9,
        settings: options.set.clone(),
    };
    plan.images.sort_unstable();
    plan.images.dedup();
    plan
}

fn measure(options: &Options, plan: Plan, out: &Path, document: Option<&Path>) -> Result<()> {
    fs::create_dir_all(out).map_err(|error| Failure::doing(out.display(), error))?;
    let file = out.join("results.json");
    let results = run::run(&plan, program(options)?, &file, options.resume)?;
    results.write(&file)?;
    tell(&results, out, document)
}

/// The program to measure.
fn program(options: &Options) -> Result<PathBuf> {
    match &options.program {
        Some(program) => std::path::absolute(program).map_err(|error| Failure::doing("--program", error)),
        None => {
            say("building vitrine (release)");
            Ok(testbed::vitrine::build(&["--release"]))
        }
    }
}

fn report(from: Option<PathBuf>) -> Result<()> {
    match from {
        Some(file) => {
            let out = file.parent().map(Path::to_owned).unwrap_or_default();
            tell(&Results::read(&file)?, &out, None)
        }
        None => {
            let out = documents().join("performance");
            tell(&Results::read(&out.join("results.json"))?, &out, Some(&document()))
        }
    }
}

/// Plots into `out`; tables to standard output, and into the document if there is one.
fn tell(results: &Results, out: &Path, document: Option<&Path>) -> Result<()> {
    report::plots(results, out)?;
    let blocks = report::blocks(results);
    if let Some(document) = document {
        report::document(document, &blocks)?;
        say(format!("wrote {}", document.display()));
    }
    for (_, text) in &blocks {
        print(&format!("{text}\n"));
    }
    say(format!("results and plots are in {}", out.display()));
    Ok(())
}

pub(crate) fn documents() -> PathBuf {
    testbed::kept::repository().join("docs")
}

fn document() -> PathBuf {
    documents().join("performance.md")
}
