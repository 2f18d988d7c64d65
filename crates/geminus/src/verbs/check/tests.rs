//! The page of a fixed site on a fixed machine.

use super::machine::{Found, Program, Remark, Xdp};
use super::*;

pub(super) const SITE: &str = r#"
[node.alpha]
address   = "198.51.100.11"
interface = "eth0"

[cluster.shop]
addresses = ["198.51.100.80", "2001:db8:1::80"]
primary   = "alpha"

[[cluster.shop.service]]
port     = 80
protocol = "tcp"
affinity = { by = "source", timeout = "5m" }
servers = [
  { name = "web1", address = "198.51.100.21", weight = 10 },
  { name = "web2", address = "198.51.100.22", weight = 0 },
]

[[cluster.shop.service]]
port     = 53
protocol = "udp"
select   = "round-robin"
servers = [ { name = "web1", address = "198.51.100.21" } ]
"#;

const EYES: Look = Look { colour: false, eyes: true };

fn sample() -> Sound {
    let parsed = config::parse_with_warnings(SITE, "geminus.toml").expect("a sound file");
    let found = Found {
        driver: Some("virtio_net".into()),
        xdp: Xdp::Native,
        mtu: 1500,
        up: true,
        carrier: true,
        ethernet: true,
        programs: vec![Program { mode: "native", id: 7 }],
    };
    let remarks = vec![
        Remark { wrong: false, message: "an XDP program is on eth0 already".into() },
        Remark { wrong: true, message: "something is wrong".into() },
    ];
    let interface = Interface { node: "alpha".into(), name: "eth0".into(), found: Some(found), remarks };
    // The weight of the tables is the plan's affair; here only its look matters.
    let mut outlook = outlook(&parsed.site, 2);
    outlook.memory = outlook::Memory {
        flow_entries: 1 << 20,
        flows: 16 << 20,
        tuples: 40 << 20,
        provisional_entries: 1 << 16,
        provisional: 1 << 20,
        affinity_entries: 1 << 16,
        affinity: 1 << 20,
        rings: 524_544,
        rest: 40_000,
        total: 61_383_936,
    };
    Sound { file: "geminus.toml".into(), warnings: Vec::new(), outlook, interface: Some(interface) }
}

#[test]
fn the_page_says_what_the_site_comes_to() {
    insta::assert_snapshot!(page::render(&sample(), EYES));
}

#[test]
fn the_page_says_who_takes_over_from_whom_and_when() {
    let text = include_str!("../../../../../examples/mutual.toml").replace("reach", "# reach");
    let parsed = config::parse_with_warnings(&text, "geminus.toml").expect("a sound file");
    let sound = Sound {
        outlook: Outlook { memory: sample().outlook.memory, ..outlook(&parsed.site, 2) },
        ..sample()
    };
    insta::assert_snapshot!(page::render(&sound, EYES));
    let value: serde_json::Value = serde_json::from_str(&json(&sound, true)).expect("JSON");
    assert_eq!(value["availability"]["timers"]["detection"], 0.045);
    assert_eq!(value["availability"]["groups"][1]["clusters"][0], "mail");
    assert_eq!(value["availability"]["pairs"][0]["paths"][1][0], "2001:db8:2::1");
    assert_eq!(value["services"][0]["backup"], "beta");
}

#[test]
fn the_same_in_json_has_every_figure() {
    let text = json(&sample(), true);
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(value["services"][1]["ports"], "53");
    assert_eq!(value["services"][0]["idle_servers"], 1);
    assert_eq!(value["memory"]["flows"], 16 << 20);
    assert_eq!(value["interface"]["found"]["xdp"], "native");
    assert_eq!((&value["servers"], &value["addresses"]), (&3.into(), &2.into()));
}

#[test]
fn a_flow_weighs_16_bytes_and_its_tuple_40() {
    let parsed = config::parse(SITE, "geminus.toml").expect("a sound file");
    let memory = outlook(&parsed, 2).memory;
    assert_eq!(memory.flows, u64::from(memory.flow_entries) * 16);
    assert_eq!(memory.tuples, u64::from(memory.flow_entries) * 40);
    assert_eq!(memory.provisional, u64::from(memory.provisional_entries) * 16);
    let parts = [memory.flows, memory.tuples, memory.provisional, memory.affinity, memory.rings, memory.rest];
    assert_eq!(memory.total, parts.iter().sum::<u64>());
}

#[test]
fn errors_are_lines_with_their_place() {
    let errors = config::parse("[cluster]\nbad = 1\n", "geminus.toml").expect_err("unsound");
    let failure = unsound(false, "geminus.toml", &errors).expect("a failure");
    assert_eq!(failure.exit, Exit::No);
    assert!(!failure.error.details.is_empty());
    assert!(failure.error.details.iter().all(|line| line.starts_with("geminus.toml:")), "{failure:?}");
}

#[test]
fn the_host_name_chooses_the_node_and_a_single_node_may_be_it() {
    let site = config::parse(SITE, "geminus.toml").expect("a sound file");
    assert!(matches!(meant(&site, None, "alpha"), Ok(Meant::Here(_))));
    assert!(matches!(meant(&site, None, "other"), Ok(Meant::Perhaps(_))));
    assert!(matches!(meant(&site, Some("alpha"), "other"), Ok(Meant::Here(_))));
    let failure = meant(&site, Some("alhpa"), "alpha").expect_err("there is none");
    assert_eq!(failure.error.hint.as_deref(), Some("it has alpha"));
}
