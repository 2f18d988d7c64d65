//! The secrets: of the site and of what partners say to each other. The site's comes from the file the configuration names, or one the node makes for itself and keeps.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use geminus_core::key::{HaKey, HaKeys, SiteKey};
use geminus_core::model::Ha;

use crate::error::RunError;

/// The key is so many bytes, twice as many hexadecimal digits.
const BYTES: usize = 32;

/// Longest file that is read: a few keys and what is said of them.
const LONGEST: u64 = 4096;

/// The site's key in a file that an operator made.
pub(crate) fn from_file(path: &Path) -> Result<SiteKey, RunError> {
    secret(path).map(SiteKey::new)
}

/// The secrets of heartbeats and replication: from files of their own, or made from the site's.
///
/// A file that holds the site's secret means the key that is made from it, so that a site that had no other key can be
/// given one.
pub(crate) fn of_partners(ha: &Ha, site: &SiteKey) -> Result<HaKeys, RunError> {
    let read = |path: &Path| {
        let secret = secret(path)?;
        let is_the_sites = SiteKey::new(secret) == *site;
        Ok(if is_the_sites { HaKey::from_site(site) } else { HaKey::new(secret) })
    };
    let own = match &ha.key_file {
        Some(path) => read(path)?,
        None => HaKey::from_site(site),
    };
    let Some(path) = &ha.also_accept else {
        return Ok(HaKeys::new(own, None).expect("one key has no other to be confused with"));
    };
    HaKeys::new(own, Some(read(path)?)).map_err(|error| RunError::Key {
        path: path.clone(),
        because: error.to_string(),
        hint: "make it anew, as docs/operations.md says".to_owned(),
    })
}

/// The secret in a file that an operator made.
fn secret(path: &Path) -> Result<[u8; BYTES], RunError> {
    parse(secret_text(path)?.as_bytes()).ok_or_else(|| RunError::Key {
        path: path.to_owned(),
        because: "it is not 64 hexadecimal digits".to_owned(),
        hint: "make it as docs/operations.md says".to_owned(),
    })
}

/// The text of a file with secrets that an operator made: nobody but its owner may write it, and others may not read it.
pub(crate) fn secret_text(path: &Path) -> Result<String, RunError> {
    let refused =
        |because: String, hint: &str| RunError::Key { path: path.to_owned(), because, hint: hint.to_owned() };
    let file =
        File::open(path).map_err(|error| refused(error.to_string(), "make it as docs/operations.md says"))?;
    let metadata = file.metadata().map_err(|error| refused(error.to_string(), "look at the disk"))?;
    let mode = metadata.mode() & 0o777;
    if !metadata.is_file() {
        return Err(refused("it is no file".to_owned(), "name the file that holds the digits"));
    }
    if mode & 0o037 != 0 {
        let because = format!("others may read or change it (mode {mode:04o})");
        return Err(refused(
            because,
            &format!("chmod 0600 {}, and make another key if it leaked", path.display()),
        ));
    }
    let mut text = Vec::new();
    file.take(LONGEST)
        .read_to_end(&mut text)
        .map_err(|error| refused(error.to_string(), "look at the disk"))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Whether a daemon of this user could use the key in a file.
///
/// # Errors
///
/// What the daemon would say at its start.
pub fn check(path: &Path) -> Result<(), RunError> {
    from_file(path).map(drop)
}

/// The key that the node made for itself; made now if there is none.
///
/// It lasts as long as the runtime directory, so that a restarted daemon finds the flows of the one before.
pub(crate) fn own(path: &Path) -> Result<SiteKey, RunError> {
    let refused = |because: String, hint: String| RunError::Key { path: path.to_owned(), because, hint };
    let remove = || format!("remove {}; the node makes another", path.display());
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path);
    match opened {
        Ok(mut file) => {
            let metadata = file.metadata().map_err(|error| refused(error.to_string(), remove()))?;
            let owner = rustix::process::geteuid().as_raw();
            if !metadata.is_file() || metadata.uid() != owner || metadata.mode() & 0o077 != 0 {
                return Err(refused("somebody else has touched it".to_owned(), remove()));
            }
            let key = read(&mut file).map_err(|error| refused(error.to_string(), remove()))?;
            key.map(SiteKey::new).ok_or_else(|| refused("it is damaged".to_owned(), remove()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(path).map_err(|error| refused(error.to_string(), "look at the runtime directory".to_owned()))
        }
        Err(error) => Err(refused(error.to_string(), remove())),
    }
}

fn make(path: &Path) -> io::Result<SiteKey> {
    let mut bytes = [0; BYTES];
    let mut filled = 0;
    while filled < BYTES {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    file.write_all(format!("{digits}\n").as_bytes())?;
    file.sync_all()?;
    Ok(SiteKey::new(bytes))
}

fn read(file: &mut File) -> io::Result<Option<[u8; BYTES]>> {
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text)?;
    Ok(parse(&text))
}

fn parse(text: &[u8]) -> Option<[u8; BYTES]> {
    let digits = text.trim_ascii();
    let mut bytes = [0; BYTES];
    let digit = |letter: u8| char::from(letter).to_digit(16);
    let pairs = digits.chunks_exact(2);
    if digits.len() != BYTES * 2 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(dir: &Path, text: &str, mode: u32) -> std::path::PathBuf {
        let path = dir.join("key");
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        path
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        for mode in [0o644, 0o604, 0o660, 0o602] {
            let path = file(dir.path(), &"ab".repeat(32), mode);
            let error = from_file(&path).expect_err("refused");
            assert!(error.to_string().contains(&format!("mode {mode:04o}")), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("chmod 0600")));
        }
        for mode in [0o600, 0o400, 0o640] {
            from_file(&file(dir.path(), &"ab".repeat(32), mode)).expect("good");
        }
    }

    #[test]
    fn only_64_hexadecimal_digits_are_a_key() {
        let dir = tempfile::tempdir().expect("a directory");
        for good in ["0f".repeat(32), format!("{}\n", "0F".repeat(32)), format!("  {}\r\n", "00".repeat(32))]
        {
            from_file(&file(dir.path(), &good, 0o600)).expect("good");
        }
        for bad in [String::new(), "0f".repeat(31), "0f".repeat(33), "0g".repeat(32), "é".repeat(32)] {
            from_file(&file(dir.path(), &bad, 0o600)).expect_err("bad");
        }
    }

    #[test]
    fn partners_keys_are_the_sites_or_those_of_their_own_files() {
        let dir = tempfile::tempdir().expect("a directory");
        let named = |name: &str, digits: &str| {
            let path = dir.path().join(name);
            std::fs::rename(file(dir.path(), &digits.repeat(32), 0o600), &path).expect("named");
            path
        };
        let (old, new) = (named("old", "07"), named("new", "08"));
        let site = SiteKey::new([7; 32]);
        let keys = |key_file: Option<&Path>, also_accept: Option<&Path>| {
            let own = |path: Option<&Path>| path.map(Path::to_owned);
            let ha = Ha { key_file: own(key_file), also_accept: own(also_accept), ..Ha::default() };
            of_partners(&ha, &site).expect("sound")
        };
        let both = HaKeys::new(HaKey::new([8; 32]), Some(HaKey::from_site(&site))).expect("told apart");
        assert_eq!(keys(None, None), HaKeys::from_site(&site));
        assert_eq!(keys(Some(&old), None), HaKeys::from_site(&site), "the site's secret by its file");
        assert_eq!(keys(Some(&new), Some(&old)), both);
        assert_eq!(keys(Some(&new), None), HaKeys::new(HaKey::new([8; 32]), None).expect("one"));
    }

    #[test]
    fn a_partners_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = file(dir.path(), &"ab".repeat(32), 0o644);
        let ha = Ha { also_accept: Some(path), ..Ha::default() };
        let error = of_partners(&ha, &SiteKey::new([7; 32])).expect_err("refused");
        assert!(error.to_string().contains("mode 0644"), "{error}");
    }

    #[test]
    fn a_key_of_our_own_is_made_once_and_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("site.key");
        let made = own(&path).expect("made");
        assert!(own(&path).expect("kept") == made);
        let mode = std::fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        std::fs::remove_file(&path).expect("removed");
        assert!(own(&path).expect("another") != made);
    }

    #[test]
    fn a_key_that_is_a_symlink_or_touched_is_refused_with_the_way_out() {
        let dir = tempfile::tempdir().expect("a directory");
        let target = file(dir.path(), &"ab".repeat(32), 0o600);
        let path = dir.path().join("site.key");
        std::os::unix::fs::symlink(&target, &path).expect("linked");
        let error = own(&path).expect_err("refused");
        assert!(error.hint().is_some_and(|hint| hint.starts_with("remove ")));
        std::fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink(dir.path().join("nowhere"), &path).expect("linked");
        own(&path).expect_err("refused");
        assert!(!dir.path().join("nowhere").exists());
    }
}
