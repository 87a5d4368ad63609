//! Postgres' own load generator, sending what Vitrine sends.

use std::{fs, path::Path, process::Command};

use crate::{
    failure::{Failure, Result},
    statements::Script,
    wrk::Answers,
};

/// How long to send.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// So many seconds.
    Seconds(u64),
    /// A few times: only to see whether it works.
    Tried,
}

/// Sends these scripts, by chance if there are several, and counts a script as one request.
pub(crate) fn ask(
    pgbench: &Path,
    database: &str,
    scripts: &[Script],
    clients: u32,
    until: Until,
) -> Result<Answers> {
    let directory = tempfile::tempdir().map_err(|error| Failure::doing("a temporary directory", error))?;
    let mut command = Command::new(pgbench);
    command.args(["-n", "-M", "prepared", "-j", "1", "-c", &clients.to_string()]);
    match until {
        Until::Seconds(seconds) => command.args(["-T", &seconds.to_string()]),
        Until::Tried => command.args(["-t", "30"]),
    };
    for (number, script) in scripts.iter().enumerate() {
        let path = directory.path().join(format!("{number}.sql"));
        fs::write(&path, &script.text).map_err(|error| Failure::doing("writing for pgbench", error))?;
        command.arg("-f").arg(path);
        for (name, value) in &script.constants {
            command.arg("-D").arg(format!("{name}={value}"));
        }
    }
    let output = command
        .arg(database)
        .output()
        .map_err(|error| Failure::doing("pgbench cannot be started (it comes with Postgres)", error))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    match read(&said) {
        Some(answers) if output.status.success() => Ok(answers),
        Some(_) | None => Err(Failure::new(format!("pgbench: {}", complained.trim()))),
    }
}

/// `latency average = 0.25 ms`, `tps = 31000.1 (without …)`, `number of transactions actually processed: 9`.
fn read(said: &str) -> Option<Answers> {
    let number = |name: &str| -> Option<f64> {
        let line = said.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.split('/').next()?.parse().ok()
    };
    Some(Answers {
        requests: number("number of transactions actually processed: ")?,
        rate: number("tps = ")?,
        p50: number("latency average = ")? * 1000.0,
        wrong: number("number of failed transactions: ").unwrap_or(0.0),
        ..Answers::default()
    })
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn what_pgbench_says_is_read() {
        let said = "transaction type: multiple scripts\nnumber of transactions actually processed: 41\n\
            number of failed transactions: 2 (4.878%)\nlatency average = 0.250 ms\n\
            initial connection time = 9.1 ms\ntps = 20.500000 (without initial connection time)\n";
        let answers = read(said).unwrap();
        assert_eq!((answers.requests, answers.rate, answers.p50, answers.wrong), (41.0, 20.5, 250.0, 2.0));
    }
}
