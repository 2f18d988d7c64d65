//! As much HTTP/1.1 as it takes to ask nginx and to notice when the answer does not come.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Bytes read beyond the last answer.
    buffer: Vec<u8>,
}

/// One answer, its body counted and thrown away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Value of `X-Server`; empty if the server does not name itself.
    pub server: String,
    /// Bytes of the body.
    pub body: usize,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// The server's machine said that nobody listens, or cut the connection.
    Reset,
    /// Nothing came in time.
    Silence,
    /// The connection was closed before the answer was whole.
    Closed,
    /// Something else.
    Other(String),
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reset => f.write_str("reset"),
            Self::Silence => f.write_str("no answer in time"),
            Self::Closed => f.write_str("closed before the answer was whole"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for Lost {}

impl From<std::io::Error> for Lost {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused | ErrorKind::BrokenPipe => Self::Reset,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::Silence,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl Connection {
    /// Connects from the calling thread's namespace; every later wait is bounded by `patience` too.
    ///
    /// # Errors
    /// When nobody accepts in time.
    pub fn open(to: SocketAddr, patience: Duration) -> Result<Self, Lost> {
        Self::over(TcpStream::connect_timeout(&to, patience)?, patience)
    }

    /// The same from one of the client's addresses.
    ///
    /// # Errors
    /// When nobody accepts in time, or the client does not have the address.
    pub fn open_from(from: IpAddr, to: SocketAddr, patience: Duration) -> Result<Self, Lost> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
        socket.connect_timeout(&to.into(), patience)?;
        Self::over(socket.into(), patience)
    }

    fn over(stream: TcpStream, patience: Duration) -> Result<Self, Lost> {
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Asks and waits for the whole answer; with `last` the server closes afterwards.
    ///
    /// # Errors
    /// When the answer does not come whole.
    pub fn get(&mut self, path: &str, last: bool) -> Result<Response, Lost> {
        let host = match self.stream.peer_addr()? {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        };
        let ending = if last { "Connection: close\r\n" } else { "" };
        write!(self.stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n{ending}\r\n")?;
        let end = self.read_head()?;
        let (mut response, length) = parse_head(&self.buffer[..end])?;
        self.buffer.drain(..end);
        while self.buffer.len() < length {
            self.read_more()?;
        }
        self.buffer.drain(..length);
        response.body = length;
        Ok(response)
    }

    /// The socket, and what was read beyond the last answer.
    pub(super) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.buffer)
    }

    /// Reads until the blank line; returns where the body starts.
    fn read_head(&mut self) -> Result<usize, Lost> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(at + 4);
            }
            self.read_more()?;
        }
    }

    fn read_more(&mut self) -> Result<(), Lost> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk)? {
            0 => Err(Lost::Closed),
            count => {
                self.buffer.extend_from_slice(&chunk[..count]);
                Ok(())
            }
        }
    }
}

/// Takes an answer from the front of a buffer if it is there as a whole.
pub(super) fn whole(buffer: &mut Vec<u8>) -> Result<Option<Response>, Lost> {
    let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let (mut response, length) = parse_head(&buffer[..at])?;
    if buffer.len() < at + 4 + length {
        return Ok(None);
    }
    buffer.drain(..at + 4 + length);
    response.body = length;
    Ok(Some(response))
}

fn parse_head(head: &[u8]) -> Result<(Response, usize), Lost> {
    let head = std::str::from_utf8(head).map_err(|_| Lost::Other("head is not text".to_owned()))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| Lost::Other("no status line".to_owned()))?;
    let mut response = Response { status, server: String::new(), body: 0 };
    let mut length = 0;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().map_err(|_| Lost::Other(format!("content length {value:?}")))?;
        } else if name.eq_ignore_ascii_case("x-server") {
            value.clone_into(&mut response.server);
        }
    }
    Ok((response, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_status_server_and_length() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX-Server: web2\r\n\r\n";
        let (response, length) = parse_head(head).unwrap();
        assert_eq!((response.status, response.server.as_str(), length), (200, "web2", 5));
    }

    #[test]
    fn an_answer_is_taken_when_all_of_it_is_there() {
        let mut buffer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Server: web2\r\n\r\nweb2".to_vec();
        assert_eq!(whole(&mut buffer), Ok(None));
        buffer.extend(b"\nHTTP");
        assert_eq!(whole(&mut buffer).unwrap().unwrap().server, "web2");
        assert_eq!(buffer, b"HTTP");
    }

    #[test]
    fn a_head_without_a_status_is_refused() {
        assert!(parse_head(b"\r\n\r\n").is_err());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n").is_err());
    }
}
