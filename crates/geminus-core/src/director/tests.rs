mod care;
mod twin;

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::model::{
    Ha, Method, Ports as ServicePorts, Protocol, Select, Server, Service, Tables, Timeouts, Unexposed,
};
use crate::plan::server_identity;

const ETH: u32 = 2;
const NODE: &str = "alpha";
const OUR_MAC: Mac = Mac([2, 0, 0, 0, 0, 0xaa]);
const LEASE: Duration = Duration::from_secs(5);

fn at(ms: u64) -> Instant {
    Instant::from_start(Duration::from_millis(ms))
}

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(198, 51, 100, last).into()
}

fn v6(last: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, last).into()
}

fn mac_of(server: IpAddr) -> Mac {
    match server {
        IpAddr::V4(address) => Mac([2, 0, 0, 0, 4, address.octets()[3]]),
        IpAddr::V6(address) => Mac([2, 0, 0, 0, 6, address.octets()[15]]),
    }
}

fn node() -> Node {
    Node { name: NODE.into(), address: v4(11), interface: "eth0".into() }
}

fn cluster(name: &str, primary: &str, addresses: &[IpAddr], servers: &[(&str, IpAddr)]) -> Cluster {
    let server = |&(name, address): &(&str, IpAddr)| Server::new(name, address);
    let service = Service {
        protocol: Protocol::Tcp,
        ports: ServicePorts::Exact(80),
        method: Method::Mac,
        select: Select::Hash,
        affinity: None,
        ring_slots: 251,
        ..Service::new(Protocol::Tcp, ServicePorts::Any, servers.iter().map(server).collect())
    };
    Cluster {
        name: name.into(),
        addresses: addresses.to_vec(),
        primary: primary.into(),
        backup: None,
        unexposed: Unexposed::Drop,
        ping: true,
        services: vec![service],
    }
}

fn site(clusters: Vec<Cluster>) -> Site {
    Site {
        key_file: None,
        nodes: vec![node(), Node { name: "beta".into(), address: v4(12), interface: "eth0".into() }],
        ha: Ha { lease: LEASE, ..Ha::default() },
        health: crate::model::Health::default(),
        manager: crate::model::Manager::default(),
        agents: crate::model::Agents::default(),
        tables: Tables { flows: 1 << 16, provisional: 1 << 14, affinity: 1 << 12, tuples: true },
        timeouts: Timeouts {
            tcp: Duration::from_secs(900),
            tcp_fin: Duration::from_secs(300),
            tcp_rst: Duration::from_secs(10),
            udp: Duration::from_secs(300),
            first: Duration::from_secs(3),
        },
        clusters,
    }
}

fn shop() -> Cluster {
    cluster("shop", NODE, &[v4(80)], &[("web1", v4(21)), ("web2", v4(22))])
}

fn interface(mac: Mac, up: bool) -> Interface {
    Interface { index: ETH, name: "eth0".into(), mac: Some(mac), up }
}

/// A link full of hosts, a data plane that takes everything, and a record of what the director did.
struct World {
    director: Director,
    now: Instant,
    mute: Vec<IpAddr>,
    route: fn(IpAddr) -> Route,
    plane_says: Result<Vec<String>, String>,
    attach_says: Result<(), String>,
    /// Servers whose checks fail.
    ill: Vec<IpAddr>,
    /// What the data plane was last told.
    ruled: Arc<Rulings>,
    seen: Vec<(u64, Effect)>,
    /// Passes over the flow table.
    passes: u64,
}

struct Setting {
    site: Site,
    adopted: bool,
    lease_remaining: Duration,
    group_lease_remaining: Duration,
    overrides: Overrides,
    rulings: Rulings,
    kernel_start: KernelStart,
    mute: Vec<IpAddr>,
    route: fn(IpAddr) -> Route,
}

impl Setting {
    fn new(clusters: Vec<Cluster>) -> Self {
        Self {
            site: site(clusters),
            adopted: false,
            lease_remaining: Duration::ZERO,
            group_lease_remaining: Duration::ZERO,
            overrides: Overrides::default(),
            rulings: Rulings::default(),
            kernel_start: KernelStart(Duration::from_secs(1_000)),
            mute: Vec::new(),
            route: |_| Route::OnLink { interface: ETH, source: None },
        }
    }

    fn adopted(mut self, lease_remaining: Duration) -> Self {
        self.adopted = true;
        self.lease_remaining = lease_remaining;
        self
    }

    fn mute(mut self, servers: &[IpAddr]) -> Self {
        self.mute = servers.to_vec();
        self
    }

    fn route(mut self, route: fn(IpAddr) -> Route) -> Self {
        self.route = route;
        self
    }

    fn start(self) -> World {
        let start = Start {
            node: node(),
            site: Arc::new(self.site),
            overrides: self.overrides,
            rulings: Arc::new(self.rulings),
            interfaces: vec![interface(OUR_MAC, true)],
            lease_remaining: self.lease_remaining,
            group_lease_remaining: self.group_lease_remaining,
            adopted: self.adopted,
            kernel_start: self.kernel_start,
            seed: 1,
        };
        World {
            now: at(0),
            mute: self.mute,
            route: self.route,
            plane_says: Ok(vec![]),
            attach_says: Ok(()),
            ill: Vec::new(),
            ruled: Arc::clone(&start.rulings),
            director: Director::new(start, at(0)),
            seen: Vec::new(),
            passes: 0,
        }
    }
}

impl World {
    fn act(&mut self) {
        while let Some(effect) = self.director.poll_effect() {
            self.seen.push((self.now.elapsed().as_millis() as u64, effect.clone()));
            match effect {
                Effect::AskRoute(server) => {
                    let route = (self.route)(server);
                    self.director.handle(Input::Route { server, route }, self.now);
                }
                Effect::Send { interface, frame } => self.answer(interface, &frame),
                Effect::Apply { rulings, .. } => {
                    if self.plane_says.is_ok() {
                        self.ruled = rulings;
                    }
                    self.director.handle(Input::Applied(self.plane_says.clone()), self.now);
                }
                Effect::Attach { .. } => {
                    self.director.handle(Input::Attached(self.attach_says.clone()), self.now);
                }
                Effect::Probe(probe) => self.check(&probe),
                Effect::Diagnose(question) => {
                    if !question.failed {
                        let (server, by, found) = (question.target.server, question.by, Diagnosis::Nothing);
                        self.director.handle(Input::Diagnosed { server, by, found }, self.now);
                    }
                }
                Effect::ReadNeighbours
                | Effect::SetLink { .. }
                | Effect::Renew(_)
                | Effect::Release
                | Effect::Answer { .. }
                | Effect::Tell(_)
                | Effect::Hook { .. }
                | Effect::Ready
                | Effect::Twin(_)
                | Effect::TwinSite
                | Effect::TwinAgain { .. }
                | Effect::Count(_)
                | Effect::Leave { .. } => {}
            }
        }
    }

    fn check(&mut self, probe: &Probe) {
        let outcome = match self.ill.contains(&probe.target.server) {
            false => Ok(crate::health::Good::default()),
            true => Err(crate::health::Fault {
                kind: crate::health::FaultKind::Refused,
                words: "connection refused".into(),
            }),
        };
        let reading = Reading { number: probe.number, took: Duration::from_millis(1), outcome };
        self.director.handle(Input::Probed(reading), self.now);
    }

    /// The hosts of the link answer questions for their own address.
    fn answer(&mut self, interface: u32, frame: &[u8]) {
        let Some(target) = asked(frame).filter(|target| !self.mute.contains(target)) else { return };
        let claim = Claim { address: target, mac: mac_of(target), evidence: Evidence::Reply };
        let to = Mac(frame[..6].try_into().expect("a frame has a destination"));
        if !to.is_host() || to == claim.mac {
            self.director.handle(Input::Claim { interface, claim }, self.now);
        }
    }

    fn run(&mut self, until: u64) -> &mut Self {
        loop {
            self.act();
            match self.director.poll_timeout() {
                Some(due) if due <= at(until) => {
                    self.now = self.now.max(due);
                    self.director.handle_timeout(self.now);
                }
                _ => break,
            }
        }
        self.now = at(until);
        self
    }

    fn hear(&mut self, input: Input) -> &mut Self {
        self.director.handle(input, self.now);
        self.act();
        self
    }

    fn forget(&mut self) {
        self.seen.clear();
    }

    fn events(&self) -> Vec<EventKind> {
        let kind = |(_, effect): &(u64, Effect)| match effect {
            Effect::Tell(event) => Some(event.kind),
            _ => None,
        };
        self.seen.iter().filter_map(kind).collect()
    }

    fn times(&self, wanted: impl Fn(&Effect) -> bool) -> Vec<u64> {
        self.seen.iter().filter(|(_, effect)| wanted(effect)).map(|&(when, _)| when).collect()
    }

    fn announced(&self, address: IpAddr) -> Vec<u64> {
        self.times(|effect| matches!(effect, Effect::Send { frame, .. } if announces(frame, address)))
    }

    fn answers(&self) -> Vec<Result<Vec<String>, Refusal>> {
        let answer = |(_, effect): &(u64, Effect)| match effect {
            Effect::Answer { outcome, .. } => Some(outcome.clone()),
            _ => None,
        };
        self.seen.iter().filter_map(answer).collect()
    }

    fn active(&self) -> bool {
        let cluster = &self.director.site().clusters[0];
        self.director.standing(cluster).active
    }

    fn reload(&mut self, clusters: Vec<Cluster>) -> &mut Self {
        self.reload_site(site(clusters))
    }

    fn reload_site(&mut self, site: Site) -> &mut Self {
        self.hear(Input::Reload { ticket: Some(Ticket(7)), outcome: Ok(Arc::new(site)) })
    }

    fn order(&mut self, server: &str, wish: Wish) -> &mut Self {
        let order = Order { server: server.into(), cluster: None, wish };
        self.hear(Input::Order { ticket: Ticket(1), order })
    }
}

/// Whose hardware address a frame asks for, if it is a question and not an announcement.
fn asked(frame: &[u8]) -> Option<IpAddr> {
    match frame.get(12..14)? {
        [8, 6] if frame[21] == 1 && frame[28..32] != frame[38..42] => {
            Some(Ipv4Addr::new(frame[38], frame[39], frame[40], frame[41]).into())
        }
        [0x86, 0xdd] if frame[54] == 135 => {
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(&frame[62..78]).expect("16 bytes")).into())
        }
        _ => None,
    }
}

fn announces(frame: &[u8], address: IpAddr) -> bool {
    asked(frame).is_none() && frame::claim(frame).is_some_and(|claim| claim.address == address)
}

const fn is_renewal(effect: &Effect) -> bool {
    matches!(effect, Effect::Renew(_))
}

const fn is_apply(effect: &Effect) -> bool {
    matches!(effect, Effect::Apply { .. })
}

#[test]
fn a_cold_node_goes_active_once_its_servers_are_known() {
    let mut world = Setting::new(vec![shop()]).start();
    assert!(!world.active());
    world.run(10);
    assert!(world.active());
    let links = world.times(|effect| matches!(effect, Effect::SetLink { .. })).len();
    let position = |wanted: fn(&Effect) -> bool| world.seen.iter().position(|(_, effect)| wanted(effect));
    assert_eq!(links, 2);
    assert!(position(|effect| matches!(effect, Effect::SetLink { .. })) < position(is_renewal));
    assert_eq!(world.announced(v4(80)).first(), Some(&0));
}

#[test]
fn dead_servers_delay_the_first_start_by_less_than_half_a_second() {
    let mut world = Setting::new(vec![shop()]).mute(&[v4(21), v4(22)]).start();
    world.run(300);
    assert!(!world.active());
    world.run(500);
    assert!(world.active());
}

#[test]
fn a_node_whose_routes_never_come_goes_active_in_the_end() {
    let mut world = Setting::new(vec![shop()]).start();
    while world.director.poll_effect().is_some() {}
    world.director.handle_timeout(at(0) + WARM_PATIENCE);
    assert!(world.active());
}

#[test]
fn an_adopted_data_plane_is_renewed_before_anything_else_is_known() {
    let mut world = Setting::new(vec![shop()]).adopted(Duration::from_secs(3)).start();
    world.act();
    assert!(world.active());
    assert_eq!(world.times(is_renewal), [0]);
    assert!(world.events().contains(&EventKind::Adopted));
}

#[test]
fn an_adopted_data_plane_whose_lease_ran_out_is_warmed_first() {
    let mut world = Setting::new(vec![shop()]).adopted(Duration::ZERO).mute(&[v4(21)]).start();
    world.act();
    assert!(!world.active());
    assert!(world.run(500).active());
}

#[test]
fn an_active_node_renews_its_lease_several_times_in_its_length() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(60_000);
    let renewals = world.times(is_renewal);
    for pair in renewals.windows(2) {
        assert!(pair[1] - pair[0] <= 1_000, "{pair:?}");
    }
}

#[test]
fn a_node_that_did_not_run_says_so_and_announces_again() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(20_000).forget();
    world.now = at(30_000);
    world.director.handle_timeout(world.now);
    world.run(33_000);
    assert!(world.events().contains(&EventKind::LeaseLapsed));
    assert!(!world.events().contains(&EventKind::ServerSilent));
    assert!(world.announced(v4(80)).len() >= 12);
}

#[test]
fn a_cluster_of_another_primary_is_left_alone() {
    let theirs = cluster("mail", "beta", &[v4(81)], &[("mx", v4(31))]);
    let mut world = Setting::new(vec![shop(), theirs]).start();
    world.run(10_000);
    let standing = world.director.standing(&world.director.site().clusters[1]);
    assert_eq!((standing.active, standing.because.as_str()), (false, "node beta is the primary"));
    assert_eq!(standing.role, None);
    assert_eq!(world.announced(v4(81)), []);
    assert_eq!(world.director.reach(v4(31)), None);
}

#[test]
fn a_node_without_a_cluster_takes_no_lease() {
    let mut world = Setting::new(vec![cluster("mail", "beta", &[v4(81)], &[("mx", v4(31))])]).start();
    world.run(10_000);
    assert_eq!(world.times(is_renewal), []);
    assert_eq!(world.times(|effect| *effect == Effect::Ready).len(), 1);
    assert!(world.events().contains(&EventKind::Standby));
}

#[test]
fn readiness_is_told_once() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(5_000).reload(vec![shop()]).run(10_000);
    assert_eq!(world.times(|effect| *effect == Effect::Ready).len(), 1);
}

#[test]
fn a_refused_configuration_changes_nothing() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(5_000).forget();
    let refusal = Refusal { message: "bad".into(), hint: None, details: vec!["line 1".into()] };
    world.hear(Input::Reload { ticket: Some(Ticket(7)), outcome: Err(refusal.clone()) });
    assert_eq!(world.answers(), [Err(refusal)]);
    assert_eq!(world.times(is_apply), []);
    assert!(world.active());
}

#[test]
fn a_reload_cannot_change_what_the_process_stands_on() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(5_000).forget();
    let mut other = site(vec![shop()]);
    other.key_file = Some("/etc/geminus/site.key".into());
    world.reload_site(other);
    let mut moved = site(vec![shop()]);
    moved.nodes[0].interface = "eth1".into();
    world.reload_site(moved);
    let mut gone = site(vec![shop()]);
    gone.nodes.remove(0);
    world.reload_site(gone);
    let answers = world.answers();
    assert!(answers.len() == 3 && answers.iter().all(Result::is_err), "{answers:?}");
    assert_eq!(world.times(is_apply), []);
}

#[test]
fn a_new_server_is_known_before_it_gets_its_first_flow() {
    let mut world = Setting::new(vec![shop()]).mute(&[v4(23)]).start();
    world.run(5_000).forget();
    let larger = cluster("shop", NODE, &[v4(80)], &[("web1", v4(21)), ("web2", v4(22)), ("web3", v4(23))]);
    world.reload(vec![larger]);
    assert_eq!(world.times(is_apply), []);
    world.mute.clear();
    world.run(5_200);
    let position = |wanted: fn(&Effect) -> bool| world.seen.iter().position(|(_, effect)| wanted(effect));
    let known = position(|effect| matches!(effect, Effect::SetLink { server, .. } if *server == v4(23)));
    assert!(known.is_some() && known < position(is_apply));
    assert_eq!(world.answers(), [Ok(vec!["cluster shop: service tcp 80: server web3 added".to_owned()])]);
}

#[test]
fn a_new_server_that_is_dead_delays_a_reload_by_a_second_at_most() {
    let mut world = Setting::new(vec![shop()]).mute(&[v4(23)]).start();
    world.run(5_000).forget();
    world.reload(vec![cluster("shop", NODE, &[v4(80)], &[("web1", v4(21)), ("web3", v4(23))])]);
    world.run(6_000);
    let applied = world.times(is_apply);
    assert!(applied.len() == 1 && applied[0] <= 6_000, "{applied:?}");
}

#[test]
fn a_later_reload_takes_the_place_of_one_that_waits() {
    let mut world = Setting::new(vec![shop()]).mute(&[v4(23)]).start();
    world.run(5_000).forget();
    world.reload(vec![cluster("shop", NODE, &[v4(80)], &[("web1", v4(21)), ("web3", v4(23))])]);
    world.reload(vec![cluster("shop", NODE, &[v4(80)], &[("web1", v4(21))])]);
    world.run(8_000);
    let answers = world.answers();
    assert!(answers.len() == 2 && answers[0].is_err() && answers[1].is_ok(), "{answers:?}");
    assert_eq!(world.times(is_apply).len(), 1);
}

#[test]
fn a_removed_address_is_no_longer_announced_and_a_new_one_is() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(5_000);
    world.reload(vec![cluster("shop", NODE, &[v4(90), v6(90)], &[("web1", v4(21))])]).forget();
    world.run(60_000);
    assert_eq!(world.announced(v4(80)), []);
    assert!(world.announced(v4(90)).len() > 5);
    assert!(world.announced(v6(90)).len() > 5);
}

#[test]
fn a_reload_names_every_difference() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(5_000).forget();
    let mut other = cluster("shop", NODE, &[v4(80), v6(80)], &[("web1", v4(21)), ("web3", v4(23))]);
    other.ping = false;
    other.services[0].servers[0].weight = 7;
    other.services[0].select = Select::RoundRobin;
    let mut wanted = site(vec![other, cluster("mail", NODE, &[v4(81)], &[("mx", v4(31))])]);
    wanted.ha.lease = Duration::from_secs(2);
    wanted.tables.flows *= 2;
    world.reload_site(wanted).run(7_000);
    let expected = [
        "lease 5000 ms -> 2000 ms",
        "flow table slots 65536 -> 131072",
        "cluster shop: ping true -> false",
        "cluster shop: address 2001:db8:1::50 added",
        "cluster shop: service tcp 80: select hash -> round-robin",
        "cluster shop: service tcp 80: server web1: weight 1 -> 7",
        "cluster shop: service tcp 80: server web3 added",
        "cluster shop: service tcp 80: server web2 removed",
        "cluster mail added",
    ];
    assert_eq!(world.answers(), [Ok(expected.map(str::to_owned).to_vec())]);
    world.forget();
    world.run(20_000);
    assert!(world.times(is_renewal).windows(2).all(|pair| pair[1] - pair[0] <= 400));
}

#[test]
fn a_data_plane_that_refuses_leaves_the_old_site_in_force() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(5_000).forget();
    world.plane_says = Err("the server table is full".into());
    world.reload(vec![cluster("shop", NODE, &[v4(90)], &[("web9", v4(29))])]).run(7_000);
    assert_eq!(world.director.site().clusters[0].addresses, [v4(80)]);
    assert!(world.events().contains(&EventKind::ApplyFailed));
    assert!(world.answers()[0].is_err());
    assert_eq!(world.director.reach(v4(29)), None);
}

#[test]
fn an_order_is_applied_remembered_and_told() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(5_000).forget();
    world.order("web1", Wish::Drain).order("web1", Wish::Weight(Some(3)));
    let shop = shop();
    let web1 = server_identity(&shop, &shop.services[0], &shop.services[0].servers[0]);
    let wish = world.director.overrides().get(web1);
    assert!(wish.drained && wish.weight == Some(3));
    assert_eq!(world.events(), [EventKind::ServerDrained, EventKind::ServerWeighted]);
    world.order("web1", Wish::Undrain).order("web1", Wish::Weight(None));
    assert!(world.director.overrides().is_empty());
}

#[test]
fn an_order_for_nobody_names_the_nearest_server() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(5_000).forget();
    world.order("wep1", Wish::Drain);
    let Some(Err(refusal)) = world.answers().pop() else { panic!("refused") };
    assert_eq!(refusal.message, "no server wep1");
    assert_eq!(refusal.hint.as_deref(), Some("did you mean web1?"));
    world.order("web1", Wish::Weight(Some(1001)));
    assert!(world.answers()[1].is_err());
    assert_eq!(world.times(is_apply), []);
}

#[test]
fn what_the_operator_wants_outlives_a_reload_but_not_its_server() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(5_000);
    world.order("web1", Wish::Drain).order("web2", Wish::Drain);
    assert_eq!(world.director.overrides().len(), 2);
    world.reload(vec![cluster("shop", NODE, &[v4(80)], &[("web1", v4(21))])]).run(7_000);
    assert_eq!(world.director.overrides().len(), 1);
}

#[test]
fn a_lost_interface_is_attached_again_when_it_returns() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(5_000).forget();
    world.hear(Input::InterfaceGone(ETH)).run(20_000);
    assert_eq!(world.events()[0], EventKind::LinkLost);
    assert_eq!(world.announced(v4(80)), []);
    let back = Interface { index: 9, ..interface(OUR_MAC, true) };
    world.hear(Input::Interface(back)).run(20_100);
    assert_eq!(world.times(|effect| matches!(effect, Effect::Attach { .. })), [20_000]);
    assert!(world.events().contains(&EventKind::LinkBack));
    assert_eq!(world.announced(v4(80)).first(), Some(&20_000));
}

#[test]
fn attaching_is_tried_until_it_succeeds_and_told_once() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(5_000).forget();
    world.hear(Input::InterfaceGone(ETH));
    world.attach_says = Err("busy".into());
    world.hear(Input::Interface(interface(OUR_MAC, true))).run(8_000);
    assert_eq!(world.events().iter().filter(|&&kind| kind == EventKind::AttachFailed).count(), 1);
    world.attach_says = Ok(());
    world.run(8_000 + ATTACH_RETRY.as_millis() as u64);
    assert!(world.events().contains(&EventKind::LinkBack));
    world.forget();
    world.run(60_000);
    assert_eq!(world.times(|effect| matches!(effect, Effect::Attach { .. })), []);
}

#[test]
fn a_changed_hardware_address_of_ours_is_used_everywhere() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(5_000).forget();
    let other = Mac([2, 0, 0, 0, 0, 0xbb]);
    world.hear(Input::Interface(interface(other, true)));
    assert_eq!(world.times(|effect| *effect == Effect::Attach { mac: other }), [5_000]);
    let sources: Vec<_> = world
        .seen
        .iter()
        .filter_map(|(_, effect)| match effect {
            Effect::SetLink { link: Link::Remote { source, .. }, .. } => Some(*source),
            _ => None,
        })
        .collect();
    assert_eq!(sources, [other.0, other.0]);
}

#[test]
fn a_link_that_is_down_hears_no_announcement_and_one_that_is_up_again_hears_the_series() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(5_000).forget();
    world.hear(Input::Interface(interface(OUR_MAC, false))).run(60_000);
    assert_eq!(world.announced(v4(80)), []);
    world.hear(Input::Interface(interface(OUR_MAC, true))).run(63_000);
    assert_eq!(world.announced(v4(80)).len(), 12);
    assert!(!world.events().contains(&EventKind::ServerSilent));
}

#[test]
fn a_claimed_address_is_told_and_defended_but_not_without_end() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(10_000).forget();
    let claim = Claim { address: v4(80), mac: Mac([2, 9, 9, 9, 9, 9]), evidence: Evidence::Reply };
    for _ in 0..1000 {
        world.hear(Input::Claim { interface: ETH, claim });
    }
    assert_eq!(world.events(), [EventKind::AddressClaimed]);
    assert_eq!(world.announced(v4(80)), [10_000, 10_000]);
    let ours = Claim { mac: OUR_MAC, ..claim };
    world.run(30_000).forget();
    world.hear(Input::Claim { interface: ETH, claim: ours });
    assert_eq!(world.events(), []);
}

#[test]
fn a_collocated_server_is_local() {
    let shop = cluster("shop", NODE, &[v4(80)], &[("alpha", v4(11))]);
    let mut world = Setting::new(vec![shop]).route(|_| Route::Local).start();
    world.run(10);
    assert_eq!(world.times(|effect| matches!(effect, Effect::SetLink { link: Link::Local, .. })), [0]);
    assert!(world.active());
}

#[test]
fn a_server_behind_a_router_is_told() {
    let via = |_| Route::Via { interface: ETH, gateway: v4(254) };
    let mut world = Setting::new(vec![shop()]).route(via).start();
    world.run(1_000);
    assert_eq!(world.events().iter().filter(|&&kind| kind == EventKind::ServerUnreachable).count(), 2);
}

#[test]
fn a_dead_switch_does_not_fill_the_journal() {
    let servers: Vec<_> = (0..200).map(|n| (format!("web{n}"), v6(1000 + n))).collect();
    let servers: Vec<_> = servers.iter().map(|(name, address)| (name.as_str(), *address)).collect();
    let mut world = Setting::new(vec![cluster("shop", NODE, &[v6(80)], &servers)]).start();
    let local = Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
    world.hear(Input::LinkLocal { interface: ETH, address: local }).run(20_000).forget();
    world.mute = servers.iter().map(|&(_, address)| address).collect();
    world.run(40_000);
    let silent = world.events().iter().filter(|&&kind| kind == EventKind::ServerSilent).count();
    assert!((1..=22).contains(&silent), "{silent}");
}

#[test]
fn a_solicitation_comes_from_the_link_local_address() {
    let mut world = Setting::new(vec![cluster("shop", NODE, &[v6(80)], &[("web1", v6(21))])]).start();
    let local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    world.hear(Input::LinkLocal { interface: ETH, address: Some(local) }).run(10);
    let asked = |effect: &Effect| match effect {
        Effect::Send { frame, .. } => asked(frame) == Some(v6(21)) && frame[22..38] == local.octets(),
        _ => false,
    };
    assert_eq!(world.times(asked), [0]);
    assert_eq!(world.director.reach(v6(21)), Some(Reach::Neighbour { interface: ETH, mac: mac_of(v6(21)) }));
}

#[test]
fn leaving_gives_the_lease_up_and_detaching_prolongs_it() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(5_000).forget();
    world.hear(Input::Stop { detach: false });
    assert_eq!(world.times(|effect| *effect == Effect::Release), [5_000]);
    assert_eq!(world.seen.last(), Some(&(5_000, Effect::Leave { keep: false })));

    let mut world = Setting::new(vec![shop()]).start();
    world.run(5_000).forget();
    world.hear(Input::Stop { detach: true });
    assert_eq!(world.times(|effect| *effect == Effect::Renew(DETACH_LEASE)), [5_000]);
    assert_eq!(world.seen.last(), Some(&(5_000, Effect::Leave { keep: true })));
}

#[test]
fn nothing_comes_after_leaving() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(5_000).hear(Input::Stop { detach: false }).forget();
    world.run(60_000).hear(Input::RoutesChanged);
    assert_eq!(world.seen, []);
}
