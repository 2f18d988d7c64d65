//! Conversations over connections and over datagrams.

use geminus_advisor::{Conversation, Step};
use geminus_core::health::{Fault, Good};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::bounds::{DATAGRAM, FAREWELL, FAREWELL_BYTES, READ};
use super::words::of_socket;

/// What came of a conversation.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) outcome: Result<Good, Fault>,
    /// Whether a farewell was said that the server may want to answer.
    pub(super) farewell: bool,
}

/// Talks until the conversation knows.
pub(super) async fn converse<S>(stream: &mut S, conversation: &mut dyn Conversation) -> Talk
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut farewell = false;
    let outcome = until_it_knows(stream, conversation, &mut farewell).await;
    Talk { outcome, farewell }
}

async fn until_it_knows<S>(
    stream: &mut S,
    conversation: &mut dyn Conversation,
    farewell: &mut bool,
) -> Result<Good, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = Vec::new();
    let mut buffer = [0; READ];
    conversation.begin(&mut out);
    loop {
        say(stream, &mut out).await.map_err(|error| of_socket(&error, &conversation.awaits()))?;
        let read = stream.read(&mut buffer).await;
        let length = read.map_err(|error| of_socket(&error, &conversation.awaits()))?;
        if length == 0 {
            return conversation.closed();
        }
        if let Step::Done(outcome) = conversation.hear(&buffer[..length], &mut out) {
            *farewell = !out.is_empty();
            // It is known what was to be known; a farewell that cannot be said changes nothing.
            drop(say(stream, &mut out).await);
            return outcome;
        }
    }
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), out: &mut Vec<u8>) -> std::io::Result<()> {
    if !out.is_empty() {
        stream.write_all(out).await?;
        stream.flush().await?;
        out.clear();
    }
    Ok(())
}

/// Lets the server close first, as one who was told farewell does. It holds the road until the connection is closed: without
/// it the server's last words reach nobody, and nobody takes back what it says again and again.
pub(super) async fn farewell(mut stream: TcpStream, road: impl Sized) {
    let mut heard = 0;
    let listening = async {
        let mut buffer = [0; READ];
        while heard < FAREWELL_BYTES {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(length) => heard += length,
            }
        }
    };
    drop(timeout(FAREWELL, listening).await);
    drop(stream);
    drop(road);
}

/// Talks by datagrams until the conversation knows.
pub(super) async fn over_datagrams(
    socket: &UdpSocket,
    conversation: &mut dyn Conversation,
) -> Result<Good, Fault> {
    let mut out = Vec::new();
    let mut buffer = [0; DATAGRAM];
    conversation.begin(&mut out);
    loop {
        if !out.is_empty() {
            let sent = socket.send(&out).await;
            sent.map_err(|error| of_socket(&error, &conversation.awaits()))?;
            out.clear();
        }
        let received = socket.recv(&mut buffer).await;
        let length = received.map_err(|error| of_socket(&error, &conversation.awaits()))?;
        if let Step::Done(outcome) = conversation.hear(&buffer[..length], &mut out) {
            return outcome;
        }
    }
}
