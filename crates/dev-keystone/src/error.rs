use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the development identity did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not on this machine's loopback interface.
    #[error(
        "the development identity refuses to listen on {0}: its passwords are public, so it listens on loopback only; \
         use 127.0.0.1 or [::1], and a real Keystone for anything others can reach"
    )]
    NotLoopback(SocketAddr),
    /// The address is taken, or not this machine's.
    #[error("the development identity cannot listen on {listen}: {source}")]
    Listen {
        /// The address asked for.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The directory or the file of the signing key cannot be read or written.
    #[error("the development identity cannot keep its signing key in {}: {source}", path.display())]
    KeyFile {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a signing key.
    #[error("{} is not an EC P-256 key in PKCS#8; delete it, and a new one is made at the next start", .0.display())]
    NotAKey(PathBuf),
    /// The cryptographic library made no key.
    #[error("no signing key could be made: the system's random source or the cryptographic library failed")]
    KeyGeneration,
    /// Two things in the realm contradict each other.
    #[error("the realm does not fit together: {0}")]
    Realm(String),
}
