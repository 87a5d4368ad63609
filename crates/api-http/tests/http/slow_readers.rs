//! Lists that clients ask for and do not read: what they hold, and what is left to others.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use core_domain::{
    image::{ImageId, Visibility},
    limits::MEMBERS_PAGE,
    member::Member,
    testing::builders,
};

use serde_json::{Value, json};

use crate::{client::Client, served::Served};

const MIB: i64 = 1 << 20;
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Twenty images that only the project sees and that fill more than a page: 200 KiB each.
fn fat(served: &Served, project: &str) {
    for second in 0..20 {
        served.image(project, |image| {
            image.visibility = Visibility::Private;
            image.created_at = builders::at(second);
            for number in 0..20 {
                image.properties.insert(format!("p{number:02}"), "x".repeat(10 << 10));
            }
        });
    }
}

/// Asks for a list of images and does not read the answer.
fn asks(served: &Served, client: &Client<'_>) -> TcpStream {
    asks_for(served, client, "/v2/images?visibility=private&limit=100")
}

/// Asks for this and does not read the answer. Its system takes next to nothing of it either.
fn asks_for(served: &Served, client: &Client<'_>, path: &str) -> TcpStream {
    sends(served, &client.ask("GET", path).bytes())
}

/// Sends a request and does not read the answer.
fn sends(served: &Served, request: &[u8]) -> TcpStream {
    let connected = async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        socket.connect(served.address).await.unwrap().into_std().unwrap()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let mut stream = runtime.block_on(connected);
    stream.set_nonblocking(false).unwrap();
    stream.write_all(request).unwrap();
    stream
}

/// An image of the project, of so many bytes, half of them such as JSON escapes.
fn large(served: &Served, project: &str, bytes: usize) -> ImageId {
    served.image(project, |image| {
        image.visibility = Visibility::Private;
        for number in 0..bytes / 10_000 {
            image.properties.insert(format!("p{number:02}"), "x\"".repeat(5_000));
        }
    })
}

/// Waits until it holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

fn private(served: &Served, project: &str) {
    served.image(project, |image| {
        image.visibility = Visibility::Private;
        image.name = Some("small".into());
    });
}

#[test]
fn a_page_of_fat_records_ends_early_and_the_next_goes_on() {
    let served = Served::start();
    fat(&served, "p");
    let client = served.member_of("p");
    let (mut next, mut sizes) = (Some("/v2/images?limit=100".to_owned()), Vec::new());
    while let Some(link) = next {
        let reply = client.get(&link);
        assert_eq!(reply.status, 200);
        assert!(reply.body.len() < core_domain::limits::PAGE_BYTES);
        let page = reply.json();
        sizes.push(page["images"].as_array().unwrap().len());
        next = page["next"].as_str().map(ToOwned::to_owned);
    }
    assert_eq!(sizes, [19, 1]);
    until("all is given back", || served.list_memory() == 0);
}

#[test]
fn a_large_page_reads_as_if_it_was_written_at_once() {
    let served = Served::start();
    for second in 0..300 {
        served.image("p", |image| {
            image.created_at = builders::at(second);
            image.name = Some(format!("\"{second}\""));
        });
    }
    let client = served.member_of("p");
    let large = client.get("/v2/images?limit=300&sort=created_at:asc");
    assert_eq!(large.header("transfer-encoding"), Some("chunked"));
    let images: Vec<String> = large.json()["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| client.get(&format!("/v2/images/{}", image["id"].as_str().unwrap())).text().to_owned())
        .collect();
    let expected = format!(
        r#"{{"images":[{}],"first":"/v2/images?limit=300&sort=created_at:asc","schema":"/v2/schemas/images"}}"#,
        images.join(",")
    );
    assert_eq!(large.text(), expected);
    let small = client.get("/v2/images?limit=1&sort=created_at:asc");
    assert!(small.header("content-length").is_some());
    assert!(small.text().starts_with(&format!("{{\"images\":[{}],\"first\":", images[0])));
}

#[test]
fn projects_that_do_not_read_leave_the_others_their_share() {
    let served = Served::with(|setup| setup.settings.deadline = Duration::from_secs(2));
    let slow: Vec<String> = (0..3).map(|number| format!("slow{number}")).collect();
    for project in &slow {
        fat(&served, project);
    }
    private(&served, "other");
    let clients: Vec<_> = slow.iter().map(|project| served.member_of(project)).collect();
    // Far more than fit: each page is 4 MiB, of which a connection takes no more than its buffers.
    let mut streams: Vec<TcpStream> =
        (0..90).map(|number| asks(&served, &clients[number % clients.len()])).collect();
    // Held as long as they do not read: by three projects together three quarters at most.
    until("the slow hold their share", || served.list_memory() > 40 * MIB);
    assert!(served.list_memory() <= 48 * MIB, "{}", served.list_memory());
    // Another project is answered meanwhile, every time.
    let other = served.member_of("other");
    for _ in 0..50 {
        assert_eq!(other.lists("?visibility=private"), ["small"]);
        assert!(served.list_memory() <= 64 * MIB, "{}", served.list_memory());
    }
    // One of the slow projects is refused once its own share is in use. On a busy machine some of its lists were too late for it.
    let mut refused = clients[0].get("/v2/images?visibility=private");
    while refused.status != 503 && streams.len() < 200 {
        streams.push(asks(&served, &clients[0]));
        refused = clients[0].get("/v2/images?visibility=private");
    }
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    drop(streams);
    until("all is given back", || served.list_memory() == 0);
    assert_eq!(clients[0].get("/v2/images?visibility=private&limit=1").status, 200);
}

#[test]
fn a_list_that_is_read_late_is_whole() {
    let served = Served::start();
    fat(&served, "p");
    let client = served.member_of("p");
    let mut stream = asks(&served, &client);
    until("it is being sent", || served.list_memory() > 0);
    let held = served.list_memory();
    assert!(held <= 4 * MIB, "{held}");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut read = Vec::new();
    let mut buffer = [0; 1 << 16];
    while !read.ends_with(b"\r\n0\r\n\r\n") {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "closed after {}", read.len());
        read.extend_from_slice(&buffer[..count]);
    }
    assert!(read.windows(8).any(|window| window == b"\"schema\""));
    until("all is given back", || served.list_memory() == 0);
}

#[test]
fn member_lists_that_are_not_read_are_counted_and_given_back() {
    let served = Served::with(|setup| setup.rules.limits.members_per_image = None);
    let image = served.image("p", |_| {});
    // In four bytes each: more than the system keeps for a connection.
    let others = "\u{1F5BC}".repeat(240);
    served
        .store
        .write(image, &builders::cause(0), |tx| {
            for number in 0..MEMBERS_PAGE {
                let project = builders::project(&format!("{number:05}{others}"));
                tx.insert_member(&Member::offered(image, project, builders::at(0)))?;
            }
            Ok(())
        })
        .unwrap();
    let client = served.member_of("p");
    let members = format!("/v2/images/{image}/members");
    let whole = client.get(&members);
    assert!(whole.body.len() > 9 << 20, "{}", whole.body.len());
    until("what was read is given back", || served.list_memory() == 0);
    let mut streams: Vec<TcpStream> = (0..40).map(|_| asks_for(&served, &client, &members)).collect();
    streams[0].set_read_timeout(Some(PATIENCE)).unwrap();
    let mut begun = [0; 12];
    streams[0].read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    // An answer has begun and holds what was not sent; the project's lists together hold a quarter at most.
    private(&served, "other");
    for _ in 0..20 {
        let held = served.list_memory();
        assert!(held > 0 && held <= 16 * MIB, "{held}");
        assert_eq!(served.member_of("other").lists("?visibility=private"), ["small"]);
    }
    drop(streams);
    until("all is given back", || served.list_memory() == 0);
    assert_eq!(client.get(&format!("{members}?limit=1")).status, 200);
}

/// A change of nothing, as a request.
fn no_change(client: &Client<'_>, image: ImageId) -> Vec<u8> {
    let patch = "application/openstack-images-v2.1-json-patch";
    let request = client.ask("PATCH", &format!("/v2/images/{image}")).header("Content-Type", patch);
    request.body("[]").bytes()
}

#[test]
fn answers_about_large_images_that_are_not_read_are_bounded() {
    let served = Served::with(|setup| setup.settings.deadline = Duration::from_secs(2));
    let [fat, others] = ["slow", "other"].map(|project| large(&served, project, 240_000));
    let small = served.image("slow", |_| {});
    let (slow, other) = (served.member_of("slow"), served.member_of("other"));
    let attributes: BTreeMap<_, _> = (0..24).map(|n| (format!("p{n}"), "x\"".repeat(5_000))).collect();
    let requests = [
        slow.ask("GET", &format!("/v2/images/{fat}")).bytes(),
        no_change(&slow, fat),
        slow.ask("POST", "/v2/images").json(&json!(attributes)).bytes(),
    ];
    // More than the share of the project, and more than the sockets between keep.
    let mut streams: Vec<TcpStream> =
        (0..120).map(|number| sends(&served, &requests[number % requests.len()])).collect();
    until("the slow hold what they may", || served.image_memory() > 3 * MIB);
    // The project's own large images are refused once its share is in use, as are changes: nothing is done then.
    let mut refused = slow.get(&format!("/v2/images/{fat}"));
    while refused.status != 503 && streams.len() < 400 {
        streams.push(sends(&served, &requests[0]));
        refused = slow.get(&format!("/v2/images/{fat}"));
    }
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    let renamed = slow.patch(
        &format!("/v2/images/{fat}"),
        &json!([{"op": "replace", "path": "/name", "value": "renamed"}]),
    );
    assert_eq!(renamed.status, 503);
    // Other projects' large images, and all that is ordinary, are answered meanwhile.
    for _ in 0..10 {
        assert!(served.image_memory() <= 8 * MIB, "{}", served.image_memory());
        assert_eq!(other.get(&format!("/v2/images/{others}")).status, 200);
        assert_eq!(other.patch(&format!("/v2/images/{others}"), &json!([])).status, 200);
        assert_eq!(slow.get(&format!("/v2/images/{small}")).status, 200);
        assert_eq!(slow.patch(&format!("/v2/images/{small}"), &json!([])).status, 200);
        assert!(!slow.creates(&json!({"name": "small"})).is_empty());
        assert!(!slow.lists("?limit=1&name=small").is_empty());
    }
    drop(streams);
    until("all is given back", || served.image_memory() == 0);
    let shown: Value = slow.get(&format!("/v2/images/{fat}")).json();
    assert!(shown["name"] != "renamed", "a refused change is not made");
}

#[test]
fn large_image_reads_the_same_in_each_answer() {
    let served = Served::start();
    let image = large(&served, "p", 200_000);
    let client = served.member_of("p");
    let path = format!("/v2/images/{image}");
    let shown = client.get(&path);
    assert_eq!(shown.header("content-length"), Some(shown.body.len().to_string().as_str()));
    assert_eq!(shown.json()["p19"], "x\"".repeat(5_000));
    assert_eq!(client.patch(&path, &json!([])).text(), shown.text());
    let changed = client.patch(&path, &json!([{"op": "replace", "path": "/name", "value": "n"}]));
    assert_eq!((changed.status, &changed.json()["name"]), (200, &json!("n")));
    assert_eq!(client.get(&path).text(), changed.text());
    until("all is given back", || served.image_memory() == 0);
}

#[test]
fn refusal_does_not_repeat_a_megabyte() {
    let served = Served::start();
    let image = served.image("p", |_| {});
    let client = served.member_of("p");
    for letters in ["x", "\u{1F5BC}"] {
        let name = letters.repeat(500_000 / letters.len());
        let step = json!([{"op": "remove", "path": format!("/{name}")}]);
        let refused = client.patch(&format!("/v2/images/{image}"), &step);
        assert!((400..500).contains(&refused.status), "{}", refused.status);
        assert!(refused.body.len() < 5_000, "{}", refused.body.len());
        let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(letters) && message.ends_with('…'), "{message}");
    }
}
