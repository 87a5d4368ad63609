//! A limit of members that is changed while projects are added and removed, replica by replica, as an operator rolls it out.
//!
//! Each replica holds to its own limit, whatever the other's is. What happened in which order is read from the events,
//! and through whom each membership was made from the id of its request.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};

use serde_json::json;
use testbed::{Database, Keystone, Party, Postgres, Vitrine, patience};

/// The limits of both replicas, one after the other.
const LIMITS: [[usize; 2]; 6] = [[5, 5], [2, 5], [2, 2], [2, 6], [6, 6], [1, 6]];
const CLIENTS: usize = 8;
const PROJECTS: usize = 9;
/// So many answers of 200 and 413 each under every pair of limits, before the next.
const ENOUGH: usize = 40;

/// The end of the load, also when something went wrong.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Replica {
    vitrine: Vitrine,
    limit: usize,
}

impl Replica {
    fn start(database: &Database<'_>, limit: usize) -> Self {
        let service = Vitrine::serve(database, Keystone::shared());
        let vitrine = service.with("VITRINE_LIMITS__MEMBERS_PER_IMAGE", &limit.to_string()).start();
        Self { vitrine, limit }
    }
}

#[test]
fn each_replica_holds_to_its_own_limit_while_it_is_changed() {
    let database = Postgres::shared().database();
    let owner = Party::new(Keystone::shared(), "owner", &["member"]);
    let replicas = LIMITS[0].map(|limit| RwLock::new(Some(Replica::start(&database, limit))));
    let images: Vec<String> = (0..3)
        .map(|_| {
            let replica = replicas[0].read().unwrap();
            let make = replica.as_ref().unwrap().vitrine.call("POST", "/v2/images").token(&owner.token);
            make.json(&json!({})).settled().expect(201).json()["id"].as_str().unwrap().to_owned()
        })
        .collect();
    let (is_over, added, full) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    // The limit of the replica that was asked for a membership, and its answer, by the id of the request.
    let asked: Mutex<BTreeMap<String, (usize, u16)>> = Mutex::default();
    let ask = |replica: usize, image: &str, project: usize, removes: bool| {
        let replica = replicas[replica].read().unwrap();
        let Some(Replica { vitrine, limit }) = replica.as_ref() else { return };
        let members = format!("/v2/images/{image}/members");
        if removes {
            let call = vitrine.call("DELETE", &format!("{members}/project-{project}"));
            let status = call.token(&owner.token).send().status;
            assert!(matches!(status, 204 | 404 | 503), "{status}");
            return;
        }
        let call = vitrine.call("POST", &members).token(&owner.token);
        let answer = call.json(&json!({"member": format!("project-{project}")})).send();
        // A 503 says to come again, and leaves open whether the membership was made.
        if matches!(answer.status, 200 | 503) {
            let id = answer.header("x-openstack-request-id").expect("an id").to_owned();
            asked.lock().unwrap().insert(id, (*limit, answer.status));
        }
        match answer.status {
            200 => drop(added.fetch_add(1, Ordering::Relaxed)),
            413 => drop(full.fetch_add(1, Ordering::Relaxed)),
            status => assert!(matches!(status, 409 | 503), "{answer:#?}"),
        }
    };
    std::thread::scope(|scope| {
        let end = End(&is_over);
        for _ in 0..CLIENTS {
            let (images, ask, is_over) = (&images, &ask, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let image = &images[fastrand::usize(0..images.len())];
                    ask(fastrand::usize(0..2), image, fastrand::usize(0..PROJECTS), fastrand::u8(0..3) == 0);
                }
            });
        }
        for limits in LIMITS {
            for (replica, limit) in replicas.iter().zip(limits) {
                let mut replica = replica.write().unwrap();
                if replica.as_ref().is_some_and(|replica| replica.limit != limit) {
                    replica.take().unwrap().vitrine.stop();
                    *replica = Some(Replica::start(&database, limit));
                }
            }
            let before = [&added, &full].map(|count| count.load(Ordering::Relaxed) + ENOUGH);
            patience::until("answers under these limits", std::time::Duration::from_secs(60), || {
                let now = [&added, &full].map(|count| count.load(Ordering::Relaxed));
                now.iter().zip(before).all(|(now, enough)| *now >= enough).then_some(())
            });
        }
        drop(end);
    });

    let asked = asked.into_inner().unwrap();
    let events = database.query(
        "SELECT image_id || ' ' || deed || ' ' || request_id FROM events WHERE member_id IS NOT NULL ORDER BY number",
    );
    let (mut members, mut created) = (BTreeMap::<&str, usize>::new(), 0);
    for event in &events {
        let [image, deed, request] = event.split(' ').collect::<Vec<_>>().try_into().expect("three words");
        let count = members.entry(image).or_default();
        if deed == "create" {
            let (limit, status) = asked[request];
            *count += 1;
            created += usize::from(status == 200);
            assert!(*count <= limit, "{count} members by a replica that allows {limit}");
        } else {
            *count -= 1;
        }
    }
    let promised = asked.values().filter(|(_, status)| *status == 200).count();
    assert_eq!(created, promised, "a membership that was answered with 200 is not there");
    for image in &images {
        let kept = database.query(&format!("SELECT count(*) FROM image_members WHERE image_id = '{image}'"));
        assert_eq!(kept, [members.get(image.as_str()).copied().unwrap_or_default().to_string()]);
    }
    for replica in replicas {
        replica.into_inner().unwrap().unwrap().vitrine.stop();
    }
}
