//! One client: a line in, a line (or many) out.

use std::io;
use std::time::Duration;

use geminus_api::{ApiError, Call, Event, Outcome, Reply, Request, VERSION};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::timeout;

use super::{Answer, LINE_BYTES, Question};

/// How long a client may take to send a line, and how long it may stay silent between calls.
const LISTEN: Duration = Duration::from_secs(60);

/// How long a client may take to read a reply.
const SPEAK: Duration = Duration::from_secs(10);

type Lines = BufReader<OwnedReadHalf>;

/// Answers a client's calls until it leaves.
pub(super) async fn run(stream: UnixStream, questions: &mpsc::Sender<Question>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read);
    while let Some(line) = timeout(LISTEN, next_line(&mut lines)).await?? {
        let request = match parse(&line) {
            Ok(request) => request,
            Err(error) => return send(&mut write, Outcome::Error(error)).await,
        };
        match ask(questions, request).await {
            Answer::One(outcome) => send(&mut write, *outcome).await?,
            Answer::Events { past, next } => {
                for event in past {
                    send(&mut write, Outcome::Event(event)).await?;
                }
                return match next {
                    Some(next) => follow(&mut lines, &mut write, next).await,
                    None => Ok(()),
                };
            }
        }
    }
    Ok(())
}

/// Tells a client that is not served why; a client that does not listen is not waited for.
pub(super) fn refuse(stream: &UnixStream, error: &ApiError) {
    let line = to_line(Outcome::Error(error.clone()));
    if let Err(error) = stream.try_write(&line) {
        tracing::debug!(%error, "client not told why it was refused");
    }
}

/// The next line without its end; none at the end. A line that is too long is cut, which makes it unsound.
async fn next_line(lines: &mut Lines) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut limited = lines.take(LINE_BYTES as u64 + 1);
    let read = limited.read_until(b'\n', &mut line).await?;
    Ok((read > 0).then_some(line))
}

fn parse(line: &[u8]) -> Result<Request, ApiError> {
    let refused =
        |message: String, hint: &str| ApiError { message, hint: Some(hint.to_owned()), details: Vec::new() };
    let hint = "a call is one line of JSON as in geminus-api";
    if line.len() > LINE_BYTES {
        return Err(refused(format!("the call is longer than {LINE_BYTES} bytes"), hint));
    }
    let unsound = |error: serde_json::Error| refused(format!("the call is not understood: {error}"), hint);
    let value: Value = serde_json::from_slice(line).map_err(unsound)?;
    let version = value.get("version").and_then(Value::as_u64);
    if version != Some(u64::from(VERSION)) {
        let spoken = version.map_or_else(|| "no version".to_owned(), |version| format!("version {version}"));
        let message = format!("the call speaks {spoken}, this daemon version {VERSION}");
        return Err(refused(message, "use the geminus of the daemon's release"));
    }
    let call: Call = serde_json::from_value(value).map_err(unsound)?;
    Ok(call.request)
}

async fn ask(questions: &mpsc::Sender<Question>, request: Request) -> Answer {
    let (answer, answered) = oneshot::channel();
    let stopping = || {
        Answer::One(Box::new(Outcome::Error(ApiError {
            message: "the daemon is stopping".to_owned(),
            hint: Some("ask the next one".to_owned()),
            details: Vec::new(),
        })))
    };
    match questions.send(Question { request, answer }).await {
        Ok(()) => answered.await.unwrap_or_else(|_| stopping()),
        Err(_) => stopping(),
    }
}

/// Sends each event as it happens, until the client leaves.
async fn follow(
    lines: &mut Lines,
    write: &mut OwnedWriteHalf,
    mut next: broadcast::Receiver<Event>,
) -> io::Result<()> {
    let mut ignored = [0; 64];
    loop {
        tokio::select! {
            read = lines.read(&mut ignored) => if read? == 0 { return Ok(()) },
            event = next.recv() => match event {
                Ok(event) => send(write, Outcome::Event(event)).await?,
                Err(RecvError::Lagged(missed)) => send(write, Outcome::Error(lagged(missed))).await?,
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

fn lagged(missed: u64) -> ApiError {
    ApiError {
        message: format!("{missed} events were not sent: you read too slowly"),
        hint: Some("geminus events shows them".to_owned()),
        details: Vec::new(),
    }
}

async fn send(write: &mut OwnedWriteHalf, outcome: Outcome) -> io::Result<()> {
    let line = to_line(outcome);
    timeout(SPEAK, write.write_all(&line)).await?
}

fn to_line(outcome: Outcome) -> Vec<u8> {
    let reply = Reply { version: VERSION, outcome };
    let mut line = serde_json::to_vec(&reply).expect("a reply is plain data");
    line.push(b'\n');
    line
}
