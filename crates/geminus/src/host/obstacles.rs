//! What `geminus host setup` leaves to the operator, because mending it could cut connections. Pure.

use std::net::IpAddr;

use crate::host::findings::{Finding, elsewhere, ipv6_disabled, too_wide};
use crate::host::seen::{LOOPBACK, Seen};
use crate::host::wanted::Wanted;
use crate::netlink::width;

/// Everything in the way, each with the command that clears it.
pub(crate) fn obstacles(wanted: &Wanted, seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    if wanted.addresses.iter().any(IpAddr::is_ipv6) {
        found.extend([LOOPBACK, &wanted.interface].iter().filter_map(|link| ipv6_disabled(link, seen)));
    }
    for address in &wanted.addresses {
        found.extend(elsewhere(*address, seen));
        let on_loopback = seen.places(*address).filter(|placed| seen.network.name(placed.link) == LOOPBACK);
        found.extend(on_loopback.filter(|placed| placed.prefix != width(*address)).map(too_wide));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::findings::sample::{placed, seen, wanted};
    use crate::host::sysctl::Sysctl;

    #[test]
    fn a_host_that_is_ready_has_no_obstacle() {
        assert_eq!(obstacles(&wanted(), &seen()), []);
    }

    #[test]
    fn every_obstacle_is_named_with_the_command_that_clears_it() {
        let mut seen = seen();
        seen.network.addresses[1].prefix = 24;
        seen.network.addresses.push(placed(3, "2001:db8:1::80", 64));
        seen.settings.insert(Sysctl::v6("lo", "disable_ipv6"), "1".into());
        let mends: Vec<Option<String>> =
            obstacles(&wanted(), &seen).into_iter().map(|one| one.mend).collect();
        let expected = [
            "sysctl -w net.ipv6.conf.lo.disable_ipv6=0",
            "ip address del 198.51.100.80/24 dev lo; ip address add 198.51.100.80/32 dev lo",
            "ip address del 2001:db8:1::80/64 dev eth1",
        ];
        assert_eq!(mends, expected.map(|mend| Some(mend.to_owned())));
    }
}
