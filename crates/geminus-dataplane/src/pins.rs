//! Where an installation lives on bpffs.
//!
//! ```text
//! <bpffs>/geminus/<site>/tables-<n>/<MAP>             one folder an installation; more than one only while moving
//! <bpffs>/geminus/<site>/link-<interface>-<mode>      the attachment, which holds the program
//! <bpffs>/geminus/<site>/path-<interface>-<mode>      one for each interface that leads to partners alone
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::attach::Mode;

/// The pins of one site.
#[derive(Debug, Clone)]
pub(crate) struct Pins {
    root: PathBuf,
}

/// A pinned attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkPin {
    pub(crate) path: PathBuf,
    pub(crate) interface: u32,
    pub(crate) mode: Mode,
}

/// What an attachment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkKind {
    /// Clients and servers.
    Main,
    /// Partners alone.
    Path,
}

impl LinkKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Main => "link-",
            Self::Path => "path-",
        }
    }
}

impl Pins {
    pub(crate) fn new(bpffs: &Path, site: &str) -> Self {
        Self { root: bpffs.join("geminus").join(site) }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the site's folder, which root alone may enter.
    pub(crate) fn make(&self, folder: &Path) -> io::Result<()> {
        use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        fs::set_permissions(&self.root, fs::Permissions::from_mode(0o700))
    }

    /// Folders of installations, oldest first.
    pub(crate) fn tables(&self) -> Vec<(u64, PathBuf)> {
        let mut found: Vec<_> = self
            .names()
            .filter_map(|name| Some((name.strip_prefix("tables-")?.parse().ok()?, self.root.join(&name))))
            .collect();
        found.sort();
        found
    }

    /// Folder of an installation that is not there yet.
    pub(crate) fn next_tables(&self) -> PathBuf {
        let last = self.tables().last().map_or(0, |(number, _)| *number);
        self.root.join(format!("tables-{}", last + 1))
    }

    /// Pinned attachments of one kind.
    pub(crate) fn links(&self, kind: LinkKind) -> Vec<LinkPin> {
        self.names()
            .filter_map(|name| {
                let (interface, mode) = name.strip_prefix(kind.prefix())?.split_once('-')?;
                let (interface, mode) = (interface.parse().ok()?, Mode::from_word(mode)?);
                Some(LinkPin { path: self.root.join(&name), interface, mode })
            })
            .collect()
    }

    pub(crate) fn link(&self, kind: LinkKind, interface: u32, mode: Mode) -> PathBuf {
        self.root.join(format!("{}{interface}-{}", kind.prefix(), mode.word()))
    }

    fn names(&self) -> impl Iterator<Item = String> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok())
    }
}
