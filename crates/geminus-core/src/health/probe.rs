//! The seam between whoever decides and whoever asks: one check to be made, and what came of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::watch::ANSWER_GRACE;
use crate::model::{Advisor, Protocol};

/// What is checked: equal targets are checked once, however many services have them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The server's own address.
    pub server: IpAddr,
    /// The cluster addresses that it is checked by, in turn; empty: by its own.
    pub addresses: Vec<IpAddr>,
    /// The port.
    pub port: u16,
    /// The transport protocol of the service: what [`Advisor::Dns`] goes over.
    pub protocol: Protocol,
    /// What is said, and what has to be answered.
    pub advisor: Advisor,
    /// How long a TCP handshake may take.
    pub connect: Duration,
    /// How long all of it may take.
    pub timeout: Duration,
}

/// Whoever asks looks at a handshake's end no later than this after it. Later, it did not run at the time, and an answer that
/// waits to be seen would be taken for none.
const LOOKED_LATE: Duration = Duration::from_millis(100);

impl Target {
    /// Whether whoever asked did not run meanwhile, and looked too late to know.
    pub(super) fn was_late(&self, reading: &Reading) -> bool {
        let most = match &reading.outcome {
            Err(Fault { kind: FaultKind::ConnectTimeout, .. }) => {
                self.connect.min(self.timeout) + LOOKED_LATE
            }
            _ => self.timeout + ANSWER_GRACE,
        };
        reading.took > most
    }
}

/// One check to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Counts up; no two probes of one daemon have the same.
    pub number: u64,
    /// What is checked.
    pub target: Arc<Target>,
    /// The cluster address that it is checked by this time; none: the server's own. If the server is this very machine, by
    /// the local stack.
    pub by: Option<IpAddr>,
}

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// [`Probe::number`].
    pub number: u64,
    /// How long it took.
    pub took: Duration,
    /// What was found.
    pub outcome: Result<Good, Fault>,
}

/// A check that found all well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Good {
    /// Seconds until the certificate that was shown expires, negative if it has; none: no certificate.
    pub certificate: Option<i64>,
}

/// A check that did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// In words, one line, at most 200 bytes, without control characters: what was expected and what came.
    pub words: String,
}

/// Why a check failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultKind {
    /// The TCP handshake did not come about in time.
    ConnectTimeout,
    /// The port is closed.
    Refused,
    /// The host or its network says that it cannot be reached, or ARP finds nobody.
    Unreachable,
    /// Connected, and then nothing that was expected in time.
    Timeout,
    /// Reset or closed before everything was said.
    Closed,
    /// What came is not the protocol, or more than anybody has to read.
    Garbage,
    /// The protocol, but not the answer that was expected.
    Unexpected,
    /// TLS did not come about.
    Tls,
    /// The program of an `exec` check could not be started, or ended otherwise than with 0.
    Exec,
    /// The check could not be made for a reason of this machine's own; says nothing of the server.
    Own,
}

/// A check by the clients' road fails, or it is time to look: what is wrong with the server's set-up?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What failed, or is looked at.
    pub target: Arc<Target>,
    /// The cluster address in question.
    pub by: IpAddr,
    /// Whether the check by the clients' road failed; else only silence on ARP and neighbour solicitation is looked at.
    pub failed: bool,
}

/// What a second look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Diagnosis {
    /// Nothing: silent on ARP, and what failed is not the set-up.
    Nothing,
    /// The host answers the plain way but takes nothing for the cluster address: it is not on `lo`, or its packets are
    /// filtered (`rp_filter`, a firewall), or no route leads back from it.
    NoAddress,
    /// The host takes packets for the cluster address, but the service listens on other addresses only.
    NotBound,
    /// The host answers ARP or neighbour solicitation for the cluster address: `arp_ignore` is not set.
    AnswersArp,
    /// The cluster address answers echo by the clients' road and the service does the plain way, but the service does not by
    /// the clients' road: a filter.
    Filtered,
    /// Neither road works, but the host answers ARP: the service is down.
    ServiceDown,
    /// The host does not answer at all.
    HostDown,
}

impl Diagnosis {
    /// The word used in output and events.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "well",
            Self::NoAddress => "no-address",
            Self::NotBound => "not-bound",
            Self::AnswersArp => "answers-arp",
            Self::Filtered => "filtered",
            Self::ServiceDown => "service-down",
            Self::HostDown => "host-down",
        }
    }
}

impl FaultKind {
    /// Whether not even the host was heard.
    pub(super) const fn is_silence(self) -> bool {
        matches!(self, Self::ConnectTimeout | Self::Unreachable)
    }

    /// The word used in output and events.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ConnectTimeout => "connect-timeout",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Garbage => "garbage",
            Self::Unexpected => "unexpected",
            Self::Tls => "tls",
            Self::Exec => "exec",
            Self::Own => "own",
        }
    }
}
