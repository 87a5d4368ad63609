//! A limit on the memory of a program: a control group where one can be made, which ends a program that needs more.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where control groups are, the name of the limit in them, and what says that they can limit memory.
const KINDS: [(&str, &str); 2] =
    [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")];

/// A control group with a limit, until it is dropped.
pub struct MemoryLimit {
    group: Option<PathBuf>,
}

impl MemoryLimit {
    /// At most so many bytes. Without the right to make a control group there is no limit, and [`Self::is_enforced`] says so.
    pub fn new(bytes: u64) -> Self {
        static GROUPS: AtomicU32 = AtomicU32::new(0);
        let name = format!("vitrine-{}-{}", std::process::id(), GROUPS.fetch_add(1, Ordering::Relaxed));
        let made = KINDS.into_iter().find_map(|(root, limit)| {
            let group = Path::new(root).join(&name);
            fs::create_dir(&group).ok()?;
            // Opened, not made: where each controller has a hierarchy of its own, the directory above them is an ordinary one.
            let written = fs::OpenOptions::new()
                .write(true)
                .open(group.join(limit))
                .and_then(|mut file| file.write_all(bytes.to_string().as_bytes()));
            if written.is_ok() {
                return Some(group);
            }
            // No hierarchy, or one that does not limit memory.
            let _ = fs::remove_dir(&group);
            None
        });
        Self { group: made }
    }

    /// Whether a program that needs more is ended by the system.
    pub fn is_enforced(&self) -> bool {
        self.group.is_some()
    }

    /// The file through which a process enters the group.
    pub(crate) fn entrance(&self) -> Option<PathBuf> {
        self.group.as_ref().map(|group| group.join("cgroup.procs"))
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        if let Some(group) = &self.group {
            // Empty once its program has ended.
            let _ = fs::remove_dir(group);
        }
    }
}

/// The most memory that a process had at once, in bytes.
///
/// # Panics
/// When the system does not tell.
pub fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells the peak");
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kilobytes * 1024
}
