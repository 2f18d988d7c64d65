//! `geminus servers`: every server with its state, weight and load.

use geminus_api::{Outcome, Request, ServerRow, ServerState, ServerStatus, Servers};

use crate::args::ServersArgs;
use crate::failure::{Exit, Failure};
use crate::screen::{Look, Tone};
use crate::table::{Align, Cell, Page, Table};
use crate::verbs::{another_answer, ask, in_json, json_text, print};

/// Asks and prints.
pub(crate) fn run(args: &ServersArgs, look: Look) -> Result<Exit, Failure> {
    let mut servers = match ask(&args.daemon, Request::Servers)? {
        Outcome::Servers(servers) => servers,
        other => return Err(another_answer(&other)),
    };
    if let Some(cluster) = &args.cluster {
        servers = only(servers, cluster).map_err(|failure| in_json(args.daemon.json, failure))?;
    }
    if args.daemon.json { print(&json_text(&servers)) } else { print(&render(&servers, look)) }
}

/// The servers of one cluster. Every cluster has a server, so one without any does not exist.
fn only(mut servers: Servers, cluster: &str) -> Result<Servers, Failure> {
    servers.servers.retain(|row| row.cluster == cluster);
    if servers.servers.is_empty() {
        return Err(Failure::no(format!("there is no cluster {cluster}")).hint("`geminus status` lists them"));
    }
    Ok(servers)
}

/// The table for people.
pub(crate) fn render(servers: &Servers, look: Look) -> String {
    let mut table = Table::new(&[
        ("CLUSTER", Align::Left),
        ("SERVICE", Align::Left),
        ("SERVER", Align::Left),
        ("ADDRESS", Align::Left),
        ("MAC", Align::Left),
        ("STATE", Align::Left),
        ("WEIGHT", Align::Right),
        ("FLOWS", Align::Right),
        ("BEGUN", Align::Right),
        ("PACKETS", Align::Right),
        ("BYTES", Align::Right),
    ]);
    for row in &servers.servers {
        table.row(cells(row, look));
    }
    let mut page = Page::new(look);
    page.table(&table);
    page.into_text()
}

fn cells(row: &ServerRow, look: Look) -> Vec<Cell> {
    let server = &row.server;
    vec![
        row.cluster.as_str().into(),
        format!("{}/{}", row.protocol, row.ports).into(),
        Cell::new(Tone::Strong, server.name.as_str()),
        server.address.to_string().into(),
        server.mac.clone().unwrap_or_default().into(),
        state(server.state),
        weight(server),
        look.count(server.flows).into(),
        look.count(server.flows_begun).into(),
        look.count(server.packets).into(),
        look.bytes(server.bytes).into(),
    ]
}

fn state(state: ServerState) -> Cell {
    match state {
        ServerState::Up => Cell::new(Tone::Good, "up"),
        ServerState::Draining => Cell::new(Tone::Doubtful, "draining"),
        ServerState::Unresolved => Cell::new(Tone::Bad, "unresolved"),
    }
}

/// The weight in force, and the configured one where it differs.
fn weight(server: &ServerStatus) -> Cell {
    if server.weight == server.configured_weight {
        server.weight.to_string().into()
    } else {
        Cell::new(Tone::Doubtful, format!("{}/{}", server.weight, server.configured_weight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::sample;

    #[test]
    fn every_server_is_a_line() {
        insta::assert_snapshot!(render(&sample::servers(), sample::EYES));
    }

    #[test]
    fn every_line_has_the_same_number_of_words() {
        let text = render(&sample::servers(), sample::PIPE);
        let words: Vec<usize> = text.lines().map(|line| line.split_whitespace().count()).collect();
        assert_eq!(words, [11; 4]);
    }

    #[test]
    fn an_unknown_cluster_is_no_empty_answer() {
        let failure = only(sample::servers(), "shopp").expect_err("there is none");
        assert_eq!(failure.exit, Exit::No);
        assert_eq!(only(sample::servers(), "shop"), Ok(sample::servers()));
    }
}
