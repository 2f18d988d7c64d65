//! What `setup` changed, kept in a file so that `undo` can restore it.
//!
//! A deed is written down before it is done: after a crash the record may name one deed too many, never one too few, and
//! undoing what was not done does nothing.

use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::host::steps::Step;
use crate::host::sysctl::Sysctl;

/// Version of the file.
const VERSION: u32 = 1;

/// Everything that was changed in one network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    version: u32,
    /// Inode of the network namespace: several share `/run`, and undoing in the wrong one would do harm.
    namespace: u64,
    /// In the order of doing.
    pub(crate) deeds: Vec<Deed>,
}

/// One change that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Deed {
    /// A kernel setting.
    Set {
        /// Which.
        setting: Sysctl,
        /// Its value before the first change.
        from: String,
        /// Its value since.
        to: String,
    },
    /// The loopback interface was switched on.
    RaisedLoopback,
    /// An address on `lo`.
    Added {
        /// The address.
        address: IpAddr,
    },
}

impl From<&Step> for Deed {
    fn from(step: &Step) -> Self {
        match step {
            Step::Set { setting, from, to } => {
                Self::Set { setting: setting.clone(), from: from.clone(), to: (*to).to_owned() }
            }
            Step::RaiseLoopback => Self::RaisedLoopback,
            Step::Add(address) => Self::Added { address: *address },
        }
    }
}

impl Record {
    /// A record of nothing.
    pub(crate) fn new(namespace: u64) -> Self {
        Self { version: VERSION, namespace, deeds: Vec::new() }
    }

    /// The record of this network namespace, if there is one.
    pub(crate) fn load(path: &Path, namespace: u64) -> Result<Option<Self>, Failure> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let message = format!("cannot read {}: {error}", path.display());
                return Err(Failure::no(message).hint("run as root, or name another file with --state"));
            }
        };
        let record = Self::parse(&text).map_err(|why| {
            Failure::no(format!("{} is no record of geminus host: {why}", path.display()))
                .hint("remove it, or name another file with --state")
        })?;
        if record.namespace != namespace {
            return Err(Failure::no(format!("{} belongs to another network namespace", path.display()))
                .hint("name another file with --state; remove this one if its namespace is gone"));
        }
        Ok(Some(record))
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        match record.version {
            VERSION => Ok(record),
            other => Err(format!("it has version {other}, this geminus knows {VERSION}")),
        }
    }

    /// Writes the record, or removes the file when nothing is left to undo.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Failure> {
        let saved = if self.deeds.is_empty() { remove(path) } else { self.replace(path) };
        saved.map_err(|error| {
            Failure::no(format!("cannot write {}: {error}", path.display()))
                .hint("run as root, or name another file with --state")
        })
    }

    /// A new file under another name, then one rename: no reader and no crash meets half a record.
    fn replace(&self, path: &Path) -> io::Result<()> {
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory)?;
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".new");
        let fresh = directory.join(name);
        let mut file = std::fs::File::create(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(self).expect("a record is plain data"))?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    }

    /// Adds a deed. What a setting was before its first change is what undo restores.
    pub(crate) fn note(&mut self, deed: Deed) {
        for known in &mut self.deeds {
            match (known, &deed) {
                (Deed::Set { setting, to, .. }, Deed::Set { setting: again, to: now, .. })
                    if setting == again =>
                {
                    to.clone_from(now);
                    return;
                }
                (known, deed) if known == deed => return,
                _ => {}
            }
        }
        self.deeds.push(deed);
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Inode of the network namespace of this process.
pub(crate) fn namespace() -> Result<u64, Failure> {
    let meta = std::fs::metadata("/proc/self/ns/net");
    meta.map(|meta| meta.ino())
        .map_err(|error| Failure::no(format!("cannot read /proc/self/ns/net: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(from: &str, to: &str) -> Deed {
        Deed::Set { setting: Sysctl::v4("all", "arp_ignore"), from: from.into(), to: to.into() }
    }

    fn added() -> Deed {
        Deed::Added { address: "198.51.100.80".parse().expect("an address") }
    }

    #[test]
    fn the_value_before_the_first_change_is_kept() {
        let mut record = Record::new(1);
        for deed in [set("0", "1"), added(), set("3", "1"), added()] {
            record.note(deed);
        }
        assert_eq!(record.deeds, [set("0", "1"), added()]);
    }

    #[test]
    fn a_record_survives_the_file_and_an_empty_one_removes_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("deep/state.json");
        let mut record = Record::new(7);
        record.note(set("0", "1"));
        record.note(Deed::RaisedLoopback);
        record.save(&path).expect("written");
        assert_eq!(Record::load(&path, 7), Ok(Some(record.clone())));
        record.deeds.clear();
        record.save(&path).expect("removed");
        assert_eq!(Record::load(&path, 7), Ok(None));
        record.save(&path).expect("removing nothing is fine");
    }

    #[test]
    fn a_record_of_another_namespace_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.json");
        let mut record = Record::new(7);
        record.note(added());
        record.save(&path).expect("written");
        let failure = Record::load(&path, 8).expect_err("refused");
        assert!(failure.error.message.contains("another network namespace"), "{failure:?}");
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for text in ["", "{}", "{\"version\":2,\"namespace\":1,\"deeds\":[]}", "[]"] {
            assert!(Record::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
