//! How long things take where a fault strikes: for a document, and for a test.

use std::time::Duration;

/// How long the parts of one fault take.
#[derive(Clone, Copy, Debug)]
pub struct Lengths {
    /// Of steady load before the strike.
    pub steady: Duration,
    /// Of most faults.
    pub fault: Duration,
    /// Of a lock on an image.
    pub lock: Duration,
    /// The service's own `deadline`, in seconds.
    pub deadline: u64,
    /// How long after it an answer may be seen, in seconds: clients and services wait for a processor as well.
    pub lateness: f64,
    /// How much of the steady rate is «as before», as a share: a machine may have more to do now than it had then.
    pub pace: f64,
    /// How long recovery may take.
    pub patience: Duration,
    /// How many connections are idle.
    pub idle: usize,
}

impl Lengths {
    /// For a document.
    pub fn full() -> Self {
        Self {
            steady: Duration::from_secs(4),
            fault: Duration::from_secs(6),
            lock: Duration::from_secs(30),
            deadline: 30,
            lateness: 1.0,
            pace: 0.5,
            patience: Duration::from_secs(60),
            idle: 2000,
        }
    }

    /// For a test.
    pub fn short() -> Self {
        Self {
            steady: Duration::from_millis(1200),
            fault: Duration::from_millis(1500),
            lock: Duration::from_secs(3),
            deadline: 8,
            lateness: 10.0,
            pace: 0.1,
            patience: Duration::from_secs(60),
            idle: 2000,
        }
    }
}
