//! The check of a service, from the tree to the model.

use std::time::Duration;

use super::{duration, flag, number, text, word};
use crate::config::keys::ADVISORS;
use crate::config::read::{At, Node, Slot};
use crate::config::scalar::Scalar;
use crate::model::{Advisor, Check, DnsRecord, Http, Ports, Protocol, Via};

/// Good status codes where the file names none.
const EXPECTED: (u16, u16) = (200, 399);

/// Shortest time between two checks.
const SHORTEST: Duration = Duration::from_millis(50);

/// How the servers of a service are checked, or that they are not.
pub(super) fn check(service: &Node, protocol: Protocol, ports: Ports) -> Option<Option<Check>> {
    let Slot::Table(node) = service.slot("check") else {
        let is_default = protocol == Protocol::Tcp && matches!(ports, Ports::Exact(_));
        return Some(is_default.then(|| Check::new(Advisor::Tcp)));
    };
    let (name, _) = node.written().find(|(key, _)| ADVISORS.contains(key))?;
    if name == "none" {
        return Some(None);
    }
    let advisor = advisor(node, name)?;
    let via = match word(node, "via") {
        Some("server") => Via::Server,
        Some("path") => Via::Path,
        _ if name == "exec" => Via::Server,
        _ => Via::Path,
    };
    let port = match number(node, "port") {
        Some(port) => Some(port.try_into().ok()?),
        None => None,
    };
    let timed = timing(node)?;
    Some(Some(Check {
        via,
        port,
        advisor,
        fall: number(node, "fall").unwrap_or(timed.fall),
        rise: number(node, "rise").unwrap_or(timed.rise),
        ..timed
    }))
}

/// The times of a check: those of the profile, less those that the file says itself.
pub(in crate::config) fn timing(node: &Node) -> Option<Check> {
    let profile = match word(node, "profile") {
        None | Some("default") => Check::new(Advisor::Tcp),
        Some("fast") => Check::fast(Advisor::Tcp),
        _ => return None,
    };
    let interval = duration(node, "interval").unwrap_or(profile.interval);
    let (connect, timeout) = match (duration(node, "connect"), duration(node, "timeout")) {
        (Some(connect), Some(timeout)) => (connect, timeout),
        (Some(connect), None) => (connect, profile.timeout.max(connect)),
        (None, Some(timeout)) => (profile.connect.min(timeout), timeout),
        (None, None) => (profile.connect, profile.timeout),
    };
    let half = Duration::from_millis(u64::try_from(interval.as_millis() / 2).ok()?);
    let fast_interval = duration(node, "fast_interval").unwrap_or(half.max(SHORTEST));
    Some(Check { interval, fast_interval, connect, timeout, ..profile })
}

fn advisor(node: &Node, name: &str) -> Option<Advisor> {
    Some(match name {
        "tcp" => Advisor::Tcp,
        "tls" => Advisor::Tls { name: text(node, "host") },
        "http" | "https" => Advisor::Http(http(node, name)?),
        "dns" => Advisor::Dns { name: text(node, "dns")?, record: record(node)? },
        "smtp" => Advisor::Smtp,
        "imap" => Advisor::Imap,
        "pop3" => Advisor::Pop3,
        "ftp" => Advisor::Ftp,
        "ldap" => Advisor::Ldap,
        "ssh" => Advisor::Ssh,
        "redis" => Advisor::Redis,
        "postgres" => Advisor::Postgres,
        "mysql" => Advisor::Mysql,
        "udp" => Advisor::Udp { send: bytes(node, "udp")?, expect: bytes(node, "answer") },
        "ping" => Advisor::Ping,
        "exec" => match &node.one("exec")?.value {
            Scalar::Command(command) => Advisor::Exec { command: command.clone() },
            _ => return None,
        },
        _ => return None,
    })
}

fn http(node: &Node, name: &str) -> Option<Http> {
    let header = |value: &At<Scalar>| match &value.value {
        Scalar::Header(name, value) => Some((name.clone(), value.clone())),
        _ => None,
    };
    Some(Http {
        tls: name == "https",
        h2: flag(node, "h2").unwrap_or(false),
        method: text(node, "method").unwrap_or_else(|| "GET".to_owned()),
        path: text(node, name)?,
        host: text(node, "host"),
        headers: node.many("headers").iter().filter_map(header).collect(),
        expect: match node.one("expect") {
            Some(At { value: Scalar::Statuses(ranges), .. }) => ranges.clone(),
            _ => vec![EXPECTED],
        },
        body: text(node, "body"),
    })
}

fn record(node: &Node) -> Option<DnsRecord> {
    let Some(written) = word(node, "record") else { return Some(DnsRecord::A) };
    let all = [DnsRecord::A, DnsRecord::Aaaa, DnsRecord::Mx, DnsRecord::Txt, DnsRecord::Ns, DnsRecord::Soa];
    all.into_iter().find(|record| record.word() == written)
}

fn bytes(node: &Node, key: &str) -> Option<Vec<u8>> {
    match &node.one(key)?.value {
        Scalar::Bytes(bytes) => Some(bytes.clone()),
        _ => None,
    }
}
