//! What a check's program is not given, and how everything that it started is ended.
#![allow(
    unsafe_code,
    reason = "what a new process gives up before it becomes another program has no safe wrapper"
)]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command as Process;

use libc::{gid_t, uid_t};
use tokio::process::Command;

/// The group that has no rights anywhere, by number: the name may be missing.
const NOGROUP: gid_t = 65_534;

/// How much of everything a program may have: processes and threads of its user, seconds of computing, bytes of memory and
/// of a file, descriptors, bytes of a dump. And nothing of what the unit gives the daemon: urgency, memory that stays.
const LIMITS: [(libc::__rlimit_resource_t, u64); 9] = [
    // A shell, a few pipes and a program of many threads; and all users of programs together stay below 4 096.
    (libc::RLIMIT_NPROC, 64),
    (libc::RLIMIT_CPU, 10),
    (libc::RLIMIT_AS, 1 << 30),
    (libc::RLIMIT_FSIZE, 1 << 24),
    (libc::RLIMIT_NOFILE, 256),
    (libc::RLIMIT_CORE, 0),
    (libc::RLIMIT_RTPRIO, 0),
    (libc::RLIMIT_NICE, 0),
    (libc::RLIMIT_MEMLOCK, 1 << 16),
];

/// Others go first: all the processes that a program may have (64) weigh less together than one of the daemon does.
const NICE: libc::c_int = 19;

/// `OOM_SCORE_ADJ_MAX`, `include/uapi/linux/oom.h`.
const MOST_LIKELY: &[u8] = b"1000";

/// `_LINUX_CAPABILITY_VERSION_3`, `include/uapi/linux/capability.h`.
const CAPABILITIES_VERSION: u32 = 0x2008_0522;

/// Whether this process may have programs run as somebody else. Root that lacks the capabilities hears so when it tries.
pub(super) fn is_root() -> bool {
    // SAFETY: asks for nothing but a number.
    unsafe { libc::geteuid() == 0 }
}

/// The program can gain nothing, and will run as this user; none: as who we are.
pub(super) fn confine(command: &mut Command, user: Option<uid_t>) {
    // SAFETY: between fork and exec only calls are made that are safe there; nothing is allocated, no lock is taken.
    unsafe { command.pre_exec(move || give_up(user)) };
}

fn give_up(user: Option<uid_t>) -> io::Result<()> {
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
    // What could not be made less urgent, or the first to go, runs as it is. SAFETY: takes no pointer.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    go_first();
    match user {
        // After the limits: a user who has too many processes left starts no other.
        Some(user) => turn_into(user, user),
        None => Ok(()),
    }
}

/// Where memory is short, the kernel takes what a check started before anything else: the daemon's own protection
/// (`OOMScoreAdjust`) would be its programs' too. Asked as root still, who has the file.
fn go_first() {
    // SAFETY: the path ends with a 0.
    let file = unsafe { libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    if file >= 0 {
        // SAFETY: the bytes are readable and so many; the descriptor is ours, and not used afterwards.
        unsafe {
            libc::write(file, MOST_LIKELY.as_ptr().cast(), MOST_LIKELY.len());
            libc::close(file);
        }
    }
}

/// Ends every process of `user`, whatever group or session it went to: one call of the kernel, which holds its list of
/// processes meanwhile, so that nobody forks away from it. Made by a process of its own, which has nothing but that user's
/// right to do it; its own name is `by`, so that nobody of that user may end it first.
pub(super) fn end_all(user: uid_t, by: uid_t) -> io::Result<()> {
    // It ends before it becomes any program.
    let mut process = Process::new("/");
    // SAFETY: as in `confine`.
    unsafe { process.pre_exec(move || Err(end_all_as(user, by))) };
    match process.spawn() {
        // What it has to say comes by the only way there is. No error: told to all; ESRCH: there is nobody at all.
        Err(said) if matches!(said.raw_os_error(), Some(0 | libc::ESRCH)) => Ok(()),
        Err(error) => Err(error),
        Ok(mut ended) => {
            ended.wait()?;
            Err(io::ErrorKind::Interrupted.into())
        }
    }
}

fn end_all_as(user: uid_t, by: uid_t) -> io::Error {
    let ended = turn_into(by, user).and_then(|()| is_powerless()).and_then(|()| {
        // SAFETY: takes no pointer. Sent by a process that may reach nobody but `user` and `by`.
        check(unsafe { libc::kill(-1, libc::SIGKILL) })
    });
    ended.err().unwrap_or_else(|| io::Error::from_raw_os_error(0))
}

/// This process is `effective` from now on, and `real` to whoever would signal it. Both are not root: with root its
/// capabilities go, unless somebody has set that they stay.
fn turn_into(real: uid_t, effective: uid_t) -> io::Result<()> {
    // SAFETY: a list of no groups is not read.
    check(unsafe { libc::setgroups(0, std::ptr::null()) })?;
    // SAFETY: takes no pointer.
    check(unsafe { libc::setresgid(NOGROUP, NOGROUP, NOGROUP) })?;
    // SAFETY: takes no pointer.
    check(unsafe { libc::setresuid(real, effective, real) })
}

/// Refused where a capability has stayed: a signal to everybody would be one to the whole machine.
fn is_powerless() -> io::Result<()> {
    let header = [CAPABILITIES_VERSION, 0];
    // Effective, permitted and inheritable, the lower halves before the upper ones.
    let mut sets = [u32::MAX; 6];
    // SAFETY: the header is readable; the kernel writes two structures of three words for this version; both outlive it.
    let asked = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) };
    if asked < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: takes no pointer.
    let is_root = unsafe { libc::getuid() == 0 || libc::geteuid() == 0 };
    let [effective_low, _, _, effective_high, _, _] = sets;
    if is_root || effective_low | effective_high != 0 {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    Ok(())
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
