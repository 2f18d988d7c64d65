//! The body of a heartbeat.
//!
//! Two bytes of version, then fields: kind (one byte), length (two, little-endian), content. A reader skips kinds it does
//! not know and content behind what it knows, so a newer sender is understood as long as it says that it may be.

use std::time::Duration;

use crate::ha::{Beat, GroupReport, Heard, ReachScore, Role, Standing, SyncView};

/// Version of what this writes.
pub const NEWEST: u8 = 1;

/// Oldest reader that understands what this writes.
const OLDEST: u8 = 1;

const PROOF: u8 = 1;
const NAME: u8 = 2;
const RHYTHM: u8 = 3;
const REACH: u8 = 4;
const HEARD: u8 = 5;
const GROUPS: u8 = 6;

const HEARD_BYTES: usize = 10;
const GROUP_BYTES: usize = 16;

/// Most paths and groups that are read: a partner has no more in common with this node.
const MOST: usize = 16;

const FIT: u8 = 1;
const ASKS: u8 = 2;
const SYNC_COMPLETE: u8 = 255;

/// What the sender heard last of the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proof {
    /// Session of the receiver; 0: it heard none.
    pub session: u64,
    /// Counter of a frame of that session.
    pub counter: u64,
}

/// What a body says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) proof: Proof,
    /// Name of the sender.
    pub(super) name: String,
    pub(super) beat: Beat,
}

/// Why a body is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is written for newer readers.
    Version(u8),
    /// It is not what it should be.
    Malformed,
}

/// Appends the body of a heartbeat.
pub(super) fn write(out: &mut Vec<u8>, proof: Proof, name: &str, beat: &Beat) {
    out.extend([NEWEST, OLDEST]);
    field(out, PROOF, |out| {
        out.extend(proof.session.to_le_bytes());
        out.extend(proof.counter.to_le_bytes());
    });
    field(out, NAME, |out| out.extend(name.as_bytes()));
    field(out, RHYTHM, |out| {
        out.extend(beat.sequence.to_le_bytes());
        out.extend(u32::try_from(beat.interval.as_micros()).unwrap_or(u32::MAX).to_le_bytes());
        out.push((u8::from(beat.fit) * FIT) | (u8::from(beat.asks) * ASKS));
        out.push(match beat.sync {
            SyncView::Down => 0,
            SyncView::Copying(percent) => percent.min(100) + 1,
            SyncView::Complete => SYNC_COMPLETE,
        });
        out.extend(beat.digest.to_le_bytes());
    });
    field(out, REACH, |out| {
        out.extend((beat.reach.up as u16).to_le_bytes());
        out.extend((beat.reach.total as u16).to_le_bytes());
        out.push(u8::from(beat.reach.settled));
    });
    field(out, HEARD, |out| {
        for heard in beat.heard.iter().take(MOST) {
            out.extend(heard.sequence.to_le_bytes());
            out.extend(u16::try_from(heard.ago.as_millis()).unwrap_or(u16::MAX).to_le_bytes());
        }
    });
    field(out, GROUPS, |out| {
        for group in beat.groups.iter().take(MOST) {
            out.push(group.number);
            out.push(u8::from(group.role == Role::Primary));
            out.push(group.standing as u8);
            out.push(group.leaving.into());
            out.extend(group.epoch.to_le_bytes());
            out.extend(u32::try_from(group.lease.as_millis()).unwrap_or(u32::MAX).to_le_bytes());
        }
    });
}

fn field(out: &mut Vec<u8>, kind: u8, content: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let length_at = out.len();
    out.extend([0, 0]);
    content(out);
    let length = out.len() - length_at - 2;
    out[length_at..length_at + 2].copy_from_slice(&(length as u16).to_le_bytes());
}

/// Reads a body whose tag was right.
pub(super) fn read(bytes: &[u8]) -> Result<Body, Unread> {
    let (&[version, oldest], mut rest) = bytes.split_first_chunk().ok_or(Unread::Malformed)?;
    if oldest > NEWEST {
        return Err(Unread::Version(version));
    }
    let (mut proof, mut name, mut rhythm) = (Proof::default(), None, None);
    let (mut reach, mut heard, mut groups) = (ReachScore::default(), Vec::new(), Vec::new());
    while !rest.is_empty() {
        let (&[kind, low, high], behind) = rest.split_first_chunk().ok_or(Unread::Malformed)?;
        let length = usize::from(u16::from_le_bytes([low, high]));
        let (content, behind) = behind.split_at_checked(length).ok_or(Unread::Malformed)?;
        rest = behind;
        let mut from = Reader(content);
        match kind {
            PROOF => proof = Proof { session: from.word()?, counter: from.word()? },
            NAME => name = Some(String::from_utf8(content.to_vec()).map_err(|_| Unread::Malformed)?),
            RHYTHM => {
                rhythm = Some((from.word()?, from.double()?, from.byte()?, from.byte()?, from.word()?));
            }
            REACH => {
                reach = ReachScore {
                    up: from.short()?.into(),
                    total: from.short()?.into(),
                    settled: from.byte()? != 0,
                };
            }
            HEARD => {
                heard =
                    content.chunks_exact(HEARD_BYTES).take(MOST).map(heard_of).collect::<Result<_, _>>()?;
            }
            GROUPS => {
                let all = content.chunks_exact(GROUP_BYTES).take(MOST).map(group_of);
                // A standing of a later version is no standing: the group is not reported then.
                groups = all.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
            }
            _ => {}
        }
    }
    let (sequence, interval, flags, sync, digest) = rhythm.ok_or(Unread::Malformed)?;
    let beat = Beat {
        sequence,
        interval: Duration::from_micros(interval.into()),
        heard,
        groups,
        reach,
        fit: flags & FIT != 0,
        asks: flags & ASKS != 0,
        sync: match sync {
            0 => SyncView::Down,
            SYNC_COMPLETE => SyncView::Complete,
            percent => SyncView::Copying((percent - 1).min(100)),
        },
        digest,
    };
    Ok(Body { proof, name: name.ok_or(Unread::Malformed)?, beat })
}

fn heard_of(bytes: &[u8]) -> Result<Heard, Unread> {
    let mut from = Reader(bytes);
    Ok(Heard { sequence: from.word()?, ago: Duration::from_millis(from.short()?.into()) })
}

fn group_of(bytes: &[u8]) -> Result<Option<GroupReport>, Unread> {
    let mut from = Reader(bytes);
    let (number, role, standing, leaving) = (from.byte()?, from.byte()?, from.byte()?, from.byte()?);
    let (epoch, lease) = (from.word()?, from.double()?);
    Ok(Standing::from_number(standing).map(|standing| GroupReport {
        number,
        role: if role == 0 { Role::Backup } else { Role::Primary },
        standing,
        epoch,
        lease: Duration::from_millis(lease.into()),
        leaving: leaving != 0,
    }))
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Unread> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Unread::Malformed)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn byte(&mut self) -> Result<u8, Unread> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn short(&mut self) -> Result<u16, Unread> {
        self.take().map(u16::from_le_bytes)
    }

    fn double(&mut self) -> Result<u32, Unread> {
        self.take().map(u32::from_le_bytes)
    }

    fn word(&mut self) -> Result<u64, Unread> {
        self.take().map(u64::from_le_bytes)
    }
}
