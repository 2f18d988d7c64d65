//! `geminus host` on real network namespaces: what it does, what it restores, and that its advice is right.

mod listener;
mod namespace;

use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::listener::Listening;
use crate::namespace::Namespace;

const FOUR: &str = "198.51.100.80";
const SIX: &str = "2001:db8:1::80";
const BOTH: [&str; 4] = ["--address", FOUR, "--address", SIX];

/// A content host, and a neighbour on its network that asks for the cluster addresses.
struct Pair {
    host: Namespace,
    neighbour: Namespace,
    directory: TempDir,
}

impl Pair {
    fn new() -> Self {
        let (host, neighbour) = (Namespace::new(), Namespace::new());
        host.join("eth0", &neighbour, "eth0");
        for (namespace, last) in [(&host, 21), (&neighbour, 1)] {
            namespace.shell(&format!(
                "ip address add 198.51.100.{last}/24 dev eth0 && ip -6 address add 2001:db8:1::{last}/64 dev eth0 nodad \
                 && ip link set dev eth0 up"
            ));
        }
        host.shell("ip link set dev lo up");
        // The link is up when both ends are; only then do routes through it count.
        host.shell("until ip -6 route get 2001:db8:1::1 >/dev/null 2>&1; do sleep 0.05; done");
        host.shell("ip route add default via 198.51.100.1 && ip -6 route add default via 2001:db8:1::1");
        Self { host, neighbour, directory: tempfile::tempdir().expect("a directory") }
    }

    fn state(&self) -> String {
        self.directory.path().join("state.json").to_str().expect("a plain path").to_owned()
    }

    fn setup(&self) -> Output {
        self.host.geminus(&[&["host", "setup", "--state", &self.state()][..], &BOTH].concat())
    }

    fn undo(&self) -> Output {
        self.host.geminus(&["host", "undo", "--state", &self.state()])
    }

    /// The answer of `host check --json`; its exit code agrees with it.
    #[track_caller]
    fn check(&self, more: &[&str]) -> Value {
        let output = self.host.geminus(&[&["host", "check", "--json"][..], &BOTH, more].concat());
        let answer: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(output.status.code(), Some(if answer["ok"] == true { 0 } else { 1 }));
        answer
    }

    /// Everything that `setup` may touch.
    fn picture(&self) -> String {
        self.host.shell(
            "ip -o link show dev lo; ip -o address show; ip -d -6 route show table all | sort; \
             grep . /proc/sys/net/ipv4/conf/*/arp_* /proc/sys/net/ipv6/conf/*/disable_ipv6",
        )
    }

    /// Whether the host answers when the neighbour asks who has the address.
    fn is_answered(&self, address: &str) -> bool {
        let poke = format!(
            "ip neigh del {address} dev eth0 2>/dev/null; ip neigh flush dev eth0; echo x > /dev/udp/{address}/9 || true"
        );
        let output = self.neighbour.command("bash").args(["-c", &poke]).output().expect("bash runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // The kernel decides within three questions, one second apart; the loop is bounded only against a defect.
        for _ in 0..300 {
            let line = self.neighbour.shell(&format!("ip neigh show {address} dev eth0"));
            if line.contains("FAILED") {
                return false;
            }
            if line.contains("lladdr") {
                return true;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("the neighbour never made up its mind about {address}");
    }
}

#[track_caller]
fn done(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn faults(answer: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = answer["findings"].as_array().expect("findings");
    let faulty = findings.iter().filter(|finding| finding["grade"] != "ok");
    faulty.map(|finding| (text(&finding["message"]), text(&finding["mend"]))).collect()
}

#[test]
fn undo_restores_what_setup_changed_exactly() {
    let pair = Pair::new();
    let before = pair.picture();
    let said = done(&pair.setup());
    assert_eq!(said.lines().count(), 6, "{said}");
    assert!(said.contains("set net.ipv4.conf.eth0.arp_announce to 2 (was 0)"), "{said}");
    assert!(said.contains("added 2001:db8:1::80/128 to lo"), "{said}");
    assert_ne!(pair.picture(), before);
    done(&pair.undo());
    assert_eq!(pair.picture(), before);
    assert!(!std::path::Path::new(&pair.state()).exists(), "nothing is left to undo");
    assert_eq!(done(&pair.undo()), "nothing changed\n");
}

#[test]
fn setup_again_changes_nothing() {
    let pair = Pair::new();
    let before = pair.picture();
    done(&pair.setup());
    let after = pair.picture();
    assert_eq!(done(&pair.setup()), "nothing changed\n");
    assert_eq!(pair.picture(), after);
    // The first record is still the one that counts.
    done(&pair.undo());
    assert_eq!(pair.picture(), before);
}

#[test]
fn what_was_there_before_setup_stays_after_undo() {
    let pair = Pair::new();
    pair.host
        .shell("ip address add 198.51.100.80/32 dev lo; echo 2 > /proc/sys/net/ipv4/conf/all/arp_ignore");
    let before = pair.picture();
    done(&pair.setup());
    done(&pair.undo());
    assert_eq!(pair.picture(), before);
}

#[test]
fn what_somebody_else_changed_since_is_left() {
    let pair = Pair::new();
    done(&pair.setup());
    pair.host
        .shell("echo 2 > /proc/sys/net/ipv4/conf/all/arp_ignore; ip address del 198.51.100.80/32 dev lo");
    let said = done(&pair.undo());
    assert!(said.contains("left net.ipv4.conf.all.arp_ignore: somebody else set it to 2"), "{said}");
    assert!(said.contains("left 198.51.100.80: it is not on lo any more"), "{said}");
    assert_eq!(pair.host.shell("cat /proc/sys/net/ipv4/conf/all/arp_ignore"), "2\n");
    assert_eq!(pair.host.shell("cat /proc/sys/net/ipv4/conf/eth0/arp_ignore"), "0\n");
}

#[test]
fn a_fresh_namespace_gets_its_loopback_and_loses_it_again() {
    let pair = Pair::new();
    pair.host.shell("ip link set dev lo down");
    let before = pair.picture();
    let said = done(&pair.setup());
    assert!(said.contains("switched lo on"), "{said}");
    assert_eq!(faults(&pair.check(&[])), []);
    done(&pair.undo());
    assert_eq!(pair.picture(), before);
}

#[test]
fn after_setup_nobody_hears_of_the_address() {
    let pair = Pair::new();
    // The control: an address on lo without the settings is answered for, so the test can see an answer.
    pair.host.shell("ip address add 198.51.100.80/32 dev lo");
    assert!(pair.is_answered(FOUR));
    assert!(!pair.is_answered(SIX), "there is no such address yet");
    done(&pair.setup());
    assert!(!pair.is_answered(FOUR));
    assert!(!pair.is_answered(SIX));
    assert!(pair.is_answered("198.51.100.21") && pair.is_answered("2001:db8:1::21"), "its own addresses are");
}

#[test]
fn a_proxy_entry_is_heard_and_named() {
    let pair = Pair::new();
    done(&pair.setup());
    pair.host.shell(
        "ip -6 neigh add proxy 2001:db8:1::80 dev eth0; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; \
         echo 1 > /proc/sys/net/ipv6/conf/eth0/proxy_ndp",
    );
    assert!(pair.is_answered(SIX));
    let faults = faults(&pair.check(&[]));
    assert_eq!(faults.len(), 1, "{faults:?}");
    pair.host.shell(&faults[0].1);
    assert!(!pair.is_answered(SIX));
}

#[test]
fn own_connections_never_come_from_the_cluster_address() {
    let pair = Pair::new();
    // The worst case: no own global address on the interface, one elsewhere.
    pair.host.join("eth1", &pair.neighbour, "eth1");
    pair.host.shell("ip -6 address add 2001:db8:2::21/64 dev eth1 nodad; ip link set dev eth1 up");
    pair.neighbour.shell("ip link set dev eth1 up");
    pair.host.shell("until ip -6 route get 2001:db8:2::1 >/dev/null 2>&1; do sleep 0.05; done");
    done(&pair.setup());
    pair.host.shell("ip -6 address del 2001:db8:1::21/64 dev eth0; ip -6 route add 2001:db8:1::/64 dev eth0");
    let route = pair.host.shell("ip -6 route get 2001:db8:1::1");
    assert!(route.contains("src 2001:db8:2::21"), "{route}");
}

/// Breaks one thing on a host that is ready, and expects exactly one fault whose command mends it.
#[track_caller]
fn the_advice_mends(breaking: &str) {
    let pair = Pair::new();
    done(&pair.setup());
    assert_eq!(faults(&pair.check(&[])), []);
    pair.host.shell(breaking);
    let faults_there = faults(&pair.check(&[]));
    assert_eq!(faults_there.len(), 1, "{faults_there:?}");
    pair.host.shell(&faults_there[0].1);
    assert_eq!(faults(&pair.check(&[])), [], "after {}", faults_there[0].1);
}

#[test]
fn the_advice_mends_a_missing_ipv4_address() {
    the_advice_mends("ip address del 198.51.100.80/32 dev lo");
}

#[test]
fn the_advice_mends_a_missing_ipv6_address() {
    the_advice_mends("ip address del 2001:db8:1::80/128 dev lo");
}

#[test]
fn the_advice_mends_an_address_on_the_interface() {
    the_advice_mends("ip address add 198.51.100.80/24 dev eth0");
}

#[test]
fn the_advice_mends_an_ipv6_address_on_the_interface() {
    the_advice_mends("ip address add 2001:db8:1::80/128 dev eth0 nodad");
}

#[test]
fn the_advice_mends_a_wide_prefix() {
    // With the whole network on lo there is no way out of it either: the way itself is not this test's matter.
    the_advice_mends(
        "ip address del 198.51.100.80/32 dev lo; ip address add 198.51.100.80/30 dev lo; ip route replace default via \
         198.51.100.1",
    );
}

#[test]
fn the_advice_mends_answered_arp() {
    the_advice_mends("cd /proc/sys/net/ipv4/conf; echo 0 > all/arp_ignore; echo 0 > eth0/arp_ignore");
}

#[test]
fn the_advice_mends_announced_arp() {
    the_advice_mends("cd /proc/sys/net/ipv4/conf; echo 0 > all/arp_announce; echo 1 > eth0/arp_announce");
}

#[test]
fn the_advice_mends_a_loopback_that_is_down() {
    // IPv6 addresses do not survive their interface; so this host has one fault for each.
    let pair = Pair::new();
    done(&pair.setup());
    pair.host.shell("ip link set dev lo down");
    for (_, mend) in faults(&pair.check(&[])) {
        pair.host.shell(&mend);
    }
    assert_eq!(faults(&pair.check(&[])), []);
}

#[test]
fn the_advice_mends_a_strict_filter_on_another_way() {
    let pair = Pair::new();
    done(&pair.setup());
    pair.host.join("eth1", &pair.neighbour, "eth1");
    pair.neighbour.shell("ip link set dev eth1 up");
    pair.host.shell(
        "ip address add 203.0.113.21/24 dev eth1 && ip link set dev eth1 up && ip route replace default via 203.0.113.1 \
         && echo 1 > /proc/sys/net/ipv4/conf/eth0/rp_filter && echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter",
    );
    let faults_there = faults(&pair.check(&[]));
    assert_eq!(faults_there.len(), 1, "{faults_there:?}");
    pair.host.shell(&faults_there[0].1);
    assert_eq!(faults(&pair.check(&[])), []);
}

#[test]
fn a_reply_without_a_way_is_named() {
    let pair = Pair::new();
    done(&pair.setup());
    pair.host.shell("ip route del default");
    let faults_there = faults(&pair.check(&[]));
    assert_eq!(faults_there.len(), 1, "{faults_there:?}");
    assert!(faults_there[0].0.contains("find no way to 192.0.2.1"), "{faults_there:?}");
    assert_eq!(faults(&pair.check(&["--client", "198.51.100.1"])), [], "a neighbour needs no router");
}

#[test]
fn the_service_must_be_bound_to_the_address() {
    let pair = Pair::new();
    done(&pair.setup());
    assert_eq!(faults(&pair.check(&["--port", "80"])).len(), 2, "one for each address");
    let service = Listening::on(&pair.host, "198.51.100.21:80");
    let faults_there = faults(&pair.check(&["--port", "80"]));
    assert!(faults_there[0].0.contains("listens only on 198.51.100.21"), "{faults_there:?}");
    drop(service);
    let _service =
        (Listening::on(&pair.host, "198.51.100.80:80"), Listening::on(&pair.host, "[2001:db8:1::80]:80"));
    assert_eq!(faults(&pair.check(&["--port", "80"])), []);
}

#[test]
fn an_ipv6_wildcard_counts_for_ipv4_only_if_it_takes_ipv4() {
    let pair = Pair::new();
    done(&pair.setup());
    let both = Listening::on(&pair.host, "[::]:80");
    assert_eq!(faults(&pair.check(&["--port", "80"])), []);
    drop(both);
    let _only_six = Listening::only_ipv6_on(&pair.host, "[::]:80");
    let faults_there = faults(&pair.check(&["--port", "80"]));
    assert_eq!(faults_there.len(), 1, "{faults_there:?}");
    assert!(faults_there[0].0.contains("on no IPv4 address"), "{faults_there:?}");
}

#[test]
fn setup_refuses_what_it_would_break() {
    let pair = Pair::new();
    pair.host
        .shell("ip address add 198.51.100.80/24 dev eth0; echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6");
    let before = pair.picture();
    let output = pair.setup();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("ip address del 198.51.100.80/24 dev eth0"), "{said}");
    assert!(said.contains("sysctl -w net.ipv6.conf.lo.disable_ipv6=0"), "{said}");
    assert_eq!(pair.picture(), before, "nothing was changed");
}

#[test]
fn the_record_of_another_namespace_is_not_undone_here() {
    let (one, other) = (Pair::new(), Pair::new());
    done(&one.setup());
    let before = other.picture();
    let output = other.host.geminus(&["host", "undo", "--state", &one.state()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another network namespace"));
    assert_eq!(other.picture(), before);
}

#[test]
fn printing_the_permanent_lines_changes_nothing() {
    let pair = Pair::new();
    let before = pair.picture();
    for (flag, part) in
        [("--print-sysctl", "net.ipv4.conf.all.arp_ignore = 1"), ("--print-networkd", "Name=lo")]
    {
        let output = pair.host.geminus(&[&["host", "setup", flag][..], &BOTH].concat());
        assert!(done(&output).contains(part));
    }
    assert_eq!(pair.picture(), before);
}

#[test]
fn check_sees_the_interface_of_its_namespace() {
    let pair = Pair::new();
    let site = "[node.alpha]\naddress = \"198.51.100.21\"\ninterface = \"eth0\"\n[cluster.shop]\naddresses = [\"198.51.100.80\"]\n\
                primary = \"alpha\"\n[[cluster.shop.service]]\nport = 80\nprotocol = \"tcp\"\n\
                servers = [{ name = \"web1\", address = \"198.51.100.22\" }]\n";
    let path = pair.directory.path().join("geminus.toml");
    std::fs::write(&path, site).expect("written");
    let path = path.to_str().expect("a plain path");
    let output = pair.host.geminus(&["check", path, "--node", "alpha", "--json"]);
    let answer: Value = serde_json::from_str(&done(&output)).expect("JSON");
    let found = &answer["interface"]["found"];
    assert_eq!((&found["driver"], &found["xdp"]), (&"veth".into(), &"native".into()));
    assert_eq!((&found["mtu"], &found["up"]), (&1500.into(), &true.into()));
    assert_eq!(answer["interface"]["remarks"], Value::Array(vec![]));
}
