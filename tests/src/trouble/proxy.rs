//! A TCP proxy that can be told to misbehave: before Keystone, or before Postgres.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What it does with what goes through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passes it on.
    Pass,
    /// Accepts connections and bytes and passes nothing on, either way.
    Hang,
    /// Passes each piece on after so long.
    Delay(Duration),
    /// Answers whatever it reads with an HTTP 500 of its own.
    Fail,
    /// Hangs up on everybody.
    Refuse,
}

/// A proxy on a loopback port of its own; ends when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: SocketAddr,
    mode: Mutex<Mode>,
    open: Mutex<Vec<TcpStream>>,
    is_over: AtomicBool,
}

const FAILURE: &[u8] =
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nbroken";
/// How often somebody who hangs looks whether that is over.
const LOOK: Duration = Duration::from_millis(20);

impl Proxy {
    /// Before this address.
    pub fn before(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port for a proxy");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            to,
            mode: Mutex::new(Mode::Pass),
            open: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || shared.serve(client));
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, also for connections that are open.
    pub fn turn(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
        if mode == Mode::Refuse {
            self.cut();
        }
    }

    /// Ends all connections.
    pub fn cut(&self) {
        for stream in self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.cut();
        // Wakes the thread that accepts, which then ends.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, stream: &TcpStream) {
        if let Ok(stream) = stream.try_clone() {
            self.open.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        }
    }

    fn serve(self: Arc<Self>, client: TcpStream) {
        if self.mode() == Mode::Refuse {
            return;
        }
        self.keep(&client);
        let Ok(server) = TcpStream::connect(self.to) else { return };
        self.keep(&server);
        let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else { return };
        let back = Arc::clone(&self);
        let to_client = client;
        let to_server = server;
        let backwards = std::thread::spawn(move || back.pump(from_server, to_client, false));
        self.pump(from_client, to_server, true);
        // Nothing is left to be said about a thread that ended.
        let _ = backwards.join();
    }

    /// Moves bytes one way until either side ends.
    fn pump(&self, mut from: TcpStream, mut to: TcpStream, is_asking: bool) {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count) = from.read(&mut bytes) {
            if count == 0 {
                break;
            }
            while self.mode() == Mode::Hang && !self.is_over.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK);
            }
            let done = match self.mode() {
                Mode::Fail if is_asking => from.write_all(FAILURE),
                Mode::Delay(by) if is_asking => {
                    std::thread::sleep(by);
                    to.write_all(&bytes[..count])
                }
                Mode::Refuse => break,
                Mode::Pass | Mode::Hang | Mode::Fail | Mode::Delay(_) => to.write_all(&bytes[..count]),
            };
            if done.is_err() {
                break;
            }
        }
        // Either may be gone already.
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}
