//! `geminus run`: hands over to the daemon.

use geminus_api::ApiError;
use geminus_daemon::{LogFormat, RunError, RunOptions, XdpMode};

use crate::args::{self, RunArgs};
use crate::failure::{Exit, Failure};

/// Is the daemon until it is told to stop.
pub(crate) fn run(args: &RunArgs) -> Result<Exit, Failure> {
    geminus_daemon::run(options(args)).map(|()| Exit::Done).map_err(|error| failure(&error))
}

/// A daemon that was called wrongly ends otherwise than one that was hindered.
pub(crate) fn failure(error: &RunError) -> Failure {
    let exit = if error.is_wrong_use() { Exit::Wrong } else { Exit::No };
    Failure { error: ApiError::from(error), exit }
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Verb};

    fn told(words: &[&str]) -> RunOptions {
        let words = ["geminus", "run", "--config", "site.toml"].iter().chain(words);
        match Cli::try_parse_from(words).expect("a command line").verb {
            Verb::Run(args) => options(&args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_defaults_of_the_command_line_are_those_of_the_daemon() {
        assert_eq!(told(&[]), RunOptions { config: "site.toml".into(), ..RunOptions::default() });
    }

    #[test]
    fn every_option_reaches_the_daemon() {
        let words = [
            "--node",
            "alpha",
            "--runtime-dir",
            "/r",
            "--bpffs",
            "/b",
            "--detach",
            "--force",
            "--native",
            "--log-format",
            "json",
        ];
        let expected = RunOptions {
            config: "site.toml".into(),
            node: Some("alpha".into()),
            runtime_dir: "/r".into(),
            bpffs: "/b".into(),
            detach_on_exit: true,
            replace_foreign: true,
            mode: XdpMode::Native,
            log: LogFormat::Json,
        };
        assert_eq!(told(&words), expected);
        assert_eq!(told(&["--generic"]).mode, XdpMode::Generic);
    }
}
