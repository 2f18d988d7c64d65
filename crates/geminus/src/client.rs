//! The client side of the control socket: one call, its replies, and what to say when nobody answers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use geminus_api::{Call, Outcome, Reply, Request, VERSION};
use serde::Deserialize;

use crate::failure::Failure;

/// Name of the control socket inside the runtime directory.
const SOCKET: &str = "geminus.sock";

/// How long a daemon may take for one reply. The slowest is a reload of 1 000 clusters with 100 servers each, a few
/// seconds; a daemon that is silent for longer hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Longest reply that is read: 100 000 flows of about 300 bytes each, with a margin.
const LONGEST_REPLY: u64 = 256 << 20;

/// Where the daemon listens.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    socket: PathBuf,
}

/// A connection on which a call was made.
#[derive(Debug)]
pub(crate) struct Replies {
    socket: PathBuf,
    reader: BufReader<UnixStream>,
}

/// The part of a reply that every version has.
#[derive(Deserialize)]
struct Stamp {
    version: u32,
}

impl Client {
    /// The daemon of a runtime directory, or of an explicit socket.
    pub(crate) fn new(runtime_dir: &Path, socket: Option<&Path>) -> Self {
        Self { socket: socket.map_or_else(|| runtime_dir.join(SOCKET), Path::to_path_buf) }
    }

    /// Makes a call that has one answer.
    pub(crate) fn ask(&self, request: Request) -> Result<Outcome, Failure> {
        match self.call(request)?.next(Some(PATIENCE))? {
            Some(Outcome::Error(error)) => Err(error.into()),
            Some(outcome) => Ok(outcome),
            None => Err(self.no_answer()),
        }
    }

    /// Makes a call that may have many answers.
    pub(crate) fn call(&self, request: Request) -> Result<Replies, Failure> {
        let stream = UnixStream::connect(&self.socket).map_err(|error| self.unreachable(&error))?;
        let mut line = serde_json::to_vec(&Call { version: VERSION, request }).expect("a call is plain data");
        line.push(b'\n');
        stream.set_write_timeout(Some(PATIENCE)).map_err(|error| self.broken(&error))?;
        // A daemon that refuses the connection may have answered and closed before it read: its answer says why.
        match (&stream).write_all(&line) {
            Err(error) if !is_closed(&error) => return Err(self.broken(&error)),
            _ => {}
        }
        Ok(Replies { socket: self.socket.clone(), reader: BufReader::new(stream) })
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        let socket = self.socket.display();
        match error.kind() {
            io::ErrorKind::NotFound => Failure::no(format!("no daemon here: {socket} does not exist"))
                .hint("start one with `geminus run --config FILE`, or name its --runtime-dir"),
            io::ErrorKind::ConnectionRefused => Failure::no(format!(
                "nobody listens on {socket}: the daemon died"
            ))
            .hint("start it again with `geminus run --config FILE`; traffic flows on until its lease ends"),
            io::ErrorKind::PermissionDenied => Failure::no(format!("permission denied on {socket}"))
                .hint("run as root, or join the group that owns the socket"),
            _ => {
                Failure::no(format!("cannot connect to {socket}: {error}")).hint("name another with --socket")
            }
        }
    }

    fn broken(&self, error: &io::Error) -> Failure {
        broken(&self.socket, error)
    }

    fn no_answer(&self) -> Failure {
        Failure::no(format!(
            "the daemon at {} closed the connection without an answer",
            self.socket.display()
        ))
        .hint("its log says why")
    }
}

impl Replies {
    /// The next reply; none when the daemon closed the connection. Without a patience it waits for as long as it takes.
    pub(crate) fn next(&mut self, patience: Option<Duration>) -> Result<Option<Outcome>, Failure> {
        self.reader.get_ref().set_read_timeout(patience).map_err(|error| broken(&self.socket, &error))?;
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(LONGEST_REPLY);
        let read = match limited.read_until(b'\n', &mut line) {
            // A daemon that dies resets the connection: the same end as a close.
            Err(error) if is_closed(&error) => 0,
            other => other.map_err(|error| broken(&self.socket, &error))?,
        };
        if read == 0 {
            return Ok(None);
        }
        parse(&line).map(|reply| Some(reply.outcome)).map_err(|refusal| refusal.failure(&self.socket))
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Why a line is no reply.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    OtherVersion(u32),
    NotAReply(String),
}

impl Refusal {
    fn failure(&self, socket: &Path) -> Failure {
        let socket = socket.display();
        match self {
            Self::OtherVersion(version) => {
                Failure::no(format!("the daemon speaks API version {version}, this geminus {VERSION}"))
                    .hint("use the geminus of the daemon's release, or restart the daemon with this one")
            }
            Self::NotAReply(why) => {
                Failure::no(format!("what listens on {socket} is no geminus daemon: {why}"))
                    .hint("name the right --socket")
            }
        }
    }
}

/// Reads the version first: another version may have another shape.
fn parse(line: &[u8]) -> Result<Reply, Refusal> {
    let refuse = |error: serde_json::Error| Refusal::NotAReply(error.to_string());
    let stamp: Stamp = serde_json::from_slice(line).map_err(refuse)?;
    if stamp.version != VERSION {
        return Err(Refusal::OtherVersion(stamp.version));
    }
    serde_json::from_slice(line).map_err(refuse)
}

fn broken(socket: &Path, error: &io::Error) -> Failure {
    let socket = socket.display();
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Failure::no(format!("the daemon at {socket} does not answer"))
                .hint("its log says what it is doing")
        }
        _ => Failure::no(format!("the connection to {socket} broke: {error}")).hint("its log says why"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_named_before_its_shape_is_judged() {
        assert_eq!(parse(br#"{"version":2,"novel":{}}"#).expect_err("refused"), Refusal::OtherVersion(2));
    }

    #[test]
    fn a_line_that_is_no_reply_is_refused() {
        for line in [&b"HTTP/1.1 400 Bad Request\n"[..], b"{}", b"{\"version\":1}", b"\xff\n"] {
            assert!(matches!(parse(line), Err(Refusal::NotAReply(_))), "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn a_field_of_a_later_minor_release_is_ignored() {
        let line = br#"{"version":1,"changed":{"changes":[],"later":true},"extra":1}"#;
        assert!(matches!(parse(line), Ok(Reply { outcome: Outcome::Changed(_), .. })));
    }
}
