#![doc = include_str!("../README.md")]

mod config;
mod connection;
mod error;
mod images;
mod members;
mod migrate;
mod pool;
mod rounds;
mod schema;
mod store;

pub use config::Config;
pub use migrate::{Progress, SchemaState, migrate, schema_state};
pub use pool::Figures;
pub use store::DieselStore;
