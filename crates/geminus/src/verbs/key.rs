//! `geminus key`: keys that are made of others.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use geminus_core::agent::key_file::{Key, agents_line, host_line};

use crate::failure::{Exit, Failure};
use crate::verbs::print;
use crate::verbs::run::failure;

/// Arguments of `key`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct KeyArgs {
    /// For whom.
    #[command(subcommand)]
    pub(crate) verb: KeyVerb,
}

/// For whom a key is made.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyVerb {
    /// Make the key that agents on content hosts report with, out of the site's
    Agent(KeyAgentArgs),
}

/// Arguments of `key agent`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  geminus key agent --site-key /etc/geminus/site.key --host 198.51.100.21 --out web1.key
  geminus key agent --site-key /etc/geminus/site.key | ssh web1 'umask 077; cat > /etc/geminus/agent.key'

The key cannot be turned back into the site's: whoever takes it from a content host can report, and nothing else. With
--host it reports for that host alone. Dispatchers need no copy: they make it of the site's key, or of the file that
key_file of [agents] names.")]
pub(crate) struct KeyAgentArgs {
    /// The site's key, or the file that `key_file` of `[agents]` names
    #[arg(long, value_name = "FILE")]
    pub(crate) site_key: PathBuf,
    /// Only for this content host: the address that its servers have in the site
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<IpAddr>,
    /// Write it into this new file, which only its owner can read, instead of printing it
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Does what the arguments say.
pub(crate) fn run(args: &KeyArgs) -> Result<Exit, Failure> {
    match &args.verb {
        KeyVerb::Agent(args) => agent(args),
    }
}

fn agent(args: &KeyAgentArgs) -> Result<Exit, Failure> {
    let keys = geminus_daemon::read_agent_keys(&args.site_key).map_err(|error| failure(&error))?;
    let line = match (&keys[0], args.host) {
        (Key::Agents(key) | Key::Made(key), Some(host)) => host_line(host, &key.of_host(host)),
        (Key::Agents(key) | Key::Made(key), None) => agents_line(key),
        (Key::Host(host, _), _) => {
            let message =
                format!("{} holds the key of {host}, of which no other is made", args.site_key.display());
            return Err(Failure::wrong(message).hint("name the site's key, on a dispatcher"));
        }
    };
    match &args.out {
        None => print(&line),
        Some(path) => write(path, &line).map(|()| Exit::Done),
    }
}

fn write(path: &Path, line: &str) -> Result<(), Failure> {
    let refused = |error: &std::io::Error| {
        let hint = match error.kind() {
            ErrorKind::AlreadyExists => "remove it, or name another: a key is never written over",
            _ => "look at its directory",
        };
        Failure::no(format!("cannot write {}: {error}", path.display())).hint(hint)
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| refused(&error))?;
    file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| refused(&error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(dir: &Path, text: &str) -> PathBuf {
        let path = dir.join("site.key");
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
        path
    }

    #[test]
    fn a_host_gets_a_file_of_its_own_that_is_never_written_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let site_key = file(dir.path(), &"07".repeat(32));
        let out = dir.path().join("web1.key");
        let host: IpAddr = "198.51.100.21".parse().expect("an address");
        let args = KeyAgentArgs { site_key: site_key.clone(), host: Some(host), out: Some(out.clone()) };
        assert_eq!(agent(&args).expect("made"), Exit::Done);
        let mode = std::fs::metadata(&out).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let text = std::fs::read_to_string(&out).expect("there");
        assert!(text.starts_with("host 198.51.100.21 ") && !text.contains("0707"), "{text}");
        let keys = geminus_daemon::read_agent_keys(&out).expect("readable by the agent");
        assert!(keys[0].of_host(host).is_some());
        let error = agent(&args).expect_err("it is there");
        assert!(error.error.hint.is_some_and(|hint| hint.contains("never written over")));
        let of_it = KeyAgentArgs { site_key: out, host: None, out: None };
        assert_eq!(agent(&of_it).expect_err("no key of a key of a host").exit, Exit::Wrong);
    }

    #[test]
    fn a_site_key_that_others_may_read_makes_no_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let site_key = file(dir.path(), &"07".repeat(32));
        std::fs::set_permissions(&site_key, std::fs::Permissions::from_mode(0o644)).expect("set");
        let failure = agent(&KeyAgentArgs { site_key, host: None, out: None }).expect_err("refused");
        assert!(failure.error.message.contains("mode 0644"), "{failure:?}");
    }
}
