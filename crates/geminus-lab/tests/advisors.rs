//! Every protocol with a real server: conversations over plain sockets, then the daemon by the clients' road.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Result;
use geminus_advisor::{Step, Transport, dialogue};
use geminus_api::{ServerState, ServerStatus};
use geminus_core::health::{Fault, FaultKind, Good};
use geminus_core::model::{Advisor, DnsRecord, Http, Protocol};
use geminus_lab::balanced::binary_under_test;
use geminus_lab::balancer::Balancer;
use geminus_lab::counterparts::{BODY, Counterparts, HTTP2, HTTPS, KNOWN_NAME, REDIS_LOCKED, REDIS_ORPHAN};
use geminus_lab::site::{CLUSTER, Machine, Site};

/// A server that is busy starting something else has its time.
const PATIENCE: Duration = Duration::from_secs(10);

const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

fn ask(advisor: &Advisor, protocol: Protocol, to: SocketAddr) -> Result<Result<Good, Fault>> {
    let dialogue = dialogue(advisor, protocol, to.ip(), to.port(), 0xbeef);
    let mut conversation = dialogue.conversation.expect("a protocol that talks");
    let (mut said, mut heard) = (Vec::new(), [0; 1_500]);
    conversation.begin(&mut said);
    if dialogue.transport == Transport::Datagram {
        let socket = UdpSocket::bind(SocketAddr::new(LOOPBACK[usize::from(to.is_ipv6())], 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect(to)?;
        socket.send(&said)?;
        loop {
            let length = socket.recv(&mut heard)?;
            if let Step::Done(outcome) = conversation.hear(&heard[..length], &mut said) {
                return Ok(outcome);
            }
        }
    }
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    loop {
        stream.write_all(&said)?;
        said.clear();
        let length = stream.read(&mut heard)?;
        if length == 0 {
            return Ok(conversation.closed());
        }
        if let Step::Done(outcome) = conversation.hear(&heard[..length], &mut said) {
            stream.write_all(&said)?;
            return Ok(outcome);
        }
    }
}

fn http(host: &str, expect: (u16, u16), body: Option<&str>) -> Advisor {
    Advisor::Http(Http {
        tls: false,
        h2: false,
        method: "GET".to_owned(),
        path: "/".to_owned(),
        host: Some(host.to_owned()),
        headers: Vec::new(),
        expect: vec![expect],
        body: body.map(str::to_owned),
    })
}

fn dns(name: &str) -> Advisor {
    Advisor::Dns { name: name.to_owned(), record: DnsRecord::A }
}

#[test]
fn every_protocol_finds_a_real_server_well_and_says_why_one_is_not() {
    let site = Site::builder().content_hosts(1).build().unwrap();
    let host = &site.hosts[0];
    let _counterparts = Counterparts::start(&site, host).unwrap();
    let ask = |advisor: &Advisor, protocol, port| {
        let both = LOOPBACK.map(|address| {
            let to = SocketAddr::new(address, port);
            let found = host.namespace.inside(|| ask(advisor, protocol, to));
            found.unwrap_or_else(|error| panic!("{} at {to}: {error:#}", advisor.word()))
        });
        assert_eq!(both[0], both[1], "{} in both families", advisor.word());
        both[0].clone()
    };
    let well = [
        (http("www.example.org", (200, 200), Some("web1")), Protocol::Tcp, 80),
        (dns(KNOWN_NAME), Protocol::Udp, 53),
        (dns(KNOWN_NAME), Protocol::Tcp, 53),
        (Advisor::Smtp, Protocol::Tcp, 25),
        (Advisor::Imap, Protocol::Tcp, 143),
        (Advisor::Pop3, Protocol::Tcp, 110),
        (Advisor::Ftp, Protocol::Tcp, 21),
        (Advisor::Ldap, Protocol::Tcp, 389),
        (Advisor::Ssh, Protocol::Tcp, 22),
        (Advisor::Redis, Protocol::Tcp, 6_379),
        (Advisor::Redis, Protocol::Tcp, REDIS_LOCKED),
        (Advisor::Postgres, Protocol::Tcp, 5_432),
    ];
    for (advisor, protocol, port) in well {
        assert_eq!(ask(&advisor, protocol, port), Ok(Good::default()), "{} at {port}", advisor.word());
    }
    let unwell = [
        (http("www.example.org", (500, 599), None), Protocol::Tcp, 80, "got status 200"),
        (http("www.example.org", (200, 200), Some("web2")), Protocol::Tcp, 80, "5 bytes without it"),
        (dns("nobody.example.org"), Protocol::Udp, 53, "NXDOMAIN"),
        (dns("nobody.example.org"), Protocol::Tcp, 53, "NXDOMAIN"),
        (Advisor::Redis, Protocol::Tcp, REDIS_ORPHAN, "-MASTERDOWN"),
    ];
    for (advisor, protocol, port, words) in unwell {
        let fault = ask(&advisor, protocol, port).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unexpected, "{}", fault.words);
        assert!(fault.words.contains(words), "{}", fault.words);
    }
    // Who is asked in a protocol that is not its own.
    for (advisor, port) in
        [(Advisor::Smtp, 143), (Advisor::Imap, 25), (Advisor::Ftp, 110), (Advisor::Pop3, 22)]
    {
        let fault = ask(&advisor, Protocol::Tcp, port).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Garbage, "{} at {port}: {}", advisor.word(), fault.words);
    }
}

/// Services of one server each, by port and protocol, with what is checked.
fn services() -> Vec<(u16, &'static str, String)> {
    let true_of = |word: &str| format!("{word} = true");
    vec![
        (80, "tcp", "http = \"/\", expect = 200, body = \"web1\"".to_owned()),
        (HTTPS, "tcp", format!("https = \"/\", host = \"www.example.org\", h2 = true, body = \"{BODY}\"")),
        (HTTP2, "tcp", format!("http = \"/\", h2 = true, body = \"{BODY}\"")),
        (8_443, "tcp", format!("https = \"/\", port = {HTTPS}, body = \"{BODY}\"")),
        (9_443, "tcp", format!("tls = true, port = {HTTPS}")),
        (53, "udp", format!("dns = \"{KNOWN_NAME}\"")),
        (53, "tcp", format!("dns = \"{KNOWN_NAME}\"")),
        (25, "tcp", true_of("smtp")),
        (143, "tcp", true_of("imap")),
        (110, "tcp", true_of("pop3")),
        (21, "tcp", true_of("ftp")),
        (22, "tcp", true_of("ssh")),
        (389, "tcp", true_of("ldap")),
        (6_379, "tcp", true_of("redis")),
        (REDIS_LOCKED, "tcp", true_of("redis")),
        (5_432, "tcp", true_of("postgres")),
        (7, "tcp", true_of("ping")),
        (8, "tcp", "exec = [\"/bin/true\"]".to_owned()),
        (REDIS_ORPHAN, "tcp", true_of("redis")),
    ]
}

fn configuration(dispatcher: &Machine, host: &Machine) -> String {
    let mut text = format!(
        "[node.{name}]\naddress = \"{address}\"\ninterface = \"eth0\"\n\n[cluster.shop]\naddresses = [\"{v4}\", \
         \"{v6}\"]\n",
        name = dispatcher.name,
        address = dispatcher.addresses.v4,
        v4 = CLUSTER.v4,
        v6 = CLUSTER.v6,
    );
    for (port, protocol, check) in services() {
        let connects = !["ping", "exec"].iter().any(|word| check.starts_with(word));
        let connect = if connects { ", connect = \"2s\"" } else { "" };
        text += &format!(
            "\n[[cluster.shop.service]]\nport = {port}\nprotocol = \"{protocol}\"\n\
             check = {{ {check}, interval = \"500ms\", timeout = \"4s\"{connect} }}\n\
             servers = [{{ name = \"{name}\", address = \"{address}\" }}]\n",
            name = host.name,
            address = host.addresses.v4,
        );
    }
    text
}

/// The one server of each service, with its port.
fn servers(balancer: &Balancer) -> Vec<(String, ServerStatus)> {
    let status = balancer.status().unwrap();
    let services = status.clusters.into_iter().flat_map(|cluster| cluster.services);
    services
        .map(|service| (format!("{} {}", service.ports, service.protocol), service.servers[0].clone()))
        .collect()
}

fn wait_until(
    balancer: &Balancer,
    what: &str,
    is_so: impl Fn(&str, &ServerStatus) -> bool,
) -> Vec<(String, ServerStatus)> {
    let begun = Instant::now();
    loop {
        let seen = servers(balancer);
        let not: Vec<_> = seen.iter().filter(|(service, server)| !is_so(service, server)).collect();
        if not.is_empty() {
            return seen;
        }
        assert!(begun.elapsed() < 3 * PATIENCE, "not {what}: {not:#?}\n{}", balancer.last_words());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_daemon_checks_every_protocol_by_the_clients_road() {
    let site = Site::builder().content_hosts(1).build().unwrap();
    let (dispatcher, host) = (&site.dispatchers[0], &site.hosts[0]);
    let mut counterparts = Counterparts::start(&site, host).unwrap();
    let text = configuration(dispatcher, host);
    let mut balancer = Balancer::on(&site, &binary_under_test().unwrap(), dispatcher, &text).unwrap();
    balancer.set_up_host(host).unwrap();
    balancer.start().unwrap();
    let orphan = format!("{REDIS_ORPHAN} tcp");
    let seen = wait_until(&balancer, "as they should be", |service, server| {
        let check = server.check.as_ref().expect("every one is checked");
        let unwell = || server.because.as_ref().is_some_and(|because| because.contains("MASTERDOWN"));
        if service == orphan {
            unwell()
        } else {
            server.state == ServerState::Up && check.latency_ms.is_some()
        }
    });
    assert_eq!(seen.len(), services().len());
    for (service, server) in &seen {
        let check = server.check.as_ref().unwrap();
        assert_eq!(check.via, if check.advisor == "exec" { "server" } else { "path" }, "{service}");
        let shows = ["https", "tls"].contains(&check.advisor.as_str());
        assert_eq!(
            check.certificate_days.is_some_and(|days| (2.0..=3.0).contains(&days)),
            shows,
            "{service}: {check:?}"
        );
    }
    counterparts.stop("postgres").unwrap();
    wait_until(&balancer, "found without its postgres", |service, server| {
        service != "5432 tcp" || server.because.as_ref().is_some_and(|because| because.contains("refused"))
    });
}
