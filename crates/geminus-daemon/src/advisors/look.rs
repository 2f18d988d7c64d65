//! The second look: what is wrong with a server's set-up.
//!
//! Everything is asked at once, by both roads, and [`judge`] makes one finding of it.

mod claims;
mod judge;

use std::net::IpAddr;

use geminus_advisor::{Transport, dialogue};
use geminus_core::health::{Diagnosis, Fault, FaultKind, Good, Probe, Question, Target};
use geminus_packet::probe::Over;
use tokio::time::{Instant, timeout_at};

pub(super) use self::claims::Claims;
use self::judge::{Heard, Seen, judge};
use super::bounds::{CLAIM_QUESTIONS, LOOK};
use super::check::check;
use super::road::Means;
use super::source::source_to;
use super::{Place, Way};

/// Looks. Returns within [`LOOK`] and a little.
pub(super) async fn look(means: &Means, question: &Question, way: &Way) -> Diagnosis {
    if question.failed {
        // What every server is looked at with has no room for all this.
        return Box::pin(every_way(means, question, way)).await;
    }
    let answers_arp = claimed(means, question.target.server, question.by, way, 1).await;
    if answers_arp { Diagnosis::AnswersArp } else { Diagnosis::Nothing }
}

/// Tries every way to the server, and says which of them fail.
async fn every_way(means: &Means, Question { target, by, .. }: &Question, way: &Way) -> Diagnosis {
    let until = Instant::now() + LOOK;
    let echo = async |by| echoes(means, target.server, by, way, until).await;
    let service = async |by| service(means, target, by, way, until).await;
    let (answers_arp, has_host, echo_by_road, echo_plain, by_road, plain) = tokio::join!(
        claimed(means, target.server, *by, way, CLAIM_QUESTIONS),
        claimed(means, target.server, target.server, way, CLAIM_QUESTIONS),
        echo(Some(*by)),
        echo(None),
        service(Some(*by)),
        service(None),
    );
    judge(&Seen {
        answers_arp,
        is_there: has_host,
        echo_by_road: echo_by_road.is_ok(),
        echo_plain: echo_plain.is_ok(),
        by_road,
        plain,
    })
}

/// Whether the server's host claims an address when it is asked for it, so many times.
async fn claimed(means: &Means, server: IpAddr, address: IpAddr, way: &Way, times: u32) -> bool {
    let Place::Link { index, name, macs: Some(macs) } = &way.place else { return false };
    // A dispatcher answers for the addresses that it is active for: that is its task.
    if way.is_dispatcher && address != server {
        return false;
    }
    let asks = if server.is_ipv4() == address.is_ipv4() { server } else { address };
    let Ok(Some(source)) = source_to(asks, *index, name) else { return false };
    means.claims.ask(*index, *macs, source, address, times).await
}

async fn echoes(
    means: &Means,
    server: IpAddr,
    by: Option<IpAddr>,
    way: &Way,
    until: Instant,
) -> Result<(), Fault> {
    let aim = means.aim(server, by, way, Over::Echo)?;
    let asking = means.echo.ask(&aim, means.nonce());
    timeout_at(until, asking).await.unwrap_or_else(|_| Err(super::check::nothing("an echo")))
}

/// What the service says to somebody who wants no more than to talk: of TCP a connection, of anything else all of it.
async fn service(means: &Means, target: &Target, by: Option<IpAddr>, way: &Way, until: Instant) -> Heard {
    let transport =
        dialogue(&target.advisor, target.protocol, by.unwrap_or(target.server), target.port, means.nonce())
            .transport;
    let outcome = match transport {
        Transport::Datagram | Transport::Echo | Transport::Program => {
            let target = Target { timeout: LOOK, connect: LOOK, ..target.clone() };
            let probe = Probe { number: 0, target: target.into(), by };
            check(means, &probe, way).await
        }
        _ => match means.aim(target.server, by, way, Over::Tcp(target.port)) {
            Ok(aim) => {
                let connecting = async { aim.connect(target.port).await.map(|_| Good::default()) };
                let outcome = timeout_at(until, connecting).await;
                outcome
                    .unwrap_or_else(|_| Err(super::check::nothing("a TCP handshake")))
                    .map_err(|failure| aim.explained(by, failure))
            }
            Err(fault) => Err(fault),
        },
    };
    heard(&outcome)
}

fn heard(outcome: &Result<Good, Fault>) -> Heard {
    match outcome {
        Ok(_) => Heard::Service,
        Err(fault) => match fault.kind {
            FaultKind::Refused => Heard::Refusal,
            // A server that answers from another address has not bound the one that it was asked by.
            FaultKind::Unexpected | FaultKind::Garbage | FaultKind::Closed | FaultKind::Tls => Heard::Other,
            _ => Heard::Nothing,
        },
    }
}
