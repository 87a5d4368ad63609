//! The load generator: wrk, told by a script what to ask, and what it says in the end.

use std::{collections::BTreeMap, fmt::Write as _, fs, process::Command};

use serde::{Deserialize, Serialize};

use crate::{
    case::Case,
    cast::Cast,
    catalogue::{Catalogue, OWNERS, PLAIN, TAKERS},
    failure::{Failure, Result},
};

const SCRIPT: &str = include_str!("load.lua");
/// What to do when there is none.
const MISSING: &str = "wrk is needed to ask many questions at once (Debian: `apt-get install wrk`)";
/// More unused tokens a second than Keystone could look at.
const UNUSED_TOKENS_A_SECOND: u64 = 500;

/// What to ask of whom, and how hard.
pub(crate) struct Asked<'a> {
    /// What.
    pub(crate) case: Case,
    /// `127.0.0.1:PORT`.
    pub(crate) host: &'a str,
    /// Of which records.
    pub(crate) catalogue: Catalogue,
    /// Connections at once.
    pub(crate) connections: u32,
    /// For how long.
    pub(crate) seconds: u64,
    /// The mean time, in milliseconds, for which a connection thinks between two requests.
    pub(crate) think: f64,
    /// Another one asks for other records.
    pub(crate) seed: u64,
}

/// What wrk counted; times in microseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Answers {
    /// Requests that were answered, in whatever way.
    pub(crate) requests: f64,
    /// Answers a second.
    pub(crate) rate: f64,
    /// Half of the answers came within this.
    pub(crate) p50: f64,
    /// Nine in ten.
    pub(crate) p90: f64,
    /// 99 in a hundred.
    pub(crate) p99: f64,
    /// 999 in a thousand.
    pub(crate) p999: f64,
    /// The slowest.
    pub(crate) most: f64,
    /// Answers of another status than the right one.
    pub(crate) wrong: f64,
    /// Connections that broke, and requests that were not answered in time.
    pub(crate) broken: f64,
}

/// Asks.
pub(crate) fn ask(asked: &Asked<'_>, cast: &Cast) -> Result<Answers> {
    let directory = tempfile::tempdir().map_err(|error| Failure::doing("a temporary directory", error))?;
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).map_err(|error| Failure::doing("writing for wrk", error)).map(|()| path)
    };
    let tokens = if asked.case == Case::TokenMiss {
        cast.unused_tokens(UNUSED_TOKENS_A_SECOND * asked.seconds)?
    } else {
        String::new()
    };
    let tokens = write("tokens", &tokens)?;
    let table = table(asked, cast, &tokens.display().to_string())?;
    let script = write("load.lua", &format!("{table}\n{SCRIPT}"))?;
    // One thread can ask for more than the service answers, but not for more than a handler that does nothing.
    let threads = if asked.case.reads_records() || asked.case == Case::TokenMiss { "1" } else { "2" };
    let output = Command::new("wrk")
        .args(["-t", threads, "-c", &asked.connections.to_string()])
        .args(["-d", &format!("{}s", asked.seconds), "--timeout", "60s", "-s"])
        .arg(&script)
        .arg(format!("http://{}/", asked.host))
        .output()
        .map_err(|error| Failure::doing(MISSING, error))?;
    let said = String::from_utf8_lossy(&output.stdout);
    read(&said, asked.case).ok_or_else(|| {
        Failure::new(format!("wrk said nothing usable: {said}{}", String::from_utf8_lossy(&output.stderr)))
    })
}

/// The version of wrk.
pub(crate) fn version() -> Result<String> {
    let output = Command::new("wrk").arg("-v").output().map_err(|error| Failure::doing(MISSING, error))?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let first = said.lines().next().unwrap_or_default();
    Ok(first.split(" Copyright").next().unwrap_or_default().trim().to_owned())
}

/// The table in front of the script.
fn table(asked: &Asked<'_>, cast: &Cast, tokens_file: &str) -> Result<String> {
    let (kind, path) = match asked.case {
        Case::ShowMember => ("show-member", ""),
        Case::ListMembers => ("list-members", ""),
        Case::UpdateStatus => ("update-status", ""),
        Case::AddRemove => ("add-remove", ""),
        Case::ShowImage => ("show-image", ""),
        Case::List | Case::ListMany | Case::Inbox => ("path", path(asked.case)),
        Case::DeepMarker => ("deep-marker", ""),
        Case::Schema | Case::UnknownPath | Case::Nothing => ("path", path(asked.case)),
        Case::TokenMiss => ("token-miss", path(asked.case)),
    };
    let quoted = |tokens: Vec<&str>| {
        let quoted: Vec<String> = tokens.into_iter().map(|token| format!("\"{token}\"")).collect();
        quoted.join(", ")
    };
    let listing = if asked.case == Case::ListMany { TAKERS } else { PLAIN };
    let mut table = String::from("asked = {\n");
    for (name, value) in [
        ("kind", format!("\"{kind}\"")),
        ("path", format!("\"{path}\"")),
        ("host", format!("\"{}\"", asked.host)),
        ("tokens", format!("\"{tokens_file}\"")),
        ("images", asked.catalogue.images.to_string()),
        ("projects", asked.catalogue.projects().to_string()),
        ("think", format!("{:.4}", asked.think)),
        ("seed", asked.seed.to_string()),
        ("owners", format!("{{ {} }}", quoted(cast.all(OWNERS)?))),
        ("takers", format!("{{ {} }}", quoted(cast.all(TAKERS)?))),
        ("plain", format!("{{ {} }}", quoted(cast.all(listing)?))),
    ] {
        let _ = writeln!(table, "    {name} = {value},");
    }
    table.push_str("}\n");
    Ok(table)
}

/// What is asked for where it is the same for every request.
pub(crate) fn path(case: Case) -> &'static str {
    match case {
        Case::List | Case::ListMany => "/v2/images",
        Case::Inbox => "/v2/images?visibility=shared&member_status=pending&limit=25",
        Case::Schema | Case::TokenMiss => "/v2/schemas/member",
        Case::UnknownPath => "/v2/nothing/here",
        Case::ShowMember
        | Case::ListMembers
        | Case::UpdateStatus
        | Case::AddRemove
        | Case::ShowImage
        | Case::DeepMarker
        | Case::Nothing => "/",
    }
}

/// The lines `measured NAME NUMBER`.
fn read(said: &str, case: Case) -> Option<Answers> {
    let numbers: BTreeMap<&str, f64> = said
        .lines()
        .filter_map(|line| line.strip_prefix("measured ")?.split_once(' '))
        .filter_map(|(name, number)| Some((name, number.trim().parse().ok()?)))
        .collect();
    let number = |name: &str| numbers.get(name).copied();
    let (requests, refused) = (number("requests")?, number("refused")?);
    Some(Answers {
        requests,
        rate: requests / (number("micros")? / 1e6),
        p50: number("p50")?,
        p90: number("p90")?,
        p99: number("p99")?,
        p999: number("p999")?,
        most: number("most")?,
        wrong: if case.is_refused() { requests - refused } else { refused },
        // A token that comes twice is no miss.
        broken: number("broken")? + number("late")? + number("exhausted")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Running 2s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n\
        measured requests 3000.000\nmeasured micros 2000000.000\nmeasured p50 900.000\nmeasured p90 1000.000\n\
        measured p99 2500.000\nmeasured p999 3000.000\nmeasured most 4000.000\nmeasured refused 2.000\n\
        measured broken 1.000\nmeasured late 0.000\nmeasured exhausted 0.000\n";

    #[test]
    fn what_wrk_says_is_read() {
        let answers = read(SAID, Case::ShowMember).unwrap();
        assert_eq!((answers.rate, answers.p50, answers.p99), (1500.0, 900.0, 2500.0));
        assert_eq!((answers.wrong, answers.broken), (2.0, 1.0));
    }

    #[test]
    fn where_a_404_is_right_everything_else_is_wrong() {
        assert_eq!(read(SAID, Case::UnknownPath).unwrap().wrong, 2998.0);
    }

    #[test]
    fn half_an_answer_is_none() {
        assert_eq!(read("measured requests 3.000\n", Case::ShowMember), None);
    }
}
