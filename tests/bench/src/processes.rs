//! Processor time and memory of processes, from `/proc`.

use std::{
    collections::HashMap,
    fs,
    time::{Duration, Instant},
};

/// Processor time of every process at one moment.
pub(crate) struct Snapshot {
    at: Instant,
    processes: HashMap<u32, Process>,
    stolen: u64,
}

/// One process: its parent, and its own ticks with those of its children that have ended and were waited for. Summed
/// over a tree this loses nothing when a process ends: its ticks move to its parent.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Process {
    parent: u32,
    ticks: u64,
}

/// Where processor time went between two moments, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// By the server that was asked.
    pub(crate) server: f64,
    /// By all processes of Postgres.
    pub(crate) postgres: f64,
    /// By Keystone and memcached.
    pub(crate) identity: f64,
    /// By the load generator, and this program itself.
    pub(crate) generator: f64,
    /// The share of all cores that processes of others used, or the machine's host took away; 0 to 1.
    pub(crate) foreign: f64,
}

/// The processes that belong to a measurement, by the first one of each group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    /// Who is asked; `None` when that is Postgres.
    pub(crate) server: Option<u32>,
    /// The postmaster.
    pub(crate) postgres: u32,
    /// Keystone, memcached.
    pub(crate) identity: Vec<u32>,
}

/// Linux counts a process' time in hundredths of a second, whatever its own clock.
const TICK: Duration = Duration::from_millis(10);
/// The kernel's own threads, among them the ones that write our pages, are children of this one.
const KERNEL: u32 = 2;

impl Snapshot {
    /// Now.
    pub(crate) fn take() -> Self {
        let processes = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
                Some((pid, process(&fs::read_to_string(entry.path().join("stat")).ok()?)?))
            })
            .filter(|(pid, process)| *pid != KERNEL && process.parent != KERNEL)
            .collect();
        let stolen = stolen(&fs::read_to_string("/proc/stat").unwrap_or_default());
        Self { at: Instant::now(), processes, stolen }
    }

    /// Where time went from `self` to `after`.
    pub(crate) fn until(&self, after: &Self, groups: &Groups) -> Spent {
        let micros = |ticks: u64| TICK.as_micros() as f64 * ticks as f64;
        let of = |pid: u32| micros(after.tree(pid).saturating_sub(self.tree(pid)));
        let server = groups.server.map_or(0.0, of);
        let postgres = of(groups.postgres);
        let identity: f64 = groups.identity.iter().map(|pid| of(*pid)).sum();
        let ours = of(std::process::id());
        let all = micros(after.all().saturating_sub(self.all()));
        let stolen = micros(after.stolen.saturating_sub(self.stolen));
        let elapsed = after.at.duration_since(self.at).as_micros() as f64 * cores() as f64;
        Spent {
            server,
            postgres,
            identity,
            generator: (ours - server - postgres - identity).max(0.0),
            foreign: ((all - ours).max(0.0) + stolen) / elapsed.max(1.0),
        }
    }

    fn all(&self) -> u64 {
        self.processes.values().map(|process| process.ticks).sum()
    }

    /// A process and all that came from it.
    fn tree(&self, root: u32) -> u64 {
        self.family(root).iter().filter_map(|pid| self.processes.get(pid)).map(|process| process.ticks).sum()
    }

    /// A process and all that came from it, by their ids.
    fn family(&self, root: u32) -> Vec<u32> {
        let mut family = vec![root];
        let mut seen = 0;
        while let Some(parent) = family.get(seen).copied() {
            family.extend(self.processes.iter().filter(|(_, one)| one.parent == parent).map(|(pid, _)| *pid));
            seen += 1;
        }
        family
    }
}

/// Memory of a process and all that came from it, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Memory {
    /// Resident; what processes share is counted for each.
    pub(crate) rss: u64,
    /// Proportional: what processes share is divided among them.
    pub(crate) pss: u64,
}

impl Memory {
    /// Now.
    pub(crate) fn of(root: u32) -> Self {
        let add = |sum: Self, pid: u32| {
            let roll = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let field = |name: &str| {
                let line = roll.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
            };
            Self { rss: sum.rss + field("Rss:"), pss: sum.pss + field("Pss:") }
        };
        Snapshot::take().family(root).into_iter().fold(Self::default(), add)
    }
}

/// How many cores there are.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// `/proc/{pid}/stat`: the name, in parentheses, may have anything in it.
fn process(stat: &str) -> Option<Process> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let number = |place: usize| -> Option<u64> { fields.get(place)?.parse().ok() };
    // Behind the name: 0 state, 1 parent, … 11 user, 12 system, 13 and 14 the same of children that ended.
    let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
    Some(Process { parent: u32::try_from(number(1)?).ok()?, ticks })
}

/// The time the host gave to others, of the line `cpu user nice system idle iowait irq softirq steal …`.
fn stolen(stat: &str) -> u64 {
    stat.lines().next().and_then(|line| line.split_whitespace().nth(8)?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) (c) S 3 7 7 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 5 6 7";
        assert_eq!(process(stat), Some(Process { parent: 3, ticks: 127 }));
        assert_eq!(stolen("cpu  1 2 3 4 5 6 7 88 0 0\ncpu0 1"), 88);
    }

    #[test]
    fn time_spent_here_is_ours() {
        let before = Snapshot::take();
        let end = Instant::now() + Duration::from_millis(200);
        let mut spun = 0u64;
        while Instant::now() < end {
            spun = std::hint::black_box(spun + 1);
        }
        let groups = Groups { server: Some(std::process::id()), ..Groups::default() };
        let spent = before.until(&Snapshot::take(), &groups);
        assert!(spent.server > 10_000.0, "{spent:?}");
        assert!(Memory::of(std::process::id()).pss > 500);
    }
}
