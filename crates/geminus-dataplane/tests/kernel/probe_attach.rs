//! The way of checks on an interface: the loopback of a network namespace that a thread of the test has for itself.
#![allow(
    unsafe_code,
    reason = "a namespace of one thread and the mark of a socket have no safe wrapper here"
)]

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::process::Command;
use std::thread;

use geminus_dataplane::{Probes, TcMode};
use geminus_packet::probe::{Asked, Over};

const SERVERS: [&str; 2] = ["192.0.2.21", "2001:db8::21"];
const CLUSTERS: [&str; 2] = ["192.0.2.80", "2001:db8::80"];
const PORT: u16 = 8080;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Does something in a namespace with a loopback that has all addresses.
fn in_a_namespace(doing: impl FnOnce() + Send + 'static) {
    let inside = move || {
        // SAFETY: takes no pointer; the thread is this test's own and ends here.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "{}", io::Error::last_os_error());
        run("ip", &["link", "set", "lo", "up"]);
        for address in SERVERS.into_iter().chain(CLUSTERS) {
            run("ip", &["address", "add", address, "dev", "lo"]);
        }
        doing();
    };
    thread::spawn(inside).join().expect("the thread does what it has to");
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("the program is there");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Connects with a mark.
fn connect(server: IpAddr, mark: u32) -> io::Result<TcpStream> {
    let family = if server.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: takes no pointer.
    let socket = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    assert!(socket >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the descriptor is new and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: the value is readable for the length given.
    let marked = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MARK,
            (&raw const mark).cast(),
            size_of::<u32>() as libc::socklen_t,
        )
    };
    assert_eq!(marked, 0, "{}", io::Error::last_os_error());
    let connected = match server {
        IpAddr::V4(server) => {
            let address = libc::sockaddr_in {
                sin_family: libc::AF_INET as u16,
                sin_port: PORT.to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(server).to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: the address is whole and its length is given.
            unsafe {
                libc::connect(socket.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as u32)
            }
        }
        IpAddr::V6(server) => {
            let address = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as u16,
                sin6_port: PORT.to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: server.octets() },
                sin6_scope_id: 0,
            };
            // SAFETY: as above.
            unsafe {
                libc::connect(socket.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as u32)
            }
        }
    };
    if connected < 0 { Err(io::Error::last_os_error()) } else { Ok(socket.into()) }
}

/// A service that listens on the cluster address alone is reached by a socket that is connected to the server's.
fn expect_the_way(probes: &Probes) {
    for (server, cluster) in SERVERS.into_iter().zip(CLUSTERS) {
        let (server, cluster) = (ip(server), ip(cluster));
        let _service = TcpListener::bind((cluster, PORT)).expect("the address is there");
        let refused = connect(server, 0).expect_err("nobody listens there");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let asked = Asked { server, cluster, source: None, over: Over::Tcp(PORT), mac: None };
        let slot = probes.slots().take(&asked).expect("a slot is free");
        let stream = connect(server, slot.mark()).unwrap_or_else(|error| panic!("{server}: {error}"));
        assert_eq!(stream.peer_addr().expect("connected"), SocketAddr::new(server, PORT));
        let [left, came] = slot.counted();
        assert!(left >= 2 && came >= 1, "{left} left, {came} came");
    }
}

fn filters() -> usize {
    let sides = ["ingress", "egress"].map(|side| run("tc", &["filter", "show", "dev", "lo", side]));
    sides.iter().flat_map(|listed| listed.lines()).filter(|line| line.contains("geminus_probe")).count()
}

#[test]
fn a_marked_connection_takes_the_way_by_links_and_by_filters() {
    for mode in [TcMode::Links, TcMode::Filters] {
        in_a_namespace(move || {
            let mut probes = Probes::load_for(mode).unwrap_or_else(|error| panic!("{error}"));
            probes.attach("lo").unwrap_or_else(|error| panic!("{error}"));
            assert!(probes.is_attached("lo"));
            expect_the_way(&probes);
            assert_eq!(filters(), if mode == TcMode::Filters { 2 } else { 0 });
            drop(probes);
            assert_eq!(filters(), 0);
        });
    }
}

#[test]
fn what_a_killed_daemon_left_of_filters_is_gone_when_the_next_has_attached() {
    in_a_namespace(|| {
        let mut killed = Probes::load_for(TcMode::Filters).unwrap_or_else(|error| panic!("{error}"));
        killed.attach("lo").unwrap_or_else(|error| panic!("{error}"));
        std::mem::forget(killed);
        assert_eq!(filters(), 2);
        let mut probes = Probes::load_for(TcMode::Filters).unwrap_or_else(|error| panic!("{error}"));
        probes.attach("lo").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(filters(), 2);
        expect_the_way(&probes);
    });
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    in_a_namespace(|| {
        let mut probes = Probes::load().unwrap_or_else(|error| panic!("{error}"));
        let error = probes.attach("nowhere0").expect_err("there is none").to_string();
        assert!(error.contains("nowhere0"), "{error}");
        assert!(!probes.is_attached("nowhere0"));
    });
}
