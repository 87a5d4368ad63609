//! One measurement: ask, and see what it cost, unless others used the machine too much.

use std::{thread, time::Duration};

use crate::{
    failure::Result,
    plan::GATE,
    processes::{Groups, Memory, Snapshot},
    results::Cpu,
    wrk::Answers,
};

/// What one measurement gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) answers: Answers,
    pub(crate) cpu: Cpu,
    pub(crate) memory: Option<Memory>,
    pub(crate) foreign: f64,
}

impl Measured {
    /// Whether others used too much of the machine.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.foreign > GATE
    }
}

/// Measures until nobody disturbs, at most so often; else gives the least disturbed try, never the fastest.
pub(crate) fn measure(
    groups: &Groups,
    seconds: u64,
    tries: u32,
    mut ask: impl FnMut() -> Result<Answers>,
) -> Result<Measured> {
    let mut best = once(groups, seconds, &mut ask)?;
    for _ in 1..tries {
        if !best.is_disturbed() {
            break;
        }
        wait_for_quiet();
        let again = once(groups, seconds, &mut ask)?;
        if again.foreign < best.foreign {
            best = again;
        }
    }
    Ok(best)
}

fn once(groups: &Groups, seconds: u64, ask: &mut impl FnMut() -> Result<Answers>) -> Result<Measured> {
    let server = groups.server;
    // Near the end, while it is still being asked.
    let late = Duration::from_secs(seconds).mul_f64(0.8);
    let watch = thread::spawn(move || {
        thread::sleep(late);
        server.map(Memory::of)
    });
    let before = Snapshot::take();
    let answers = ask();
    let after = Snapshot::take();
    let memory = watch.join().unwrap_or_default();
    let answers = answers?;
    let spent = before.until(&after, groups);
    let each = |micros: f64| micros / answers.requests.max(1.0);
    let cpu = Cpu {
        server: each(spent.server),
        postgres: each(spent.postgres),
        identity: each(spent.identity),
        generator: each(spent.generator),
    };
    Ok(Measured { answers, cpu, memory, foreign: spent.foreign })
}

/// Until others have left the machine alone for a second, but no longer than twenty.
fn wait_for_quiet() {
    for _ in 0..20 {
        let before = Snapshot::take();
        thread::sleep(Duration::from_secs(1));
        if before.until(&Snapshot::take(), &Groups::default()).foreign <= GATE {
            return;
        }
    }
}
