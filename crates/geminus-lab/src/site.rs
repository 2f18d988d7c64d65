//! A whole site in namespaces: client – router – switch – dispatchers and content hosts.
//!
//! ```text
//!   client ── router ──┬── switch ──┬── alpha            (a dispatcher)
//!   203.0.113.10       │            ├── web1 … webN      (content hosts, nginx)
//!                 198.51.100.1      └── …
//! ```
//!
//! The router is the gateway of every machine on the LAN, so a content host's reply goes to it straight from the
//! switch. The switch is a bridge in a namespace of its own and counts what passes between its ports.
//! Two dispatchers may have a second way between them ([`Second`]), and an observer on the LAN may ask who has an address.

mod wires;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};

use self::wires::{
    pass_on_ports, quiet, wire_cable, wire_client, wire_machine, wire_router, wire_second_networks,
};
use crate::kernel::Attached;
use crate::namespace::Namespace;
use crate::nginx;
use crate::process::{Process, allow_files};
use crate::undo::{self, Debt, FOLDER_PREFIX, Ledger, NAMESPACE_PREFIX};

/// An IPv4 and an IPv6 address of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The IPv4 address.
    pub v4: Ipv4Addr,
    /// The IPv6 address.
    pub v6: Ipv6Addr,
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Where clients are.
pub const CLIENT: Addresses = client_side(10, 0x10);
/// How many addresses the client has, [`CLIENT`] the first.
pub const CLIENTS: u8 = 200;
/// The router's address on the client's side.
const ROUTER_OUTSIDE: Addresses = client_side(1, 1);
/// The router's address on the LAN, the gateway of every machine there.
pub const ROUTER: Addresses = lan(1, 1);
/// The cluster's address.
pub const CLUSTER: Addresses = lan(80, 0x80);
/// The address of a second cluster.
pub const MAIL: Addresses = lan(90, 0x90);
/// The observer's address on the LAN.
pub const OBSERVER: Addresses = lan(250, 0x250);

/// What joins dispatchers besides the LAN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Second {
    /// Nothing.
    #[default]
    None,
    /// A cable from `eth1` to `eth1`.
    Cable,
    /// `eth1` of each is in a network of its own, and the router is between them.
    Router,
}

/// Address of the dispatcher at this place on the second way.
pub const fn second_address(second: Second, place: u8) -> Addresses {
    let p = place as u16;
    match second {
        Second::Router => beside(64 * place + 2, p + 1, 2),
        Second::None | Second::Cable => beside(place + 1, 0, p + 1),
    }
}

/// The router's address in the second network of the dispatcher at this place.
const fn second_gateway(place: u8) -> Addresses {
    beside(64 * place + 1, place as u16 + 1, 1)
}

const fn beside(v4: u8, network: u16, v6: u16) -> Addresses {
    Addresses {
        v4: Ipv4Addr::new(192, 0, 2, v4),
        v6: Ipv6Addr::new(0x2001, 0xdb8, 0xff, network, 0, 0, 0, v6),
    }
}

const fn client_side(v4: u8, v6: u16) -> Addresses {
    Addresses { v4: Ipv4Addr::new(203, 0, 113, v4), v6: Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, v6) }
}

/// One of the client's addresses, `place` below [`CLIENTS`].
pub const fn client_address(place: u8) -> Addresses {
    client_side(10 + place, 0x10 + place as u16)
}

const fn lan(v4: u8, v6: u16) -> Addresses {
    Addresses { v4: Ipv4Addr::new(198, 51, 100, v4), v6: Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, v6) }
}

impl Addresses {
    /// The address of one family.
    pub const fn of(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => IpAddr::V4(self.v4),
            Family::V6 => IpAddr::V6(self.v6),
        }
    }
}

impl Family {
    /// Both, IPv4 first.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// `IPv4` or `IPv6`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// What a site is made of.
#[derive(Debug, Clone)]
pub struct SiteBuilder {
    content_hosts: u8,
    dispatchers: Vec<String>,
    second: Second,
    observer: bool,
}

/// One machine on the LAN.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its name, also that of its port on the switch.
    pub name: String,
    /// Its addresses on the LAN.
    pub addresses: Addresses,
    /// Where it lives.
    pub namespace: Namespace,
}

/// A site that stands. Everything is undone when it is dropped.
#[derive(Debug)]
pub struct Site {
    /// The machine of the clients.
    pub client: Namespace,
    /// The gateway between clients and LAN.
    pub router: Namespace,
    /// The LAN's bridge.
    pub switch: Namespace,
    /// The dispatchers, in the order of the builder.
    pub dispatchers: Vec<Machine>,
    /// The content hosts, `web1` first.
    pub hosts: Vec<Machine>,
    /// The middle of the cable between the dispatchers, if there is one: a bridge with a port for each.
    pub cable: Option<Namespace>,
    /// The machine that only looks, if there is one.
    pub observer: Option<Machine>,
    // In the order in which they end: processes, then programs, then what the ledger knows.
    /// By machine.
    services: Vec<(String, Process)>,
    _port_programs: Vec<Attached>,
    folder: PathBuf,
    ledger: Arc<Ledger>,
}

impl Default for SiteBuilder {
    fn default() -> Self {
        Self {
            content_hosts: 3,
            dispatchers: vec!["alpha".to_owned()],
            second: Second::None,
            observer: false,
        }
    }
}

impl SiteBuilder {
    /// How many content hosts; 3 unless told otherwise, at most 40.
    #[must_use]
    pub fn content_hosts(mut self, count: u8) -> Self {
        self.content_hosts = count.min(40);
        self
    }

    /// Names of the dispatchers; `alpha` alone unless told otherwise, at most 9.
    #[must_use]
    pub fn dispatchers<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.dispatchers = names.into_iter().take(9).map(Into::into).collect();
        self
    }

    /// What joins the dispatchers besides the LAN; nothing unless told otherwise.
    #[must_use]
    pub fn second(mut self, second: Second) -> Self {
        self.second = second;
        self
    }

    /// Adds a machine on the LAN that only looks.
    #[must_use]
    pub fn observer(mut self) -> Self {
        self.observer = true;
        self
    }

    /// Builds it and starts nginx on every content host.
    ///
    /// # Errors
    /// When the kernel lacks something, a program is missing or the process is not root; nothing is left behind.
    pub fn build(self) -> Result<Site> {
        static SITES: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            bail!("the lab makes network namespaces and needs root: run it as root or with sudo");
        }
        undo::sweep()?;
        allow_files()?;
        let number = SITES.fetch_add(1, Ordering::Relaxed);
        let ledger = Ledger::open()?;
        let folder = run_folder(number, &ledger)?;
        let namespace = |machine: &str| {
            Namespace::create(format!("{NAMESPACE_PREFIX}{}-{number}-{machine}", std::process::id()), &ledger)
        };
        let (client, router, switch) = (namespace("client")?, namespace("router")?, namespace("switch")?);
        for machine in [&client, &router, &switch] {
            quiet(machine)?;
        }
        wire_client(&client, &router)?;
        wire_router(&router, &switch)?;
        let machine = |name: &str, addresses: Addresses| -> Result<Machine> {
            let namespace = namespace(name)?;
            quiet(&namespace)?;
            wire_machine(&namespace, &switch, name, addresses)?;
            Ok(Machine { name: name.to_owned(), addresses, namespace })
        };
        let dispatchers = (0_u8..)
            .zip(&self.dispatchers)
            .map(|(i, name)| machine(name, lan(11 + i, 0x11 + u16::from(i))))
            .collect::<Result<Vec<_>>>()?;
        let hosts = (0..self.content_hosts)
            .map(|i| machine(&format!("web{}", i + 1), lan(21 + i, decimal_look(21 + i))))
            .collect::<Result<Vec<_>>>()?;
        let observer = self.observer.then(|| machine("observer", OBSERVER)).transpose()?;
        let cable = match self.second {
            Second::Cable => {
                let cable = namespace("cable")?;
                quiet(&cable)?;
                wire_cable(&cable, &dispatchers)?;
                Some(cable)
            }
            Second::Router => {
                wire_second_networks(&router, &dispatchers)?;
                None
            }
            Second::None => None,
        };
        let names: Vec<&str> = dispatchers.iter().map(|machine| machine.name.as_str()).collect();
        let mut port_programs = pass_on_ports(&switch, &names)?;
        match (&cable, self.second) {
            (Some(cable), _) => port_programs.extend(pass_on_ports(cable, &names)?),
            (None, Second::Router) => port_programs.extend(pass_on_ports(&router, &names)?),
            (None, _) => {}
        }
        let mut site = Site {
            client,
            router,
            switch,
            dispatchers,
            hosts,
            cable,
            observer,
            services: Vec::new(),
            _port_programs: port_programs,
            folder,
            ledger,
        };
        for host in site.hosts.clone() {
            site.serve_http(&host)?;
        }
        Ok(site)
    }
}

impl Site {
    /// Starts describing a site.
    pub fn builder() -> SiteBuilder {
        SiteBuilder::default()
    }

    /// A folder of this site for logs, configuration and sockets; gone with the site.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The BPF file system of this site: it outlives every process in it.
    pub fn bpffs(&self) -> PathBuf {
        self.folder.join("bpffs")
    }

    /// What undoes this site.
    pub(crate) fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger)
    }

    /// Starts nginx on a machine and waits until it answers.
    ///
    /// # Errors
    /// When nginx is missing, ends at once or does not answer within five seconds.
    pub fn serve_http(&mut self, machine: &Machine) -> Result<()> {
        let process = nginx::start(machine, &self.folder.join(&machine.name), &self.ledger)?;
        self.services.push((machine.name.clone(), process));
        Ok(())
    }

    /// Kills the nginx of a machine as `kill -9` does: its connections are reset, its ports are closed.
    ///
    /// # Errors
    /// When none runs there.
    pub fn kill_http(&mut self, machine: &str) -> Result<()> {
        let at = self.services.iter().position(|(name, _)| name == machine);
        let (_, process) = self.services.remove(at.with_context(|| format!("no nginx runs on {machine}"))?);
        process.kill()
    }

    /// The nginx of a machine.
    ///
    /// # Errors
    /// When none runs there.
    pub fn http(&self, machine: &str) -> Result<&Process> {
        let found = self.services.iter().find(|(name, _)| name == machine);
        found.map(|(_, process)| process).with_context(|| format!("no nginx runs on {machine}"))
    }

    /// Makes a content host accept the cluster address without announcing it, as `geminus host setup` does.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn accept_cluster(&self, host: &Machine) -> Result<()> {
        for key in ["arp_ignore", "arp_announce"] {
            let value = if key == "arp_ignore" { "1" } else { "2" };
            host.namespace.sysctl(&format!("ipv4/conf/all/{key}"), value)?;
        }
        host.namespace
            .ip(&format!("addr add {}/32 dev lo\naddr add {}/128 dev lo nodad\n", CLUSTER.v4, CLUSTER.v6))
    }

    /// Lets the router send the cluster's packets straight to one machine: a site without a balancer.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn route_cluster_to(&self, machine: &Machine) -> Result<()> {
        self.router.ip(&format!(
            "route replace {}/32 via {}\nroute replace {}/128 via {}\n",
            CLUSTER.v4, machine.addresses.v4, CLUSTER.v6, machine.addresses.v6
        ))
    }
}

fn run_folder(number: u32, ledger: &Ledger) -> Result<PathBuf> {
    let run = std::env::temp_dir().join(format!("{FOLDER_PREFIX}{}", std::process::id()));
    let folder = run.join(number.to_string());
    let bpffs = folder.join("bpffs");
    std::fs::create_dir_all(&bpffs).with_context(|| format!("cannot make {}", bpffs.display()))?;
    // The last site of the run takes the run's folder with it; while others stand it is not empty and stays.
    ledger.owe(Debt::EmptyFolder(run))?;
    ledger.owe(Debt::Folder(folder.clone()))?;
    rustix::mount::mount("bpf", &bpffs, "bpf", rustix::mount::MountFlags::empty(), None)
        .with_context(|| format!("cannot mount a BPF file system on {}", bpffs.display()))?;
    ledger.owe(Debt::Mount(bpffs))?;
    Ok(folder)
}

/// Hexadecimal digits that look like the decimal number: 21 gives 0x21, so `::21` belongs to `.21`.
const fn decimal_look(number: u8) -> u16 {
    (number as u16 / 10) * 16 + number as u16 % 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_way_uses_documentation_addresses_only() {
        let show = |addresses: Addresses| format!("{} {}", addresses.v4, addresses.v6);
        assert_eq!(show(second_address(Second::Cable, 1)), "192.0.2.2 2001:db8:ff::2");
        assert_eq!(show(second_address(Second::Router, 1)), "192.0.2.66 2001:db8:ff:2::2");
        assert_eq!(show(second_gateway(1)), "192.0.2.65 2001:db8:ff:2::1");
    }

    #[test]
    fn an_ipv6_address_ends_in_the_digits_of_its_ipv4_twin() {
        assert_eq!(decimal_look(21), 0x21);
        assert_eq!(decimal_look(40), 0x40);
        assert_eq!(CLUSTER.of(Family::V4).to_string(), "198.51.100.80");
        assert_eq!(CLUSTER.of(Family::V6).to_string(), "2001:db8:1::80");
    }
}
