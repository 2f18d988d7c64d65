//! A frame as the driver hands it over: every access is checked against its end, at once.

use aya_ebpf::helpers::bpf_xdp_adjust_tail;
use aya_ebpf::programs::XdpContext;
use geminus_packet::frame::Frame;
use geminus_packet::tables::Globals;
use geminus_packet::verdict::Verdict;
use geminus_packet::wire::Header;

/// No header starts later than this: Ethernet, two tags, IPv4 with all options or IPv6 with four of the longest
/// extension headers. The verifier wants a bound.
const FARTHEST: usize = 0x3fff;

/// The frame of one program run.
pub struct XdpFrame<'c> {
    ctx: &'c XdpContext,
    data: usize,
    end: usize,
}

impl<'c> XdpFrame<'c> {
    /// The frame of this run.
    #[inline(always)]
    pub fn new(ctx: &'c XdpContext) -> Self {
        Self { ctx, data: ctx.data(), end: ctx.data_end() }
    }

    /// Not 0 if the frame carries the mark of one that is only asked about, which user space alone can set (in the
    /// metadata of a test-run). Blurred, or the whole program would be verified once for yes and once for no.
    #[inline(always)]
    pub fn question(&self, globals: Option<&Globals>) -> u64 {
        let Some(globals) = globals else { return 0 };
        let mark = self.ctx.metadata();
        if mark == self.data || mark + 16 > self.data {
            return globals.nothing.load();
        }
        // SAFETY: the 16 bytes were checked to lie before the frame.
        let mark = unsafe { core::ptr::read_unaligned(mark as *const [u64; 2]) };
        let differs = mark[0] ^ globals.question[0].load() | mark[1] ^ globals.question[1].load();
        u64::from(differs == 0) | globals.nothing.load()
    }

    /// Answers a question: the verdict's word takes the place of the mark's first half.
    #[inline(always)]
    pub fn tell(&self, verdict: Verdict) {
        let mark = self.ctx.metadata();
        if mark + 16 > self.ctx.data() {
            return;
        }
        // SAFETY: checked to lie before the frame.
        unsafe { core::ptr::write_unaligned(mark as *mut u64, verdict.word()) };
    }

    #[inline(always)]
    fn at<H>(&self, at: usize) -> Option<*mut H> {
        if at > FARTHEST {
            return None;
        }
        let start = self.data + at;
        if start + size_of::<H>() > self.end {
            return None;
        }
        Some(start as *mut H)
    }
}

impl Frame for XdpFrame<'_> {
    #[inline(always)]
    fn length(&self) -> usize {
        self.end - self.data
    }

    #[inline(always)]
    fn get<H: Header>(&self, at: usize) -> Option<&H> {
        // SAFETY: checked to lie in the frame; a `Header` has alignment 1 and any bytes are valid.
        self.at::<H>(at).map(|header| unsafe { &*header })
    }

    #[inline(always)]
    fn get_mut<H: Header>(&mut self, at: usize) -> Option<&mut H> {
        // SAFETY: as in `get`; the frame is this run's alone.
        self.at::<H>(at).map(|header| unsafe { &mut *header })
    }

    #[inline(always)]
    fn grow_back(&mut self, by: usize) -> bool {
        // SAFETY: the helper checks the room; pointers into the frame are read anew below.
        let grown = unsafe { bpf_xdp_adjust_tail(self.ctx.ctx, by as i32) } == 0;
        self.refresh();
        grown
    }

    #[inline(always)]
    fn cut(&mut self, length: usize) {
        let by = length as i32 - self.length() as i32;
        if by < 0 {
            // SAFETY: the helper refuses what is too short for Ethernet; pointers into the frame are read anew below.
            unsafe { bpf_xdp_adjust_tail(self.ctx.ctx, by) };
            self.refresh();
        }
    }

    #[inline(always)]
    fn refresh(&mut self) {
        self.data = self.ctx.data();
        self.end = self.ctx.data_end();
    }
}
