//! From the command line to the loop, and back out of it.

use std::sync::Arc;
use std::time::Duration;

use geminus_core::director::{Director, Input, Interface, Start};
use geminus_core::model::Node;
use geminus_core::neighbour::{Mac, Route};
use tokio::sync::mpsc;

use crate::agents::{Agents, AgentsSite};
use crate::control::{ControlServer, QUESTIONS};
use crate::driver::{Clock, Driver, Parts, Secrets};
use crate::error::RunError;
use crate::kernel::{LinkSocket, Lookups, Netlink, give_memory_back};
use crate::options::RunOptions;
use crate::pair::Pair;
use crate::plane::Plane;
use crate::runtime_dir::RuntimeDir;
use crate::{agents, logging, site_file, site_key};

/// How long a thread that only reads a configuration now and then is kept.
const THREAD_KEPT: Duration = Duration::from_secs(1);

/// How long the end waits for a configuration that is being read.
const LAST: Duration = Duration::from_secs(1);

/// Is the daemon until a signal ends it.
///
/// # Errors
///
/// Whatever keeps it from starting. Nothing has been changed then, and what an earlier daemon left still forwards.
pub fn run(options: RunOptions) -> Result<(), RunError> {
    let log = logging::begin(options.log);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .thread_keep_alive(THREAD_KEPT)
        .build()
        .map_err(|error| RunError::Kernel { what: "an event loop", error })?;
    let outcome = runtime.block_on(daemon(&options));
    runtime.shutdown_timeout(LAST);
    drop(log);
    outcome
}

async fn daemon(options: &RunOptions) -> Result<(), RunError> {
    let started = Clock::start();
    let site = Arc::new(site_file::read(&options.config)?);
    give_memory_back();
    let node = site_file::node(&site, options.node.as_deref())?;
    check_capabilities(capabilities())?;
    let runtime_dir = RuntimeDir::take(&options.runtime_dir)?;
    let key = match &site.key_file {
        Some(path) => site_key::from_file(path)?,
        None => site_key::own(&runtime_dir.key())?,
    };

    let ha_keys = site_key::of_partners(&site.ha, &key)?;
    let agent_keys = agents::of_site(&site.agents, &key)?;

    // The subscription comes before the first look, so that nothing is missed between the two.
    let mut netlink = kernel("a netlink socket", Netlink::open())?;
    let interfaces = kernel("a netlink socket", Netlink::interfaces())?;
    let link_locals = kernel("a netlink socket", netlink.link_locals())?;
    let lookups = kernel("a netlink socket", Lookups::open())?;
    let link_socket = kernel("a packet socket", LinkSocket::open())?;
    let mac = mac(&node, &interfaces)?;
    check_address(&node, &lookups)?;

    let pins = runtime_dir.pin_name();
    let (mut plane, found) =
        Plane::open(options, &pins, (&site, &node, key.clone(), &ha_keys), mac, &interfaces)?;
    let start = Start {
        node,
        site,
        overrides: found.overrides,
        rulings: found.rulings,
        interfaces,
        lease_remaining: found.lease_remaining,
        group_lease_remaining: found.group_lease_remaining,
        adopted: found.adopted,
        kernel_start: started.kernel_start(),
        seed: u64::from(std::process::id()),
    };
    let now = started.now();
    let mut director = Director::new(start, now);
    link_locals.into_iter().for_each(|input: Input| director.handle(input, now));
    let config = options.config.clone();
    let detach = options.detach_on_exit;
    let pair = Pair::start(&mut director, &mut plane, &ha_keys, started)?;
    let agents = Agents::start(started, AgentsSite::of(director.site(), director.node(), &agent_keys));
    let secrets = Secrets { site: key, ha: ha_keys, agents: agent_keys };
    let parts = Parts {
        config,
        detach,
        started,
        director,
        plane,
        pair,
        agents,
        secrets,
        netlink,
        lookups,
        link_socket,
    };
    let (plane, keep) = serve(Driver::new(parts), &runtime_dir).await?;
    if keep { Ok(()) } else { plane.detach() }
}

/// Runs the loop and the control socket beside it.
async fn serve(driver: Driver, runtime_dir: &RuntimeDir) -> Result<(Plane, bool), RunError> {
    let path = runtime_dir.socket();
    let server = ControlServer::bind(&path).map_err(|error| RunError::Runtime { path, error })?;
    let (sender, questions) = mpsc::channel(QUESTIONS);
    tokio::select! {
        outcome = driver.run(questions) => outcome,
        () = server.serve(sender) => unreachable!("the control socket is served for ever"),
    }
}

/// The effective capabilities of this process (`proc_pid_status(5)`); all of them if they cannot be known.
fn capabilities() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let digits = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    digits.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(u64::MAX)
}

/// Looked at first, because the kernel's own refusals name everything but the capability that is missing.
fn check_capabilities(effective: u64) -> Result<(), RunError> {
    const SYS_ADMIN: u64 = 1 << 21;
    // Numbers of linux/capability.h, and what includes them.
    let needed = [
        ("CAP_NET_ADMIN", 1 << 12),
        ("CAP_NET_RAW", 1 << 13),
        ("CAP_PERFMON", 1 << 38 | SYS_ADMIN),
        ("CAP_BPF", 1 << 39 | SYS_ADMIN),
    ];
    let missing: Vec<_> =
        needed.into_iter().filter(|(_, any)| effective & any == 0).map(|(name, _)| name).collect();
    if missing.is_empty() { Ok(()) } else { Err(RunError::Capabilities { missing }) }
}

fn kernel<T>(what: &'static str, outcome: std::io::Result<T>) -> Result<T, RunError> {
    outcome.map_err(|error| RunError::Kernel { what, error })
}

fn mac(node: &Node, interfaces: &[Interface]) -> Result<Mac, RunError> {
    let refused = |because| RunError::Interface {
        name: node.interface.clone(),
        because,
        there_are: interfaces.iter().map(|interface| interface.name.clone()).collect(),
    };
    let interface = interfaces.iter().find(|interface| interface.name == node.interface);
    let interface = interface.ok_or_else(|| refused("does not exist"))?;
    interface.mac.filter(|mac| mac.is_host()).ok_or_else(|| refused("is no Ethernet interface"))
}

/// A node that runs on another machine than the configuration means would answer for addresses that are not its own.
fn check_address(node: &Node, lookups: &Lookups) -> Result<(), RunError> {
    match lookups.route(node.address) {
        Route::Local => Ok(()),
        Route::OnLink { .. } | Route::Via { .. } | Route::Unreachable => {
            Err(RunError::Address { node: node.name.clone(), address: node.address })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_capability_is_named() {
        const NEEDED: u64 = 1 << 12 | 1 << 13 | 1 << 38 | 1 << 39;
        check_capabilities(NEEDED).expect("exactly enough");
        check_capabilities(1 << 12 | 1 << 13 | 1 << 21).expect("CAP_SYS_ADMIN includes the rest");
        let error = check_capabilities(NEEDED & !(1 << 38)).expect_err("too little");
        assert_eq!(error.to_string(), "the process lacks CAP_PERFMON");
        let error = check_capabilities(0).expect_err("too little");
        assert_eq!(error.to_string(), "the process lacks CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON, CAP_BPF");
    }
}
