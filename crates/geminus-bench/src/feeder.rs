//! Feeds one program a batch of frames by a repeated test-run and tells what one frame took and what came back.

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, MapData, ProgramArray};
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramFd, TestRunAttrs, TestRunOptions, Xdp, XdpMode};
use aya::{Ebpf, TestRun as _};

use crate::case::{
    ACTIONS, ADDRESS_BITS, Case, INTERFACE, MASK, NEXT, PLACE, PLACE_NONE, PLACE_V4, PLACE_V6, PORTS,
    REWRITE, SOURCE, STRIDE, SUMMED, TEMPLATE_WORDS, TWICE, WORDS,
};
use crate::frame::Family;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench.bpf.o"));

/// A stream of frames: a template and the flows it stands for.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    /// The frame of flow 0.
    pub(crate) frame: Vec<u8>,
    /// Where the flow stands in the frame; none: every frame is the template.
    pub(crate) flows: Option<Flows>,
    /// Every flow comes twice in a row, with its first segment and then a later one.
    pub(crate) opening: bool,
    /// The program changes more of the frame than its hardware addresses.
    pub(crate) rewritten: bool,
}

/// The flows of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flows {
    pub(crate) family: Family,
    /// How many; a power of two.
    pub(crate) count: u64,
    /// So many bits of a flow's number lie in the address, the others in the port.
    pub(crate) address_bits: u64,
}

/// What a batch came to.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// Nanoseconds a frame, the kernel's own whole number.
    pub(crate) nanoseconds: u64,
    /// Frames by the XDP action they came back with.
    pub(crate) actions: [u64; ACTIONS],
    /// The last frame as it came back.
    pub(crate) frame: Vec<u8>,
}

/// The loaded feeding program and the yardsticks.
pub(crate) struct Feeder {
    ebpf: Ebpf,
    slot: ProgramArray<MapData>,
    case: Array<MapData, Case>,
    seen: Array<MapData, [u64; ACTIONS]>,
    arrived: Array<MapData, u64>,
}

impl Feeder {
    pub(crate) fn load() -> Result<Self> {
        let mut ebpf = Ebpf::load(OBJECT).context("cannot load the feeding program")?;
        let slot = ProgramArray::try_from(ebpf.take_map("SLOT").context("no map SLOT")?)?;
        let case = Array::try_from(ebpf.take_map("CASE").context("no map CASE")?)?;
        let seen = Array::try_from(ebpf.take_map("ACTIONS_SEEN").context("no map ACTIONS_SEEN")?)?;
        let arrived = Array::try_from(ebpf.take_map("ARRIVED").context("no map ARRIVED")?)?;
        for (name, program) in ebpf.programs_mut() {
            let program: &mut Xdp = program.try_into()?;
            program.load().with_context(|| format!("the kernel refused {name}"))?;
        }
        Ok(Self { ebpf, slot, case, seen, arrived })
    }

    /// One of the yardsticks, by its name in the object.
    pub(crate) fn yardstick(&self, name: &str) -> Result<ProgramFd> {
        Ok(self.xdp(name)?.fd()?.try_clone()?)
    }

    /// Runs `runs` frames of a stream, from flow number `first` on, through a program.
    pub(crate) fn feed(
        &mut self,
        program: &ProgramFd,
        traffic: &Traffic,
        first: u64,
        runs: u32,
    ) -> Result<Batch> {
        self.slot.set(0, program, 0).context("the program does not go into the slot")?;
        self.case.set(0, traffic.case(first), 0)?;
        let before: [u64; ACTIONS] = self.seen.get(&0, 0)?;
        let mut frame = vec![0; traffic.frame.len() + 256];
        let mut options = TestRunOptions::new();
        options.data_in = Some(&traffic.frame);
        options.data_out = Some(&mut frame);
        options.repeat = runs;
        let result = self.xdp("feed")?.test_run(options).context("the test-run failed")?;
        frame.truncate(result.data_size_out as usize);
        let after: [u64; ACTIONS] = self.seen.get(&0, 0)?;
        let actions = std::array::from_fn(|action| after[action] - before[action]);
        ensure!(
            actions.iter().sum::<u64>() == u64::from(runs),
            "not every frame came back: {actions:?} of {runs}"
        );
        Ok(Batch { nanoseconds: result.duration.as_nanos() as u64, actions, frame })
    }

    /// Sends `frames` frames of a stream, `burst` at a time, out of an interface of the calling thread's namespace; every
    /// program they meet runs on the way, on this CPU.
    pub(crate) fn send(
        &mut self,
        traffic: &Traffic,
        first: u64,
        frames: u32,
        burst: u32,
        interface: u32,
    ) -> Result<()> {
        let mut case = traffic.case(first);
        case[INTERFACE] = u64::from(interface);
        case[SUMMED] = 1;
        self.case.set(0, case, 0)?;
        let mut options = TestRunOptions::new();
        options.data_in = Some(&traffic.frame);
        options.repeat = frames;
        options.attrs = TestRunAttrs::new().xdp_live_frames(burst);
        self.xdp("source")?.test_run(options).context("the live test-run failed")?;
        Ok(())
    }

    /// Frames that came to where `sink` is attached.
    pub(crate) fn arrived(&self) -> Result<u64> {
        Ok(self.arrived.get(&0, 0)?)
    }

    /// Attaches one of the programs to an interface of the calling thread's namespace, natively.
    pub(crate) fn attach(&mut self, name: &str, interface: u32) -> Result<XdpLink> {
        let program =
            self.ebpf.program_mut(name).with_context(|| format!("no program {name} in the object"))?;
        attach(program.try_into()?, interface)
    }

    fn xdp(&self, name: &str) -> Result<&Xdp> {
        let program = self.ebpf.program(name).with_context(|| format!("no program {name} in the object"))?;
        Ok(program.try_into()?)
    }
}

/// Attaches a program natively until the link is dropped.
pub(crate) fn attach(program: &mut Xdp, interface: u32) -> Result<XdpLink> {
    let link =
        program.attach_to_if_index(interface, XdpMode::Driver).context("the program cannot be attached")?;
    Ok(program.take_link(link)?)
}

impl Traffic {
    /// The frame of a flow, as the feeding program makes it.
    pub(crate) fn frame_of(&self, number: u64) -> Vec<u8> {
        let mut frame = self.frame.clone();
        let Some(flows) = self.flows else { return frame };
        let number = number.wrapping_mul(STEP) & (flows.count - 1);
        let address = (number & ((1 << flows.address_bits) - 1)) as u16;
        let port = (crate::case::FIRST_PORT + (number >> flows.address_bits)) as u16;
        match flows.family {
            Family::V4 => {
                frame[18..20].copy_from_slice(&(!address).to_le_bytes());
                frame[28..30].copy_from_slice(&address.to_le_bytes());
                frame[34..36].copy_from_slice(&port.to_be_bytes());
            }
            Family::V6 => {
                frame[36..38].copy_from_slice(&address.to_le_bytes());
                frame[54..56].copy_from_slice(&port.to_be_bytes());
            }
        }
        frame
    }

    fn case(&self, first: u64) -> Case {
        let mut case = [0; WORDS];
        let word = |at: usize| {
            u64::from_le_bytes(std::array::from_fn(|byte| self.frame.get(at + byte).copied().unwrap_or(0)))
        };
        for (number, slot) in case.iter_mut().take(TEMPLATE_WORDS).enumerate() {
            *slot = word(number * 8);
        }
        case[REWRITE] = if self.rewritten { (self.frame.len() / 8).min(TEMPLATE_WORDS) as u64 } else { 0 };
        case[NEXT] = first;
        case[STRIDE] = STEP;
        case[TWICE] = u64::from(self.opening);
        case[PLACE] = PLACE_NONE;
        if let Some(flows) = self.flows {
            let (place, source, ports) = match flows.family {
                Family::V4 => (PLACE_V4, word(26), word(34)),
                Family::V6 => (PLACE_V6, word(30), word(54)),
            };
            case[PLACE] = place;
            case[SOURCE] = source;
            case[PORTS] = ports & 0xffff_0000;
            case[MASK] = flows.count - 1;
            case[ADDRESS_BITS] = flows.address_bits;
        }
        case
    }
}

/// Odd, so that it permutes the flows of every power of two.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{self, ACK};

    #[test]
    fn every_flow_has_a_header_checksum_that_holds() {
        let flows = Flows { family: Family::V4, count: 1 << 32, address_bits: 16 };
        let traffic = Traffic {
            frame: frame::tcp(Family::V4, 80, ACK),
            flows: Some(flows),
            opening: false,
            rewritten: false,
        };
        for number in [0, 1, 77, 0xffff, 0x1_0000, 0xdead_beef] {
            let header = &traffic.frame_of(number)[14..34];
            let mut sum: u32 =
                header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
            while sum > 0xffff {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            assert_eq!(sum, 0xffff, "flow {number}");
        }
    }

    #[test]
    fn flows_of_a_stream_differ() {
        let flows = Flows { family: Family::V6, count: 1 << 12, address_bits: 4 };
        let traffic = Traffic {
            frame: frame::tcp(Family::V6, 80, ACK),
            flows: Some(flows),
            opening: false,
            rewritten: false,
        };
        let frames: std::collections::HashSet<_> =
            (0..flows.count).map(|number| traffic.frame_of(number)).collect();
        assert_eq!(frames.len() as u64, flows.count);
    }
}
