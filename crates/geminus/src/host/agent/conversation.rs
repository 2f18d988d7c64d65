//! The talk with one dispatcher.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use geminus_core::agent::frame::LONGEST;
use geminus_core::agent::key_file::Key;
use geminus_core::agent::{Report, Speaker};
use geminus_core::director::Instant;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use super::told::Teller;

/// How long a dispatcher may say nothing before that is told: as long as it takes it to give an agent up.
const SILENT: Duration = Duration::from_secs(5);

/// Who asks for proof is answered at once, but not more often.
const AT_ONCE: Duration = Duration::from_millis(250);

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nothing is known.
    Begun,
    /// It believes this agent.
    Heard,
    /// It says nothing.
    Silent,
}

/// A socket that is connected to the dispatcher, and who speaks through it.
#[derive(Debug)]
struct Line {
    socket: UdpSocket,
    speaker: Speaker,
    host: IpAddr,
}

/// One dispatcher, and how it stands with it.
#[derive(Debug)]
pub(super) struct Conversation {
    dispatcher: SocketAddr,
    own: Option<IpAddr>,
    key: Key,
    session: u64,
    line: Option<Line>,
    standing: Standing,
    /// Since when it stands so, or when it last believed a report.
    since: Instant,
    /// Why nothing could be sent, as it was told.
    told: Option<String>,
    proved: Option<Instant>,
    rival: bool,
    /// It has said that reports are too far apart.
    seldom: bool,
    /// The first report that said that the host leaves.
    leaving: Option<u64>,
    knows: bool,
    newest: u64,
}

/// Something came from a dispatcher, or a report came to nobody.
#[derive(Debug)]
pub(super) struct Heard {
    /// Which conversation.
    pub(super) which: usize,
    frame: io::Result<Vec<u8>>,
}

/// Waits until a dispatcher says something.
pub(super) async fn hear(conversations: &mut [Conversation]) -> Heard {
    poll_fn(|context| {
        for (which, conversation) in conversations.iter().enumerate() {
            let Some(line) = &conversation.line else { continue };
            let mut bytes = [0; LONGEST + 1];
            let mut buffer = ReadBuf::new(&mut bytes);
            if let Poll::Ready(outcome) = line.socket.poll_recv(context, &mut buffer) {
                let frame = outcome.map(|()| buffer.filled().to_vec());
                return Poll::Ready(Heard { which, frame });
            }
        }
        Poll::Pending
    })
    .await
}

impl Conversation {
    pub(super) fn new(dispatcher: SocketAddr, own: Option<IpAddr>, key: Key, session: u64) -> Self {
        Self {
            dispatcher,
            own,
            key,
            session,
            line: None,
            standing: Standing::Begun,
            since: Instant::START,
            told: None,
            proved: None,
            rival: false,
            seldom: false,
            leaving: None,
            knows: false,
            newest: 0,
        }
    }

    pub(super) const fn dispatcher(&self) -> SocketAddr {
        self.dispatcher
    }

    /// The address this host is known by.
    pub(super) fn host(&self) -> Option<IpAddr> {
        self.line.as_ref().map(|line| line.host)
    }

    /// Whether somebody else reports for this host.
    pub(super) const fn has_rival(&self) -> bool {
        self.rival
    }

    /// From now on reports say that the host leaves.
    pub(super) const fn begin_leaving(&mut self) {
        self.leaving = Some(self.newest + 1);
    }

    /// Whether the dispatcher has believed that it leaves.
    pub(super) const fn knows_of_leaving(&self) -> bool {
        self.knows
    }

    /// Says it, if that can be done now.
    pub(super) fn say(&mut self, report: &Report, now: Instant, teller: &Teller) {
        if let Err(why) = self.send(report) {
            self.trouble(why, now, teller);
        }
        if self.standing != Standing::Silent && now.since(self.since) >= SILENT {
            self.standing = Standing::Silent;
            if self.told.is_none() {
                let (at, host) = (self.dispatcher, self.known_by());
                teller.warn(&format!(
                    "{at} does not answer: is it there, has it the same key, and is {host} a server of its site"
                ));
            }
        }
    }

    fn known_by(&self) -> String {
        self.host().map_or_else(|| "this host".to_owned(), |host| host.to_string())
    }

    fn send(&mut self, report: &Report) -> Result<(), String> {
        if self.line.is_none() {
            self.line = Some(self.open()?);
            // Every line has a session, and counts for itself.
            self.session = self.session.wrapping_add(1).max(1);
            self.leaving = self.leaving.map(|_| 1);
        }
        let Some(line) = &mut self.line else { return Ok(()) };
        let (counter, frame) = line.speaker.seal(report);
        self.newest = counter;
        match line.socket.try_send(&frame) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => {
                self.note_broken(&error);
                Err(in_words(&error))
            }
        }
    }

    /// The way, or the own address, may be another now; a dispatcher that is not there yet needs no other line.
    fn note_broken(&mut self, error: &io::Error) {
        if error.kind() != io::ErrorKind::ConnectionRefused {
            self.line = None;
        }
    }

    fn open(&self) -> Result<Line, String> {
        let any: IpAddr = if self.dispatcher.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let own = self.own.unwrap_or(any);
        let open = || -> io::Result<std::net::UdpSocket> {
            let socket = std::net::UdpSocket::bind((own, 0))?;
            socket.connect(self.dispatcher)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let socket = open().map_err(|error| in_words(&error))?;
        let host = socket.local_addr().map_err(|error| in_words(&error))?.ip().to_canonical();
        let key = self.key.of_host(host).ok_or_else(|| format!("the key file holds no key of {host}"))?;
        let socket = UdpSocket::from_std(socket).map_err(|error| in_words(&error))?;
        Ok(Line { socket, speaker: Speaker::new(&key, host, self.session), host })
    }

    fn trouble(&mut self, why: String, now: Instant, teller: &Teller) {
        if self.told.as_ref() != Some(&why) {
            teller.warn(&format!("{} cannot be told: {why}", self.dispatcher));
            self.told = Some(why);
        }
        if self.standing == Standing::Heard {
            self.standing = Standing::Begun;
            self.since = now;
        }
    }

    /// Takes in what came; whether it is to be answered at once.
    pub(super) fn hear(&mut self, heard: &Heard, now: Instant, teller: &Teller) -> bool {
        let frame = match &heard.frame {
            Ok(frame) => frame,
            Err(error) => {
                self.note_broken(error);
                self.trouble(in_words(error), now, teller);
                return false;
            }
        };
        let Some(answer) = self.line.as_mut().and_then(|line| line.speaker.open(frame)) else { return false };
        self.told = None;
        self.note_rival(answer.other, teller);
        self.note_seldom(answer.seldom, teller);
        if !answer.accepted {
            let rested = self.proved.is_none_or(|then| now.since(then) >= AT_ONCE);
            if rested {
                self.proved = Some(now);
            }
            return rested;
        }
        self.since = now;
        if self.leaving.is_some_and(|first| answer.counter >= first) {
            self.knows = true;
        }
        if self.standing != Standing::Heard {
            self.standing = Standing::Heard;
            teller.tell("heard", &format!("{} hears {}", self.dispatcher, self.known_by()));
        }
        false
    }

    fn note_rival(&mut self, other: bool, teller: &Teller) {
        if other && !self.rival {
            let host = self.known_by();
            teller.warn(&format!("another agent reports for {host} too: stop one of them"));
        }
        self.rival = other;
    }
}

impl Conversation {
    fn note_seldom(&mut self, seldom: bool, teller: &Teller) {
        if seldom && !self.seldom {
            teller.warn(&format!(
                "{} takes this agent for lost when one report is: \
                 use a shorter --interval, or a longer timeout in [agents] there",
                self.dispatcher
            ));
        }
        self.seldom = seldom;
    }
}

/// The words of an error without its number.
fn in_words(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return "nobody hears agents there: see enabled and port of [agents]".to_owned();
    }
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
