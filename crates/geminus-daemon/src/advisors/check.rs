//! One check: the right transport, the right road, and an end in time.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use geminus_advisor::{Conversation, Dialogue, Transport, dialogue};
use geminus_core::health::{Fault, FaultKind, Good, Probe, Target};
use geminus_core::model::Advisor;
use geminus_packet::probe::Over;
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

use super::conversation::{Talk, converse, farewell, over_datagrams};
use super::road::{Aim, Means};
use super::words::{fault, own};
use super::{Place, Way, http2, program};

/// A connection could not be had, or what is expected did not come, in this time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// Of the handshake of TCP.
    pub(super) connect: Instant,
    /// Of everything.
    pub(super) all: Instant,
}

impl Deadlines {
    pub(super) fn of(target: &Target) -> Self {
        let now = Instant::now();
        let all = now + target.timeout;
        Self { connect: all.min(now + target.connect), all }
    }
}

/// Makes a check. Returns within the target's time.
pub(super) async fn check(means: &Means, probe: &Probe, way: &Way) -> Result<Good, Fault> {
    let target = &*probe.target;
    let deadlines = Deadlines::of(target);
    let asked_by = probe.by.unwrap_or(target.server);
    let dialogue = dialogue(&target.advisor, target.protocol, asked_by, target.port, means.nonce());
    if dialogue.transport == Transport::Program {
        let Advisor::Exec { command } = &target.advisor else { return Err(own("it names no program")) };
        return Box::pin(program::run(&means.programs, command, target, probe.by, deadlines.all)).await;
    }
    let over = match dialogue.transport {
        Transport::Datagram => Over::Udp(target.port),
        Transport::Echo => Over::Echo,
        _ => Over::Tcp(target.port),
    };
    let aim = Rc::new(means.aim(target.server, probe.by, way, over)?);
    let outcome = by_transport(means, target, asked_by, dialogue, &aim, deadlines).await;
    if !aim.was_taken(&outcome) {
        if let Place::Link { name, .. } = &way.place {
            means.forget_attachment(name);
        }
        return Err(own("packets to the server do not leave by the interface that leads to it"));
    }
    // Who is told farewell has the road for as long as that takes; all other connections are closed by now.
    outcome.map_err(|failure| aim.explained(probe.by, failure))
}

/// Conversations are boxed: they take many times the room of a handshake, and most checks are no more than that.
pub(super) async fn by_transport(
    means: &Means,
    target: &Target,
    by: IpAddr,
    Dialogue { transport, conversation }: Dialogue,
    aim: &Rc<Aim>,
    deadlines: Deadlines,
) -> Result<Good, Fault> {
    match transport {
        Transport::ConnectOnly => connect(aim, target, deadlines).await.map(|_| Good::default()),
        Transport::Tcp => {
            Box::pin(async move {
                let mut stream = connect(aim, target, deadlines).await?;
                let Some(mut conversation) = conversation else { return Ok(Good::default()) };
                let talk = in_time(&mut *conversation, deadlines, async |conversation| {
                    converse(&mut stream, conversation).await
                });
                let Talk { outcome, farewell: has_more } = talk.await;
                // Where too many are told farewell at once, it is reset as everybody else is.
                if has_more && let Ok(turn) = Arc::clone(&means.farewells).try_acquire_owned() {
                    drop(spawn_local(farewell(stream, (Rc::clone(aim), turn))));
                }
                outcome
            })
            .await
        }
        Transport::Tls { name, alpn } => {
            Box::pin(async move {
                let stream = connect(aim, target, deadlines).await?;
                let handshake = means.tls.shake_hands(stream, name.as_deref(), by, alpn);
                let (mut stream, certificate) = late(deadlines, "a TLS handshake", handshake).await?;
                let outcome = match conversation {
                    None => Ok(Good::default()),
                    Some(mut conversation) => {
                        let talk = in_time(&mut *conversation, deadlines, async |conversation| {
                            converse(&mut stream, conversation).await
                        });
                        talk.await.outcome
                    }
                };
                outcome.and_then(|_| certificate.good())
            })
            .await
        }
        Transport::H2 { tls, name } => {
            Box::pin(async move {
                let Advisor::Http(http) = &target.advisor else { return Err(own("it is no HTTP check")) };
                let stream = connect(aim, target, deadlines).await?;
                if tls {
                    let handshake = means.tls.shake_hands(stream, name.as_deref(), by, &[b"h2"]);
                    let (stream, certificate) = late(deadlines, "a TLS handshake", handshake).await?;
                    let outcome = http2::ask(stream, http, by, target.port, deadlines.all).await;
                    outcome.and_then(|_| certificate.good())
                } else {
                    http2::ask(stream, http, by, target.port, deadlines.all).await
                }
            })
            .await
        }
        Transport::Datagram => {
            Box::pin(async move {
                let socket = aim.datagrams(target.port)?;
                let Some(mut conversation) = conversation else { return Ok(Good::default()) };
                let talk = in_time(&mut *conversation, deadlines, async |conversation| Talk {
                    outcome: over_datagrams(&socket, conversation).await,
                    farewell: false,
                });
                talk.await.outcome
            })
            .await
        }
        Transport::Echo => {
            let echo = means.echo.ask(aim, means.nonce());
            late(deadlines, "an echo", echo).await.map(|()| Good::default())
        }
        Transport::Program => Err(own("a program has no connection")),
    }
}

/// Connects in time.
pub(super) async fn connect(aim: &Aim, target: &Target, deadlines: Deadlines) -> Result<TcpStream, Fault> {
    let connecting = aim.connect(target.port);
    match timeout_at(deadlines.connect, connecting).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let time = target.connect.min(target.timeout);
            Err(fault(
                FaultKind::ConnectTimeout,
                format!("expected a TCP handshake within {}, got nothing", milliseconds(time)),
            ))
        }
    }
}

/// What a conversation comes to in time, else what it waits for.
async fn in_time<F>(conversation: &mut dyn Conversation, deadlines: Deadlines, talk: F) -> Talk
where
    F: AsyncFnOnce(&mut dyn Conversation) -> Talk,
{
    match timeout_at(deadlines.all, talk(&mut *conversation)).await {
        Ok(talk) => talk,
        Err(_) => Talk { outcome: Err(nothing(&conversation.awaits())), farewell: false },
    }
}

/// What comes of something in time, else what it is.
pub(super) async fn late<T>(
    deadlines: Deadlines,
    what: &str,
    doing: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    timeout_at(deadlines.all, doing).await.unwrap_or_else(|_| Err(nothing(what)))
}

/// Nothing came in time.
pub(super) fn nothing(what: &str) -> Fault {
    fault(FaultKind::Timeout, format!("expected {what}, got nothing more in time"))
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
