//! Everything a run makes is written down before it is used and undone in reverse order: when the owner is dropped,
//! when a signal asks the run to end, and, for a run that died, when the next one starts.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A child process shared between its owner and the ledger.
pub(crate) type SharedChild = Arc<Mutex<Child>>;

/// One thing to undo.
#[derive(Debug)]
pub(crate) enum Debt {
    /// A process that this run started.
    Process(SharedChild),
    /// A network namespace that this run made, with whatever still runs inside.
    Namespace(String),
    /// A file system that this run mounted.
    Mount(PathBuf),
    /// A folder that this run made.
    Folder(PathBuf),
    /// A folder to remove if nothing is left in it.
    EmptyFolder(PathBuf),
    /// A control group that this run made.
    ControlGroup(PathBuf),
}

/// What one owner has made so far.
#[derive(Debug, Default)]
pub struct Ledger {
    debts: Mutex<Vec<Debt>>,
}

/// Ledgers of this process that a signal must settle.
static OPEN: Mutex<Vec<Weak<Ledger>>> = Mutex::new(Vec::new());
/// Set by the signal thread: nothing new may be made.
static ENDING: AtomicBool = AtomicBool::new(false);
static WATCH: Once = Once::new();

impl Ledger {
    /// Opens a ledger that signals know about.
    ///
    /// # Errors
    /// When the process is ending because of a signal.
    pub fn open() -> Result<Arc<Self>> {
        WATCH.call_once(watch_signals);
        let ledger = Arc::new(Self::default());
        let mut open = lock(&OPEN);
        open.retain(|entry| entry.strong_count() > 0);
        open.push(Arc::downgrade(&ledger));
        Ok(ledger)
    }

    /// Writes a debt down; refused once the process is ending, so that nothing is made behind the signal thread's back.
    pub(crate) fn owe(&self, debt: Debt) -> Result<()> {
        let mut debts = lock(&self.debts);
        if ENDING.load(Ordering::SeqCst) {
            bail!("the run is ending because of a signal");
        }
        debts.push(debt);
        Ok(())
    }

    /// Undoes everything, newest first, and returns every failure.
    pub fn settle(&self) -> Vec<anyhow::Error> {
        let debts = std::mem::take(&mut *lock(&self.debts));
        debts.into_iter().rev().filter_map(|debt| debt.undo().err()).collect()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        for error in self.settle() {
            complain(&error);
        }
    }
}

impl Debt {
    fn undo(self) -> Result<()> {
        match self {
            Self::Process(child) => {
                let mut child = lock(&child);
                if child.try_wait()?.is_none() {
                    child.kill()?;
                    child.wait()?;
                }
                Ok(())
            }
            Self::Namespace(name) => remove_namespace(&name),
            Self::Mount(path) => rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH)
                .with_context(|| format!("cannot unmount {}", path.display())),
            Self::Folder(path) => {
                std::fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))
            }
            Self::ControlGroup(path) => remove_control_group(&path),
            Self::EmptyFolder(path) => {
                // Another site of this run still has it.
                let _ = std::fs::remove_dir(path);
                Ok(())
            }
        }
    }
}

/// Undoes what runs of dead processes left behind: namespaces, mounts and folders whose name carries a pid that is
/// no longer there.
///
/// # Errors
/// When a leftover cannot be removed.
pub fn sweep() -> Result<()> {
    for name in dead_entries("/run/netns", NAMESPACE_PREFIX)? {
        remove_namespace(&name)?;
    }
    for controller in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        for name in dead_entries(controller.path(), FOLDER_PREFIX)? {
            remove_control_group(&controller.path().join(name))?;
        }
    }
    let parent = std::env::temp_dir();
    for name in dead_entries(&parent, FOLDER_PREFIX)? {
        let folder = parent.join(name);
        for site in std::fs::read_dir(&folder)?.flatten() {
            // Nothing is mounted there if the run died early.
            let _ = rustix::mount::unmount(site.path().join("bpffs"), rustix::mount::UnmountFlags::DETACH);
        }
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// Thaws what is frozen in a control group, sends everything in it back to the root and removes it; one that is gone
/// already is no error.
pub(crate) fn remove_control_group(folder: &std::path::Path) -> Result<()> {
    let Ok(inside) = std::fs::read_to_string(folder.join("cgroup.procs")) else { return Ok(()) };
    let freezer = folder.join("freezer.state");
    if freezer.exists() {
        std::fs::write(freezer, "THAWED")?;
    }
    let root = folder.parent().context("a control group has a parent")?.join("cgroup.procs");
    for pid in inside.split_whitespace() {
        // Whoever ended meanwhile needs no other place.
        let _ = std::fs::write(&root, pid);
    }
    std::fs::remove_dir(folder).with_context(|| format!("cannot remove control group {}", folder.display()))
}

/// Namespaces are called `gml<pid>-<site>-<machine>`.
pub(crate) const NAMESPACE_PREFIX: &str = "gml";
/// The folder of a run is called `geminus-lab-<pid>`.
pub(crate) const FOLDER_PREFIX: &str = "geminus-lab-";

fn dead_entries(folder: impl AsRef<std::path::Path>, prefix: &str) -> Result<Vec<String>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| owner(name, prefix).is_some_and(|pid| !alive(pid))).collect())
}

/// The pid in a name that a run gave, none for names of others.
fn owner(name: &str, prefix: &str) -> Option<u32> {
    let rest = name.strip_prefix(prefix)?;
    rest.split('-').next()?.parse().ok()
}

fn alive(pid: u32) -> bool {
    std::path::Path::new("/proc").join(pid.to_string()).exists()
}

fn remove_namespace(name: &str) -> Result<()> {
    let inside = Command::new("ip").args(["netns", "pids", name]).output()?;
    for pid in String::from_utf8_lossy(&inside.stdout).split_whitespace() {
        let Some(pid) = pid.parse().ok().and_then(rustix::process::Pid::from_raw) else { continue };
        // A thread of this very process may be looking at the namespace; it leaves by itself.
        if pid != rustix::process::getpid() {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    let removed = Command::new("ip").args(["netns", "del", name]).output()?;
    if !removed.status.success() {
        bail!("cannot remove namespace {name}: {}", String::from_utf8_lossy(&removed.stderr).trim());
    }
    Ok(())
}

/// Waits for the end if a signal asked for it: the thread that undoes must not be overtaken by one that returns.
pub fn leave_to_signal() {
    while ENDING.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

fn watch_signals() {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            ENDING.store(true, Ordering::SeqCst);
            for ledger in lock(&OPEN).iter().filter_map(Weak::upgrade) {
                for error in ledger.settle() {
                    complain(&error);
                }
            }
            std::process::exit(128 + signal);
        }
    });
}

#[allow(clippy::print_stderr, reason = "undoing has no caller left to tell")]
fn complain(error: &anyhow::Error) {
    eprintln!("geminus-lab: {error:#}");
}

/// A poisoned lock still holds what must be undone.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_run_gave_have_an_owner() {
        assert_eq!(owner("gml123-0-client", NAMESPACE_PREFIX), Some(123));
        assert_eq!(owner("geminus-lab-77", FOLDER_PREFIX), Some(77));
        assert_eq!(owner("gmlx-0-client", NAMESPACE_PREFIX), None);
        assert_eq!(owner("production", NAMESPACE_PREFIX), None);
    }

    #[test]
    fn this_process_is_alive() {
        assert!(alive(std::process::id()));
    }
}
