//! The way of checks by the clients' road: two small programs at the traffic control of an interface, and the slots that
//! they and whoever checks share.
//!
//! Nothing of it is pinned. Where the kernel has links for traffic control (6.6), the attachments are this process's and go
//! with it; where it has not, a filter stays behind a killed daemon, sees no marked packet any more, and is removed by the
//! next.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use aya::maps::Map;
use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType, TestRunOptions, tc};
use aya::util::KernelVersion;
use aya::{Ebpf, EbpfLoader, TestRun as _};
use geminus_packet::probe::{self, Asked, Note, ProbeEntry, RETURNS, SLOTS};
use std::os::fd::AsFd as _;

use crate::mapped::Mapping;
use crate::object::{OBJECT, PROBE_IN_PROGRAM, PROBE_OUT_PROGRAM, PROBES_MAP, RETURNS_MAP};
use crate::program::TestRun;
use crate::release::interface_index;

/// Why checks cannot go by the clients' road.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The programs were not made.
    #[error("the programs of checks cannot be loaded: {0}")]
    Load(String),
    /// There is nothing to attach them to.
    #[error("there is no interface {interface}: checks by it go on when it is back")]
    NoInterface {
        /// Its name.
        interface: String,
    },
    /// They are not attached.
    #[error("the programs of checks cannot be attached to {interface}: {cause}")]
    Attach {
        /// Name of the interface.
        interface: String,
        /// What the kernel said.
        cause: String,
    },
}

/// How programs are attached to traffic control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcMode {
    /// By links, which go with their process.
    Links,
    /// By filters of the `clsact` discipline.
    Filters,
}

/// The two programs, as this process holds them.
pub struct Probes {
    ebpf: Ebpf,
    slots: Arc<Slots>,
    mode: TcMode,
    attached: HashMap<String, [SchedClassifierLink; 2]>,
}

impl std::fmt::Debug for Probes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probes").field("mode", &self.mode).field("attached", &self.attached.keys()).finish()
    }
}

impl Probes {
    /// Loads the programs; attaches nothing.
    ///
    /// # Errors
    /// [`ProbeError::Load`].
    pub fn load() -> Result<Self, ProbeError> {
        let links = KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 6, 0));
        Self::load_for(if links { TcMode::Links } else { TcMode::Filters })
    }

    /// As [`load`](Self::load), to be attached in a way that the kernel would not be taken to prefer.
    ///
    /// # Errors
    /// [`ProbeError::Load`].
    pub fn load_for(mode: TcMode) -> Result<Self, ProbeError> {
        let failed = |cause: &dyn std::fmt::Display| ProbeError::Load(cause.to_string());
        let mut loader = EbpfLoader::new();
        // The packet path's own tables are in the object too; of those here nobody ever looks into one.
        loader.btf(None).map_max_entries(PROBES_MAP, SLOTS).map_max_entries(RETURNS_MAP, RETURNS);
        let mut ebpf = loader.load(OBJECT).map_err(|error| failed(&error))?;
        for name in [PROBE_OUT_PROGRAM, PROBE_IN_PROGRAM] {
            program_mut(&mut ebpf, name)
                .and_then(|program| program.load().map_err(|error| error.to_string()))
                .map_err(|error| failed(&error))?;
        }
        let Some(Map::Array(map)) = ebpf.map(PROBES_MAP) else {
            return Err(failed(&"the object has no table of checks"));
        };
        let entries = Mapping::new(map.fd().as_fd(), SLOTS).map_err(|error| failed(&error))?;
        let free = Mutex::new((0..SLOTS as u16).collect());
        Ok(Self { ebpf, slots: Arc::new(Slots { entries, free }), mode, attached: HashMap::new() })
    }

    /// The slots.
    pub const fn slots(&self) -> &Arc<Slots> {
        &self.slots
    }

    /// Whether packets by this interface take the way.
    pub fn is_attached(&self, interface: &str) -> bool {
        self.attached.contains_key(interface)
    }

    /// From now on packets by this interface take the way. Whatever else is attached there stays.
    ///
    /// # Errors
    /// [`ProbeError::NoInterface`], [`ProbeError::Attach`].
    pub fn attach(&mut self, interface: &str) -> Result<(), ProbeError> {
        if self.is_attached(interface) {
            return Ok(());
        }
        if interface_index(interface).is_none() {
            return Err(ProbeError::NoInterface { interface: interface.into() });
        }
        let failed = |cause: String| ProbeError::Attach { interface: interface.into(), cause };
        if self.mode == TcMode::Filters {
            prepare_filters(interface);
        }
        // Answers first: a packet that left has somebody who turns its answer back.
        let back = self.attach_one(PROBE_IN_PROGRAM, interface, TcAttachType::Ingress).map_err(failed)?;
        let out = self.attach_one(PROBE_OUT_PROGRAM, interface, TcAttachType::Egress).map_err(failed)?;
        self.attached.insert(interface.into(), [back, out]);
        Ok(())
    }

    /// No packet by this interface takes the way any more. An interface that went away took its attachments with it.
    pub fn detach(&mut self, interface: &str) {
        drop(self.attached.remove(interface));
    }

    fn attach_one(
        &mut self,
        name: &str,
        interface: &str,
        side: TcAttachType,
    ) -> Result<SchedClassifierLink, String> {
        let program = program_mut(&mut self.ebpf, name)?;
        let options = match self.mode {
            TcMode::Links => TcAttachOptions::TcxOrder(LinkOrder::default()),
            TcMode::Filters => TcAttachOptions::Netlink(NlOptions::default()),
        };
        let id = program.attach_with_options(interface, side, options).map_err(words)?;
        program.take_link(id).map_err(words)
    }

    /// Runs one frame through the program for packets that leave; the socket that sent it has this mark.
    ///
    /// # Errors
    /// If the kernel does not run it.
    pub fn run_out(&self, frame: &[u8], mark: u32) -> Result<TestRun, ProgramError> {
        self.run(PROBE_OUT_PROGRAM, frame, mark)
    }

    /// Runs one frame through the program for packets that come in.
    ///
    /// # Errors
    /// If the kernel does not run it.
    pub fn run_in(&self, frame: &[u8]) -> Result<TestRun, ProgramError> {
        self.run(PROBE_IN_PROGRAM, frame, 0)
    }

    fn run(&self, name: &str, frame: &[u8], mark: u32) -> Result<TestRun, ProgramError> {
        /// `struct __sk_buff`, of which `mark` is the third word and the only one set.
        const CONTEXT: usize = 192;
        let program: &SchedClassifier = self.ebpf.program(name).expect("it was loaded").try_into()?;
        let mut context = [0; CONTEXT];
        context[8..12].copy_from_slice(&mark.to_ne_bytes());
        let mut out = vec![0; frame.len() + 64];
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.data_out = Some(&mut out);
        options.ctx_in = Some(&context);
        let result = program.test_run(options)?;
        out.truncate(result.data_size_out as usize);
        Ok(TestRun { action: result.return_value, frame: out })
    }
}

/// The slots of checks under way. Shared by one process with its programs.
#[derive(Debug)]
pub struct Slots {
    entries: Mapping<ProbeEntry>,
    /// Numbers of those that nobody has. The one that was given back last comes last: what a check still has to say when its
    /// slot is gone finds nobody there for as long as may be.
    free: Mutex<VecDeque<u16>>,
}

/// A slot that somebody has, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    number: u16,
}

impl Slots {
    /// Takes a slot for a check; none: all are taken.
    pub fn take(self: &Arc<Self>, asked: &Asked) -> Option<Slot> {
        let number = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?;
        let slot = Slot { slots: Arc::clone(self), number };
        slot.entry().begin(asked);
        Some(slot)
    }
}

impl Slot {
    /// The mark that its socket has to have (`SO_MARK`).
    pub const fn mark(&self) -> u32 {
        probe::mark(self.number)
    }

    /// Packets that left, and that came back.
    pub fn counted(&self) -> [u32; 2] {
        self.entry().counted()
    }

    /// Whether this came beside answers.
    pub fn has(&self, note: Note) -> bool {
        self.entry().has(note)
    }

    fn entry(&self) -> &ProbeEntry {
        self.slots.entries.get(self.number.into()).expect("there are as many entries as numbers")
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.entry().end();
        self.slots.free.lock().unwrap_or_else(PoisonError::into_inner).push_back(self.number);
    }
}

/// Removes what a killed daemon left, and sees to it that there is a `clsact`. It stays: others may use it, and it does
/// nothing by itself.
fn prepare_filters(interface: &str) {
    for (name, side) in [(PROBE_IN_PROGRAM, TcAttachType::Ingress), (PROBE_OUT_PROGRAM, TcAttachType::Egress)]
    {
        // Nothing of ours there is what is wanted.
        drop(tc::qdisc_detach_program(interface, side, name));
    }
    // One that is there already is as good; whether there is one shows when the filter is attached.
    drop(tc::qdisc_add_clsact(interface));
}

fn program_mut<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut SchedClassifier, String> {
    let program = ebpf.program_mut(name).ok_or_else(|| format!("the object has no program {name}"))?;
    program.try_into().map_err(words)
}

/// What went wrong, to its root.
fn words(error: ProgramError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
