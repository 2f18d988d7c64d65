//! A network namespace and what is done inside it.
//!
//! Only the network namespace is entered, never a mount namespace: the daemon's pins must outlive the daemon, and
//! `ip netns exec` would give every process a file system view of its own.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::undo::{self, Debt, Ledger, NAMESPACE_PREFIX};

/// One network namespace, made by this run.
#[derive(Debug, Clone)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one for this run and writes it down; `name` says what it is for and is made unique.
    ///
    /// # Errors
    /// When there is one already, the process is not root, or the run is ending.
    pub fn new(name: &str, ledger: &Ledger) -> Result<Self> {
        undo::sweep()?;
        Self::create(format!("{NAMESPACE_PREFIX}{}-{name}", std::process::id()), ledger)
    }

    pub(crate) fn create(name: String, ledger: &Ledger) -> Result<Self> {
        run(Command::new("ip").args(["netns", "add", &name]))?;
        ledger.owe(Debt::Namespace(name.clone()))?;
        Ok(Self { name })
    }

    /// The name under `/run/netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Moves the calling thread inside, for good; threads and processes it starts are born inside.
    ///
    /// # Errors
    /// When the namespace is gone or the process lacks the capability.
    pub fn enter(&self) -> Result<()> {
        let file = File::open(format!("/run/netns/{}", self.name))
            .with_context(|| format!("cannot open namespace {}", self.name))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("cannot enter namespace {}", self.name))
    }

    /// Does something inside, on a thread of its own, and waits for it.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or what `action` returns.
    pub fn inside<T: Send>(&self, action: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter()?;
                action()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Starts a process inside.
    pub(crate) fn spawn(&self, command: &mut Command) -> Result<Child> {
        self.inside(|| {
            command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))
        })
    }

    /// Runs a program inside to its end and returns what it printed.
    ///
    /// # Errors
    /// When it cannot be started or says that it failed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        self.inside(|| run(Command::new(program).args(arguments)))
    }

    /// Runs a program inside, feeding it `input`.
    ///
    /// # Errors
    /// When it cannot be started or says that it failed.
    pub fn feed(&self, program: &str, arguments: &[&str], input: &str) -> Result<String> {
        self.inside(|| feed(Command::new(program).args(arguments), input))
    }

    /// Several `ip` commands in one process.
    ///
    /// # Errors
    /// When one of them fails.
    pub fn ip(&self, lines: &str) -> Result<()> {
        feed(Command::new("ip").args(["-n", &self.name, "-batch", "-"]), lines).map(drop)
    }

    /// Sets a value below `/proc/sys/net`.
    ///
    /// # Errors
    /// When the kernel has no such value or refuses it.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        self.inside(|| {
            std::fs::write(format!("/proc/sys/net/{key}"), value)
                .with_context(|| format!("cannot set net/{key} to {value} in {}", self.name))
        })
    }
}

/// Index of an interface in the calling thread's namespace.
///
/// # Errors
/// When there is none.
pub fn index_of(device: &str) -> Result<u32> {
    let output = run(Command::new("ip").args(["-o", "link", "show", "dev", device]))?;
    let index = output.split(':').next().and_then(|first| first.trim().parse().ok());
    index.with_context(|| format!("no interface {device}"))
}

/// Runs a command to its end and returns what it printed; its own words are the error.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    feed(command, "")
}

fn feed(command: &mut Command, input: &str) -> Result<String> {
    let name = command.get_program().display().to_string();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).with_context(|| format!("cannot feed {name}"))?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("{name} failed ({}): {}", output.status, words.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
