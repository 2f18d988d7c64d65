//! `geminus explain`: the path of one packet in words.

use std::net::SocketAddr;

use geminus_api::{ExplainQuery, Explanation, Outcome, Path, Request};

use crate::args::{Endpoint, ExplainArgs, Transport};
use crate::failure::{Exit, Failure};
use crate::screen::{Look, Tone};
use crate::table::{Align, Cell, Page, Table};
use crate::verbs::status::verdict;
use crate::verbs::{another_answer, ask, in_json, json_text, print};

/// Asks and prints.
pub(crate) fn run(args: &ExplainArgs, look: Look) -> Result<Exit, Failure> {
    let explanation = match ask(&args.daemon, Request::Explain(query(args)?))? {
        Outcome::Explanation(explanation) => explanation,
        other => return Err(another_answer(&other)),
    };
    let text = if args.daemon.json { json_text(&explanation) } else { render(&explanation, look) };
    let done = print(&text)?;
    // The promise that the kernel decides nothing the host build cannot decide is broken: the answer is no.
    if explanation.kernel == explanation.host { Ok(done) } else { Err(in_json(false, disagreement())) }
}

fn disagreement() -> Failure {
    Failure::no("the program in the kernel and the same code in the daemon disagree on this packet")
        .hint("please report it with this output; unless a table changed meanwhile it is a defect of geminus")
}

/// The packet, or why there is no such packet.
fn query(args: &ExplainArgs) -> Result<ExplainQuery, Failure> {
    let (source, destination) = (args.source, args.destination);
    if source.address.is_ipv4() != destination.address.is_ipv4() {
        let message = format!("{} and {} are of different families", source.address, destination.address);
        return Err(Failure::wrong(message).hint("a packet has two IPv4 or two IPv6 addresses"));
    }
    let protocol = match args.protocol {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
        Transport::Icmp => "icmp",
    };
    Ok(ExplainQuery {
        protocol: protocol.to_owned(),
        source: with_port(source, args.protocol, protocol)?,
        destination: with_port(destination, args.protocol, protocol)?,
        first: !args.later,
    })
}

fn with_port(end: Endpoint, transport: Transport, word: &str) -> Result<SocketAddr, Failure> {
    match (transport, end.port) {
        (Transport::Icmp, None) => Ok(SocketAddr::new(end.address, 0)),
        (Transport::Icmp, Some(port)) => {
            Err(Failure::wrong(format!("icmp has no ports, but {} was given port {port}", end.address))
                .hint("leave the port away"))
        }
        (Transport::Tcp | Transport::Udp, Some(port)) => Ok(SocketAddr::new(end.address, port)),
        (Transport::Tcp | Transport::Udp, None) => {
            let example = SocketAddr::new(end.address, 80);
            Err(Failure::wrong(format!("{word} needs a port with {}", end.address))
                .hint(format!("such as {example}")))
        }
    }
}

/// The page for people.
pub(crate) fn render(explanation: &Explanation, look: Look) -> String {
    let mut page = Page::new(look);
    for (index, step) in explanation.steps.iter().enumerate() {
        page.line(&[Cell::new(Tone::Faint, format!("{:>3}.", index + 1)), Cell::plain(step)]);
    }
    page.gap();
    let columns = ["DECIDED BY", "VERDICT", "REASON", "SERVER"];
    let mut table = Table::new(&columns.map(|name| (name, Align::Left)));
    let mut row = |who: &str, path: &Path| {
        let server = path.server.clone().unwrap_or_default();
        table.row(vec![who.into(), verdict(&path.verdict), path.reason.as_str().into(), server.into()]);
    };
    row("kernel", &explanation.kernel);
    row("daemon", &explanation.host);
    page.table(&table);
    page.into_text()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Verb};
    use crate::verbs::sample;

    fn asked(words: &[&str]) -> Result<ExplainQuery, Failure> {
        let words = ["geminus", "explain"].iter().chain(words);
        match Cli::try_parse_from(words).expect("a command line").verb {
            Verb::Explain(args) => query(&args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_path_is_told_step_by_step() {
        insta::assert_snapshot!(render(&sample::explanation(), sample::EYES));
    }

    #[test]
    fn a_tcp_packet_is_the_first_unless_told_otherwise() {
        let words = ["tcp", "[2001:db8::9]:40000", "[2001:db8:1::80]:80"];
        assert!(asked(&words).expect("a packet").first);
        assert!(!asked(&[&words[..], &["--later"]].concat()).expect("a packet").first);
    }

    #[test]
    fn an_echo_request_has_no_port() {
        let query = asked(&["icmp", "203.0.113.9", "198.51.100.80"]).expect("a packet");
        assert_eq!((query.source.port(), query.destination.port()), (0, 0));
    }

    #[test]
    fn an_impossible_packet_is_wrong_use() {
        let impossible: [&[&str]; 4] = [
            &["tcp", "203.0.113.9:40000", "[2001:db8:1::80]:80"],
            &["tcp", "203.0.113.9", "198.51.100.80:80"],
            &["udp", "203.0.113.9:1", "198.51.100.80"],
            &["icmp", "203.0.113.9:1", "198.51.100.80"],
        ];
        for words in impossible {
            assert_eq!(asked(words).expect_err("impossible").exit, Exit::Wrong, "{words:?}");
        }
    }
}
