//! Gives `--version` the commit: what the build was told, else what git says, else nothing. Has relocations packed where the
//! C library can read them.

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
    if packs_relocations() {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Whether relative relocations can be packed: 15 KiB in place of 1.2 MiB, all of which a start reads. glibc reads packed
/// ones since 2.36 and refuses to start a program whose relocations it cannot read, so an older build machine goes without.
fn packs_relocations() -> bool {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let is_glibc = variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_ENV") == "gnu";
    if !is_glibc || variable("HOST") != variable("TARGET") {
        return false;
    }
    let Ok(library) = Command::new("getconf").arg("GNU_LIBC_VERSION").output() else { return false };
    let version = String::from_utf8_lossy(&library.stdout);
    let version = version.trim().strip_prefix("glibc ").unwrap_or_default();
    version.split('.').map_while(|number| number.parse::<u32>().ok()).ge([2, 36])
}
