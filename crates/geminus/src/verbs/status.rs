//! `geminus status`: the whole node on one page.

mod twin;

use geminus_api::{
    ClusterState, ClusterStatus, Counter, Fill, Outcome, Request, ServiceStatus, Standing, Status,
};

use crate::args::StatusArgs;
use crate::failure::{Exit, Failure};
use crate::figures::{share, span};
use crate::screen::{Look, Tone};
use crate::table::{Align, Cell, Page, Table};
use crate::verbs::{another_answer, ask, json_text, print};

/// Asks and prints.
pub(crate) fn run(args: &StatusArgs, look: Look) -> Result<Exit, Failure> {
    match ask(&args.daemon, Request::Status)? {
        Outcome::Status(status) if args.daemon.json => print(&json_text(&status)),
        Outcome::Status(status) => print(&render(&status, look)),
        other => Err(another_answer(&other)),
    }
}

/// The page for people.
pub(crate) fn render(status: &Status, look: Look) -> String {
    let mut page = Page::new(look);
    let pair = twin::is_of_a_pair(status);
    if pair {
        page.table(&twin::failover(status));
        page.gap();
    }
    node(status, &mut page);
    page.gap();
    page.table(&clusters(&status.clusters, pair));
    page.gap();
    if pair {
        twin::partners(status, &mut page);
        page.gap();
    }
    page.table(&services(&status.clusters, look));
    if !status.counters.is_empty() {
        page.gap();
        page.table(&counters(&status.counters, look));
    }
    page.into_text()
}

fn node(status: &Status, page: &mut Page) {
    let plane = &status.data_plane;
    let look = page.look();
    let mode = match plane.mode.as_str() {
        "native" => "native XDP".to_owned(),
        "generic" => "generic XDP (slower)".to_owned(),
        other => other.to_owned(),
    };
    let unit = if look.eyes { "" } else { " bytes" };
    let origin = if plane.adopted { ", adopted from an earlier daemon" } else { "" };
    let mut lines = vec![
        ("node", Cell::new(Tone::Strong, format!("{} {}", status.node, status.address))),
        (
            "daemon",
            format!("{}, pid {}, up {}", status.daemon_version, status.pid, span(status.uptime_seconds))
                .into(),
        ),
        ("config", format!("{}, digest {}", status.config, status.config_digest).into()),
        ("interface", format!("{}, {mode}", plane.interface).into()),
        ("program", format!("id {}, digest {}{origin}", plane.program_id, plane.program_digest).into()),
        ("memory", format!("{}{unit} of kernel tables", look.bytes(plane.memory_bytes)).into()),
        ("flows", fill(plane.flows, look)),
        ("half-open", fill(plane.provisional, look)),
        ("affinity", fill(plane.affinity, look)),
    ];
    lines.extend(twin::node_lines(status));
    page.labelled(&lines);
}

/// A table that is nearly full evicts: worth a look.
fn fill(fill: Fill, look: Look) -> Cell {
    let tone = if fill.used.saturating_mul(10) > fill.slots.saturating_mul(9) {
        Tone::Doubtful
    } else {
        Tone::Plain
    };
    let text = format!(
        "{} of {} slots ({})",
        look.count(fill.used),
        look.count(fill.slots),
        share(fill.used, fill.slots)
    );
    Cell::new(tone, text)
}

/// Where there is a partner, the role of each cluster goes first.
fn clusters(clusters: &[ClusterStatus], pair: bool) -> Table {
    let columns = ["CLUSTER", "STATE", "ROLE", "LEASE", "ADDRESSES", "BECAUSE"];
    let shown = |name: &&str| pair || *name != "ROLE";
    let columns: Vec<_> = columns.into_iter().filter(shown).map(|name| (name, Align::Left)).collect();
    let mut table = Table::new(&columns);
    for cluster in clusters {
        let addresses: Vec<String> = cluster.addresses.iter().map(ToString::to_string).collect();
        let mut row = vec![Cell::new(Tone::Strong, cluster.name.as_str()), state(cluster)];
        row.extend(pair.then(|| twin::role(cluster.role).into()));
        row.extend([
            span(cluster.lease_remaining_ms as f64 / 1000.0).into(),
            addresses.join(",").into(),
            cluster.because.as_str().into(),
        ]);
        table.row(row);
    }
    table
}

fn state(cluster: &ClusterStatus) -> Cell {
    match (cluster.state, cluster.standing) {
        (ClusterState::Active, _) => Cell::new(Tone::Good, "active"),
        (ClusterState::Standby, standing @ (Standing::Starting | Standing::Suspecting)) => {
            Cell::new(Tone::Doubtful, standing.word())
        }
        // An active word beside a passive state does not exist; what is owned is what counts.
        (ClusterState::Standby, Standing::Active | Standing::Standby) => Cell::new(Tone::Plain, "standby"),
        (ClusterState::Standby, Standing::Yielding) => Cell::new(Tone::Plain, "yielding"),
    }
}

fn services(clusters: &[ClusterStatus], look: Look) -> Table {
    let mut table = Table::new(&[
        ("CLUSTER", Align::Left),
        ("SERVICE", Align::Left),
        ("METHOD", Align::Left),
        ("SELECT", Align::Left),
        ("POOL", Align::Left),
        ("UP", Align::Right),
        ("HEALTHY", Align::Right),
        ("FLOWS", Align::Right),
        ("PACKETS", Align::Right),
        ("BYTES", Align::Right),
    ]);
    for (cluster, service) in
        clusters.iter().flat_map(|one| one.services.iter().map(move |service| (one, service)))
    {
        let sum = |figure: fn(&geminus_api::ServerStatus) -> u64| service.servers.iter().map(figure).sum();
        table.row(vec![
            cluster.name.as_str().into(),
            format!("{}/{}", service.protocol, service.ports).into(),
            service.method.as_str().into(),
            service.select.as_str().into(),
            pool(service),
            up(service),
            healthy(service),
            look.count(sum(|server| server.flows)).into(),
            look.count(sum(|server| server.packets)).into(),
            look.bytes(sum(|server| server.bytes)).into(),
        ]);
    }
    table
}

/// The pool in force; another than the main one is worth a look.
fn pool(service: &ServiceStatus) -> Cell {
    let pools = &service.pools;
    let tone = if pools.because.is_empty() { Tone::Plain } else { Tone::Doubtful };
    Cell::new(tone, if pools.in_force.is_empty() { "main" } else { pools.in_force.as_str() })
}

/// How much of the weight of the pool in force is healthy; `panic` where health is ignored because it is too little.
fn healthy(service: &ServiceStatus) -> Cell {
    let in_force = service.pools.pools.iter().find(|pool| pool.name == service.pools.in_force);
    match in_force {
        None => String::new().into(),
        Some(pool) if pool.panic => Cell::new(Tone::Bad, "panic"),
        Some(pool) if pool.healthy_percent < 100 => {
            Cell::new(Tone::Doubtful, format!("{}%", pool.healthy_percent))
        }
        Some(_) => "100%".into(),
    }
}

/// How many servers take new flows, of how many.
fn up(service: &ServiceStatus) -> Cell {
    let up = service.servers.iter().filter(|server| server.state.takes_new_flows()).count();
    let tone = match up {
        0 => Tone::Bad,
        up if up < service.servers.len() => Tone::Doubtful,
        _ => Tone::Good,
    };
    Cell::new(tone, format!("{up}/{}", service.servers.len()))
}

fn counters(counters: &[Counter], look: Look) -> Table {
    let columns = [
        ("VERDICT", Align::Left),
        ("REASON", Align::Left),
        ("PACKETS", Align::Right),
        ("MEANING", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for counter in counters {
        table.row(vec![
            verdict(&counter.class),
            counter.reason.as_str().into(),
            look.count(counter.packets).into(),
            counter.meaning.as_str().into(),
        ]);
    }
    table
}

/// The class of a counter or the verdict of a path, in its tone.
pub(crate) fn verdict(word: &str) -> Cell {
    let tone = match word {
        "drop" => Tone::Bad,
        "forward" | "answer" => Tone::Good,
        _ => Tone::Plain,
    };
    Cell::new(tone, word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::sample;

    #[test]
    fn people_see_rounded_figures() {
        insta::assert_snapshot!(render(&sample::status(), sample::EYES));
    }

    #[test]
    fn programs_see_whole_figures() {
        insta::assert_snapshot!(render(&sample::status(), sample::PIPE));
    }

    #[test]
    fn an_operator_of_a_pair_sees_first_who_is_active_and_whether_the_other_could_be() {
        insta::assert_snapshot!(render(&sample::pair(), sample::EYES));
    }

    #[test]
    fn colour_marks_what_is_not_as_it_should_be() {
        let coloured = render(&sample::status(), sample::COLOUR);
        assert!(coloured.contains("\u{1b}[31mdrop\u{1b}[0m"), "{coloured}");
        assert!(coloured.contains("\u{1b}[33m1/3\u{1b}[0m"), "{coloured}");
    }

    #[test]
    fn a_nearly_full_table_is_marked() {
        let tone = |used| fill(Fill { used, slots: 1000 }, sample::EYES);
        assert_eq!(tone(900), Cell::new(Tone::Plain, "900 of 1,000 slots (90.0%)"));
        assert_eq!(tone(901), Cell::new(Tone::Doubtful, "901 of 1,000 slots (90.1%)"));
    }
}
