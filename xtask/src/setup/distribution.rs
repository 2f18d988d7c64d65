//! Which family of distributions this is, and its words for installing a package.

/// Distributions whose package names the project knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// Debian, Ubuntu and what derives from them; the only family that the set-up installs on by itself.
    Debian,
    /// Fedora, RHEL, CentOS Stream and rebuilds.
    Fedora,
    /// Arch and derivatives.
    Arch,
    /// Alpine.
    Alpine,
    /// openSUSE and SLES.
    Suse,
    /// Anything else.
    Unknown,
}

impl Distribution {
    /// Reads `/etc/os-release` (os-release(5)): its `ID`, else the first relative in `ID_LIKE` that is known.
    pub(crate) fn from_os_release(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches(['"', '\''])
        };
        let names = value("ID").split(' ').chain(value("ID_LIKE").split(' '));
        names.map(Self::from_name).find(|found| *found != Self::Unknown).unwrap_or(Self::Unknown)
    }

    fn from_name(name: &str) -> Self {
        match name {
            "debian" | "ubuntu" => Self::Debian,
            "fedora" | "rhel" | "centos" => Self::Fedora,
            "arch" => Self::Arch,
            "alpine" => Self::Alpine,
            "suse" | "opensuse" | "sles" | "opensuse-tumbleweed" | "opensuse-leap" => Self::Suse,
            _ => Self::Unknown,
        }
    }

    /// The command that installs a package, without the package.
    pub(crate) fn install_command(self) -> Option<&'static str> {
        match self {
            Self::Debian => Some("apt-get install"),
            Self::Fedora => Some("dnf install"),
            Self::Arch => Some("pacman -S"),
            Self::Alpine => Some("apk add"),
            Self::Suse => Some("zypper install"),
            Self::Unknown => None,
        }
    }
}

/// A package's name in each family.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) debian: &'static str,
    pub(crate) fedora: &'static str,
    pub(crate) arch: &'static str,
    pub(crate) alpine: &'static str,
    pub(crate) suse: &'static str,
}

impl Package {
    /// A package that has one name everywhere.
    pub(crate) const fn everywhere(name: &'static str) -> Self {
        Self { debian: name, fedora: name, arch: name, alpine: name, suse: name }
    }

    /// How a person gets this package, as a command where the family is known.
    pub(crate) fn advice(&self, distribution: Distribution) -> String {
        let name = match distribution {
            Distribution::Debian => self.debian,
            Distribution::Fedora => self.fedora,
            Distribution::Arch => self.arch,
            Distribution::Alpine => self.alpine,
            Distribution::Suse => self.suse,
            Distribution::Unknown => return self.in_every_family(),
        };
        match distribution.install_command() {
            Some(command) => format!("`{command} {name}`"),
            None => name.to_owned(),
        }
    }

    fn in_every_family(&self) -> String {
        let Self { debian, fedora, arch, alpine, suse } = self;
        format!(
            "package {debian} on Debian, {fedora} on Fedora, {arch} on Arch, {alpine} on Alpine, {suse} on openSUSE"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_known_by_its_own_name() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_ID=\"13\"\n";
        assert_eq!(Distribution::from_os_release(text), Distribution::Debian);
        assert_eq!(Distribution::from_os_release("ID=\"opensuse-leap\"\n"), Distribution::Suse);
    }

    #[test]
    fn a_derivative_is_known_by_its_relatives() {
        let text = "ID=rocky\nID_LIKE=\"rhel centos fedora\"\n";
        assert_eq!(Distribution::from_os_release(text), Distribution::Fedora);
        assert_eq!(Distribution::from_os_release("ID='endeavouros'\nID_LIKE='arch'\n"), Distribution::Arch);
    }

    #[test]
    fn a_stranger_gets_every_familys_name() {
        let stranger = Distribution::from_os_release("ID=plan9\n");
        assert_eq!(stranger, Distribution::Unknown);
        let advice = Package { fedora: "iproute", ..Package::everywhere("iproute2") }.advice(stranger);
        assert!(advice.contains("iproute2 on Debian") && advice.contains("iproute on Fedora"), "{advice}");
    }

    #[test]
    fn the_advice_for_a_known_family_can_be_pasted() {
        assert_eq!(Package::everywhere("wrk").advice(Distribution::Alpine), "`apk add wrk`");
    }
}
