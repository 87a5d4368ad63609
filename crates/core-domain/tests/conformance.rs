//! The in-memory store against the suite every store must pass.

use core_domain::testing::{conformance::Records, memory::MemoryStore};

fn with_store(case: &dyn Fn(&dyn Records)) {
    case(&MemoryStore::default());
}

core_domain::conformance!(with_store);
