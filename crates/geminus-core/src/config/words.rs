//! Checks, rules and lists in words: for the lines of a site, and for what a reload has changed.

use super::quantity::duration_text;
use super::text::bytes_text;
use crate::model::{Advisor, Check, Condition, Http, MAIN_POOL, Prefix, Rule, Service, Window};

/// A check, with everything about it; two checks have the same words only if they are the same.
pub(crate) fn check(check: Option<&Check>) -> String {
    let Some(check) = check else { return "none".to_string() };
    let Check { advisor, via, port, interval, fast_interval, connect, timeout, fall, rise } = check;
    let mut words = self::advisor(advisor);
    words += &format!(" via {}", via.word());
    if let Some(port) = port {
        words += &format!(", port {port}");
    }
    let times = [
        ("interval", interval),
        ("fast_interval", fast_interval),
        ("connect", connect),
        ("timeout", timeout),
    ];
    for (name, time) in times {
        words += &format!(", {name} {}", duration_text(*time));
    }
    words + &format!(", fall {fall}, rise {rise}")
}

fn advisor(advisor: &Advisor) -> String {
    let word = advisor.word();
    match advisor {
        Advisor::Tls { name: Some(name) } => format!("{word} {name:?}"),
        Advisor::Http(asked) => format!("{word} {}", http(asked)),
        Advisor::Dns { name, record } => format!("{word} {name:?} {}", record.word()),
        Advisor::Udp { send, expect } => {
            let answer = expect.iter().map(|expect| format!(", answer \"{}\"", bytes_text(expect)));
            format!("{word} \"{}\"{}", bytes_text(send), answer.collect::<String>())
        }
        Advisor::Exec { command } => format!("{word} {command:?}"),
        Advisor::Tcp
        | Advisor::Tls { name: None }
        | Advisor::Smtp
        | Advisor::Imap
        | Advisor::Pop3
        | Advisor::Ftp
        | Advisor::Ldap
        | Advisor::Ssh
        | Advisor::Redis
        | Advisor::Postgres
        | Advisor::Mysql
        | Advisor::Ping => word.to_string(),
    }
}

fn http(asked: &Http) -> String {
    let Http { tls: _, h2, method, path, host, headers, expect, body } = asked;
    let expect: Vec<_> = expect.iter().map(|(first, last)| format!("{first}-{last}")).collect();
    let mut words = format!("{method} {path:?}, expect {}", expect.join(" "));
    if let Some(host) = host {
        words += &format!(", host {host:?}");
    }
    for (name, value) in headers {
        words += &format!(", header {name:?} {value:?}");
    }
    if let Some(body) = body {
        words += &format!(", body {body:?}");
    }
    if *h2 { words + ", h2" } else { words }
}

/// The name of a pool of a service.
pub(crate) fn pool(service: &Service, number: u8) -> &str {
    let further = usize::from(number).checked_sub(1);
    further.and_then(|place| service.pools.get(place)).map_or(MAIN_POOL, String::as_str)
}

/// A rule of a service.
pub(crate) fn rule(service: &Service, rule: &Rule) -> String {
    let when = match &rule.when {
        Condition::From(clients) => format!("from {}", prefixes(clients)),
        Condition::During(window) => format!("during {window}"),
        Condition::Active(bound) => format!("active {bound}"),
        Condition::Rate(bound) => format!("rate {bound}"),
    };
    format!("{when} to pool {}", pool(service, rule.pool))
}

/// Prefixes in a fixed order: which of them is first means nothing.
pub(crate) fn prefixes(prefixes: &[Prefix]) -> String {
    let mut sorted: Vec<_> = prefixes.to_vec();
    sorted.sort_unstable();
    listed(&sorted)
}

/// Times of maintenance.
pub(crate) fn windows(windows: &[Window]) -> String {
    listed(windows)
}

fn listed<T: std::fmt::Display>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
