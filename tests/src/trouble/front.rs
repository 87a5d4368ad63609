//! What stands before the replicas: it asks each whether it is ready, ten times a second, and sends nobody to one that
//! is not, if another is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::wire::{Ask, Wire};

/// How often readiness is asked for.
const EVERY: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(2);

/// A balancer without a port of its own: clients ask it where to go.
pub struct Front {
    replicas: Vec<Replica>,
    turn: AtomicUsize,
    is_over: AtomicBool,
}

struct Replica {
    address: SocketAddr,
    is_ready: AtomicBool,
}

/// Keeps the answers fresh; ends when dropped.
pub struct Watching {
    front: Arc<Front>,
    threads: Vec<JoinHandle<()>>,
}

impl Front {
    /// Before replicas at these addresses, which are ready.
    pub fn before(addresses: &[SocketAddr]) -> Arc<Self> {
        let replica = |address: &SocketAddr| Replica { address: *address, is_ready: AtomicBool::new(true) };
        Arc::new(Self {
            replicas: addresses.iter().map(replica).collect(),
            turn: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        })
    }

    /// Starts to ask.
    pub fn watch(self: &Arc<Self>) -> Watching {
        let threads = (0..self.replicas.len())
            .map(|number| {
                let front = Arc::clone(self);
                std::thread::spawn(move || front.follow(number))
            })
            .collect();
        Watching { front: Arc::clone(self), threads }
    }

    /// The number of the replica whose turn it is.
    pub fn next(&self) -> usize {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let all = self.replicas.len();
        (0..all).map(|more| (turn + more) % all).find(|number| self.is_ready(*number)).unwrap_or(turn % all)
    }

    /// Whether this one was ready when last asked.
    pub fn is_ready(&self, number: usize) -> bool {
        self.replicas[number].is_ready.load(Ordering::Relaxed)
    }

    /// All addresses.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.replicas.iter().map(|replica| replica.address).collect()
    }

    fn follow(&self, number: usize) {
        let replica = &self.replicas[number];
        let ask = Ask { method: "GET", path: "/readyz", token: "", body: None };
        while !self.is_over.load(Ordering::Relaxed) {
            // A connection for each question, as probes do.
            let answer = Wire::to(replica.address, PATIENCE).ask(&ask);
            replica.is_ready.store(answer.is_ok_and(|answer| answer.status == 200), Ordering::Relaxed);
            std::thread::sleep(EVERY);
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.front.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It has nothing to tell.
            let _ = thread.join();
        }
    }
}
