//! Gives `--version` the commit: what the build was told, else what git says, else nothing.

use std::process::Command;

// Not `VITRINE_…`: `cargo run` hands such variables on to the program, which would take one for a key.
fn main() {
    println!("cargo:rerun-if-env-changed=VITRINE_COMMIT");
    println!("cargo:rerun-if-changed=../../.git/HEAD");
    println!("cargo:rerun-if-changed=../../.git/logs/HEAD");
    let told = std::env::var("VITRINE_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = told.or_else(|| {
        let git = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
        git.status.success().then(|| String::from_utf8_lossy(&git.stdout).trim().to_owned())
    });
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let commit = commit.unwrap_or_else(|| "commit unknown".to_owned());
    println!("cargo:rustc-env=BUILD_VERSION={version} ({commit})");
}
