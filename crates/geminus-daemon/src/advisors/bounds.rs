//! Every limit of the advisors' thread, with its reason.

use std::time::Duration;

use geminus_core::health::ANSWER_GRACE;

/// Checks and looks that may wait for the thread: it takes them within microseconds.
pub(super) const ORDERS: usize = 16_384;

/// What may wait for the driver, which is busy for seconds while large tables are written.
pub(super) const NEWS: usize = 16_384;

/// How long what came of a check waits for what else comes.
pub(super) const COLLECTED: Duration = Duration::from_millis(2);

/// How often the thread's signs of life are looked at.
pub(super) const SIGN_EVERY: Duration = Duration::from_millis(500);

/// So many looks without one are a silence: 2 s.
pub(super) const SIGNS: u32 = 4;

/// How often the thread gives a sign of life.
pub(super) const BEAT: Duration = Duration::from_millis(100);

/// Checks under way at once: no more are asked for, but what was given up may be under way yet. Half of the slots of the
/// clients' road: [`FAREWELLS`] and [`LOOKS`] have some too.
pub(super) const CHECKS: usize = geminus_core::health::CHECKS;

/// How long a check waits for its turn where this machine has descriptors for fewer than [`CHECKS`]: half of the time that is
/// waited for its reading after its own is over.
pub(super) const TURN: Duration = Duration::from_millis(ANSWER_GRACE.as_millis() as u64 / 2);

/// Descriptors of the process that are not those of checks.
pub(super) const DESCRIPTORS: u64 = 256;

/// Second looks under way at once: no more are asked for, but what was given up may be under way yet.
pub(super) const LOOKS: usize = geminus_core::health::LOOKS;

/// Programs of `exec` checks that run at once. Each has a user of its own, and with the one who ends them a daemon has 64.
pub(super) const PROGRAMS: usize = 63;

/// Bytes read in one go.
pub(super) const READ: usize = 4_096;

/// What the kernel may keep of what a server sends (`SO_RCVBUF`; it counts double). With what a conversation keeps, no
/// server can make this machine hold more than 64 KiB; with what TLS and HTTP/2 keep besides, no more than 256 KiB.
pub(super) const RECEIVED: usize = 12 * 1_024;

/// Bytes of TLS that may come before anything is said by them: a handshake, or afterwards what is about TLS itself. Chains
/// of certificates have 2 to 8 KiB, unusual ones 16; a record has at most 18. rustls by itself joins messages to 64 KiB, in
/// a buffer that doubles as it grows, and keeps the chain besides.
pub(super) const UNSAID: usize = 32 * 1_024;

/// Longest datagram that is read (RFC 6891 section 6.2.5, and no answer to a check is longer).
pub(super) const DATAGRAM: usize = 4_096;

/// How long a server is given to close after a farewell, and how much it may say meanwhile.
pub(super) const FAREWELL: Duration = Duration::from_millis(250);
/// Servers that are given that time at once. With [`CHECKS`] three quarters of the slots: each farewell has one.
pub(super) const FAREWELLS: usize = 1_024;
/// See [`FAREWELL`].
pub(super) const FAREWELL_BYTES: usize = 16 * 1_024;

/// How long a look waits for an answer of any kind.
pub(super) const LOOK: Duration = Duration::from_millis(1_000);

/// How long a look waits for somebody to claim an address before it asks again.
pub(super) const CLAIM: Duration = Duration::from_millis(100);

/// How often it asks where something fails; where all is well, once: it comes again soon.
pub(super) const CLAIM_QUESTIONS: u32 = 3;

/// Bytes that are kept of what a program says.
pub(super) const SAID: usize = 4_096;

/// Bytes that a program may say before it is ended.
pub(super) const SAID_MOST: usize = 1024 * 1_024;

/// How long a program that failed to load the way of checks is not tried again.
pub(super) const LOAD_AGAIN: Duration = Duration::from_secs(5);
