//! Postgres ends, is cut off, is full, is held, or is somewhere else now.

use std::time::{Duration, Instant};

use serde_json::json;

use super::proxy::Mode;
use super::stage::Stage;
use super::{Fault, Records, Struck, plain};
use crate::patience;

/// The disk of the fault that fills it, in MiB.
pub(super) const ROOM: u32 = 32;
/// Longer than anything takes that is not stuck.
const MINUTE: Duration = Duration::from_secs(60);
/// Seconds that requests under way get where they never end.
const GRACE: u64 = 2;

pub(super) fn faults() -> Vec<Fault> {
    let full = plain("disk-full", "the disk with the records is full; room is made later", fill_disk);
    vec![
        plain("postgres-restarted", "Postgres stopped in order and started", |stage| restart(stage, false)),
        plain("postgres-killed", "Postgres killed as by a power cut; started later", |stage| {
            restart(stage, true)
        }),
        plain("connections-cut", "all connections ended by pg_terminate_backend, five times a second", cut),
        Fault { records: Records::SmallRoom, ..full },
        plain("row-locked", "another transaction holds one of the images", hold_image),
        plain("pool-exhausted", "every connection of the pool waits: the tables are locked", exhaust_pool),
        Fault {
            records: Records::Pair,
            ..plain(
                "failover",
                "the primary killed and its synchronous standby promoted; the URL lists both",
                fail_over,
            )
        },
        Fault {
            records: Records::Pair,
            ..plain(
                "standby-away",
                "the one synchronous standby away: no change can be committed",
                lose_standby,
            )
        },
        Fault {
            records: Records::BehindProxy,
            setting: |_, _, _| {
                let mut setting = super::small_pool();
                setting.variables.push(("VITRINE_SHUTDOWN__GRACE", GRACE.to_string()));
                setting
            },
            ..plain(
                "postgres-black-holed",
                "the network takes everything for Postgres and delivers nothing",
                black_hole,
            )
        },
    ]
}

fn fail_over(stage: &Stage<'_>) -> Struck {
    let (primary, standby) = stage.servers.pair.expect("two servers");
    primary.kill();
    let url = stage.database.url_at(standby);
    let promoted = stage.database.query_at(&url, "SELECT pg_promote()");
    stage.records_are_at(url);
    let mut struck = Struck::default();
    struck.must(promoted == ["t"], || format!("the standby was not promoted: {promoted:?}"));
    struck
}

fn lose_standby(stage: &Stage<'_>) -> Struck {
    let (_, standby) = stage.servers.pair.expect("two servers");
    standby.kill();
    std::thread::sleep(past_the_deadline(stage));
    standby.start();
    Struck::default()
}

/// Meanwhile a replica is told to stop: requests that outlast its grace do not keep it.
fn black_hole(stage: &Stage<'_>) -> Struck {
    let mut struck = Struck::default();
    let proxy = stage.servers.proxy.as_ref().expect("a proxy");
    let begun = Instant::now();
    proxy.turn(Mode::Hang);
    std::thread::sleep(Duration::from_secs(2));
    let replica = stage.take(1);
    let told = Instant::now();
    replica.process().signal("TERM");
    let status = replica.process().ended_within(Duration::from_secs(60));
    let took = told.elapsed();
    struck
        .must(status == Some(0), || format!("told to stop, a replica ended with {status:?} after {took:?}"));
    struck.notes.push(format!(
        "a replica that was told to stop meanwhile, with a grace of {GRACE} s, ended after {:.1} s",
        took.as_secs_f64()
    ));
    std::thread::sleep(past_the_deadline(stage).saturating_sub(begun.elapsed()));
    proxy.turn(Mode::Pass);
    stage.start(1);
    struck
}

/// So long that those who wait are answered all the same.
fn past_the_deadline(stage: &Stage<'_>) -> Duration {
    Duration::from_secs(stage.lengths.deadline + 2)
}

fn restart(stage: &Stage<'_>, at_once: bool) -> Struck {
    let postgres = &stage.ground.postgres;
    if at_once {
        postgres.kill()
    } else {
        postgres.stop()
    }
    if at_once {
        std::thread::sleep(stage.lengths.fault);
    }
    postgres.start();
    Struck::default()
}

fn cut(stage: &Stage<'_>) -> Struck {
    let mut struck = Struck::default();
    let until = Instant::now() + stage.lengths.fault;
    let mut ended = 0;
    while Instant::now() < until {
        ended += stage
            .database
            .query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
             AND pid <> pg_backend_pid()",
            )
            .len();
        std::thread::sleep(Duration::from_millis(200));
    }
    struck.notes.push(format!("{ended} connections were ended"));
    struck.must(ended > 10, || format!("only {ended} connections were ended"));
    struck
}

/// Fills the disk, then sees to it that records need room.
fn fill_disk(stage: &Stage<'_>) -> Struck {
    let mut struck = Struck::default();
    let server = stage.servers.room.expect("a server with a small disk");
    server.fill_room();
    let until = Instant::now() + stage.lengths.fault;
    let images = stage.images();
    let (mut number, mut refused, mut told) = (0, 0, Vec::new());
    while Instant::now() < until {
        number += 1;
        // A long name: each takes its share of a page.
        let member = format!("{number}-{}", "m".repeat(200));
        let offer = json!({"member": member}).to_string();
        let members = format!("{}/members", images[0]);
        match stage.ask(number % 2, "POST", &members, &stage.ground.cast.owner.token, Some(&offer)) {
            Ok(reply) if reply.status == 200 => told.push(member),
            Ok(reply) if reply.status == 503 => refused += 1,
            Ok(reply) => {
                struck.problems.push(format!("on a full disk an offer is answered {}", reply.status))
            }
            Err(error) => struck.problems.push(format!("on a full disk an offer is not answered: {error}")),
        }
    }
    struck.must(refused > 0, || "nobody was refused: the disk was not full".to_owned());
    struck.notes.push(format!(
        "{} offers were made on the last pages, {refused} refused for want of room",
        told.len()
    ));
    server.empty_room();
    let rows = stage.rows();
    let is_kept = |member: &String| rows.iter().any(|row| row.contains(member.as_str()));
    struck.must(told.iter().all(is_kept), || {
        "an offer that was acknowledged on a full disk is gone".to_owned()
    });
    struck
}

/// Until it is told to let go, so that whatever is answered before was answered while the image was held.
fn hold_image(stage: &Stage<'_>) -> Struck {
    let mut struck = Struck::default();
    let image = stage.images().remove(0);
    let id = image.trim_start_matches("/v2/images/");
    let hold = format!(
        "SELECT id FROM images WHERE id = '{id}' FOR UPDATE; \
         DO $$ BEGIN WHILE NOT EXISTS (SELECT 1 FROM released) LOOP PERFORM pg_sleep(0.1); END LOOP; END $$"
    );
    let is_held = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%FROM released%' \
                   AND wait_event = 'PgSleep' AND datname = current_database()";
    let database = stage.database;
    database.query("CREATE TABLE released (at timestamp)");
    std::thread::scope(|scope| {
        scope.spawn(|| database.query(&hold));
        let held = patience::within(MINUTE, || (database.query(is_held) == ["1"]).then_some(Instant::now()));
        struck.must(held.is_some(), || "the image could not be held".to_owned());
        // Whoever only looks at it waits for nobody, least of all for the end of this.
        let begun = held.unwrap_or_else(Instant::now);
        let mut looks = 0;
        while begun.elapsed() < stage.lengths.lock || looks == 0 && begun.elapsed() < MINUTE {
            let token = &stage.ground.cast.owner.token;
            let status = stage.ask(0, "GET", &image, token, None).map_or(0, |reply| reply.status);
            struck.must(status == 200, || format!("a look at a held image is answered {status}"));
            looks += usize::from(status == 200);
            std::thread::sleep(Duration::from_millis(100));
        }
        struck.must(looks > 0, || "nobody could look at a held image".to_owned());
        struck.notes.push(format!("{looks} looks at the held image were answered"));
        database.query("INSERT INTO released VALUES (now())");
    });
    struck
}

fn exhaust_pool(stage: &Stage<'_>) -> Struck {
    let seconds = stage.lengths.fault.as_secs_f64();
    stage.database.query(&format!(
        "LOCK TABLE images, image_members IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep({seconds})"
    ));
    Struck::default()
}
