//! One 64-bit word that kernel program and user space share.
//!
//! On the host it is an `AtomicU64`. The BPF target declares no compare-and-swap, so
//! `core::sync::atomic` lacks it there; the intrinsics compile to `lock cmpxchg` and `lock xadd` and pass the verifier
//! (target CPU v3). An aligned volatile access is a single load or store in both homes.
#![allow(unsafe_code, reason = "the shared word is the one place where memory is touched without a borrow")]

#[cfg(not(target_arch = "bpf"))]
use core::sync::atomic::{AtomicU64, Ordering};

/// A 64-bit word in memory shared between CPUs, and between kernel and user space. Byte order is the machine's.
#[cfg(not(target_arch = "bpf"))]
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct Word(AtomicU64);

#[cfg(not(target_arch = "bpf"))]
impl Word {
    /// A word with a value, before anyone shares it.
    pub const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// Reads the whole word at once.
    #[inline(always)]
    pub fn load(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Writes the whole word at once.
    #[inline(always)]
    pub fn store(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    /// Replaces `old` by `new`; false, and nothing written, if another value is there.
    #[inline(always)]
    pub fn replace(&self, old: u64, new: u64) -> bool {
        self.0.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Adds, wrapping, and returns what was there before.
    #[inline(always)]
    pub fn fetch_add(&self, by: u64) -> u64 {
        self.0.fetch_add(by, Ordering::AcqRel)
    }
}

/// A 64-bit word in memory shared between CPUs, and between kernel and user space. Byte order is the machine's.
#[cfg(target_arch = "bpf")]
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct Word(core::cell::UnsafeCell<u64>);

#[cfg(target_arch = "bpf")]
// SAFETY: every access goes through single-instruction volatile or atomic operations on an aligned word.
unsafe impl Sync for Word {}

#[cfg(target_arch = "bpf")]
impl Word {
    /// A word with a value, before anyone shares it.
    pub const fn new(value: u64) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    /// Reads the whole word at once.
    #[inline(always)]
    pub fn load(&self) -> u64 {
        // SAFETY: the reference proves the word is readable and aligned.
        unsafe { core::ptr::read_volatile(self.0.get()) }
    }

    /// Writes the whole word at once.
    #[inline(always)]
    pub fn store(&self, value: u64) {
        // SAFETY: the reference proves the word is writable and aligned.
        unsafe { core::ptr::write_volatile(self.0.get(), value) }
    }

    /// Replaces `old` by `new`; false, and nothing written, if another value is there.
    #[inline(always)]
    pub fn replace(&self, old: u64, new: u64) -> bool {
        use core::intrinsics::{AtomicOrdering, atomic_cxchg};
        // SAFETY: the reference proves the word is writable and aligned.
        unsafe {
            atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(
                self.0.get(),
                old,
                new,
            )
            .1
        }
    }

    /// Adds, wrapping, and returns what was there before.
    #[inline(always)]
    pub fn fetch_add(&self, by: u64) -> u64 {
        use core::intrinsics::{AtomicOrdering, atomic_xadd};
        // SAFETY: the reference proves the word is writable and aligned.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(self.0.get(), by) }
    }
}

/// The value itself, of which the compiler then knows nothing. Arithmetic that is written without a branch stays without
/// one: BPF has neither a select nor a set instruction, so a comparison the compiler recognises becomes a jump, and
/// jumps in a loop over ways multiply the paths that the verifier walks.
#[inline(always)]
pub(crate) fn opaque(value: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = value;
        // SAFETY: no instruction at all.
        unsafe {
            core::arch::asm!("/* {0} */", inout(reg) value, options(pure, nomem, nostack, preserves_flags))
        };
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    value
}

/// 1 if a word below 2^63 is zero, else 0.
#[inline(always)]
pub(crate) const fn is_zero(word: u64) -> u64 {
    word.wrapping_sub(1) >> 63
}

/// 1 if `a` is less than `b`, else 0; both below 2^63.
#[inline(always)]
pub(crate) const fn is_less(a: u64, b: u64) -> u64 {
    a.wrapping_sub(b) >> 63
}

/// The values themselves, of which the verifier then knows nothing. `nothing` is 0, from a table, which it does not know
/// either: so the first value is written to a place it cannot tell, and every value may be another after that. What it
/// knows of a value (a constant of one path) would make a path of its own of all that follows.
#[inline(always)]
pub(crate) fn blurred<const N: usize>(mut values: [u64; N], nothing: u64) -> [u64; N] {
    const { assert!(N.is_power_of_two() && N > 1) };
    values[nothing as usize & (N - 1)] = values[0];
    values
}
