//! The frames between an agent and a dispatcher.
//!
//! ```text
//!  0  "GEMA"          4  version  5  kind (1 report, 2 answer)  6  zero, 2 bytes
//!  8  name of the key, 4 bytes
//! 12  session of the agent, 8 bytes, never 0
//! 20  counter in the session, from 1; of an answer: of the report it answers
//! 28  challenge, 8 bytes: of a report the one last heard, 0 none; of an answer the newest
//! 36  address of the host, 16 bytes, IPv4 mapped
//! 52  body
//! -16 tag: keyed BLAKE3 of everything before it
//! ```
//!
//! Numbers are little-endian. The body of a report is fields: kind (one byte), length (two bytes), content; a reader skips
//! kinds it does not know and content behind what it knows. The body of an answer is one byte of bits. A report is always longer than its answer, so that
//! nobody is flooded by way of a dispatcher.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::Report;
use crate::key::host_octets;

/// Version of what this writes and reads.
pub const VERSION: u8 = 1;

/// Longest frame: fits into the smallest packet that every IPv6 link takes (RFC 8200, section 5) behind its headers.
pub const LONGEST: usize = 1200;

/// Length of every answer.
pub const ANSWER_BYTES: usize = HEAD_BYTES + 1 + TAG_BYTES;

/// Parts of a load that are told: those of the kernel, and ten of the host's own.
pub const PARTS: usize = 16;

/// Bytes of the name of a part.
pub const NAME_BYTES: usize = 24;

/// Findings that are told: who has more has a set-up to begin with.
pub const FINDINGS: usize = 8;

/// Bytes of a finding, the rest is cut off.
pub const FINDING_BYTES: usize = 120;

const MAGIC: [u8; 4] = *b"GEMA";
const HEAD_BYTES: usize = 52;
const TAG_BYTES: usize = 16;

const LOAD: u8 = 1;
const FLAGS: u8 = 2;
const PART: u8 = 3;
const FINDING: u8 = 4;
const EVERY: u8 = 5;

const LEAVING: u8 = 1;

const ACCEPTED: u8 = 1;
const OTHER: u8 = 2;
const SELDOM: u8 = 4;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An agent speaks.
    Report,
    /// A dispatcher has heard it.
    Answer,
}

/// The beginning of every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What it is.
    pub kind: Kind,
    /// [`crate::key::HostKey::id`].
    pub key: u32,
    /// The agent's session.
    pub session: u64,
    /// Number of the report in it.
    pub counter: u64,
    /// The dispatcher's challenge.
    pub challenge: u64,
    /// The content host.
    pub host: IpAddr,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// Not one at all.
    Malformed,
    /// Of another version.
    Version(u8),
}

impl Head {
    /// The head of these bytes.
    ///
    /// # Errors
    /// They are no frame, or of another version.
    pub fn read(frame: &[u8]) -> Result<Self, Unread> {
        let head: &[u8; HEAD_BYTES] = frame.first_chunk().ok_or(Unread::Malformed)?;
        if frame.len() > LONGEST || head[..4] != MAGIC {
            return Err(Unread::Malformed);
        }
        if head[4] != VERSION {
            return Err(Unread::Version(head[4]));
        }
        let kind = match head[5] {
            1 if frame.len() > ANSWER_BYTES => Kind::Report,
            2 if frame.len() == ANSWER_BYTES => Kind::Answer,
            _ => return Err(Unread::Malformed),
        };
        let word = |at: usize| {
            let bytes = head[at..].first_chunk().expect("the head is longer");
            u64::from_le_bytes(*bytes)
        };
        let key = u32::from_le_bytes(*head[8..].first_chunk().expect("the head is longer"));
        let octets: [u8; 16] = *head[36..].first_chunk().expect("the head is as long");
        let (session, counter) = (word(12), word(20));
        if session == 0 || counter == 0 || head[6..8] != [0, 0] {
            return Err(Unread::Malformed);
        }
        let host = IpAddr::V6(Ipv6Addr::from(octets)).to_canonical();
        Ok(Self { kind, key, session, counter, challenge: word(28), host })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LONGEST);
        bytes.extend(MAGIC);
        bytes.extend([VERSION, if self.kind == Kind::Report { 1 } else { 2 }, 0, 0]);
        bytes.extend(self.key.to_le_bytes());
        for word in [self.session, self.counter, self.challenge] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(host_octets(self.host));
        bytes
    }
}

/// What a dispatcher says to a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// It counts. Else its sender has yet to show, with the challenge, that it speaks now.
    pub accepted: bool,
    /// Somebody else was heard for this host within the last seconds.
    pub other: bool,
    /// Its reports are too far apart for this dispatcher ([`Report::is_seldom`]).
    pub seldom: bool,
}

/// A report as a frame. What has no room is left out from the end, findings first.
pub fn report(head: &Head, report: &Report, tag_key: &[u8; 32]) -> Vec<u8> {
    let mut bytes = head.bytes();
    field(&mut bytes, LOAD, &report.load.to_le_bytes());
    field(&mut bytes, FLAGS, &[u8::from(report.leaving) * LEAVING]);
    if let Some(every) = report.every {
        let every = u32::try_from(every.as_millis()).unwrap_or(u32::MAX);
        field(&mut bytes, EVERY, &every.to_le_bytes());
    }
    for (name, value) in report.parts.iter().filter(|(name, _)| is_name(name)).take(PARTS) {
        field(&mut bytes, PART, &[&value.to_le_bytes(), name.as_bytes()].concat());
    }
    for finding in report.findings.iter().take(FINDINGS) {
        let line = line(finding);
        if bytes.len() + 3 + line.len() + TAG_BYTES <= LONGEST {
            field(&mut bytes, FINDING, line.as_bytes());
        }
    }
    seal(bytes, tag_key)
}

/// An answer as a frame.
pub fn answer(head: &Head, told: Told, tag_key: &[u8; 32]) -> Vec<u8> {
    let mut bytes = head.bytes();
    let Told { accepted, other, seldom } = told;
    let bit = |is_so: bool, bit: u8| if is_so { bit } else { 0 };
    bytes.push(bit(accepted, ACCEPTED) | bit(other, OTHER) | bit(seldom, SELDOM));
    seal(bytes, tag_key)
}

/// Whether a frame ends with the tag that this key gives it.
pub fn is_authentic(frame: &[u8], tag_key: &[u8; 32]) -> bool {
    let Some((sealed, told)) = frame.split_last_chunk::<TAG_BYTES>() else { return false };
    let right = tag(sealed, tag_key);
    // In a time that does not tell where they differ.
    right.iter().zip(told).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
}

/// What the report in an authentic frame says.
///
/// # Errors
/// It says nothing sensible.
pub fn read_report(head: &Head, frame: &[u8]) -> Result<Report, Unread> {
    let (sealed, _) = frame.split_last_chunk::<TAG_BYTES>().ok_or(Unread::Malformed)?;
    let mut body = sealed.get(HEAD_BYTES..).ok_or(Unread::Malformed)?;
    let mut load = None;
    let mut report = Report {
        host: head.host,
        load: 0,
        leaving: false,
        every: None,
        parts: Vec::new(),
        findings: Vec::new(),
    };
    while let Some((&kind, rest)) = body.split_first() {
        let (length, rest) = rest.split_first_chunk().ok_or(Unread::Malformed)?;
        let length = usize::from(u16::from_le_bytes(*length));
        let (content, rest) = rest.split_at_checked(length).ok_or(Unread::Malformed)?;
        body = rest;
        match kind {
            LOAD => {
                let told = content.first_chunk().ok_or(Unread::Malformed)?;
                load = Some(u16::from_le_bytes(*told));
            }
            FLAGS => report.leaving = content.first().ok_or(Unread::Malformed)? & LEAVING != 0,
            EVERY => {
                let told = content.first_chunk().ok_or(Unread::Malformed)?;
                report.every = Some(Duration::from_millis(u32::from_le_bytes(*told).into()));
            }
            PART if report.parts.len() < PARTS => report.parts.push(part(content)?),
            FINDING if report.findings.len() < FINDINGS => report.findings.push(finding(content)?),
            PART | FINDING => return Err(Unread::Malformed),
            _ => {}
        }
    }
    report.load = load.ok_or(Unread::Malformed)?;
    Ok(report)
}

/// What the answer in an authentic frame says.
pub fn read_answer(frame: &[u8]) -> Told {
    let bits = frame.get(HEAD_BYTES).copied().unwrap_or(0);
    Told { accepted: bits & ACCEPTED != 0, other: bits & OTHER != 0, seldom: bits & SELDOM != 0 }
}

/// Whether a part may be called that: letters of the small alphabet, digits and `-`, at most [`NAME_BYTES`].
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(plain)
}

fn part(content: &[u8]) -> Result<(String, u32), Unread> {
    let (value, name) = content.split_first_chunk().ok_or(Unread::Malformed)?;
    let name = str::from_utf8(name).ok().filter(|name| is_name(name)).ok_or(Unread::Malformed)?;
    Ok((name.to_owned(), u32::from_le_bytes(*value)))
}

fn finding(content: &[u8]) -> Result<String, Unread> {
    let text = str::from_utf8(content).map_err(|_| Unread::Malformed)?;
    let sound = (1..=FINDING_BYTES).contains(&text.len()) && !text.contains(char::is_control);
    if sound { Ok(text.to_owned()) } else { Err(Unread::Malformed) }
}

/// A finding as it is told: one line, not too long.
fn line(finding: &str) -> String {
    let mut line: String =
        finding.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if line.len() > FINDING_BYTES {
        line.truncate(line.floor_char_boundary(FINDING_BYTES - '…'.len_utf8()));
        line.push('…');
    }
    if line.is_empty() { "?".to_owned() } else { line }
}

fn field(bytes: &mut Vec<u8>, kind: u8, content: &[u8]) {
    let length = u16::try_from(content.len()).expect("no field is longer than a frame");
    bytes.push(kind);
    bytes.extend(length.to_le_bytes());
    bytes.extend(content);
}

fn seal(mut bytes: Vec<u8>, tag_key: &[u8; 32]) -> Vec<u8> {
    let tag = tag(&bytes, tag_key);
    bytes.extend(tag);
    bytes
}

fn tag(sealed: &[u8], tag_key: &[u8; 32]) -> [u8; TAG_BYTES] {
    let hash = blake3::keyed_hash(tag_key, sealed);
    *hash.as_bytes().first_chunk().expect("a hash is longer")
}
