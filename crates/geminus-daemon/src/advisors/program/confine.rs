//! What a check's program is not given.
#![allow(
    unsafe_code,
    reason = "what a new process gives up before it becomes another program has no safe wrapper"
)]

use std::io;

use tokio::process::Command;

/// Who has no rights anywhere, by number: the name may be missing.
const NOBODY: u32 = 65_534;

/// How much of everything a program may have: processes of its user, seconds of computing, bytes of memory and of a file,
/// descriptors, bytes of a dump.
const LIMITS: [(libc::__rlimit_resource_t, u64); 6] = [
    (libc::RLIMIT_NPROC, 256),
    (libc::RLIMIT_CPU, 10),
    (libc::RLIMIT_AS, 1 << 30),
    (libc::RLIMIT_FSIZE, 1 << 24),
    (libc::RLIMIT_NOFILE, 256),
    (libc::RLIMIT_CORE, 0),
];

/// Others go first.
const NICE: libc::c_int = 10;

/// The program will run as nobody if that can be had, and can gain nothing.
pub(super) fn confine(command: &mut Command) {
    // SAFETY: asks for nothing but a number.
    if unsafe { libc::geteuid() } == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    // SAFETY: between fork and exec only calls are made that are safe there; nothing is allocated, no lock is taken.
    unsafe { command.pre_exec(give_up) };
}

fn give_up() -> io::Result<()> {
    // SAFETY: takes no pointer.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    // Abilities that would survive becoming another program. SAFETY: takes no pointer.
    check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) })?;
    for (what, most) in LIMITS {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the structure is writable, and outlives the call.
        check(unsafe { libc::getrlimit(what, &raw mut limit) })?;
        limit.rlim_max = limit.rlim_max.min(most);
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: the structure is readable, and outlives the call.
        check(unsafe { libc::setrlimit(what, &raw const limit) })?;
    }
    // A process that could not be made less urgent runs as it is. SAFETY: takes no pointer.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    Ok(())
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
