//! The wire to a broker: TCP, or TLS by the rustls that the rest of the program has.
//!
//! lapin's own way to TLS would bring a second way to read certificates and keys, with ciphers that nobody should use any
//! more; so it is given wires that are ready.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr},
    os::fd::{AsFd, AsRawFd},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_compat::CompatExt as _;
use async_rs::{
    Runtime, Tokio,
    traits::{Executor, Reactor, RuntimeKit},
    util::Task,
};
use futures_util::{
    Stream,
    io::{AsyncRead, AsyncWrite},
};
use lapin::{AsyncTcpStream, Connection, ConnectionProperties, uri::AMQPUri};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::{net::TcpStream, runtime::Handle, time::timeout};
use tokio_rustls::TlsConnector;

use crate::Invalid;

/// How long opening a wire may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// How TLS is spoken: with the authorities of the system, or only these, as PEM.
///
/// # Errors
/// No certificate among them.
pub(super) fn tls(authorities: Option<&[u8]>) -> Result<ClientConfig, Invalid> {
    let failed = |error: rustls::Error| Invalid(format!("TLS cannot be spoken: {error}"));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let Some(pem) = authorities else {
        return Ok(builder.with_platform_verifier().map_err(failed)?.with_no_client_auth());
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem).flatten() {
        roots.add(certificate).map_err(failed)?;
    }
    if roots.is_empty() {
        return Err(Invalid(
            "holds no certificate; it should be a PEM file with BEGIN CERTIFICATE".to_owned(),
        ));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Opens a connection, on the runtime that this is called in.
///
/// # Errors
/// Nobody is there, or not who should be.
pub(super) async fn connect(
    node: AMQPUri,
    tls: Option<Arc<ClientConfig>>,
    plug: Plug,
    properties: ConnectionProperties,
) -> lapin::Result<Connection> {
    let runtime = Runtime::new(Wires(Tokio::default().with_handle(Handle::current())));
    let open = async move |node: AMQPUri, _: Runtime<Wires>| {
        let wire = open(&node.authority.host, node.authority.port, tls.clone(), &plug);
        Ok(AsyncTcpStream::Plain(timeout(OPEN_TIMEOUT, wire).await.map_err(io::Error::from)??))
    };
    Connection::connector(node, runtime, open, properties).await
}

/// Cuts a wire, whatever the client is doing with it: a client that waits for a broker that hangs would do so for ever,
/// and the next try would be one more.
#[derive(Clone, Debug, Default)]
pub(super) struct Plug(Arc<Mutex<Option<std::net::TcpStream>>>);

impl Plug {
    /// Pulls it.
    pub(super) fn pull(&self) {
        if let Some(stream) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // One that is cut already cannot be cut.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn put(&self, stream: TcpStream) -> io::Result<TcpStream> {
        let stream = stream.into_std()?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream.try_clone()?);
        TcpStream::from_std(stream)
    }
}

async fn open(
    host: &str,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
    plug: &Plug,
) -> io::Result<Box<dyn Wire>> {
    let stream = plug.put(TcpStream::connect((host, port)).await?)?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Box::new(stream.compat())) };
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    Ok(Box::new(TlsConnector::from(tls).connect(name, stream).await?.compat()))
}

/// A wire, encrypted or not.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<W: AsyncRead + AsyncWrite + Send + Unpin> Wire for W {}

/// tokio, with our wires.
#[derive(Clone, Debug)]
struct Wires(Tokio);

impl RuntimeKit for Wires {}

impl Executor for Wires {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.0.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        future: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn(future)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        work: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(work)
    }
}

impl Reactor for Wires {
    type TcpStream = Box<dyn Wire>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.0.sleep(time)
    }

    fn interval(&self, time: Duration) -> impl Stream<Item = std::time::Instant> + Send + 'static {
        self.0.interval(time)
    }

    #[expect(clippy::manual_async_fn, reason = "an async function would hold on to `self`")]
    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        async move {
            let stream = TcpStream::connect(address).await?;
            let wire: Self::TcpStream = Box::new(stream.compat());
            Ok(wire)
        }
    }
}
