//! The keys that agents report with.

use std::path::Path;

use geminus_core::agent::key_file::{self, Key};
use geminus_core::key::{AgentsKey, SiteKey};
use geminus_core::model::Agents;

use crate::error::RunError;
use crate::site_key;

/// The keys of a file, by their kinds; at least one.
pub type AgentKeyFile = Vec<Key>;

/// Reads a file with keys of agents, which nobody but its owner may write and others may not read.
///
/// # Errors
/// Why it is no such file, and the way out.
pub fn read(path: &Path) -> Result<AgentKeyFile, RunError> {
    let text = site_key::secret_text(path)?;
    key_file::parse(&text).map_err(|error| RunError::Key {
        path: path.to_owned(),
        because: error.to_string(),
        hint: "make it with geminus key agent".to_owned(),
    })
}

/// The keys that a dispatcher accepts: those of the file that `[agents]` names, else the one made of the site's.
pub(crate) fn of_site(agents: &Agents, site: &SiteKey) -> Result<Vec<AgentsKey>, RunError> {
    let Some(path) = agents.key_file.as_deref().filter(|_| agents.enabled) else {
        return Ok(vec![AgentsKey::from_site(site)]);
    };
    read(path)?.into_iter().map(|key| accepted(path, key)).collect()
}

/// Whether a dispatcher of this user could use the keys of a file.
///
/// # Errors
/// What the daemon would say at its start.
pub fn check(path: &Path) -> Result<(), RunError> {
    read(path)?.into_iter().try_for_each(|key| accepted(path, key).map(drop))
}

/// A key that dispatchers can hear every agent with.
fn accepted(path: &Path, key: Key) -> Result<AgentsKey, RunError> {
    match key {
        Key::Agents(key) | Key::Made(key) => Ok(key),
        Key::Host(host, _) => Err(RunError::Key {
            path: path.to_owned(),
            because: format!("it holds the key of {host} alone"),
            hint: "make one for all hosts with geminus key agent, without --host".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;

    fn agents(dir: &Path, text: &str) -> Agents {
        let path: PathBuf = dir.join("agents.key");
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
        Agents { enabled: true, key_file: Some(path), ..Agents::default() }
    }

    #[test]
    fn the_sites_secret_by_its_file_or_without_one_means_one_key() {
        let dir = tempfile::tempdir().expect("a directory");
        let site = SiteKey::new([7; 32]);
        let own = of_site(&Agents { enabled: true, ..Agents::default() }, &site).expect("sound");
        assert_eq!(of_site(&agents(dir.path(), &"07".repeat(32)), &site).expect("sound"), own);
        let line = key_file::agents_line(&own[0]);
        assert_eq!(of_site(&agents(dir.path(), &line), &site).expect("sound"), own);
    }

    #[test]
    fn two_keys_are_accepted_while_they_are_changed_and_a_hosts_own_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let site = SiteKey::new([7; 32]);
        let two = format!("{}\n{}\n", "07".repeat(32), "08".repeat(32));
        assert_eq!(of_site(&agents(dir.path(), &two), &site).expect("sound").len(), 2);
        let host = "198.51.100.21".parse().expect("an address");
        let line = key_file::host_line(host, &AgentsKey::from_site(&site).of_host(host));
        let error = of_site(&agents(dir.path(), &line), &site).expect_err("refused");
        assert!(error.to_string().contains("198.51.100.21 alone"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("without --host")));
    }
}
