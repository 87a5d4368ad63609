//! One connection, and the only place that knows which database is behind it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use core_domain::{image::ImageId, project::ProjectId, store::ATTEMPTS};
use diesel::{
    ConnectionError, ConnectionResult, PgConnection, QueryResult, SqliteConnection,
    connection::{AnsiTransactionManager, CacheSize, Connection as _, SimpleConnection, TransactionManager},
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, QueryFragment},
    r2d2::R2D2Connection,
    sql_types::{Integer, Text},
    sqlite::Sqlite,
};
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::{
    config::{Address, Config, Pooler},
    error::Fault,
    migrate,
    schema::{Key, images},
};

/// What the derive makes stays apart from our names.
mod any {
    use diesel::{PgConnection, SqliteConnection};

    /// Either database; SQL is written once, for this.
    #[derive(diesel::MultiConnection)]
    pub(crate) enum AnyConnection {
        /// Production.
        Postgres(PgConnection),
        /// Embedded.
        Sqlite(SqliteConnection),
    }
}

pub(crate) use any::{AnyConnection, MultiBackend};

/// A piece of SQL that the two databases have different words for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    pub(crate) postgres: &'static str,
    pub(crate) sqlite: &'static str,
}

impl QueryFragment<Pg> for Dialect {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.postgres);
        Ok(())
    }
}

impl QueryFragment<Sqlite> for Dialect {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(self.sqlite);
        Ok(())
    }
}

impl QueryFragment<MultiBackend> for Dialect {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        MultiBackend::walk_variant_ast(self, out)
    }
}

/// How much of a failure a pool has seen: connections made before the last one are asked before they are trusted.
pub(crate) type Breaks = Arc<AtomicU64>;

/// A connection and what is known of its health.
pub(crate) struct Connection {
    any: AnyConnection,
    breaks: Breaks,
    breaks_when_last_well: u64,
    last_used: Instant,
    longest_answer: Duration,
    is_broken: bool,
    /// Behind a pooler: how a transaction begins. Without one the session has been told the same.
    opening: Option<Arc<str>>,
    is_in_transaction: bool,
}

/// A connection that was gone all along says so sooner than this. What took longer before a transaction had begun is a
/// pooler that had no session to lend in its time (PgBouncer's `query_wait_timeout`), and says so by hanging up.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The first key of the advisory locks on owners, "vitr" in ASCII; the second is a hash of the project's id.
const OWNERS: i32 = 0x7669_7472;

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Calls; a SQLite file must be there.
    Calls,
    /// Rounds of calls, by statements whose arrays' lengths tell a planner nothing.
    Rounds,
    /// Looking at the schema; the same.
    Looking,
    /// Changing the schema: takes as long as it takes, and may make a SQLite file.
    Migrating,
}

impl Connection {
    pub(crate) fn open(config: &Config, purpose: Purpose, breaks: &Breaks) -> ConnectionResult<Self> {
        let breaks_when_last_well = breaks.load(Ordering::Relaxed);
        let any = AnyConnection::open(config, purpose)?;
        Ok(Self {
            any,
            breaks: Arc::clone(breaks),
            breaks_when_last_well,
            last_used: Instant::now(),
            longest_answer: config.statement_timeout.min(config.lock_timeout),
            is_broken: false,
            opening: is_pooled(config).then(|| opening(config).into()),
            is_in_transaction: false,
        })
    }

    /// Runs one statement, or a few, on one session of the server.
    pub(crate) fn run<T>(
        &mut self,
        work: impl FnOnce(&mut AnyConnection) -> QueryResult<T>,
    ) -> Result<T, Fault> {
        self.together(|connection| connection.attempt(work))
    }

    /// Runs `work` on one session of the server: behind a pooler that takes a transaction, which is made here unless
    /// there is one.
    pub(crate) fn together<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.opening.is_none() || self.is_in_transaction { work(self) } else { self.transaction(work) }
    }

    /// Runs `work` in a transaction.
    pub(crate) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.begin()?;
        let done = work(self);
        if done.is_ok() {
            self.commit()?;
        } else {
            self.roll_back();
        }
        done
    }

    fn attempt<T>(&mut self, work: impl FnOnce(&mut AnyConnection) -> QueryResult<T>) -> Result<T, Fault> {
        let started = Instant::now();
        let mut done = work(&mut self.any).map_err(Fault::from);
        self.last_used = Instant::now();
        if started.elapsed() >= self.longest_answer {
            done = done.map_err(Fault::after_timeout);
        }
        if let Err(Fault::Broken(source)) = done {
            self.is_broken = true;
            let is_waited_for = self.opening.is_some() && !self.is_in_transaction;
            if is_waited_for && started.elapsed() >= AT_ONCE {
                return Err(Fault::Away(source));
            }
            self.breaks.fetch_add(1, Ordering::Relaxed);
            done = Err(Fault::Broken(source));
        }
        done
    }

    /// Runs a statement that only Postgres knows; `None` if this is another database.
    pub(crate) fn run_on_postgres<T>(
        &mut self,
        work: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<Option<T>, Fault> {
        self.run(|any| match any {
            AnyConnection::Postgres(postgres) => work(postgres).map(Some),
            AnyConnection::Sqlite(_) => Ok(None),
        })
    }

    /// Whether it may go back to the pool.
    pub(crate) fn is_clean(&mut self) -> bool {
        !self.is_broken && !self.any.is_broken()
    }

    /// Asks the server for a sign of life, if there is reason to doubt: a connection of this pool broke since this one
    /// was last well, or it was idle for longer than `trust`.
    pub(crate) fn is_well(&mut self, trust: Duration) -> bool {
        let breaks = self.breaks.load(Ordering::Relaxed);
        if self.breaks_when_last_well == breaks && self.last_used.elapsed() <= trust {
            return true;
        }
        // Not through `run`: that this one broke is no news about the others.
        self.is_broken = self.is_broken || self.any.ping().is_err();
        self.last_used = Instant::now();
        self.breaks_when_last_well = breaks;
        !self.is_broken
    }

    pub(crate) fn begin(&mut self) -> Result<(), Fault> {
        let opening = self.opening.clone();
        let begun = self.attempt(|any| match (any, &opening) {
            (AnyConnection::Postgres(postgres), Some(opening)) => {
                AnsiTransactionManager::begin_transaction_sql(postgres, opening)
            }
            (AnyConnection::Postgres(postgres), None) => AnsiTransactionManager::begin_transaction(postgres),
            // A transaction that starts by reading and writes later is refused when another wrote meanwhile.
            (AnyConnection::Sqlite(sqlite), _) => {
                AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN IMMEDIATE")
            }
        });
        // An opening that went wrong half-way has begun something nobody knows of.
        self.is_broken |= opening.is_some() && begun.is_err();
        self.is_in_transaction = begun.is_ok();
        begun
    }

    /// Holds the image until the transaction ends; false if there is none, and then nothing is held.
    pub(crate) fn hold(&mut self, image: ImageId) -> Result<bool, Fault> {
        self.run(|any| match any {
            AnyConnection::Postgres(postgres) => images::table
                .find(Key(image.uuid()))
                .select(images::hidden)
                .for_update()
                .get_result::<bool>(postgres)
                .optional()
                .map(|row| row.is_some()),
            // BEGIN IMMEDIATE holds everything.
            AnyConnection::Sqlite(_) => Ok(true),
        })
    }

    /// Holds the project as an owner of images until the transaction ends (docs/adr/0012).
    pub(crate) fn hold_owner(&mut self, owner: &ProjectId) -> Result<(), Fault> {
        self.run(|any| match any {
            AnyConnection::Postgres(postgres) => {
                diesel::sql_query("SELECT pg_advisory_xact_lock($1, hashtext($2))")
                    .bind::<Integer, _>(OWNERS)
                    .bind::<Text, _>(owner.as_str())
                    .execute(postgres)
                    .map(drop)
            }
            // BEGIN IMMEDIATE holds everything.
            AnyConnection::Sqlite(_) => Ok(()),
        })
    }

    pub(crate) fn commit(&mut self) -> Result<(), Fault> {
        let committed = self.attempt(AnyConnection::commit_transaction);
        self.is_in_transaction = false;
        committed
    }

    /// Undoes the transaction; a connection that cannot is of no use any more.
    pub(crate) fn roll_back(&mut self) {
        if self.attempt(AnyConnection::rollback_transaction).is_err() {
            self.is_broken = true;
        }
        self.is_in_transaction = false;
    }

    /// The migrations that were applied, by version; `None` if there never was one.
    pub(crate) fn applied(&mut self) -> Result<Option<Vec<String>>, Fault> {
        self.run(|any| {
            let is_there = match any {
                AnyConnection::Postgres(postgres) => {
                    diesel::select(diesel::dsl::sql::<diesel::sql_types::Bool>(
                        "to_regclass('__diesel_schema_migrations') IS NOT NULL",
                    ))
                    .get_result::<bool>(postgres)?
                }
                AnyConnection::Sqlite(sqlite) => diesel::select(diesel::dsl::sql::<diesel::sql_types::Bool>(
                    "EXISTS (SELECT 1 FROM sqlite_master WHERE name = '__diesel_schema_migrations')",
                ))
                .get_result::<bool>(sqlite)?,
            };
            if is_there { migrate::versions(any).map(Some) } else { Ok(None) }
        })
    }

    /// Applies what is missing, alone; `progress` hears of it.
    pub(crate) fn migrate(
        &mut self,
        progress: &mut dyn FnMut(migrate::Progress<'_>),
    ) -> Result<usize, core_domain::error::Source> {
        match &mut self.any {
            AnyConnection::Postgres(postgres) => {
                migrate::wait_for_turn(postgres, progress)?;
                // The lock ends with the connection, which is not of a pool.
                migrate::apply(postgres, migrate::POSTGRES, progress, migrate::run_on_postgres)
            }
            AnyConnection::Sqlite(sqlite) => {
                AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN EXCLUSIVE")?;
                let applied = migrate::apply(sqlite, migrate::SQLITE, progress, |sqlite, migration| {
                    sqlite.run_migration(migration).map(drop)
                })?;
                AnsiTransactionManager::commit_transaction(sqlite)?;
                Ok(applied)
            }
        }
    }

    /// The same with migrations of another place, in Postgres.
    pub(crate) fn migrate_from(
        &mut self,
        source: FileBasedMigrations,
        progress: &mut dyn FnMut(migrate::Progress<'_>),
    ) -> Result<usize, core_domain::error::Source> {
        match &mut self.any {
            AnyConnection::Postgres(postgres) => {
                migrate::wait_for_turn(postgres, progress)?;
                migrate::apply(postgres, source, progress, migrate::run_on_postgres)
            }
            AnyConnection::Sqlite(_) => Err("migrations of another place are for Postgres".into()),
        }
    }
}

/// The time in seconds since 1970, by the clock of the database: all servers go by the same.
pub(crate) fn now(any: &AnyConnection) -> &'static str {
    match any {
        AnyConnection::Postgres(_) => "extract(epoch FROM clock_timestamp())::double precision",
        AnyConnection::Sqlite(_) => "unixepoch('subsec')",
    }
}

impl AnyConnection {
    fn open(config: &Config, purpose: Purpose) -> ConnectionResult<Self> {
        let prepare = |outcome: QueryResult<()>| outcome.map_err(ConnectionError::CouldntSetupConfiguration);
        match &config.address {
            Address::Postgres(url) => {
                let mut postgres = PgConnection::establish(&Address::with_parameters(url))?;
                if is_pooled(config) {
                    // Diesel sends an unnamed statement in one go, so that it needs no session.
                    postgres.set_prepared_statement_cache_size(CacheSize::Disabled);
                } else {
                    prepare(postgres.batch_execute(&postgres_session(config, purpose)))?;
                }
                Ok(Self::Postgres(postgres))
            }
            Address::Sqlite(path) => {
                let mode = if purpose == Purpose::Migrating { "rwc" } else { "rw" };
                let path = path.to_string_lossy();
                let url = format!("file:{}?mode={mode}", utf8_percent_encode(&path, SPECIAL));
                let mut sqlite = SqliteConnection::establish(&url)?;
                prepare(sqlite.batch_execute(&sqlite_session(config, purpose)))?;
                if purpose == Purpose::Migrating {
                    prepare(keep_changes_apart(&mut sqlite))?;
                }
                Ok(Self::Sqlite(sqlite))
            }
        }
    }
}

/// What has a meaning in a SQLite URI.
const SPECIAL: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

/// What a session is told when it begins. Without its own word on the isolation, the default of the database, of the role or of
/// the server would decide: under REPEATABLE READ, a change that waited for an image counts its members as they were before.
fn postgres_session(config: &Config, purpose: Purpose) -> String {
    // A migration may take long, and so may its turn; what it waits for must not.
    let is_migration = purpose == Purpose::Migrating;
    let statement = if is_migration { 0 } else { config.statement_timeout.as_millis() };
    // A change of an image waits behind a migration that waits, and must outlast it.
    let lock = if is_migration { config.lock_timeout * 3 / 5 } else { config.lock_timeout };
    // Planned for the arrays of one round, a statement would be planned anew for most others.
    let plans = if purpose == Purpose::Rounds { "SET plan_cache_mode = force_generic_plan;" } else { "" };
    format!(
        "{plans} SET default_transaction_isolation = 'read committed'; \
         SET statement_timeout = {statement}; SET lock_timeout = {}; \
         SET idle_in_transaction_session_timeout = {}",
        lock.as_millis().max(1),
        config.idle_in_transaction_timeout.as_millis(),
    )
}

fn is_pooled(config: &Config) -> bool {
    config.pooler == Pooler::Transaction && !config.is_embedded()
}

/// What [`postgres_session`] says, for one transaction. The isolation is said as well: here nobody else's session may
/// decide on it.
fn opening(config: &Config) -> String {
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}; \
         SET LOCAL idle_in_transaction_session_timeout = {}",
        config.statement_timeout.as_millis(),
        config.lock_timeout.as_millis(),
        config.idle_in_transaction_timeout.as_millis(),
    )
}

fn sqlite_session(config: &Config, purpose: Purpose) -> String {
    let wait = match purpose {
        // A change is tried ATTEMPTS times: together these wait for as long as a lock may take.
        Purpose::Calls | Purpose::Rounds | Purpose::Looking => {
            config.lock_timeout.as_millis() / ATTEMPTS as u128
        }
        Purpose::Migrating => 60_000,
    };
    // FULL: what is committed survives a power cut.
    format!("PRAGMA busy_timeout = {wait}; PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;")
}

/// Has the file keep its changes beside it, so that readers see the state before a change while it is under way; the
/// file remembers. SQLite does not wait for others here, whatever its timeout.
fn keep_changes_apart(sqlite: &mut SqliteConnection) -> QueryResult<()> {
    let mut tries = 600;
    loop {
        match sqlite.batch_execute("PRAGMA journal_mode = WAL") {
            Err(error) if tries > 0 && error.to_string().contains("locked") => sleep(PAUSE),
            done => return done,
        }
        tries -= 1;
    }
}

/// Between two tries of [`keep_changes_apart`].
const PAUSE: Duration = Duration::from_millis(100);
