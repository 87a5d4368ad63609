//! `cargo run -p testbed -- postgres|keystone`: one of the stories' servers to try things on by hand. `where` says which
//! repository and which target directory this program belongs to, wherever they were when it was built.
//!
//! It says where the server is and keeps it until standard input closes or the program ends, however it ends.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a person at a terminal")]

use std::io::Read as _;
use std::process::ExitCode;

use testbed::postgres::Durability;
use testbed::{Keystone, Postgres, kept};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("postgres") => {
            let postgres = Postgres::private(Durability::Kept);
            let database = postgres.database();
            println!("{}", database.url());
            wait();
        }
        Some("keystone") => {
            let keystone = Keystone::shared();
            let (admin, project) = keystone.administrator();
            let client = keystone.client_settings(&admin, &project, "RegionOne");
            for (name, value) in keystone.service_settings().into_iter().chain(client) {
                println!("export {name}={value}");
            }
            wait();
        }
        Some("where") => {
            println!("{}\n{}", kept::repository().display(), kept::target().display());
        }
        _ => {
            eprintln!("usage: testbed postgres|keystone|where");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Until standard input closes.
fn wait() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
