//! `geminus host setup`: makes the machine ready and says each thing it does.

use std::io;
use std::path::Path;

use geminus_api::Changed;

use crate::failure::{Exit, Failure};
use crate::host::args::{SetupArgs, SiteArgs};
use crate::host::findings::Finding;
use crate::host::obstacles::obstacles;
use crate::host::permanent::{networkd, sysctls};
use crate::host::record::{Deed, Record, namespace};
use crate::host::seen::{LOOPBACK, Network, Seen, cannot_read};
use crate::host::steps::{Step, steps};
use crate::host::wanted::{Wanted, cluster_addresses};
use crate::netlink::Netlink;
use crate::screen::Look;
use crate::verbs::change::render;
use crate::verbs::{json_text, print};

/// Does what is missing.
pub(crate) fn run(args: &SetupArgs, look: Look) -> Result<Exit, Failure> {
    let mut netlink = open()?;
    let (network, wanted) = survey(&mut netlink, &args.site)?;
    if args.print_sysctl {
        return print(&sysctls(&wanted));
    }
    if args.print_networkd {
        return print(&networkd(&wanted));
    }
    let seen = Seen::read(&mut netlink, network, &wanted)?;
    refuse(&obstacles(&wanted, &seen))?;
    let changed = perform(&steps(&wanted, &seen), &mut netlink, &seen.network, &args.record.state)?;
    print(&if args.record.json { json_text(&changed) } else { render(&changed, look) })
}

/// A socket to the kernel.
pub(crate) fn open() -> Result<Netlink, Failure> {
    Netlink::open().map_err(|error| cannot_read("the network configuration", &error))
}

/// The network, and what is wanted of it.
pub(crate) fn survey(netlink: &mut Netlink, site: &SiteArgs) -> Result<(Network, Wanted), Failure> {
    let addresses = cluster_addresses(&site.addresses)?;
    let network = Network::read(netlink)?;
    let interface = network.facing(site.interface.as_deref(), &addresses)?;
    Ok((network, Wanted { addresses, interface, ports: Vec::new(), clients: Vec::new() }))
}

fn refuse(obstacles: &[Finding]) -> Result<(), Failure> {
    let line = |finding: &Finding| match &finding.mend {
        Some(mend) => format!("{}: {mend}", finding.message),
        None => finding.message.clone(),
    };
    if obstacles.is_empty() {
        return Ok(());
    }
    Err(Failure::no("nothing was changed")
        .hint("clear this first")
        .details(obstacles.iter().map(line).collect()))
}

fn perform(
    steps: &[Step],
    netlink: &mut Netlink,
    network: &Network,
    path: &Path,
) -> Result<Changed, Failure> {
    let namespace = namespace()?;
    let mut record = Record::load(path, namespace)?.unwrap_or_else(|| Record::new(namespace));
    let mut changes = Vec::new();
    for step in steps {
        let before = record.clone();
        record.note(Deed::from(step));
        record.save(path)?;
        match act(step, netlink, network) {
            Ok(()) => changes.push(step.to_string()),
            Err(error) => {
                // What was not done is nothing to undo.
                before.save(path)?;
                return Err(stopped(step, &error, changes));
            }
        }
    }
    Ok(Changed { changes })
}

fn act(step: &Step, netlink: &mut Netlink, network: &Network) -> io::Result<()> {
    let loopback = network.link(LOOPBACK).map(|link| link.index).unwrap_or_default();
    match step {
        Step::Set { setting, to, .. } => setting.write(to),
        Step::RaiseLoopback => netlink.set_up(loopback, true),
        Step::Add(address) => netlink.add_address(loopback, *address),
    }
}

fn stopped(step: &Step, error: &io::Error, done: Vec<String>) -> Failure {
    let what = match step {
        Step::Set { setting, to, .. } => format!("cannot set {setting} to {to}"),
        Step::RaiseLoopback => "cannot switch lo on".to_owned(),
        Step::Add(address) => format!("cannot add {address} to lo"),
    };
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "run as root (CAP_NET_ADMIN)",
        io::ErrorKind::ReadOnlyFilesystem => "/proc/sys is read-only here: run it outside the container",
        _ => "`geminus host undo` restores what was changed before",
    };
    Failure::no(format!("{what}: {error}")).hint(hint).details(done)
}
