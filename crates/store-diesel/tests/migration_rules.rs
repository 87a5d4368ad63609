//! The rules for migrations after the initial ones (`migrations/README.md`), read from their text.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

use std::{collections::BTreeSet, fs, path::Path};

mod initial;

const POSTGRES: &str = "../../migrations/postgres";

/// The statements of a migration, in upper case, without comments; blanks as one.
fn statements(sql: &str) -> Vec<String> {
    let code: String = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).fold(
        String::new(),
        |mut code, line| {
            code.push_str(line);
            code.push('\n');
            code
        },
    );
    let blanks = |statement: &str| statement.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase();
    code.split(';').map(blanks).filter(|statement| !statement.is_empty()).collect()
}

/// The word after these.
fn after<'a>(statement: &'a str, words: &str) -> Option<&'a str> {
    let rest = &statement[statement.find(words)? + words.len()..];
    rest.trim_start().split([' ', '(']).find(|word| !word.is_empty())
}

/// The table that exists already and the lock that a statement takes on it, or what is wrong with the statement.
fn lock(statement: &str, new: &BTreeSet<String>) -> Result<Option<(String, &'static str)>, String> {
    let on = |table: Option<&str>, level| {
        let table = table.ok_or_else(|| format!("no table in: {statement}"))?.to_owned();
        Ok((!new.contains(&table)).then_some((table, level)))
    };
    let starts = |words: &str| statement.starts_with(words);
    let has = |words: &str| statement.contains(words);
    if starts("CREATE TABLE ") {
        return match after(statement, " REFERENCES") {
            Some(table) => on(Some(table), "SHARE ROW EXCLUSIVE"),
            None => Ok(None),
        };
    }
    if starts("CREATE INDEX ") || starts("CREATE UNIQUE INDEX ") {
        let found = on(after(statement, " ON "), "SHARE UPDATE EXCLUSIVE")?;
        return match found {
            Some(_) if !has(" CONCURRENTLY ") => Err(format!("holds changes off: {statement}")),
            found => Ok(found),
        };
    }
    if starts("DROP INDEX ") {
        return match has(" CONCURRENTLY ") {
            true => Ok(Some((String::new(), "SHARE UPDATE EXCLUSIVE"))),
            false => Err(format!("holds everything off: {statement}")),
        };
    }
    if starts("ALTER TABLE ") {
        let table = after(statement, "ALTER TABLE");
        if has(" VALIDATE CONSTRAINT ") {
            return on(table, "SHARE UPDATE EXCLUSIVE");
        }
        for (words, unless, why) in [
            (" TYPE ", "", "writes the whole table anew"),
            (" SET NOT NULL", "", "reads the whole table under its lock"),
            (" ADD CONSTRAINT ", " NOT VALID", "reads the whole table under its lock"),
            (" ADD CHECK", " NOT VALID", "reads the whole table under its lock"),
            (" ADD FOREIGN KEY", " NOT VALID", "reads the whole table under its lock"),
            (" NOT NULL", " DEFAULT ", "refuses what the release before writes"),
        ] {
            if has(words) && (unless.is_empty() || !has(unless)) {
                return Err(format!("{why}: {statement}"));
            }
        }
        return on(table, "ACCESS EXCLUSIVE");
    }
    if starts("INSERT INTO ") {
        return on(after(statement, "INSERT INTO"), "ROW EXCLUSIVE");
    }
    Err(format!("no rule says what it holds off; add one here: {statement}"))
}

/// What is wrong with a migration for Postgres.
fn complaints(name: &str, sql: &str, metadata: Option<&str>) -> Vec<String> {
    if sql.contains("$$") {
        return vec!["has code, whose locks are not read here".to_owned()];
    }
    let statements = statements(sql);
    let new: BTreeSet<String> = statements
        .iter()
        .filter_map(|statement| after(statement, "CREATE TABLE").map(str::to_owned))
        .collect();
    let mut wrong = Vec::new();
    let mut locks = BTreeSet::new();
    for statement in &statements {
        match lock(statement, &new) {
            Ok(lock) => locks.extend(lock),
            Err(reason) => wrong.push(reason),
        }
    }
    if locks.len() > 1 {
        wrong.push(format!("takes more than one lock: {locks:?}"));
    }
    let is_outside = metadata.is_some_and(|text| text.replace(' ', "").contains("run_in_transaction=false"));
    let concurrent = statements.iter().find(|statement| statement.contains(" CONCURRENTLY "));
    match (concurrent, is_outside) {
        (None, true) => wrong.push("is not in a transaction and needs to be".to_owned()),
        (Some(_), false) => wrong.push("CONCURRENTLY needs run_in_transaction = false".to_owned()),
        (None, false) | (Some(_), true) => {}
    }
    if let Some(statement) = concurrent {
        if statements.len() > 1 {
            wrong.push("CONCURRENTLY must be the only statement of its migration".to_owned());
        }
        let exists = if statement.starts_with("DROP") { "IF EXISTS" } else { "IF NOT EXISTS" };
        let index = after(statement, exists).map(str::to_lowercase);
        if index.is_none() {
            wrong.push(format!("must be able to run again: {exists}"));
        }
        let named = name.split_once("_index_").map(|(_, index)| index.to_owned());
        if !statement.starts_with("DROP") && (named.is_none() || named != index) {
            wrong.push("must be called NNNN_index_ and the name of its index".to_owned());
        }
    }
    wrong
}

#[test]
fn later_migrations_keep_the_rules() {
    for name in initial::later(POSTGRES) {
        let folder = Path::new(POSTGRES).join(&name);
        let sql = fs::read_to_string(folder.join("up.sql")).expect("a migration");
        let metadata = fs::read_to_string(folder.join("metadata.toml")).ok();
        let wrong = complaints(&name, &sql, metadata.as_deref());
        assert!(wrong.is_empty(), "migrations/postgres/{name}: {wrong:#?}");
    }
    assert!(!initial::present(POSTGRES).is_empty(), "the first schema has other names; see tests/initial");
}

const OUTSIDE: Option<&str> = Some("run_in_transaction = false\n");

#[test]
fn a_migration_that_keeps_the_rules_is_let_through() {
    for (name, sql, metadata) in [
        (
            "0003_disk",
            "-- Why.\nALTER TABLE images ADD COLUMN disk text COLLATE \"C\", ADD COLUMN x int;",
            None,
        ),
        ("0003_disk", "ALTER TABLE images ADD COLUMN disk text NOT NULL DEFAULT '';", None),
        (
            "0003_index_images_by_disk",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS images_by_disk ON images (disk);",
            OUTSIDE,
        ),
        ("0003c_old_index", "DROP INDEX CONCURRENTLY IF EXISTS images_by_disk;", OUTSIDE),
        ("0003_check", "ALTER TABLE images ADD CONSTRAINT small CHECK (min_disk < 9) NOT VALID;", None),
        ("0004_checked", "ALTER TABLE images VALIDATE CONSTRAINT small;", None),
        (
            "0003_new",
            "CREATE TABLE new (id uuid PRIMARY KEY); CREATE INDEX new_by_id ON new (id); INSERT INTO new VALUES (1);",
            None,
        ),
    ] {
        assert_eq!(complaints(name, sql, metadata), [""; 0], "{sql}");
    }
}

#[test]
fn a_migration_that_breaks_a_rule_is_told_which() {
    let index = "CREATE INDEX CONCURRENTLY IF NOT EXISTS images_by_disk ON images (disk);";
    for (name, sql, metadata, word) in [
        // As 0002_list_indexes once was.
        ("0003_list", "CREATE INDEX a ON images (x); DROP INDEX b;", None, "holds changes off"),
        ("0003_list", "DROP INDEX b;", None, "holds everything off"),
        ("0003_index_images_by_disk", index, None, "run_in_transaction"),
        ("0003_disk", index, OUTSIDE, "must be called"),
        ("0003_index_images_by_size", index, OUTSIDE, "must be called"),
        ("0003_index_a", "CREATE INDEX CONCURRENTLY a ON images (disk);", OUTSIDE, "run again"),
        ("0003_index_images_by_disk", &format!("{index} {index}"), OUTSIDE, "only statement"),
        ("0003_disk", "ALTER TABLE images ADD COLUMN disk text;", OUTSIDE, "needs to be"),
        (
            "0003_two",
            "ALTER TABLE images ADD a int; ALTER TABLE image_members ADD a int;",
            None,
            "more than one",
        ),
        ("0003_fill", "ALTER TABLE events ADD a int; INSERT INTO images VALUES (1);", None, "more than one"),
        (
            "0003_new",
            "CREATE TABLE a (b int REFERENCES images (id)); ALTER TABLE images ADD c int;",
            None,
            "more than",
        ),
        ("0003_type", "ALTER TABLE images ALTER min_disk TYPE bigint;", None, "anew"),
        ("0003_null", "ALTER TABLE images ALTER name SET NOT NULL;", None, "reads the whole table"),
        ("0003_null", "ALTER TABLE images ADD a int NOT NULL;", None, "release before"),
        (
            "0003_check",
            "ALTER TABLE images ADD CONSTRAINT a CHECK (min_disk < 9);",
            None,
            "reads the whole table",
        ),
        ("0003_fill", "UPDATE images SET name = '';", None, "no rule"),
        ("0003_lock", "LOCK TABLE images;", None, "no rule"),
        ("0003_code", "DO $$ BEGIN END $$;", None, "code"),
    ] {
        let wrong = complaints(name, sql, metadata);
        assert!(wrong.iter().any(|wrong| wrong.contains(word)), "{sql}: {wrong:?}");
    }
}
