//! Keystone's database and keys, made once: its own bootstrap, then a user for Vitrine and a place in the catalog.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::{Keystone, Options, Provider, temporary, text};
use crate::kept;
use crate::python::{self, Python};

pub(super) const ADMIN: &str = "admin";
pub(super) const ADMIN_PASSWORD: &str = "not-a-secret-admin";
/// The user Vitrine asks Keystone as, and its project: the single role `service`, as in production.
pub(super) const SERVICE_USER: &str = "vitrine";
pub(super) const SERVICE_PASSWORD: &str = "not-a-secret-vitrine";
pub(super) const SERVICE_PROJECT: &str = "service";

/// The directory with the prepared database and keys.
pub(super) fn directory() -> PathBuf {
    let made_from = [
        Python::environment().fingerprint(),
        include_str!("prepared.rs"),
        include_str!("../../python/keystone_keys.py"),
        include_str!("../../python/keystone_serve.py"),
    ];
    kept::directory(&format!("keystone-{}", kept::fingerprint(&made_from)), prepare)
}

/// Makes database and keys: Keystone's own bootstrap, then what Vitrine needs (a user, a place in the catalog).
fn prepare(directory: &Path) {
    eprintln!("testbed: preparing Keystone's database in {}", directory.display());
    let python = Python::environment();
    let work = temporary();
    let keys = work.join("keys");
    python::run(python.command("python", &work).arg(Python::script("keystone_keys.py")).arg(&keys));
    let file = work.join("keystone.conf");
    fs::write(&file, configuration(&work, Options::default())).expect("a configuration file");
    let manage = |arguments: &[&str]| {
        python::run(python.command("keystone-manage", &work).arg("--config-file").arg(&file).args(arguments))
    };
    manage(&["db_sync"]);
    // The real addresses are written when the port is known.
    let url = "http://127.0.0.1/v3";
    let endpoints =
        ["--bootstrap-public-url", url, "--bootstrap-internal-url", url, "--bootstrap-admin-url", url];
    let mut arguments =
        vec!["bootstrap", "--bootstrap-password", ADMIN_PASSWORD, "--bootstrap-region-id", "RegionOne"];
    arguments.extend(endpoints);
    manage(&arguments);

    let keystone = Keystone::serve(work.clone(), Options::default());
    let body = json!({"project": {"name": SERVICE_PROJECT, "domain_id": "default"}});
    let project = text(&keystone.admin("POST", "/projects", Some(&body)).expect(201).json()["project"]["id"]);
    let body = json!({"user": {"name": SERVICE_USER, "domain_id": "default", "password": SERVICE_PASSWORD}});
    let user = text(&keystone.admin("POST", "/users", Some(&body)).expect(201).json()["user"]["id"]);
    let role = keystone.role_id("service");
    keystone.admin("PUT", &format!("/projects/{project}/users/{user}/roles/{role}"), None).expect(204);
    keystone
        .admin("POST", "/services", Some(&json!({"service": {"type": "image", "name": "vitrine"}})))
        .expect(201);
    keystone.stop();
    copy(&work, directory);
    fs::remove_dir_all(&work).expect("the working directory can go");
}

/// Copies the database (with what SQLite has not folded into it yet) and the keys.
pub(super) fn copy(from: &Path, to: &Path) {
    for name in ["keystone.db", "keystone.db-wal", "keys"].map(|name| from.join(name)) {
        if name.exists() {
            python::run(Command::new("cp").arg("-R").arg(name).arg(to));
        }
    }
}

pub(super) fn configuration(directory: &Path, options: Options) -> String {
    let provider = match options.provider {
        Provider::Fernet => "fernet",
        Provider::Jws => "jws",
    };
    let expiration = options.expiration;
    let directory = directory.display();
    // The receipts' keys are needed whatever the provider, and keep Keystone from writing under /etc.
    format!(
        "[database]\nconnection = sqlite:///{directory}/keystone.db\nsqlite_synchronous = false\n\
         [token]\nprovider = {provider}\nexpiration = {expiration}\n\
         [fernet_tokens]\nkey_repository = {directory}/keys/fernet\n\
         [fernet_receipts]\nkey_repository = {directory}/keys/fernet\n\
         [credential]\nkey_repository = {directory}/keys/fernet\n\
         [jwt_tokens]\njws_private_key_repository = {directory}/keys/jws/private\n\
         jws_public_key_repository = {directory}/keys/jws/public\n\
         [identity]\npassword_hash_rounds = 4\n"
    )
}
