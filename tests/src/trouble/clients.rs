//! Clients that take their time, or say nothing at all. The faults are theirs; nobody else may notice.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::stage::{Setting, Stage, size};
use super::wire::{self, Ask};
use super::{Fault, PATIENCE, Struck, plain, small_pool, unnoticed};
use crate::patience;

pub(super) fn faults() -> Vec<Fault> {
    // Two wait for the deadline. Where much is written for nobody, the others need more of it.
    let unnoticed_soon = |deadline: u64, fault: Fault| Fault { deadline, ..unnoticed(fault) };
    let few_files = |fault: Fault| Fault {
        setting: |_, _, _| Setting { descriptors: Some(1024), ..small_pool() },
        ..fault
    };
    vec![
        unnoticed_soon(12, plain("slow-body", "50 clients send their bodies one byte a second", send_slowly)),
        unnoticed_soon(
            20,
            plain("never-reads", "20 clients ask for long lists and read nothing", never_read),
        ),
        unnoticed(few_files(plain(
            "idle-connections",
            "2,000 idle connections to one replica, started with a soft limit of 1,024 files",
            stay_idle,
        ))),
    ]
}

/// Clients that send slowly: next to nothing to do for anybody.
const SLOW: usize = 50;
/// Clients that read nothing: each has some megabytes written for it, by the processor that the others need as well.
const DEAF: usize = 20;

fn connect(stage: &Stage<'_>, number: usize) -> TcpStream {
    let stream = TcpStream::connect(stage.address(number % 2)).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_millis(1))).expect("a timeout");
    stream
}

fn send_slowly(stage: &Stage<'_>) -> Struck {
    let mut struck = Struck::default();
    let token = &stage.ground.cast.owner.token;
    let path = format!("{}/members", stage.images()[0]);
    let mut streams: Vec<(TcpStream, Vec<u8>)> = (0..SLOW)
        .map(|number| {
            let mut stream = connect(stage, number);
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\nContent-Type: application/json\r\n\
                 Content-Length: 100000\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).expect("a head");
            (stream, Vec::new())
        })
        .collect();
    let begun = Instant::now();
    let limit = Duration::from_secs(stage.lengths.deadline + PATIENCE);
    while begun.elapsed() < limit && streams.iter().any(|(_, answer)| answer.is_empty()) {
        for (stream, answer) in &mut streams {
            // Whoever was answered already is hung up on.
            let _ = stream.write_all(b"x");
            let mut bytes = [0; 1024];
            if let Ok(count) = stream.read(&mut bytes) {
                answer.extend_from_slice(&bytes[..count]);
            }
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let told = streams.iter().filter(|(_, answer)| answer.starts_with(b"HTTP/1.1 408")).count();
    struck.must(told == SLOW, || {
        format!("{told} of {SLOW} slow bodies were answered 408 in {:?}", begun.elapsed())
    });
    struck
        .notes
        .push(format!("{told} of {SLOW} were answered 408, after {:.1} s", begun.elapsed().as_secs_f64()));
    struck
}

/// The answers are larger than what the system buffers for both sides: some megabytes. Few images with long texts make them
/// so for little of the processor's time, which here is the others' as well.
fn never_read(stage: &Stage<'_>) -> Struck {
    let mut struck = Struck::default();
    let token = &stage.ground.cast.owner.token;
    let text = "x".repeat(16_000);
    stage.make_images_like(&json!({"visibility": "shared", "one": text, "another": text}), 20);
    let before: usize = stage.pids().into_iter().map(|pid| size(pid).2).sum();
    let ask = Ask { method: "GET", path: "/v2/images?limit=20", token, body: None };
    let streams: Vec<TcpStream> = (0..DEAF)
        .map(|number| {
            let mut stream = connect(stage, number);
            stream.set_write_timeout(Some(Duration::from_millis(20))).expect("a timeout");
            let request = wire::request(stage.address(number % 2), &ask).repeat(50);
            // As much as it takes.
            let _ = stream.write_all(request.as_bytes());
            stream
        })
        .collect();
    // Who has taken nothing for as long as a request may take is hung up on.
    let limit = Duration::from_secs(stage.lengths.deadline * 2 + 60);
    let begun = Instant::now();
    let open = || stage.pids().into_iter().map(|pid| size(pid).2).sum::<usize>().saturating_sub(before);
    std::thread::sleep(Duration::from_millis(500));
    let most = open();
    let gone = patience::within(limit, || (open() < DEAF / 5).then_some(()));
    struck.must(gone.is_some(), || {
        format!(
            "{} of {DEAF} connections that nobody reads from are open after {:?}",
            open(),
            begun.elapsed()
        )
    });
    struck.notes.push(format!(
        "{most} connections were open, and ended after {:.1} s",
        begun.elapsed().as_secs_f64()
    ));
    drop(streams);
    struck
}

fn stay_idle(stage: &Stage<'_>) -> Struck {
    let mut struck = Struck::default();
    let mut idle = Vec::new();
    for number in 0..stage.lengths.idle {
        let Ok(mut stream) = TcpStream::connect_timeout(&stage.address(0), Duration::from_secs(30)) else {
            struck.problems.push(format!("connection {number} was refused"));
            break;
        };
        // Half of them have asked once, and are kept for the next time.
        if number % 2 == 0 {
            stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
            let ask = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
            let answered = stream.write_all(ask).and_then(|()| stream.read(&mut [0; 512]));
            if !answered.is_ok_and(|count| count > 0) {
                struck.problems.push(format!("connection {number} was not answered"));
                break;
            }
        }
        idle.push(stream);
    }
    let token = &stage.ground.cast.owner.token;
    let until = Instant::now() + stage.lengths.fault;
    let mut slowest = Duration::ZERO;
    while Instant::now() < until {
        let asked = Instant::now();
        let status =
            stage.ask(0, "GET", "/v2/images", token, None).map(|reply| reply.status).unwrap_or_default();
        slowest = slowest.max(asked.elapsed());
        struck.must(status == 200, || format!("among idle connections a new one was answered {status}"));
        std::thread::sleep(Duration::from_millis(50));
    }
    let held = stage.pids().first().map_or(0, |pid| size(*pid).2);
    struck.notes.push(format!(
        "{} connections, {held} files open in the replica; the slowest new one was answered after {:.0} ms",
        idle.len(),
        slowest.as_secs_f64() * 1e3
    ));
    struck
}
