//! However much a server says, little of it is kept: counted by the allocator.
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a test")]
#![allow(unsafe_code, reason = "an allocator that counts is an allocator")]

mod transcripts;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use geminus_advisor::Step;
use geminus_core::model::Protocol;
use transcripts::{looking_for, streams, talk};

/// What one target may have.
const LIMIT: usize = 64 * 1_024;
/// What is said at once.
const PIECE: usize = 16 * 1_024;
/// What a server says in all, if it is listened to.
const GIGABYTE: usize = 1 << 30;

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is the system allocator's own, with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller keeps the rules of this very method.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the rules of this very method.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a server says once, and then over and over.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("", vec![b'x'; PIECE]),
        ("", vec![0; PIECE]),
        ("", b"\r\n".repeat(PIECE / 2)),
        ("HTTP/1.1 200 OK\r\n", b"Name: value\r\n".repeat(PIECE / 13)),
        ("HTTP/1.1 200 OK\r\nName: ", vec![b'x'; PIECE]),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", vec![b'x'; PIECE]),
        ("HTTP/1.0 200 OK\r\n\r\n", vec![b'x'; PIECE]),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n".repeat(PIECE / 6)),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", vec![b'x'; PIECE]),
        ("", b"HTTP/1.1 100 Continue\r\n\r\n".repeat(PIECE / 25)),
        ("", b"220-more\r\n".repeat(PIECE / 10)),
        ("220 mx\r\n", b"250-more\r\n".repeat(PIECE / 10)),
        ("\u{0}\u{40}\u{12}\u{34}", vec![0x81; PIECE]),
        ("N\0\0\u{20}\0", b"N\0\0\0\x04".repeat(PIECE / 5)),
        ("0\u{7f}", vec![0x30; PIECE]),
    ]
}

#[test]
fn a_gigabyte_of_anything_leaves_no_more_than_64_kib() {
    let hostile = hostile();
    for advisor in streams().into_iter().chain([looking_for("a needle that is not there")]) {
        for (first, again) in &hostile {
            let before = NOW.load(Ordering::Relaxed);
            MOST.store(before, Ordering::Relaxed);
            let mut conversation = talk(&advisor, Protocol::Tcp).conversation.unwrap();
            let mut said = Vec::new();
            let mut heard = 0;
            conversation.begin(&mut said);
            let mut step = conversation.hear(first.as_bytes(), &mut said);
            while step == Step::More && heard < GIGABYTE {
                step = conversation.hear(again, &mut said);
                heard += again.len();
            }
            let grown = MOST.load(Ordering::Relaxed) - before;
            let what = format!("{} heard {heard} bytes behind {first:?}", advisor.word());
            assert!(grown <= LIMIT, "{what} and had {grown} bytes");
            assert!(step != Step::More, "{what} and wants more");
            assert!(heard <= 4 * PIECE, "{what} before it knew");
            assert!(said.len() < 1_024, "{what} and answered {} bytes", said.len());
        }
    }
}
