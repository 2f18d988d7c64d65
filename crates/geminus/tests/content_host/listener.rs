//! A service in a namespace: this test binary again, told by its environment where to listen.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Stdio};

use socket2::{Domain, Socket, Type};

use crate::namespace::Namespace;

const WHERE: &str = "GEMINUS_TEST_LISTEN";
const ONLY_IPV6: &str = "GEMINUS_TEST_ONLY_IPV6";

/// A process that listens until it is dropped, or until the test ends in any way.
pub(crate) struct Listening {
    child: Child,
    /// Kept open: the test harness of the other process still has something to say at its end.
    _said: BufReader<ChildStdout>,
}

impl Listening {
    /// A TCP listener.
    pub(crate) fn on(namespace: &Namespace, end: &str) -> Self {
        Self::start(namespace, end, "0")
    }

    /// A TCP listener that takes no IPv4.
    pub(crate) fn only_ipv6_on(namespace: &Namespace, end: &str) -> Self {
        Self::start(namespace, end, "1")
    }

    fn start(namespace: &Namespace, end: &str, only_ipv6: &str) -> Self {
        let own = std::env::current_exe().expect("this binary");
        let mut child = namespace
            .command(own.to_str().expect("a plain path"))
            .args(["--exact", "listener::listens_where_the_environment_says", "--nocapture"])
            .env(WHERE, end)
            .env(ONLY_IPV6, only_ipv6)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this binary runs again");
        let mut said = BufReader::new(child.stdout.take().expect("piped"));
        let ready = said.by_ref().lines().map_while(Result::ok).any(|line| line.contains("listening"));
        assert!(ready, "nothing listens on {end}");
        Self { child, _said: said }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Not a law: the other process. Without the environment it has nothing to do.
#[test]
fn listens_where_the_environment_says() {
    let Ok(end) = std::env::var(WHERE) else { return };
    let end: SocketAddr = end.parse().expect("an endpoint");
    let socket = Socket::new(Domain::for_address(end), Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an option");
    if end.is_ipv6() {
        socket.set_only_v6(std::env::var(ONLY_IPV6).is_ok_and(|value| value == "1")).expect("an option");
    }
    socket.bind(&end.into()).expect("bound");
    socket.listen(1).expect("listening");
    println!("listening");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
