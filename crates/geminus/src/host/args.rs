//! The command line of `geminus host`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::host::agent::args::AgentArgs;
use crate::host::wanted::Port;

/// Arguments of `host`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct HostArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: HostVerb,
}

/// What to do with a content host.
#[derive(Debug, Subcommand)]
pub(crate) enum HostVerb {
    /// Make this machine ready for direct return, and remember what was changed
    Setup(SetupArgs),
    /// Restore everything that `setup` changed
    Undo(UndoArgs),
    /// Say what is wrong with this machine as a content host, and the command that mends it
    Check(CheckArgs),
    /// Tell the dispatchers how loaded this machine is, what is wrong with it, and that it is about to stop
    Agent(AgentArgs),
}

/// Which cluster addresses, and where their packets come in.
#[derive(Debug, Args)]
pub(crate) struct SiteArgs {
    /// A cluster address; several are allowed
    #[arg(long = "address", value_name = "ADDRESS", required = true)]
    pub(crate) addresses: Vec<IpAddr>,
    /// The interface that faces the dispatcher [default: the one whose network the address belongs to, else the one
    /// of the default route]
    #[arg(long, value_name = "IF")]
    pub(crate) interface: Option<String>,
}

/// Arguments of `host setup`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  geminus host setup --address 198.51.100.80 --address 2001:db8:1::80
  geminus host setup --address 198.51.100.80 --print-sysctl > /etc/sysctl.d/90-geminus-host.conf
  geminus host setup --address 198.51.100.80 --print-networkd > /etc/systemd/network/05-geminus-lo.network

Running it again changes nothing. It lasts until the next start of the machine; the files of the last two examples
make it permanent.")]
pub(crate) struct SetupArgs {
    #[command(flatten)]
    pub(crate) site: SiteArgs,
    #[command(flatten)]
    pub(crate) record: RecordArgs,
    /// Print the sysctl.d lines that make the settings permanent, and change nothing
    #[arg(long, conflicts_with = "print_networkd")]
    pub(crate) print_sysctl: bool,
    /// Print the systemd-networkd file that makes the addresses permanent, and change nothing
    #[arg(long)]
    pub(crate) print_networkd: bool,
}

/// Arguments of `host undo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  geminus host undo

A setting that somebody else changed since is left as it is, and said.")]
pub(crate) struct UndoArgs {
    #[command(flatten)]
    pub(crate) record: RecordArgs,
}

/// Where `setup` remembers what it changed.
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// Where the changes are remembered
    #[arg(long, value_name = "FILE", default_value = "/run/geminus-host/state.json")]
    pub(crate) state: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `host check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  geminus host check --address 198.51.100.80 --port 80
  geminus host check --address 198.51.100.53 --port 53/udp --port 53 --client 203.0.113.9 --json

Exit code 1 if anything is wrong. Nothing is changed and nothing is sent.")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) site: SiteArgs,
    /// A port of the service, PORT or PORT/udp; several are allowed
    #[arg(long = "port", value_name = "PORT[/udp]")]
    pub(crate) ports: Vec<Port>,
    /// A client whose way back is looked up [default: an address beyond every local network]
    #[arg(long = "client", value_name = "ADDRESS")]
    pub(crate) clients: Vec<IpAddr>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
