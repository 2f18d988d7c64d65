//! Looks at the machine. What the files say is read by pure functions.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::setup::distribution::Distribution;
use crate::setup::needs::{self, Program};
use crate::setup::plan::{BPFFS, BpfObject, Bpffs, Facts, RustSource};
use crate::workspace::Workspace;

/// Everything that [`super::plan`] decides from.
pub(crate) fn facts(workspace: &Workspace) -> Result<Facts> {
    let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    Ok(Facts {
        distribution: Distribution::from_os_release(&os_release),
        root: privileges()?.root,
        bpf_object: bpf_object(),
        rust_source: rust_source()?,
        linker: linker(&workspace.tools()),
        tools: workspace.tools(),
        missing_programs: missing_programs(),
        bpffs: bpffs()?,
    })
}

fn bpf_object() -> Option<BpfObject> {
    let path = PathBuf::from(env::var_os("GEMINUS_BPF_OBJECT").filter(|value| !value.is_empty())?);
    let exists = path.is_file();
    Some(BpfObject { path, exists })
}

fn missing_programs() -> Vec<&'static Program> {
    needs::PROGRAMS.iter().filter(|program| command::find_program(program.name).is_none()).collect()
}

fn rust_source() -> Result<RustSource> {
    let active = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = sysroot(&active).context("no Rust compiler")?;
    if has_sources(&sysroot) {
        return Ok(RustSource::Beside);
    }
    if debian_pair_will_do() {
        return Ok(RustSource::BesideAnother(needs::DEBIAN_RUSTC.into()));
    }
    let rustup = command::find_program("rustup");
    Ok(match (rustup, rustup_tool_chain(&sysroot)) {
        (Some(_), Some(tool_chain)) => RustSource::AbsentWithRustup(tool_chain),
        _ => RustSource::Absent,
    })
}

fn sysroot(compiler: &OsStr) -> Result<PathBuf> {
    Ok(command::capture(Command::new(compiler).args(["--print", "sysroot"]))?.trim_end().into())
}

fn has_sources(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file()
}

/// Debian's pair counts only when it is new enough for the project.
fn debian_pair_will_do() -> bool {
    let compiler = OsStr::new(needs::DEBIAN_RUSTC);
    Path::new(compiler).exists()
        && sysroot(compiler).is_ok_and(|sysroot| has_sources(&sysroot))
        && command::capture(Command::new(compiler).arg("--version"))
            .is_ok_and(|text| is_recent_enough(&text, env!("CARGO_PKG_RUST_VERSION")))
}

/// Whether `rustc 1.96.0 (...)` is at least `1.95`.
fn is_recent_enough(version: &str, least: &str) -> bool {
    let numbers = |text: &str| {
        let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
        Some((parts.next()??, parts.next()??))
    };
    let found = version.split(' ').nth(1).and_then(numbers);
    found.is_some() && found >= numbers(least)
}

/// rustup keeps each tool chain in `toolchains/NAME`; any other sysroot is not its own.
fn rustup_tool_chain(sysroot: &Path) -> Option<String> {
    let kept_by_rustup = sysroot.parent()?.file_name()? == "toolchains";
    kept_by_rustup.then(|| sysroot.file_name().map(|name| name.to_string_lossy().into_owned()))?
}

/// In the order in which the data plane's build script looks.
fn linker(tools: &Path) -> Option<PathBuf> {
    let own = tools.join("bin/bpf-linker");
    [Some(own), command::find_program("bpf-linker")].into_iter().flatten().find(|path| is_good_linker(path))
}

fn is_good_linker(path: &Path) -> bool {
    path.exists()
        && command::capture(Command::new(path).arg("--version"))
            .is_ok_and(|text| text.trim().strip_prefix("bpf-linker ").is_some_and(in_the_series))
}

fn in_the_series(version: &str) -> bool {
    version.starts_with(needs::BPF_LINKER_SERIES)
}

fn bpffs() -> Result<Bpffs> {
    if !Path::new(BPFFS).is_dir() {
        return Ok(Bpffs::NoMountPoint);
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("the list of mounts")?;
    Ok(if is_bpffs_mounted(&mounts) { Bpffs::Mounted } else { Bpffs::NotMounted })
}

/// Reads proc_pid_mountinfo(5): the fifth field is the mount point, the first after the lone dash the type.
fn is_bpffs_mounted(mountinfo: &str) -> bool {
    mountinfo.lines().any(|line| {
        let Some((mount, source)) = line.split_once(" - ") else { return false };
        mount.split(' ').nth(4) == Some(BPFFS) && source.split(' ').next() == Some("bpf")
    })
}

/// What this process may do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Privileges {
    pub(crate) root: bool,
    capabilities: u64,
}

/// Capabilities that the privileged floors need, by their numbers in `linux/capability.h`. `CAP_SYS_ADMIN` includes
/// `CAP_BPF` and `CAP_PERFMON`.
const NEEDED_CAPABILITIES: [(u32, &str); 3] =
    [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW"), (21, "CAP_SYS_ADMIN")];

impl Privileges {
    /// Names of what namespaces, links and BPF programs take and this process has not.
    pub(crate) fn missing_capabilities(&self) -> Vec<&'static str> {
        let lacks =
            |(bit, name): &(u32, &'static str)| (self.capabilities & (1 << bit) == 0).then_some(*name);
        NEEDED_CAPABILITIES.iter().filter_map(lacks).collect()
    }

    /// Reads proc_pid_status(5): the effective user is the second of `Uid`, capabilities are `CapEff` in hex.
    fn from_status(text: &str) -> Option<Self> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let effective_user = field("Uid")?.split_whitespace().nth(1)?;
        let capabilities = u64::from_str_radix(field("CapEff")?.trim(), 16).ok()?;
        Some(Self { root: effective_user == "0", capabilities })
    }
}

/// What this process may do, from the kernel's own account.
pub(crate) fn privileges() -> Result<Privileges> {
    let status = fs::read_to_string("/proc/self/status").context("the state of this process")?;
    Privileges::from_status(&status).context("/proc/self/status has no Uid or no CapEff line")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bpffs_is_mounted_only_when_a_bpf_file_system_is_at_its_place() {
        let sysfs = "23 27 0:22 / /sys rw,relatime - sysfs sysfs rw\n";
        let elsewhere = "40 23 0:30 / /mnt/bpf rw shared:9 - bpf bpf rw\n";
        let there = "41 23 0:31 / /sys/fs/bpf rw,nosuid shared:12 - bpf none rw,mode=700\n";
        assert!(!is_bpffs_mounted(&[sysfs, elsewhere].concat()));
        assert!(is_bpffs_mounted(&[sysfs, elsewhere, there].concat()));
    }

    #[test]
    fn root_with_every_capability_lacks_nothing() {
        let status = "Name:\txtask\nUid:\t1000\t0\t0\t0\nCapEff:\t000001ffffffffff\n";
        let privileges = Privileges::from_status(status).unwrap();
        assert!(privileges.root);
        assert_eq!(privileges.missing_capabilities(), Vec::<&str>::new());
    }

    #[test]
    fn a_container_root_is_told_which_capabilities_it_lacks() {
        // What Docker grants by default.
        let status = "Uid:\t0\t0\t0\t0\nCapEff:\t00000000a80425fb\n";
        assert_eq!(
            Privileges::from_status(status).unwrap().missing_capabilities(),
            ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]
        );
    }

    #[test]
    fn an_ordinary_user_is_not_root_also_when_the_real_user_was() {
        let status = "Uid:\t0\t1000\t1000\t1000\nCapEff:\t0000000000000000\n";
        assert!(!Privileges::from_status(status).unwrap().root);
    }

    #[test]
    fn a_compiler_older_than_the_project_needs_will_not_do() {
        assert!(is_recent_enough("rustc 1.96.0 (ab12 2026-05-28) (built from a source tarball)", "1.95"));
        assert!(is_recent_enough("rustc 1.95.0", "1.95"));
        assert!(!is_recent_enough("rustc 1.85.0", "1.95"));
        assert!(!is_recent_enough("clang version 19", "1.95"));
    }

    #[test]
    fn only_rustups_own_tool_chains_are_asked_of_rustup() {
        let kept = Path::new("/opt/rustup/toolchains/stable-x86_64-unknown-linux-gnu");
        assert_eq!(rustup_tool_chain(kept).as_deref(), Some("stable-x86_64-unknown-linux-gnu"));
        assert_eq!(rustup_tool_chain(Path::new("/usr")), None);
    }

    #[test]
    fn a_linker_of_another_series_will_not_do() {
        assert!(in_the_series(needs::BPF_LINKER_VERSION));
        assert!(in_the_series("0.10.1"));
        assert!(!in_the_series("0.9.15"));
        assert!(!in_the_series("0.11.0"));
    }
}
