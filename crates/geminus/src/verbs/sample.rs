//! Fixed API objects for the snapshots of human output, with one hostile name among them.

use std::net::{IpAddr, SocketAddr};

use geminus_api::{
    CheckStatus, ClusterState, ClusterStatus, Counter, DataPlane, Event, Explanation, Failover, Fill,
    FlowRow, Flows, HeartbeatStatus, LoadStatus, PartnerStatus, Path, PathStatus, PoolStatus, PoolsStatus,
    ReachScore, ReachStatus, Replicated, Role, ServerRow, ServerState, ServerStatus, Servers, ServiceStatus,
    Standing, Status, SyncStatus, WeightStatus, WishesStatus,
};

use crate::screen::Look;

pub(crate) const EYES: Look = Look { colour: false, eyes: true };
pub(crate) const PIPE: Look = Look { colour: false, eyes: false };
pub(crate) const COLOUR: Look = Look { colour: true, eyes: true };

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn end(text: &str) -> SocketAddr {
    text.parse().expect("an endpoint")
}

fn server(name: &str, last: u8, state: ServerState, flows: u64) -> ServerStatus {
    ServerStatus {
        name: name.to_owned(),
        address: ip(&format!("198.51.100.{last}")),
        state,
        because: None,
        findings: vec![],
        pool: None,
        check: None,
        weight: if state == ServerState::Draining { 0 } else { 10 },
        weights: WeightStatus {
            in_force: if state == ServerState::Draining { 0 } else { 10 },
            unit: 1,
            ..WeightStatus::default()
        },
        configured_weight: 10,
        mac: (state != ServerState::Unresolved).then(|| format!("02:00:00:00:00:{last:02x}")),
        load: None,
        active: None,
        per_second: None,
        release_in_seconds: None,
        flows,
        flows_begun: flows * 3,
        packets: flows * 1_234,
        bytes: flows * 1_234_567,
    }
}

fn three() -> Vec<ServerStatus> {
    vec![
        server("web1", 21, ServerState::Up, 12_345),
        server("web2", 22, ServerState::Draining, 7),
        server("web\u{1b}[2J3", 23, ServerState::Unresolved, 0),
    ]
}

/// One pool that is as it should be.
fn pools() -> PoolsStatus {
    let main = PoolStatus {
        name: "main".into(),
        up: 1,
        servers: 3,
        healthy_percent: 100,
        panic: false,
        stand_in: None,
        active: None,
        per_second: None,
    };
    PoolsStatus {
        in_force: "main".into(),
        because: String::new(),
        since_seconds: 11_549.5,
        pools: vec![main],
    }
}

pub(crate) fn status() -> Status {
    Status {
        node: "alpha".into(),
        address: ip("198.51.100.11"),
        daemon_version: "0.1.0".into(),
        pid: 4242,
        uptime_seconds: 11_550.0,
        config: "/etc/geminus/geminus.toml".into(),
        config_digest: "0123456789abcdef".into(),
        data_plane: DataPlane {
            interface: "eth0".into(),
            mode: "native".into(),
            program_id: 77,
            program_digest: "fedcba9876543210".into(),
            adopted: true,
            memory_bytes: 61_865_984,
            flows: Fill { used: 12_352, slots: 1_048_576 },
            provisional: Fill { used: 64_000, slots: 65_536 },
            affinity: Fill { used: 0, slots: 65_536 },
        },
        clusters: vec![
            ClusterStatus {
                name: "shop".into(),
                addresses: vec![ip("198.51.100.80"), ip("2001:db8:1::80")],
                state: ClusterState::Active,
                because: "primary, no partner".into(),
                role: Role::Primary,
                standing: Standing::Active,
                since_seconds: Some(11_549.5),
                group: 0,
                epoch: 0,
                partner: None,
                partner_standing: None,
                waiting: None,
                failover: None,
                lease_remaining_ms: 4_812,
                services: vec![ServiceStatus {
                    protocol: "tcp".into(),
                    ports: "80".into(),
                    select: "hash".into(),
                    method: "mac".into(),
                    pools: pools(),
                    servers: three(),
                }],
            },
            ClusterStatus {
                name: "dns".into(),
                addresses: vec![ip("198.51.100.53")],
                state: ClusterState::Standby,
                because: String::new(),
                role: Role::None,
                standing: Standing::Standby,
                since_seconds: None,
                group: 0,
                epoch: 0,
                partner: None,
                partner_standing: None,
                waiting: None,
                failover: None,
                lease_remaining_ms: 0,
                services: vec![],
            },
        ],
        partners: vec![],
        reach: None,
        heartbeats: None,
        agents: None,
        counters: vec![
            counter("forward", "established", "an established flow went to its server", 15_234_567),
            counter("drop", "no-service", "a port of a cluster without a service", 42),
            counter("pass", "not-ours", "not for a cluster address", 9_999),
        ],
    }
}

/// Two dispatchers, each active for a cluster; one path is down and replication has just begun.
pub(crate) fn pair() -> Status {
    let mut status = status();
    let [shop, mail] = &mut status.clusters[..] else { unreachable!("the sample has two clusters") };
    shop.role = Role::Primary;
    shop.because = "an operator ordered it".into();
    shop.group = 1;
    shop.epoch = 7;
    shop.partner = Some("beta".into());
    shop.partner_standing = Some(Standing::Standby);
    shop.failover = Some(Failover { ready: false, because: Some("replication at 43 %".into()) });
    mail.name = "mail".into();
    mail.role = Role::Primary;
    mail.because = "beta is active".into();
    mail.since_seconds = Some(130.0);
    mail.group = 2;
    mail.epoch = 3;
    mail.partner = Some("beta".into());
    mail.partner_standing = Some(Standing::Active);
    mail.waiting = Some("replication is at 43 %".into());
    mail.failover = Some(Failover { ready: true, because: Some("1 of 2 paths to beta works".into()) });
    let path = |number, local: &str, remote: &str, up| PathStatus {
        number,
        local: ip(local),
        remote: ip(remote),
        up,
        heard_seconds: up.then_some(0.021),
        heard_by_peer: up,
        loss: if up { 0.031 } else { 1.0 },
        round_trip_ms: up.then_some(0.118),
    };
    status.partners = vec![PartnerStatus {
        name: "beta".into(),
        address: ip("198.51.100.12"),
        state: "alive".into(),
        paths: vec![
            path(0, "198.51.100.11", "198.51.100.12", true),
            path(1, "2001:db8:2::1", "2001:db8:2::2", false),
        ],
        reach: ReachScore { up: 2, total: 2 },
        fit: true,
        sync: SyncStatus {
            state: "copying".into(),
            percent: 43,
            path: Some([ip("198.51.100.11"), ip("198.51.100.12")]),
            counted: Replicated { sent: 451_234, pending: 597_342, lag_ms: 11.4, ..Replicated::default() },
        },
        same_config: Some(false),
        differences: vec!["cluster shop: ping true -> false".into(), "lease 5000 ms -> 2000 ms".into()],
    }];
    let targets = vec![ip("198.51.100.1"), ip("2001:db8:1::1")];
    status.reach = Some(ReachStatus { up: 1, total: 2, targets });
    status.heartbeats = Some(HeartbeatStatus { late: 3, latest_ms: 71.5 });
    status
}

fn counter(class: &str, reason: &str, meaning: &str, packets: u64) -> Counter {
    Counter { class: class.into(), reason: reason.into(), meaning: meaning.into(), packets }
}

pub(crate) fn servers() -> Servers {
    let row =
        |server| ServerRow { cluster: "shop".into(), protocol: "tcp".into(), ports: "80".into(), server };
    let check = CheckStatus {
        advisor: "http".into(),
        via: "path".into(),
        since_seconds: 184.0,
        readings: 368,
        latency_ms: Some(1.84),
        certificate_days: None,
    };
    let mut all = three();
    all[0].check = Some(check.clone());
    let wishes = WishesStatus { active: Some(8.3), new: None, latency: Some(9.125), load: Some(7.5) };
    all[0].weights = WeightStatus {
        in_force: 842,
        unit: 100,
        managed: Some(842),
        wishes: Some(wishes),
        ..WeightStatus::default()
    };
    all[0].load = Some(LoadStatus { load: 913, parts: [("cpu".to_owned(), 913)].into() });
    all[0].per_second = Some(1_200);
    all[1].release_in_seconds = Some(92.0);
    let mut down = server("web4", 24, ServerState::Down, 0);
    down.check = Some(CheckStatus { since_seconds: 3.25, readings: 7, ..check });
    down.pool = Some("spare".into());
    down.because = Some("connect-timeout: no answer to SYN in 300 ms".into());
    down.findings = vec!["198.51.100.80 is not on lo; on it run geminus host setup".into()];
    all.push(down);
    Servers { servers: all.into_iter().map(row).collect() }
}

pub(crate) fn flows() -> Flows {
    let whole = FlowRow {
        protocol: "tcp".into(),
        client: Some(end("203.0.113.9:40000")),
        destination: Some(end("198.51.100.80:80")),
        cluster: "shop".into(),
        server: "web1".into(),
        state: "established".into(),
        pinned: false,
        idle_seconds: 0.25,
    };
    let six = FlowRow {
        client: Some(end("[2001:db8::9]:40001")),
        destination: Some(end("[2001:db8:1::80]:80")),
        state: "closing".into(),
        pinned: true,
        idle_seconds: 75.0,
        ..whole.clone()
    };
    let bare = FlowRow { protocol: String::new(), client: None, destination: None, ..whole.clone() };
    Flows { flows: vec![whole, six, bare], matched: 1_234 }
}

pub(crate) fn explanation() -> Explanation {
    let path = Path { verdict: "forward".into(), reason: "ring".into(), server: Some("web1".into()) };
    Explanation {
        kernel: path.clone(),
        host: path,
        steps: vec![
            "198.51.100.80 belongs to cluster shop, which this node is active for".into(),
            "tcp/80 is a service with 3 servers".into(),
            "no flow is remembered; slot 4711 of the ring says web1".into(),
        ],
    }
}

pub(crate) fn events() -> Vec<Event> {
    let event = |number, kind: &str, message: &str| Event {
        number,
        unix_ms: 1_735_689_600_123 + number * 1_500,
        kind: kind.into(),
        message: message.into(),
    };
    vec![
        event(1, "started", "geminus 0.1.0 on node alpha"),
        event(2, "active", "cluster shop"),
        event(13, "server-drained", "web1\r\nforged line"),
    ]
}
