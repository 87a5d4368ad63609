//! The API from outside: every test serves one of its own on a free loopback port, over records in memory, speaks HTTP
//! to it and stops it. Which sentence of the API a test shows, its name says.
#![allow(clippy::unwrap_used, reason = "a test stops where it was surprised")]

mod access;
mod answers;
mod bodies;
mod client;
mod discovery;
mod documents;
mod edge;
mod faults;
mod history;
mod hostile;
mod images;
mod links;
mod listing;
mod member_lists;
mod members;
mod nonsense;
mod observed;
mod openapi;
mod options;
mod ownerless;
mod paths;
mod private_images;
mod protection;
mod rate;
mod served;
mod slow_readers;
mod target;
mod wire;
