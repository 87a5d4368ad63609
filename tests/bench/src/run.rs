//! The whole run: every step, in every repetition, in turn.

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    case::Load,
    catalogue::{image_id, project_id},
    cluster::{self, MEASURING, Records},
    failure::Result,
    machine::{Machine, said_by},
    measure::{Measured, measure},
    plan::{Plan, Step},
    processes::{Memory, cores},
    results::{Loaded, Measurement, Results},
    say::say,
    service,
    stage::{Stage, With},
    wrk,
};

/// How much of the saturated rate is asked for to look at latency.
const SHARE: f64 = 0.7;
/// Connections then, at most: the more, the less do answers depend on each other.
const THINKING_CONNECTIONS: f64 = 256.0;

/// A run under way.
struct Run<'a> {
    plan: &'a Plan,
    stage: Stage,
    results: Results,
    file: &'a Path,
    seed: u64,
}

/// Measures everything in the plan. After each measurement all results so far are written to `file`; with `resume`
/// what it holds already is not measured again.
pub(crate) fn run(plan: &Plan, program: PathBuf, file: &Path, resume: bool) -> Result<Results> {
    plan.check()?;
    wrk::version()?;
    let resumed = if resume && file.exists() { Some(Results::read(file)?) } else { None };
    let stage = Stage::set(plan, program)?;
    let versions = versions(&stage)?;
    // What was measured of another program, or otherwise, does not belong to this run.
    let resumed = resumed.filter(|earlier| earlier.plan == *plan && earlier.versions == versions);
    if resume && resumed.is_none() {
        say("there is nothing to resume of this plan and these versions: beginning anew");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let results = Results {
        began: now,
        plan: plan.clone(),
        machine: Machine::this(),
        versions,
        catalogues: loaded(plan, &stage),
        starts: Vec::new(),
        idle: None,
        glance_start: stage.glance_start(),
        statements: stage.statements(plan.main()),
        remarks: stage.remarks.clone(),
        measurements: resumed.map(|resumed| resumed.measurements).unwrap_or_default(),
    };
    let mut run = Run { plan, stage, results, file, seed: now % 100_000 };
    run.time_starts()?;
    run.measure_all()?;
    Ok(run.results)
}

impl Run<'_> {
    fn time_starts(&mut self) -> Result<()> {
        let catalogue = self.plan.main();
        let n = catalogue.example();
        let membership = catalogue.membership(n, 1);
        let path = format!("/v2/images/{}/members/{}", image_id(n), project_id(membership.member));
        let token = self.stage.cast.token(membership.owner)?;
        let url = self.stage.cluster.url(&Records::Vitrine(catalogue).database());
        self.results.idle = self.stage.service_pid(catalogue).map(Memory::of);
        for _ in 0..self.plan.starts {
            let start = self.stage.launch.time(&url, &self.stage.cast, &path, token)?;
            self.results.starts.push(start);
        }
        Ok(())
    }

    fn measure_all(&mut self) -> Result<()> {
        let mut steps = self.plan.steps();
        steps.retain(|step| self.stage.has(step));
        let all = steps.len() * self.plan.repetitions as usize;
        let mut done = 0;
        for repetition in 0..self.plan.repetitions {
            for step in in_turn(&steps, repetition) {
                done += 1;
                if self.results.has(step, repetition) {
                    continue;
                }
                let (with, target) = self.prepared(&step, repetition)?;
                let measured = self.measured(&step, with)?;
                self.keep(&step, repetition, with, target, measured);
                self.results.write(self.file)?;
                self.tell(&step, &measured, done, all);
            }
        }
        Ok(())
    }

    /// Warms up, and finds out how long to think if that is asked.
    fn prepared(&mut self, step: &Step, repetition: u32) -> Result<(With, Option<f64>)> {
        let seconds = self.plan.seconds(step);
        let with = With::step(step, seconds, self.next_seed());
        if step.load == Load::Seventy {
            return self.thinking(step, repetition, seconds);
        }
        if repetition == 0 || self.plan.form == "full" {
            let seed = self.next_seed();
            self.stage.ask(step, &With { seconds: 1, seed, ..with })?;
        }
        Ok((with, None))
    }

    /// So much thinking that 70 % of what this repetition reached is asked for: tried and corrected.
    fn thinking(&mut self, step: &Step, repetition: u32, seconds: u64) -> Result<(With, Option<f64>)> {
        let saturated = Step { load: Load::Saturated, ..*step };
        let reached = self.results.of(saturated).find(|one| one.repetition == repetition);
        let target = reached.map_or(1000.0, |one| one.answers.rate) * SHARE;
        // Slow answers are waited for by fewer, so that a second is enough to see the rate.
        let connections = (target / 20.0).clamp(16.0, THINKING_CONNECTIONS).round() as u32;
        let cycle = f64::from(connections) / target * 1000.0;
        let mut think = (cycle - 2.0).max(0.1);
        for _ in 0..if self.plan.form == "full" { 3 } else { 2 } {
            let with = With { connections, seconds: 1, think, seed: self.next_seed() };
            let rate = self.stage.ask(step, &with)?.rate;
            // What a cycle takes besides thinking.
            let answering = f64::from(connections) / rate * 1000.0 - think;
            think = (cycle - answering).max(0.1);
        }
        Ok((With { connections, seconds, think, seed: self.next_seed() }, Some(target)))
    }

    fn measured(&mut self, step: &Step, with: With) -> Result<Measured> {
        let groups = self.stage.groups(step)?;
        let seed = self.seed;
        let mut tried = 0;
        let stage = &self.stage;
        let measured = measure(&groups, with.seconds, self.plan.tries, || {
            tried += 1;
            stage.ask(step, &With { seed: seed + tried, ..with })
        });
        self.seed += tried;
        measured
    }

    fn keep(&mut self, step: &Step, repetition: u32, with: With, target: Option<f64>, measured: Measured) {
        self.results.measurements.push(Measurement {
            images: step.catalogue.images,
            case: step.case,
            side: step.side,
            load: step.load,
            repetition,
            connections: with.connections,
            answers: measured.answers,
            cpu: measured.cpu,
            memory: measured.memory,
            foreign: measured.foreign,
            disturbed: measured.is_disturbed(),
            target,
        });
    }

    fn tell(&self, step: &Step, measured: &Measured, done: usize, all: usize) {
        let answers = &measured.answers;
        let how = match step.load {
            Load::Saturated => "",
            Load::Seventy => ", 70 %",
            Load::Alone => ", alone",
        };
        let mut line = format!(
            "{done:4}/{all}  {:>9} {:<33}{:<12} {:>9.1}/s  p50 {:>8.2} ms  p99 {:>8.2} ms  us {:>5.0}+{:>5.0}+{:>4.0}",
            step.catalogue.images,
            format!("{}{how}", step.case.name()),
            step.side.name(),
            answers.rate,
            answers.p50 / 1000.0,
            answers.p99 / 1000.0,
            measured.cpu.server,
            measured.cpu.postgres,
            measured.cpu.generator,
        );
        if answers.wrong > 0.0 || answers.broken > 0.0 {
            line.push_str(&format!("  WRONG {} BROKEN {}", answers.wrong, answers.broken));
        }
        if measured.is_disturbed() {
            line.push_str(&format!("  disturbed: {:.0} %", measured.foreign * 100.0));
        }
        say(line);
    }

    fn next_seed(&mut self) -> u64 {
        self.seed += 1;
        self.seed
    }
}

/// The steps in order, and every other time in the opposite one, but that latency at 70 % follows what it is 70 % of.
fn in_turn(steps: &[Step], repetition: u32) -> Vec<Step> {
    let mut turned = steps.to_vec();
    if repetition % 2 == 1 {
        turned.reverse();
        let is_late = |step: &Step| step.load == Load::Seventy;
        let thinking: Vec<Step> = turned.iter().copied().filter(is_late).collect();
        turned.retain(|step| !is_late(step));
        for step in thinking {
            let saturated = Step { load: Load::Saturated, ..step };
            let place =
                turned.iter().position(|one| *one == saturated).map_or(turned.len(), |place| place + 1);
            turned.insert(place, step);
        }
    }
    turned
}

fn versions(stage: &Stage) -> Result<std::collections::BTreeMap<String, String>> {
    let mut versions = std::collections::BTreeMap::new();
    let mut is = |name: &str, version: String| versions.insert(name.to_owned(), version);
    is("vitrine", service::version(&stage.launch.program)?);
    is("commit", said_by("git", &["rev-parse", "--short=12", "HEAD"]));
    is("rustc", said_by("rustc", &["--version"]));
    is("postgres", cluster::version(&stage.cluster.postgres));
    is("postgres settings", MEASURING.split_last().map_or(String::new(), |(_, rest)| rest.join(", ")));
    is("load generator", wrk::version()?);
    is("workers", cores().to_string());
    if let Some(installation) = &stage.installation {
        is("glance", installation.versions().join(", "));
    }
    Ok(versions)
}

fn loaded(plan: &Plan, stage: &Stage) -> Vec<Loaded> {
    let of = |catalogue: crate::catalogue::Catalogue| {
        let database = Records::Vitrine(catalogue).database();
        let ask = |sql: &str| stage.cluster.ask(&database, sql).parse().unwrap_or(0);
        Loaded {
            images: catalogue.images,
            members: ask("SELECT count(*) FROM image_members"),
            bytes: ask("SELECT pg_database_size(current_database())"),
        }
    };
    plan.catalogues().into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        case::{Case, Side},
        catalogue::Catalogue,
    };

    #[test]
    fn turned_round_seventy_percent_still_follows_all_percent() {
        let step = |case, side, load| Step { catalogue: Catalogue { images: 10_000 }, case, side, load };
        let steps = [
            step(Case::ShowMember, Side::Vitrine, Load::Saturated),
            step(Case::ShowMember, Side::Pgbench, Load::Saturated),
            step(Case::ShowMember, Side::Vitrine, Load::Seventy),
            step(Case::List, Side::Vitrine, Load::Saturated),
        ];
        assert_eq!(in_turn(&steps, 0), steps);
        let [saturated, pgbench, seventy, list] = steps;
        assert_eq!(in_turn(&steps, 1), [list, pgbench, saturated, seventy]);
    }
}
