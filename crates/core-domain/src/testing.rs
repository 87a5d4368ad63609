//! What tests of any crate share: a second store in memory, images in one line, and the suite every store must pass.

pub mod builders;
pub mod conformance;
pub mod memory;
