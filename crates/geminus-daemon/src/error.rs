//! Why the daemon did not start or could not go on.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use geminus_api::ApiError;
use geminus_core::config::ConfigErrors;

/// Why the daemon did not start or could not go on. Displayed as one line: the thing and the cause.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration has errors; each is one of [`Self::details`].
    #[error("{} has {} {}", file.display(), errors.errors().len(), plural(errors.errors().len(), "error", "errors"))]
    Config {
        /// The file.
        file: PathBuf,
        /// All of them.
        errors: ConfigErrors,
    },
    /// The configuration cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    ConfigFile {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// No node of the site is this machine.
    #[error("the site has no node {wanted}")]
    Node {
        /// The name that was looked for.
        wanted: String,
        /// Whether it is the host's name rather than an option.
        is_host_name: bool,
        /// The nodes there are.
        there_are: Vec<String>,
    },
    /// The runtime directory cannot be used.
    #[error("cannot use {}: {error}", path.display())]
    Runtime {
        /// The directory, or the file in it.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another daemon has the runtime directory.
    #[error("another geminus runs here already{}", pid.map_or_else(String::new, |pid| format!(": process {pid}")))]
    Occupied {
        /// The other's process id, if it has written it down.
        pid: Option<u32>,
        /// The runtime directory.
        runtime_dir: PathBuf,
    },
    /// The site's key cannot be used.
    #[error("cannot use the key {}: {because}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        because: String,
        /// The way out.
        hint: String,
    },
    /// The node's interface does not exist or is none that frames go through.
    #[error("interface {name} {because}")]
    Interface {
        /// Its name.
        name: String,
        /// What is wrong with it.
        because: &'static str,
        /// The interfaces there are.
        there_are: Vec<String>,
    },
    /// The node's address is not an address of this machine.
    #[error("{address}, the address of node {node}, is not an address of this machine")]
    Address {
        /// The node.
        node: String,
        /// Its address.
        address: IpAddr,
    },
    /// The process may not do what the daemon has to do.
    #[error("the process lacks {}", missing.join(", "))]
    Capabilities {
        /// The capabilities it has not.
        missing: Vec<&'static str>,
    },
    /// A kernel service is refused.
    #[error("cannot open {what}: {error}")]
    Kernel {
        /// What was wanted.
        what: &'static str,
        /// Why not.
        error: io::Error,
    },
    /// The data plane cannot be opened or does not take the site.
    #[error("{message}")]
    Plane {
        /// The thing and the cause.
        message: String,
        /// The way out.
        hint: Option<String>,
        /// Further lines, such as the tail of the verifier's log.
        details: Vec<String>,
    },
}

impl RunError {
    /// The way out, in one line.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Config { .. } => "mend them; geminus check names them again".to_owned(),
            Self::ConfigFile { .. } => "name the right file with --config".to_owned(),
            Self::Node { is_host_name, there_are, .. } => {
                let why = if *is_host_name { ", the name of this host" } else { "" };
                format!("name one with --node instead{why}: {}", there_are.join(", "))
            }
            Self::Runtime { .. } => "name another with --runtime-dir, or run as root".to_owned(),
            Self::Occupied { runtime_dir, .. } => format!(
                "talk to it with geminus status --runtime-dir {}, or give this one another --runtime-dir",
                runtime_dir.display()
            ),
            Self::Key { hint, .. } => hint.clone(),
            Self::Interface { there_are, .. } => {
                format!("set the node's interface to one of {}", there_are.join(", "))
            }
            Self::Address { .. } => {
                "name another node with --node, or add the address to the interface".to_owned()
            }
            Self::Capabilities { .. } => {
                "run as root, or with CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_PERFMON".to_owned()
            }
            Self::Kernel { .. } => "the kernel needs CONFIG_PACKET and CONFIG_NETLINK".to_owned(),
            Self::Plane { hint, .. } => return hint.clone(),
        })
    }

    /// Further lines, such as every error of the configuration.
    pub fn details(&self) -> Vec<String> {
        match self {
            Self::Config { errors, .. } => errors.to_string().lines().map(str::to_owned).collect(),
            Self::Plane { details, .. } => details.clone(),
            _ => Vec::new(),
        }
    }

    /// Whether geminus was called wrongly rather than hindered.
    pub const fn is_wrong_use(&self) -> bool {
        matches!(self, Self::Config { .. } | Self::ConfigFile { .. } | Self::Node { .. })
    }
}

impl From<&RunError> for ApiError {
    fn from(error: &RunError) -> Self {
        Self { message: error.to_string(), hint: error.hint(), details: error.details() }
    }
}

const fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}
