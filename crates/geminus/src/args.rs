//! The command line. The words of each help text are what the manual page says.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::host::args::HostArgs;
use crate::screen::Colour;
use crate::verbs::key::KeyArgs;

/// A Layer-4 load balancer for Linux: XDP data plane, direct return, a twin that takes over.
///
/// One file describes the whole site: dispatchers, cluster addresses, services and servers. `geminus run` makes this
/// machine a dispatcher; every other verb looks at it or changes it while it runs.
#[derive(Debug, Parser)]
#[command(
    name = "geminus",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    max_term_width = 100,
    after_help = "\
Exit codes: 0 done, 1 the answer is no, 2 wrong use.",
    after_long_help = "\
Examples:
  geminus check geminus.toml                 every mistake in one pass, and what the file would do
  geminus run --config geminus.toml          be a dispatcher
  geminus status                             what it is doing
  geminus explain tcp 203.0.113.9:40000 198.51.100.80:80
                                             the path of one packet, in words
  geminus drain web1                         no new flows to web1 from this dispatcher
  geminus takeover                           this node takes over from its partner
  geminus host setup --address 198.51.100.80 on a content host: ready for direct return

Exit codes: 0 done, 1 the answer is no, 2 wrong use."
)]
pub(crate) struct Cli {
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub(crate) color: Colour,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Everything `geminus` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Be a dispatcher: load the data plane, own the cluster addresses, keep the servers known
    Run(RunArgs),
    /// Say everything that is wrong with a configuration, or what it would do
    Check(CheckArgs),
    /// Show the node: data plane, clusters, services, counters
    Status(StatusArgs),
    /// Show every server with its state, weight and load
    Servers(ServersArgs),
    /// Show remembered flows
    Flows(FlowsArgs),
    /// Tell the path of one packet in words
    Explain(ExplainArgs),
    /// Give a server no new flows; its old ones finish
    Drain(DrainArgs),
    /// Give a drained server new flows again
    Undrain(UndrainArgs),
    /// Give a server another weight until told otherwise
    Weight(WeightArgs),
    /// Make this node active for what its partner is active for, without losing a packet
    Takeover(TakeoverArgs),
    /// Read the configuration again and apply the difference
    Reload(ReloadArgs),
    /// Show what happened, and what happens
    Events(EventsArgs),
    /// Prepare, check and restore a content host for direct return
    ///
    /// A content host behind `method = "mac"` receives packets for the cluster address and answers the client itself. So
    /// it must own the address, on `lo`, and must never say so on the network: the dispatcher does. For IPv4 that takes
    /// arp_ignore and arp_announce. For IPv6 Linux already answers neighbour solicitations only for addresses of the
    /// interface they came in by, unless a proxy entry says otherwise.
    Host(HostArgs),
    /// Make keys out of the site's
    Key(KeyArgs),
    /// Print a completion script for a shell
    #[command(after_help = "\
Example:
  geminus completions bash > /etc/bash_completion.d/geminus")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(after_help = "\
Examples:
  geminus man | man -l -
  geminus man --dir /usr/local/share/man/man1    one page for each verb")]
    Man {
        /// Write a page for geminus and one for each verb into this directory instead
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  geminus run --config /etc/geminus/geminus.toml
  geminus run --config site.toml --node alpha --runtime-dir /run/geminus-alpha --log-format json

Signals: SIGHUP reads the configuration again, SIGTERM and SIGINT leave cleanly.")]
pub(crate) struct RunArgs {
    /// The configuration of the site
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Which node of the configuration this machine is [default: the host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// Where the socket and the state live; several daemons on one kernel differ in it
    #[arg(long, value_name = "DIR", default_value = "/run/geminus")]
    pub(crate) runtime_dir: PathBuf,
    /// The BPF file system, for the pins
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf")]
    pub(crate) bpffs: PathBuf,
    /// Leave the data plane forwarding when the daemon is told to stop
    #[arg(long)]
    pub(crate) detach: bool,
    /// Replace an XDP program of somebody else
    #[arg(long)]
    pub(crate) force: bool,
    /// Attach behind the driver, on the socket buffer: works everywhere, slower
    #[arg(long, conflicts_with = "native")]
    pub(crate) generic: bool,
    /// Attach in the driver or not at all [default: in the driver, else generic with a notice]
    #[arg(long)]
    pub(crate) native: bool,
    /// How the log looks
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  geminus check geminus.toml
  geminus check geminus.toml --node alpha --json | jq .memory
  geminus check --schema > geminus.schema.json")]
pub(crate) struct CheckArgs {
    /// The configuration of the site
    #[arg(required_unless_present = "schema")]
    pub(crate) file: Option<PathBuf>,
    /// Look at the interface of this node [default: the host name, or the only node]
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the JSON Schema of the configuration and do nothing else
    #[arg(long, conflicts_with_all = ["file", "node", "json"])]
    pub(crate) schema: bool,
}

/// How to reach the daemon, and for whom to print.
#[derive(Debug, Args)]
pub(crate) struct DaemonArgs {
    /// The runtime directory of the daemon
    #[arg(long, value_name = "DIR", default_value = "/run/geminus")]
    pub(crate) runtime_dir: PathBuf,
    /// The control socket [default: geminus.sock in the runtime directory]
    #[arg(long, value_name = "PATH", conflicts_with = "runtime_dir")]
    pub(crate) socket: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  geminus status
  geminus status --json | jq '.clusters[] | {name, state}'")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
}

/// Arguments of `servers`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  geminus servers
  geminus servers --watch
  geminus servers --cluster shop --wide")]
pub(crate) struct ServersArgs {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
    /// Only servers of this cluster
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Option<String>,
    /// Show hardware addresses, packets and what made each weight, too
    #[arg(long)]
    pub(crate) wide: bool,
    /// Show it again and again; on a terminal in place
    #[arg(long)]
    pub(crate) watch: bool,
    /// Seconds between two looks of --watch
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, requires = "watch", value_parser = pause)]
    pub(crate) every: f64,
}

/// A pause between two looks.
fn pause(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (0.1..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("0.1 to 3600 seconds".to_owned()) }
}

/// Arguments of `flows`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  geminus flows --server web1
  geminus flows --client 203.0.113.9 --limit 1000 --json")]
pub(crate) struct FlowsArgs {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
    /// Only flows of this server
    #[arg(long, value_name = "SERVER")]
    pub(crate) server: Option<String>,
    /// Only flows of this cluster
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Option<String>,
    /// Only flows of this client
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) client: Option<IpAddr>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  geminus explain tcp 203.0.113.9:40000 198.51.100.80:80
  geminus explain tcp '[2001:db8::9]:40000' '[2001:db8:1::80]:80' --later
  geminus explain icmp 203.0.113.9 198.51.100.80

The packet runs through the loaded program and through the same code in the daemon; nothing is sent.")]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
    /// Protocol of the packet
    #[arg(value_name = "PROTO")]
    pub(crate) protocol: Transport,
    /// Sender
    #[arg(
        value_name = "SRC",
        value_parser = endpoint,
        help = "Sender: ADDRESS:PORT, [ADDRESS]:PORT, or an address alone for icmp"
    )]
    pub(crate) source: Endpoint,
    /// Receiver, likewise
    #[arg(value_name = "DST", value_parser = endpoint)]
    pub(crate) destination: Endpoint,
    /// A later packet of the connection (ACK), not its first (SYN)
    #[arg(long)]
    pub(crate) later: bool,
}

/// Protocol of a packet to explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// An echo request: ICMP, or ICMPv6 between IPv6 addresses
    Icmp,
}

/// An address with or without a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The address.
    pub(crate) address: IpAddr,
    /// The port, if one was given.
    pub(crate) port: Option<u16>,
}

/// Arguments of `drain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  geminus drain web1                  in every cluster
  geminus drain web1 --cluster shop   only there
  geminus drain web1 --deadline 10m   what is left after ten minutes goes to other servers")]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
    /// Name of the server
    pub(crate) server: String,
    /// Only in this cluster
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Option<String>,
    /// When its flows go to other servers, such as 90s, 10m or 2h; without it they end by themselves
    #[arg(long, value_name = "TIME", value_parser = deadline)]
    pub(crate) deadline: Option<Duration>,
}

/// Arguments of `undrain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  geminus undrain web1
  geminus undrain web1 --cluster shop")]
pub(crate) struct UndrainArgs {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
    /// Name of the server
    pub(crate) server: String,
    /// Only in this cluster
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Option<String>,
}

/// A time from now, at most a week.
fn deadline(text: &str) -> Result<Duration, String> {
    const WEEK: u64 = 7 * 24 * 3600;
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("a whole number with s, m or h, such as 10m".to_owned()),
    };
    let seconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match seconds {
        Some(seconds @ 1..=WEEK) => Ok(Duration::from_secs(seconds)),
        _ => Err("1s to 168h".to_owned()),
    }
}

/// Arguments of `weight`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  geminus weight web1 20
  geminus weight web1 default --cluster shop")]
pub(crate) struct WeightArgs {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
    /// Name of the server
    pub(crate) server: String,
    /// 0 to 1000, or `default` for the configured one
    #[arg(value_name = "N|default", value_parser = weight)]
    pub(crate) weight: Weight,
    /// Only in this cluster
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Option<String>,
}

/// What `weight` sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// This one.
    Fixed(u16),
    /// The one in the configuration.
    Configured,
}

/// Arguments of `takeover`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  geminus takeover          every cluster that this node is primary or backup of
  geminus takeover shop     shop, and the clusters that fail over together with it

Said on the node that is to be active. The partner goes on forwarding until every neighbour has heard of it. Where recovery
is `auto`, the primary takes back what it is primary of once it has been well for long enough.")]
pub(crate) struct TakeoverArgs {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
    /// The cluster [default: all that this node has a role in]
    pub(crate) cluster: Option<String>,
    /// Also while replication is not complete: connections may be lost
    #[arg(long)]
    pub(crate) force: bool,
}

/// Arguments of `reload`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  geminus check /etc/geminus/geminus.toml && geminus reload

A configuration with a mistake changes nothing; the mistakes are listed and the exit code is 1.")]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
}

/// Arguments of `events`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  geminus events
  geminus events --follow --json | jq -r 'select(.kind == \"server-drained\") | .message'")]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
    /// Stay and show each new one as it happens
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only events with a greater number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) after: Option<u64>,
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    if let Ok(whole) = text.parse::<SocketAddr>() {
        return Ok(Endpoint { address: whole.ip(), port: Some(whole.port()) });
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().map_err(|_| {
        "expected ADDRESS:PORT such as 198.51.100.80:80 or [2001:db8::80]:80, or an address alone for icmp".to_owned()
    })?;
    Ok(Endpoint { address, port: None })
}

fn weight(text: &str) -> Result<Weight, String> {
    if text == "default" {
        return Ok(Weight::Configured);
    }
    let fixed = text.parse().ok().filter(|weight| *weight <= 1000);
    fixed.map(Weight::Fixed).ok_or_else(|| "expected 0 to 1000, or `default`".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn endpoints_are_addresses_with_or_without_a_port() {
        let parsed = |text| endpoint(text).map(|end| (end.address.to_string(), end.port));
        assert_eq!(parsed("198.51.100.80:80"), Ok(("198.51.100.80".to_owned(), Some(80))));
        assert_eq!(parsed("[2001:db8::80]:443"), Ok(("2001:db8::80".to_owned(), Some(443))));
        assert_eq!(parsed("2001:db8::80"), Ok(("2001:db8::80".to_owned(), None)));
        assert_eq!(parsed("[2001:db8::80]"), Ok(("2001:db8::80".to_owned(), None)));
        for text in ["", "shop:80", "198.51.100.80:", "198.51.100.80:70000", "198.51.100.256"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_weight_is_a_number_up_to_1000_or_the_configured_one() {
        assert_eq!(weight("default"), Ok(Weight::Configured));
        assert_eq!((weight("0"), weight("1000")), (Ok(Weight::Fixed(0)), Ok(Weight::Fixed(1000))));
        for text in ["1001", "-1", "", "1.5", "DEFAULT"] {
            assert!(weight(text).is_err(), "{text}");
        }
    }
}
