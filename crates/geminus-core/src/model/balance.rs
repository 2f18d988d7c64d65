//! Balancing criteria: how servers are checked, weighed, put into pools and taken out of service.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Service;

/// How a server is checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Check {
    /// What is said to it, and what it has to say.
    pub advisor: Advisor,
    /// By which road.
    pub via: Via,
    /// Port that is checked; none: the service's own, which is exact.
    pub port: Option<u16>,
    /// Time between checks while nothing changes. Default 500 ms, 50 ms to 1 h.
    pub interval: Duration,
    /// Time between checks while a change is under way. Default half of `interval`.
    pub fast_interval: Duration,
    /// How long a TCP handshake may take, on the server's link. Default 300 ms.
    pub connect: Duration,
    /// How long the whole check may take. Default 1 s.
    pub timeout: Duration,
    /// Failed checks after which a server is down. Default 3, 1 to 100.
    pub fall: u32,
    /// Good checks after which it is up again. Default 2, 1 to 100.
    pub rise: u32,
}

impl Check {
    /// Dead within 1.6 s: half a second until it is noticed, and two more looks a quarter of a second apart, each given
    /// up after 300 ms.
    pub const fn new(advisor: Advisor) -> Self {
        Self {
            advisor,
            via: Via::Path,
            port: None,
            interval: Duration::from_millis(500),
            fast_interval: Duration::from_millis(250),
            connect: Duration::from_millis(300),
            timeout: Duration::from_secs(1),
            fall: 3,
            rise: 2,
        }
    }

    /// Dead within 350 ms.
    pub fn fast(advisor: Advisor) -> Self {
        Self {
            interval: Duration::from_millis(100),
            fast_interval: Duration::from_millis(50),
            connect: Duration::from_millis(75),
            timeout: Duration::from_millis(300),
            ..Self::new(advisor)
        }
    }
}

/// By which road a check goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Via {
    /// The clients': addressed to the cluster address, sent to the one server by the service's forwarding method.
    #[default]
    Path,
    /// Straight to the server's own address.
    Server,
}

/// A health probe of one protocol.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Advisor {
    /// A TCP connection comes about.
    Tcp,
    /// A TLS handshake comes about; a certificate about to expire is a warning.
    Tls {
        /// Server name asked for; none: no name is sent.
        name: Option<String>,
    },
    /// An HTTP answer is as expected.
    Http(Http),
    /// A name is resolved: over UDP or TCP, as the service's protocol says.
    Dns {
        /// The name asked for, as text.
        name: String,
        /// The record type asked for.
        record: DnsRecord,
    },
    /// A greeting of 220, and `EHLO` is answered.
    Smtp,
    /// An untagged greeting, `OK` or `PREAUTH`.
    Imap,
    /// A greeting of `+OK`.
    Pop3,
    /// A greeting of 220.
    Ftp,
    /// An anonymous bind is answered, whatever the result says of rights.
    Ldap,
    /// An identification string of protocol 2.0 or 1.99.
    Ssh,
    /// `PING` is answered, also by the demand to authenticate; not while data is loaded.
    Redis,
    /// A start-up message is answered by a demand for authentication, or by one of the errors that say it is alive.
    Postgres,
    /// A handshake packet of protocol 10.
    Mysql,
    /// A datagram is answered.
    Udp {
        /// What is sent.
        send: Vec<u8>,
        /// What the answer must contain; none: any answer is good.
        expect: Option<Vec<u8>>,
    },
    /// An echo request is answered.
    Ping,
    /// A program ends with 0: started without a shell, unprivileged, its output limited.
    Exec {
        /// Absolute path and arguments.
        command: Vec<String>,
    },
}

/// What an HTTP check asks and expects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Http {
    /// Whether it goes over TLS.
    pub tls: bool,
    /// Whether it is HTTP/2: with prior knowledge, or chosen by ALPN.
    pub h2: bool,
    /// The method. Default `GET`.
    pub method: String,
    /// The path, with its query.
    pub path: String,
    /// `Host`, and the name asked for in TLS; none: the cluster address.
    pub host: Option<String>,
    /// Further headers, in their order.
    pub headers: Vec<(String, String)>,
    /// Good status codes, first and last of each range. Default 200 to 399.
    pub expect: Vec<(u16, u16)>,
    /// What the first 16 KiB of the body must contain.
    pub body: Option<String>,
}

/// The record type that a DNS check asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DnsRecord {
    /// IPv4 address.
    #[default]
    A,
    /// IPv6 address.
    Aaaa,
    /// Mail exchange.
    Mx,
    /// Text.
    Txt,
    /// Name server.
    Ns,
    /// Start of authority.
    Soa,
}

impl DnsRecord {
    /// The word used in configuration and output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Mx => "MX",
            Self::Txt => "TXT",
            Self::Ns => "NS",
            Self::Soa => "SOA",
        }
    }
}

impl Via {
    /// The word used in configuration and output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Server => "server",
        }
    }
}

impl Advisor {
    /// The word used in configuration and output.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls { .. } => "tls",
            Self::Http(Http { tls: false, .. }) => "http",
            Self::Http(Http { tls: true, .. }) => "https",
            Self::Dns { .. } => "dns",
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Ftp => "ftp",
            Self::Ldap => "ldap",
            Self::Ssh => "ssh",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Udp { .. } => "udp",
            Self::Ping => "ping",
            Self::Exec { .. } => "exec",
        }
    }
}

/// What becomes of the flows of a server that is declared down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnDown {
    /// They go to another server, by the hash.
    #[default]
    Rehash,
    /// TCP flows stay with it; UDP flows and clients are released.
    Keep,
    /// Clients of TCP flows get a reset with their next segment; UDP flows and clients are released.
    Reset,
}

impl OnDown {
    /// The word used in configuration and output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rehash => "rehash",
            Self::Keep => "keep",
            Self::Reset => "reset",
        }
    }
}

/// Leading bits of addresses; bits behind them are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    /// The first address.
    pub address: IpAddr,
    /// How many leading bits count: 0 to 32 or 128.
    pub bits: u8,
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Prefix {
    /// Whether an address begins with it. No address of one family does with a prefix of the other.
    pub fn has(&self, address: IpAddr) -> bool {
        let differ = match (self.address, address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => (u32::from(one) ^ u32::from(other)).leading_zeros(),
            (IpAddr::V6(one), IpAddr::V6(other)) => (u128::from(one) ^ u128::from(other)).leading_zeros(),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        differ >= u32::from(self.bits)
    }
}

impl Service {
    /// The pool whose servers clients get that a rule gives to `pool`, while that has none that is `usable`: the one in force,
    /// else the sorry pool, whichever has one.
    pub fn stand_in(&self, pool: u8, in_force: u8, usable: impl Fn(u8) -> bool) -> Option<u8> {
        let by_client = |rule: &Rule| rule.pool == pool && matches!(rule.when, Condition::From(_));
        if usable(pool) || !self.rules.iter().any(by_client) {
            return None;
        }
        let candidates = [Some(in_force), self.sorry].into_iter().flatten();
        candidates.filter(|&other| other != pool).find(|&other| usable(other))
    }

    /// Whether clients of a pool come back to it: not to one that only stands in, for the sorry or the busy main one.
    pub fn keeps_clients(&self, pool: u8) -> bool {
        let of_pool = || self.rules.iter().filter(|rule| rule.pool == pool);
        let stands_in = self.sorry == Some(pool)
            || of_pool().any(|rule| matches!(rule.when, Condition::Active(_) | Condition::Rate(_)));
        let is_chosen = of_pool().any(|rule| matches!(rule.when, Condition::From(_) | Condition::During(_)));
        pool == 0 || is_chosen || !stands_in
    }

    /// The pool that a rule gives to a client, and the prefix that it has the client by: the longest, of equal ones the first.
    pub fn pool_of_client(&self, client: IpAddr) -> Option<(Prefix, u8)> {
        let mut best: Option<(Prefix, u8)> = None;
        for rule in &self.rules {
            let Condition::From(prefixes) = &rule.when else { continue };
            for &prefix in prefixes.iter().filter(|prefix| prefix.has(client)) {
                if best.is_none_or(|(longest, _)| prefix.bits > longest.bits) {
                    best = Some((prefix, rule.pool));
                }
            }
        }
        best
    }
}

/// A part of the week, in the local time of the dispatcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Days on which it begins: bit 0 is Monday. Never 0.
    pub days: u8,
    /// Minute of the day it begins at, 0 to 1 439.
    pub from: u16,
    /// Minute of the day it ends before, 0 to 1 440; not after `from`: on the next day.
    pub to: u16,
}

/// What configuration and output call the pool that has no name.
pub const MAIN_POOL: &str = "main";

/// The days of the week as configuration and output call them; bit 0 of [`Window::days`] is the first.
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl std::fmt::Display for Window {
    /// As the configuration reads it: `mon-fri 22:00-06:00`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let on = |day: usize| day < DAYS.len() && self.days & 1 << day != 0;
        if self.days & 0x7f == 0x7f {
            f.write_str("daily")?;
        } else {
            let mut separator = "";
            for first in (0..DAYS.len()).filter(|&day| on(day) && (day == 0 || !on(day - 1))) {
                let last = (first..DAYS.len()).take_while(|&day| on(day)).last().unwrap_or(first);
                match last - first {
                    0 => write!(f, "{separator}{}", DAYS[first])?,
                    1 => write!(f, "{separator}{},{}", DAYS[first], DAYS[last])?,
                    _ => write!(f, "{separator}{}-{}", DAYS[first], DAYS[last])?,
                }
                separator = ",";
            }
        }
        let (from, to) = (self.from, self.to);
        write!(f, " {:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

/// Which pool new flows go to. The first rule of a service that holds decides, those about clients before all others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// When it holds.
    pub when: Condition,
    /// Index of the pool in [`super::Service::pools`].
    pub pool: u8,
}

/// When a rule holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Condition {
    /// The client's address is in one of these prefixes; of several rules the longest prefix decides.
    From(Vec<Prefix>),
    /// It is this time.
    During(Window),
    /// The main pool has more than so many active flows, until it has fewer than nine tenths of that.
    Active(u64),
    /// The main pool gets more than so many new flows a second, until it gets fewer than nine tenths of that.
    Rate(u64),
}

/// How health is judged, site-wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Below so many percent of healthy weight in a pool, health is ignored there. Default 50; 0: never.
    pub panic_below: u8,
    /// How long a recovered server's weight grows from a tenth to the whole. Default 0: at once.
    pub slow_start: Duration,
    /// After the third change within this time a server is up again only once its checks were good for so long without a
    /// break, until it has not changed for twice as long. Default 30 s; 0: no damping.
    pub damping: Duration,
    /// Certificates that expire within so many days are warned of. Default 14.
    pub certificate_days: u16,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            panic_below: 50,
            slow_start: Duration::ZERO,
            damping: Duration::from_secs(30),
            certificate_days: 14,
        }
    }
}

/// How the manager turns readings into weights, site-wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manager {
    /// Time between two cycles. Default 2 s, 500 ms to 5 min.
    pub interval: Duration,
    /// How much each input counts: active flows, new flows, latency, reported load. Their sum is 100.
    pub proportions: [u8; 4],
    /// Percent that a weight must differ by before it is changed. Default 5, 0 to 100.
    pub sensitivity: u8,
    /// Hundredths: of the way from the old weight to the new, how slowly it is gone: 100 is at once, 200 half.
    /// Default 200, 100 to 1 000.
    pub smoothing: u16,
    /// A managed weight stays between the configured one divided and multiplied by this. Default 10, 1 to 100.
    pub bound: u16,
}

impl Default for Manager {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(2),
            proportions: [20, 10, 40, 30],
            sensitivity: 5,
            smoothing: 200,
            bound: 10,
        }
    }
}

/// How agents on content hosts are heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agents {
    /// Whether they are. Default: yes, where a key file is named.
    pub enabled: bool,
    /// UDP port on the node addresses. Default 4871.
    pub port: u16,
    /// How long after its last report an agent is lost. Default 5 s.
    pub timeout: Duration,
    /// File with the agents' secret; none: it is derived from the site's key.
    pub key_file: Option<PathBuf>,
}

impl Default for Agents {
    fn default() -> Self {
        Self { enabled: false, port: 4871, timeout: Duration::from_secs(5), key_file: None }
    }
}
