//! Several processes on one Postgres, asked at once.

use std::{fmt::Write as _, path::PathBuf, thread};

use crate::{
    case::Case,
    cast::Cast,
    catalogue::Catalogue,
    cluster::{Cluster, Records, scratch},
    failure::{Failure, Result},
    plan::Plan,
    processes::{Groups, Snapshot},
    say::say,
    service::{Launch, Service, call},
    statistics::Spread,
    wrk::{self, Answers, Asked},
};

/// How many processes.
const COUNTS: [usize; 3] = [1, 2, 4];
/// Connections of all load generators together.
const CONNECTIONS: u32 = 64;
/// What is asked of them, one after another.
const CASES: [Case; 3] = [Case::ShowMember, Case::UpdateStatus, Case::List];

/// What so many processes gave, in one repetition.
struct Round {
    case: Case,
    processes: usize,
    rate: f64,
    worst_p99: f64,
    servers: f64,
    postgres: f64,
}

/// Measures, and gives the table.
pub(crate) fn table(plan: &Plan, program: PathBuf) -> Result<String> {
    wrk::version()?;
    let catalogue = plan.main();
    let records = Records::Vitrine(catalogue);
    let scratch = scratch()?;
    let launch = Launch { program, settings: plan.settings.clone(), directory: scratch.path().to_owned() };
    let cluster = Cluster::prepare(&[records], &launch, None)?;
    let cast = Cast::gather()?;
    let url = cluster.url(&records.database());
    let services: Vec<Service> = (0..COUNTS.into_iter().max().unwrap_or(1))
        .map(|_| launch.start(&url, &cast.keystone))
        .collect::<Result<_>>()?;
    for service in &services {
        for token in cast.everybody() {
            call(service.host(), "GET", "/v2/schemas/member", token, None)?;
        }
    }
    let mut rounds = Vec::new();
    for repetition in 0..=plan.repetitions {
        for case in CASES {
            for processes in COUNTS {
                let asked = &services[..processes];
                let round = round(plan, &cluster, &cast, catalogue, case, asked, repetition)?;
                say(format!("{repetition} {:<15} {processes} processes {:>9.1}/s", case.name(), round.rate));
                // The first time everything is warmed up.
                if repetition > 0 {
                    rounds.push(round);
                }
            }
        }
    }
    Ok(written(&rounds))
}

fn round(
    plan: &Plan,
    cluster: &Cluster,
    cast: &Cast,
    catalogue: Catalogue,
    case: Case,
    services: &[Service],
    repetition: u32,
) -> Result<Round> {
    let before = Snapshot::take();
    let answers: Vec<Answers> = thread::scope(|scope| {
        let asking: Vec<_> = services
            .iter()
            .enumerate()
            .map(|(number, service)| {
                let asked = Asked {
                    case,
                    host: service.host(),
                    catalogue,
                    connections: CONNECTIONS / u32::try_from(services.len()).unwrap_or(1),
                    seconds: plan.seconds,
                    think: 0.0,
                    seed: u64::from(repetition) * 100 + number as u64,
                };
                scope.spawn(move || wrk::ask(&asked, cast))
            })
            .collect();
        asking
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|_| Err(Failure::new("a load generator's thread ended"))))
            .collect::<Result<_>>()
    })?;
    let after = Snapshot::take();
    let requests: f64 = answers.iter().map(|one| one.requests).sum();
    let spent = |server: Option<u32>| {
        before.until(&after, &Groups { server, postgres: cluster.postgres.pid(), identity: Vec::new() })
    };
    let servers: f64 = services.iter().map(|service| spent(Some(service.pid())).server).sum();
    if let Some(wrong) = answers.iter().find(|one| one.wrong + one.broken > 0.0) {
        return Err(Failure::new(format!("{}: wrong or broken answers: {wrong:?}", case.name())));
    }
    Ok(Round {
        case,
        processes: services.len(),
        rate: answers.iter().map(|one| one.rate).sum(),
        worst_p99: answers.iter().map(|one| one.p99).fold(0.0, f64::max),
        servers: servers / requests,
        postgres: spent(None).postgres / requests,
    })
}

fn written(rounds: &[Round]) -> String {
    let mut text = String::from(
        "| call | processes | requests a second | by one process | slowest p99, ms | µs of the processes | µs of Postgres |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for case in CASES {
        for processes in COUNTS {
            let of = |count: usize, what: fn(&Round) -> f64| {
                let these = rounds.iter().filter(move |one| one.case == case && one.processes == count);
                Spread::of(these.map(what)).map_or(f64::NAN, |spread| spread.median)
            };
            let rate = of(processes, |one| one.rate);
            let _ = writeln!(
                text,
                "| {} | {processes} | {rate:.0} | {:.2} | {:.1} | {:.0} | {:.0} |",
                case.name(),
                rate / of(1, |one| one.rate),
                of(processes, |one| one.worst_p99) / 1000.0,
                of(processes, |one| one.servers),
                of(processes, |one| one.postgres),
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_stand_beside_those_of_one_process() {
        let round = |processes, rate| Round {
            case: Case::List,
            processes,
            rate,
            worst_p99: 2000.0,
            servers: 10.0,
            postgres: 20.0,
        };
        let text = written(&[round(1, 100.0), round(2, 150.0), round(2, 170.0), round(4, 200.0)]);
        assert!(text.contains("| 2 | 160 | 1.60 | 2.0 | 10 | 20 |"), "{text}");
    }
}
