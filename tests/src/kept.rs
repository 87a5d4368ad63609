//! Things that are slow to make and kept under the target directory, in `testbed/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A directory under `<target>/testbed/` made once by `make`, also when several test processes start at once.
///
/// `make` gets the final path (an empty directory). One that was left half made is made anew.
pub fn directory(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let home = home();
    let path = home.join(name);
    let complete = home.join(format!("{name}.complete"));
    let lock = File::create(home.join(format!("{name}.lock"))).expect("a lock file in the target directory");
    lock.lock().expect("the lock can be waited for");
    if !complete.exists() {
        if path.exists() {
            fs::remove_dir_all(&path).expect("a half-made directory can be removed");
        }
        fs::create_dir_all(&path).expect("a directory in the target directory");
        make(&path);
        File::create(&complete).expect("a mark in the target directory");
    }
    path
}

/// `<target>`, where the running executable is `<target>/<profile>/<name>` or `<target>/<profile>/deps/<name>`.
pub fn target() -> PathBuf {
    let executable = std::env::current_exe().expect("a program knows its own path");
    let directory = executable.parent().expect("an executable is in a directory");
    let profile = if directory.ends_with("deps") { directory.parent() } else { Some(directory) };
    profile.and_then(Path::parent).expect("a test runs from the target directory").to_owned()
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
