//! The loaded program: made, run once by test-run, asked for the time.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use aya::maps::{Array, Map, MapData};
use aya::programs::{ProgramError, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader, TestRun as _, VerifierLogLevel};
use geminus_core::plan::TicksPerSecond;
use geminus_packet::heap::Sizes;
use geminus_packet::tables::Ticks;

use crate::mapped::{self, MAPS, MappedTables};
use crate::object::{CLOCK_MAP, CLOCK_PROGRAM, OBJECT, PROGRAM, SOURCES, TWIN_PROGRAM};

/// Rates that Linux can be built with on the architectures we run on (`kernel/Kconfig.hz`).
const RATES: [u32; 5] = [100, 250, 300, 512, 1000];
/// Long enough that one tick more or less does not make 250 look like 300.
const RATE_SPAN: Duration = Duration::from_millis(80);

/// Why the program could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProgramFailure {
    /// The kernel refused a map or the object.
    #[error("the kernel refused the tables: {0}")]
    Tables(#[source] EbpfError),
    /// The verifier refused the program.
    #[error("kernel {kernel} refused the program: {cause}; end of the verifier's log: {log_tail}")]
    Verifier {
        /// Release of the running kernel.
        kernel: String,
        /// What the system call said.
        cause: String,
        /// The last lines of the log.
        log_tail: String,
    },
    /// Something else about the program.
    #[error("the program cannot be used: {0}")]
    Program(#[source] ProgramError),
    /// The tables could not be mapped.
    #[error("the tables cannot be mapped: {0}")]
    Mapping(#[source] io::Error),
    /// The object is not ours.
    #[error(
        "the BPF object has no {0}: it was not built from this source; rebuild, or unset GEMINUS_BPF_OBJECT"
    )]
    Foreign(&'static str),
}

impl ProgramFailure {
    /// Whether the process was simply not permitted to do it.
    pub fn is_permission(&self) -> bool {
        let mut source: Option<&dyn std::error::Error> = Some(self);
        while let Some(error) = source {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return error.raw_os_error() == Some(libc::EPERM);
            }
            source = error.source();
        }
        false
    }
}

/// The program and its maps, as this process holds them.
pub struct Loaded {
    ebpf: Ebpf,
}

/// What became of one frame in a test-run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRun {
    /// The XDP action.
    pub action: u32,
    /// The frame afterwards, with the metadata before it if any went in.
    pub frame: Vec<u8>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Loaded(..)")
    }
}

impl Loaded {
    /// Loads the program over tables of these sizes; with `pins`, over the tables pinned there, which are made if absent.
    ///
    /// # Errors
    /// See [`ProgramFailure`].
    pub fn new(sizes: &Sizes, pins: Option<&Path>) -> Result<Self, ProgramFailure> {
        Self::from_object(OBJECT, sizes, pins)
    }

    /// As [`new`](Self::new), from another object than the one this binary carries.
    ///
    /// # Errors
    /// See [`ProgramFailure`].
    pub fn from_object(object: &[u8], sizes: &Sizes, pins: Option<&Path>) -> Result<Self, ProgramFailure> {
        // A log slows the verifier down, so it is asked for only once there is something to read in it.
        match Self::load(object, sizes, pins, VerifierLogLevel::DISABLE) {
            Err(ProgramFailure::Verifier { .. }) => {
                Self::load(object, sizes, pins, VerifierLogLevel::DEBUG | VerifierLogLevel::STATS)
            }
            other => other,
        }
    }

    fn load(
        object: &[u8],
        sizes: &Sizes,
        pins: Option<&Path>,
        log: VerifierLogLevel,
    ) -> Result<Self, ProgramFailure> {
        let mut loader = EbpfLoader::new();
        loader.btf(None).verifier_log_level(log);
        let arrays =
            MAPS.iter().map(|name| (*name, mapped::entries(name, sizes).expect("every map has a size")));
        for (name, entries) in arrays.chain([(SOURCES, sizes.sources)]) {
            loader.map_max_entries(name, entries);
            if let Some(pins) = pins {
                loader.map_pin_path(name, pins.join(name));
            }
        }
        let mut ebpf = loader.load(object).map_err(ProgramFailure::Tables)?;
        for name in [PROGRAM, TWIN_PROGRAM, CLOCK_PROGRAM] {
            program_mut(&mut ebpf, name)?.load().map_err(refused)?;
        }
        Ok(Self { ebpf })
    }

    /// Maps the tables.
    ///
    /// # Errors
    /// If the kernel does not map them.
    pub fn tables(&self, sizes: &Sizes) -> Result<MappedTables, ProgramFailure> {
        MappedTables::new(sizes, |name| {
            let map = self.ebpf.map(name).ok_or_else(|| io::Error::other(format!("no map {name}")))?;
            match map {
                Map::Array(data) | Map::LpmTrie(data) => Ok(data.fd().as_fd()),
                _ => Err(io::Error::other(format!("map {name} is neither an array nor a trie"))),
            }
        })
        .map_err(ProgramFailure::Mapping)
    }

    /// The packet program.
    ///
    /// # Errors
    /// If the object has none.
    pub fn program(&mut self) -> Result<&mut Xdp, ProgramFailure> {
        program_mut(&mut self.ebpf, PROGRAM)
    }

    /// The program for interfaces that lead to partners alone.
    ///
    /// # Errors
    /// If the object has none.
    pub fn twin_program(&mut self) -> Result<&mut Xdp, ProgramFailure> {
        program_mut(&mut self.ebpf, TWIN_PROGRAM)
    }

    /// Runs one frame through the program for interfaces that lead to partners alone.
    ///
    /// # Errors
    /// If the kernel does not run it.
    pub fn run_twin(&self, frame: &[u8]) -> Result<TestRun, ProgramFailure> {
        self.run_program(TWIN_PROGRAM, frame, &[])
    }

    /// Runs one frame through the packet program. `metadata` goes before the frame and comes back before it.
    ///
    /// # Errors
    /// If the kernel does not run it.
    pub fn run(&self, frame: &[u8], metadata: &[u8]) -> Result<TestRun, ProgramFailure> {
        self.run_program(PROGRAM, frame, metadata)
    }

    fn run_program(
        &self,
        name: &'static str,
        frame: &[u8],
        metadata: &[u8],
    ) -> Result<TestRun, ProgramFailure> {
        let mut data = metadata.to_vec();
        data.extend_from_slice(frame);
        let mut out = vec![0; data.len() + 256];
        // struct xdp_md: data, data_end, data_meta, three indices.
        let mut context = Vec::new();
        for word in [metadata.len() as u32, data.len() as u32, 0, 0, 0, 0] {
            context.extend_from_slice(&word.to_ne_bytes());
        }
        let mut options = TestRunOptions::new();
        options.data_in = Some(&data);
        options.data_out = Some(&mut out);
        if !metadata.is_empty() {
            options.ctx_in = Some(&context);
        }
        let result = program(&self.ebpf, name)?.test_run(options).map_err(ProgramFailure::Program)?;
        out.truncate(result.data_size_out as usize);
        Ok(TestRun { action: result.return_value, frame: out })
    }

    /// Reads the kernel's coarse clock and its monotonic clock at once.
    ///
    /// # Errors
    /// If the clock program cannot be run.
    pub fn clock(&self) -> Result<(Ticks, Duration), ProgramFailure> {
        let mut options = TestRunOptions::new();
        let frame = [0; 14];
        options.data_in = Some(&frame);
        program(&self.ebpf, CLOCK_PROGRAM)?.test_run(options).map_err(ProgramFailure::Program)?;
        let map = self.ebpf.map(CLOCK_MAP).ok_or(ProgramFailure::Foreign("clock map"))?;
        let clock =
            Array::<&MapData, [u64; 2]>::try_from(map).map_err(|_| ProgramFailure::Foreign("clock array"))?;
        let [ticks, nanos] = clock.get(&0, 0).map_err(|_| ProgramFailure::Foreign("clock entry"))?;
        Ok((Ticks(ticks), Duration::from_nanos(nanos)))
    }

    /// How fast the coarse clock runs, by measuring it.
    ///
    /// # Errors
    /// As [`clock`](Self::clock).
    pub fn tick_rate(&self) -> Result<TicksPerSecond, ProgramFailure> {
        let (ticks, time) = self.clock()?;
        sleep(RATE_SPAN);
        let (later_ticks, later) = self.clock()?;
        let span = (later - time).as_micros().max(1) as u64;
        let measured = (later_ticks.0 - ticks.0) * 1_000_000 / span;
        let rate = RATES.iter().min_by_key(|rate| u64::from(**rate).abs_diff(measured));
        Ok(TicksPerSecond(*rate.expect("there are rates")))
    }
}

fn program<'e>(ebpf: &'e Ebpf, name: &'static str) -> Result<&'e Xdp, ProgramFailure> {
    let program = ebpf.program(name).ok_or(ProgramFailure::Foreign(name))?;
    program.try_into().map_err(ProgramFailure::Program)
}

fn program_mut<'e>(ebpf: &'e mut Ebpf, name: &'static str) -> Result<&'e mut Xdp, ProgramFailure> {
    let program = ebpf.program_mut(name).ok_or(ProgramFailure::Foreign(name))?;
    program.try_into().map_err(ProgramFailure::Program)
}

fn refused(error: ProgramError) -> ProgramFailure {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
            let tail = &lines[lines.len().saturating_sub(LOG_LINES)..];
            ProgramFailure::Verifier {
                kernel: kernel_release(),
                cause: io_error.to_string(),
                log_tail: tail.join(" | "),
            }
        }
        other => ProgramFailure::Program(other),
    }
}

/// Lines of the verifier's log that are shown: what it was about and what it said.
const LOG_LINES: usize = 12;

fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "?".into(), |release| release.trim().into())
}
