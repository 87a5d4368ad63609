//! The store on tables that are split by the image's id, as `docs/scaling/partition.sql` splits them: nothing it does
//! needs two images in one place.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

use core_domain::testing::conformance::Records;
use store_diesel::{Config, DieselStore, migrate};
use testbed::{Database, Postgres};

const SPLIT: &str = include_str!("../../../docs/scaling/partition.sql");

fn split(database: &Database<'_>) -> Config {
    let config = Config::parse(database.url()).expect("a URL");
    migrate(&config, &mut |_| ()).expect("a schema");
    database.query(SPLIT);
    config
}

fn with_store(case: &dyn Fn(&dyn Records)) {
    let database = Postgres::shared().database();
    case(&DieselStore::open(&split(&database)).expect("a store"));
}

core_domain::conformance!(with_store);

#[test]
fn every_table_is_split_and_keeps_its_keys_and_indexes() {
    let database = Postgres::shared().database();
    let whole = Postgres::shared().database();
    migrate(&Config::parse(whole.url()).expect("a URL"), &mut |_| ()).expect("a schema");
    split(&database);
    let kinds = "SELECT relname || ' ' || relkind::text FROM pg_class WHERE relnamespace = 'public'::regnamespace \
                 AND relkind IN ('r', 'p') AND NOT relispartition AND relname LIKE 'image%' ORDER BY 1";
    assert!(database.query(kinds).iter().all(|table| table.ends_with(" p")), "{:?}", database.query(kinds));
    let of_table = "FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition \
                    AND c.relname LIKE 'image%'";
    let constraints = format!(
        "SELECT c.relname || ': ' || pg_get_constraintdef(k.oid) FROM pg_constraint k JOIN pg_class c \
         ON c.oid = k.conrelid AND k.conparentid = 0 WHERE c.oid IN (SELECT c.oid {of_table}) ORDER BY 1"
    );
    assert_eq!(database.query(&constraints), whole.query(&constraints));
    let indexes = format!(
        "SELECT c.relname || ': ' || regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', '') FROM pg_index i \
         JOIN pg_class c ON c.oid = i.indrelid WHERE c.oid IN (SELECT c.oid {of_table}) ORDER BY 1"
    );
    assert_eq!(database.query(&indexes), whole.query(&indexes));
}

/// Stands in for Citus' function: it distributes nothing, and refuses what Citus refuses.
const CITUS_RULES: &str = "
CREATE TABLE distributed (name regclass PRIMARY KEY, key text NOT NULL);
CREATE FUNCTION create_distributed_table(name regclass, key text, colocate_with text DEFAULT 'default') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_index i WHERE i.indrelid = name AND i.indisunique AND NOT EXISTS (
            SELECT FROM pg_attribute a WHERE a.attrelid = name AND a.attname = key AND a.attnum = ANY (i.indkey))) THEN
        RAISE 'a unique key of % lacks %', name, key;
    END IF;
    IF EXISTS (SELECT FROM pg_constraint c WHERE c.contype = 'f' AND c.conrelid = name AND NOT EXISTS (
            SELECT FROM unnest(c.conkey, c.confkey) k (ours, theirs)
            JOIN pg_attribute a ON a.attrelid = name AND a.attnum = k.ours AND a.attname = create_distributed_table.key
            JOIN distributed d ON d.name = c.confrelid
            JOIN pg_attribute b ON b.attrelid = d.name AND b.attnum = k.theirs AND b.attname = d.key)) THEN
        RAISE 'a foreign key of % leads elsewhere', name;
    END IF;
    INSERT INTO distributed VALUES (name, key);
END $$;";

#[test]
fn the_tables_are_as_citus_asks() {
    let database = Postgres::shared().database();
    migrate(&Config::parse(database.url()).expect("a URL"), &mut |_| ()).expect("a schema");
    database.query(CITUS_RULES);
    database.query(include_str!("../../../docs/scaling/citus.sql"));
    let left = "SELECT relname FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' \
                AND relname LIKE 'image%' AND NOT EXISTS (SELECT FROM distributed d WHERE d.name = c.oid)";
    assert_eq!(database.query(left), [""; 0], "tables that nobody distributes");
}
