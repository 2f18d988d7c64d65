//! `geminus servers`: every server with its state, weight and load, and what is the matter with it.

use std::time::Duration;

use geminus_api::{Outcome, Request, ServerRow, ServerState, ServerStatus, Servers, WishesStatus};

use crate::args::ServersArgs;
use crate::failure::{Exit, Failure, cannot_print};
use crate::figures::span;
use crate::screen::{Delivered, Look, Tone, show};
use crate::table::{Align, Cell, Page, Table};
use crate::verbs::{another_answer, ask, in_json, json_text, print};

/// Back to the upper left corner, and nothing on the screen (ECMA-48, CUP and ED).
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Asks and prints, once or again and again.
pub(crate) fn run(args: &ServersArgs, look: Look) -> Result<Exit, Failure> {
    if !args.watch {
        return print(&look_once(args, look)?);
    }
    loop {
        let page = look_once(args, look)?;
        let clear = if look.eyes && !args.daemon.json { CLEAR } else { "" };
        let shown = show(&format!("{clear}{page}")).map_err(|error| cannot_print(&error))?;
        if shown == Delivered::NobodyReads {
            return Ok(Exit::Done);
        }
        std::thread::sleep(Duration::from_secs_f64(args.every));
    }
}

/// How things are now, as text.
fn look_once(args: &ServersArgs, look: Look) -> Result<String, Failure> {
    let mut servers = match ask(&args.daemon, Request::Servers)? {
        Outcome::Servers(servers) => servers,
        other => return Err(another_answer(&other)),
    };
    if let Some(cluster) = &args.cluster {
        servers = only(servers, cluster).map_err(|failure| in_json(args.daemon.json, failure))?;
    }
    Ok(if args.daemon.json { json_text(&servers) } else { render(&servers, args.wide, look) })
}

/// The servers of one cluster. Every cluster has a server, so one without any does not exist.
fn only(mut servers: Servers, cluster: &str) -> Result<Servers, Failure> {
    servers.servers.retain(|row| row.cluster == cluster);
    if servers.servers.is_empty() {
        return Err(Failure::no(format!("there is no cluster {cluster}")).hint("`geminus status` lists them"));
    }
    Ok(servers)
}

/// One column: its name, its side, and what it shows.
type Column = (&'static str, Align, fn(&ServerRow, Look) -> Cell);

const COLUMNS: [Column; 12] = [
    ("CLUSTER", Align::Left, |row, _| row.cluster.as_str().into()),
    ("SERVICE", Align::Left, |row, _| format!("{}/{}", row.protocol, row.ports).into()),
    ("POOL", Align::Left, |row, _| row.server.pool.as_deref().unwrap_or("main").into()),
    ("SERVER", Align::Left, |row, _| Cell::new(Tone::Strong, row.server.name.as_str())),
    ("ADDRESS", Align::Left, |row, _| row.server.address.to_string().into()),
    ("STATE", Align::Left, |row, _| state(row.server.state)),
    ("SINCE", Align::Right, |row, _| {
        row.server.check.as_ref().map_or(String::new(), |check| span(check.since_seconds)).into()
    }),
    ("CHECK", Align::Left, |row, _| {
        row.server.check.as_ref().map_or("none", |check| check.advisor.as_str()).into()
    }),
    ("LATENCY", Align::Right, |row, _| latency(&row.server)),
    ("WEIGHT", Align::Right, |row, _| weight(&row.server)),
    ("LOAD", Align::Right, |row, _| load(&row.server)),
    ("FLOWS", Align::Right, |row, look| look.count(row.server.flows).into()),
];

const WIDE: [Column; 6] = [
    ("BEGUN", Align::Right, |row, look| look.count(row.server.flows_begun).into()),
    ("NEW/S", Align::Right, |row, look| {
        row.server.per_second.map_or(String::new(), |rate| look.count(rate)).into()
    }),
    ("PACKETS", Align::Right, |row, look| look.count(row.server.packets).into()),
    ("BYTES", Align::Right, |row, look| look.bytes(row.server.bytes).into()),
    ("MAC", Align::Left, |row, _| row.server.mac.clone().unwrap_or_default().into()),
    ("WEIGHT BY", Align::Left, |row, _| made_of(&row.server).into()),
];

/// The table for people, and below it a line for everything that is the matter.
pub(crate) fn render(servers: &Servers, wide: bool, look: Look) -> String {
    let pools = servers.servers.iter().any(|row| row.server.pool.is_some());
    let mut columns: Vec<&Column> = COLUMNS.iter().filter(|column| pools || column.0 != "POOL").collect();
    if wide {
        columns.extend(&WIDE);
    }
    let heading: Vec<_> = columns.iter().map(|(name, align, _)| (*name, *align)).collect();
    let mut table = Table::new(&heading);
    for row in &servers.servers {
        table.row(columns.iter().map(|(.., cell)| cell(row, look)).collect());
    }
    let mut page = Page::new(look);
    page.table(&table);
    let matters: Vec<_> = servers.servers.iter().flat_map(matters).collect();
    if !matters.is_empty() {
        page.gap();
    }
    for (who, tone, what) in matters {
        page.line(&[Cell::new(Tone::Strong, who), Cell::new(tone, what)]);
    }
    page.into_text()
}

/// What is the matter with a server, one entry each: who, how bad, what.
fn matters(row: &ServerRow) -> Vec<(String, Tone, String)> {
    let server = &row.server;
    let who = format!("{} of {} {}/{}:", server.name, row.cluster, row.protocol, row.ports);
    let tone = if server.state.takes_new_flows() { Tone::Doubtful } else { Tone::Bad };
    let because = server.because.iter().map(|because| (who.clone(), tone, because.clone()));
    let findings = server.findings.iter().map(|finding| (who.clone(), Tone::Bad, finding.clone()));
    let release = server.release_in_seconds.map(|left| {
        (who.clone(), Tone::Doubtful, format!("its flows go to other servers in {}", span(left)))
    });
    because.chain(findings).chain(release).collect()
}

fn state(state: ServerState) -> Cell {
    let tone = match state {
        ServerState::Up => Tone::Good,
        ServerState::Checking | ServerState::Draining | ServerState::Resting => Tone::Doubtful,
        ServerState::Panic | ServerState::Released | ServerState::Down | ServerState::Unresolved => Tone::Bad,
    };
    Cell::new(tone, state.word())
}

fn latency(server: &ServerStatus) -> Cell {
    let milliseconds = server.check.as_ref().and_then(|check| check.latency_ms);
    milliseconds.map_or(String::new(), |latency| format!("{latency:.1}ms")).into()
}

fn load(server: &ServerStatus) -> Cell {
    match &server.load {
        None => String::new().into(),
        Some(load) if load.load >= 900 => Cell::new(Tone::Bad, percent(load.load)),
        Some(load) => percent(load.load).into(),
    }
}

fn percent(thousandths: u16) -> String {
    format!("{}.{}%", thousandths / 10, thousandths % 10)
}

/// The weight in force, and the configured one where it differs.
fn weight(server: &ServerStatus) -> Cell {
    let weights = &server.weights;
    let unit = f64::from(weights.unit.max(1));
    let exact = f64::from(weights.in_force) / unit;
    if weights.in_force == server.configured_weight.saturating_mul(weights.unit.max(1)) {
        server.configured_weight.to_string().into()
    } else {
        let digits = if weights.in_force.is_multiple_of(weights.unit.max(1)) { 0 } else { 2 };
        Cell::new(Tone::Doubtful, format!("{exact:.digits$}/{}", server.configured_weight))
    }
}

/// What made a weight, one word each.
fn made_of(server: &ServerStatus) -> String {
    let weights = &server.weights;
    let unit = f64::from(weights.unit.max(1));
    let ordered = weights.ordered.map(|weight| format!("ordered={weight}"));
    let managed = weights.managed.map(|weight| format!("managed={:.2}", f64::from(weight) / unit));
    let wishes = weights.wishes.map(wished);
    let slow = weights.slow_start_percent.map(|percent| format!("slow-start={percent}%"));
    let parts: Vec<_> = [ordered, managed, wishes, slow].into_iter().flatten().collect();
    if parts.is_empty() { "configuration".to_owned() } else { parts.join(",") }
}

/// What each input of the manager alone would have made of a weight.
fn wished(wishes: WishesStatus) -> String {
    let WishesStatus { active, new, latency, load } = wishes;
    let inputs = [("active", active), ("new", new), ("latency", latency), ("load", load)];
    let said = inputs.iter().filter_map(|(name, wish)| Some(format!("{name}:{:.2}", (*wish)?)));
    format!("wishes={}", said.collect::<Vec<_>>().join("+"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::sample;

    #[test]
    fn every_server_is_a_line_and_what_is_the_matter_another() {
        insta::assert_snapshot!(render(&sample::servers(), false, sample::EYES));
    }

    #[test]
    fn a_wide_page_says_what_made_a_weight() {
        insta::assert_snapshot!(render(&sample::servers(), true, sample::EYES));
    }

    #[test]
    fn every_line_of_the_table_has_the_same_number_of_words() {
        for wide in [false, true] {
            let text = render(&sample::servers(), wide, sample::PIPE);
            let table = text.lines().take_while(|line| !line.is_empty());
            // The heading of the last wide column is two words.
            let words: Vec<usize> = table.skip(1).map(|line| line.split_whitespace().count()).collect();
            assert_eq!(words, [if wide { 18 } else { 12 }; 4]);
        }
    }

    #[test]
    fn a_server_names_what_is_the_matter_with_it() {
        let text = render(&sample::servers(), false, sample::PIPE);
        assert!(text.contains("web4 of shop tcp/80: connect-timeout: no answer"), "{text}");
        assert!(text.contains("web4 of shop tcp/80: 198.51.100.80 is not on lo"), "{text}");
    }

    #[test]
    fn an_unknown_cluster_is_no_empty_answer() {
        let failure = only(sample::servers(), "shopp").expect_err("there is none");
        assert_eq!(failure.exit, Exit::No);
        assert_eq!(only(sample::servers(), "shop"), Ok(sample::servers()));
    }
}
