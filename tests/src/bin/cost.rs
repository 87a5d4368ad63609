//! `cargo run -p testbed --bin cost [memberships…]`: what records cost, as tables for `docs/scaling.md`.
//!
//! For each number of memberships (by default a million and ten millions) it fills a private Postgres, says what each
//! table and index takes, and what each call on memberships touches, as Postgres itself tells of the service's own
//! statements. Ten memberships an image on average, from none to 44; a few projects are members of much more than others;
//! two images in a hundred are public; each image has three properties and one tag.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a program for a person at a terminal, on the tests' terms"
)]

use serde_json::{Value, json};
use testbed::postgres::Durability;
use testbed::vitrine::{command, said};
use testbed::{Call, Database, Keystone, Party, Postgres, Vitrine};

fn main() {
    let given: Vec<u64> =
        std::env::args().skip(1).map(|number| number.parse().expect("a number of memberships")).collect();
    let postgres = Postgres::private(Durability::Forgone);
    for memberships in if given.is_empty() { vec![1_000_000, 10_000_000] } else { given } {
        let images = memberships / 10;
        println!("\n## {memberships} memberships, {images} images\n");
        let database = postgres.database();
        fill(&database, images);
        sizes(&database);
        touched(&postgres, &database, images);
    }
}

/// The catalogue, its indexes kept while it grows, as in life.
fn fill(database: &Database<'_>, images: u64) {
    let migrated = command(&["migrate"]).env("VITRINE_DATABASE__URL", database.url()).output();
    let migrated = migrated.expect("vitrine can be started");
    assert!(migrated.status.success(), "{}", said(&migrated));
    let projects = (images / 20).max(1000);
    // Foreign keys hold by the way the rows are made.
    let quiet = "SET session_replication_role = replica; SET synchronous_commit = off;";
    let id = "md5('image-' || n)::uuid";
    let time = "timestamp '2026-01-01' + n * interval '1 second'";
    // A number from 0 to 1 for each image, and its square: small numbers are many.
    let project = format!(
        "md5('project-' || (floor({projects} * power((hashint8(n) & 2147483647) / 2147483648.0, 2))::bigint + k) % {projects})"
    );
    let each = format!("generate_series(1, {images}) n");
    for statement in [
        format!("INSERT INTO image_ids SELECT {id} FROM {each}"),
        format!(
            "INSERT INTO images SELECT {id}, {project}, CASE WHEN n % 50 = 0 THEN 'public' ELSE 'shared' END, 'active', \
             'image number ' || n, 'bare', 'qcow2', 0, 0, false, false, {time}, {time}, 150, ARRAY['tag-' || n % 100], \
             jsonb_object(ARRAY['property_1', 'property_2', 'property_3'], array_fill('value ' || n % 1000, ARRAY[3])) \
             FROM {each}, (VALUES (0)) ks (k)"
        ),
        format!(
            "INSERT INTO image_members SELECT {id}, {project}, CASE k % 4 WHEN 0 THEN 'pending' ELSE 'accepted' END, \
             {time}, {time}, {time} FROM {each} \
             CROSS JOIN LATERAL generate_series(1, (ARRAY[0, 1, 1, 2, 3, 5, 8, 12, 24, 44])[1 + n % 10]) k"
        ),
    ] {
        database.query(&format!("{quiet} {statement}"));
    }
    database.query("VACUUM ANALYZE");
}

/// Rows and bytes of each table and index.
fn sizes(database: &Database<'_>) {
    println!("| table or index | rows | bytes | bytes a row |\n|---|---:|---:|---:|");
    let sizes = "SELECT '| ' || CASE relkind WHEN 'i' THEN '· ' ELSE '' END || c.relname || ' | ' || rows || ' | ' || bytes \
        || ' | ' || round(bytes / greatest(rows, 1), 1) || ' |' \
        FROM (SELECT c.oid, c.relname, c.relkind, coalesce(t.relname, c.relname) AS of, \
                     greatest(c.reltuples, 0)::numeric AS rows, pg_relation_size(c.oid)::numeric AS bytes \
              FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = i.indrelid \
              WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'i') \
                AND coalesce(t.relname, c.relname) LIKE 'image%') c ORDER BY of, relkind DESC, relname";
    for line in database.query(sizes) {
        println!("{line}");
    }
    let total = "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c \
                 WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname LIKE 'image%'";
    println!("| all | | {} | |\n", database.query(total)[0]);
}

/// What each call touches. `auto_explain` tells, in the server's log.
fn touched(postgres: &Postgres, database: &Database<'_>, images: u64) {
    database.query(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET session_preload_libraries = auto_explain', current_database()); \
         EXECUTE format('ALTER DATABASE %I SET auto_explain.log_min_duration = 0', current_database()); \
         EXECUTE format('ALTER DATABASE %I SET auto_explain.log_analyze = on', current_database()); \
         EXECUTE format('ALTER DATABASE %I SET auto_explain.log_buffers = on', current_database()); \
         EXECUTE format('ALTER DATABASE %I SET auto_explain.log_format = json', current_database()); END $$",
    );
    let keystone = Keystone::shared();
    let [owner, member] = ["owner", "member"].map(|name| Party::new(keystone, name, &["member"]));
    // An image in the middle with 44 members.
    let number = images / 20 * 10 + 9;
    let id = database.query(&format!("SELECT md5('image-' || {number})::uuid"))[0].clone();
    database.query(&format!("UPDATE images SET owner = '{}' WHERE id = '{id}'", owner.project.id));
    let vitrine = Vitrine::serve_as_it_is(database.url(), keystone).start();
    let image = format!("/v2/images/{id}");
    let (members, own) = (format!("{image}/members"), format!("{image}/members/{}", member.project.id));
    let by = |party: &Party, method: &str, path: &str| vitrine.call(method, path).token(&party.token);
    let accept = |word: &str| by(&member, "PUT", &own).json(&json!({"status": word}));
    println!("| call | statements | rows read | rows written | pages |\n|---|---:|---:|---:|---:|");
    let calls: [(&str, Call, u16); 8] = [
        ("add a member", by(&owner, "POST", &members).json(&json!({"member": member.project.id})), 200),
        ("accept", accept("accepted"), 200),
        ("accept again", accept("accepted"), 200),
        ("show a member", by(&member, "GET", &own), 200),
        ("list 45 members, as the owner", by(&owner, "GET", &members), 200),
        ("list members, as a member", by(&member, "GET", &members), 200),
        ("show an image, as a member", by(&member, "GET", &image), 200),
        ("remove a member", by(&owner, "DELETE", &own), 204),
    ];
    for (name, call, status) in calls {
        let before = postgres.log(0).len() as u64;
        call.send().expect(status);
        let plans: Vec<Value> = plans(&postgres.log(before));
        let mut seen = Touched::default();
        plans.iter().for_each(|plan| seen.add(&plan["Plan"], true));
        println!("| {name} | {} | {} | {} | {} |", plans.len(), seen.read, seen.written, seen.pages);
    }
    vitrine.stop();
}

/// The plans in a log: each starts at the brace after `plan:` and is indented by tabs.
fn plans(log: &str) -> Vec<Value> {
    log.split("plan:\n")
        .skip(1)
        .map(|rest| {
            let lines = rest.lines().take_while(|line| line.starts_with('\t'));
            let text = lines.collect::<Vec<_>>().join("\n");
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("no plan ({error}): {text}"))
        })
        // Readiness asks for a sign of life meanwhile.
        .filter(|plan: &Value| plan["Query Text"] != "SELECT 1")
        .collect()
}

#[derive(Default)]
struct Touched {
    read: u64,
    written: u64,
    pages: u64,
}

impl Touched {
    fn add(&mut self, node: &Value, is_top: bool) {
        let number = |key: &str| node[key].as_f64().unwrap_or_default();
        if is_top {
            self.pages += (number("Shared Hit Blocks") + number("Shared Read Blocks")) as u64;
        }
        let kind = node["Node Type"].as_str().unwrap_or_default();
        let removed = number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
        if kind.ends_with("Scan") && kind != "Subquery Scan" {
            self.read += ((number("Actual Rows") + removed) * number("Actual Loops")) as u64;
        }
        if kind == "ModifyTable" {
            let source = &node["Plans"][0];
            self.written += source["Actual Rows"].as_u64().unwrap_or_default();
        }
        for child in node["Plans"].as_array().into_iter().flatten() {
            self.add(child, false);
        }
    }
}
