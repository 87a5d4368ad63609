//! Connections to `/metrics`: the server takes 64 at once, others wait in the system's queue until one ends.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story fails by panicking")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use testbed::{Keystone, Postgres, Vitrine, patience};

/// The bound.
const CONNECTIONS: usize = 64;
/// The server may have taken one more before it sees that it is full.
const TAKEN: std::ops::RangeInclusive<usize> = CONNECTIONS..=CONNECTIONS + 1;
const CLIENTS: usize = 100;

/// The connections of this port that the system has made: those that the server has taken, and all of them. One that is not
/// taken yet has no inode.
fn connections(port: u16) -> (usize, usize) {
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux");
    let inodes: Vec<_> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields[1].ends_with(&format!(":{port:04X}")) && fields[3] == "01")
        .map(|fields| fields[9].to_owned())
        .collect();
    (inodes.iter().filter(|inode| *inode != "0").count(), inodes.len())
}

fn metrics_address(vitrine: &Vitrine) -> SocketAddr {
    let log = vitrine.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.into_iter().find(|line| line["message"] == "metrics").expect("a line of /metrics");
    line["address"].as_str().unwrap().parse().expect("an address")
}

#[test]
fn metrics_take_64_connections_and_others_wait_their_turn() {
    let database = Postgres::shared().database();
    let vitrine = Vitrine::serve(&database, Keystone::shared()).start();
    let address = metrics_address(&vitrine);
    let mut clients: Vec<_> =
        (0..CLIENTS).map(|_| TcpStream::connect(address).expect("a connection")).collect();
    let patience = Duration::from_secs(60);
    // The server gives an idle connection some seconds: until then nothing else is taken.
    let taken = patience::until("the server to be full", patience, || {
        let (taken, all) = connections(address.port());
        assert!(taken <= *TAKEN.end(), "{taken} of {all} connections are taken");
        (taken >= CONNECTIONS).then_some(taken)
    });
    assert!(TAKEN.contains(&taken));
    // The last one has its turn when others have ended, and until then the server never takes more.
    let mut last = clients.pop().expect("a client");
    last.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("it is sent");
    let reader = std::thread::spawn(move || {
        let mut answer = String::new();
        last.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        last.read_to_string(&mut answer).expect("an answer");
        answer
    });
    patience::until("the answer", patience, || {
        let (taken, all) = connections(address.port());
        assert!(taken <= *TAKEN.end(), "{taken} of {all} connections are taken");
        reader.is_finished().then_some(())
    });
    let (taken, _) = connections(address.port());
    assert!(taken <= *TAKEN.end(), "{taken} are taken");
    assert!(reader.join().unwrap().starts_with("HTTP/1.1 200 "));
    drop(clients);
    vitrine.stop();
}
