//! Every protocol with a real server: conversations over plain sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::Result;
use geminus_advisor::{Step, Transport, dialogue};
use geminus_core::health::{Fault, FaultKind, Good};
use geminus_core::model::{Advisor, DnsRecord, Http, Protocol};
use geminus_lab::counterparts::{Counterparts, KNOWN_NAME, REDIS_LOCKED, REDIS_ORPHAN};
use geminus_lab::site::Site;

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
    let mut counterparts = Counterparts::start(&site, host).unwrap();
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
    counterparts.stop("postgres").unwrap();
}
