#![doc = include_str!("../README.md")]

mod columns;
mod config;
mod connection;
mod error;
mod events;
mod images;
mod members;
mod migrate;
mod outbox;
mod pool;
mod pooler;
mod replica;
mod rounds;
mod schema;
mod store;

pub use config::{Config, MaxConnections, Pooler};
pub use migrate::{Progress, SchemaState, migrate, migrate_from, schema_state};
pub use pool::Figures;
pub use pooler::shares_sessions;
pub use replica::ReplicaFigures;
pub use store::DieselStore;
