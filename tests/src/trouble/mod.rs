//! The fault matrix: two replicas of the real program on real Postgres and real Keystone, under steady load, struck by one
//! fault after another.
//!
//! Each client knows exactly what it was acknowledged ([`belief`]); each of its answers is judged by that, and so are the
//! records in the end. A file of faults for each thing that can be at fault.

pub mod belief;
mod clients;
mod clock;
pub mod front;
mod keystone;
pub mod lengths;
pub mod load;
pub mod outcome;
mod postgres;
pub mod proxy;
mod replicas;
pub mod stage;
mod upgrade;
pub mod wire;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use self::lengths::Lengths;
use self::load::{End, Load, Plan};
use self::outcome::{Outcome, SECOND, Times};
use self::proxy::Proxy;
use self::stage::{Ground, Servers, Setting, Stage, size};
use crate::postgres::{Database, Durability, Postgres};

/// Something that goes wrong.
pub struct Fault {
    /// By which it is asked for.
    pub name: &'static str,
    /// What is done, for a person.
    pub what: &'static str,
    /// Which records it needs.
    records: Records,
    /// How the services are started for it.
    setting: fn(&Database<'_>, &std::path::Path, Lengths) -> Setting,
    /// Does it, and undoes it.
    strike: fn(&Stage<'_>) -> Struck,
    /// Whether every request must be answered rightly all the while.
    is_unnoticed: bool,
    /// Causes of a 503 that are forgiven even then: the machine is busy with other things, and Keystone is slow.
    forgiven: &'static [&'static str],
    /// The least `deadline` of the services, in seconds.
    deadline: u64,
}

/// Which records a fault needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Records {
    /// A database in the server that others use as well.
    Shared,
    /// One whose disk is small.
    SmallRoom,
    /// One in a server with a synchronous standby; the services know the addresses of both.
    Pair,
    /// A database in the server that others use, whose schema an older program has made.
    Older,
    /// A database in the server that others use, behind a proxy.
    BehindProxy,
}

/// What a strike has to tell.
#[derive(Default)]
pub struct Struck {
    /// What was not as promised.
    pub problems: Vec<String>,
    /// What is worth a line.
    pub notes: Vec<String>,
}

impl Struck {
    /// Notes a broken promise.
    fn must(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(otherwise());
        }
    }
}

/// Every fault there is.
pub fn faults() -> Vec<Fault> {
    [
        replicas::faults(),
        postgres::faults(),
        keystone::faults(),
        clients::faults(),
        clock::faults(),
        upgrade::faults(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Images that all clients share.
const IMAGES: usize = 6;
/// What the cause of a 503 says, in the log, when Keystone was asked and did not answer in time.
const KEYSTONE_LATE: &str = "Keystone did not answer within";
/// What it says when Keystone itself is too slow, though nobody harms it.
const KEYSTONE_SLOW: &[&str] = &[
    KEYSTONE_LATE,
    "Keystone cannot be reached",
    "Keystone answered with status 5",
    "Keystone is away",
    "too many tokens wait for Keystone",
];
/// Seconds after the service's deadline for which a client still waits.
const PATIENCE: u64 = 30;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Growth of both replicas together that is no leak, in MiB: connections, bodies and answers under way.
const GROWTH: u64 = 160;

/// A fault with nothing special about it.
const fn plain(name: &'static str, what: &'static str, strike: fn(&Stage<'_>) -> Struck) -> Fault {
    Fault {
        name,
        what,
        records: Records::Shared,
        setting: |_, _, _| small_pool(),
        strike,
        is_unnoticed: false,
        forgiven: KEYSTONE_SLOW,
        deadline: 0,
    }
}

/// The same where every request must be answered rightly all the while: with a `deadline` that a machine which stands still
/// for some seconds does not exceed. Few faults wait for the end of it.
const fn unnoticed(fault: Fault) -> Fault {
    Fault { is_unnoticed: true, deadline: 30, ..fault }
}

fn small_pool() -> Setting {
    Setting { variables: vec![("VITRINE_DATABASE__POOL_SIZE", "4".to_owned())], ..Setting::default() }
}

impl Fault {
    /// Strikes, under load.
    ///
    /// # Errors
    /// Why it cannot be done on this machine.
    pub fn run(&self, ground: &Ground, lengths: Lengths) -> Result<Outcome, String> {
        let lengths = Lengths { deadline: lengths.deadline.max(self.deadline), ..lengths };
        match self.records {
            Records::Older if crate::vitrine::older().is_none() => {
                Err("VITRINE_TEST_OLDER_BINARY names no older program".to_owned())
            }
            Records::Shared | Records::Older => {
                let database = ground.postgres.database();
                Ok(self.run_on(ground, &database, lengths, Servers::default()))
            }
            Records::SmallRoom => {
                let postgres = Postgres::with_a_small_room(Durability::Kept, postgres::ROOM)?;
                let database = postgres.database_in_its_room();
                let servers = Servers { room: Some(&postgres), ..Servers::default() };
                Ok(self.run_on(ground, &database, lengths, servers))
            }
            Records::Pair => {
                let primary = Postgres::private(Durability::Kept);
                let database = primary.database();
                let standby = primary.synchronous_standby(&database);
                let url = database.url_at_either(&standby);
                let servers =
                    Servers { pair: Some((&primary, &standby)), url: Some(url), ..Servers::default() };
                Ok(self.run_on(ground, &database, lengths, servers))
            }
            Records::BehindProxy => {
                let database = ground.postgres.database();
                let proxy = Proxy::before(ground.postgres.socket());
                let url = database.url_through(proxy.address());
                let servers = Servers { proxy: Some(proxy), url: Some(url), ..Servers::default() };
                Ok(self.run_on(ground, &database, lengths, servers))
            }
        }
    }

    fn run_on(
        &self,
        ground: &Ground,
        database: &Database<'_>,
        lengths: Lengths,
        servers: Servers<'_>,
    ) -> Outcome {
        let directory = tempfile::Builder::new().prefix("vitrine-trouble-").tempdir().expect("a directory");
        let setting = (self.setting)(database, directory.path(), lengths);
        let stage = Stage::new(ground, database, lengths, setting, servers, directory.path().to_owned());
        let images = stage.make_images(IMAGES);
        let watching = stage.front.watch();
        let plan = Plan {
            front: stage.front.clone(),
            cast: ground.cast.clone(),
            images,
            think: Duration::from_millis(8),
            patience: Duration::from_secs(lengths.deadline + PATIENCE),
        };
        let load = Load::start(&plan, 1);
        let warm = Duration::from_millis(500);
        std::thread::sleep(warm + lengths.steady);

        let (times, struck, memory) = self.strike_watched(&stage, &load, warm);
        let now = load.now();
        let (events, known) = load.end();
        drop(watching);

        let mut outcome = Outcome::count(self.name, self.what, times, &events, now);
        outcome.memory = memory;
        outcome.problems = struck.problems;
        outcome.notes = struck.notes;
        outcome.problems.extend(stage.unanswered());
        outcome.compare(&known, &stage.rows());
        let causes = stage.causes();
        let is_forgiven = |cause: &str| self.forgiven.iter().any(|forgiven| cause.contains(forgiven));
        let late = causes.iter().filter(|(cause, _)| is_forgiven(cause)).map(|(_, count)| count).sum();
        self.judge(&mut outcome, &events, lengths, late);
        outcome.causes = causes;
        outcome
    }

    /// Strikes and waits until all is well; gives the times, what the strike told, and memory before and at most.
    fn strike_watched(&self, stage: &Stage<'_>, load: &Load, warm: Duration) -> (Times, Struck, (u64, u64)) {
        let resident = || stage.pids().into_iter().map(|pid| size(pid).0).sum::<u64>();
        let before = resident();
        let (most, is_over) = (AtomicU64::new(before), AtomicBool::new(false));
        let struck_at = load.now();
        let (times, struck) = std::thread::scope(|scope| {
            // However this ends: a thread of the scope that goes on would keep a panic from being heard.
            let _over = Over(&is_over);
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    most.fetch_max(resident(), Ordering::Relaxed);
                    std::thread::sleep(LOOK);
                }
            });
            let struck = (self.strike)(stage);
            let (lifted, pace) = (load.now(), stage.lengths.pace);
            let times = Times { steady: warm, struck: struck_at, lifted, pace };
            while load.now() < times.lifted + stage.lengths.patience {
                std::thread::sleep(LOOK);
                // Who still waits for an answer may yet be refused: only what is settled is judged.
                let settled = load.settled();
                if times.recovered(&load.events(), settled).is_some() {
                    break;
                }
            }
            (times, struck)
        });
        (times, struck, (before, most.into_inner()))
    }

    /// What is promised of every fault.
    fn judge(&self, outcome: &mut Outcome, events: &[load::Event], lengths: Lengths, late: usize) {
        if outcome.latest > lengths.deadline as f64 + lengths.lateness {
            outcome.problems.push(format!("an answer came after {:.1} s", outcome.latest));
        }
        let silent = |event: &&load::Event| match &event.end {
            End::Lost(_) => event.took.as_secs_f64() >= lengths.deadline as f64 + lengths.lateness + 3.0,
            End::Right | End::Refused | End::Wrong(_) => false,
        };
        if let Some(event) = events.iter().find(silent) {
            outcome.problems.push(format!("a request was never answered: {:?}", event.end));
        }
        if outcome.recovered.is_none() {
            outcome.problems.push(format!("not as before in {:?}", lengths.patience + SECOND));
        }
        let (before, most) = outcome.memory;
        if most > before + GROWTH {
            outcome.problems.push(format!("memory grew from {before} to {most} MiB"));
        }
        // A machine that is busy with other things may be too slow for Keystone, whatever the fault.
        if late > 0 && self.is_unnoticed {
            outcome.notes.push(format!("{late} requests were refused because Keystone itself was too slow"));
        }
        if self.is_unnoticed && outcome.refused + outcome.lost > late {
            let why = events.iter().find_map(|event| match &event.end {
                End::Lost(why) => Some(why.as_str()),
                End::Right | End::Refused | End::Wrong(_) => None,
            });
            let why = why.unwrap_or("503");
            outcome.problems.push(format!(
                "{} requests were refused and {} lost ({why}), and nobody should have noticed",
                outcome.refused, outcome.lost
            ));
        }
    }
}

/// Says so when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
