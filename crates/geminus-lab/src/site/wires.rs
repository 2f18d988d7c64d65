//! The cables of a site: what is plugged in where, with which addresses.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::{
    Addresses, CLIENT, CLIENTS, Machine, ROUTER, ROUTER_OUTSIDE, Second, client_address, second_address,
    second_gateway,
};
use crate::kernel::{Attached, PassProgram};
use crate::namespace::{Namespace, index_of};

/// No duplicate address detection, no router advertisements: a site must stand at once and change nothing by itself.
pub(super) fn quiet(namespace: &Namespace) -> Result<()> {
    namespace.inside(|| {
        for key in ["all", "default"] {
            let folder = Path::new("/proc/sys/net/ipv6/conf").join(key);
            for (value, name) in [("0", "accept_dad"), ("0", "dad_transmits"), ("0", "accept_ra")] {
                std::fs::write(folder.join(name), value)
                    .with_context(|| format!("cannot set {name} in {}", namespace.name()))?;
            }
        }
        Ok(())
    })?;
    namespace.ip("link set lo up\n")
}

pub(super) fn wire_client(client: &Namespace, router: &Namespace) -> Result<()> {
    router.ip(&format!(
        "link add outside type veth peer name eth0 netns {client}\n\
         link set outside up\n\
         addr add {r4}/24 dev outside\n\
         addr add {r6}/64 dev outside nodad\n",
        client = client.name(),
        r4 = ROUTER_OUTSIDE.v4,
        r6 = ROUTER_OUTSIDE.v6,
    ))?;
    let addresses: String = (0..CLIENTS)
        .map(client_address)
        .map(|of| format!("addr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\n", of.v4, of.v6))
        .collect();
    // Traffic that does not choose comes from the first address.
    client.ip(&format!(
        "link set eth0 up\n{addresses}\
         route add default via {} src {}\n\
         route add ::/0 via {} src {}\n",
        ROUTER_OUTSIDE.v4, CLIENT.v4, ROUTER_OUTSIDE.v6, CLIENT.v6
    ))?;
    // Thousands of short connections a second must not run out of ports.
    client.sysctl("ipv4/ip_local_port_range", "1024 65535")?;
    plain_packets(router, "outside")?;
    plain_packets(client, "eth0")
}

pub(super) fn wire_router(router: &Namespace, switch: &Namespace) -> Result<()> {
    switch.ip("link add lan type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set lan up\n")?;
    plug(switch, "lan", router, ("router", "lan"), ROUTER, (24, 64))?;
    router.sysctl("ipv4/ip_forward", "1")?;
    // A router that sends redirects would teach the client a shortcut that a real one does not have.
    router.sysctl("ipv4/conf/all/send_redirects", "0")?;
    router.sysctl("ipv6/conf/all/forwarding", "1")
}

pub(super) fn wire_machine(
    machine: &Namespace,
    switch: &Namespace,
    name: &str,
    addresses: Addresses,
) -> Result<()> {
    plug(switch, "lan", machine, (name, "eth0"), addresses, (24, 64))?;
    machine.ip(&format!("route add default via {}\nroute add ::/0 via {}\n", ROUTER.v4, ROUTER.v6))
}

/// A cable from a port of the bridge in `switch` to an interface of a machine; `ends` names both.
fn plug(
    switch: &Namespace,
    bridge: &str,
    machine: &Namespace,
    ends: (&str, &str),
    addresses: Addresses,
    prefixes: (u8, u8),
) -> Result<()> {
    let (port, device) = ends;
    switch.ip(&format!(
        "link add {port} type veth peer name {device} netns {machine}\n\
         link set {port} master {bridge}\n\
         link set {port} up\n",
        machine = machine.name(),
    ))?;
    address(machine, device, addresses, prefixes)?;
    plain_packets(switch, port)?;
    plain_packets(machine, device)
}

/// Brings an interface up and gives it its addresses.
fn address(machine: &Namespace, device: &str, addresses: Addresses, prefixes: (u8, u8)) -> Result<()> {
    machine.ip(&format!(
        "link set {device} up\naddr add {}/{} dev {device}\naddr add {}/{} dev {device} nodad\n",
        addresses.v4, prefixes.0, addresses.v6, prefixes.1
    ))
}

/// The cable between dispatchers. In its middle sits a bridge of its own, so that it can be cut without either end
/// losing its carrier.
pub(super) fn wire_cable(cable: &Namespace, dispatchers: &[Machine]) -> Result<()> {
    cable
        .ip("link add cable type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set cable up\n")?;
    for (place, machine) in (0_u8..).zip(dispatchers) {
        let addresses = second_address(Second::Cable, place);
        plug(cable, "cable", &machine.namespace, (&machine.name, "eth1"), addresses, (24, 64))?;
    }
    Ok(())
}

/// A second interface of every dispatcher, in a network of its own behind the router.
pub(super) fn wire_second_networks(router: &Namespace, dispatchers: &[Machine]) -> Result<()> {
    for (place, machine) in (0_u8..).zip(dispatchers) {
        let name = &machine.name;
        router.ip(&format!(
            "link add {name} type veth peer name eth1 netns {machine}\n",
            machine = machine.namespace.name()
        ))?;
        address(router, name, second_gateway(place), (26, 64))?;
        address(&machine.namespace, "eth1", second_address(Second::Router, place), (26, 64))?;
        plain_packets(router, name)?;
        plain_packets(&machine.namespace, "eth1")?;
        for other in (0_u8..).take(dispatchers.len()).filter(|other| *other != place) {
            let (to, gateway) = (second_address(Second::Router, other), second_gateway(place));
            machine.namespace.ip(&format!(
                "route add {}/32 via {} dev eth1\nroute add {}/128 via {} dev eth1\n",
                to.v4, gateway.v4, to.v6, gateway.v6
            ))?;
        }
    }
    Ok(())
}

/// Frames as a wire has them: whole checksums, no more than the MTU.
fn plain_packets(namespace: &Namespace, device: &str) -> Result<()> {
    let features = ["-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off"];
    namespace.run("ethtool", &features).map(drop)
}

/// `XDP_TX` on a veth needs a program at the other end too.
pub(super) fn pass_on_ports(namespace: &Namespace, ports: &[&str]) -> Result<Vec<Attached>> {
    let program = PassProgram::load()?;
    namespace.inside(|| {
        ports
            .iter()
            .map(|port| {
                let index = index_of(port)?;
                program.attach(index).with_context(|| format!("at port {port}"))
            })
            .collect()
    })
}
