//! The time of day jumps on one side: at both replicas, not at Keystone nor at Postgres.
//!
//! This machine's clock stays as it is: libfaketime gives the replicas another, which a file moves while they run. Their
//! steady clock goes on, as it does when somebody sets the time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keystone::fresh_tokens_are_taken;
use super::stage::{Setting, Stage};
use super::{Fault, Struck, plain, small_pool, unnoticed};
use crate::patience;

/// What to do when there is none.
const MISSING: &str = "libfaketime is needed to step a program's clock (Debian: `apt-get install libfaketime`), at \
    /usr/lib/*/faketime/libfaketimeMT.so.1 or where VITRINE_TEST_FAKETIME says";

pub(super) fn faults() -> Vec<Fault> {
    let stepped = |fault: Fault| unnoticed(Fault { setting, ..fault });
    vec![
        stepped(plain("clock-forward", "the replicas' clocks jump an hour forward, and back", |stage| {
            step(stage, 3600)
        })),
        stepped(plain("clock-back", "the replicas' clocks jump an hour back, and forward", |stage| {
            step(stage, -3600)
        })),
    ]
}

fn library() -> PathBuf {
    if let Some(path) = std::env::var_os("VITRINE_TEST_FAKETIME") {
        return PathBuf::from(path);
    }
    let found = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    found
        .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{MISSING}"))
}

fn setting(_: &crate::postgres::Database<'_>, directory: &Path, _: super::Lengths) -> Setting {
    let offset = directory.join("offset");
    std::fs::write(&offset, "+0").expect("a file");
    let mut setting = small_pool();
    setting.variables.extend([
        ("LD_PRELOAD", library().display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", offset.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        // Asked about all the time, tokens do not outlive the step in memory.
        ("VITRINE_KEYSTONE__TOKEN_CACHE_TTL", "2".to_owned()),
    ]);
    setting
}

fn step(stage: &Stage<'_>, seconds: i64) -> Struck {
    let mut struck = Struck::default();
    let turn = |seconds: i64| {
        // At once: a half-written offset would be another.
        let (new, file) = (stage.directory.join("new"), stage.directory.join("offset"));
        std::fs::write(&new, format!("{seconds:+}"))
            .and_then(|()| std::fs::rename(new, file))
            .expect("an offset");
    };
    turn(seconds);
    std::thread::sleep(Duration::from_millis(200));
    struck = fresh_tokens_are_taken(stage, struck);
    std::thread::sleep(stage.lengths.fault.max(Duration::from_secs(2)));
    let image = stage.make_images(1).remove(0);
    let shown = patience::within(Duration::from_secs(60), || {
        let reply = stage.ask(0, "GET", &image, &stage.ground.cast.owner.token, None).ok()?;
        (reply.status == 200).then_some(reply.body)
    })
    .unwrap_or_default();
    struck.must(is_apart(stage, &shown, seconds), || format!("the replicas' clock was not stepped: {shown}"));
    turn(0);
    fresh_tokens_are_taken(stage, struck)
}

/// Whether an image says it was made by the stepped clock: the step was real.
fn is_apart(stage: &Stage<'_>, shown: &str, seconds: i64) -> bool {
    let shown: serde_json::Value = serde_json::from_str(shown).unwrap_or_default();
    let made = shown["created_at"].as_str().unwrap_or_default();
    let apart =
        stage.database.query(&format!("SELECT extract(epoch FROM '{made}'::timestamptz - now())::bigint"));
    apart
        .first()
        .and_then(|apart| apart.parse::<i64>().ok())
        .is_some_and(|apart| (apart - seconds).abs() < 60)
}
