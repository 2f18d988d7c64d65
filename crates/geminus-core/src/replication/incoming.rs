//! What is heard: names, flows, and how far the partner's copy is.

use geminus_packet::tables::Tables;

use super::bindings::{Bindings, Servers};
use super::insert::{Taken, take};
use super::record::RECORD_BYTES;
use super::wire::{NAME_BYTES, NO_COPY, Name};
use super::{Ground, Record, Shared};

/// How far the partner's whole copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Copied {
    #[default]
    Nothing,
    /// Thousandths.
    Running(u16),
    Done,
}

/// What is heard from one partner.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    bindings: Bindings,
    copied: Copied,
    last_batch: u64,
    /// The batch that is to be acknowledged.
    pub(super) to_acknowledge: Option<u64>,
    pub(super) received: u64,
    pub(super) written: u64,
    pub(super) kept: u64,
    pub(super) gone: u64,
    pub(super) full: u64,
    pub(super) unknown: u64,
}

/// What came is none of what partners say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nonsense;

impl Incoming {
    pub(super) fn names(&mut self, names: &[[u8; NAME_BYTES]]) -> Result<(), Nonsense> {
        for bytes in names {
            let name = Name::read(bytes).ok_or(Nonsense)?;
            self.bindings.name(name.number, name.identity);
        }
        Ok(())
    }

    pub(super) fn flows(
        &mut self,
        (batch, progress): (u64, u16),
        records: &[[u8; RECORD_BYTES]],
        ground: &Ground<'_, impl Tables>,
        servers: &mut Servers,
        shared: &Shared,
    ) -> Result<(), Nonsense> {
        self.begin_batch(batch)?;
        let copying = progress != NO_COPY;
        if copying {
            if self.copied == Copied::Done || progress > 1000 {
                return Err(Nonsense);
            }
            // What is left of a copy that was asked for again is taken, and counts for nothing.
            if matches!(self.copied, Copied::Running(_)) {
                self.copied = Copied::Running(progress);
            }
        }
        for bytes in records {
            let record = Record::read(bytes).ok_or(Nonsense)?;
            self.received += 1;
            let local = self.bindings.find(record.server, servers, shared, ground).map_err(|()| Nonsense)?;
            let Some(local) = local else {
                self.unknown += 1;
                continue;
            };
            *match take(ground, &record, local, copying) {
                Taken::Written => &mut self.written,
                Taken::Kept => &mut self.kept,
                Taken::Gone => &mut self.gone,
                Taken::Full => &mut self.full,
            } += 1;
        }
        Ok(())
    }

    pub(super) const fn begin(&mut self) {
        self.copied = Copied::Running(0);
    }

    pub(super) fn end(&mut self, batch: u64) -> Result<(), Nonsense> {
        self.begin_batch(batch)?;
        match self.copied {
            Copied::Running(_) => self.copied = Copied::Done,
            // Of a copy that was asked for again.
            Copied::Nothing => {}
            Copied::Done => return Err(Nonsense),
        }
        Ok(())
    }

    /// Batches are numbered without a gap.
    fn begin_batch(&mut self, batch: u64) -> Result<(), Nonsense> {
        if batch != self.last_batch + 1 {
            return Err(Nonsense);
        }
        self.last_batch = batch;
        self.to_acknowledge = Some(batch);
        Ok(())
    }

    /// Other tables, or another site: the same servers have other numbers.
    pub(super) fn unresolve(&mut self) {
        self.bindings.unresolve();
    }

    /// The partner was asked to copy its whole table again.
    pub(super) const fn asked_again(&mut self) {
        self.copied = Copied::Nothing;
    }

    /// Percent of the partner's whole copy that has come; none: all of it.
    pub(super) fn percent(&self) -> Option<u8> {
        match self.copied {
            Copied::Nothing => Some(0),
            Copied::Running(thousandths) => Some((thousandths / 10).min(99) as u8),
            Copied::Done => None,
        }
    }

    /// Records that were not remembered although they should have been.
    pub(super) const fn not_taken(&self) -> u64 {
        self.gone + self.full + self.unknown
    }
}
