//! The in-memory store against the suite every store must pass.

use core_domain::{store::Store, testing::memory::MemoryStore};

fn with_store(case: &dyn Fn(&dyn Store)) {
    case(&MemoryStore::default());
}

core_domain::conformance!(with_store);
