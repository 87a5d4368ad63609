//! The connections, kept and lent.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use diesel::{
    ConnectionError,
    r2d2::{self, ManageConnection, NopErrorHandler, PooledConnection},
};

use crate::{
    config::Config,
    connection::{Breaks, Connection, Purpose},
    error::Fault,
};

/// A pool of connections, opened when first needed and again whenever the server is back.
pub(crate) struct Pool {
    pool: r2d2::Pool<Maker>,
    patience: Duration,
    is_away: Arc<AtomicBool>,
}

/// How long a call waits for a server that refused the last connection: it is probably still away, and the pool goes
/// on trying by itself. Else every call would hold its thread for the whole patience, and those behind it with it.
const HOPE: Duration = Duration::from_millis(50);

/// A connection on loan; it goes back when dropped, unless it broke.
pub(crate) type Loan = PooledConnection<Maker>;

/// How many connections a pool has, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// At most.
    pub size: u32,
    /// Open now.
    pub open: u32,
    /// Open and not in use.
    pub idle: u32,
}

/// What is done with a loan decides how sure it must be that the connection still is one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// It may be done again on another connection.
    Read,
    /// It cannot be told, after a failure, whether it was done.
    Write,
    /// Only to see whether there is one.
    Ping,
}

impl Pool {
    pub(crate) fn open(config: &Config, purpose: Purpose, size: u32) -> Self {
        let is_away = Arc::new(AtomicBool::new(false));
        let maker = Maker {
            config: config.clone(),
            purpose,
            breaks: Breaks::default(),
            is_away: Arc::clone(&is_away),
        };
        let pool = r2d2::Pool::builder()
            .max_size(size)
            .connection_timeout(config.connection_timeout)
            .test_on_check_out(false)
            // The last failure to connect comes with the error of whoever waits for a connection.
            .error_handler(Box::new(NopErrorHandler))
            .build_unchecked(maker);
        Self { pool, patience: config.connection_timeout, is_away }
    }

    /// Waits for a connection that, as far as can be known, works.
    pub(crate) fn lend(&self, purpose: Use) -> Result<Loan, Fault> {
        self.lend_until(Instant::now() + self.patience, purpose)
    }

    /// Runs a statement that only reads. If its connection turns out to be broken, it runs once more, on another.
    pub(crate) fn read<T>(&self, work: impl Fn(&mut Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        let deadline = Instant::now() + self.patience;
        match work(&mut *self.lend_until(deadline, Use::Read)?) {
            Err(Fault::Broken(_)) => work(&mut *self.lend_until(deadline, Use::Ping)?),
            done => done,
        }
    }

    /// Waits for a connection and begins a transaction on it. A connection that turns out to be broken is no matter:
    /// nothing was done on it yet.
    pub(crate) fn begin(&self) -> Result<Loan, Fault> {
        let deadline = Instant::now() + self.patience;
        let mut loan = self.lend_until(deadline, Use::Write)?;
        if let Err(fault) = loan.begin() {
            if !matches!(fault, Fault::Broken(_)) {
                return Err(fault);
            }
            drop(loan);
            loan = self.lend_until(deadline, Use::Ping)?;
            loan.begin()?;
        }
        Ok(loan)
    }

    fn lend_until(&self, deadline: Instant, purpose: Use) -> Result<Loan, Fault> {
        // An idle connection to a server that went away looks like any other until it is used.
        let trust = match purpose {
            Use::Read => Duration::MAX,
            Use::Write => Duration::from_secs(1),
            Use::Ping => Duration::ZERO,
        };
        loop {
            let mut wait = deadline.saturating_duration_since(Instant::now());
            if self.is_away.load(Ordering::Relaxed) && self.pool.state().connections == 0 {
                wait = wait.min(HOPE);
            }
            let mut loan = self.pool.get_timeout(wait).map_err(|error| Fault::Away(error.into()))?;
            if loan.is_well(trust) {
                return Ok(loan);
            }
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        let state = self.pool.state();
        Figures { size: self.pool.max_size(), open: state.connections, idle: state.idle_connections }
    }
}

/// Makes connections.
pub(crate) struct Maker {
    config: Config,
    purpose: Purpose,
    breaks: Breaks,
    /// Whether the last attempt to connect failed.
    is_away: Arc<AtomicBool>,
}

impl fmt::Debug for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

impl ManageConnection for Maker {
    type Connection = Connection;
    type Error = ConnectionError;

    fn connect(&self) -> Result<Connection, ConnectionError> {
        let opened = Connection::open(&self.config, self.purpose, &self.breaks);
        self.is_away.store(opened.is_err(), Ordering::Relaxed);
        opened
    }

    fn is_valid(&self, connection: &mut Connection) -> Result<(), ConnectionError> {
        if connection.is_well(Duration::ZERO) {
            Ok(())
        } else {
            Err(ConnectionError::BadConnection("the connection does not answer".to_owned()))
        }
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        std::thread::panicking() || !connection.is_clean()
    }
}
