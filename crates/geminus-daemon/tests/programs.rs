//! Programs of `exec` checks where the daemon may no more than its systemd unit lets it: each law holds in a process that
//! has given up everything that the unit takes away, as read from the unit's file.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(
    unsafe_code,
    reason = "what a process gives up before it becomes another program has no safe wrapper"
)]

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use geminus_core::health::{Fault, FaultKind};
use geminus_daemon::run_programs;

const UNIT: &str = include_str!("../../../packaging/systemd/geminus.service");
/// Set in the process that has given everything up.
const INSIDE: &str = "GEMINUS_TEST_IN_THE_UNIT";

/// Wide: a machine where programs fork as fast as they can does other things late.
const TIME: Duration = Duration::from_secs(4);
const ROOM: Duration = Duration::from_secs(20);

/// Where numbers of programs' users begin, and how many a daemon has (`docs/design/advisors.md`).
const FIRST: u32 = 2_004_877_312;
const NUMBERS: u32 = 64;

/// Capabilities by number, `include/uapi/linux/capability.h`.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// System calls that starting and ending a program needs or must not have, and the groups that they are in
/// (`systemd-analyze syscall-filter`).
const CALLS: [(&str, libc::c_long, &[&str]); 13] = [
    ("setuid", libc::SYS_setuid, &["@privileged", "@setuid"]),
    ("setgid", libc::SYS_setgid, &["@setuid"]),
    ("setgroups", libc::SYS_setgroups, &["@privileged", "@setuid"]),
    ("setresuid", libc::SYS_setresuid, &["@privileged", "@setuid"]),
    ("setresgid", libc::SYS_setresgid, &["@setuid"]),
    ("setreuid", libc::SYS_setreuid, &["@privileged", "@setuid"]),
    ("capset", libc::SYS_capset, &["@privileged"]),
    ("chroot", libc::SYS_chroot, &["@privileged"]),
    ("setpriority", libc::SYS_setpriority, &["@resources"]),
    ("setrlimit", libc::SYS_setrlimit, &["@resources"]),
    ("sched_setscheduler", libc::SYS_sched_setscheduler, &["@resources"]),
    ("sched_setattr", libc::SYS_sched_setattr, &["@resources"]),
    ("prlimit64", libc::SYS_prlimit64, &[]),
];

/// Values of a key of the unit, in their order.
fn values(key: &str) -> Vec<&'static str> {
    let values: Vec<_> = UNIT.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect();
    assert!(!values.is_empty(), "the unit has no {key}");
    values
}

/// Numbers of the capabilities that the unit takes away, and of this one besides.
fn taken(besides: &str) -> Vec<libc::c_ulong> {
    let lines = values("CapabilityBoundingSet");
    let kept: Vec<_> = lines.iter().flat_map(|line| line.split_whitespace()).collect();
    let known: Vec<_> = CAPABILITIES.iter().map(|name| format!("CAP_{name}")).collect();
    assert!(kept.iter().all(|kept| known.iter().any(|name| name == kept)), "all are known: {kept:?}");
    let is_taken = |name: &str| name == besides || !kept.contains(&name);
    (0..).zip(known).filter(|(_, name)| is_taken(name)).map(|(number, _)| number).collect()
}

/// Numbers of those of [`CALLS`] that the unit denies: a later line goes before an earlier one.
fn denied() -> Vec<libc::c_long> {
    let is_denied = |name: &str, groups: &[&str]| {
        let mut is_denied = false;
        for line in values("SystemCallFilter") {
            let words = line.strip_prefix('~').unwrap_or(line).split_whitespace();
            if words.into_iter().any(|word| word == name || groups.contains(&word)) {
                is_denied = line.starts_with('~');
            }
        }
        is_denied
    };
    CALLS.iter().filter(|(name, _, groups)| is_denied(name, groups)).map(|(_, number, _)| *number).collect()
}

/// A filter that answers EPERM to these calls, as `SystemCallErrorNumber` has it.
fn filter(denied: &[libc::c_long]) -> Vec<libc::sock_filter> {
    let statement = |code: u32, jt, k| libc::sock_filter { code: u16::try_from(code).unwrap(), jt, jf: 0, k };
    let mut filter = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)];
    for (at, number) in denied.iter().enumerate() {
        // Over those that follow and the permission, to the refusal.
        let over = u8::try_from(denied.len() - at).unwrap();
        let number = u32::try_from(*number).unwrap();
        filter.push(statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, over, number));
    }
    filter.push(statement(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW));
    filter.push(statement(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32));
    filter
}

fn give_up(taken: &[libc::c_ulong], filter: &mut [libc::sock_filter]) -> io::Result<()> {
    let check = |result| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    for &capability in taken {
        // SAFETY: takes no pointer. Those that an older kernel does not know are not had.
        let result = check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) });
        if result.as_ref().is_err_and(|error| error.raw_os_error() != Some(libc::EINVAL)) {
            return result;
        }
    }
    // SAFETY: takes no pointer.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    let length = u16::try_from(filter.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its filter are readable, and outlive the call.
    check(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) })
}

/// Has the test of this name run once more, in the unit; false: here it is.
fn is_outside(test: &str) -> bool {
    is_outside_without("", test)
}

/// The same in a unit that does not give this capability either.
fn is_outside_without(capability: &str, test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return false;
    }
    assert!(values("NoNewPrivileges") == ["yes"] && values("SystemCallErrorNumber") == ["EPERM"]);
    let (taken, mut filter) = (taken(capability), filter(&denied()));
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    // SAFETY: between fork and exec only system calls are made; what they read was made before.
    unsafe { again.pre_exec(move || give_up(&taken, &mut filter)) };
    // What it says of its one test is no line of this run.
    let ended = again.output().expect("this binary runs again; the test needs root");
    let said = [&ended.stdout, &ended.stderr].map(|said| String::from_utf8_lossy(said));
    assert!(ended.status.success() && said[0].contains("1 passed"), "in the unit: {}{}", said[0], said[1]);
    true
}

fn script(text: &str) -> Vec<String> {
    ["/bin/sh", "-c", text].map(str::to_owned).to_vec()
}

fn run(scripts: &[&str]) -> Vec<Result<(), Fault>> {
    run_programs(scripts.iter().map(|text| script(text)).collect(), TIME).unwrap()
}

/// Whatever still runs as one of this process' users, by its `status`.
fn left() -> Vec<String> {
    let first = FIRST + std::process::id() % (1 << 21) * NUMBERS;
    let value = |status: &str, key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next().map(str::to_owned)
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let statuses = processes.filter_map(|process| fs::read_to_string(process.path().join("status")).ok());
    let is_left = |status: &String| {
        let user = value(status, "Uid:").and_then(|user| user.parse().ok()).unwrap_or(0);
        // Ended, and waited for by nobody yet.
        (first..first + NUMBERS).contains(&user) && value(status, "State:").is_some_and(|state| state != "Z")
    };
    statuses.filter(is_left).collect()
}

/// What was killed needs a moment to be gone, but does nothing any more.
fn nobody_is_left() {
    let begun = Instant::now();
    while let Some(one) = left().first() {
        assert!(begun.elapsed() < ROOM, "still there: {one}");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_unit_lets_a_program_run_as_nobody_who_can_do_nothing() {
    if is_outside("the_unit_lets_a_program_run_as_nobody_who_can_do_nothing") {
        return;
    }
    // What the bounding set still names cannot be gained: there are no new privileges.
    let checks = "while read -r key value rest; do case $key in \
         CapInh:|CapPrm:|CapEff:|CapAmb:) [ \"$value\" = 0000000000000000 ] || { echo \"$key $value\"; exit 3; } ;; \
         Uid:) [ \"$value\" -ge 2004877312 ] || { echo \"$key $value\"; exit 4; } ;; \
         Gid:) [ \"$value $rest\" = \"65534 65534\t65534\t65534\" ] || { echo \"$key $value $rest\"; exit 5; } ;; \
         Groups:) [ -z \"$value\" ] || { echo \"$key $value\"; exit 6; } ;; \
         NoNewPrivs:) [ \"$value\" = 1 ] || exit 7 ;; \
         esac; done </proc/self/status; \
         [ $(cut -d' ' -f19 /proc/self/stat) = 19 ] || { echo it is as urgent as others; exit 8; }; \
         read -r score </proc/self/oom_score_adj; \
         [ $score = 1000 ] || { echo it is not the first to go; exit 10; }; \
         [ $(ulimit -r) = 0 ] || { echo it may be more urgent than others; exit 9; }";
    let outcomes = run(&[checks, "kill -0 $PPID 2>/dev/null && exit 3; exit 0", "exit 3"]);
    assert_eq!(outcomes[..2], [Ok(()), Ok(())]);
    assert_eq!(outcomes[2].as_ref().unwrap_err().kind, FaultKind::Exec);
    nobody_is_left();
}

#[test]
fn a_program_that_hangs_in_the_unit_is_ended_at_its_deadline() {
    if is_outside("a_program_that_hangs_in_the_unit_is_ended_at_its_deadline") {
        return;
    }
    let begun = Instant::now();
    let outcomes = run(&["trap '' TERM INT HUP; while :; do sleep 600; done", "setsid sleep 600 & exit 0"]);
    assert!(begun.elapsed() < TIME + ROOM, "{:?}", begun.elapsed());
    assert_eq!(outcomes[0].as_ref().unwrap_err().words, "it did not end in time");
    assert_eq!(outcomes[1], Ok(()));
    nobody_is_left();
}

#[test]
fn a_program_that_forks_as_fast_as_it_can_harms_no_other_and_leaves_nobody_behind() {
    if is_outside("a_program_that_forks_as_fast_as_it_can_harms_no_other_and_leaves_nobody_behind") {
        return;
    }
    let good =
        "for i in 1 2 3 4 5 6 7 8; do /bin/true || exit 1; sleep 0.1; done; (exit 0) | (exit 0) | (exit 0)";
    let outcomes = run(&[
        "f() { f | f & }; f; sleep 600",
        "while :; do setsid sleep 600 & done 2>/dev/null",
        "while :; do setsid sh -c 'sleep 600 & sleep 600' & done 2>/dev/null",
        // Ends all that it may, itself excepted: also whoever would end it, if it may.
        "while :; do kill -9 -1; done 2>/dev/null",
        good,
        good,
    ]);
    for bomb in &outcomes[..4] {
        assert_eq!(bomb.as_ref().unwrap_err().kind, FaultKind::Exec, "{bomb:?}");
    }
    assert_eq!(outcomes[4..], [Ok(()), Ok(())]);
    nobody_is_left();
}

#[test]
fn a_daemon_that_may_not_make_a_program_somebody_else_s_says_nothing_of_servers() {
    let test = "a_daemon_that_may_not_make_a_program_somebody_else_s_says_nothing_of_servers";
    if is_outside_without("CAP_SETUID", test) {
        return;
    }
    // More than there are users, so that each is tried again.
    for outcome in run(&["exit 0"; 2 * NUMBERS as usize]) {
        let fault = outcome.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Own, "{fault:?}");
        assert!(fault.words.contains("does not start: operation not permitted; the daemon needs CAP_SETUID"));
    }
}
