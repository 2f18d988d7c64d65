//! Hostile servers and programs, one beside the other: each check ends in its time with a fault that names it, and the good
//! server among them is well.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use geminus_core::health::{Fault, FaultKind, Good, Probe, Target};
use geminus_core::model::{Advisor, Http, Protocol};
use tokio::task::{LocalSet, spawn_local};

use super::bounds::FAREWELLS;
use super::check::{Deadlines, by_transport, check};
use super::road::{Aim, Means, Road};
use super::{Place, Way};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_millis(600);
/// Wide: other things run on the machine. What is promised is 10 ms.
const ROOM: Duration = Duration::from_secs(3);

fn way() -> Way {
    Way { place: Place::Link { index: 1, name: "lo".into(), macs: None }, is_dispatcher: false }
}

fn probe(number: u64, advisor: Advisor, protocol: Protocol, port: u16) -> Probe {
    let target = Target {
        server: HERE,
        addresses: Vec::new(),
        port,
        protocol,
        advisor,
        connect: Duration::from_millis(300),
        timeout: TIMEOUT,
    };
    Probe { number, target: Arc::new(target), by: None }
}

fn http(tls: bool, h2: bool) -> Advisor {
    Advisor::Http(Http {
        tls,
        h2,
        method: "GET".into(),
        path: "/".into(),
        host: None,
        headers: Vec::new(),
        expect: vec![(200, 399)],
        body: Some("never said".into()),
    })
}

/// Makes all checks at once; how long each took, and what came of it.
fn all(probes: Vec<Probe>) -> Vec<(Duration, Result<Good, Fault>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let means = Rc::new(Means::new());
        let begin = |probe: Probe| {
            let means = Rc::clone(&means);
            spawn_local(async move {
                let begun = Instant::now();
                let outcome = check(&means, &probe, &way()).await;
                (begun.elapsed(), outcome)
            })
        };
        let mut outcomes = Vec::new();
        for task in probes.into_iter().map(begin).collect::<Vec<_>>() {
            outcomes.push(task.await.unwrap());
        }
        outcomes
    })
}

/// A server that does this with every connection; its port.
fn server(doing: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind((HERE, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let doing = Arc::new(doing);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let doing = Arc::clone(&doing);
            thread::spawn(move || doing(stream));
        }
    });
    port
}

/// Says the same for ever, so much at a time, or until nobody takes it; counts what was taken.
fn endless(first: &'static [u8], piece: Vec<u8>, pause: Duration, taken: Arc<AtomicUsize>) -> u16 {
    server(move |mut stream| {
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut said = stream.write_all(first);
        while said.is_ok() {
            thread::sleep(pause);
            said = stream.write_all(&piece);
            taken.fetch_add(piece.len(), Ordering::Relaxed);
        }
    })
}

#[test]
fn hostile_servers_end_in_time_each_with_its_fault_and_the_good_one_among_them_is_well() {
    let taken = Arc::new(AtomicUsize::new(0));
    let big = Arc::new(AtomicUsize::new(0));
    let none = Duration::ZERO;
    let kib = |byte: u8| vec![byte; 4096];
    let garbage = endless(b"", kib(0xff), none, Arc::clone(&taken));
    let dribble = endless(b"HTTP/1.1 200 OK\r\n", vec![b'a'], Duration::from_millis(50), Arc::clone(&taken));
    let headers = endless(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n".repeat(600), none, Arc::clone(&taken));
    let body =
        endless(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", kib(b'x'), none, Arc::clone(&big));
    let silent = server(|stream| {
        thread::sleep(Duration::from_secs(5));
        drop(stream);
    });
    let reset = server(|stream| {
        let socket = socket2::SockRef::from(&stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    });
    let gone = server(drop);
    let good = server(|mut stream| {
        let mut said = [0; 512];
        let _ = stream.read(&mut said);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nnever said");
    });
    let closed = TcpListener::bind((HERE, 0)).unwrap().local_addr().unwrap().port();
    let kinds = |kinds: &'static [FaultKind]| Some(kinds);
    use FaultKind::{Closed, Garbage, Refused, Timeout, Tls, Unexpected};
    let cases: Vec<(&str, Advisor, u16, Option<&[FaultKind]>)> = vec![
        ("good", http(false, false), good, None),
        ("connects", Advisor::Tcp, silent, None),
        ("closed", Advisor::Tcp, closed, kinds(&[Refused])),
        ("garbage for HTTP", http(false, false), garbage, kinds(&[Garbage])),
        ("garbage for h2", http(false, true), garbage, kinds(&[Garbage, Closed])),
        ("garbage for TLS", Advisor::Tls { name: None }, garbage, kinds(&[Tls])),
        ("garbage for HTTPS", http(true, false), garbage, kinds(&[Tls])),
        ("garbage for SMTP", Advisor::Smtp, garbage, kinds(&[Garbage])),
        ("garbage for PostgreSQL", Advisor::Postgres, garbage, kinds(&[Garbage, Timeout])),
        ("garbage for MySQL", Advisor::Mysql, garbage, kinds(&[Garbage])),
        ("a byte now and then", http(false, false), dribble, kinds(&[Timeout])),
        ("endless headers", http(false, false), headers, kinds(&[Garbage])),
        ("a gigabyte", http(false, false), body, kinds(&[Unexpected])),
        ("silence", http(false, false), silent, kinds(&[Timeout])),
        ("silence for TLS", http(true, true), silent, kinds(&[Timeout])),
        ("silence for h2", http(false, true), silent, kinds(&[Timeout])),
        ("silence for Redis", Advisor::Redis, silent, kinds(&[Timeout])),
        ("a reset", http(false, false), reset, kinds(&[Closed])),
        ("a reset for TLS", Advisor::Tls { name: None }, reset, kinds(&[Tls, Closed])),
        ("the end", Advisor::Ssh, gone, kinds(&[Closed, Garbage])),
    ];
    let probes = cases
        .iter()
        .zip(1..)
        .map(|((_, advisor, port, _), number)| probe(number, advisor.clone(), Protocol::Tcp, *port))
        .collect();
    for ((what, _, _, wanted), (took, outcome)) in cases.iter().zip(all(probes)) {
        assert!(took < TIMEOUT + ROOM, "{what}: {took:?}");
        match (wanted, &outcome) {
            (None, Ok(_)) => {}
            (Some(kinds), Err(fault)) if kinds.contains(&fault.kind) => {
                let printable = fault.words.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
                assert!(printable && fault.words.len() <= 200, "{what}: {fault:?}");
            }
            _ => panic!("{what}: {outcome:?}"),
        }
    }
    // What a conversation keeps, what the kernel does on both sides of loopback, and no gigabyte.
    assert!(
        big.load(Ordering::Relaxed) < 8 << 20,
        "{} bytes of the body were taken",
        big.load(Ordering::Relaxed)
    );
}

/// Handshake messages of TLS 1.2, of a type and a body each, cut into records as long as they may be.
fn tls_records(messages: &[(u8, &[u8])]) -> Vec<u8> {
    const HANDSHAKE: [u8; 3] = [22, 3, 3];
    let mut said = Vec::new();
    for (kind, body) in messages {
        said.push(*kind);
        said.extend_from_slice(&length(body));
        said.extend_from_slice(body);
    }
    let records = said.chunks(1 << 14).map(|record| [&HANDSHAKE, &length(record)[1..], record].concat());
    records.collect::<Vec<_>>().concat()
}

/// Three bytes, as TLS counts.
fn length(body: &[u8]) -> [u8; 3] {
    let [_, length @ ..] = u32::try_from(body.len()).unwrap().to_be_bytes();
    length
}

#[test]
fn a_tls_handshake_without_an_end_ends_in_time_and_is_not_kept() {
    const SERVER_HELLO: u8 = 2;
    const CERTIFICATE: u8 = 11;
    // TLS 1.2, a random, no session, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, no compression.
    let hello = [&[3, 3][..], &[7; 32], &[0, 0xc0, 0x2f, 0]].concat();
    let of_chain = |certificates: usize, bytes: usize| {
        let certificate = vec![0x30; bytes];
        let chain = [&length(&certificate)[..], &certificate].concat().repeat(certificates);
        let message = [&length(&chain)[..], &chain].concat();
        tls_records(&[(SERVER_HELLO, &hello), (CERTIFICATE, &message)])
    };
    let says = |said: Vec<u8>| {
        server(move |mut stream| {
            let _ = stream.write_all(&said);
            // Until the other side has enough of it: what it has not read yet is not lost by a reset.
            let _ = stream.read_to_end(&mut Vec::new());
        })
    };
    let cases = [
        ("a ServerHello of 64 KiB", says(tls_records(&[(SERVER_HELLO, &[3; 65_000])])), true),
        ("a chain of 60 KiB", says(of_chain(15, 4_096)), true),
        ("one certificate of 60 KiB", says(of_chain(1, 60_000)), true),
        // What follows it never comes.
        ("a chain of 16 KiB", says(of_chain(4, 4_096)), false),
    ];
    let probes = cases
        .iter()
        .zip(1..)
        .map(|((_, port, _), number)| probe(number, Advisor::Tls { name: None }, Protocol::Tcp, *port));
    for ((what, _, is_too_much), (took, outcome)) in cases.iter().zip(all(probes.collect())) {
        assert!(took < TIMEOUT + ROOM, "{what}: {took:?}");
        let fault = outcome.unwrap_err();
        if *is_too_much {
            assert_eq!(fault.kind, FaultKind::Tls, "{what}: {fault:?}");
            assert!(fault.words.contains("got more than 32 KiB of TLS"), "{what}: {fault:?}");
        } else {
            assert_eq!(fault.kind, FaultKind::Timeout, "{what}: {fault:?}");
        }
    }
}

#[test]
fn datagrams_that_are_no_answer_end_in_time() {
    let socket = UdpSocket::bind((HERE, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut said = [0; 512];
        while let Ok((_, from)) = socket.recv_from(&mut said) {
            for _ in 0..1000 {
                let _ = socket.send_to(&[0xff; 1200], from);
            }
        }
    });
    let closed = UdpSocket::bind((HERE, 0)).unwrap().local_addr().unwrap().port();
    let dns = || Advisor::Dns { name: "example.org".into(), record: Default::default() };
    let outcomes = all(vec![probe(1, dns(), Protocol::Udp, port), probe(2, dns(), Protocol::Udp, closed)]);
    for (took, outcome) in &outcomes {
        assert!(*took < TIMEOUT + ROOM && outcome.is_err(), "{took:?} {outcome:?}");
    }
    assert_eq!(outcomes[1].1.as_ref().unwrap_err().kind, FaultKind::Refused);
}

#[test]
fn hostile_programs_end_in_time_and_leave_nobody_behind() {
    let marker = format!("geminus-test-{}", std::process::id());
    let exec = |script: &str| Advisor::Exec {
        command: ["/bin/sh", "-c", script, &marker].map(str::to_owned).to_vec(),
    };
    let cases = [
        (
            "good",
            exec("test \"$GEMINUS_SERVER:$GEMINUS_PORT\" = 127.0.0.1:7000 && test $(env | wc -l) -le 8"),
            true,
        ),
        ("ends with 3", exec("echo first; echo because of this >&2; exit 3"), false),
        ("hangs", exec("sleep 600"), false),
        ("hangs with children", exec("sleep 600 & sleep 600 & wait"), false),
        ("deaf to its end", exec("trap '' TERM INT HUP; while :; do sleep 600; done"), false),
        ("floods", exec("while :; do echo flood; done"), false),
        ("leaves children behind", exec("sleep 600 & exit 0"), true),
        ("is nobody", exec("test $(id -u) != 0 || test $(id -u) = $(stat -c %u /proc/$PPID)"), true),
    ];
    let probes = cases
        .iter()
        .zip(1..)
        .map(|((_, advisor, _), number)| probe(number, advisor.clone(), Protocol::Tcp, 7000));
    let outcomes = all(probes.collect());
    for ((what, _, is_good), (took, outcome)) in cases.iter().zip(&outcomes) {
        assert!(*took < TIMEOUT + ROOM, "{what}: {took:?}");
        assert_eq!(outcome.is_ok(), *is_good, "{what}: {outcome:?}");
        assert!(
            outcome.as_ref().err().is_none_or(|fault| fault.kind == FaultKind::Exec),
            "{what}: {outcome:?}"
        );
    }
    let words = |at: usize| outcomes[at].1.as_ref().unwrap_err().words.as_str();
    assert_eq!(words(1), "it ended with 3: because of this");
    assert_eq!(words(2), "it did not end in time");
    let begun = Instant::now();
    while let Some(left) = running(&marker) {
        assert!(begun.elapsed() < ROOM, "still there: {left}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_program_that_does_not_start_says_nothing_of_the_server() {
    let cases = [
        ("/nowhere/at/all", "/nowhere/at/all does not start: no such file or directory; install it"),
        ("/etc/passwd", "/etc/passwd does not start: permission denied; let everybody execute it"),
        ("/etc/passwd/too", "/etc/passwd/too does not start: not a directory; install it"),
    ];
    let exec = |program: &str| Advisor::Exec { command: vec![program.to_owned()] };
    let probes = cases.iter().zip(1..).map(|((it, _), number)| probe(number, exec(it), Protocol::Tcp, 7000));
    for ((program, words), (_, outcome)) in cases.iter().zip(all(probes.collect())) {
        let fault = outcome.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Own, "{program}: {fault:?}");
        assert!(fault.words.contains(words), "{program}: {fault:?}");
    }
}

/// A process whose command line names the marker.
fn running(marker: &str) -> Option<String> {
    let own = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter(|entry| *entry.file_name() != *own).filter_map(|entry| {
        let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        line.contains(marker).then_some(line)
    });
    lines.next()
}

#[test]
fn a_cluster_address_that_a_collocated_server_lacks_is_named() {
    let way = Way { place: Place::Here, is_dispatcher: true };
    let means = || Means::new();
    let over = geminus_packet::probe::Over::Tcp(80);
    let lacking: IpAddr = "192.0.2.80".parse().unwrap();
    let fault = means().aim(HERE, Some(lacking), &way, over).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unreachable);
    assert!(fault.words.contains("192.0.2.80 is not an address of this machine"), "{}", fault.words);
    assert_eq!(means().aim(HERE, Some(HERE), &way, over).unwrap().address, HERE);
    let behind = Way { place: Place::Behind("192.0.2.1".parse().unwrap()), is_dispatcher: false };
    assert_eq!(means().aim(HERE, Some(lacking), &behind, over).unwrap_err().kind, FaultKind::Unreachable);
}

/// Makes one check; what came of it, how many have its road beside whoever asked for the check when that knows, and once the
/// server has closed.
fn holders(means: &Means, advisor: Advisor, port: u16) -> (Result<Good, Fault>, [usize; 2]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let Probe { target, .. } = probe(1, advisor, Protocol::Tcp, port);
        let said = geminus_advisor::dialogue(&target.advisor, target.protocol, HERE, port, 7);
        let aim = Rc::new(Aim { address: HERE, road: Road::Plain });
        let outcome = by_transport(means, &target, HERE, said, &aim, Deadlines::of(&target)).await;
        let first = Rc::strong_count(&aim) - 1;
        let begun = Instant::now();
        while Rc::strong_count(&aim) > 1 && begun.elapsed() < ROOM {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        (outcome, [first, Rc::strong_count(&aim) - 1])
    })
}

#[test]
fn who_is_told_farewell_has_the_road_until_it_has_closed_and_nobody_else_has() {
    let told = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&told);
    let mail = server(move |mut stream| {
        let _ = stream.write_all(b"220 mail ESMTP\r\n");
        let mut said = Vec::new();
        let mut buffer = [0; 512];
        loop {
            match stream.read(&mut buffer) {
                Ok(length) if length > 0 => said.extend_from_slice(&buffer[..length]),
                _ => return,
            }
            if said.ends_with(b"QUIT\r\n") {
                seen.fetch_add(1, Ordering::SeqCst);
                // Longer than nothing, and shorter than it is given.
                thread::sleep(Duration::from_millis(50));
                let _ = stream.write_all(b"221 bye\r\n");
                return;
            }
            let _ = stream.write_all(b"250 mail\r\n");
        }
    });
    let means = Means::new();
    let (outcome, holders_of_mail) = holders(&means, Advisor::Smtp, mail);
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(holders_of_mail, [1, 0]);
    assert_eq!(told.load(Ordering::SeqCst), 1, "it took the farewell before the road was given up");
    let silent = server(|stream| {
        thread::sleep(Duration::from_secs(5));
        drop(stream);
    });
    for advisor in [Advisor::Tcp, http(false, false), http(false, true), Advisor::Tls { name: None }] {
        assert_eq!(holders(&means, advisor, silent).1, [0, 0], "it is reset while its check has the road");
    }
    let turns: Vec<_> = (0..FAREWELLS).map(|_| Arc::clone(&means.farewells).try_acquire_owned()).collect();
    let (outcome, none) = holders(&means, Advisor::Smtp, mail);
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(none, [0, 0], "one too many is reset");
    drop(turns);
}

#[test]
fn a_thousand_checks_leave_no_ports_that_wait() {
    let port = server(|mut stream| {
        let mut said = [0; 16];
        let _ = stream.read(&mut said);
    });
    let outcomes = all((1..=1000).map(|number| probe(number, Advisor::Tcp, Protocol::Tcp, port)).collect());
    let failed = outcomes.iter().filter(|(_, outcome)| outcome.is_err()).count();
    // A backlog of 128 overflows now and then when a thousand come at once.
    assert!(failed < 500, "{failed} of 1000 failed");
    let waiting = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!("0100007F:{port:04X}");
    /// `TCP_TIME_WAIT`, `include/net/tcp_states.h`.
    const TIME_WAIT: &str = "06";
    let ours = waiting.lines().filter(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields.get(2) == Some(&remote.as_str()) && fields.get(3) == Some(&TIME_WAIT)
    });
    assert_eq!(ours.count(), 0);
}
