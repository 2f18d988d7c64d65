//! The runtime directory: one daemon at a time, its socket, its lock and its key.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::RunError;

/// A killed daemon is gone well within half a second.
const TRIES: u32 = 25;

/// See [`TRIES`].
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

const LOCK: &str = "geminus.lock";
const SOCKET: &str = "geminus.sock";
const KEY: &str = "site.key";

/// A runtime directory that is ours until the process ends.
#[derive(Debug)]
pub(crate) struct RuntimeDir {
    path: PathBuf,
    _lock: File,
}

impl RuntimeDir {
    /// Makes it if need be, and takes its lock.
    pub(crate) fn take(path: &Path) -> Result<Self, RunError> {
        let refused = |path: &Path, error| RunError::Runtime { path: path.to_owned(), error };
        DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(|error| refused(path, error))?;
        let path = path.canonicalize().map_err(|error| refused(path, error))?;
        let file = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&file)
            .map_err(|error| refused(&file, error))?;
        if !lock_patiently(&lock).map_err(|error| refused(&file, error))? {
            return Err(RunError::Occupied { pid: pid(&mut lock), runtime_dir: path });
        }
        write_pid(&mut lock).map_err(|error| refused(&file, error))?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join(SOCKET)
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.path.join(KEY)
    }

    /// What this daemon's folder of pins is called: readable, and another for every runtime directory.
    pub(crate) fn pin_name(&self) -> String {
        let whole = blake3::hash(self.path.as_os_str().as_encoded_bytes());
        let digits: String = whole.as_bytes().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let last = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let letters: String =
            last.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').take(32).collect();
        format!("{letters}-{digits}")
    }
}

/// Whether the lock is ours now. A daemon that was just killed holds it until its memory is given back.
fn lock_patiently(lock: &File) -> io::Result<bool> {
    for _ in 0..TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => std::thread::sleep(BETWEEN_TRIES),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

fn pid(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_with_the_pid_of_the_first() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("run/geminus");
        let first = RuntimeDir::take(&path).expect("free");
        match RuntimeDir::take(&path) {
            Err(RunError::Occupied { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("not refused: {other:?}"),
        }
        drop(first);
        RuntimeDir::take(&path).expect("free again");
    }

    #[test]
    fn a_lock_that_is_a_symlink_is_not_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let target = dir.path().join("precious");
        std::fs::write(&target, "precious").expect("written");
        std::os::unix::fs::symlink(&target, dir.path().join(LOCK)).expect("linked");
        assert!(matches!(RuntimeDir::take(dir.path()), Err(RunError::Runtime { .. })));
        assert_eq!(std::fs::read_to_string(&target).expect("still there"), "precious");
    }

    #[test]
    fn every_runtime_directory_has_pins_of_its_own_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let a = RuntimeDir::take(&dir.path().join("a/geminus")).expect("free");
        let b = RuntimeDir::take(&dir.path().join("b/geminus")).expect("free");
        assert_ne!(a.pin_name(), b.pin_name());
        assert!(a.pin_name().starts_with("geminus-"));
    }
}
