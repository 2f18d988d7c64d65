//! `geminus flows`: remembered flows, newest first.

use geminus_api::{FlowRow, Flows, FlowsQuery, Outcome, Request};

use crate::args::FlowsArgs;
use crate::failure::{Exit, Failure};
use crate::figures::{grouped, span};
use crate::screen::{Look, Tone};
use crate::table::{Align, Cell, Page, Table};
use crate::verbs::{another_answer, ask, json_text, print};

/// Asks and prints; what was left out is said on standard error.
pub(crate) fn run(args: &FlowsArgs, look: Look) -> Result<Exit, Failure> {
    let query = FlowsQuery {
        limit: Some(args.limit),
        server: args.server.clone(),
        cluster: args.cluster.clone(),
        client: args.client,
    };
    match ask(&args.daemon, Request::Flows(query))? {
        Outcome::Flows(flows) if args.daemon.json => print(&json_text(&flows)),
        Outcome::Flows(flows) => {
            let done = print(&render(&flows, look))?;
            if let Some(note) = left_out(&flows) {
                eprintln!("{note}");
            }
            Ok(done)
        }
        other => Err(another_answer(&other)),
    }
}

fn left_out(flows: &Flows) -> Option<String> {
    let shown = flows.flows.len() as u64;
    match flows.matched {
        0 => Some("no flow matches".to_owned()),
        matched if matched > shown => {
            Some(format!("{} of {} flows shown, see --limit", grouped(shown), grouped(matched)))
        }
        _ => None,
    }
}

/// The table for people.
pub(crate) fn render(flows: &Flows, look: Look) -> String {
    let mut table = Table::new(&[
        ("PROTO", Align::Left),
        ("CLIENT", Align::Left),
        ("DESTINATION", Align::Left),
        ("CLUSTER", Align::Left),
        ("SERVER", Align::Left),
        ("STATE", Align::Left),
        ("IDLE", Align::Right),
        ("CHOICE", Align::Left),
    ]);
    for flow in &flows.flows {
        table.row(cells(flow));
    }
    let mut page = Page::new(look);
    page.table(&table);
    page.into_text()
}

fn cells(flow: &FlowRow) -> Vec<Cell> {
    let end = |end: Option<std::net::SocketAddr>| end.map(|end| end.to_string()).unwrap_or_default();
    vec![
        flow.protocol.as_str().into(),
        end(flow.client).into(),
        end(flow.destination).into(),
        flow.cluster.as_str().into(),
        Cell::new(Tone::Strong, flow.server.as_str()),
        flow.state.as_str().into(),
        span(flow.idle_seconds).into(),
        if flow.pinned { "pinned" } else { "ring" }.into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::sample;

    #[test]
    fn every_flow_is_a_line() {
        insta::assert_snapshot!(render(&sample::flows(), sample::EYES));
    }

    #[test]
    fn what_is_left_out_is_said() {
        let mut flows = sample::flows();
        assert_eq!(left_out(&flows).as_deref(), Some("3 of 1,234 flows shown, see --limit"));
        flows.matched = 3;
        assert_eq!(left_out(&flows), None);
        let none = Flows { flows: vec![], matched: 0 };
        assert_eq!(left_out(&none).as_deref(), Some("no flow matches"));
    }
}
