//! Postgres' plans, as carried out on a million images: `auto_explain` writes each into the server's log.

mod looks;

use std::{cell::Cell, time::Duration};

use core_domain::{
    image::{Image, ImageId, ImageStatus, Visibility},
    listing::{Direction, Listing, SortKey},
    store::{Store, Viewer},
    testing::builders::project,
};
use serde_json::Value;
use store_diesel::{Config, DieselStore, migrate};
use testbed::{Database, Postgres, patience, postgres::Durability};

use crate::{
    listings::{admins, after, all, having, inbox, named, only, page, sorted, tagged, with_ids},
    told,
};

/// Entries of indexes alone that a list by tag or property may read: a few bytes each, side by side. The tag «common» has
/// 34,483; and a project may have 20,000 shares.
const ENTRIES: u64 = 110_000;

/// Rows and index entries together that a list by a tag or a property of twenty images may read, in all its statements.
const RARE: u64 = 1_000;

/// Pages that a kept plan may read beyond a plan for the values: at a thousand images, one page more than a bitmap scan in some
/// ranges.
const PAGES: u64 = 5;

/// Pages of a table that is so small that reading all of it is right: at a thousand images, `images` has 30 and `events` 5.
const WHOLE: u64 = 40;

/// Whether a scan reads an index and no table.
fn is_of_index_alone(scan: &str) -> bool {
    ["Bitmap Index Scan", "Index Only Scan"].iter().any(|kind| scan.starts_with(kind))
}

/// Whether a scan reads a table from its beginning to its end.
fn is_of_whole_table(scan: &str) -> bool {
    scan.starts_with("Seq Scan")
}

/// A server with the catalogue, and the store in front of it, with one connection.
struct Catalogue<'a> {
    server: &'a Postgres,
    database: &'a Database<'a>,
    store: &'a DieselStore,
    /// How many images there are.
    images: u32,
    /// How much of the server's log was read.
    read: Cell<u64>,
    /// How often each statement is asked.
    times: Cell<usize>,
    /// Pages of a table that may be read whole, once.
    whole: Cell<u64>,
}

/// What a call read.
struct Seen {
    /// Each table or index read, with how many rows were taken from it or passed over.
    scans: Vec<(String, u64)>,
    /// The plan of each statement that was carried out.
    plans: Vec<Value>,
}

/// What a statement cost.
#[derive(Debug)]
struct Cost {
    /// Rows and entries read of tables and indexes.
    rows: u64,
    /// Pages looked at, in memory or not.
    pages: u64,
}

impl Cost {
    fn of(seen: &Seen) -> Self {
        let pages = |key: &str| {
            seen.plans.iter().map(|plan| plan["Plan"][key].as_u64().expect("a number of pages")).sum::<u64>()
        };
        Self {
            rows: seen.scans.iter().map(|(_, read)| read).sum(),
            pages: pages("Shared Hit Blocks") + pages("Shared Read Blocks"),
        }
    }
}

impl<'a> Catalogue<'a> {
    fn of(server: &'a Postgres, database: &'a Database<'a>, store: &'a DieselStore, images: u32) -> Self {
        Self { server, database, store, images, read: Cell::new(0), times: Cell::new(8), whole: Cell::new(0) }
    }

    /// Carries out one call and reads what the server tells of its statements.
    fn watch(&self, work: impl Fn(&DieselStore)) -> Seen {
        let statements = told::during(|| work(self.store)).run;
        let number = statements.iter().filter(|statement| is_the_stores(statement)).count().max(1);
        let plans = patience::until("the plans in the log", Duration::from_secs(60), || {
            let new = self.server.log(self.read.get());
            let mut plans = plans(&new);
            // Before them, of what was asked since without being watched.
            let others = plans.len().checked_sub(number)?;
            self.read.set(self.read.get() + new.len() as u64);
            Some(plans.split_off(others))
        });
        let mut scans = Vec::new();
        plans.iter().for_each(|plan| scan(&plan["Plan"], &mut scans));
        Seen { scans, plans }
    }

    /// Asks again and again, and holds each time to `rows`.
    fn reads_at_most(&self, rows: u64, what: &str, work: impl Fn(&DieselStore)) -> Seen {
        self.reads_within(rows, None, what, work)
    }

    /// The same; with `index_entries`, what is read of indexes alone has a bound of its own.
    fn reads_within(
        &self,
        rows: u64,
        index_entries: Option<u64>,
        what: &str,
        work: impl Fn(&DieselStore),
    ) -> Seen {
        (0..self.times.get())
            .map(|_| {
                let seen = self.watch(&work);
                let of = |wanted: &dyn Fn(&str) -> bool| -> u64 {
                    // What is read whole has its bound in pages.
                    let scans =
                        seen.scans.iter().filter(|(kind, _)| !is_of_whole_table(kind) && wanted(kind));
                    scans.map(|(_, read)| read).sum()
                };
                let (read, entries) = match index_entries {
                    Some(_) => (of(&|kind| !is_of_index_alone(kind)), of(&is_of_index_alone)),
                    None => (of(&|_| true), 0),
                };
                let mut pages = Vec::new();
                seen.plans.iter().for_each(|plan| whole_tables(&plan["Plan"], &mut pages));
                let is_searched = pages.iter().all(|pages| *pages <= self.whole.get());
                assert!(
                    is_searched && read <= rows && entries <= index_entries.unwrap_or(0),
                    "{what}: {read} rows and {entries} entries, {rows} and {index_entries:?} allowed; \
                     tables of {pages:?} pages whole: {:#?}\n{:#?}",
                    seen.scans,
                    seen.plans
                );
                seen
            })
            .last()
            .expect("once at least")
    }

    fn lists_within(&self, rows: u64, what: &str, listing: &Listing) -> Seen {
        self.reads_at_most(rows, what, |store| drop(store.images(listing).expect("a list")))
    }

    fn finds_within(&self, rows: u64, what: &str, listing: &Listing) -> Seen {
        let list = |store: &DieselStore| drop(store.images(listing).expect("a list"));
        self.reads_within(rows, Some(ENTRIES), what, list)
    }

    fn image(&self, condition: &str) -> Image {
        let ids = self.database.query(&format!("SELECT id FROM images WHERE {condition} LIMIT 1"));
        let id = ids.first().expect("such an image").parse().expect("an id");
        self.store.image(id, Viewer::ADMIN).expect("a look").and_then(|found| found.image).expect("the image")
    }

    /// Lists in the order of creation: a page is 26 rows, of which the last only tells that there are more. Each is looked at
    /// in a range and, if shared, once more for its image; memberships of private and hidden images are passed over.
    fn pages(&self) {
        let deep = self.image("created_at >= timestamp '2026-02-10' ORDER BY created_at");
        for who in ["p0", "p3", "p700", "big", "inbox", "nobody"] {
            self.lists_within(200, who, &page(who));
            self.lists_within(200, who, &inbox(who));
            self.lists_within(200, who, &after(&deep, page(who)));
            self.lists_within(200, who, &after(&deep, inbox(who)));
            self.lists_within(260, who, &all(page(who)));
            self.lists_within(260, who, &after(&deep, all(page(who))));
            for visibility in Visibility::ALL {
                self.lists_within(200, who, &only(visibility, page(who)));
            }
            self.lists_within(260, who, &sorted(SortKey::CreatedAt, Direction::Asc, page(who)));
            let hidden = Listing { hidden: true, ..only(Visibility::Public, page(who)) };
            self.lists_within(200, who, &hidden);
            let own = Listing { owner: Some(project(who)), ..page(who) };
            self.lists_within(200, who, &own);
        }
        self.lists_within(200, "admin", &admins());
        self.lists_within(200, "admin, all", &all(admins()));
        self.lists_within(200, "admin, deep", &after(&deep, all(admins())));
        self.lists_within(200, "admin, private", &only(Visibility::Private, admins()));
        self.lists_within(200, "admin, by name", &sorted(SortKey::Name, Direction::Asc, admins()));
    }

    /// A statement that is kept is planned once for all values after some calls. That plan reads no more of tables and indexes,
    /// and, up to [`PAGES`], no more pages, than a plan made for the values of the call.
    fn kept_plans_read_no_more(&self) {
        let deep = self.image("created_at >= timestamp '2026-02-10' ORDER BY created_at");
        let asked: Vec<Listing> = ["p0", "p3", "p700", "big", "inbox", "nobody"]
            .into_iter()
            .flat_map(|who| [page(who), inbox(who), all(page(who)), after(&deep, page(who))])
            .chain([admins(), all(admins())])
            .collect();
        let custom = self.costs("force_custom_plan", &asked);
        let kept = self.costs("force_generic_plan", &asked);
        for (listing, (custom, kept)) in asked.iter().zip(custom.into_iter().zip(kept)) {
            assert!(
                kept.rows <= custom.rows && kept.pages <= custom.pages + PAGES,
                "kept: {kept:?}, planned for the values: {custom:?}; {listing:?}"
            );
        }
    }

    /// What each list costs in a session with this `plan_cache_mode`.
    fn costs(&self, mode: &str, asked: &[Listing]) -> Vec<Cost> {
        self.database.query(&format!("ALTER ROLE CURRENT_USER SET plan_cache_mode = {mode}"));
        let store = opened(self.database);
        let session = Catalogue {
            store: &store,
            read: self.read.clone(),
            times: Cell::new(1),
            whole: self.whole.clone(),
            ..*self
        };
        let costs = asked
            .iter()
            .map(|listing| {
                let seen = session.watch(|store| drop(store.images(listing).expect("a list")));
                let is_kept = is_for_any_values(&seen);
                assert_eq!(is_kept, mode == "force_generic_plan", "{:#?}", seen.plans);
                Cost::of(&seen)
            })
            .collect();
        self.read.set(session.read.get());
        self.database.query("ALTER ROLE CURRENT_USER RESET plan_cache_mode");
        costs
    }

    /// Lists of what an index leads to by name, id or tag. A project's few hundred shares may be read instead.
    fn found(&self) {
        let some: Vec<ImageId> = (0..20)
            .map(|number| self.image(&format!("created_at > timestamp '2026-01-{:02}'", 3 + number)).id)
            .collect();
        for project in ["p0", "p700", "big", "inbox"] {
            for name in [format!("image {}", self.images / 2 + 1), "no such image".to_owned()] {
                self.lists_within(20, "a rare name", &named(&name, page(project)));
            }
            // One in ten has this name, one in twenty this tag: a page of them is that much further away.
            self.lists_within(2_000, "a common name", &named("ubuntu", page(project)));
            let seen = self.finds_within(4_000, "a common tag", &tagged("common", page(project)));
            assert_eq!(seen.plans.len(), 1, "a common tag was looked for first: {:#?}", seen.plans);
            self.lists_within(1_000, "ids", &with_ids(&some, page(project)));
            // No index leads to what all images are, and the ranges are walked as without a filter.
            let queued = Listing { statuses: vec![ImageStatus::Queued], ..page(project) };
            self.lists_within(200, "a status", &queued);
            self.lists_within(260, "a status, all", &all(queued));
        }
        // A name's order reads all that is shared with the project, but no more.
        let by_name = |project| sorted(SortKey::Name, Direction::Asc, page(project));
        self.lists_within(1_500, "by name", &by_name("p700"));
        self.lists_within(200, "by name, nothing shared", &by_name("big"));
        self.lists_within(200, "an admin's name", &named("ubuntu", admins()));
    }

    /// Lists by a tag or a property of twenty images, whatever else the project sees. Of the tag the server knows nothing: the
    /// images have it since the last ANALYZE.
    fn rarely_found(&self, tag: &str) {
        self.database.query(&format!(
            "UPDATE images SET tags = tags || ARRAY['{tag}'] \
             WHERE id IN (SELECT md5(n::text)::uuid FROM generate_series(13, 1000000, 50000) AS n)"
        ));
        let deep = self.image("created_at >= timestamp '2026-02-10' ORDER BY created_at");
        let number = (self.images / 200).to_string();
        let projects = ["p0", "p3", "p700", "big", "inbox", "nobody"].map(page);
        for listing in projects.into_iter().chain([admins()]).flat_map(|page| [all(page.clone()), page]) {
            for rare in [tag, "rare", "no such tag"] {
                self.lists_within(RARE, rare, &tagged(rare, listing.clone()));
                self.lists_within(RARE, rare, &after(&deep, tagged(rare, listing.clone())));
            }
            let both = Listing { tags: vec!["common".to_owned(), "rare".to_owned()], ..listing.clone() };
            self.lists_within(RARE, "a rare tag and a common one", &both);
            self.lists_within(RARE, "a rare property", &having("number", &number, listing.clone()));
            let both = having("number", &number, tagged("common", listing.clone()));
            self.lists_within(RARE, "a rare property and a common tag", &both);
            let by_change = sorted(SortKey::UpdatedAt, Direction::Asc, tagged(tag, listing));
            self.lists_within(RARE, "a rare tag, in another order", &by_change);
        }
    }

    /// What is read first is put on pages like anything else: with no image twice and none left out.
    fn pages_by_tag_join_up(&self, tag: &str) {
        let mut listing = Listing { limit: 7, ..all(tagged(tag, admins())) };
        let mut found = Vec::new();
        loop {
            let page = self.store.images(&listing).expect("a list");
            found.extend(page.images.iter().map(|image| image.id.to_string()));
            if !page.has_more {
                break;
            }
            listing = after(page.images.last().expect("an image"), listing);
        }
        let wanted = self.database.query(&format!(
            "SELECT id FROM images WHERE tags @> ARRAY['{tag}'] AND NOT hidden ORDER BY created_at DESC, id DESC"
        ));
        assert!(found.len() > 14);
        assert_eq!(found, wanted);
    }
}

/// The pages of every table that a plan reads whole, of all times together that it does.
fn whole_tables(node: &Value, into: &mut Vec<u64>) {
    if node["Node Type"].as_str().is_some_and(is_of_whole_table) {
        into.push(
            ["Shared Hit Blocks", "Shared Read Blocks"].iter().filter_map(|key| node[key].as_u64()).sum(),
        );
    }
    node["Plans"].as_array().into_iter().flatten().for_each(|child| whole_tables(child, into));
}

/// Whether the one statement of a call has a plan that was made for any values.
fn is_for_any_values(seen: &Seen) -> bool {
    let [plan] = seen.plans.as_slice() else { panic!("one statement, not {:#?}", seen.plans) };
    plan["Plan"].to_string().contains("$1")
}

/// A database with so many images, made in the same 81 days, and a store that has one connection to it.
fn filled(database: &Database<'_>, images: u32) -> DieselStore {
    let config = Config::parse(database.url()).expect("a URL");
    migrate(&config, &mut |_| ()).expect("a schema");
    let catalogue = include_str!("catalogue.sql")
        .replace("{images}", &images.to_string())
        .replace("{seconds}", &(7_000_000 / images).to_string())
        .replace("{guests}", &(images / 20).to_string());
    database.query(&catalogue);
    database.query("VACUUM ANALYZE");
    explain_everything(database);
    opened(database)
}

/// A store that has one connection to it.
fn opened(database: &Database<'_>) -> DieselStore {
    told::listen();
    let mut config = Config::parse(database.url()).expect("a URL");
    config.pool_size = 1;
    DieselStore::open(&config).expect("a store")
}

#[test]
fn at_a_million_images_every_page_reads_no_more_than_a_few_rows_for_each_it_holds() {
    let server = Postgres::private(Durability::Forgone);
    let database = server.database();
    let store = filled(&database, 1_000_000);
    let catalogue = Catalogue::of(&server, &database, &store, 1_000_000);

    // Postgres makes a plan each of the first five times, and then perhaps one for all values.
    catalogue.pages();
    catalogue.kept_plans_read_no_more();
    catalogue.found();
    catalogue.rarely_found("unseen");
    catalogue.pages_by_tag_join_up("unseen");
    catalogue.members();
    catalogue.rounds();
    catalogue.show_image();
    catalogue.histories();
    catalogue.histories_after_many_owners();
    catalogue.owners();

    // Nearly nothing is public, and that is old: what ends a walk through the catalogue early in the example above is gone.
    // First with what Postgres knew of the data before, then with what there is.
    let retire = "UPDATE images SET visibility = 'private' WHERE visibility = 'public' AND created_at > '2026-01-01 01:00'";
    database.query(retire);
    catalogue.times.set(2);
    catalogue.pages();
    database.query("VACUUM ANALYZE");
    catalogue.pages();
    catalogue.found();
    catalogue.rarely_found("unseen too");
}

/// Where a table has few pages, reading all of it to sort it or to join it may look cheap.
fn read_little_of(images: u32) {
    let server = Postgres::private(Durability::Forgone);
    let database = server.database();
    let store = filled(&database, images);
    let catalogue = Catalogue::of(&server, &database, &store, images);
    catalogue.pages();
    catalogue.kept_plans_read_no_more();
    catalogue.members();
    catalogue.show_image();
    catalogue.whole.set(WHOLE);
    catalogue.found();
    catalogue.rarely_found("unseen");
    catalogue.rounds();
    catalogue.histories();
    catalogue.histories_after_many_owners();
    catalogue.owners();
}

#[test]
fn at_a_thousand_images_every_call_reads_little() {
    read_little_of(1_000);
}

#[test]
fn at_ten_thousand_images_every_call_reads_little() {
    read_little_of(10_000);
}

/// Has every plan written into the log, of sessions that are opened from now on.
pub(crate) fn explain_everything(database: &Database<'_>) {
    for setting in [
        "session_preload_libraries = 'auto_explain'",
        "auto_explain.log_min_duration = 0",
        "auto_explain.log_analyze = on",
        "auto_explain.log_timing = off",
        "auto_explain.log_buffers = on",
        "auto_explain.log_format = json",
    ] {
        database.query(&format!("ALTER ROLE CURRENT_USER SET {setting}"));
    }
}

/// The plans of the store's statements in a piece of the log, each a document of its own on indented lines.
pub(crate) fn plans(log: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for entry in log.split("plan:\n").skip(1) {
        let lines: Vec<&str> = entry.lines().take_while(|line| line.starts_with('\t')).collect();
        if let Ok(plan) = serde_json::from_str::<Value>(&lines.join("\n"))
            && plan["Query Text"].as_str().is_some_and(is_the_stores)
        {
            found.push(plan);
        }
    }
    found
}

/// Whether the store asked this, and not the test itself.
fn is_the_stores(statement: &str) -> bool {
    statement.starts_with("WITH asked")
        || statement.starts_with("WITH matching")
        || statement.starts_with("WITH waiting")
        || ["\"images\"", "\"events\"", "\"event_dead_letters\"", "\"event_order\""]
            .iter()
            .any(|table| statement.contains(table))
}

/// Every read of a table or an index in a plan.
pub(crate) fn scan(node: &Value, into: &mut Vec<(String, u64)>) {
    let number = |key: &str| node[key].as_u64().unwrap_or(0);
    let kind = node["Node Type"].as_str().unwrap_or("");
    let of = node["Relation Name"].as_str().or(node["Index Name"].as_str());
    if let Some(of) = of.filter(|_| kind.ends_with("Scan")) {
        let passed_over = number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
        into.push((
            format!("{kind} of {of}"),
            (number("Actual Rows") + passed_over) * number("Actual Loops"),
        ));
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        scan(child, into);
    }
}
