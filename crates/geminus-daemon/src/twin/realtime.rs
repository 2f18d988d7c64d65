//! What the heartbeat thread asks of the system so that others do not make it late.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::kernel::calls;

/// Above everything that is not of real time, below what is of more weight than a heartbeat.
const PRIORITY: i32 = 10;

/// A real-time thread that never sleeps keeps a whole CPU from everybody. After so many microseconds without a sleep the
/// kernel ends the daemon, whose leases bridge a restart.
const LONGEST_RUN: u64 = 2_000_000;

/// Runs before others and stays in memory, where that is allowed; returns what is not.
pub(super) fn prepare() -> Vec<String> {
    let mut amiss = Vec::new();
    // The guard first: without it the thread is not to be trusted with a priority.
    match guard() {
        Ok(()) => {
            if let Err(error) = calls::run_before_others(PRIORITY) {
                amiss.push(format!(
                    "heartbeats have no real-time priority ({error}): under load they may be late; give the daemon \
                     CAP_SYS_NICE"
                ));
            }
        }
        Err(error) => amiss.push(format!("heartbeats have no real-time priority (no limit for it: {error})")),
    }
    if let Err(error) = calls::stay_in_memory() {
        amiss.push(format!(
            "the daemon may be swapped out ({error}): heartbeats may be late then; give it CAP_IPC_LOCK"
        ));
    }
    amiss
}

fn guard() -> rustix::io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Rttime);
    let wanted = maximum.map_or(LONGEST_RUN, |maximum| maximum.min(LONGEST_RUN));
    if current.is_some_and(|current| current <= wanted) {
        return Ok(());
    }
    setrlimit(Resource::Rttime, Rlimit { current: Some(wanted), maximum })
}
