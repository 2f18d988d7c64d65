//! Clients that stay with their server. All these services give flows out in turn: who is not known goes elsewhere.

use super::{frame4, frame6};
use crate::fixture::{Fixture, Step, local, other, same};
use crate::frame::{ACK, SYN, Tcp, V4, V6};
use crate::ground::{SHOP4, SHOP6};

/// A client and a flow of it.
#[derive(Clone, Copy)]
enum Client {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl Client {
    fn frame(self, from: u16, to: u16, flags: u8) -> Vec<u8> {
        let segment = Tcp::new(from, to, flags);
        match self {
            Self::V4(source) => frame4(&V4::new(source, SHOP4).tcp(&segment)),
            Self::V6(source) => frame6(&V6::new(source, SHOP6).tcp(&segment)),
        }
    }

    /// A flow that is remembered, and with it the client.
    fn visit(self, port: u16) -> Vec<Step> {
        vec![Step::Frame(self.frame(40_000, port, SYN)), Step::Frame(self.frame(40_000, port, ACK))]
    }
}

const fn v6(network: u16, subnet: u16, high: u8, low: u8) -> Client {
    let [n0, n1] = network.to_be_bytes();
    let [s0, s1] = subnet.to_be_bytes();
    Client::V6([0x20, 1, 0xd, 0xb8, n0, n1, s0, s1, high, 0, 0, 0, 0, 0, 0, low])
}

pub(super) fn list() -> Vec<Fixture> {
    let home4 = Client::V4([203, 0, 113, 9]);
    let home6 = v6(9, 1, 0, 9);
    let kept = [
        (1000, home4, Client::V4([192, 0, 2, 200]), "prefix 0 takes all IPv4 for one client"),
        (1024, home4, Client::V4([203, 0, 113, 250]), "prefix 24 takes a network for one client"),
        (1032, home4, home4, "prefix 32 knows its client"),
        (1065, home4, Client::V4([203, 0, 113, 8]), "prefix 31 takes a pair for one client"),
        (1000, home6, v6(0xffff, 7, 0x80, 1), "prefix 0 takes all IPv6 for one client"),
        (1024, home6, v6(9, 0xffff, 0x80, 1), "prefix 48 takes a site for one client"),
        (1032, home6, v6(9, 1, 0x80, 1), "prefix 64 takes a network for one client"),
        (1065, home6, v6(9, 1, 0x40, 1), "prefix 65 takes half a network for one client"),
        (1128, home6, home6, "prefix 128 knows its client"),
    ];
    let apart = [
        (1024, home4, Client::V4([203, 0, 112, 9]), "prefix 24 tells networks apart"),
        (1032, home4, Client::V4([203, 0, 113, 8]), "prefix 32 tells addresses apart"),
        (1065, home4, Client::V4([203, 0, 113, 10]), "prefix 31 tells pairs apart"),
        (1024, home6, v6(8, 1, 0, 9), "prefix 48 tells sites apart"),
        (1032, home6, v6(9, 0, 0, 9), "prefix 64 tells networks apart"),
        (1065, home6, v6(9, 1, 0x80, 9), "prefix 65 tells halves of a network apart"),
        (1128, home6, v6(9, 1, 0, 8), "prefix 128 tells addresses apart"),
        (1000, home4, home6, "prefix 0 tells IPv4 and IPv6 apart"),
        (1000, home6, home4, "prefix 0 tells IPv6 and IPv4 apart"),
    ];
    let mut list = Vec::new();
    for (port, before, now, name) in kept {
        list.push(
            Fixture::new(name, now.frame(41_000, port, SYN), same("affinity")).after(before.visit(port)),
        );
    }
    for (port, before, now, name) in apart {
        list.push(Fixture::new(name, now.frame(41_000, port, SYN), other("turn")).after(before.visit(port)));
    }
    for (family, client) in [("IPv4", home4), ("IPv6", home6)] {
        let then = |steps: Vec<Step>| [client.visit(1032), steps].concat();
        let named = |name: &str| format!("{family}: {name}");
        let syn = client.frame(41_000, 1032, SYN);
        list.extend([
            Fixture::new(
                named("a client whose only flow is a first packet is not known"),
                syn.clone(),
                other("turn"),
            )
            .after(vec![Step::Frame(client.frame(40_000, 1032, SYN))]),
            Fixture::new(
                named("a returning client's later segment goes to its server"),
                client.frame(41_000, 1032, ACK),
                same("affinity"),
            )
            .after(client.visit(1032)),
            Fixture::new(
                named("a returning client's flow is promoted"),
                client.frame(41_000, 1032, ACK),
                same("promoted"),
            )
            .after(then(vec![Step::Frame(syn.clone())])),
            Fixture::new(
                named("a client that was away for too long is forgotten"),
                syn.clone(),
                other("turn"),
            )
            .after(then(vec![Step::Seconds(3601)])),
            Fixture::new(named("a client that was away for less is known"), syn.clone(), same("affinity"))
                .after(then(vec![Step::Seconds(3500)])),
            Fixture::new(
                named("a new flow keeps a client known"),
                client.frame(42_000, 1032, SYN),
                same("affinity"),
            )
            .after(then(vec![
                Step::Seconds(3000),
                Step::Frame(syn.clone()),
                Step::Seconds(3000),
            ])),
            Fixture::new(named("a drained server's clients go elsewhere"), syn.clone(), other("turn"))
                .after(then(vec![Step::DrainLast])),
            Fixture::new(named("a removed server's clients go elsewhere"), syn.clone(), other("turn"))
                .after(then(vec![Step::RemoveLast])),
            Fixture::new(
                named("a client of one service is new to another"),
                client.frame(41_000, 1065, SYN),
                other("turn"),
            )
            .after(client.visit(1032)),
            Fixture::new(
                named("a service without affinity knows no client"),
                client.frame(41_000, 82, SYN),
                local("alpha"),
            )
            .after(client.visit(82)),
        ]);
    }
    list
}
