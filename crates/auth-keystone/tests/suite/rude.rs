//! Servers that do not answer as they should.

use std::{
    io::Read,
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A server that treats each connection like this, given its number from 1 on; it ends with the test process.
pub(crate) fn rude(treat: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    let port = listener.local_addr().expect("an address").port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let treat = Arc::new(treat);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
            let treat = Arc::clone(&treat);
            thread::spawn(move || treat(number, stream));
        }
    });
    (port, count)
}

/// Reads one request and says nothing.
pub(crate) fn read_request(stream: &mut impl Read) {
    let mut bytes = [0; 16 * 1024];
    let _ = stream.read(&mut bytes);
}

/// A port of loopback where nobody listens.
pub(crate) fn dead_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}
