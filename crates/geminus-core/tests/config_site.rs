//! What a sound file means.

use std::time::Duration;

use geminus_core::config;
use geminus_core::limits;
use geminus_core::model::{
    Advisor, Affinity, Announce, Check, Cluster, HOOK_EVENTS, Ha, Method, Node, Path, Ports, Protocol,
    Recovery, Select, Server, Service, Site, Tables, Timeouts, Timers, Unexposed, Via,
};

#[path = "config_large/site.rs"]
mod large;

const MINIMAL: &str = include_str!("../../../examples/minimal.toml");
const FULL: &str = include_str!("../../../examples/site.toml");

fn minimal() -> Site {
    config::parse(MINIMAL, "minimal.toml").expect("the smallest example is a site")
}

#[track_caller]
fn warnings(text: &str) -> Vec<String> {
    let parsed = config::parse_with_warnings(text, "f").unwrap_or_else(|errors| panic!("{errors}"));
    parsed.warnings.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn errors(text: &str) -> String {
    config::parse(text, "f").expect_err("the text is wrong").to_string()
}

#[test]
fn the_smallest_file_means_every_default() {
    let service = Service {
        protocol: Protocol::Tcp,
        ports: Ports::Exact(80),
        method: Method::Mac,
        select: Select::Hash,
        affinity: None,
        ring_slots: 65_537,
        check: Some(Check::new(Advisor::Tcp)),
        ..Service::new(
            Protocol::Tcp,
            Ports::Exact(80),
            vec![Server::new("198.51.100.21", "198.51.100.21".parse().unwrap())],
        )
    };
    let cluster = Cluster {
        name: "shop".to_string(),
        addresses: vec!["198.51.100.80".parse().unwrap()],
        primary: "alpha".to_string(),
        backup: None,
        unexposed: Unexposed::Drop,
        ping: true,
        services: vec![service],
    };
    let node = Node {
        name: "alpha".to_string(),
        address: "198.51.100.11".parse().unwrap(),
        interface: "eth0".to_string(),
    };
    let site = Site {
        key_file: None,
        nodes: vec![node],
        ha: Ha::default(),
        health: geminus_core::model::Health::default(),
        manager: geminus_core::model::Manager::default(),
        agents: geminus_core::model::Agents::default(),
        tables: Tables { flows: 1 << 20, provisional: 1 << 16, affinity: 1 << 16, tuples: true },
        timeouts: Timeouts {
            tcp: Duration::from_secs(900),
            tcp_fin: Duration::from_secs(300),
            tcp_rst: Duration::from_secs(10),
            udp: Duration::from_secs(300),
            first: Duration::from_secs(3),
        },
        clusters: vec![cluster],
    };
    assert_eq!(minimal(), site);
}

#[test]
fn the_full_file_means_what_it_says() {
    let site = config::parse(FULL, "site.toml").unwrap();
    assert_eq!(site.key_file.as_deref(), Some("/etc/geminus/site.key".as_ref()));
    let names: Vec<_> = site.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["alpha", "beta"]);
    let [shop, media] = &site.clusters[..] else { panic!("two clusters") };
    assert_eq!((shop.name.as_str(), shop.addresses.len(), shop.ping), ("shop", 2, true));
    assert_eq!((media.unexposed, media.ping, media.primary.as_str()), (Unexposed::Pass, false, "beta"));
    let [any, range] = &media.services[..] else { panic!("two services") };
    assert_eq!((any.ports, any.select, any.servers[1].weight), (Ports::Any, Select::RoundRobin, 0));
    assert_eq!((range.ports, range.protocol), (Ports::Range(30_000, 30_099), Protocol::Udp));
    let group = Some("cart".to_string());
    let affinity = Affinity { prefix4: 32, prefix6: 64, timeout: Duration::from_secs(300), group };
    assert_eq!(
        (shop.services[0].affinity.clone(), shop.services[1].affinity.clone()),
        (None, Some(affinity))
    );
    assert_eq!(shop.services[0].servers[2].address, site.nodes[1].address, "a collocated server is allowed");
}

#[test]
fn the_full_file_shows_every_default_of_high_availability() {
    let site = config::parse(FULL, "site.toml").unwrap();
    let defaults = Ha::default();
    let Ha { paths, reach, key_file, also_accept, hooks, .. } = site.ha.clone();
    assert_eq!(Ha { paths, reach, key_file, also_accept, hooks, ..defaults.clone() }, site.ha);
    assert_eq!(site.ha.hooks.timeout, defaults.hooks.timeout);
    assert_eq!(site.ha.hooks.commands.len(), HOOK_EVENTS.len());
    assert_eq!(site.ha.hooks.commands["go-active"], ["/etc/geminus/page", "active"]);
    let (timers, fast) = (
        |text: &str| config::parse(&format!("{MINIMAL}\n[ha]\n{text}"), "f").unwrap().ha.timers,
        Timers::FAST,
    );
    assert_eq!(timers("profile = \"fast\""), fast);
    assert_eq!(timers("profile = \"fast\"\nsuspect = 5"), Timers { suspect: 5, ..fast });
    assert_eq!(
        timers("confirm = \"40ms\""),
        Timers { confirm: Duration::from_millis(40), ..Timers::DEFAULT }
    );
}

#[test]
fn partners_without_paths_hear_each_other_by_their_node_addresses() {
    let path = |names: [&str; 2], last: [u8; 2]| Path {
        nodes: names.map(str::to_string),
        addresses: last.map(|last| format!("198.51.100.{last}").parse().unwrap()),
    };
    let of = |clusters: &[(&str, &str)]| {
        let mut text = "[site]\nkey_file = \"/k\"\n".to_string();
        for (name, last) in [("gamma", 13), ("alpha", 11), ("beta", 12)] {
            text += &format!("[node.{name}]\naddress = \"198.51.100.{last}\"\ninterface = \"eth0\"\n");
        }
        for (number, (primary, backup)) in clusters.iter().enumerate() {
            text += &format!(
                "[cluster.c{number}]\naddresses = [\"198.51.100.8{number}\"]\nprimary = \"{primary}\"\n{backup}\n"
            );
            text += &format!(
                "[[cluster.c{number}.service]]\nport = 80\nservers = [{{ address = \"198.51.100.21\" }}]\n"
            );
        }
        config::parse(&text, "f").unwrap_or_else(|errors| panic!("{errors}"))
    };
    assert_eq!(of(&[("alpha", "")]).ha.paths, []);
    let mutual = of(&[("alpha", "backup = \"beta\""), ("beta", "backup = \"alpha\""), ("gamma", "")]);
    assert_eq!(mutual.ha.paths, [path(["alpha", "beta"], [11, 12])]);
    let groups: Vec<_> = mutual.groups().iter().map(|group| (group.number, group.clusters.clone())).collect();
    assert_eq!(groups, [(1, vec![0]), (3, vec![1])], "by the names of all nodes");
    let round = of(&[("alpha", "backup = \"beta\""), ("beta", "backup = \"gamma\"")]);
    assert_eq!(round.ha.paths, [path(["gamma", "beta"], [13, 12]), path(["alpha", "beta"], [11, 12])]);
}

#[test]
fn paths_of_the_file_belong_to_the_nodes_in_its_order() {
    let site = config::parse(include_str!("../../../examples/mutual.toml"), "f").unwrap();
    let ends =
        ["198.51.100.11", "198.51.100.12", "2001:db8:2::1", "2001:db8:2::2"].map(|end| end.parse().unwrap());
    let nodes = || ["alpha".to_string(), "beta".to_string()];
    let [a, b, c, d] = ends;
    assert_eq!(
        site.ha.paths,
        [Path { nodes: nodes(), addresses: [a, b] }, Path { nodes: nodes(), addresses: [c, d] }]
    );
    assert_eq!(site.ha.timers.detection(), Duration::from_millis(45));
}

#[test]
fn more_groups_than_the_data_plane_has_leases_for_are_refused() {
    let site = |groups: usize| {
        let mut text = "[site]\nkey_file = \"/k\"\n".to_string();
        for node in 0..10 {
            text += &format!("[node.n{node}]\naddress = \"198.51.100.{node}\"\ninterface = \"eth0\"\n");
        }
        let pairs = (0..100).map(|pair| (pair / 10, pair % 10)).filter(|(one, other)| one != other);
        for (number, (primary, backup)) in pairs.take(groups).enumerate() {
            text += &format!(
                "[cluster.c{number}]\naddresses = [\"203.0.113.{number}\"]\nprimary = \"n{primary}\"\nbackup = \"n{backup}\"\n"
            );
            text += &format!(
                "[[cluster.c{number}.service]]\nport = 80\nservers = [{{ address = \"192.0.2.1\" }}]\n"
            );
        }
        text
    };
    let most = config::parse(&site(limits::GROUPS), "f").unwrap();
    assert_eq!(most.groups().last().map(|group| group.number), Some(63));
    assert_eq!(
        errors(&site(limits::GROUPS + 1)),
        "f:477:10: 64 groups of clusters with one primary and backup (at most 63)"
    );
}

#[test]
fn things_keep_the_order_of_the_file() {
    let clusters = |text: &str| -> Vec<String> {
        config::parse(text, "f").unwrap().clusters.into_iter().map(|cluster| cluster.name).collect()
    };
    let text = MINIMAL.to_string()
        + &MINIMAL[MINIMAL.find("[cluster").unwrap()..].replace("shop", "apples").replace(".80", ".81");
    assert_eq!(clusters(&text), ["shop", "apples"]);
}

#[test]
fn half_open_flows_follow_the_flows_unless_said() {
    let tables = |text: &str| config::parse(&format!("{MINIMAL}\n[tables]\n{text}"), "f").unwrap().tables;
    assert_eq!(tables("flows = \"64Mi\"").provisional, 4 << 20);
    assert_eq!(tables("flows = 65536").provisional, 16 << 10);
    assert_eq!(tables("flows = 65536\nprovisional = \"32Ki\"").provisional, 32 << 10);
}

#[test]
fn ports_of_other_protocols_clusters_and_precision_do_not_conflict() {
    let service = |port: &str, protocol: &str| {
        format!(
            "\n[[cluster.shop.service]]\nport = {port}\nprotocol = \"{protocol}\"\nservers = [{{ address = \"198.51.100.21\" }}]\n"
        )
    };
    let text = [
        service("80", "udp"),
        service("\"80-90\"", "tcp"),
        service("\"91-99\"", "tcp"),
        service("\"1-79\"", "tcp"),
        service("85", "tcp"),
        service("\"any\"", "tcp"),
        service("\"any\"", "udp"),
    ];
    assert_eq!(warnings(&(MINIMAL.to_string() + &text.concat())), [""; 0]);
}

#[test]
fn a_service_that_serves_nobody_is_a_warning() {
    let text = MINIMAL.replace("\" }]", "\", weight = 0 }]");
    assert_eq!(
        warnings(&text),
        ["f:10:1: every server of a service of cluster `shop` has weight 0 (no new flow is served)"]
    );
}

#[test]
fn a_ring_too_small_for_its_servers_is_a_warning() {
    let servers: Vec<_> = (1..=4).map(|host| format!("{{ address = \"198.51.100.{host}\" }}")).collect();
    let text = MINIMAL
        .replace("{ address = \"198.51.100.21\" }", &servers.join(", "))
        .replace("80\n", "80\nring = 251\n");
    assert_eq!(
        warnings(&text),
        [
            "f:12:8: a ring of 251 slots is small for 4 servers (100 slots a server keep the balance within a percent)"
        ]
    );
}

#[test]
fn keys_of_a_server_that_change_nothing_are_a_warning() {
    let with = |service: &str, server: &str| {
        let text = MINIMAL
            .replace("\" }]", &format!("\", {server} }}]"))
            .replace("80\n", &format!("80\n{service}\n"));
        warnings(&text)
    };
    assert_eq!(
        with("weights = \"fixed\"", "fixed = true"),
        ["f:13:49: `fixed` on a server of a service whose weights are not managed \
             (weights = \"managed\" in the service, or leave it out)"]
    );
    assert_eq!(
        with("select = \"hash\"", "sticky = false"),
        ["f:13:50: `sticky` on a server of a service without `affinity` \
             (no client comes back there anyway: leave it out)"]
    );
    for (service, server) in [
        ("weights = \"managed\"", "fixed = true"),
        ("weights = \"fixed\"", "fixed = false"),
        ("affinity = {}", "sticky = false"),
        ("select = \"hash\"", "sticky = true"),
    ] {
        assert_eq!(with(service, server), [""; 0], "{service} {server}");
    }
    let pool = "[[cluster.shop.service.pool]]\nname = \"away\"\nservers = [{ address = \"198.51.100.41\", fixed = true }]";
    let text = MINIMAL.replace("80\n", "80\nsorry = \"away\"\n") + pool;
    assert_eq!(warnings(&text).len(), 1, "a pool's servers are servers too");
}

#[test]
fn nodes_without_a_common_key_are_a_warning() {
    let text = MINIMAL.replace(
        "[cluster.shop]",
        "[node.beta]\naddress = \"198.51.100.12\"\ninterface = \"eth0\"\n[cluster.shop]\nprimary = \"alpha\"",
    );
    assert_eq!(
        warnings(&text),
        ["f:7:7: 2 nodes and no `key_file`: each chooses servers in its own way (add key_file to [site])"]
    );
}

#[test]
fn warnings_are_told_beside_errors() {
    let text = MINIMAL.replace("\" }]", "\", weight = 0 }]").replace("eth0", "");
    let errors = config::parse_with_warnings(&text, "f").unwrap_err();
    assert_eq!((errors.errors().len(), errors.warnings().len()), (1, 1));
}

#[test]
fn a_thousand_clusters_of_a_hundred_servers_are_read_whole() {
    let site = config::parse(&large::large_site(1000, 100), "large.toml").unwrap();
    assert_eq!(site.clusters.len(), 1000);
    assert_eq!(
        site.clusters
            .iter()
            .flat_map(|cluster| &cluster.services)
            .map(|service| service.servers.len())
            .sum::<usize>(),
        100_000
    );
}

#[test]
fn a_site_at_a_limit_passes_and_one_beyond_is_refused_at_the_first_too_many() {
    let most = u32::try_from(limits::CLUSTERS).unwrap();
    let small_rings = |text: String| text.replace("port = 80", "port = 80\nring = 251");
    assert!(config::parse(&small_rings(large::large_site(most, 1)), "f").is_ok());
    assert_eq!(
        errors(&small_rings(large::large_site(most + 2, 1))),
        "f:40965:10: 4098 clusters in the site (at most 4096)"
    );
    let most = u32::try_from(limits::SERVERS_PER_SERVICE).unwrap();
    assert!(config::parse(&large::large_site(1, most), "f").is_ok());
    assert_eq!(
        errors(&large::large_site(1, most + 1)),
        "f:4107:3: 4097 servers in one service (at most 4096)"
    );
    let twice = large::large_site(3000, 1).replace("port = 80", "port = 80\nring = 131071");
    assert_eq!(
        errors(&twice),
        "f:20490:8: the rings of the site have 393213000 slots (at most 268439552: a smaller `ring`, such as 4093, \
         suits services of few servers)"
    );
}

#[test]
fn more_ranges_than_the_packet_path_looks_at_are_refused() {
    let service = |range: usize| {
        let first = 1000 + 10 * range;
        let last = first + 9;
        format!(
            "[[cluster.shop.service]]\nport = \"{first}-{last}\"\nservers = [{{ address = \"198.51.100.21\" }}]\n"
        )
    };
    let ranges = |number: usize| MINIMAL.to_string() + &(0..number).map(service).collect::<String>();
    assert!(config::parse(&ranges(limits::RANGES_PER_CLUSTER), "f").is_ok());
    assert_eq!(
        errors(&ranges(limits::RANGES_PER_CLUSTER + 1)),
        "f:62:8: 17 ranges of ports in one cluster (at most 16)"
    );
}

#[test]
fn the_digest_of_the_smallest_site_never_changes() {
    let hex: String = config::digest(&minimal()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "93bea92a9423249999ab7b8f73a45ed204366a4ac6faa47035eb3b4e2b7c775b");
}

#[test]
fn the_digest_ignores_order_comments_and_spelled_out_defaults() {
    let text = "
        tables = { tuples = true, flows = 1048576, affinity = 65_536 }   # the defaults
        [[cluster.shop.service]]
        servers = [{ weight = 1, address = '198.51.100.21', name = '198.51.100.21' }]
        protocol = 'tcp'
        port = 80
        [cluster.shop]
        primary = 'alpha'
        addresses = ['198.51.100.80']
        [node.alpha]
        interface = 'eth0'
        address = '198.51.100.11'";
    assert_eq!(config::parse(text, "f").unwrap(), minimal());
    let mut site = config::parse(FULL, "f").unwrap();
    let digest = config::digest(&site);
    site.nodes.reverse();
    site.clusters.reverse();
    for cluster in &mut site.clusters {
        cluster.addresses.reverse();
        cluster.services.reverse();
        cluster.services.iter_mut().for_each(|service| service.servers.reverse());
    }
    assert_eq!(config::digest(&site), digest);
}

#[test]
fn the_digest_sees_every_difference() {
    let full = config::parse(FULL, "f").unwrap();
    let second = Duration::from_secs(1);
    let changes: [fn(&mut Site, Duration); 45] = [
        |_, _| {},
        |site, second| site.ha.lease += second,
        |site, second| site.ha.timers.heartbeat += second,
        |site, _| site.ha.timers.suspect += 1,
        |site, _| site.ha.timers.probes += 1,
        |site, second| site.ha.timers.confirm += second,
        |site, _| site.ha.port += 1,
        |site, _| site.ha.paths.truncate(1),
        |site, _| site.ha.paths.reverse(),
        |site, _| site.ha.paths[1].addresses.reverse(),
        |site, _| site.ha.reach.clear(),
        |site, _| site.ha.recovery = Recovery::Manual,
        |site, second| site.ha.stable += second,
        |site, second| site.ha.alone_after += second,
        |site, _| site.ha.announce = Announce::VirtualMac,
        |site, _| site.clusters[0].backup = None,
        |site, _| site.tables.flows *= 2,
        |site, _| site.tables.provisional *= 2,
        |site, _| site.tables.affinity *= 2,
        |site, _| site.tables.tuples = false,
        |site, second| site.timeouts.tcp += second,
        |site, second| site.timeouts.tcp_fin += second,
        |site, second| site.timeouts.tcp_rst += second,
        |site, second| site.timeouts.udp += second,
        |site, second| site.timeouts.first += second / 1000,
        |site, _| site.nodes.truncate(1),
        |site, _| site.nodes[0].name += "x",
        |site, _| site.nodes[0].interface += "x",
        |site, _| site.nodes[0].address = site.clusters[0].addresses[0],
        |site, _| site.clusters.truncate(1),
        |site, _| site.clusters[0].name += "x",
        |site, _| site.clusters[0].addresses.truncate(1),
        |site, _| site.clusters[0].primary = "beta".to_string(),
        |site, _| site.clusters[0].unexposed = Unexposed::Pass,
        |site, _| site.clusters[0].ping = false,
        |site, _| site.clusters[0].services.truncate(1),
        |site, _| site.clusters[0].services[0].ports = Ports::Exact(81),
        |site, _| site.clusters[0].services[0].protocol = Protocol::Udp,
        |site, _| site.clusters[0].services[0].select = Select::RoundRobin,
        |site, _| site.clusters[0].services[0].ring_slots = 251,
        |site, _| site.clusters[0].services[1].affinity = None,
        |site, _| site.clusters[0].services[1].affinity.as_mut().unwrap().prefix4 = 24,
        |site, _| site.clusters[0].services[1].affinity.as_mut().unwrap().prefix6 = 48,
        |site, second| site.clusters[0].services[1].affinity.as_mut().unwrap().timeout += second,
        |site, _| site.clusters[0].services[0].servers[0].weight = 11,
    ];
    let digests = changes.map(|change| {
        let mut site = full.clone();
        change(&mut site, second);
        config::digest(&site)
    });
    let distinct: std::collections::HashSet<_> = digests.iter().collect();
    assert_eq!(distinct.len(), changes.len());
}

#[test]
fn the_digest_sees_every_difference_of_a_service() {
    let service = |text: &str| MINIMAL.replace("port = 80\n", &format!("port = 80\n{text}\n"));
    let pools = "\n[[cluster.shop.service.pool]]\nname = \"a\"\nservers = [{ address = \"198.51.100.41\" }]";
    let further = [
        "",
        "pool = \"a\"\nfrom = [\"203.0.113.0/24\"]",
        "pool = \"main\"\nfrom = [\"203.0.113.0/24\"]",
        "pool = \"a\"\nfrom = [\"203.0.113.0/25\"]",
        "pool = \"a\"\nactive = 5",
        "pool = \"a\"\nrate = 5",
        "pool = \"a\"\nduring = \"sun 01:00-02:00\"",
    ];
    let further = further.map(|rule| match rule {
        "" => MINIMAL.to_owned() + pools,
        rule => format!("{MINIMAL}{pools}\n[[cluster.shop.service.rule]]\n{rule}"),
    });
    let written = [
        "",
        "check = { tcp = true, port = 81 }",
        "check = { tcp = true, via = \"server\" }",
        "check = { tcp = true, interval = \"1s\", fast_interval = \"250ms\" }",
        "check = { tcp = true, fast_interval = \"200ms\" }",
        "check = { tcp = true, connect = \"200ms\" }",
        "check = { tcp = true, timeout = \"2s\" }",
        "check = { tcp = true, fall = 2 }",
        "check = { tcp = true, rise = 3 }",
        "check = { tls = true }",
        "check = { tls = true, host = \"a\" }",
        "check = { http = \"/\" }",
        "check = { https = \"/\" }",
        "check = { http = \"/\", h2 = true }",
        "check = { http = \"/\", method = \"HEAD\" }",
        "check = { http = \"/\", host = \"a\" }",
        "check = { http = \"/\", headers = [\"A: b\"] }",
        "check = { http = \"/\", body = \"a\" }",
        "check = { http = \"/\", body = \", h2\" }",
        "check = { http = \"/\", expect = 200 }",
        "check = { dns = \"a\" }",
        "check = { dns = \"a\", record = \"MX\" }",
        "check = { udp = 'a' }",
        "check = { udp = 'a', answer = 'b' }",
        "check = { exec = [\"/a\", \"b\"] }",
        "check = { exec = [\"/a b\"] }",
        "check = { ping = true }",
        "check = { none = true }",
        "select = \"least-connections\"",
        "on_down = \"keep\"",
        "on_down = \"reset\"",
        "weights = \"managed\"",
        "allow = [\"203.0.113.0/24\"]",
        "deny = [\"203.0.113.0/24\"]",
        "sorry = \"main\"",
    ];
    let texts = written.iter().map(|text| service(text)).chain(further);
    let digests: Vec<_> = texts
        .map(|text| config::digest(&config::parse(&text, "f").unwrap_or_else(|errors| panic!("{errors}"))))
        .collect();
    let distinct: std::collections::HashSet<_> = digests.iter().collect();
    assert_eq!(distinct.len(), written.len() + 7);
}

#[test]
fn a_check_is_as_the_file_says_and_else_as_the_profile() {
    let check = |port: &str, text: &str| {
        let text = MINIMAL.replace("port = 80\n", &format!("port = {port}\n{text}\n"));
        config::parse(&text, "f")
            .unwrap_or_else(|errors| panic!("{errors}"))
            .clusters
            .remove(0)
            .services
            .remove(0)
            .check
    };
    let milliseconds = Duration::from_millis;
    assert_eq!(check("80", ""), Some(Check::new(Advisor::Tcp)));
    assert_eq!(check("80", "protocol = \"udp\""), None);
    assert_eq!(check("\"any\"", ""), None);
    assert_eq!(check("\"80-90\"", ""), None);
    assert_eq!(check("80", "check = { none = true }"), None);
    assert_eq!(
        check("80", "check = { redis = true, profile = \"fast\" }"),
        Some(Check::fast(Advisor::Redis))
    );
    let slow = check("80", "check = { smtp = true, interval = \"10s\" }").unwrap();
    assert_eq!((slow.interval, slow.fast_interval), (milliseconds(10_000), milliseconds(5000)));
    let short = check("80", "check = { tcp = true, timeout = \"200ms\" }").unwrap();
    assert_eq!((short.connect, short.timeout), (milliseconds(200), milliseconds(200)));
    let long = check("80", "check = { tcp = true, connect = \"5s\" }").unwrap();
    assert_eq!((long.connect, long.timeout), (milliseconds(5000), milliseconds(5000)));
    let exec = check("\"any\"", "check = { exec = [\"/bin/true\"] }").unwrap();
    assert_eq!((exec.via, exec.port), (Via::Server, None));
    let range = check("\"80-90\"", "check = { tcp = true, port = 85 }").unwrap();
    assert_eq!((range.via, range.port), (Via::Path, Some(85)));
}

#[test]
fn agents_are_heard_where_there_is_a_key_to_know_them_by() {
    let heard = |text: &str| config::parse(&format!("{text}\n{MINIMAL}"), "f").unwrap().agents.enabled;
    assert!(!heard(""));
    assert!(heard("[site]\nkey_file = \"/k\""));
    assert!(heard("[agents]\nkey_file = \"/k\""));
    assert!(!heard("[agents]\nenabled = false\nkey_file = \"/k\""));
    assert!(!heard("[site]\nkey_file = \"/k\"\n[ha]\nport = 4871\n[agents]\nenabled = false"));
}

#[test]
fn pools_nobody_is_sent_to_and_groups_of_one_are_warnings() {
    let pool =
        "[[cluster.shop.service.pool]]\nname = \"away\"\nservers = [{ address = \"198.51.100.41\" }]\n";
    assert_eq!(
        warnings(&(MINIMAL.to_string() + pool)),
        ["f:14:8: no rule and no `sorry` leads to the pool `away` (nobody is sent there)"]
    );
    let group = MINIMAL.replace("port = 80\n", "port = 80\naffinity = { group = \"cart\" }\n");
    assert_eq!(
        warnings(&group),
        [
            "f:12:22: only one service of cluster `shop` is in the affinity group `cart` (a second one shares its \
             clients, or the group is of no use)"
        ]
    );
    let parsed = config::parse_with_warnings(&large::large_site(100, 100), "f").unwrap();
    assert_eq!(
        parsed.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "f:5408:1: the servers of the site are checked 20000 times a second (a longer `interval`, or check = { none \
             = true } where nobody looks)"
        ]
    );
}

#[test]
fn what_a_site_may_have_of_criteria_is_bounded() {
    let prefixes = |many: usize| {
        let all: Vec<_> =
            (0..many).map(|number| format!("\"10.{}.{}.0/24\"", number >> 8, number & 255)).collect();
        MINIMAL.replace("port = 80\n", &format!("port = 80\nallow = [{}]\n", all.join(", ")))
    };
    assert!(config::parse(&prefixes(limits::PREFIXES), "f").is_ok());
    assert!(
        errors(&prefixes(limits::PREFIXES).replace("allow = [", "deny = [\"192.0.2.1\"]\nallow = ["))
            .ends_with("65537 prefixes in the site (at most 65536)")
    );
    let pools = |many: usize| -> String {
        let pool = |number: usize| {
            let address = format!("10.0.{}.{}", number >> 8, number & 255);
            format!(
                "[[cluster.shop.service.pool]]\nname = \"p{number}\"\nservers = [{{ address = \"{address}\" }}]\n"
            )
        };
        MINIMAL.replace("port = 80\n", "port = 80\nring = 251\n") + &(0..many).map(pool).collect::<String>()
    };
    assert!(config::parse(&pools(limits::POOLS_PER_SERVICE), "f").is_ok());
    assert!(errors(&pools(256)).ends_with("256 further pools in one service (at most 255)"));
    let group = |services: u16| -> String {
        let service = |port: u16| {
            format!(
                "[[cluster.shop.service]]\nport = {port}\naffinity = {{ group = \"cart\" }}\n\
                 servers = [{{ address = \"198.51.100.21\" }}]\n"
            )
        };
        MINIMAL.to_owned() + &(1..=services).map(service).collect::<String>()
    };
    assert!(config::parse(&group(8), "f").is_ok());
    assert!(
        errors(&group(9)).ends_with("9 services in the affinity group `cart` of cluster `shop` (at most 8)")
    );
}

#[test]
fn the_digest_leaves_out_what_may_differ_from_node_to_node() {
    let mut site = config::parse(FULL, "f").unwrap();
    let digest = config::digest(&site);
    site.key_file = Some("/another".into());
    (site.ha.key_file, site.ha.also_accept) = (None, Some("/another".into()));
    site.ha.hooks.timeout += Duration::from_secs(1);
    site.ha.hooks.commands.clear();
    assert_eq!(config::digest(&site), digest);
}

#[test]
fn a_difference_names_what_each_says_alone() {
    let ours = config::parse(FULL, "f").unwrap();
    let mut theirs = ours.clone();
    theirs.clusters[0].services[0].servers[0].weight = 11;
    theirs.clusters[1].backup = None;
    let (ours, theirs) = (config::lines(&ours), config::lines(&theirs));
    assert_eq!(
        config::difference(&ours, &theirs),
        [
            "only here: cluster media: backup alpha",
            "only here: cluster shop: service tcp 80: server web1 at 198.51.100.21, weight 10",
            "only there: cluster shop: service tcp 80: server web1 at 198.51.100.21, weight 11",
        ]
    );
    let other = config::lines(&config::parse(&large::large_site(1, 1000), "f").unwrap());
    let told = config::difference(&ours, &other);
    assert_eq!(told.len(), limits::DIFFERENCES + 1);
    let more = ours.len() + other.len() - limits::DIFFERENCES;
    let both = ours.iter().filter(|line| other.contains(line)).count();
    assert_eq!(told.last(), Some(&format!("{} more differences", more - 2 * both)));
}
