//! The statements that Vitrine sends for one request, taken from the server's own log, and made into scripts for
//! pgbench: what varies from request to request varies there too, by the same arithmetic.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::{Deserialize, Serialize};

use crate::{
    case::Case,
    catalogue::{Catalogue, image_id, project_id},
};

/// What every line of the server's log begins with, so that statements of several lines can be told apart.
pub(crate) const LOG_LINE_PREFIX: &str = "log_line_prefix=@%p@ ";

/// A statement as the server saw it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Statement {
    /// With `$1`, `$2`, … where values stand.
    pub(crate) sql: String,
    /// The values, as text.
    pub(crate) values: Vec<Option<String>>,
}

/// The statements in a piece of the server's log, but for those that only prepare a connection.
pub(crate) fn statements(log: &str) -> Vec<Statement> {
    let mut found: Vec<Statement> = Vec::new();
    for entry in entries(log) {
        if let Some(sql) = entry.strip_prefix("LOG:  ").and_then(sql) {
            found.push(Statement { sql: sql.trim().trim_end_matches(';').to_owned(), values: Vec::new() });
        } else if let Some(values) = entry.strip_prefix("DETAIL:  parameters: ")
            && let Some(last) = found.last_mut()
        {
            last.values = parameters(values);
        }
    }
    found.retain(|statement| {
        let upper = statement.sql.to_uppercase();
        !upper.starts_with("SET ")
            && upper != "SELECT 1"
            && !upper.starts_with("DISCARD")
            && !upper.is_empty()
    });
    found
}

/// Lines that belong together: those without the prefix continue the one before.
fn entries(log: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for line in log.lines() {
        let begins = line.strip_prefix('@').and_then(|rest| rest.split_once("@ "));
        match (begins, entries.last_mut()) {
            (Some((pid, entry)), _) if pid.bytes().all(|byte| byte.is_ascii_digit()) => {
                entries.push(entry.to_owned());
            }
            (_, Some(last)) => {
                last.push(' ');
                last.push_str(line.trim_start());
            }
            (_, None) => {}
        }
    }
    entries
}

/// `statement: SQL`, or `execute NAME: SQL`.
fn sql(entry: &str) -> Option<&str> {
    if let Some(sql) = entry.strip_prefix("statement: ") {
        return Some(sql);
    }
    entry.strip_prefix("execute ")?.split_once(": ").map(|(_, sql)| sql)
}

/// `$1 = 'a', $2 = NULL, …`, with quotes doubled inside.
fn parameters(text: &str) -> Vec<Option<String>> {
    let mut values = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(" = ") {
        let Some(quoted) = after.strip_prefix('\'') else {
            values.push(None);
            rest = after.strip_prefix("NULL").unwrap_or("");
            continue;
        };
        let mut value = String::new();
        let mut tail = quoted;
        loop {
            let Some((part, behind)) = tail.split_once('\'') else { return values };
            value.push_str(part);
            match behind.strip_prefix('\'') {
                Some(more) => {
                    value.push('\'');
                    tail = more;
                }
                None => {
                    tail = behind;
                    break;
                }
            }
        }
        values.push(Some(value));
        rest = tail;
    }
    values
}

/// A script for pgbench, and the constants it is given as variables, so that they are sent as the service sends them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Script {
    /// The script.
    pub(crate) text: String,
    /// Variables and their values.
    pub(crate) constants: BTreeMap<String, String>,
}

/// How a request was made whose statements were taken: what of it varies, by its value then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Varying(Vec<(String, &'static str)>);

impl Varying {
    /// Of a request about the k-th membership of the n-th image; a status and a new member by what they were.
    pub(crate) fn of(catalogue: Catalogue, n: u64, k: u64) -> Self {
        let membership = catalogue.membership(n, k);
        Self(vec![
            (image_id(n), IMAGE),
            (project_id(membership.owner), OWNER),
            (project_id(membership.member), MEMBER),
        ])
    }

    /// This value, too, varies: `sql` says how.
    pub(crate) fn and(mut self, value: &str, sql: &'static str) -> Self {
        self.0.push((value.to_owned(), sql));
        self
    }

    fn find(&self, value: &str) -> Option<&'static str> {
        self.0.iter().find(|(known, _)| known == value).map(|(_, sql)| *sql)
    }
}

/// What a script computes before its statements: the arithmetic of catalogue/keys.sql.
fn arithmetic(case: Case, catalogue: Catalogue) -> String {
    if case.lists_images() {
        return String::new();
    }
    let last = catalogue.images / 5;
    let projects = catalogue.projects();
    // A status is the first member's own to set; a new member must fit into its image.
    let image = match case {
        Case::AddRemove => format!("\\set n 5 * (10 * random(0, {}) + random(1, 9))\n", last / 10 - 1),
        Case::ShowMember
        | Case::ListMembers
        | Case::UpdateStatus
        | Case::ShowImage
        | Case::List
        | Case::ListMany
        | Case::Inbox
        | Case::DeepMarker
        | Case::Schema
        | Case::TokenMiss
        | Case::UnknownPath
        | Case::Nothing => format!("\\set n 5 * random(1, {last})\n"),
    };
    let slot = if case == Case::ShowMember {
        "\\set count case when :n % 1000 = 0 then 300 when :n % 100 = 50 then 100 else 1 + :n * 7919 % 29 end\n\
         \\set k random(0, :count - 1)\n"
    } else {
        "\\set k 0\n"
    };
    format!(
        "{image}{slot}\
         \\set scatter :n * 2654435761 % 4294967296\n\
         \\set image 4294967296 + :scatter\n\
         \\set owner 4294967296 + (1000000 + :n / 5 % 8) * 2246822519 % 4294967296\n\
         \\set m case when :k = 0 then 1100000 + :n / 40 % 8 else (:scatter / 64 + :k) % {projects} end\n\
         \\set member 4294967296 + :m * 2246822519 % 4294967296\n\
         \\set status random(1, 2)\n\
         \\set added random(1, 9000000000000000000)\n"
    )
}

const IMAGE: &str = "(rpad(to_hex(:image::bigint), 32, '0'))::uuid";
const OWNER: &str = "rpad(to_hex(:owner::bigint), 32, '0')";
const MEMBER: &str = "rpad(to_hex(:member::bigint), 32, '0')";
/// One status or the other.
pub(crate) const STATUS: &str = "(ARRAY['accepted', 'rejected'])[:status::integer]";

/// Where Vitrine answers several requests with one statement, that statement is no measure of what Postgres does for
/// one. Then this is: the same for one request, as anybody would write it.
pub(crate) fn reference(case: Case, catalogue: Catalogue, sent: &[Statement]) -> Option<Script> {
    let sql = match case {
        Case::ShowMember => include_str!("reference/show_member.sql"),
        Case::UpdateStatus => include_str!("reference/update_status.sql"),
        Case::ListMembers => include_str!("reference/list_members.sql"),
        Case::ShowImage => include_str!("reference/show_image.sql"),
        Case::AddRemove
        | Case::List
        | Case::ListMany
        | Case::Inbox
        | Case::DeepMarker
        | Case::Schema
        | Case::TokenMiss
        | Case::UnknownPath
        | Case::Nothing => return None,
    };
    if !sent.iter().any(|statement| statement.sql.contains("unnest(")) {
        return None;
    }
    let mut text = arithmetic(case, catalogue);
    text.push_str(
        &[("{image}", IMAGE), ("{owner}", OWNER), ("{member}", MEMBER), ("{status}", STATUS)]
            .into_iter()
            .fold(sql.to_owned(), |sql, (name, with)| sql.replace(name, with)),
    );
    Some(Script { text, constants: BTreeMap::new() })
}

/// The script that sends these statements. `number` tells its constants from those of other scripts.
pub(crate) fn script(
    case: Case,
    catalogue: Catalogue,
    statements: &[Statement],
    varying: &Varying,
    number: usize,
) -> Script {
    let mut script = Script { text: arithmetic(case, catalogue), ..Script::default() };
    for (place, statement) in statements.iter().enumerate() {
        let sql = filled(&statement.sql, |parameter| {
            let value = statement.values.get(parameter.checked_sub(1)?)?;
            let Some(value) = value else { return Some("NULL".to_owned()) };
            // pgbench takes no variable without a value.
            if value.is_empty() {
                return Some("''".to_owned());
            }
            if let Some(sql) = varying.find(value) {
                return Some(sql.to_owned());
            }
            let name = format!("c{number}_{place}_{parameter}");
            script.constants.insert(name.clone(), value.clone());
            Some(format!(":{name}"))
        });
        let _ = writeln!(script.text, "{sql};");
    }
    script
}

/// The SQL with each `$n` outside of quotes replaced.
fn filled(sql: &str, mut with: impl FnMut(usize) -> Option<String>) -> String {
    let mut filled = String::with_capacity(sql.len());
    let mut quoted_by = None;
    let mut rest = sql.char_indices().peekable();
    while let Some((at, letter)) = rest.next() {
        if letter == '\'' || letter == '"' {
            quoted_by = match quoted_by {
                Some(quote) if quote == letter => None,
                Some(quote) => Some(quote),
                None => Some(letter),
            };
        }
        if letter != '$' || quoted_by.is_some() {
            filled.push(letter);
            continue;
        }
        let behind = sql.get(at + 1..).unwrap_or_default();
        let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
        for _ in 0..digits.len() {
            rest.next();
        }
        match digits.parse().ok().and_then(&mut with) {
            Some(text) => filled.push_str(&text),
            None => {
                filled.push('$');
                filled.push_str(&digits);
            }
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "@12@ LOG:  statement: SET statement_timeout = 10000\n\
        @12@ LOG:  execute __diesel_stmt_1: SELECT a FROM b\n\tWHERE c = $1 AND d = $2 AND e = '$3'\n\
        @12@ DETAIL:  parameters: $1 = 'it''s = $9', $2 = NULL\n\
        @13@ LOG:  statement: BEGIN\n";

    #[test]
    fn statements_and_their_values_are_found_in_the_log() {
        let found = statements(LOG);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].sql, "SELECT a FROM b WHERE c = $1 AND d = $2 AND e = '$3'");
        assert_eq!(found[0].values, [Some("it's = $9".to_owned()), None]);
        assert_eq!(found[1], Statement { sql: "BEGIN".to_owned(), values: Vec::new() });
    }

    #[test]
    fn what_varies_is_computed_and_the_rest_is_sent_as_it_was() {
        let catalogue = Catalogue { images: 10_000 };
        let statement = Statement {
            sql: "SELECT $1, $2, $10, '$1'".to_owned(),
            values: [vec![Some(image_id(5)), None], vec![Some("x".to_owned()); 8]].concat(),
        };
        let script = script(Case::Inbox, catalogue, &[statement], &Varying::of(catalogue, 5, 0), 3);
        assert_eq!(
            script.text,
            "SELECT (rpad(to_hex(:image::bigint), 32, '0'))::uuid, NULL, :c3_0_10, '$1';\n"
        );
        assert_eq!(script.constants, BTreeMap::from([("c3_0_10".to_owned(), "x".to_owned())]));
    }
}
