//! Things that are slow to make and kept under the target directory, in `testbed/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A directory under `<target>/testbed/` made once by `make`, also when several test processes start at once.
///
/// `make` gets the final path (an empty directory). One that was left half made is made anew, and so is one that has moved:
/// the programs of a Python environment start with its path.
pub fn directory(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    directory_in(&home(), name, make)
}

fn directory_in(home: &Path, name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let path = home.join(name);
    let complete = home.join(format!("{name}.complete"));
    let lock = File::create(home.join(format!("{name}.lock"))).expect("a lock file in the target directory");
    lock.lock().expect("the lock can be waited for");
    // The mark says where it was made.
    let here = path.as_os_str().as_encoded_bytes();
    if !fs::read(&complete).is_ok_and(|made| made == here) {
        if path.exists() {
            fs::remove_dir_all(&path).expect("a half-made directory can be removed");
        }
        fs::create_dir_all(&path).expect("a directory in the target directory");
        make(&path);
        fs::write(&complete, here).expect("a mark in the target directory");
    }
    path
}

/// The repository that holds the running test, wherever it was when that was built.
///
/// Cargo says where the package is when it runs a test; a program that is started by itself is found from its own place, or
/// from the current directory where its target directory is elsewhere.
///
/// # Panics
/// When none of these is in a repository of this project.
pub fn repository() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let places = [package, std::env::current_exe().ok(), std::env::current_dir().ok()];
    let is_repository =
        |place: &&Path| place.join("Cargo.lock").is_file() && place.join("tests/python").is_dir();
    let found = places.iter().flatten().find_map(|place| place.ancestors().find(is_repository));
    found
        .expect("a test runs in a clone of the repository: set CARGO_MANIFEST_DIR to a package of it")
        .to_owned()
}

/// A program of this repository's packages, beside the running one.
pub fn program(name: &str) -> PathBuf {
    profile().join(name)
}

/// `<target>`, where the running executable is `<target>/<profile>/<name>` or `<target>/<profile>/deps/<name>`.
pub fn target() -> PathBuf {
    profile().parent().expect("a test runs from the target directory").to_owned()
}

/// `<target>/<profile>`.
fn profile() -> PathBuf {
    let executable = std::env::current_exe().expect("a program knows its own path");
    let directory = executable.parent().expect("an executable is in a directory");
    let profile = if directory.ends_with("deps") { directory.parent() } else { Some(directory) };
    profile.expect("a test runs from the target directory").to_owned()
}

fn home() -> PathBuf {
    let home = target().join("testbed");
    fs::create_dir_all(&home).expect("the target directory can be written");
    home
}

/// A short fingerprint of what a kept thing is made from (FNV-1a, the same with every toolchain).
pub fn fingerprint(parts: &[&str]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_moved_is_made_anew_and_nothing_else_is() {
        let place = tempfile::tempdir().expect("a directory");
        let [first, second] = ["first", "second"].map(|name| place.path().join(name));
        fs::create_dir(&first).expect("a directory");
        let made = |home: &Path| {
            let mut is_made = false;
            let path = directory_in(home, "thing", |path| {
                assert_eq!(fs::read_dir(path).expect("it").count(), 0);
                fs::write(path.join("program"), path.as_os_str().as_encoded_bytes()).expect("a file");
                is_made = true;
            });
            assert_eq!(fs::read(path.join("program")).expect("it"), path.as_os_str().as_encoded_bytes());
            is_made
        };
        assert!(made(&first) && !made(&first));
        fs::rename(&first, &second).expect("a move");
        assert!(made(&second) && !made(&second));
        // Half made: without its mark.
        fs::remove_file(second.join("thing.complete")).expect("the mark");
        assert!(made(&second) && !made(&second));
    }
}
