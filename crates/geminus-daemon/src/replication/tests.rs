//! Two partners over real sockets, with tables on the heap.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use geminus_core::config;
use geminus_core::ha::{Instant, SyncView};
use geminus_core::key::{HaKey, HaKeys, SiteKey};
use geminus_core::model::Site;
use geminus_core::plan::{Overrides, Planner, TicksPerSecond, Wanted, sizes};
use geminus_core::replication::{Ground, Servers};
use geminus_packet::flow::{Entry, Found, Remembered, State, Tag, WAYS};
use geminus_packet::heap::HeapTables;
use geminus_packet::journal::Slot;
use geminus_packet::tables::{Server, Tables as _, Ticks};

use super::SyncNews;
use super::link::listen;
use super::partner::{Partner, Scene};

const RATE: TicksPerSecond = TicksPerSecond(1000);
/// Nothing here takes so long unless it never ends.
const FOREVER: Duration = Duration::from_secs(60);

const SITE: &str = r#"
[site]
key_file = "/etc/geminus/site.key"
[node.alpha]
address = "198.51.100.11"
interface = "eth0"
[node.beta]
address = "198.51.100.12"
interface = "eth0"
[tables]
flows = "64Ki"
[cluster.shop]
addresses = ["198.51.100.80"]
primary = "alpha"
backup = "beta"
[[cluster.shop.service]]
port = 80
servers = [
  { name = "web1", address = "198.51.100.21" },
  { name = "web2", address = "198.51.100.22" },
  { name = "web3", address = "198.51.100.23" },
]
"#;

/// The site, with its one path on this machine's loopback; no two tests share an address.
fn site(last: u8) -> Site {
    let mut site = config::parse(SITE, "geminus.toml").expect("a good site");
    let address = |side| IpAddr::V4(Ipv4Addr::new(127, 70, last, side));
    site.ha.paths = vec![geminus_core::model::Path {
        nodes: ["alpha".into(), "beta".into()],
        addresses: [address(1), address(2)],
    }];
    site.ha.port = 4870;
    site
}

fn keys(own: u8, accepted: Option<u8>) -> HaKeys {
    let key = |byte| HaKey::new([byte; 32]);
    HaKeys::new(key(own), accepted.map(key)).expect("other names")
}

/// One dispatcher.
struct Side {
    name: &'static str,
    tables: HeapTables,
    servers: Servers,
    partner: Partner,
    listener: Option<TcpListener>,
    news: Vec<SyncNews>,
}

impl Side {
    fn new(name: &'static str, site: &Site, keys: &HaKeys) -> Self {
        let sizes = sizes(site, 1);
        let tables = HeapTables::new(&sizes);
        let wanted = Wanted {
            site,
            node: name,
            key: &SiteKey::new([7; 32]),
            ha_keys: keys,
            overrides: &Overrides::default(),
            rulings: &geminus_core::plan::Rulings::default(),
            links: &std::collections::HashMap::new(),
            mac: [2, 0, 0, 0, 1, 1],
            ticks: RATE,
        };
        Planner::adopt(&tables, &sizes).apply(&tables, &wanted, || ()).expect("the site fits");
        let scene = Scene::new(name.to_owned(), Arc::new(site.clone()), keys.clone());
        let other = scene.partners().remove(0);
        let partner = Partner::new(&scene, other);
        let listener = (!partner.connects)
            .then(|| listen(SocketAddr::new(partner.paths[0][0], site.ha.port)).expect("loopback"));
        Self { name, tables, servers: Servers::default(), partner, listener, news: Vec::new() }
    }

    fn work(&mut self, now: Instant) -> bool {
        if let Some(listener) = &self.listener {
            while let Ok((stream, from)) = listener.accept() {
                let path = self.partner.paths[0];
                assert_eq!(path[1], from.ip());
                self.partner.accept(stream, path, now);
            }
        }
        self.partner.connect(now);
        let ground = ground(&self.tables, now);
        let busy = self.partner.work(&ground, &mut self.servers, now);
        for news in self.partner.news(Some(&ground), true) {
            self.partner.was_told(&news);
            self.news.push(news);
        }
        busy
    }

    fn sync(&self) -> SyncView {
        let views = self.news.iter().rev().filter_map(|news| match news {
            SyncNews::Progress { sync, .. } => Some(*sync),
            _ => None,
        });
        views.into_iter().next().unwrap_or_default()
    }

    fn refusal(&self) -> Option<&str> {
        self.news.iter().find_map(|news| match news {
            SyncNews::Refused { because, .. } => Some(because.as_str()),
            _ => None,
        })
    }

    /// Remembers so many flows, as the packet path would; the slots.
    fn fill(&self, from: u64, flows: u64) -> Vec<Slot> {
        let globals = self.tables.globals().expect("filled");
        let mut slots = Vec::new();
        for n in from..from + flows {
            let tag = Tag(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n << 17);
            let server = 1 + (n % 3) as u32;
            let generation = Server::generation(self.tables.server(server).expect("there").link.load());
            let entry = Entry { tag, server, generation, state: State::Established, pinned: n & 1 };
            let number = tag.bucket(globals.flow_mask.load());
            let bucket = self.tables.flows(number).expect("in range");
            match bucket.remember(&entry, ticks(Instant::START).0 as u32, globals, false) {
                Remembered::In(way) => slots.push(Slot::Flow(number * WAYS as u32 + way)),
                Remembered::Evicting(_) | Remembered::Not => {}
            }
        }
        slots
    }

    /// Hash, server and pin of every flow.
    fn flows(&self) -> Vec<(u64, u32, bool)> {
        let buckets = self.tables.globals().expect("filled").flow_mask.load() as u32 + 1;
        let mut flows = Vec::new();
        for number in 0..buckets {
            let bucket = self.tables.flows(number).expect("in range");
            let row = |found: Found| (bucket.tag(&found, number).0, found.server, found.note.pinned());
            flows.extend((0..WAYS).filter_map(|way| bucket.way(way)).map(row));
        }
        flows.sort_unstable();
        flows
    }
}

fn ticks(now: Instant) -> Ticks {
    Ticks(now.elapsed().as_millis() as u64 + (1 << 33))
}

fn ground(tables: &HeapTables, now: Instant) -> Ground<'_, HeapTables> {
    Ground::new(tables, RATE, ticks(now)).expect("filled")
}

/// Both dispatchers, on one thread.
struct Both {
    sides: [Side; 2],
    started: std::time::Instant,
}

impl Both {
    fn new(site: &Site, keys: [HaKeys; 2]) -> Self {
        let [alpha, beta] = keys;
        let sides = [Side::new("alpha", site, &alpha), Side::new("beta", site, &beta)];
        Self { sides, started: std::time::Instant::now() }
    }

    fn now(&self) -> Instant {
        Instant::from_start(self.started.elapsed())
    }

    fn until(&mut self, what: &str, done: impl Fn(&[Side; 2]) -> bool) {
        let begun = self.now();
        while !done(&self.sides) {
            let now = self.now();
            let busy = self.sides.iter_mut().fold(false, |busy, side| side.work(now) | busy);
            if !busy {
                std::thread::sleep(Duration::from_micros(200));
            }
            assert!(now.since(begun) < FOREVER, "{what}: {:?} {:?}", self.sides[0].news, self.sides[1].news);
        }
    }

    fn until_complete(&mut self) {
        self.until("complete", |sides| sides.iter().all(|side| side.sync() == SyncView::Complete));
    }
}

#[test]
fn two_dispatchers_meet_and_remember_the_same() {
    let site = site(1);
    let mut both = Both::new(&site, [keys(1, None), keys(1, None)]);
    both.sides[0].fill(1, 10_000);
    both.until_complete();
    let flows = both.sides[0].flows();
    assert!(flows.len() > 9_900);
    assert!(flows == both.sides[1].flows());
    let slots = both.sides[0].fill(10_000, 500);
    let now = both.now();
    let Side { partner, tables, .. } = &mut both.sides[0];
    slots.iter().for_each(|slot| partner.promoted(*slot, &ground(tables, now), now));
    let wanted = both.sides[0].flows();
    both.until("the new ones too", |sides| sides[1].flows() == wanted);
}

#[test]
fn while_keys_are_changed_the_dispatchers_go_on_meeting() {
    // Old, both ways accepted, new: every pair of neighbours in the order of a rotation.
    let steps = [keys(1, None), keys(1, Some(2)), keys(2, Some(1)), keys(2, None)];
    for (at, pair) in steps.windows(2).enumerate() {
        for pair in [[&pair[0], &pair[1]], [&pair[1], &pair[0]]] {
            let site = site(10 + at as u8);
            let mut both = Both::new(&site, pair.map(HaKeys::clone));
            both.until_complete();
        }
    }
}

#[test]
fn who_does_not_have_the_secret_learns_nothing_and_both_are_told() {
    let site = site(2);
    let mut both = Both::new(&site, [keys(1, None), keys(2, None)]);
    both.sides[0].fill(1, 100);
    both.sides[1].fill(100, 100);
    let before = both.sides.each_ref().map(Side::flows);
    both.until("both are told", |sides| sides.iter().all(|side| side.refusal().is_some()));
    for side in &both.sides {
        assert!(side.refusal().is_some_and(|because| because.contains("the same secret")), "{}", side.name);
        assert_eq!(side.sync(), SyncView::Down);
    }
    assert_eq!(before, both.sides.each_ref().map(Side::flows));
}

#[test]
fn a_crowd_that_says_nothing_or_nonsense_keeps_nobody_out() {
    let site = site(3);
    let mut both = Both::new(&site, [keys(1, None), keys(1, None)]);
    let [from, to] = site.ha.paths[0].addresses;
    let to = SocketAddr::new(to, site.ha.port);
    let mut crowd = Vec::new();
    for n in 0..40_u8 {
        let socket =
            rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None);
        let socket = socket.expect("a socket");
        rustix::net::bind(&socket, &SocketAddr::new(from, 0)).expect("loopback");
        rustix::net::connect(&socket, &to).expect("listening");
        let mut stream = TcpStream::from(socket);
        // Every third says nothing, every third too little, every third too much.
        let nonsense = vec![n; usize::from(n % 3) * 30];
        stream.write_all(&nonsense).expect("taken");
        crowd.push(stream);
    }
    both.sides[0].fill(1, 100);
    both.until_complete();
    assert!(both.sides[0].flows() == both.sides[1].flows());
}

#[test]
fn a_connection_that_was_cut_is_made_again_at_once() {
    let site = site(4);
    let mut both = Both::new(&site, [keys(1, None), keys(1, None)]);
    both.until_complete();
    for _ in 0..3 {
        both.sides[0].fill(1, 100);
        // A new daemon in the place of the old; the other still holds the connection.
        let mut alpha = Side::new("alpha", &site, &keys(1, None));
        std::mem::swap(&mut alpha.tables, &mut both.sides[0].tables);
        both.sides[0] = alpha;
        both.sides[1].news.clear();
        both.until_complete();
        assert!(both.sides[0].flows() == both.sides[1].flows());
    }
}

/// Its figures say something in a release build only, where there are a million flows:
/// `cargo test --release -p geminus-daemon many_flows -- --nocapture`
#[test]
fn many_flows_are_copied_and_twenty_thousand_a_second_follow() {
    let (many, ticks) = if cfg!(debug_assertions) { (1 << 14, 20_u32) } else { (1 << 20, 200) };
    let mut site = site(5);
    site.tables.flows = 1 << 21;
    let mut both = Both::new(&site, [keys(1, None), keys(1, None)]);
    both.sides[0].fill(1, many);
    let flows = both.sides[0].flows().len();
    let begun = std::time::Instant::now();
    both.until_complete();
    let took = begun.elapsed();
    assert_eq!(both.sides[0].flows().len(), both.sides[1].flows().len());
    println!("{flows} flows copied, encrypted, over loopback, both ends on one thread: {took:?}");

    let before = cpu_time();
    let begun = std::time::Instant::now();
    let mut next = many;
    for tick in 0..ticks {
        let slots = both.sides[0].fill(next, 200);
        next += 200;
        let now = both.now();
        let Side { partner, tables, .. } = &mut both.sides[0];
        slots.iter().for_each(|slot| partner.promoted(*slot, &ground(tables, now), now));
        while begun.elapsed() < Duration::from_millis(10) * tick {
            let now = both.now();
            for side in &mut both.sides {
                side.work(now);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let (spent, span) = (cpu_time() - before, begun.elapsed());
    let lag = both.sides[0].news.iter().rev().find_map(|news| match news {
        SyncNews::Progress { numbers, .. } => Some(numbers.lag_p99),
        _ => None,
    });
    println!(
        "20 000 new flows a second, both ends: {:.1} % of a core, p99 of the lag {lag:?} and up to 10 ms before",
        spent.as_secs_f64() / span.as_secs_f64() * 100.0
    );
}

fn cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(spent.tv_sec as u64, spent.tv_nsec as u32)
}
