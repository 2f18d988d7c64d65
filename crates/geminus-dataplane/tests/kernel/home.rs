//! The kernel's home of the packet path: the program and its maps, run by test-run.

use geminus_dataplane::mapped::MappedTables;
use geminus_dataplane::program::Loaded;
use geminus_fixtures::random::SHORTEST;
use geminus_fixtures::stage::{Action, Home, HostHome, Ran, Stage};
use geminus_fixtures::{ground, snapshot, twin};
use geminus_packet::heap::Sizes;
use geminus_packet::tables::Ticks;
use geminus_packet::verdict::Counter;

/// The program in the kernel.
pub(crate) struct KernelHome {
    /// The program.
    pub(crate) loaded: Loaded,
    tables: MappedTables,
    sizes: Sizes,
}

impl KernelHome {
    /// Loads the program over empty tables that nobody else has.
    pub(crate) fn new(sizes: &Sizes) -> Self {
        let loaded = Loaded::new(sizes, None).unwrap_or_else(|error| panic!("{error}"));
        let tables = loaded.tables(sizes).unwrap_or_else(|error| panic!("{error}"));
        Self { loaded, tables, sizes: *sizes }
    }

    /// Counts from zero again.
    fn forget_counters(&self) {
        for cpu in 0..self.sizes.cpus {
            for word in self.tables.reasons(cpu).into_iter().flat_map(|seen| &seen.packets) {
                word.store(0);
            }
            for sent in (0..self.sizes.servers).filter_map(|server| self.tables.sent(cpu, server)) {
                [&sent.packets, &sent.bytes, &sent.flows].into_iter().for_each(|word| word.store(0));
            }
        }
    }

    /// The kernel's clock.
    pub(crate) fn ticks(&self) -> Ticks {
        self.loaded.clock().expect("the clock program runs").0
    }
}

impl Home for KernelHome {
    type Tables = MappedTables;

    fn tables(&self) -> &MappedTables {
        &self.tables
    }

    fn now(&self) -> u32 {
        self.ticks().0 as u32
    }

    fn run(&mut self, frame: &[u8]) -> Ran {
        let mut run = self.loaded.run(frame, &[]).unwrap_or_else(|error| panic!("{error}"));
        let action = action(run.action);
        if action == Action::Pass {
            // The kernel's clock is not the host's.
            twin::restamp(frame, &mut run.frame);
        }
        Ran { action, bytes: run.frame }
    }

    fn counted(&self, counter: Counter) -> u64 {
        let of = |cpu| self.tables.reasons(cpu).map_or(0, |seen| seen.packets[usize::from(counter.0)].load());
        (0..self.sizes.cpus).map(of).sum()
    }

    fn sent(&self, server: u32) -> [u64; 3] {
        let mut sum = [0; 3];
        for sent in (0..self.sizes.cpus).filter_map(|cpu| self.tables.sent(cpu, server)) {
            for (sum, word) in sum.iter_mut().zip([&sent.packets, &sent.bytes, &sent.flows]) {
                *sum += word.load();
            }
        }
        sum
    }
}

/// `enum xdp_action`, `include/uapi/linux/bpf.h`. `XDP_ABORTED` is a fault of the program.
fn action(number: u32) -> Action {
    match number {
        1 => Action::Drop,
        2 => Action::Pass,
        3 => Action::Transmit,
        4 => Action::Redirect,
        _ => panic!("the program returned {number}"),
    }
}

/// Tables for the fixtures, with so many buckets, counted by as many CPUs as this machine may have.
pub(crate) fn sizes(buckets: u32) -> Sizes {
    let cpus = aya::util::nr_cpus().expect("the kernel tells its CPUs");
    ground::sizes(&ground::site(), buckets, cpus as u32)
}

/// The ground's site in both homes, with nothing remembered in either and one clock.
pub(crate) fn twins(home: KernelHome, sizes: &Sizes) -> (Stage<HostHome>, Stage<KernelHome>) {
    let now = home.ticks();
    snapshot::wipe(home.tables(), sizes, now.0 as u32);
    home.forget_counters();
    (Stage::new(HostHome::new(sizes, now), sizes), Stage::new(home, sizes))
}

/// Whether a kernel hands such a frame to a program: none is shorter than an Ethernet header.
pub(crate) fn is_taken(frame: &[u8]) -> bool {
    frame.len() >= SHORTEST
}
