//! The edge of the HTTP server: connections before, between and after their requests.
//!
//! actix speaks HTTP. This says how many connections there may be, how much each may send before it is a request, and when
//! it is ended; see `docs/adr/0014-the-edge-of-the-http-server.md`.

mod body_buffer;
mod connection;
mod connections;
mod own_answer;
mod stream;
mod tracked;
mod unsent;

use std::{
    future::poll_fn,
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use actix_http::{HttpService, error::DispatchError};
use actix_server::ServerBuilder;
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::{
    dev::AppConfig,
    rt::{
        net::TcpStream,
        time::{interval, timeout},
    },
    web,
};
use rustls::ServerConfig;
use tokio::net::TcpSocket;
use tokio_rustls::TlsAcceptor;

pub use self::unsent::READER_TIMEOUT;
pub(crate) use self::{
    body_buffer::{BodyBuffer, BodyRoom},
    connections::{Connections, Handle},
    tracked::Tracked,
};
use self::{
    connections::Admitted,
    stream::{Stream, Transport},
};
use crate::app::App;

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to agree on TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may take to close a connection that the server has ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the registry looks for heads and readers that are late.
const LOOK: Duration = Duration::from_secs(1);
/// Answers are handed to the HTTP library in pieces of so many bytes, since it keeps a buffer of that size for each connection.
const PIECE: usize = 16 * 1024;

/// What the system keeps for a client that has not taken it, in bytes; with what that costs, it may be twice as much. Without a
/// bound the system finds one: several MiB for each connection.
const SEND_BUFFER: u32 = 64 * 1024;

/// How the server holds its connections.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Connections that clients may have open at once.
    pub max_connections: usize,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// Bytes that all request bodies together may hold.
    pub body_buffer_bytes: usize,
    /// Origins of web pages that may call the API, such as `https://horizon.example.org`.
    pub allowed_origins: Vec<String>,
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            keep_alive: Duration::from_secs(75),
            body_buffer_bytes: 16 << 20,
            allowed_origins: Vec::new(),
        }
    }
}

/// Serves the API on this port with so many workers, over TLS if `tls` says how.
///
/// # Errors
/// A listener that cannot be used.
pub fn listen(
    builder: ServerBuilder,
    workers: usize,
    listener: TcpListener,
    app: &web::Data<App>,
    tls: Option<ServerConfig>,
) -> io::Result<ServerBuilder> {
    bound_send_buffers(&listener)?;
    let connections = Arc::clone(&app.connections);
    let keep_alive = app.settings.edge.keep_alive;
    let tls = tls.map(|mut tls| {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(tls))
    });
    let watched = Arc::downgrade(&connections);
    actix_web::rt::spawn(async move {
        let mut looks = interval(LOOK);
        while let Some(connections) = watched.upgrade() {
            connections.end_slow_heads();
            connections.end_slow_readers();
            drop(connections);
            looks.tick().await;
        }
    });
    let ends = builder.graceful_shutdown_signal();
    let app = app.clone();
    let builder =
        builder.workers(workers).max_concurrent_connections(connections.most().div_ceil(workers.max(1)));
    builder.listen("api", listener, move || {
        let (connections, tls, ends) = (Arc::clone(&connections), tls.clone(), ends.clone());
        let application = crate::application(app.clone()).into_factory();
        let application = application.map_err(|error: actix_web::Error| error.error_response());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let ends = ends.clone();
                async move { ends.notified().await }
            })
            .keep_alive(keep_alive)
            .client_request_timeout(HEAD_TIMEOUT)
            .client_disconnect_timeout(CLOSE_TIMEOUT)
            .h1_write_buffer_size(PIECE)
            .on_connect_ext(|stream: &Stream, data| {
                data.insert(stream.handle());
            })
            .h1(map_config(application, |()| AppConfig::default()));
        fn_service(move |stream| {
            let (connections, tls) = (Arc::clone(&connections), tls.clone());
            async move { accept(&connections, tls.as_ref(), stream).await.map_err(DispatchError::Io) }
        })
        .and_then(http)
    })
}

/// Bounds what the system keeps of answers. Connections have it of their listener, so that none needs a call of its own.
fn bound_send_buffers(listener: &TcpListener) -> io::Result<()> {
    let same = OwnedFd::from(listener.try_clone()?);
    // The one way of the library to an option of a socket that is there already. It is not used for anything else.
    TcpSocket::from_std_stream(same.into()).set_send_buffer_size(SEND_BUFFER)
}

async fn accept(
    connections: &Arc<Connections>,
    tls: Option<&TlsAcceptor>,
    stream: TcpStream,
) -> io::Result<(Stream, Option<SocketAddr>)> {
    // An answer goes out in pieces of PIECE bytes: the last, smaller one must not wait until the client acknowledges the others.
    stream.set_nodelay(true)?;
    let peer = stream.peer_addr().ok();
    let admitted = connections.admit(peer, stream.local_addr().ok());
    let admitted = admitted.ok_or_else(|| io::Error::other("there is no room for another connection"))?;
    let transport = match tls {
        None => Transport::Plain(stream),
        Some(tls) => match shake_hands(&admitted, tls, stream).await {
            Ok(stream) => stream,
            Err(error) => {
                // Those that the registry ends are counted there.
                if admitted.connection().ending().is_none() {
                    connections.metrics.rejected("tls");
                }
                return Err(error);
            }
        },
    };
    Ok((Stream::new(transport, admitted), peer))
}

/// Agrees on TLS, in time, unless the connection's place is needed.
async fn shake_hands(admitted: &Admitted, tls: &TlsAcceptor, stream: TcpStream) -> io::Result<Transport> {
    let connection = admitted.connection();
    let ended = poll_fn(|cx| {
        connection.wake_by(cx.waker());
        if connection.ending().is_some() { Poll::Ready(()) } else { Poll::Pending }
    });
    tokio::select! {
        agreed = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)) => {
            let mut stream = agreed.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            // Or it would keep 64 KiB of an answer that the client does not take.
            stream.get_mut().1.set_buffer_limit(Some(PIECE));
            Ok(Transport::Tls(Box::new(stream)))
        }
        () = ended => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}
