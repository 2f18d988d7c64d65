//! HTTP/2: one request, and the judge of its answer.

use std::net::IpAddr;

use geminus_advisor::Step;
use geminus_advisor::http::{Judge, Request};
use geminus_core::health::{Fault, FaultKind, Good};
use geminus_core::model::Http;
use h2::client::{Builder, SendRequest};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::check::nothing;
use super::words::{fault, of_socket, own};

/// What may come before we give some of it back: of the body, and of the head.
const WINDOW: u32 = 16 * 1_024;
const HEAD: u32 = 16 * 1_024;

/// Nothing is sent but heads.
type NoBody = &'static [u8];

/// Asks once, over a connection that is nobody else's.
pub(super) async fn ask<S>(
    stream: S,
    check: &Http,
    by: IpAddr,
    port: u16,
    until: Instant,
) -> Result<Good, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = request(check, by, port).map_err(own)?;
    let mut judge = Judge::new(check);
    let asking = async {
        let mut builder = Builder::new();
        builder
            .initial_window_size(WINDOW)
            .max_frame_size(WINDOW)
            .max_header_list_size(HEAD)
            .max_send_buffer_size(WINDOW as usize)
            .enable_push(false);
        let shaken: Result<(SendRequest<NoBody>, _), _> = builder.handshake(stream).await;
        let (sender, connection) = shaken.map_err(|error| failed(&error, "an HTTP/2 connection"))?;
        tokio::select! {
            biased;
            outcome = one(sender, request, &mut judge) => outcome,
            ended = connection => Err(match ended {
                Err(error) => failed(&error, "an HTTP/2 answer"),
                Ok(()) => fault(FaultKind::Closed, "expected an HTTP/2 answer, got the end of the connection"),
            }),
        }
    };
    match timeout_at(until, asking).await {
        Ok(outcome) => outcome,
        Err(_) => Err(nothing(&judge.awaits())),
    }
}

async fn one(
    sender: SendRequest<NoBody>,
    request: http::Request<()>,
    judge: &mut Judge,
) -> Result<Good, Fault> {
    let expected = judge.awaits();
    let failed = |error: &h2::Error| failed(error, &expected);
    let mut sender = sender.ready().await.map_err(|error| failed(&error))?;
    let (answer, _) = sender.send_request(request, true).map_err(|error| failed(&error))?;
    let answer = answer.await.map_err(|error| failed(&error))?;
    if let Step::Done(outcome) = judge.status(answer.status().as_u16()) {
        return outcome;
    }
    let mut body = answer.into_body();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|error| failed(&error))?;
        if let Step::Done(outcome) = judge.body(&piece) {
            return outcome;
        }
        body.flow_control().release_capacity(piece.len()).map_err(|error| failed(&error))?;
    }
    judge.ended()
}

fn request(check: &Http, by: IpAddr, port: u16) -> Result<http::Request<()>, http::Error> {
    let Request { method, scheme, authority, path, headers } = Request::new(check, by, port);
    let uri = Uri::builder()
        .scheme(Scheme::try_from(scheme)?)
        .authority(Authority::try_from(authority)?)
        .path_and_query(PathAndQuery::try_from(path)?)
        .build()?;
    let mut builder =
        http::Request::builder().method(method.as_str()).uri(uri).version(http::Version::HTTP_2);
    for (name, value) in headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("connection")) {
        builder = builder.header(name, value);
    }
    builder.body(())
}

fn failed(error: &h2::Error, expected: &str) -> Fault {
    if let Some(error) = error.get_io() {
        return of_socket(error, expected);
    }
    let kind = if error.is_reset() || error.is_go_away() { FaultKind::Closed } else { FaultKind::Garbage };
    fault(kind, format!("expected {expected}, got {error}"))
}
