//! The answer of `geminus check` for people.

use std::net::IpAddr;

use crate::figures::span;
use crate::screen::{Look, Tone};
use crate::table::{Align, Cell, Page, Table};
use crate::verbs::check::Sound;
use crate::verbs::check::machine::{Found, Interface, Xdp};
use crate::verbs::check::outlook::{Line, Memory, Outlook};
use crate::verbs::check::partners::{Availability, Group, Pair, Timers};

/// The page.
pub(crate) fn render(sound: &Sound, look: Look) -> String {
    let mut page = Page::new(look);
    page.line(&[Cell::new(Tone::Good, "sound"), Cell::new(Tone::Strong, sound.file.as_str())]);
    for warning in &sound.warnings {
        page.line(&[Cell::new(Tone::Doubtful, "warning"), Cell::plain(warning.to_string())]);
    }
    page.gap();
    figures(&sound.outlook, &mut page);
    if let Some(found) = &sound.outlook.availability {
        page.gap();
        availability(found, &mut page);
    }
    page.gap();
    page.table(&services(&sound.outlook.services, look));
    page.gap();
    page.table(&memory(&sound.outlook.memory, look));
    page.gap();
    match &sound.interface {
        Some(found) => interface(found, &mut page),
        None => page.line(&[Cell::new(
            Tone::Faint,
            "this machine is none of the nodes by its host name: --node NAME looks at an interface",
        )]),
    }
    page.into_text()
}

fn figures(outlook: &Outlook, page: &mut Page) {
    let nodes: Vec<String> = outlook
        .nodes
        .iter()
        .map(|node| format!("{} {} on {}", node.name, node.address, node.interface))
        .collect();
    let look = page.look();
    let count = |count: usize| Cell::plain(look.count(count as u64));
    page.labelled(&[
        ("nodes", nodes.join(", ").into()),
        ("clusters", count(outlook.clusters)),
        ("addresses", count(outlook.addresses)),
        ("services", count(outlook.services.len())),
        ("servers", count(outlook.servers)),
    ]);
}

fn availability(found: &Availability, page: &mut Page) {
    let Timers { heartbeat, suspect, probes, confirm, detection, lease, stable, alone_after } = found.timers;
    let missed = format!("{suspect} of them missed are suspicious");
    let confirmed = format!("{probes} probes in {} confirm it", span(confirm));
    let recovery = match found.recovery {
        "auto" => format!("auto, after {} of health", span(stable)),
        other => other.to_owned(),
    };
    let mut lines = vec![
        ("heartbeat", Cell::plain(format!("every {}; {missed}, {confirmed}", span(heartbeat)))),
        ("takeover", Cell::new(Tone::Strong, format!("{} after the last sign of life", span(detection)))),
        ("lease", format!("{}; alone after {}", span(lease), span(alone_after)).into()),
        ("recovery", recovery.into()),
        ("announce", found.announce.into()),
    ];
    for Pair { nodes: [one, other], paths } in &found.pairs {
        let ends = |[first, second]: &[IpAddr; 2]| format!("{one} {first} - {second} {other}");
        lines.extend(paths.iter().map(|path| ("path", ends(path).into())));
    }
    let reach: Vec<_> = found.reach.iter().map(ToString::to_string).collect();
    lines.push(("reach", if reach.is_empty() { "none".into() } else { reach.join(", ").into() }));
    lines.push(("port", found.port.to_string().into()));
    page.labelled(&lines);
    page.gap();
    page.table(&groups(&found.groups));
    for doubt in &found.doubts {
        page.line(&[Cell::new(Tone::Doubtful, "warning"), Cell::plain(doubt.as_str())]);
    }
}

fn groups(groups: &[Group]) -> Table {
    let columns = [
        ("GROUP", Align::Right),
        ("PRIMARY", Align::Left),
        ("BACKUP", Align::Left),
        ("CLUSTERS", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for Group { number, primary, backup, clusters } in groups {
        let shown = clusters.iter().take(CLUSTERS_SHOWN).map(String::as_str).collect::<Vec<_>>().join(",");
        let clusters = match clusters.len().saturating_sub(CLUSTERS_SHOWN) {
            0 => shown,
            more => format!("{shown} and {more} more"),
        };
        let cells = [number.to_string(), primary.clone(), backup.clone(), clusters];
        table.row(cells.map(Cell::from).into());
    }
    table
}

/// Clusters of a group that are named; the services below name them all.
const CLUSTERS_SHOWN: usize = 8;

fn services(services: &[Line], look: Look) -> Table {
    let mut table = Table::new(&[
        ("CLUSTER", Align::Left),
        ("SERVICE", Align::Left),
        ("METHOD", Align::Left),
        ("SELECT", Align::Left),
        ("CHECK", Align::Left),
        ("WEIGHTS", Align::Left),
        ("AFFINITY", Align::Left),
        ("SERVERS", Align::Right),
        ("RING", Align::Right),
        ("PRIMARY", Align::Left),
        ("BACKUP", Align::Left),
        ("ADDRESSES", Align::Left),
    ]);
    for service in services {
        let addresses: Vec<String> = service.addresses.iter().map(ToString::to_string).collect();
        table.row(vec![
            Cell::new(Tone::Strong, service.cluster.as_str()),
            format!("{}/{}", service.protocol, service.ports).into(),
            service.method.into(),
            service.select.into(),
            check(service),
            service.weights.into(),
            service.affinity.clone().unwrap_or_default().into(),
            servers(service, look),
            look.count(service.ring_slots.into()).into(),
            service.primary.as_str().into(),
            service.backup.clone().unwrap_or_default().into(),
            addresses.join(",").into(),
        ]);
    }
    table
}

/// The advisor and how often it asks.
fn check(service: &Line) -> Cell {
    match &service.check {
        None => Cell::new(Tone::Faint, "none"),
        Some(check) => format!("{} {}", check.advisor, span(check.interval)).into(),
    }
}

/// How many servers, and of how many where some have weight 0.
fn servers(service: &Line, look: Look) -> Cell {
    let all = look.count(service.servers as u64);
    if service.idle_servers == 0 {
        return all.into();
    }
    let busy = look.count((service.servers - service.idle_servers) as u64);
    Cell::new(Tone::Doubtful, format!("{busy}/{all}"))
}

fn memory(memory: &Memory, look: Look) -> Table {
    let columns = [("KERNEL MEMORY", Align::Left), ("BYTES", Align::Right), ("ENTRIES", Align::Right)];
    let mut table = Table::new(&columns);
    let rows = [
        ("flows", memory.flows, Some(memory.flow_entries)),
        ("5-tuples", memory.tuples, None),
        ("half-open", memory.provisional, Some(memory.provisional_entries)),
        ("affinity", memory.affinity, Some(memory.affinity_entries)),
        ("rings", memory.rings, None),
        ("other", memory.rest, None),
        ("total", memory.total, None),
    ];
    for (name, bytes, entries) in rows {
        let entries = entries.map(|entries| look.count(entries.into())).unwrap_or_default();
        table.row(vec![name.into(), look.bytes(bytes).into(), entries.into()]);
    }
    table
}

fn interface(interface: &Interface, page: &mut Page) {
    let Interface { node, name, found, remarks } = interface;
    let mut lines = vec![("interface", Cell::new(Tone::Strong, format!("{name} of node {node}")))];
    if let Some(found) = found {
        lines.push(("driver", found.driver.clone().unwrap_or_else(|| "unknown".to_owned()).into()));
        lines.push(("xdp", xdp(found.xdp)));
        lines.push(("mtu", found.mtu.to_string().into()));
        lines.push(("state", state(found)));
        let programs: Vec<String> =
            found.programs.iter().map(|program| format!("{} id {}", program.mode, program.id)).collect();
        let programs = if programs.is_empty() { "none attached".to_owned() } else { programs.join(", ") };
        lines.push(("program", programs.into()));
    }
    page.labelled(&lines);
    for remark in remarks {
        let (tone, word) = if remark.wrong { (Tone::Bad, "wrong") } else { (Tone::Doubtful, "note ") };
        page.line(&[Cell::new(tone, word), Cell::plain(remark.message.as_str())]);
    }
}

fn xdp(xdp: Xdp) -> Cell {
    match xdp {
        Xdp::Native => Cell::new(Tone::Good, "native"),
        Xdp::Generic => Cell::new(Tone::Doubtful, "generic"),
        Xdp::Unknown => Cell::new(Tone::Doubtful, "unknown"),
    }
}

fn state(found: &Found) -> Cell {
    match (found.up, found.carrier) {
        (true, true) => Cell::new(Tone::Good, "up"),
        (true, false) => Cell::new(Tone::Bad, "up, no carrier"),
        (false, _) => Cell::new(Tone::Bad, "down"),
    }
}
