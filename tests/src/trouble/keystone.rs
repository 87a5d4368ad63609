//! Keystone is away, late or wrong. Tokens are trusted for a few seconds only, so that it is asked all the time.

use std::time::Duration;

use super::lengths::Lengths;
use super::proxy::Mode;
use super::stage::{Setting, Stage};
use super::{Fault, KEYSTONE_LATE, Struck, plain, small_pool, unnoticed};
use crate::keystone::Scope;
use crate::patience;

pub(super) fn faults() -> Vec<Fault> {
    let asked = |fault: Fault| Fault {
        setting: |_, _, lengths| forgetful(lengths),
        forgiven: &[KEYSTONE_LATE],
        ..fault
    };
    let missed = |fault: Fault| Fault {
        setting: |_, _, lengths| {
            let mut setting = forgetful(lengths);
            setting.variables.push(("VITRINE_KEYSTONE__TIMEOUT", "5".to_owned()));
            setting
        },
        ..asked(fault)
    };
    vec![
        missed(plain("keystone-stopped", "Keystone's process ended; started later", stop)),
        missed(plain("keystone-hanging", "Keystone accepts and never answers", |stage| {
            misbehave(stage, Mode::Hang)
        })),
        missed(plain("keystone-failing", "Keystone answers everything with 500", |stage| {
            misbehave(stage, Mode::Fail)
        })),
        unnoticed(asked(plain(
            "keystone-slow",
            "Keystone takes half a second longer for each answer",
            |stage| misbehave(stage, Mode::Delay(Duration::from_millis(500))),
        ))),
        unnoticed(asked(plain("keystone-key-rotated", "Keystone's Fernet key rotated", rotate))),
    ]
}

fn forgetful(lengths: Lengths) -> Setting {
    let mut setting = small_pool();
    let trusted = trusted(lengths).to_string();
    setting.variables.push(("VITRINE_KEYSTONE__TOKEN_CACHE_TTL", trusted));
    setting
}

/// The process itself where there is time for it: it takes long to start. Else nobody is reached at its address.
fn stop(stage: &Stage<'_>) -> Struck {
    if stage.lengths.fault < Duration::from_secs(3) {
        return misbehave(stage, Mode::Refuse);
    }
    stage.ground.keystone.stop();
    std::thread::sleep(long_enough(stage));
    stage.ground.keystone.start();
    fresh_tokens_are_taken(stage, Struck::default())
}

fn misbehave(stage: &Stage<'_>, mode: Mode) -> Struck {
    stage.keystone.turn(mode);
    std::thread::sleep(long_enough(stage));
    stage.keystone.turn(Mode::Pass);
    fresh_tokens_are_taken(stage, Struck::default())
}

fn rotate(stage: &Stage<'_>) -> Struck {
    let mut struck = Struck::default();
    let before = std::time::SystemTime::now();
    stage.ground.keystone.rotate_fernet_key();
    struck = fresh_tokens_are_taken(stage, struck);
    std::thread::sleep(long_enough(stage).saturating_sub(before.elapsed().unwrap_or_default()));
    struck
}

/// Seconds for which a token is trusted: not so few that Keystone has nothing else to do.
fn trusted(lengths: Lengths) -> u64 {
    lengths.fault.as_secs().max(3)
}

/// Longer than a token is trusted.
fn long_enough(stage: &Stage<'_>) -> Duration {
    Duration::from_secs(trusted(stage.lengths) + 2)
}

/// A token that nobody has seen before is good at each replica soon; meanwhile it is never refused for good.
pub(super) fn fresh_tokens_are_taken(stage: &Stage<'_>, mut struck: Struck) -> Struck {
    let member = &stage.ground.cast.members[0];
    let token = stage.ground.keystone.token(&member.user, Scope::Project(&member.project));
    for replica in 0..2 {
        let taken = patience::within(Duration::from_secs(60), || {
            let status = stage.ask(replica, "GET", "/v2/images", &token, None).ok()?.status;
            (status != 503).then_some(status)
        });
        struck.must(taken == Some(200), || format!("a fresh token was answered {taken:?}"));
    }
    struck
}
