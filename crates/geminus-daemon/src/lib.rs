//! The I/O shell around [`geminus_core::director`]: sockets, netlink, announcements, probes and the control API.
//!
//! [`run`] is the whole daemon. It decides nothing: it feeds what the kernel, the operators and the clock say to the
//! director and carries out the effects that come back.

mod advisors;
mod agents;
mod control;
mod driver;
mod error;
mod explain;
mod hooks;
mod kernel;
mod logging;
mod options;
mod pair;
mod plane;
mod replication;
mod runtime_dir;
mod site_file;
mod site_key;
mod start;
mod status;
mod supervisor;
mod twin;

#[doc(hidden)]
pub use advisors::run_programs;
pub use agents::{AgentKeyFile, check_agent_keys, read_agent_keys};
pub use error::RunError;
pub use options::{LogFormat, RunOptions, XdpMode};
pub use site_key::check as check_key;
pub use start::run;

#[cfg(test)]
mod tests {
    use geminus_core::journal::{EventKind, Severity};

    #[test]
    fn the_operations_page_says_what_to_do_about_every_event() {
        let page = include_str!("../../../docs/operations.md");
        for &kind in EventKind::ALL {
            let word = format!("`{}`", kind.word());
            let row =
                page.lines().find(|line| line.split('|').nth(1).is_some_and(|cell| cell.contains(&word)));
            let row = row.unwrap_or_else(|| panic!("no row for {word}"));
            assert_eq!(row.contains("**page**"), kind.severity() == Severity::Warn, "{word}");
        }
    }
}
