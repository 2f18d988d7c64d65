//! The files that make `setup` survive a restart of the machine. Pure.

use std::fmt::Write;
use std::net::IpAddr;

use crate::host::sysctl::Sysctl;
use crate::host::wanted::Wanted;
use crate::netlink::width;

/// Lines for `/etc/sysctl.d` (sysctl.d(5)). The interface may come later than the settings are read: `all` alone
/// suffices, since the kernel takes the larger value, and the leading dash says that a missing interface is no error.
pub(crate) fn sysctls(wanted: &Wanted) -> String {
    let mut text = String::from(
        "# /etc/sysctl.d/90-geminus-host.conf: lo has cluster addresses, nobody may hear of it\n",
    );
    if !wanted.addresses.iter().any(IpAddr::is_ipv4) {
        text.push_str("# IPv6 alone needs no setting\n");
        return text;
    }
    for (name, value) in [("arp_ignore", 1), ("arp_announce", 2)] {
        let _ = writeln!(text, "{} = {value}", Sysctl::v4("all", name));
        let _ = writeln!(text, "-{} = {value}", Sysctl::v4(&wanted.interface, name));
    }
    text
}

/// A file for systemd-networkd (systemd.network(5)).
pub(crate) fn networkd(wanted: &Wanted) -> String {
    let mut text = String::from("# /etc/systemd/network/05-geminus-lo.network\n[Match]\nName=lo\n");
    for address in &wanted.addresses {
        let _ = write!(text, "\n[Address]\nAddress={address}/{}\n", width(*address));
        if address.is_ipv6() {
            text.push_str("DuplicateAddressDetection=none\nPreferredLifetime=0\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::findings::sample::{ip, wanted};

    #[test]
    fn the_settings_are_lines_of_sysctl_d() {
        let expected = "\
# /etc/sysctl.d/90-geminus-host.conf: lo has cluster addresses, nobody may hear of it
net.ipv4.conf.all.arp_ignore = 1
-net.ipv4.conf.eth0.arp_ignore = 1
net.ipv4.conf.all.arp_announce = 2
-net.ipv4.conf.eth0.arp_announce = 2
";
        assert_eq!(sysctls(&wanted()), expected);
    }

    #[test]
    fn ipv6_alone_needs_no_setting() {
        let only_six = Wanted { addresses: vec![ip("2001:db8:1::80")], ..wanted() };
        assert!(!sysctls(&only_six).contains('='));
    }

    #[test]
    fn the_addresses_are_sections_of_a_network_file() {
        let expected = "\
# /etc/systemd/network/05-geminus-lo.network
[Match]
Name=lo

[Address]
Address=198.51.100.80/32

[Address]
Address=2001:db8:1::80/128
DuplicateAddressDetection=none
PreferredLifetime=0
";
        assert_eq!(networkd(&wanted()), expected);
    }
}
