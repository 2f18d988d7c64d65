//! Servers that are up and mean harm to whoever checks them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::site::Machine;
use crate::traffic::Stop;
use crate::undo::lock;

/// How often it looks whether anything has changed.
const LOOK: Duration = Duration::from_millis(2);

/// What it does to whoever connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Bytes that are no protocol, as fast as they are taken.
    Garbage,
    /// A status line, then one byte a second.
    Dribble,
    /// A status line, then headers without an end.
    Headers,
    /// A good header, then a gigabyte.
    Body,
}

impl Manner {
    const fn first(self) -> &'static [u8] {
        match self {
            Self::Garbage => b"",
            Self::Dribble | Self::Headers => b"HTTP/1.1 200 OK\r\n",
            Self::Body => b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n",
        }
    }

    const fn pause(self) -> Duration {
        match self {
            Self::Dribble => Duration::from_secs(1),
            Self::Garbage | Self::Headers | Self::Body => Duration::ZERO,
        }
    }

    fn piece(self) -> Vec<u8> {
        match self {
            Self::Garbage => vec![0xff; 4096],
            Self::Dribble => vec![b'a'],
            Self::Headers => b"A: b\r\n".repeat(600),
            Self::Body => vec![b'x'; 4096],
        }
    }
}

/// A hostile server on one host.
#[derive(Debug)]
pub struct Hostile {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
    lives: Arc<Mutex<Vec<Duration>>>,
}

impl Hostile {
    /// Begins to listen on a port of a host, in both families.
    ///
    /// # Errors
    /// When somebody else listens there.
    pub fn start(host: &Machine, port: u16, manner: Manner) -> Result<Self> {
        // A socket of IPv6 takes IPv4 as well where nobody says otherwise.
        let bind = || Ok(TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?);
        let listener =
            host.namespace.inside(bind).with_context(|| format!("port {port} of {} is taken", host.name))?;
        listener.set_nonblocking(true)?;
        let (stop, lives) = (Arc::new(Stop::default()), Arc::default());
        let thread = {
            let (stop, lives) = (Arc::clone(&stop), Arc::clone(&lives));
            std::thread::spawn(move || receive(&listener, manner, &stop, &lives))
        };
        Ok(Self { stop, thread: Some(thread), lives })
    }

    /// How long each connection lived that has ended and on which something was asked; others only looked whether the port
    /// is open.
    pub fn lives(&self) -> Vec<Duration> {
        lock(&self.lives).clone()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.stop.tell();
        // A panic there has already been printed, and dropping has nobody to tell.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn receive(listener: &TcpListener, manner: Manner, stop: &Arc<Stop>, lives: &Arc<Mutex<Vec<Duration>>>) {
    while !stop.told() {
        match listener.accept() {
            Ok((stream, _)) => {
                let (stop, lives) = (Arc::clone(stop), Arc::clone(lives));
                std::thread::spawn(move || {
                    let begun = Instant::now();
                    let mut asked = false;
                    // However it ends, the other side ended it, or this one is over.
                    drop(harm(&stream, manner, &stop, &mut asked));
                    if asked {
                        lock(&lives).push(begun.elapsed());
                    }
                });
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

/// Says what there is to say, without heeding anything, until the other side has had enough. `asked`: whether that
/// has said anything.
fn harm(mut stream: &TcpStream, manner: Manner, stop: &Stop, asked: &mut bool) -> std::io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let piece = manner.piece();
    let mut said = manner.first().to_vec();
    let mut next = Instant::now() + manner.pause();
    let mut heard = [0; 512];
    while !stop.told() {
        match stream.read(&mut heard) {
            Ok(0) => return Ok(()),
            Ok(_) => *asked = true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if said.is_empty() && Instant::now() >= next {
            said.extend_from_slice(&piece);
            next += manner.pause();
        }
        match stream.write(&said) {
            Ok(taken) => drop(said.drain(..taken)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}
