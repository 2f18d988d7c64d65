//! What `geminus run` is told.

use std::path::PathBuf;

/// Everything that the command line says about one daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOptions {
    /// The site's configuration file.
    pub config: PathBuf,
    /// Which node of the site this machine is; none: the one with the host's name.
    pub node: Option<String>,
    /// Socket, lock and key; the name of the pins derives from it. Default `/run/geminus`.
    pub runtime_dir: PathBuf,
    /// Where the BPF file system is mounted. Default `/sys/fs/bpf`.
    pub bpffs: PathBuf,
    /// Whether the data plane keeps forwarding after SIGTERM (`--detach`), for ten minutes. SIGINT always ends it.
    pub detach_on_exit: bool,
    /// Whether another program's place on the interface may be taken.
    pub replace_foreign: bool,
    /// How the program is attached.
    pub mode: XdpMode,
    /// How log lines look.
    pub log: LogFormat,
}

/// How the program is attached to the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum XdpMode {
    /// In the driver if it can, else generic with a notice.
    #[default]
    Auto,
    /// In the driver or not at all.
    Native,
    /// Behind the driver, on any interface; slow.
    Generic,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people on a terminal, without colour elsewhere.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            config: PathBuf::from("/etc/geminus/geminus.toml"),
            node: None,
            runtime_dir: PathBuf::from("/run/geminus"),
            bpffs: PathBuf::from("/sys/fs/bpf"),
            detach_on_exit: false,
            replace_foreign: false,
            mode: XdpMode::Auto,
            log: LogFormat::Human,
        }
    }
}
