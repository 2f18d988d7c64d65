//! The terminal: one line while a scene plays, its figures when it is over.
#![allow(clippy::print_stdout, reason = "a demonstration speaks to the person at the terminal")]

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use super::promise::{Promise, grouped};
use super::story::{About, Story};

pub(super) struct Screen {
    terminal: bool,
    colour: bool,
}

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const RED: &str = "31";

impl Screen {
    pub(super) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { terminal, colour: terminal && std::env::var_os("NO_COLOR").is_none() }
    }

    pub(super) fn title(&self) {
        println!(
            "\n{}\n",
            self.paint(BOLD, "Geminus: one address, many servers, and replies that take the short way")
        );
    }

    pub(super) fn site(&self, about: &About) {
        let servers: Vec<String> =
            about.servers.iter().map(|(name, weight)| format!("{name} ×{weight}")).collect();
        let picture = [
            format!(
                "  client ── router ──┬── switch ──┬── {}   geminus {}, XDP {}",
                about.node, about.version, about.mode
            ),
            format!(
                "                     │            └── {}   nginx, a spare one beside",
                servers.join(", ")
            ),
            format!(
                "                     └── gateway of the LAN    Linux {}, {} processors",
                about.kernel, about.processors
            ),
        ];
        for line in picture {
            println!("{}", self.paint(DIM, &line));
        }
        println!();
    }

    pub(super) fn twins(&self) {
        let picture = [
            "  client ── router ──┬── switch ──┬── alpha ─┐  now two dispatchers, a cable beside the LAN,",
            "                     │            ├── beta  ─┘  heartbeats on both, replication between them",
            "                     │            └── web1, web2, web3",
        ];
        for line in picture {
            println!("{}", self.paint(DIM, line));
        }
        println!();
    }

    pub(super) fn begins(&self, title: &str) {
        if self.terminal {
            print!("  {} {title} …", self.paint(DIM, "·"));
            let _ = std::io::stdout().flush();
        }
    }

    pub(super) fn ends(&self, promise: &Promise) {
        if self.terminal {
            print!("\r\x1b[K");
        }
        let (sign, colour) = if promise.kept() { ("✓", GREEN) } else { ("✗", RED) };
        let took = format!("{:.1} s", promise.took.as_secs_f64());
        println!(
            "  {} {}  {}",
            self.paint(colour, sign),
            self.paint(BOLD, promise.title),
            self.paint(DIM, &took)
        );
        for line in &promise.figures {
            println!("      {line}");
        }
        for line in &promise.broken {
            println!("      {}", self.paint(RED, &format!("NOT KEPT: {line}")));
        }
        println!();
    }

    pub(super) fn summary(&self, story: &Story, report: &Path) {
        let (answered, lost) = story.requests;
        let colour = if story.kept() { GREEN } else { RED };
        let verdict = format!("{} of {} promises kept", story.kept_count(), story.promises.len());
        println!(
            "  {} in {:.0} s: {} requests answered, {} lost",
            self.paint(colour, &verdict),
            story.about.took.as_secs_f64(),
            grouped(answered),
            grouped(lost)
        );
        for promise in story.promises.iter().filter(|promise| !promise.kept()) {
            println!("  {} {}", self.paint(RED, "not kept:"), promise.title);
        }
        println!("  report: {}\n", report.display());
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
