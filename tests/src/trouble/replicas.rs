//! A replica dies, or all are exchanged.

use std::time::Duration;

use super::stage::Stage;
use super::{Fault, Struck, plain, unnoticed};
use crate::patience;

/// How long the end of a replica may take: a grace of 35 s, and a machine that does other things as well.
const END: Duration = Duration::from_secs(60);

pub(super) fn faults() -> Vec<Fault> {
    let rolling = plain(
        "rolling-restart",
        "each replica in turn: SIGTERM, its end, a new one; the front follows readiness",
        restart_one_after_the_other,
    );
    vec![
        plain("replica-killed", "kill -9 of one of two replicas; a new one later", kill_one),
        unnoticed(rolling),
    ]
}

fn kill_one(stage: &Stage<'_>) -> Struck {
    let mut struck = Struck::default();
    let replica = stage.take(0);
    replica.process().signal("KILL");
    struck
        .must(replica.process().ended_within(END) == Some(128 + 9), || "a killed replica goes on".to_owned());
    std::thread::sleep(stage.lengths.fault);
    stage.start(0);
    struck
}

fn restart_one_after_the_other(stage: &Stage<'_>) -> Struck {
    let mut struck = Struck::default();
    for number in 0..2 {
        exchange_one(stage, number, &mut struck);
        patience::until("the front to see the new replica", Duration::from_secs(60), || {
            stage.front.is_ready(number).then_some(())
        });
    }
    struck
}

/// SIGTERM, its end, a new one; what it had written is kept, so that nothing it refused lacks its cause.
pub(super) fn exchange_one(stage: &Stage<'_>, number: usize, struck: &mut Struck) {
    let replica = stage.take(number);
    replica.process().signal("TERM");
    let status = replica.process().ended_within(END);
    stage.keep_log(&replica);
    struck.must(status == Some(0), || format!("after SIGTERM a replica ended with {status:?}"));
    stage.start(number);
}
