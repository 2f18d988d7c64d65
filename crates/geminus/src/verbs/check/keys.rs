//! The files of keys, where the node is this machine.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use geminus_core::model::Site;
use geminus_daemon::RunError;

use crate::verbs::check::machine::Remark;

/// What is wrong with the files of keys that the site names.
pub(crate) fn remarks(site: &Site) -> Vec<Remark> {
    let digits: Check = geminus_daemon::check_key;
    let lines: Check = geminus_daemon::check_agent_keys;
    let files = [
        ("the site's key", &site.key_file, digits),
        ("the key of heartbeats", &site.ha.key_file, digits),
        ("the other key of heartbeats", &site.ha.also_accept, digits),
        ("the key of agents", &site.agents.key_file, lines),
    ];
    let named = files.into_iter().filter_map(|(what, file, check)| Some((what, file.as_deref()?, check)));
    named.filter_map(|(what, path, check)| remark(what, path, check)).collect()
}

/// What the daemon would say to a file at its start.
type Check = fn(&Path) -> Result<(), RunError>;

fn remark(what: &str, path: &Path, check: Check) -> Option<Remark> {
    if let Err(error) = File::open(path)
        && error.kind() == ErrorKind::PermissionDenied
    {
        let message = format!("{what}, {}, can be read by others only: check as root", path.display());
        return Some(Remark { wrong: false, message });
    }
    let error = check(path).err()?;
    let hint = error.hint().map_or(String::new(), |hint| format!(": {hint}"));
    Some(Remark { wrong: true, message: format!("{what}: {error}{hint}") })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_that_the_daemon_would_refuse_is_wrong() {
        let folder = std::env::temp_dir().join(format!("geminus-check-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder of our own");
        let file = folder.join("key");
        let told = |digits: &str, mode: u32| {
            fs::write(&file, digits).expect("our own file");
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("our own file");
            remark("the site's key", &file, geminus_daemon::check_key)
        };
        let digits = "07".repeat(32);
        assert_eq!(told(&digits, 0o600), None);
        for (digits, mode, part) in
            [(&digits[..], 0o644, "chmod 0600"), ("07", 0o600, "64 hexadecimal digits")]
        {
            let remark = told(digits, mode).expect("a remark");
            assert!(remark.wrong && remark.message.contains(part), "{remark:?}");
        }
        fs::remove_dir_all(&folder).expect("our own folder");
        let remark = remark("the key of heartbeats", &file, geminus_daemon::check_key).expect("a remark");
        assert!(
            remark.wrong && remark.message.starts_with("the key of heartbeats: cannot use"),
            "{remark:?}"
        );
    }
}
