//! The byte stream between a client and the HTTP library.
//!
//! It reports what comes, reads no further than a request is due, ends where the registry says so, and puts an answer of our
//! form in the place of the bare ones that the library writes by itself.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::{
    http::StatusCode,
    rt::{
        net::TcpStream,
        time::{Sleep, sleep},
    },
    web::{Buf, BytesMut},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::{
    connection::{Activity, Ending},
    connections::{Admitted, Handle},
    own_answer,
};
use crate::error::ApiError;

/// What is read at once; then the HTTP library looks whether a head is complete.
const READ_AT_ONCE: usize = 16 * 1024;
/// How long what the client still sends is read and thrown away after a refusal: else the system might take it back.
const LINGER: Duration = Duration::from_secs(1);

/// Plain, or over TLS.
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The stream of one connection.
pub(super) struct Stream {
    transport: Transport,
    admitted: Admitted,
    read_at_once: usize,
    /// Written by us in place of the library, or as the last words on a connection.
    out: BytesMut,
    refused: bool,
    lingers: bool,
    sent_all: bool,
    linger: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    pub(super) fn new(transport: Transport, admitted: Admitted) -> Self {
        Self {
            transport,
            admitted,
            read_at_once: 0,
            out: BytesMut::new(),
            refused: false,
            lingers: false,
            sent_all: false,
            linger: None,
        }
    }

    /// What a request knows its connection by.
    pub(super) fn handle(&self) -> Handle {
        self.admitted.handle(matches!(self.transport, Transport::Tls(_)))
    }

    /// Says why this connection ends, once.
    fn refuse(&mut self, ending: Ending) {
        if self.refused {
            return;
        }
        self.refused = true;
        let (reason, error) = match ending {
            Ending::Quiet | Ending::SlowReader => return,
            // The registry counts those that it ends.
            Ending::NoRoom => ("", ApiError::Overloaded("The server has as many connections as it can hold")),
            Ending::SlowHead => ("slow_head", ApiError::SlowHead),
            Ending::LargeHead => ("large_head", ApiError::LargeHead),
            Ending::LongTarget => ("long_target", ApiError::LongTarget),
        };
        if !reason.is_empty() {
            self.admitted.metrics().rejected(reason);
        }
        // What others need is given up at once.
        self.lingers = ending != Ending::NoRoom && self.admitted.may_linger();
        own_answer::write(&mut self.out, &error);
    }

    /// Writes what we have to say.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.out.has_remaining() {
            let written = ready!(write(&mut self.transport, &self.admitted, cx, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads and throws away until the client has sent all, or for as long as [`LINGER`].
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let linger = self.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut scrap = [0; 4096];
        while linger.as_mut().poll(cx).is_pending() {
            let mut scrap = ReadBuf::new(&mut scrap);
            match ready!(Pin::new(&mut self.transport).poll_read(cx, &mut scrap)) {
                Ok(()) if !scrap.filled().is_empty() => {}
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

/// Writes to the client, and notes for how long it is waited for. Fails once that is too long: then the library drops the rest
/// of the answer with all that it holds.
fn write(
    transport: &mut Transport,
    admitted: &Admitted,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    let connection = admitted.connection();
    if connection.is_slow_reader() {
        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
    }
    let written = Pin::new(transport).poll_write(cx, bytes);
    match &written {
        Poll::Ready(Ok(count)) => connection.unsent.take(*count),
        Poll::Ready(Err(_)) => {}
        Poll::Pending => admitted.wait_for_client(cx.waker()),
    }
    written
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let connection = this.admitted.connection();
        connection.wake_by(cx.waker());
        // What was read may be the rest of a head and much of its body: that is for the library to say before it is judged.
        let is_unseen = this.read_at_once > 0 && connection.oversized_head().is_some();
        if this.read_at_once >= READ_AT_ONCE || is_unseen {
            this.read_at_once = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if connection.activity() != Activity::Answering {
            if let Some(ending) = connection.oversized_head() {
                this.admitted.end(ending);
            }
            if let Some(ending) = connection.ending() {
                this.refuse(ending);
                // To the library, the client has sent all it has to send.
                return Poll::Ready(Ok(()));
            }
        }
        if !connection.may_read() {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.transport).poll_read(cx, buffer);
        let new = buffer.filled().get(before..).unwrap_or_default();
        match &read {
            Poll::Ready(Ok(())) if !new.is_empty() => {
                this.read_at_once += new.len();
                this.admitted.received(new);
            }
            Poll::Ready(_) | Poll::Pending => this.read_at_once = 0,
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.admitted.connection().activity() != Activity::Answering
            && let Some((start, status)) = own_answer::of_library(buffer)
        {
            let (reason, error) = match status {
                StatusCode::REQUEST_TIMEOUT => ("slow_head", ApiError::SlowHead),
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ("large_head", ApiError::LargeHead),
                _ => ("malformed", ApiError::NotHttp),
            };
            this.admitted.metrics().rejected(reason);
            this.refused = true;
            this.lingers = this.admitted.may_linger();
            this.out.extend_from_slice(buffer.get(..start).unwrap_or_default());
            own_answer::write(&mut this.out, &error);
            // What cannot be sent now is sent by the flush that follows.
            return match this.poll_out(cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(buffer.len())),
            };
        }
        write(&mut this.transport, &this.admitted, cx, buffer)
    }

    /// The library calls it when all that it had is written.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        let connection = this.admitted.connection();
        if connection.is_slow_reader() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let flushed = Pin::new(&mut this.transport).poll_flush(cx);
        match &flushed {
            Poll::Ready(Ok(())) => connection.unsent.take_all(),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => this.admitted.wait_for_client(cx.waker()),
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.sent_all {
            ready!(this.poll_out(cx))?;
            if this.admitted.connection().is_slow_reader() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            let closed = Pin::new(&mut this.transport).poll_shutdown(cx);
            if closed.is_pending() {
                this.admitted.wait_for_client(cx.waker());
            }
            ready!(closed)?;
            this.sent_all = true;
        }
        if this.lingers {
            ready!(this.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buffer),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::Arc};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::{edge::Connections, metrics::EdgeMetrics};

    /// A stream, its registry, and a client that reads when the test does.
    async fn served() -> (Stream, Arc<Connections>, TcpStream) {
        let metrics = EdgeMetrics::new(&prometheus::Registry::new()).unwrap();
        let connections = Arc::new(Connections::new(8, metrics));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let admitted = connections.admit(Some(peer), None).unwrap();
        (Stream::new(Transport::Plain(stream), admitted), connections, client)
    }

    /// Writes until the client is waited for.
    async fn fill(stream: &mut Stream) -> usize {
        let mut written = 0;
        poll_fn(|cx| {
            while let Poll::Ready(count) = Pin::new(&mut *stream).poll_write(cx, &[b'x'; 1 << 16]) {
                written += count.unwrap();
            }
            Poll::Ready(())
        })
        .await;
        written
    }

    #[tokio::test]
    async fn answer_that_is_not_taken_ends_with_an_error() {
        let (mut stream, connections, _client) = served().await;
        let _answering = stream.handle().answer(false);
        fill(&mut stream).await;
        // Nothing but the registry can wake this task: the client never reads.
        let ends = async { connections.end_slow_readers_at(u64::MAX) };
        let write = async {
            loop {
                if let Err(error) = stream.write(b"x").await {
                    break error.kind();
                }
            }
        };
        let (error, ()) = tokio::join!(write, ends);
        assert_eq!(error, io::ErrorKind::TimedOut);
        assert_eq!(stream.flush().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn answer_that_is_taken_late_but_whole_is_no_slow_one() {
        let (mut stream, connections, mut client) = served().await;
        let _answering = stream.handle().answer(false);
        let filled = fill(&mut stream).await;
        assert!(stream.admitted.connection().unsent.is_late(u64::MAX));
        let mut taken = vec![0; filled];
        client.read_exact(&mut taken).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
        connections.end_slow_readers_at(u64::MAX);
        assert_eq!(stream.admitted.connection().ending(), None);
    }

    /// Polls the stream once for as much as the buffer holds; gives how much came.
    async fn read_once(stream: &mut Stream, room: usize) -> Poll<usize> {
        let mut room = vec![0; room];
        poll_fn(|cx| {
            let mut buffer = ReadBuf::new(&mut room);
            let read = Pin::new(&mut *stream).poll_read(cx, &mut buffer);
            Poll::Ready(read.map(|read| read.map(|()| buffer.filled().len()).unwrap()))
        })
        .await
    }

    #[tokio::test]
    async fn body_that_comes_with_its_head_is_not_taken_for_the_head() {
        let (mut stream, _connections, mut client) = served().await;
        let request = format!("POST / HTTP/1.1\r\n\r\n{}", "x".repeat(100_000));
        client.write_all(request.as_bytes()).await.unwrap();
        // As much as a buffer may hold that has grown with an earlier body.
        while stream.admitted.connection().oversized_head().is_none() {
            let _ = read_once(&mut stream, 128 << 10).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(read_once(&mut stream, 128 << 10).await, Poll::Pending, "the library looks first");
        let answering = stream.handle().answer(true);
        let _ = read_once(&mut stream, 128 << 10).await;
        assert_eq!(stream.admitted.connection().ending(), None);
        drop(answering);
    }

    #[tokio::test]
    async fn head_that_the_library_cannot_read_is_ended() {
        let (mut stream, _connections, mut client) = served().await;
        client.write_all(&vec![b'x'; 100_000]).await.unwrap();
        while read_once(&mut stream, 128 << 10).await != Poll::Ready(0) {
            tokio::task::yield_now().await;
        }
        assert_eq!(stream.admitted.connection().ending(), Some(Ending::LongTarget));
    }
}
