//! What clients see when Postgres or Keystone is away, hangs or comes back, and when the service is told to stop.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::keystone::{Options, Scope};
use testbed::postgres::Durability;
use testbed::{Answer, Call, Keystone, Party, Postgres, Vitrine, patience};

const RECOVERY: Duration = Duration::from_secs(60);

/// Far longer than the service waits for anybody, and less than the client does: a machine may stand still for a while.
const IN_TIME: Duration = Duration::from_secs(25);

/// An answer that tells the client to come back, in time.
#[track_caller]
fn come_back(call: Call) {
    let asked = Instant::now();
    let answer = call.send();
    let took = asked.elapsed();
    assert_eq!(answer.status, 503, "{answer:#?}");
    let after = answer.header("retry-after").and_then(|seconds| seconds.parse::<u32>().ok());
    assert!(after.is_some_and(|seconds| (1..=60).contains(&seconds)), "Retry-After in {answer:#?}");
    assert_eq!(answer.json()["error"]["code"], 503, "{answer:#?}");
    assert!(took <= IN_TIME, "answered after {took:?}");
}

#[test]
fn a_killed_database_is_a_503_that_passes_when_it_is_back() {
    let keystone = Keystone::shared();
    let postgres = Postgres::private(Durability::Kept);
    let database = postgres.database();
    let vitrine = Vitrine::serve(&database, keystone).start();
    let owner = Party::new(keystone, "owner", &["member"]);
    let image = image(&vitrine, &owner);
    let show = || vitrine.call("GET", &image).token(&owner.token);
    show().send().expect(200);

    postgres.kill();
    for _ in 0..3 {
        come_back(show());
    }
    let share = vitrine.call("POST", &format!("{image}/members")).token(&owner.token);
    come_back(share.json(&json!({"member": "somebody"})));
    vitrine.call("GET", "/livez").send().expect(200);
    vitrine.call("GET", "/readyz").send().expect(503);

    postgres.start();
    patience::until("the image to be shown again", RECOVERY, || answered(show(), 200));
    patience::until("the service to be ready again", RECOVERY, || {
        answered(vitrine.call("GET", "/readyz"), 200)
    });
    let members =
        vitrine.call("GET", &format!("{image}/members")).token(&owner.token).send().expect(200).json();
    assert_eq!(members["members"], json!([]), "a call that was answered 503 has changed something");
    vitrine.stop();
}

#[test]
fn changes_that_wait_for_a_held_image_keep_nobody_else_waiting_and_are_not_made_up_for_later() {
    let keystone = Keystone::shared();
    let database = Postgres::shared().database();
    let hasty = Vitrine::serve(&database, keystone).with("VITRINE_DEADLINE", "4").start();
    // What is not about the held image is asked of one that has time.
    let patient = Vitrine::serve(&database, keystone).start();
    let owner = Party::new(keystone, "owner", &["member"]);
    let image = image(&patient, &owner);
    let members = format!("{image}/members");
    let look = || hasty.call("GET", &image).token(&owner.token);
    patience::until("the token to be known", RECOVERY, || answered(look(), 200));

    std::thread::scope(|scope| {
        database.query("CREATE TABLE released (at timestamp)");
        let hold = "SELECT id FROM images FOR UPDATE; \
                    DO $$ BEGIN WHILE NOT EXISTS (SELECT 1 FROM released) LOOP PERFORM pg_sleep(0.02); END LOOP; END $$";
        let holder = scope.spawn(|| database.query(hold));
        let is_held = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%FROM released%' AND state = 'active' \
                       AND wait_event = 'PgSleep' AND datname = current_database()";
        patience::until("the image to be held", RECOVERY, || {
            (database.query(is_held) == ["1"]).then_some(())
        });
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                     AND datname = current_database()";
        // They wait for as long as the deadline; where the machine keeps everybody from looking meanwhile, once more.
        patience::until("looks while changes wait", 2 * RECOVERY, || {
            let share = |number| {
                let share = hasty.call("POST", &members).token(&owner.token);
                share.json(&json!({"member": format!("member-{number}")}))
            };
            let waiting: Vec<_> =
                (0..24).map(share).map(|share| scope.spawn(|| share.send().status)).collect();
            let do_wait = || waiting.iter().any(|change| !change.is_finished());
            patience::until("a change to wait", RECOVERY, || {
                (!do_wait() || database.query(waits) != ["0"]).then_some(())
            });
            let mut looks = 0;
            while do_wait() && looks < 10 {
                let is_shown = answered(look(), 200).is_some();
                let is_ready = answered(hasty.call("GET", "/readyz"), 200).is_some();
                looks += usize::from(is_shown && is_ready && do_wait());
            }
            for change in waiting {
                assert_eq!(change.join().expect("an answer"), 503);
            }
            (looks >= 5).then_some(())
        });
        // Those that have begun still wait for the image, and now get it.
        database.query("INSERT INTO released VALUES (now())");
        holder.join().expect("an end");
    });
    // Its own change comes after all that were refused, had they only been put off. An answer that came too late for it
    // leaves open whether it was made.
    let last = || hasty.call("POST", &members).token(&owner.token).json(&json!({"member": "the-last"}));
    let mut is_first = true;
    patience::until("a change of the image", RECOVERY, || {
        let answer = last().try_send()?;
        let is_made = answer.status == 200 || (answer.status == 409 && !is_first);
        assert!(is_made || answer.status == 503, "{answer:#?}");
        is_first = false;
        is_made.then_some(())
    });
    let listed = patient.call("GET", &members).token(&owner.token).send().expect(200).json();
    let listed: Vec<_> =
        listed["members"].as_array().expect("a list").iter().map(|row| &row["member_id"]).collect();
    assert_eq!(listed, ["the-last"], "a call that was answered 503 has changed something");
    hasty.stop();
    patient.stop();
}

#[test]
fn a_stopped_keystone_is_a_503_for_tokens_not_seen_before_and_never_a_401() {
    let keystone = Keystone::private(Options::default());
    let database = Postgres::shared().database();
    let vitrine = Vitrine::serve(&database, &keystone).start();
    let owner = Party::new(&keystone, "owner", &["member"]);
    let image = image(&vitrine, &owner);
    let unseen = keystone.token(&owner.user, Scope::Project(&owner.project));
    let show = |token: &str| vitrine.call("GET", &image).token(token);

    keystone.stop();
    for _ in 0..20 {
        come_back(show(&unseen));
    }
    show(&owner.token).send().expect(200);
    vitrine.call("GET", &image).send().expect(401);
    vitrine.call("GET", "/livez").send().expect(200);

    keystone.start();
    patience::until("the unseen token to be accepted", RECOVERY, || answered(show(&unseen), 200));
    keystone.revoke(&unseen);
    let fresh = keystone.token(&owner.user, Scope::Project(&owner.project));
    keystone.revoke(&fresh);
    let refused = show(&fresh).send().expect(401);
    let challenge = format!("Keystone uri=\"{}\"", keystone.auth_url());
    let told = refused.header("www-authenticate").expect("a challenge");
    assert!(told == challenge || format!("{told}/") == challenge, "{told}");
    vitrine.stop();
}

#[test]
fn while_keystone_is_away_who_was_known_may_look_and_change_nothing() {
    let keystone = Keystone::private(Options::default());
    let database = Postgres::shared().database();
    let vitrine = Vitrine::serve(&database, &keystone).with("VITRINE_KEYSTONE__TOKEN_CACHE_TTL", "1").start();
    let owner = Party::new(&keystone, "owner", &["member"]);
    let (admin, operations) = keystone.administrator();
    let admin = keystone.token(&admin, Scope::Project(&operations));
    let image = image(&vitrine, &owner);
    let show = |token: &str| vitrine.call("GET", &image).token(token);
    show(&admin).send().expect(200);
    keystone.stop();

    let share = |with: &str| {
        let share = vitrine.call("POST", &format!("{image}/members")).token(&owner.token);
        share.json(&json!({"member": with}))
    };
    patience::until("what is remembered to be too old", RECOVERY, || answered(share("an early one"), 503));
    for _ in 0..20 {
        show(&owner.token).send().expect(200);
    }
    come_back(share("a late one"));
    come_back(show(&admin));

    keystone.start();
    patience::until("changes to be possible again", RECOVERY, || answered(share("one more"), 200));
    vitrine.stop();
}

#[test]
fn a_keystone_that_hangs_is_a_503_in_time() {
    let keystone = Keystone::private(Options::default());
    let database = Postgres::shared().database();
    let vitrine = Vitrine::serve(&database, &keystone).with("VITRINE_KEYSTONE__TIMEOUT", "5").start();
    let owner = Party::new(&keystone, "owner", &["member"]);
    keystone.pause();
    come_back(vitrine.call("GET", "/v2/images").token(&owner.token));
    keystone.resume();
    let list = || vitrine.call("GET", "/v2/images").token(&owner.token);
    patience::until("the token to be accepted", RECOVERY, || answered(list(), 200));
    vitrine.stop();
}

#[test]
fn a_service_started_before_its_keystone_lives_and_is_ready_once_keystone_answers() {
    let keystone = Keystone::private(Options::default());
    let database = Postgres::shared().database();
    let owner = Party::new(&keystone, "owner", &["member"]);
    keystone.stop();
    let vitrine = Vitrine::serve(&database, &keystone).start_unready();
    vitrine.call("GET", "/livez").send().expect(200);
    vitrine.call("GET", "/readyz").send().expect(503);
    come_back(vitrine.call("GET", "/v2/images").token(&owner.token));

    keystone.start();
    patience::until("the service to be ready", RECOVERY, || answered(vitrine.call("GET", "/readyz"), 200));
    vitrine.call("GET", "/v2/images").token(&owner.token).send().expect(200);
    vitrine.stop();
}

#[test]
fn told_to_stop_the_service_finishes_the_request_it_has_begun() {
    let keystone = Keystone::shared();
    let database = Postgres::shared().database();
    let vitrine = Vitrine::serve(&database, keystone).start();
    let owner = Party::new(keystone, "owner", &["member"]);
    let image = image(&vitrine, &owner);

    let body = json!({"member": "somebody"}).to_string();
    let (first, rest) = body.split_at(body.len() / 2);
    let address = vitrine.url().trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).expect("it listens");
    let (token, length) = (&owner.token, body.len());
    let head = format!(
        "POST {image}/members HTTP/1.1\r\nHost: {address}\r\nX-Auth-Token: {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    connection
        .write_all(head.as_bytes())
        .and_then(|()| connection.write_all(first.as_bytes()))
        .expect("half a request");
    // Another request, answered after the half one has arrived: the service has begun that one.
    vitrine.call("GET", &image).token(&owner.token).send().expect(200);

    vitrine.process().signal("TERM");
    patience::until("new connections to be refused", Duration::from_secs(30), || {
        TcpStream::connect(address).err()
    });
    connection.write_all(rest.as_bytes()).expect("the other half");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(vitrine.process().ended_within(RECOVERY), Some(0), "{}", vitrine.log());

    let again = Vitrine::serve(&database, keystone).start();
    let path = format!("{image}/members/somebody");
    again.call("GET", &path).token(&owner.token).send().expect(200);
    again.stop();
}

/// The path of a new shared image.
fn image(vitrine: &Vitrine, owner: &Party) -> String {
    let new: Value = json!({"name": "poster", "visibility": "shared"});
    let image = vitrine.call("POST", "/v2/images").token(&owner.token).json(&new).send().expect(201).json();
    format!("/v2/images/{}", image["id"].as_str().expect("an id"))
}

/// The answer if it has this status; never a 401, which would send clients away to sign in for nothing.
fn answered(call: Call, status: u16) -> Option<Answer> {
    let answer = call.try_send()?;
    assert!(answer.status != 401 && answer.status != 500, "{answer:#?}");
    (answer.status == status).then_some(answer)
}
