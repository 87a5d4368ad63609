//! The built-in development identity: a small Identity v3 for laptops and tests.
//!
//! It serves password and token authentication, validation, revocation, a catalog and a few demo projects, and signs its
//! tokens as Keystone's JWS provider does (ES256, the same claims), so that a service talks to it exactly as to a real
//! Keystone. Its passwords are printed in its documentation, therefore it listens on loopback and nowhere else.
//!
//! Where it answers otherwise than Keystone 30, on purpose:
//! - the methods are `password` and `token`; there are no application credentials, trusts, federation or OAuth;
//! - there is one domain, which does not also answer as a project; nothing can be created, changed or deleted but tokens;
//! - a 404 never repeats the token that was not found (Keystone's does);
//! - a malformed request body is 400 with a sentence, not with a JSON schema;
//! - links and `WWW-Authenticate` name the bound address, whatever `Host` the request carried;
//! - revocations are kept in memory: with a kept signing key, a token revoked before a restart is good again after it.

mod answer;
mod auth;
mod caller;
mod catalog;
mod clouds;
mod discovery;
mod domains;
mod error;
mod keystone;
mod listing;
mod login;
mod projects;
mod realm;
mod refusal;
mod revocations;
mod routes;
mod signing_key;
mod tokens;
mod users;

pub use clouds::clouds_yaml;
pub use error::Error;
pub use keystone::{DevKeystone, Options};
pub use realm::{Domain, Grant, Project, Realm, Role, Scope, User};
