//! Both databases, and a pooler, against the suite every store must pass, each case on a database of its own.
#![allow(clippy::expect_used, reason = "a panic is how a test reports")]

mod postgres {
    use core_domain::testing::conformance::Records;
    use store_diesel::{Config, DieselStore, migrate};
    use testbed::Postgres;

    fn with_store(case: &dyn Fn(&dyn Records)) {
        let database = Postgres::shared().database();
        let config = Config::parse(database.url()).expect("a URL");
        migrate(&config, &mut |_| ()).expect("a schema");
        case(&DieselStore::open(&config).expect("a store"));
    }

    core_domain::conformance!(with_store);
}

mod postgres_behind_pgbouncer {
    use core_domain::testing::conformance::Records;
    use store_diesel::{Config, DieselStore, Pooler, migrate};
    use testbed::{PgBouncer, Postgres};

    fn with_store(case: &dyn Fn(&dyn Records)) {
        let database = Postgres::shared().database();
        migrate(&Config::parse(database.url()).expect("a URL"), &mut |_| ()).expect("a schema");
        let mut config = Config::parse(&PgBouncer::shared().url(&database)).expect("a URL");
        config.pooler = Pooler::Transaction;
        // More than PgBouncer has: whoever relies on a session gets another's.
        config.pool_size = 8;
        case(&DieselStore::open(&config).expect("a store"));
    }

    core_domain::conformance!(with_store);
}

mod sqlite {
    use core_domain::testing::conformance::Records;
    use store_diesel::{Config, DieselStore, migrate};

    fn with_store(case: &dyn Fn(&dyn Records)) {
        let directory = tempfile::tempdir().expect("a directory");
        // A name with everything in it that could mean something in a URI.
        let path = directory.path().join("records of vitrine%20#1?.db");
        let path = path.to_str().expect("UTF-8").replace('%', "%25").replace('#', "%23").replace('?', "%3F");
        let config = Config::parse(&format!("sqlite://{path}")).expect("a URL");
        migrate(&config, &mut |_| ()).expect("a schema");
        case(&DieselStore::open(&config).expect("a store"));
    }

    core_domain::conformance!(with_store);
}
