//! From facts about the machine to the steps that mend it. Pure.

use std::path::PathBuf;

use crate::setup::Scope;
use crate::setup::distribution::Distribution;
use crate::setup::needs::{self, Program};

/// What the survey found.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) distribution: Distribution,
    /// Whether packages can be installed and file systems mounted.
    pub(crate) root: bool,
    /// The object that a packager built, from `GEMINUS_BPF_OBJECT`; no tool chain is needed then.
    pub(crate) bpf_object: Option<BpfObject>,
    pub(crate) rust_source: RustSource,
    /// A bpf-linker of a release that will do.
    pub(crate) linker: Option<PathBuf>,
    /// Where a missing bpf-linker goes.
    pub(crate) tools: PathBuf,
    pub(crate) missing_programs: Vec<&'static Program>,
    pub(crate) bpffs: Bpffs,
}

/// What `GEMINUS_BPF_OBJECT` names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BpfObject {
    pub(crate) path: PathBuf,
    pub(crate) exists: bool,
}

/// Where the sources of `core` are, which the BPF target is built from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RustSource {
    /// Beside the active compiler.
    Beside,
    /// Beside another compiler that is new enough.
    BesideAnother(PathBuf),
    /// Nowhere, and rustup looks after the active tool chain of this name.
    AbsentWithRustup(String),
    /// Nowhere, and no rustup to ask.
    Absent,
}

/// The file system that pins live in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bpffs {
    Mounted,
    NotMounted,
    /// The kernel has no directory for it: it was built without BPF.
    NoMountPoint,
}

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// `rust-src` for a rustup tool chain; where rustup cannot fetch it, Debian's pair if that can be installed.
    RustSourceByRustup { tool_chain: String, else_by_apt: bool },
    /// Debian's compiler with matching sources.
    RustSourceByApt,
    /// bpf-linker from crates.io.
    BpfLinker { tools: PathBuf },
    /// A package of the distribution, for a program.
    Apt(&'static Program),
    /// bpffs at its usual place.
    MountBpffs,
}

/// What to do, and what only a person can do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    /// One line each: what is missing, what it is for, how to get it.
    pub(crate) obstacles: Vec<String>,
}

impl Plan {
    /// Decides; an empty plan means that nothing is missing.
    pub(crate) fn new(facts: &Facts, scope: Scope) -> Self {
        let mut plan = Self::default();
        if scope == Scope::Everything {
            plan.bpffs(facts);
            facts.missing_programs.iter().for_each(|program| plan.program(facts, program));
        }
        // Last, because it takes longest: what it finds in its way, it finds after everything else is done.
        plan.bpf_tool_chain(facts);
        plan
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.obstacles.is_empty()
    }

    fn bpf_tool_chain(&mut self, facts: &Facts) {
        match &facts.bpf_object {
            Some(BpfObject { exists: true, .. }) => return,
            Some(BpfObject { path, .. }) => {
                let path = path.display();
                self.obstacles.push(format!(
                    "GEMINUS_BPF_OBJECT names {path}, which does not exist: correct or unset it"
                ));
                return;
            }
            None => {}
        }
        self.rust_source(facts);
        if facts.linker.is_none() {
            // Cargo installs it below the target directory, which takes no privilege.
            self.steps.push(Step::BpfLinker { tools: facts.tools.clone() });
        }
    }

    fn rust_source(&mut self, facts: &Facts) {
        match (&facts.rust_source, facts.distribution) {
            (RustSource::Beside | RustSource::BesideAnother(_), _) => {}
            (RustSource::AbsentWithRustup(tool_chain), _) => {
                let else_by_apt = facts.distribution == Distribution::Debian && facts.root;
                self.steps.push(Step::RustSourceByRustup { tool_chain: tool_chain.clone(), else_by_apt });
            }
            (RustSource::Absent, Distribution::Debian) if facts.root => {
                self.steps.push(Step::RustSourceByApt)
            }
            (RustSource::Absent, distribution) => {
                let advice = needs::RUST_SOURCE.advice(distribution);
                self.obstacles.push(format!(
                    "rust-src is missing ({RUST_SOURCE_WHY}): {advice}{}, or use rustup",
                    as_root(facts)
                ));
            }
        }
    }

    fn program(&mut self, facts: &Facts, program: &'static Program) {
        if facts.distribution == Distribution::Debian && facts.root {
            self.steps.push(Step::Apt(program));
            return;
        }
        let Program { name, why, package } = program;
        let advice = package.advice(facts.distribution);
        self.obstacles.push(format!("{name} is missing ({why}): {advice}{}", as_root(facts)));
    }

    fn bpffs(&mut self, facts: &Facts) {
        match (&facts.bpffs, facts.root) {
            (Bpffs::Mounted, _) => {}
            (Bpffs::NotMounted, true) => self.steps.push(Step::MountBpffs),
            (Bpffs::NotMounted, false) => self.obstacles.push(format!(
                "bpffs is not mounted on {BPFFS} ({BPFFS_WHY}): `mount -t bpf bpf {BPFFS}` as root"
            )),
            (Bpffs::NoMountPoint, _) => self.obstacles.push(format!(
                "{BPFFS} does not exist ({BPFFS_WHY}): mount sysfs on /sys, or use a kernel built with CONFIG_BPF_SYSCALL"
            )),
        }
    }
}

/// Where bpffs belongs.
pub(crate) const BPFFS: &str = "/sys/fs/bpf";

const BPFFS_WHY: &str = "maps and programs are pinned there, so that they outlive the daemon";
const RUST_SOURCE_WHY: &str = "the BPF program is built with its own `core`";

fn as_root(facts: &Facts) -> &'static str {
    if facts.root { "" } else { " as root" }
}

impl Step {
    /// What is brought, whence, and what it is for, in one line.
    pub(crate) fn announcement(&self) -> String {
        match self {
            Self::RustSourceByRustup { tool_chain, .. } => {
                format!("rust-src (`rustup component add` for {tool_chain}): {RUST_SOURCE_WHY}")
            }
            Self::RustSourceByApt => {
                let packages = needs::DEBIAN_RUST_PAIR.join(" and ");
                let least = env!("CARGO_PKG_RUST_VERSION");
                format!(
                    "{packages} (Debian packages, a compiler with its sources, at least {least}): {RUST_SOURCE_WHY}"
                )
            }
            Self::BpfLinker { tools } => format!(
                "bpf-linker {} (crates.io, into {}, about 2 minutes): it links the BPF program",
                needs::BPF_LINKER_VERSION,
                tools.display()
            ),
            Self::Apt(Program { name, why, package }) => {
                format!("{name} (Debian package {}): it {why}", package.debian)
            }
            Self::MountBpffs => format!("bpffs (a mount on {BPFFS}): {BPFFS_WHY}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> Facts {
        Facts {
            distribution: Distribution::Debian,
            root: true,
            bpf_object: None,
            rust_source: RustSource::Beside,
            linker: Some("/somewhere/bpf-linker".into()),
            tools: "target/tools".into(),
            missing_programs: Vec::new(),
            bpffs: Bpffs::Mounted,
        }
    }

    fn bare() -> Facts {
        Facts {
            rust_source: RustSource::AbsentWithRustup("stable".into()),
            linker: None,
            missing_programs: needs::PROGRAMS.iter().collect(),
            bpffs: Bpffs::NotMounted,
            ..complete()
        }
    }

    #[test]
    fn a_complete_machine_needs_nothing() {
        assert!(Plan::new(&complete(), Scope::Everything).is_empty());
        assert!(Plan::new(&Facts { root: false, ..complete() }, Scope::Everything).is_empty());
    }

    #[test]
    fn root_on_a_bare_debian_machine_installs_everything() {
        let plan = Plan::new(&bare(), Scope::Everything);
        assert_eq!(plan.obstacles, Vec::<String>::new());
        assert_eq!(plan.steps.len(), 2 + needs::PROGRAMS.len() + 1);
        let rust_source = Step::RustSourceByRustup { tool_chain: "stable".into(), else_by_apt: true };
        assert!(plan.steps.contains(&rust_source) && plan.steps.contains(&Step::MountBpffs));
        assert_eq!(plan.steps.last(), Some(&Step::BpfLinker { tools: "target/tools".into() }));
    }

    #[test]
    fn without_root_each_thing_that_needs_it_is_one_line_with_its_way_out() {
        let plan = Plan::new(&Facts { root: false, ..bare() }, Scope::Everything);
        assert_eq!(plan.steps.len(), 2, "rustup and cargo need no privilege: {:?}", plan.steps);
        assert_eq!(plan.obstacles.len(), needs::PROGRAMS.len() + 1);
        for obstacle in &plan.obstacles {
            assert!(obstacle.ends_with("as root") && !obstacle.contains('\n'), "{obstacle}");
        }
    }

    #[test]
    fn another_distribution_is_told_its_own_package_names() {
        let plan = Plan::new(&Facts { distribution: Distribution::Fedora, ..bare() }, Scope::Everything);
        let lines = plan.obstacles.join("\n");
        assert!(lines.contains("tc is missing") && lines.contains("`dnf install iproute-tc`"), "{lines}");
        assert!(!plan.steps.iter().any(|step| matches!(step, Step::Apt(_))));
    }

    #[test]
    fn a_build_needs_neither_programs_nor_bpffs_nor_root() {
        let plan = Plan::new(&Facts { root: false, ..bare() }, Scope::BpfToolChain);
        assert_eq!(plan.steps.len(), 2);
        assert_eq!(plan.obstacles, Vec::<String>::new());
    }

    #[test]
    fn a_given_bpf_object_takes_the_place_of_the_tool_chain() {
        let object = BpfObject { path: "geminus.o".into(), exists: true };
        let facts = Facts { bpf_object: Some(object), ..bare() };
        assert!(Plan::new(&facts, Scope::BpfToolChain).is_empty());
    }

    #[test]
    fn a_given_bpf_object_that_does_not_exist_is_refused() {
        let object = BpfObject { path: "nowhere.o".into(), exists: false };
        let plan = Plan::new(&Facts { bpf_object: Some(object), ..complete() }, Scope::BpfToolChain);
        assert_eq!(plan.obstacles.len(), 1);
        assert!(plan.obstacles[0].contains("nowhere.o"));
    }

    #[test]
    fn without_rustup_debian_gives_the_compiler_with_its_sources() {
        let plan = Plan::new(&Facts { rust_source: RustSource::Absent, ..complete() }, Scope::BpfToolChain);
        assert_eq!(plan.steps, [Step::RustSourceByApt]);
    }

    #[test]
    fn without_rustup_another_distribution_is_told_where_the_sources_are() {
        let facts = Facts { rust_source: RustSource::Absent, distribution: Distribution::Arch, ..complete() };
        let plan = Plan::new(&facts, Scope::BpfToolChain);
        assert!(plan.steps.is_empty());
        assert!(plan.obstacles[0].contains("`pacman -S rust-src`"), "{}", plan.obstacles[0]);
    }

    #[test]
    fn sources_beside_another_compiler_will_do() {
        let facts = Facts { rust_source: RustSource::BesideAnother("/usr/bin/rustc".into()), ..complete() };
        assert!(Plan::new(&facts, Scope::Everything).is_empty());
    }

    #[test]
    fn a_kernel_without_bpf_is_an_obstacle_even_for_root() {
        let plan = Plan::new(&Facts { bpffs: Bpffs::NoMountPoint, ..complete() }, Scope::Everything);
        assert!(plan.steps.is_empty());
        assert!(plan.obstacles[0].contains("CONFIG_BPF_SYSCALL"));
    }

    #[test]
    fn every_step_is_announced_in_one_line_with_its_reason() {
        for step in Plan::new(&bare(), Scope::Everything).steps {
            let line = step.announcement();
            assert!(line.contains("): ") && !line.contains('\n'), "{line}");
        }
    }
}
