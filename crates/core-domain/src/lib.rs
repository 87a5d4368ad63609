#![doc = include_str!("../README.md")]

pub mod caller;
pub mod catalog;
pub mod error;
pub mod event;
pub mod image;
pub mod limits;
pub mod listing;
pub mod member;
pub mod outbox;
pub mod permit;
pub mod policy;
pub mod project;
pub mod round;
pub mod sharing;
pub mod steps;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod text;
pub mod tokens;
pub mod visibility;

pub use caller::{Caller, Context, Rules};
pub use error::{Error, Result};
