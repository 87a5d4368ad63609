//! The attacks on exactness of `testbed::attack`, at Vitrine and at Glance, the same number of rounds.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use clap::Args;
use testbed::{
    Database, Keystone, Postgres, Vitrine,
    attack::{
        GLANCE_ROWS, QUOTA, ROWS, Range, Target, attacks,
        history::{Mix, Stage},
    },
    keystone,
    postgres::Durability,
};

use crate::{
    cluster::scratch,
    documents,
    failure::{Failure, Result},
    glance::Installation,
    report,
    say::{print, say},
};

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Rounds of each attack
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// Calls whose history is judged
    #[arg(long, default_value_t = 4000)]
    calls: usize,
    /// Leave Glance out, and docs/reliability.md alone
    #[arg(long)]
    no_glance: bool,
}

/// What an attack came to.
#[derive(Clone, Default)]
struct Count {
    rounds: usize,
    violated: usize,
    strange: usize,
    example: Option<String>,
}

type Counts = BTreeMap<&'static str, Count>;

/// The name under which the judged history stands in the table.
const HISTORY: &str = "history";

/// Attacks both, prints a table, and fails if Vitrine gave way.
pub(crate) fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::doing("threads", error))?;
    say("starting Postgres and Keystone");
    let postgres = Postgres::private(Durability::Kept);
    let identity = keystone::Options { expiration: 24 * 3600, ..keystone::Options::default() };
    let keystone = Keystone::private(identity);
    let ours = runtime.block_on(vitrine(options, &postgres, &keystone));
    let theirs = match options.no_glance {
        true => None,
        false => Some(runtime.block_on(glance(options, &postgres, &keystone))?),
    };
    let table = written(&ours, theirs.as_ref());
    print(&format!("\n{table}"));
    if theirs.is_some() {
        report::document(&documents().join("reliability.md"), &[("attacks", table)])?;
    }
    if ours.values().any(|count| count.violated + count.strange > 0) {
        return Err(Failure::new("Vitrine gave way"));
    }
    Ok(())
}

async fn vitrine(options: &Options, postgres: &Postgres, keystone: &Keystone) -> Counts {
    let database = postgres.database();
    let quota = QUOTA.to_string();
    let replica = || {
        let launch = Vitrine::serve(&database, keystone).with("VITRINE_LIMITS__MEMBERS_PER_IMAGE", &quota);
        launch.with("VITRINE_LOG__LEVEL", "info,vitrine::request=warn").start()
    };
    let replicas = [replica(), replica()];
    let urls = [replicas[0].url().to_owned(), replicas[1].url().to_owned()];
    let target = Target { urls, database: &database, rows: ROWS, shares_private: true };
    attacked("Vitrine", options, target, keystone).await
}

async fn glance(options: &Options, postgres: &Postgres, keystone: &Keystone) -> Result<Counts> {
    let installation = Installation::get()?;
    let database: Database<'_> = postgres.database();
    installation.migrate(database.url())?;
    let directory = scratch()?;
    say("starting Glance");
    let service = installation.start_with_quota(directory.path(), database.url(), keystone, QUOTA)?;
    // Both its processes listen at one address.
    let url = format!("http://{}", service.host());
    let urls = [url.clone(), url];
    let target = Target { urls, database: &database, rows: GLANCE_ROWS, shares_private: false };
    Ok(attacked("Glance", options, target, keystone).await)
}

async fn attacked(who: &str, options: &Options, target: Target<'_>, keystone: &Keystone) -> Counts {
    let urls = target.urls.clone();
    let range = Range::new(target, keystone);
    let mut counts = Counts::new();
    for attack in attacks() {
        let count = counts.entry(attack.name).or_default();
        for round in 0..options.rounds {
            let verdict = attack.round(&range, round).await;
            count.rounds += 1;
            count.violated += usize::from(!verdict.violations.is_empty());
            count.strange += usize::from(!verdict.strange.is_empty());
            if count.example.is_none() {
                count.example = verdict.violations.into_iter().chain(verdict.strange).next();
            }
        }
        let Count { rounds, violated, strange, example } = count;
        let example = example.as_deref().unwrap_or("–");
        say(format!("{who}: {}: {violated} of {rounds} violated, {strange} strange; {example}", attack.name));
    }
    let stage = Arc::new(Stage::new(urls, keystone, Mix::Memberships, options.calls));
    let happened = stage.run(1).await;
    let unexplained = happened.unexplained::<QUOTA>();
    say(format!("{who}: history: {} of {} images unexplained", unexplained.len(), happened.images()));
    let count = Count {
        rounds: happened.images(),
        violated: unexplained.len(),
        strange: happened.unanswered(),
        example: None,
    };
    counts.insert(HISTORY, count);
    counts
}

fn written(ours: &Counts, theirs: Option<&Counts>) -> String {
    let mut text = String::from(
        "| attack | must hold | rounds | Vitrine: violated | other answers | Glance: violated | other answers |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let history = (HISTORY, "an order of the calls explains every image's history");
    let rows = attacks().into_iter().map(|attack| (attack.name, attack.must)).chain([history]);
    for (name, must) in rows {
        let of = |counts: Option<&Counts>| {
            let count = counts.and_then(|counts| counts.get(name));
            count.map_or(("–".to_owned(), "–".to_owned()), |count| {
                (count.violated.to_string(), count.strange.to_string())
            })
        };
        let rounds = ours.get(name).map_or(0, |count| count.rounds);
        let ((our_violated, our_strange), (violated, strange)) = (of(Some(ours)), of(theirs));
        let _ = writeln!(
            text,
            "| `{name}` | {must} | {rounds} | {our_violated} | {our_strange} | {violated} | {strange} |"
        );
    }
    text
}
