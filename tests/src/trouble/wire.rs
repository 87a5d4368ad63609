//! HTTP/1.1 over one connection, by hand: so that it is known whether a request was sent, and nothing is repeated.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A client's connection to one server, opened when it is needed.
pub struct Wire {
    address: SocketAddr,
    patience: Duration,
    stream: Option<BufReader<TcpStream>>,
}

/// What is asked.
pub struct Ask<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, from the slash.
    pub path: &'a str,
    /// Whose token, if anybody's.
    pub token: &'a str,
    /// JSON.
    pub body: Option<&'a str>,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Wire {
    /// To this server; `patience` is how long silence is borne.
    pub fn to(address: SocketAddr, patience: Duration) -> Self {
        Self { address, patience, stream: None }
    }

    /// Where it goes.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The connection was refused, broke, or was silent for too long.
    pub fn ask(&mut self, ask: &Ask<'_>) -> io::Result<Reply> {
        let mut stream = match self.stream.take().filter(is_open) {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect_timeout(&self.address, self.patience)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(self.patience))?;
                stream.set_write_timeout(Some(self.patience))?;
                BufReader::new(stream)
            }
        };
        stream.get_mut().write_all(request(self.address, ask).as_bytes())?;
        let (reply, is_last) = read(&mut stream)?;
        if !is_last {
            self.stream = Some(stream);
        }
        Ok(reply)
    }
}

/// The bytes of a request.
pub fn request(address: SocketAddr, ask: &Ask<'_>) -> String {
    let Ask { method, path, token, body } = ask;
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n");
    if !token.is_empty() {
        text.push_str(&format!("X-Auth-Token: {token}\r\n"));
    }
    if let Some(body) = body {
        text.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body.unwrap_or_default());
    text
}

/// Whether the other side has not hung up, as every client with kept connections looks before it uses one.
fn is_open(stream: &BufReader<TcpStream>) -> bool {
    let stream = stream.get_ref();
    let looked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    stream.set_nonblocking(false).is_ok()
        && looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// An answer, and whether the connection ends with it.
pub fn read(stream: &mut impl BufRead) -> io::Result<(Reply, bool)> {
    let broken = |why: &str| io::Error::new(io::ErrorKind::UnexpectedEof, why.to_owned());
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status: u16 = status.ok_or_else(|| broken("the connection ended before an answer"))?;
    let (mut length, mut is_last) = (0, false);
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(broken("the connection ended in the middle of an answer"));
        }
        let header = line.trim_end().to_ascii_lowercase();
        match header.split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().unwrap_or(0),
            Some(("connection", value)) => is_last |= value.trim() == "close",
            Some(_) => {}
            None if header.is_empty() => break,
            None => return Err(broken("no header")),
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((Reply { status, body: String::from_utf8_lossy(&body).into_owned() }, is_last))
}
