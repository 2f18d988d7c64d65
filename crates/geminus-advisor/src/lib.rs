//! What advisors say to servers, and what servers have to answer.
//!
//! Each protocol is a [`Conversation`]: it is given the bytes that came and says what to send, and once it knows, whether
//! the server is well. It has no socket and no clock; whoever drives it has, and gives up when the time is over. It keeps at
//! most [`KEPT`] bytes, whatever a server sends. Read in this order: [`dialogue()`] (who says what over what), then any
//! protocol.
//!
//! Three laws hold for each of them, and are tested: any bytes end in a fault or in nothing, never in a panic; the same bytes
//! in other pieces end the same; what is told of a server is one line of printable ASCII.

mod certificate;
mod datagram;
mod dns;
mod greeting;
pub mod http;
mod ldap;
mod lines;
mod messages;
mod mysql;
mod postgres;
mod redis;
mod words;

use std::net::IpAddr;

pub use self::certificate::expires_in;
use geminus_core::health::{Fault, Good};
use geminus_core::model::{Advisor, Protocol};

/// The most bytes that a [`Conversation`] keeps of what came.
pub const KEPT: usize = 16 * 1_024;

/// One side of a dialogue, ours.
pub trait Conversation: Send {
    /// What is said first, appended to `out`; nothing where the server speaks first.
    fn begin(&mut self, out: &mut Vec<u8>);

    /// What came, in any pieces (of datagrams: one whole); what is answered is appended to `out`, also with [`Step::Done`]:
    /// a farewell, that is sent if it can be sent at once, and whose answer nobody awaits.
    fn hear(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Step;

    /// The server closed its side.
    ///
    /// # Errors
    /// A fault, if something is missing yet.
    fn closed(&mut self) -> Result<Good, Fault>;

    /// What is waited for, for the words of a fault of the driver's: nothing came in time, or a reset. Such as
    /// "a greeting of 220".
    fn awaits(&self) -> String;
}

/// How a conversation goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// More has to come.
    More,
    /// It is over, and nothing that comes yet changes that.
    Done(Result<Good, Fault>),
}

impl Step {
    /// All is well.
    const GOOD: Self = Self::Done(Ok(Good { certificate: None }));
}

impl From<Fault> for Step {
    fn from(fault: Fault) -> Self {
        Self::Done(Err(fault))
    }
}

/// What a dialogue goes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// A TCP connection.
    Tcp,
    /// TLS over a TCP connection. Without a conversation, the handshake is all.
    Tls {
        /// The server name asked for; none: no name is sent.
        name: Option<String>,
        /// The protocols offered by ALPN; none: the extension is left out.
        alpn: &'static [&'static [u8]],
    },
    /// UDP: each datagram is heard alone, and only from the address and port that were asked.
    Datagram,
    /// An echo request of ICMP or ICMPv6.
    Echo,
    /// A program.
    Program,
    /// HTTP/2, spoken by the driver: it sends [`http::Request`] and gives what comes to [`http::Judge`].
    H2 {
        /// TLS with ALPN `h2`, or else prior knowledge.
        tls: bool,
        /// The server name asked for in TLS; none: no name is sent.
        name: Option<String>,
    },
    /// A TCP handshake is all.
    ConnectOnly,
}

/// How an advisor talks.
pub struct Dialogue {
    /// Over what.
    pub transport: Transport,
    /// What is said; none where the transport coming about is all.
    pub conversation: Option<Box<dyn Conversation>>,
}

impl Dialogue {
    fn new(transport: Transport, conversation: impl Conversation + 'static) -> Self {
        Self { transport, conversation: Some(Box::new(conversation)) }
    }

    fn by_line(protocol: impl lines::Lined + 'static) -> Self {
        Self::new(Transport::Tcp, lines::ByLine::new(protocol))
    }

    fn by_message(protocol: impl messages::Framed + 'static) -> Self {
        Self::new(Transport::Tcp, messages::ByMessage::new(protocol))
    }

    const fn bare(transport: Transport) -> Self {
        Self { transport, conversation: None }
    }
}

/// How `advisor` talks.
///
/// `protocol` is the service's: DNS goes over either. `by` and `port` are what the server is asked by, for `Host`. `nonce`
/// is random: questions of DNS carry its low 16 bits.
pub fn dialogue(advisor: &Advisor, protocol: Protocol, by: IpAddr, port: u16, nonce: u64) -> Dialogue {
    match advisor {
        Advisor::Tcp => Dialogue::bare(Transport::ConnectOnly),
        Advisor::Tls { name } => Dialogue::bare(Transport::Tls { name: name.clone(), alpn: &[] }),
        Advisor::Http(check) => {
            let name = http::server_name(check);
            match (check.h2, check.tls) {
                (true, tls) => Dialogue::bare(Transport::H2 { tls, name }),
                (false, true) => Dialogue::new(
                    Transport::Tls { name, alpn: &[b"http/1.1"] },
                    http::Exchange::new(check, by, port),
                ),
                (false, false) => Dialogue::new(Transport::Tcp, http::Exchange::new(check, by, port)),
            }
        }
        Advisor::Dns { name, record } => match protocol {
            Protocol::Udp => Dialogue::new(Transport::Datagram, dns::OverUdp::new(name, *record, nonce)),
            Protocol::Tcp => Dialogue::new(Transport::Tcp, dns::OverTcp::conversation(name, *record, nonce)),
        },
        Advisor::Smtp => Dialogue::by_line(greeting::Smtp::default()),
        Advisor::Imap => Dialogue::by_line(greeting::Imap),
        Advisor::Pop3 => Dialogue::by_line(greeting::Pop3),
        Advisor::Ftp => Dialogue::by_line(greeting::Ftp::default()),
        Advisor::Ssh => Dialogue::by_line(greeting::Ssh),
        Advisor::Redis => Dialogue::by_line(redis::Redis),
        Advisor::Ldap => Dialogue::by_message(ldap::Ldap),
        Advisor::Postgres => Dialogue::by_message(postgres::Postgres),
        Advisor::Mysql => Dialogue::by_message(mysql::Mysql::default()),
        Advisor::Udp { send, expect } => {
            Dialogue::new(Transport::Datagram, datagram::Datagram::new(send, expect.as_deref()))
        }
        Advisor::Ping => Dialogue::bare(Transport::Echo),
        Advisor::Exec { .. } => Dialogue::bare(Transport::Program),
    }
}
