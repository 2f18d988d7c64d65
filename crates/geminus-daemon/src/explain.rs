//! `explain`: what becomes of one packet, in words.

use std::net::SocketAddr;

use geminus_api::{ApiError, ExplainQuery, Explanation, Path};
use geminus_core::director::{Director, ServerView, WeightView, WishesView};
use geminus_core::ha;
use geminus_core::model::{Cluster, MAIN_POOL, Ports, Protocol, Service};
use geminus_core::plan::{server_identity, service_identity};
use geminus_dataplane::Question;
use geminus_packet::verdict::{Kind, Verdict};
use geminus_packet::wire::number;

use crate::plane::Plane;
use crate::status;

/// Runs the packet through both homes of the packet path and tells what they did.
pub(crate) fn explain(
    director: &Director,
    plane: &mut Plane,
    query: &ExplainQuery,
) -> Result<Explanation, ApiError> {
    let question = question(query)?;
    let asked = plane.data().explain(&question).map_err(|error| ApiError {
        message: format!("the program cannot be asked: {error}"),
        hint: Some("geminus status says what is loaded".to_owned()),
        details: Vec::new(),
    })?;
    let mut steps = destination_steps(director, plane, query);
    steps.extend(verdict_steps(director, plane, asked.kernel));
    if asked.kernel != asked.host {
        steps.push("the program in the kernel and the same code in the daemon disagree".to_owned());
    } else if !asked.same_bytes {
        steps.push("both decide the same, but leave different bytes in the packet".to_owned());
    }
    Ok(Explanation {
        kernel: path(director, plane, asked.kernel),
        host: path(director, plane, asked.host),
        steps,
    })
}

fn question(query: &ExplainQuery) -> Result<Question, ApiError> {
    let refused =
        |message: String, hint: &str| ApiError { message, hint: Some(hint.to_owned()), details: Vec::new() };
    let (source, destination) = (query.source, query.destination);
    if source.is_ipv4() != destination.is_ipv4() {
        let message = format!("{source} and {destination} are of different families");
        return Err(refused(message, "give two IPv4 or two IPv6 addresses"));
    }
    let protocol = match (query.protocol.as_str(), source.is_ipv4()) {
        ("tcp", _) => number::TCP,
        ("udp", _) => number::UDP,
        ("icmp", true) => number::ICMP,
        ("icmp", false) => number::ICMPV6,
        (other, _) => {
            return Err(refused(format!("no packet of protocol {other:?} can be made"), "tcp, udp or icmp"));
        }
    };
    Ok(Question { protocol, source, destination, first: query.first })
}

fn destination_steps(director: &Director, plane: &mut Plane, query: &ExplainQuery) -> Vec<String> {
    let what = match (query.protocol.as_str(), query.first) {
        ("tcp", true) => "the first packet (SYN) of a TCP connection".to_owned(),
        ("tcp", false) => "a later packet (ACK) of a TCP connection".to_owned(),
        ("icmp", _) => "an echo request".to_owned(),
        (other, _) => format!("a {other} packet"),
    };
    let (source, destination) = (query.source, query.destination);
    let ends = if query.protocol == "icmp" {
        format!("from {} to {}", source.ip(), destination.ip())
    } else {
        format!("from {source} to {destination}")
    };
    let mut steps = vec![format!("{what} {ends}")];
    let cluster =
        director.site().clusters.iter().find(|cluster| cluster.addresses.contains(&destination.ip()));
    let Some(cluster) = cluster else {
        steps.push(format!("{} is no cluster address", destination.ip()));
        return steps;
    };
    let standing = director.standing(cluster);
    let left = plane.lease_of(standing.group);
    let state = match (standing.standing, standing.role) {
        (ha::Standing::Active, _) => format!("active for it for another {:.1} s", left.as_secs_f64()),
        (ha::Standing::Yielding, _) => {
            format!("giving it up and forwards what still comes for another {:.1} s", left.as_secs_f64())
        }
        (standing, Some(_)) => format!("{} for it and does not forward", standing.word()),
        (_, None) => "not one of its nodes".to_owned(),
    };
    let partner = match (&standing.partner, standing.partner_standing) {
        (Some(partner), Some(ha::Standing::Active)) => format!("; {partner} is active for it"),
        (Some(partner), Some(theirs)) => format!("; {partner} is {}", theirs.word()),
        (Some(partner), None) => format!("; {partner} is not heard"),
        (None, _) => String::new(),
    };
    steps.push(format!(
        "{} is an address of cluster {}; this node is {state}, because {}{partner}",
        destination.ip(),
        cluster.name,
        standing.because
    ));
    if query.protocol != "icmp" {
        let service = service_for(&cluster.services, &query.protocol, destination);
        match service {
            Some(service) => {
                let servers = service.servers.len();
                let (protocol, ports) = (service.protocol.word(), service.ports);
                steps.push(format!("service {protocol} {ports} takes it; it has {servers} servers"));
                steps.extend(pool_step(director, cluster, service, source.ip()));
            }
            None => {
                let port = destination.port();
                steps.push(format!("no service of the cluster takes {} port {port}", query.protocol));
            }
        }
    }
    steps
}

/// Of which pool a new flow of the client gets a server; nothing where there is one pool.
fn pool_step(
    director: &Director,
    cluster: &Cluster,
    service: &Service,
    client: std::net::IpAddr,
) -> Option<String> {
    if service.pools.is_empty() {
        return None;
    }
    let view = director.pool_view(service_identity(cluster, service))?;
    let name = |pool: u8| match status::pool_name(service, pool) {
        MAIN_POOL => "the main pool".to_owned(),
        name => format!("pool {name}"),
    };
    let in_force = name(view.in_force);
    let why = if view.because.is_empty() { String::new() } else { format!(", because {}", view.because) };
    let Some((prefix, pool)) = service.pool_of_client(client) else {
        return Some(format!("new flows of its client go to {in_force}{why}"));
    };
    let usable = |pool: u8| {
        let of_pool = service.servers.iter().filter(|server| server.pool == pool);
        let weight = |server| {
            director.server_view(server_identity(cluster, service, server)).map(|view| view.weight.in_force)
        };
        of_pool.filter_map(weight).any(|weight| weight > 0)
    };
    let given = format!("a rule gives its client, of {prefix}, {}", name(pool));
    Some(match service.stand_in(pool, view.in_force, usable) {
        Some(stand_in) => {
            format!("{given}; no server of that gets new flows, so {} stands in", name(stand_in))
        }
        None if usable(pool) => given,
        None => format!("{given}; no server of that gets new flows, and nobody stands in"),
    })
}

/// An exact port wins over a range, and a range over any.
fn service_for<'a>(services: &'a [Service], protocol: &str, destination: SocketAddr) -> Option<&'a Service> {
    let port = destination.port();
    let fits = |service: &&Service| match (service.protocol, protocol) {
        (Protocol::Tcp, "tcp") | (Protocol::Udp, "udp") => match service.ports {
            Ports::Exact(exact) => exact == port,
            Ports::Range(first, last) => (first..=last).contains(&port),
            Ports::Any => true,
        },
        _ => false,
    };
    services.iter().filter(fits).min_by_key(|service| match service.ports {
        Ports::Exact(_) => 0,
        Ports::Range(..) => 1,
        Ports::Any => 2,
    })
}

fn verdict_steps(director: &Director, plane: &mut Plane, verdict: Verdict) -> Vec<String> {
    let meaning = verdict.reason().map_or("a reason this daemon does not know", |reason| reason.meaning);
    let done = match verdict.kind() {
        Kind::Pass | Kind::Local => "it is left to this machine's own stack",
        Kind::Drop => "it is dropped",
        Kind::Answer => "it is answered in place",
        Kind::Forward => "it is forwarded",
    };
    let mut steps = vec![format!("{done}: {meaning}")];
    if matches!(verdict.kind(), Kind::Forward | Kind::Local) {
        steps.extend(server_step(director, plane, verdict));
        let place = plane.data().place(verdict.target().server).cloned();
        let found = place.and_then(|place| status::at(director.site(), &place));
        let view = found.and_then(|(cluster, service, server)| {
            director.server_view(server_identity(cluster, service, server))
        });
        steps.extend(view.as_ref().map(standing_step));
    }
    steps
}

/// How the server is, and what made its weight.
fn standing_step(view: &ServerView) -> String {
    let WeightView { in_force, unit, configured, ordered, managed, wishes, slow_start } = view.weight;
    let of_unit = |weight: u16| f64::from(weight) / f64::from(unit.max(1));
    let WishesView { active, new, latency, load } = wishes;
    let inputs = [("active flows", active), ("new flows", new), ("latency", latency), ("load", load)];
    let wished: Vec<_> =
        inputs.iter().filter_map(|(name, wish)| Some(format!("{name} {:.2}", (*wish)?))).collect();
    let words = [
        Some(format!("it is {}; its weight is {:.2}", view.state.word(), of_unit(in_force))),
        Some(format!("by configuration {configured}")),
        ordered.map(|weight| format!("by order {weight}")),
        managed.map(|weight| format!("by the manager {:.2}", of_unit(weight))),
        slow_start.map(|percent| format!("at {percent} % while it starts slowly")),
        (!wished.is_empty()).then(|| format!("the manager's inputs wish for: {}", wished.join(", "))),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn server_step(director: &Director, plane: &mut Plane, verdict: Verdict) -> Option<String> {
    let target = verdict.target();
    let place = plane.data().place(target.server)?.clone();
    let (cluster, service, server) = status::at(director.site(), &place)?;
    let wish = director.overrides().get(server_identity(cluster, service, server));
    let draining = if wish.weight_of(server) == 0 { ", which gets no new flows," } else { "" };
    let to = format!("server {} ({}){draining}", server.name, server.address);
    let reach = director.reach(server.address);
    Some(match (verdict.kind(), reach) {
        (Kind::Local, _) => format!("{to} is this machine"),
        (_, Some(geminus_core::neighbour::Reach::Neighbour { mac, .. })) => {
            format!("{to} gets it at {mac}, out of interface {}", target.interface)
        }
        (_, _) => format!("{to} gets it out of interface {}", target.interface),
    })
}

fn path(director: &Director, plane: &mut Plane, verdict: Verdict) -> Path {
    let word = match verdict.kind() {
        Kind::Pass | Kind::Local => "pass",
        Kind::Drop => "drop",
        Kind::Answer => "answer",
        Kind::Forward => "forward",
    };
    let server = match verdict.kind() {
        Kind::Forward | Kind::Local => plane
            .data()
            .place(verdict.target().server)
            .and_then(|place| status::at(director.site(), place))
            .map(|(_, _, server)| server.name.clone()),
        Kind::Pass | Kind::Drop | Kind::Answer => None,
    };
    let reason =
        verdict.reason().map_or_else(|| format!("{:?}", verdict.counter()), |reason| reason.name.to_owned());
    Path { verdict: word.to_owned(), reason, server }
}

#[cfg(test)]
mod tests {
    use geminus_core::director::{Instant, ServerState};

    use super::*;

    fn view(weight: WeightView) -> ServerView {
        ServerView {
            state: ServerState::Up,
            since: Instant::START,
            reason: String::new(),
            latency: None,
            weight,
            active: None,
            rate: None,
            load: None,
            load_parts: Vec::new(),
            findings: Vec::new(),
            certificate: None,
            readings: 0,
            deadline: None,
        }
    }

    #[test]
    fn the_way_of_a_packet_ends_with_what_made_the_weight() {
        let plain = WeightView {
            in_force: 10,
            unit: 1,
            configured: 10,
            ordered: None,
            managed: None,
            wishes: WishesView::default(),
            slow_start: None,
        };
        assert_eq!(standing_step(&view(plain)), "it is up; its weight is 10.00, by configuration 10");
        let wishes = WishesView { active: Some(8.3), latency: Some(9.125), ..WishesView::default() };
        let managed = WeightView { in_force: 842, unit: 100, managed: Some(842), wishes, ..plain };
        assert_eq!(
            standing_step(&view(managed)),
            "it is up; its weight is 8.42, by configuration 10, by the manager 8.42, the manager's inputs wish for: \
             active flows 8.30, latency 9.12"
        );
        let slow = WeightView { ordered: Some(20), slow_start: Some(30), ..plain };
        let words = standing_step(&view(slow));
        assert!(
            words.ends_with("by configuration 10, by order 20, at 30 % while it starts slowly"),
            "{words}"
        );
    }
}
