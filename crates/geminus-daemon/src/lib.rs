//! The I/O shell around [`geminus_core::director`]: sockets, netlink, announcements, probes and the control API.
//!
//! [`run`] is the whole daemon. It decides nothing: it feeds what the kernel, the operators and the clock say to the
//! director and carries out the effects that come back.

mod control;
mod driver;
mod error;
mod explain;
mod kernel;
mod logging;
mod options;
mod plane;
mod runtime_dir;
mod site_file;
mod site_key;
mod start;
mod status;
mod supervisor;

pub use error::RunError;
pub use options::{LogFormat, RunOptions, XdpMode};
pub use start::run;
