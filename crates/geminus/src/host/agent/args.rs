//! The command line of `geminus host agent`.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use geminus_core::agent::frame::{NAME_BYTES, is_name};
use geminus_core::config::duration;

use crate::failure::Failure;
use crate::host::wanted::Port;

/// Where dispatchers hear agents unless `[agents]` says otherwise.
const PORT: u16 = 4871;

/// Dispatchers of one host: a site has a pair.
const DISPATCHERS: usize = 8;

/// Numbers of a host's own: as many as a report has room for beside the kernel's.
const NUMBERS: usize = 10;

/// Arguments of `host agent`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  geminus host agent --dispatcher 198.51.100.11,198.51.100.12 --key-file /etc/geminus/agent.key
  geminus host agent --dispatcher 198.51.100.11 --key-file agent.key --custom jobs=/run/app/jobs
  geminus host agent --dispatcher 198.51.100.11 --key-file agent.key --exec jobs='/usr/local/bin/jobs --load'
  geminus host agent --dispatcher 198.51.100.11 --key-file agent.key --leave

The key is what `geminus key agent` prints on a dispatcher. A number of your own is 0 where there is nothing to do and
1000 where no more can be done; the greatest of all parts is the load. SIGTERM says that the host is leaving, waits for
--drain, and ends.")]
pub(crate) struct AgentArgs {
    /// A dispatcher's own address; several are allowed, as are commas and another port: 198.51.100.11:4871
    #[arg(long = "dispatcher", value_name = "ADDRESS", required = true, value_delimiter = ',')]
    pub(crate) dispatchers: Vec<Dispatcher>,
    /// The file with the key of agents
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: PathBuf,
    /// The address that the site's servers have here [default: the one that reaches the dispatcher]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<IpAddr>,
    /// Time between two reports; `timeout` of `[agents]` (5 s) has to be several of them
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub(crate) interval: Span,
    /// How long to go on after the dispatchers know that this host stops: its open flows finish meanwhile
    #[arg(long, value_name = "TIME", default_value = "3s")]
    pub(crate) drain: Span,
    /// A number that a file holds; several are allowed
    #[arg(long, value_name = "NAME=FILE")]
    pub(crate) custom: Vec<Number>,
    /// A number that a program prints, without a shell; several are allowed
    #[arg(long, value_name = "NAME=PROGRAM ARGUMENTS")]
    pub(crate) exec: Vec<Number>,
    /// A cluster address to look after; several are allowed [default: every address on lo]
    #[arg(long = "cluster", value_name = "ADDRESS")]
    pub(crate) clusters: Vec<IpAddr>,
    /// A port that something must listen on at the cluster addresses; several are allowed
    #[arg(long = "port", value_name = "PORT[/udp]")]
    pub(crate) ports: Vec<Port>,
    /// The interface that faces the dispatchers [default: as for `host check`]
    #[arg(long, value_name = "IF")]
    pub(crate) interface: Option<String>,
    /// Only tell the dispatchers that this host wants no new flows, where no agent runs
    #[arg(long)]
    pub(crate) leave: bool,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where a dispatcher hears agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dispatcher(pub(crate) SocketAddr);

impl FromStr for Dispatcher {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(whole) = text.parse::<SocketAddr>() {
            return Ok(Self(whole));
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        let address = bare.parse().map_err(|_| {
            "expected an address such as 198.51.100.11, 198.51.100.11:4871 or [2001:db8::11]:4871".to_owned()
        })?;
        Ok(Self(SocketAddr::new(address, PORT)))
    }
}

/// A time as in the configuration: `500ms`, `1s`, `5m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        duration(text).map(Self).ok_or_else(|| "expected a time such as 500ms, 1s or 5m".to_owned())
    }
}

/// A number of the host's own and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Number {
    /// What it is called.
    pub(crate) name: String,
    /// A file, or a program and its arguments.
    pub(crate) words: Vec<String>,
}

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, source) = text.split_once('=').ok_or("expected NAME=/path")?;
        if !is_name(name) {
            return Err(format!(
                "{name:?} is no name: expected small letters, digits and -, at most {NAME_BYTES}"
            ));
        }
        let words: Vec<String> = source.split_whitespace().map(str::to_owned).collect();
        if !words.first().is_some_and(|path| path.starts_with('/')) {
            return Err("expected a path from the root, such as jobs=/run/app/jobs".to_owned());
        }
        Ok(Self { name: name.to_owned(), words })
    }
}

impl AgentArgs {
    /// What the words alone cannot tell.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let span = |what: &str, value: Duration, least: Duration, most: Duration| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            let message = format!("{what} of {} s is not sensible", value.as_secs_f64());
            Err(Failure::wrong(message).hint(format!("{} to {} s", least.as_secs_f64(), most.as_secs_f64())))
        };
        span("--interval", self.interval.0, Duration::from_millis(100), Duration::from_secs(5))?;
        span("--drain", self.drain.0, Duration::ZERO, Duration::from_secs(3600))?;
        if self.dispatchers.len() > DISPATCHERS {
            return Err(Failure::wrong(format!("more than {DISPATCHERS} dispatchers"))
                .hint("name those that this host is a server of"));
        }
        let mut known: BTreeSet<&str> =
            ["cpu", "memory", "psi-cpu", "psi-memory", "psi-io", "listen-overflows"].into();
        for number in self.custom.iter().chain(&self.exec) {
            if !known.insert(&number.name) {
                return Err(Failure::wrong(format!("there are two numbers called {}", number.name))
                    .hint("give one another name; those of the kernel have theirs"));
            }
        }
        if self.custom.len() + self.exec.len() > NUMBERS {
            return Err(Failure::wrong(format!("more than {NUMBERS} numbers"))
                .hint("let one program print the greatest of several"));
        }
        if let Some(number) = self.custom.iter().find(|number| number.words.len() > 1) {
            return Err(Failure::wrong(format!("the file of {} has a space in its name", number.name))
                .hint("use --exec for a program with arguments"));
        }
        crate::host::wanted::cluster_addresses(&self.clusters).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Verb};
    use crate::host::args::HostVerb;

    fn parsed(words: &[&str]) -> AgentArgs {
        let start = ["geminus", "host", "agent", "--dispatcher", "198.51.100.11", "--key-file", "k"];
        match Cli::try_parse_from(start.iter().chain(words)).expect("a command line").verb {
            Verb::Host(host) => match host.verb {
                HostVerb::Agent(args) => args,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn dispatchers_are_addresses_with_or_without_a_port() {
        let of = |text: &str| text.parse::<Dispatcher>().map(|at| at.0.to_string());
        assert_eq!(of("198.51.100.11").as_deref(), Ok("198.51.100.11:4871"));
        assert_eq!(of("198.51.100.11:99").as_deref(), Ok("198.51.100.11:99"));
        assert_eq!(of("2001:db8::11").as_deref(), Ok("[2001:db8::11]:4871"));
        assert_eq!(of("[2001:db8::11]:99").as_deref(), Ok("[2001:db8::11]:99"));
        for text in ["", "alpha", "198.51.100.11:", "198.51.100.256"] {
            assert!(of(text).is_err(), "{text}");
        }
        let both = parsed(&["--dispatcher", "198.51.100.12,2001:db8::13"]);
        assert_eq!(both.dispatchers.len(), 3);
    }

    #[test]
    fn a_number_has_a_name_and_a_path() {
        let of = |text: &str| text.parse::<Number>().map(|number| (number.name, number.words.join("|")));
        assert_eq!(of("jobs=/run/jobs"), Ok(("jobs".to_owned(), "/run/jobs".to_owned())));
        assert_eq!(of("a=/bin/x --y=1  2"), Ok(("a".to_owned(), "/bin/x|--y=1|2".to_owned())));
        for text in ["", "jobs", "=/x", "Jobs=/x", "jobs=", "jobs=x", "jobs=./x", "a b=/x", &"a".repeat(25)] {
            assert!(of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_sensible_is_wrong_use() {
        parsed(&[]).check().expect("the defaults are");
        parsed(&["--interval", "100ms", "--drain", "0", "--exec", "a=/x y"]).check().expect("sensible");
        for words in [
            &["--interval", "50ms"][..],
            &["--interval", "1m"],
            &["--drain", "2h"],
            &["--custom", "cpu=/x"],
            &["--custom", "a=/x", "--exec", "a=/y"],
            &["--custom", "a=/x y"],
            &["--cluster", "127.0.0.1"],
        ] {
            let failure = parsed(words).check().expect_err("not sensible");
            assert_eq!(failure.exit.code(), 2, "{words:?}");
            assert!(failure.error.hint.is_some(), "{words:?}");
        }
    }
}
