//! A machine under strain: hogs on every core, and control groups that ration what a process gets.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process::Process;
use crate::site::Site;
use crate::twins::{Twin, Twins};
use crate::undo::{Debt, FOLDER_PREFIX};

/// Processes that only burn time. They end with the value.
#[derive(Debug)]
pub struct Hogs(#[allow(dead_code, reason = "held for its drop")] Vec<Process>);

impl Hogs {
    /// Starts `count`.
    ///
    /// # Errors
    /// When there is no shell.
    pub fn start(twins: &Twins, count: usize) -> Result<Self> {
        let log = twins.site.folder().join("hogs.log");
        let hog = |_| {
            let mut command = Command::new("sh");
            command.args(["-c", "while :; do :; done"]);
            Process::start(&twins.site.client, &mut command, &log, &twins.site.ledger())
        };
        Ok(Self((0..count).map(hog).collect::<Result<_>>()?))
    }
}

/// A control group of this run (version 1 hierarchies). What is in it goes back to the root with the value.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
}

impl Group {
    /// Makes one below a controller and puts a daemon into it.
    ///
    /// # Errors
    /// When this machine has no such controller, or the daemon does not run.
    pub fn around(twins: &Twins, twin: Twin, controller: &str) -> Result<Self> {
        let group = Self::make(&twins.site, twin.name(), controller)?;
        if controller == "cpu" {
            // Where real-time time is rationed too, a group without any takes no thread that asks for it.
            let _ = group.set("cpu.rt_runtime_us", "200000");
        }
        let pid = twins.of(twin).process()?.pid();
        // The daemon's own threads come along only through the file for whole processes.
        group.set("cgroup.procs", &pid.to_string())?;
        Ok(group)
    }

    /// Makes one below the freezer and puts one thread of a process into it, by the thread's name: the others go on.
    ///
    /// # Errors
    /// When this machine has no freezer of threads (version 1), or the process has no such thread.
    pub fn around_thread(site: &Site, process: &Process, thread: &str) -> Result<Self> {
        let tasks = format!("/proc/{}/task", process.pid());
        let is_called = |entry: &std::fs::DirEntry| {
            std::fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name.trim() == thread)
        };
        let mut all = std::fs::read_dir(&tasks)?.flatten();
        let found =
            all.find(is_called).with_context(|| format!("no thread in {tasks} is called {thread}"))?;
        let group = Self::make(site, thread, "freezer")?;
        group.set("tasks", &found.file_name().to_string_lossy())?;
        Ok(group)
    }

    fn make(site: &Site, name: &str, controller: &str) -> Result<Self> {
        let root = Path::new("/sys/fs/cgroup").join(controller);
        let folder = root.join(format!("{FOLDER_PREFIX}{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make a control group below {}", root.display()))?;
        site.ledger().owe(Debt::ControlGroup(folder.clone()))?;
        Ok(Self { folder })
    }

    /// Writes one of its files.
    ///
    /// # Errors
    /// When the kernel has no such file or refuses the value.
    pub fn set(&self, file: &str, value: &str) -> Result<()> {
        let path = self.folder.join(file);
        std::fs::write(&path, value).with_context(|| format!("cannot write {value} to {}", path.display()))
    }

    /// Reads one of its files.
    ///
    /// # Errors
    /// When the kernel has no such file.
    pub fn get(&self, file: &str) -> Result<String> {
        let path = self.folder.join(file);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A frozen process cannot leave by itself; what is wrong beyond that the ledger will say.
        let _ = self.set("freezer.state", "THAWED");
        let _ = crate::undo::remove_control_group(&self.folder);
    }
}
