//! The messages of a session, as they are between encryption and encryption. All numbers little-endian.
//!
//! ```text
//! 1 hello   "geminus\0" | version u16 | configuration digest [32] | hash check u64 | name
//! 2 names   (number u32 | generation u16 | 0 u16 | identity u64) *
//! 3 flows   batch u64 | progress u16 | record [16] *        progress: thousandths of a whole copy, 0xffff: none
//! 4 ack     batch u64 | not taken u64
//! 5 begin   a whole copy begins
//! 6 end     batch u64: it has ended
//! 7 again   please copy the whole table again
//! 8 digest  configuration digest [32]
//! 9 lines   last u8 | (length u16 | text) *
//! ```

use geminus_packet::flow::MAX_SERVERS;

use super::record::{RECORD_BYTES, Record};

/// Version of what partners say to each other. A partner of another version is refused.
pub const VERSION: u16 = 1;

/// Longest message: what fits one Noise message.
pub const MESSAGE_BYTES: usize = 65_519;

pub(super) const NAME_BYTES: usize = 16;
/// Progress of flows that are no part of a whole copy.
pub(super) const NO_COPY: u16 = u16::MAX;

const MAGIC: &[u8; 8] = b"geminus\0";
const HELLO: u8 = 1;
const NAMES: u8 = 2;
const FLOWS: u8 = 3;
const ACK: u8 = 4;
const BEGIN: u8 = 5;
const END: u8 = 6;
const AGAIN: u8 = 7;
const DIGEST: u8 = 8;
const LINES: u8 = 9;

/// The first message of each side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) digest: [u8; 32],
    /// The flow hash of a fixed flow: whoever has another site key remembers other hashes.
    pub(super) hash_check: u64,
    pub(super) name: String,
}

/// What a number of the sender's stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) number: u32,
    pub(super) generation: u16,
    pub(super) identity: u64,
}

/// One message as it is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'m> {
    Hello(Hello),
    Names(&'m [[u8; NAME_BYTES]]),
    Flows { batch: u64, progress: u16, records: &'m [[u8; RECORD_BYTES]] },
    Ack { batch: u64, not_taken: u64 },
    Begin,
    End { batch: u64 },
    Again,
    Digest([u8; 32]),
    Lines { last: bool, lines: &'m [u8] },
}

/// Why a message means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    Garbled,
    Version(u16),
}

impl<'m> Message<'m> {
    pub(super) fn read(bytes: &'m [u8]) -> Result<Self, Unreadable> {
        let (&kind, body) = bytes.split_first().ok_or(Unreadable::Garbled)?;
        let message = match kind {
            HELLO => return Hello::read(body).map(Self::Hello),
            NAMES => whole_chunks(body).map(Self::Names),
            FLOWS => flows(body),
            ACK => two_words(body).map(|(batch, not_taken)| Self::Ack { batch, not_taken }),
            BEGIN => body.is_empty().then_some(Self::Begin),
            END => body.try_into().ok().map(|batch| Self::End { batch: u64::from_le_bytes(batch) }),
            AGAIN => body.is_empty().then_some(Self::Again),
            DIGEST => body.try_into().ok().map(Self::Digest),
            LINES => body.split_first().map(|(&last, lines)| Self::Lines { last: last != 0, lines }),
            _ => None,
        };
        message.ok_or(Unreadable::Garbled)
    }
}

fn flows(body: &[u8]) -> Option<Message<'_>> {
    let (batch, rest) = body.split_first_chunk()?;
    let (progress, rest) = rest.split_first_chunk()?;
    let (batch, progress) = (u64::from_le_bytes(*batch), u16::from_le_bytes(*progress));
    whole_chunks(rest).map(|records| Message::Flows { batch, progress, records })
}

fn two_words(body: &[u8]) -> Option<(u64, u64)> {
    let (first, second) = body.split_first_chunk()?;
    Some((u64::from_le_bytes(*first), u64::from_le_bytes(second.try_into().ok()?)))
}

fn whole_chunks<const N: usize>(bytes: &[u8]) -> Option<&[[u8; N]]> {
    let (chunks, rest) = bytes.as_chunks();
    rest.is_empty().then_some(chunks)
}

impl Hello {
    fn read(body: &[u8]) -> Result<Self, Unreadable> {
        let garbled = Unreadable::Garbled;
        let rest = body.strip_prefix(MAGIC).ok_or(garbled)?;
        // Magic and version stand where they stand in every version.
        let (version, rest) = rest.split_first_chunk().ok_or(garbled)?;
        let version = u16::from_le_bytes(*version);
        if version != VERSION {
            return Err(Unreadable::Version(version));
        }
        let (&digest, rest) = rest.split_first_chunk().ok_or(garbled)?;
        let (hash_check, name) = rest.split_first_chunk().ok_or(garbled)?;
        let name = std::str::from_utf8(name).map_err(|_| garbled)?;
        if name.len() > crate::limits::NAME_BYTES {
            return Err(garbled);
        }
        Ok(Self { digest, hash_check: u64::from_le_bytes(*hash_check), name: name.to_owned() })
    }

    pub(super) fn write(&self, into: &mut Vec<u8>) {
        into.push(HELLO);
        into.extend_from_slice(MAGIC);
        into.extend_from_slice(&VERSION.to_le_bytes());
        into.extend_from_slice(&self.digest);
        into.extend_from_slice(&self.hash_check.to_le_bytes());
        into.extend_from_slice(self.name.as_bytes());
    }
}

impl Name {
    /// None where no sender writes such words.
    pub(super) fn read(bytes: &[u8; NAME_BYTES]) -> Option<Self> {
        let (place, identity) = bytes.split_at(8);
        let place = u64::from_le_bytes(place.try_into().ok()?);
        let identity = u64::from_le_bytes(identity.try_into().ok()?);
        let name = Self { number: place as u32, generation: (place >> 32) as u16, identity };
        let fits = (1..=MAX_SERVERS).contains(&name.number) && place >> 48 == 0 && identity != 0;
        fits.then_some(name)
    }
}

pub(super) fn write_names(names: &[Name], into: &mut Vec<u8>) {
    into.push(NAMES);
    for name in names {
        into.extend_from_slice(&(u64::from(name.number) | u64::from(name.generation) << 32).to_le_bytes());
        into.extend_from_slice(&name.identity.to_le_bytes());
    }
}

pub(super) fn write_flows<'r>(
    batch: u64,
    progress: u16,
    records: impl Iterator<Item = &'r Record>,
    into: &mut Vec<u8>,
) {
    into.push(FLOWS);
    into.extend_from_slice(&batch.to_le_bytes());
    into.extend_from_slice(&progress.to_le_bytes());
    records.for_each(|record| record.write(into));
}

pub(super) fn write_ack(batch: u64, not_taken: u64, into: &mut Vec<u8>) {
    into.push(ACK);
    into.extend_from_slice(&batch.to_le_bytes());
    into.extend_from_slice(&not_taken.to_le_bytes());
}

pub(super) fn write_begin(into: &mut Vec<u8>) {
    into.push(BEGIN);
}

pub(super) fn write_end(batch: u64, into: &mut Vec<u8>) {
    into.push(END);
    into.extend_from_slice(&batch.to_le_bytes());
}

pub(super) fn write_again(into: &mut Vec<u8>) {
    into.push(AGAIN);
}

pub(super) fn write_digest(digest: &[u8; 32], into: &mut Vec<u8>) {
    into.push(DIGEST);
    into.extend_from_slice(digest);
}

/// Writes as many lines as fit from number `from` on; returns where the next message goes on.
pub(super) fn write_lines(lines: &[String], from: usize, into: &mut Vec<u8>) -> usize {
    let start = into.len();
    into.extend_from_slice(&[LINES, 0]);
    let mut at = from;
    while let Some(line) = lines.get(at) {
        let cut = line.floor_char_boundary(LINE_BYTES);
        if into.len() - start + 2 + cut > MESSAGE_BYTES / 2 {
            break;
        }
        into.extend_from_slice(&(cut as u16).to_le_bytes());
        into.extend_from_slice(&line.as_bytes()[..cut]);
        at += 1;
    }
    into[start + 1] = u8::from(at >= lines.len());
    at
}

/// Longest line that is exchanged.
const LINE_BYTES: usize = 4096;

/// The lines of one message.
pub(super) fn read_lines(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk()?;
        let (line, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        lines.push(std::str::from_utf8(line).ok()?.to_owned());
        bytes = rest;
    }
    Some(lines)
}
