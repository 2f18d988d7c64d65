//! Kernel settings of an interface, by file and by name.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where the kernel shows them, for the network namespace of whoever looks.
const ROOT: &str = "/proc/sys/net";

/// One setting of one interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Sysctl {
    /// `ipv4` or `ipv6`.
    pub(crate) family: Family,
    /// Name of the interface, or `all`.
    pub(crate) scope: String,
    /// Name of the setting.
    pub(crate) name: String,
}

/// Which of the two trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Family {
    /// `net.ipv4`
    Ipv4,
    /// `net.ipv6`
    Ipv6,
}

impl Sysctl {
    /// A setting of IPv4.
    pub(crate) fn v4(scope: &str, name: &str) -> Self {
        Self { family: Family::Ipv4, scope: scope.to_owned(), name: name.to_owned() }
    }

    /// A setting of IPv6.
    pub(crate) fn v6(scope: &str, name: &str) -> Self {
        Self { family: Family::Ipv6, scope: scope.to_owned(), name: name.to_owned() }
    }

    /// The value in force; none where the kernel has no such setting (no IPv6, no such interface).
    pub(crate) fn read(&self) -> io::Result<Option<String>> {
        match std::fs::read_to_string(self.path(Path::new(ROOT))?) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets it.
    pub(crate) fn write(&self, value: &str) -> io::Result<()> {
        std::fs::write(self.path(Path::new(ROOT))?, value)
    }

    /// The file. A record on disk may say anything, so a name that would leave the tree is refused.
    fn path(&self, root: &Path) -> io::Result<PathBuf> {
        let plain =
            |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['/', '\0']);
        if !plain(&self.scope) || !plain(&self.name) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{self} is no setting of an interface"),
            ));
        }
        Ok(root.join(self.family.word()).join("conf").join(&self.scope).join(&self.name))
    }
}

impl Family {
    const fn word(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

impl fmt::Display for Sysctl {
    /// The name as `sysctl` takes it: a dot inside an interface's name is written as a slash (sysctl.d(5)).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "net.{}.conf.{}.{}", self.family.word(), self.scope.replace('.', "/"), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dotted_interface_is_named_as_sysctl_takes_it() {
        let setting = Sysctl::v4("eth0.100", "arp_ignore");
        assert_eq!(setting.to_string(), "net.ipv4.conf.eth0/100.arp_ignore");
        let path = setting.path(Path::new("/r")).expect("a path");
        assert_eq!(path, Path::new("/r/ipv4/conf/eth0.100/arp_ignore"));
    }

    #[test]
    fn a_name_never_leaves_the_tree() {
        for (scope, name) in [("..", "x"), ("a/b", "x"), ("all", "../../x"), ("", "x"), ("all", "")] {
            let error = Sysctl::v6(scope, name).path(Path::new(ROOT)).expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{scope} {name}");
        }
    }
}
