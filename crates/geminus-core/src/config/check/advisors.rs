//! What the keys of a check have to do with each other, and with the service that is checked.

use super::{conflict, number, text};
use crate::config::build;
use crate::config::finding::{FindingKind, Problem, Quoted, Report};
use crate::config::keys::ADVISORS;
use crate::config::quantity::duration_text;
use crate::config::read::{At, Node};
use crate::config::scalar::Scalar;
use crate::limits;
use crate::model::{Check, Ports};

const OF_HTTP: [&str; 2] = ["http", "https"];

/// Those that begin with a TCP connection, or may.
const OVER_TCP: [&str; 15] = [
    "tcp", "tls", "http", "https", "dns", "smtp", "imap", "pop3", "ftp", "ldap", "ssh", "redis", "postgres",
    "mysql", "none",
];

/// The advisors that a key belongs to; none: to all but `none`.
fn homes(key: &str) -> Option<&'static [&'static str]> {
    match key {
        "host" => Some(&["http", "https", "tls"]),
        "method" | "headers" | "h2" | "expect" | "body" => Some(&OF_HTTP),
        "record" => Some(&["dns"]),
        "answer" => Some(&["udp"]),
        "connect" => Some(&OVER_TCP),
        _ => None,
    }
}

/// Reports what is wrong with the check of a service.
pub(super) fn check(cluster: &str, service: &Node, report: &mut Report<'_>) {
    let Some(check) = service.table("check") else { return };
    let advisors: Vec<_> = check.written().filter(|(key, _)| ADVISORS.contains(key)).collect();
    match advisors[..] {
        [] => {
            let message = format!("the `check` of a service of cluster {} has no advisor", Quoted(cluster));
            let hint = "such as tcp = true, http = \"/health\" or none = true";
            report.error(check.at, FindingKind::Missing, Problem::new(message).hint(hint));
        }
        [(advisor, _)] => {
            strangers(advisor, check, report);
            port(advisor, service, check, report);
            road(advisor, check, report);
            times(check, report);
            body(check, report);
        }
        [(first, _), ref others @ ..] => {
            for (other, at) in others {
                let message = format!("a check by `{first}` and by `{other}`");
                let hint = "one of them: a service has one check".to_string();
                conflict(report, at.unwrap_or(check.at), message, hint);
            }
        }
    }
}

/// Keys that belong to another advisor.
fn strangers(advisor: &str, check: &Node, report: &mut Report<'_>) {
    for (key, at) in check.written().filter(|(key, _)| !ADVISORS.contains(key)) {
        let hint = match homes(key) {
            _ if advisor == "none" => "without `none`, or without everything else".to_string(),
            Some(homes) if !homes.contains(&advisor) => {
                let homes = homes.iter().filter(|home| **home != "none");
                let homes: Vec<_> = homes.map(|home| format!("`{home}`")).collect();
                format!("it belongs to {}", homes.join(", "))
            }
            _ if advisor == "ping" && key == "port" => "an echo request has none".to_string(),
            _ => continue,
        };
        conflict(report, at.unwrap_or(check.at), format!("`{key}` in a check by `{advisor}`"), hint);
    }
}

/// Who is asked at a port has to know which.
fn port(advisor: &str, service: &Node, check: &Node, report: &mut Report<'_>) {
    let has_own = check.written().any(|(key, _)| key == "port");
    if let Some(At { value: Scalar::Ports(ports @ (Ports::Range(..) | Ports::Any)), .. }) =
        service.one("port")
        && !has_own
        && !matches!(advisor, "ping" | "exec" | "none")
    {
        let problem =
            Problem::new(format!("a service of port {ports} has a check by `{advisor}` without a `port`"));
        report.error(check.at, FindingKind::Missing, problem.hint("add the one that is asked: port = 80"));
    }
}

fn road(advisor: &str, check: &Node, report: &mut Report<'_>) {
    if let Some(At { value: Scalar::Word("path"), at }) = check.one("via")
        && advisor == "exec"
    {
        let message = "a program cannot be sent by the clients' road".to_string();
        conflict(report, *at, message, "remove `via`: the program goes its own way".to_string());
    }
}

/// Times of which each is possible and which are not possible together.
fn times(check: &Node, report: &mut Report<'_>) {
    let Some(Check { interval, fast_interval, connect, timeout, .. }) = build::timing(check) else { return };
    let place = |keys: &[&str]| keys.iter().find_map(|key| check.one(key)).map_or(check.at, |value| value.at);
    if fast_interval > interval {
        let (fast_interval, interval) = (duration_text(fast_interval), duration_text(interval));
        let message = format!("`fast_interval` is {fast_interval}, and `interval` is {interval}");
        let hint = "the fast one is no longer than the other".to_string();
        conflict(report, place(&["fast_interval", "interval"]), message, hint);
    }
    if connect > timeout {
        let (connect, timeout) = (duration_text(connect), duration_text(timeout));
        let message = format!("`connect` is {connect}, and `timeout` is {timeout}");
        conflict(
            report,
            place(&["connect", "timeout"]),
            message,
            "`timeout` is for all of the check".to_string(),
        );
    }
}

/// RFC 9110 section 9.3.2: the answer to HEAD has no body.
fn body(check: &Node, report: &mut Report<'_>) {
    if let (Some(method), Some(body)) = (text(check, "method"), check.one("body"))
        && method.value == "HEAD"
    {
        let message = "`body` is looked for, and the answer to HEAD has none".to_string();
        conflict(report, body.at, message, "method = \"GET\"".to_string());
    }
}

/// Warns of more checks a second than a dispatcher is built for.
pub(super) fn pace(root: &Node, report: &mut Report<'_>) {
    let services = root.named("cluster").iter().flat_map(|(_, cluster)| cluster.list("service"));
    let (mut total, mut first_beyond) = (0, None);
    for service in services {
        total += a_second(service);
        if total > limits::CHECKS_A_SECOND && first_beyond.is_none() {
            first_beyond = Some(service.at);
        }
    }
    if let Some(at) = first_beyond {
        let problem = Problem::new(format!("the servers of the site are checked {total} times a second"));
        report.warn(at, problem.hint("a longer `interval`, or check = { none = true } where nobody looks"));
    }
}

/// Checks of a service in a second, rounded up.
fn a_second(service: &Node) -> u64 {
    let is_tcp = matches!(service.one("protocol"), Some(At { value: Scalar::Word("tcp"), .. }));
    let is_exact = matches!(service.one("port"), Some(At { value: Scalar::Ports(Ports::Exact(_)), .. }));
    let interval = match service.table("check") {
        Some(check) if check.written().any(|(key, _)| key == "none") => None,
        Some(check) => build::timing(check).map(|timing| timing.interval),
        None => (is_tcp && is_exact).then(|| Check::new(crate::model::Advisor::Tcp).interval),
    };
    let interval = interval.and_then(|interval| u64::try_from(interval.as_millis()).ok());
    let servers = super::all_servers(service)
        .filter(|server| number(server, "weight").is_none_or(|weight| weight.value > 0))
        .count() as u64;
    interval.map_or(0, |interval| (servers * 1000).div_ceil(interval.max(1)))
}
