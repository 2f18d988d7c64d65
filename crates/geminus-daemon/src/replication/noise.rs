//! Noise around the stream: who does not know the secret is heard by nobody.
//!
//! `Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s` (Noise revision 34, section 9.4): both prove that they know the secret, and
//! a secret that leaks later opens no stream recorded before. On the stream, each Noise message goes after its length:
//! two bytes, little-endian.

use geminus_core::replication::MESSAGE_BYTES;
use snow::{Builder, HandshakeState, TransportState};

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
const PROLOGUE: &[u8] = b"geminus replication";
/// Bytes that encryption adds to a message.
const TAG_BYTES: usize = 16;
/// Longest frame on the stream, its length not counted.
const FRAME_BYTES: usize = MESSAGE_BYTES + TAG_BYTES;
/// Longest frame before the other side is known: a key and a tag.
const HANDSHAKE_BYTES: usize = 48;

/// A secret shared with a partner.
pub(super) type Secret = [u8; 32];

/// The other side does not know the secret, or somebody touched the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Untrusted;

impl From<snow::Error> for Untrusted {
    fn from(_: snow::Error) -> Self {
        Self
    }
}

/// A stream on which it is being found out whether the other side knows the secret.
#[derive(Debug)]
pub(super) enum Handshake {
    /// This side spoke first.
    Initiator(Box<HandshakeState>),
    /// This side waits for the first message; any of these secrets will do.
    Responder(Vec<Secret>),
}

/// A stream whose both sides know the secret.
#[derive(Debug)]
pub(super) struct Channel {
    state: TransportState,
    /// The last message that was decrypted.
    plain: Vec<u8>,
}

impl Handshake {
    /// Speaks first: writes the first frame.
    pub(super) fn initiate(secret: &Secret, out: &mut Vec<u8>) -> Result<Self, Untrusted> {
        let mut state = builder(secret)?.build_initiator()?;
        write_handshake(&mut state, out)?;
        Ok(Self::Initiator(Box::new(state)))
    }

    /// Hears one frame; the channel is open then.
    pub(super) fn hear(self, frame: &[u8], out: &mut Vec<u8>) -> Result<Channel, Untrusted> {
        let mut nothing = [0; HANDSHAKE_BYTES];
        let state = match self {
            Self::Initiator(mut state) => {
                state.read_message(frame, &mut nothing)?;
                *state
            }
            Self::Responder(secrets) => {
                let answers = |secret: &Secret| {
                    let mut state = builder(secret).ok()?.build_responder().ok()?;
                    state.read_message(frame, &mut [0; HANDSHAKE_BYTES]).ok()?;
                    Some(state)
                };
                let mut state = secrets.iter().find_map(answers).ok_or(Untrusted)?;
                write_handshake(&mut state, out)?;
                state
            }
        };
        Ok(Channel { state: state.into_transport_mode()?, plain: vec![0; MESSAGE_BYTES] })
    }

    /// Longest frame that may come.
    pub(super) const fn longest() -> usize {
        HANDSHAKE_BYTES
    }
}

fn builder(secret: &Secret) -> Result<Builder<'_>, Untrusted> {
    let pattern = PATTERN.parse().map_err(Untrusted::from)?;
    Ok(Builder::new(pattern).prologue(PROLOGUE)?.psk(0, secret)?)
}

fn write_handshake(state: &mut HandshakeState, out: &mut Vec<u8>) -> Result<(), Untrusted> {
    let mut frame = [0; HANDSHAKE_BYTES];
    let length = state.write_message(&[], &mut frame)?;
    out.extend_from_slice(&(length as u16).to_le_bytes());
    out.extend_from_slice(&frame[..length]);
    Ok(())
}

impl Channel {
    /// Writes one message as a frame.
    pub(super) fn seal(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Untrusted> {
        let start = out.len();
        let length = message.len() + TAG_BYTES;
        out.extend_from_slice(&(length as u16).to_le_bytes());
        out.resize(start + 2 + length, 0);
        let written = self.state.write_message(message, &mut out[start + 2..])?;
        debug_assert_eq!(written, length, "ChaChaPoly adds one tag");
        Ok(())
    }

    /// The message in a frame.
    pub(super) fn open(&mut self, frame: &[u8]) -> Result<&[u8], Untrusted> {
        let length = self.state.read_message(frame, &mut self.plain)?;
        Ok(&self.plain[..length])
    }

    /// Longest frame that may come.
    pub(super) const fn longest() -> usize {
        FRAME_BYTES
    }
}

/// The first whole frame of a stream's bytes, and how many bytes it takes with its length; none: not whole yet.
pub(super) fn first_frame(bytes: &[u8], longest: usize) -> Result<Option<(&[u8], usize)>, Untrusted> {
    let Some((length, rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let length = usize::from(u16::from_le_bytes(*length));
    if length > longest || length < TAG_BYTES {
        return Err(Untrusted);
    }
    Ok(rest.get(..length).map(|frame| (frame, length + 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: Secret = [7; 32];
    const OTHER: Secret = [8; 32];

    fn frame(bytes: &[u8]) -> &[u8] {
        first_frame(bytes, FRAME_BYTES).expect("a frame").expect("whole").0
    }

    fn channels(ours: Secret, accepted: &[Secret]) -> Result<(Channel, Channel), Untrusted> {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let first = Handshake::initiate(&ours, &mut there)?;
        let second = Handshake::Responder(accepted.to_vec()).hear(frame(&there), &mut back)?;
        Ok((first.hear(frame(&back), &mut Vec::new())?, second))
    }

    #[test]
    fn who_knows_one_of_the_accepted_secrets_is_heard() {
        for accepted in [&[SECRET][..], &[SECRET, OTHER], &[OTHER, SECRET]] {
            let (mut one, mut other) = channels(SECRET, accepted).expect("both know it");
            let mut out = Vec::new();
            one.seal(b"flows", &mut out).expect("sealed");
            assert_eq!(other.open(frame(&out)), Ok(&b"flows"[..]));
        }
    }

    #[test]
    fn who_does_not_know_the_secret_gets_no_answer() {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let _first = Handshake::initiate(&OTHER, &mut there).expect("begun");
        Handshake::Responder(vec![SECRET]).hear(frame(&there), &mut back).expect_err("untrusted");
        assert!(back.is_empty());
    }

    #[test]
    fn a_frame_that_was_touched_repeated_or_left_out_ends_the_stream() {
        let fresh = || channels(SECRET, &[SECRET]).expect("both know it");
        let (mut one, mut other) = fresh();
        let mut out = Vec::new();
        one.seal(b"flows", &mut out).expect("sealed");
        for touched in 0..out.len() - 2 {
            let mut bytes = frame(&out).to_vec();
            bytes[touched] ^= 1;
            assert_eq!(other.open(&bytes), Err(Untrusted));
        }
        let (mut one, mut other) = fresh();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        one.seal(b"first", &mut first).expect("sealed");
        one.seal(b"second", &mut second).expect("sealed");
        assert_eq!(other.open(frame(&second)), Err(Untrusted));
        other.open(frame(&first)).expect("in order");
        assert_eq!(other.open(frame(&first)), Err(Untrusted));
    }

    #[test]
    fn a_length_that_no_partner_writes_is_not_waited_for() {
        assert_eq!(first_frame(&[0xff, 0xff, 0], Handshake::longest()), Err(Untrusted));
        assert_eq!(first_frame(&[1, 0], Channel::longest()), Err(Untrusted));
        assert_eq!(first_frame(&[48], Channel::longest()), Ok(None));
    }

    #[test]
    fn the_longest_message_fits_a_frame() {
        let (mut one, mut other) = channels(SECRET, &[SECRET]).expect("both know it");
        let (message, mut out) = (vec![9; MESSAGE_BYTES], Vec::new());
        one.seal(&message, &mut out).expect("sealed");
        assert_eq!(other.open(frame(&out)), Ok(&message[..]));
    }
}
