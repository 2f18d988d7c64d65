//! A process that runs inside a namespace for as long as its owner keeps it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use crate::namespace::Namespace;
use crate::undo::{Debt, Ledger, SharedChild, lock};

/// Raises the limit of open files as far as this process may, for itself and those that it starts from now on:
/// thousands of connections have both ends here. Returns how many that are.
pub(crate) fn allow_files() -> Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(FILES);
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum })
        .with_context(|| format!("cannot have {most} files open"))?;
    Ok(most)
}

/// More than any run opens.
const FILES: u64 = 65_536;

/// A running process with its log.
#[derive(Debug)]
pub struct Process {
    child: SharedChild,
    pid: u32,
    log: PathBuf,
}

impl Process {
    /// Starts `command` inside `namespace`; both its outputs are added to `log`.
    pub(crate) fn start(
        namespace: &Namespace,
        command: &mut Command,
        log: &Path,
        ledger: &Ledger,
    ) -> Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = namespace.spawn(command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file))?;
        let pid = child.id();
        let child = Arc::new(Mutex::new(child));
        ledger.owe(Debt::Process(Arc::clone(&child)))?;
        Ok(Self { child, pid, log: log.to_owned() })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Everything it has written so far, earlier processes with the same log included.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How it ended, none while it runs.
    ///
    /// # Errors
    /// When the kernel does not know the process.
    pub fn ended(&self) -> Result<Option<ExitStatus>> {
        Ok(lock(&self.child).try_wait()?)
    }

    /// Sends a signal to a process that still runs.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let mut child = lock(&self.child);
        if let Some(status) = child.try_wait()? {
            bail!("process {} has already ended ({status})", self.pid);
        }
        let pid = Pid::from_child(&child);
        kill_process(pid, signal).with_context(|| format!("cannot signal process {pid}"))
    }

    /// Kills it as `kill -9` does and takes its remains.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&self) -> Result<()> {
        let mut child = lock(&self.child);
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Waits for its end, for at most `limit`.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub fn wait(&self, limit: Duration) -> Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if begun.elapsed() > limit {
                bail!("process {} still runs after {limit:?}", self.pid);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An owner that is gone wants it gone; failing here only means that it ended by itself.
        let _ = self.kill();
    }
}
