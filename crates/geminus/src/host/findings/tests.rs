//! Each law breaks one thing on a host where everything else is right.

use super::sample::{HTTP, ip, listener, placed, seen, wanted};
use super::*;
use crate::netlink::{Departure, Proxied};

/// What is not right, with its mending.
fn faults(wanted: &Wanted, seen: &Seen) -> Vec<(Grade, String, String)> {
    findings(wanted, seen)
        .into_iter()
        .filter(|finding| finding.grade != Grade::Ok)
        .map(|finding| {
            (finding.grade, finding.message, finding.mend.expect("what is not right can be mended"))
        })
        .collect()
}

fn the_fault(seen: &Seen) -> (Grade, String, String) {
    let mut faults = faults(&wanted(), seen);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    faults.remove(0)
}

fn set(seen: &mut Seen, setting: Sysctl, value: &str) {
    seen.settings.insert(setting, value.to_owned());
}

#[test]
fn a_host_on_which_everything_is_right_has_no_fault() {
    assert_eq!(faults(&wanted(), &seen()), []);
    let all = findings(&wanted(), &seen());
    let about = |topic: &str| all.iter().filter(|finding| finding.about == topic).count();
    let topics = ["interface", "mtu", "address", "arp", "nd", "listener", "reply"];
    assert_eq!(topics.map(about), [1, 1, 2, 2, 1, 2, 2]);
}

#[test]
fn a_missing_address_is_added_with_one_command() {
    let mut seen = seen();
    seen.network.addresses.retain(|placed| placed.address != ip("198.51.100.80"));
    let (grade, message, mend) = the_fault(&seen);
    assert_eq!((grade, mend.as_str()), (Grade::Wrong, "ip address add 198.51.100.80/32 dev lo"));
    assert!(message.contains("not on lo"), "{message}");
}

#[test]
fn a_missing_ipv6_address_is_added_deprecated_and_without_detection() {
    let mut seen = seen();
    seen.network.addresses.retain(|placed| placed.address != ip("2001:db8:1::80"));
    assert_eq!(the_fault(&seen).2, "ip address add 2001:db8:1::80/128 dev lo nodad preferred_lft 0");
}

#[test]
fn an_address_on_another_interface_is_answered_for() {
    let mut seen = seen();
    seen.network.addresses.push(placed(2, "198.51.100.80", 24));
    let (_, message, mend) = the_fault(&seen);
    assert_eq!(message, "198.51.100.80 is on eth0, where this host answers ARP requests for it");
    assert_eq!(mend, "ip address del 198.51.100.80/24 dev eth0");
}

#[test]
fn an_ipv6_address_on_another_interface_is_answered_for() {
    let mut seen = seen();
    seen.network.addresses.push(placed(2, "2001:db8:1::80", 128));
    assert_eq!(the_fault(&seen).2, "ip address del 2001:db8:1::80/128 dev eth0");
}

#[test]
fn a_wide_prefix_on_lo_hides_the_network() {
    let mut seen = seen();
    seen.network.addresses[1].prefix = 24;
    let (_, message, mend) = the_fault(&seen);
    assert!(message.contains("as /24"), "{message}");
    assert_eq!(mend, "ip address del 198.51.100.80/24 dev lo; ip address add 198.51.100.80/32 dev lo");
}

#[test]
fn a_duplicate_address_is_not_used() {
    let mut seen = seen();
    seen.network.addresses[2].blocked = true;
    assert!(the_fault(&seen).1.contains("duplicate address detection"));
}

#[test]
fn arp_is_answered_unless_the_larger_setting_is_1_or_2() {
    for (all, own, fault) in [
        ("0", "0", true),
        ("0", "1", false),
        ("1", "0", false),
        ("2", "1", false),
        ("0", "3", true),
        ("1", "8", true),
        ("4", "0", true),
    ] {
        let mut seen = seen();
        set(&mut seen, Sysctl::v4("all", "arp_ignore"), all);
        set(&mut seen, Sysctl::v4("eth0", "arp_ignore"), own);
        assert_eq!(!faults(&wanted(), &seen).is_empty(), fault, "{all} {own}");
    }
}

#[test]
fn the_command_against_arp_sets_both_scopes() {
    let mut seen = seen();
    set(&mut seen, Sysctl::v4("all", "arp_ignore"), "0");
    set(&mut seen, Sysctl::v4("eth0", "arp_ignore"), "0");
    assert_eq!(
        the_fault(&seen).2,
        "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.eth0.arp_ignore=1"
    );
}

#[test]
fn own_arp_requests_name_the_cluster_address_unless_announce_is_2() {
    let mut seen = seen();
    set(&mut seen, Sysctl::v4("all", "arp_announce"), "0");
    set(&mut seen, Sysctl::v4("eth0", "arp_announce"), "1");
    let mend = the_fault(&seen).2;
    assert_eq!(mend, "sysctl -w net.ipv4.conf.all.arp_announce=2 net.ipv4.conf.eth0.arp_announce=2");
}

#[test]
fn arp_does_not_matter_to_a_host_of_ipv6_clusters() {
    let mut seen = seen();
    seen.settings.retain(|setting, _| !setting.name.starts_with("arp_"));
    let only_six = Wanted { addresses: vec![ip("2001:db8:1::80")], ..wanted() };
    assert_eq!(faults(&only_six, &seen), []);
}

#[test]
fn a_proxy_entry_answers_only_on_a_router_with_proxy_ndp() {
    let mut seen = seen();
    seen.proxies.push(Proxied { link: 2, address: ip("2001:db8:1::80") });
    assert_eq!(the_fault(&seen).0, Grade::Doubtful);
    set(&mut seen, Sysctl::v6("eth0", "proxy_ndp"), "1");
    assert_eq!(the_fault(&seen).0, Grade::Doubtful);
    set(&mut seen, Sysctl::v6("eth0", "forwarding"), "1");
    let (grade, _, mend) = the_fault(&seen);
    assert_eq!((grade, mend.as_str()), (Grade::Wrong, "ip -6 neigh del proxy 2001:db8:1::80 dev eth0"));
    set(&mut seen, Sysctl::v6("eth0", "proxy_ndp"), "0");
    set(&mut seen, Sysctl::v6("all", "proxy_ndp"), "1");
    assert_eq!(the_fault(&seen).0, Grade::Wrong);
}

#[test]
fn a_proxy_entry_for_another_address_does_no_harm() {
    let mut seen = seen();
    seen.proxies.push(Proxied { link: 2, address: ip("2001:db8:1::99") });
    assert_eq!(faults(&wanted(), &seen), []);
}

#[test]
fn ipv6_switched_off_is_named_with_its_setting() {
    for link in ["lo", "eth0"] {
        let mut seen = seen();
        set(&mut seen, Sysctl::v6(link, "disable_ipv6"), "1");
        assert_eq!(the_fault(&seen).2, format!("sysctl -w net.ipv6.conf.{link}.disable_ipv6=0"));
    }
}

#[test]
fn a_service_bound_to_the_address_or_to_every_address_is_bound() {
    for bound in ["198.51.100.80", "0.0.0.0"] {
        let mut seen = seen();
        seen.listeners = vec![listener(bound), listener("2001:db8:1::80")];
        assert_eq!(faults(&wanted(), &seen), [], "{bound}");
    }
}

#[test]
fn a_service_bound_elsewhere_is_named_with_where() {
    let mut seen = seen();
    seen.listeners = vec![listener("198.51.100.21"), listener("127.0.0.1"), listener("2001:db8:1::80")];
    let (_, message, mend) = the_fault(&seen);
    assert_eq!(
        message,
        "tcp port 80 listens only on 198.51.100.21, 127.0.0.1, 2001:db8:1::80, not on 198.51.100.80"
    );
    assert_eq!(mend, "make the service listen on 198.51.100.80:80");
}

#[test]
fn nothing_that_listens_is_said_for_each_address() {
    let mut seen = seen();
    seen.listeners.clear();
    let faults = faults(&wanted(), &seen);
    let mends: Vec<&str> = faults.iter().map(|(_, _, mend)| mend.as_str()).collect();
    assert_eq!(
        mends,
        ["make the service listen on 198.51.100.80:80", "make the service listen on [2001:db8:1::80]:80"]
    );
}

#[test]
fn an_ipv6_wildcard_serves_ipv4_only_if_it_was_told_so() {
    for (taken, grade) in
        [(Some(true), None), (Some(false), Some(Grade::Wrong)), (None, Some(Grade::Doubtful))]
    {
        let mut seen = seen();
        seen.listeners = vec![listener("::")];
        seen.taken = vec![(ip("198.51.100.80"), HTTP, taken)];
        assert_eq!(faults(&wanted(), &seen).first().map(|fault| fault.0), grade, "{taken:?}");
    }
}

#[test]
fn a_reply_without_a_way_is_wrong() {
    let mut seen = seen();
    seen.ways[0].departure = Err("network is unreachable".into());
    let (_, message, mend) = the_fault(&seen);
    assert!(message.contains("198.51.100.80 find no way to 192.0.2.1"), "{message}");
    assert_eq!(mend, "ip route add default via ROUTER dev eth0");
}

#[test]
fn a_strict_filter_drops_what_leaves_by_another_way() {
    let mut seen = seen();
    seen.ways[0].departure = Ok(Departure { link: 3, gateway: None });
    assert_eq!(the_fault(&seen).2, "sysctl -w net.ipv4.conf.eth0.rp_filter=2");
    set(&mut seen, Sysctl::v4("all", "rp_filter"), "2");
    assert_eq!(faults(&wanted(), &seen), []);
    set(&mut seen, Sysctl::v4("all", "rp_filter"), "0");
    set(&mut seen, Sysctl::v4("eth0", "rp_filter"), "0");
    assert_eq!(faults(&wanted(), &seen), []);
}

#[test]
fn a_small_mtu_is_doubtful() {
    let mut seen = seen();
    seen.network.links[1].mtu = 1400;
    let (grade, message, _) = the_fault(&seen);
    assert_eq!(grade, Grade::Doubtful);
    assert!(message.contains("1400"), "{message}");
}

#[test]
fn an_interface_that_is_down_or_cut_off_is_wrong() {
    let mut down = seen();
    down.network.links[1].up = false;
    assert_eq!(the_fault(&down).2, "ip link set dev eth0 up");
    let mut cut = seen();
    cut.network.links[1].carrier = false;
    assert!(the_fault(&cut).1.contains("no carrier"));
    let mut loopback = seen();
    loopback.network.links[0].up = false;
    assert_eq!(the_fault(&loopback).2, "ip link set dev lo up");
}
