//! Performs a plan's steps.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::setup::needs;
use crate::setup::plan::{BPFFS, Step};
use crate::workspace::Workspace;

/// Does every step; packages come first and in one transaction.
pub(crate) fn perform(workspace: &Workspace, steps: &[Step]) -> Result<()> {
    let packages = packages(steps);
    if !packages.is_empty() {
        println!("setup: apt-get install {}", packages.join(" "));
        install_packages(&packages)?;
    }
    for step in steps {
        match step {
            Step::RustSourceByRustup { tool_chain, else_by_apt } => {
                add_rust_source(tool_chain, *else_by_apt)?
            }
            Step::BpfLinker { .. } => install_bpf_linker(workspace)?,
            Step::MountBpffs => mount_bpffs()?,
            // Among the packages above.
            Step::RustSourceByApt | Step::Apt(_) => {}
        }
    }
    Ok(())
}

/// The Debian packages of all steps, each once.
fn packages(steps: &[Step]) -> Vec<&'static str> {
    let of_step = |step: &Step| match step {
        Step::Apt(program) => vec![program.package.debian],
        Step::RustSourceByApt => needs::DEBIAN_RUST_PAIR.to_vec(),
        Step::RustSourceByRustup { .. } | Step::BpfLinker { .. } | Step::MountBpffs => Vec::new(),
    };
    let mut packages: Vec<_> = steps.iter().flat_map(of_step).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn add_rust_source(tool_chain: &str, else_by_apt: bool) -> Result<()> {
    println!("setup: rustup component add rust-src --toolchain {tool_chain}");
    let mut rustup = Command::new("rustup");
    match command::run(rustup.args(["component", "add", "rust-src", "--toolchain", tool_chain])) {
        Err(error) if else_by_apt => {
            println!("setup: {error:#}; apt-get install {} instead", needs::DEBIAN_RUST_PAIR.join(" "));
            install_packages(&needs::DEBIAN_RUST_PAIR)
        }
        result => result,
    }
}

fn install_bpf_linker(workspace: &Workspace) -> Result<()> {
    let tools = workspace.tools();
    let build = tools.join("build");
    println!("setup: cargo install bpf-linker {} into {}", needs::BPF_LINKER_VERSION, tools.display());
    let mut install = workspace.cargo();
    install.args(["install", "bpf-linker", "--locked", "--force", "--version", needs::BPF_LINKER_VERSION]);
    // Its own build directory: an interrupted build goes on where it stopped, and a finished one leaves nothing.
    command::run(install.arg("--root").arg(&tools).env("CARGO_TARGET_DIR", &build))?;
    fs::remove_dir_all(&build).with_context(|| format!("{} could not be removed", build.display()))
}

fn mount_bpffs() -> Result<()> {
    println!("setup: mount -t bpf bpf {BPFFS}");
    command::capture(Command::new("mount").args(["-t", "bpf", "bpf", BPFFS])).map(drop)
}

fn install_packages(packages: &[&str]) -> Result<()> {
    let brought = needs::SERVICES.into_iter().filter(|(package, _)| packages.contains(package));
    let mut services: Vec<_> = brought.map(|(_, service)| service).collect();
    services.dedup();
    let held_back = (!services.is_empty()).then(|| HeldBack::new(services)).transpose()?;
    // Lists that are missing or out of date show in the simulation; only then is it worth fetching them.
    let mut updated = false;
    if command::capture(apt_get(&["install", "--simulate"]).args(packages)).is_err() {
        update_lists()?;
        updated = true;
    }
    let install = || command::capture(apt_get(INSTALL).args(packages));
    let mut result = install();
    if result.is_err() && !updated {
        // A list can name a version that the mirror no longer has.
        update_lists()?;
        result = install();
    }
    result?;
    held_back.map_or(Ok(()), HeldBack::leave_stopped)
}

/// What a machine has stays: a mail server, of which there can be only one, is not put in another's place.
const INSTALL: &[&str] = &["install", "--yes", "--no-install-recommends", "--no-remove"];

fn update_lists() -> Result<()> {
    println!("setup: apt-get update");
    command::capture(&mut apt_get(&["update"])).map(drop)
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut apt = Command::new("apt-get");
    // A daily upgrade may hold the lock for a while; five minutes are enough for one.
    apt.args(["--quiet", "--option", "DPkg::Lock::Timeout=300"]).args(arguments);
    apt.env("DEBIAN_FRONTEND", "noninteractive").env("PATH", command::search_path());
    apt
}

/// Debian asks this program before it starts a service that a package brings.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Marks a policy as ours, so that one left behind by a killed set-up is recognised and removed.
const POLICY_MARK: &str = "# Written by `cargo xtask setup` of Geminus; safe to remove.";

/// While this lives, installing these packages starts none of their services: the project needs the programs, not a web
/// server on port 80 nor a router that claims addresses.
struct HeldBack {
    services: Vec<&'static str>,
    policy_is_ours: bool,
}

impl HeldBack {
    fn new(services: Vec<&'static str>) -> Result<Self> {
        let policy_is_ours = match fs::read_to_string(POLICY) {
            Ok(text) => text.contains(POLICY_MARK),
            Err(_) => !Path::new(POLICY).exists(),
        };
        if policy_is_ours {
            // Another owner's file appearing in between must not be overwritten.
            match fs::remove_file(POLICY) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).context(format!("{POLICY} could not be removed"));
                }
                _ => {}
            }
            let mut file = fs::OpenOptions::new();
            let file = file.write(true).create_new(true).mode(0o755).open(POLICY);
            let text = policy(std::process::id(), &services);
            file.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
                .with_context(|| format!("{POLICY} could not be written"))?;
        }
        Ok(Self { services, policy_is_ours })
    }

    /// Neither running now, where somebody else's policy let it start, nor after the next boot.
    fn leave_stopped(self) -> Result<()> {
        let quietly = |program: &str, arguments: &[&str]| {
            command::capture(Command::new(program).args(arguments).env("PATH", command::search_path()))
        };
        for service in &self.services {
            if Path::new("/run/systemd/system").is_dir() {
                quietly("systemctl", &["disable", "--now", service])?;
            } else {
                quietly("update-rc.d", &[service, "disable"])?;
                if !self.policy_is_ours && Path::new(&format!("/run/{service}.pid")).exists() {
                    quietly("service", &[service, "stop"])?;
                }
            }
            println!("setup: {service} is installed but neither started nor enabled: the lab starts its own");
        }
        Ok(())
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        if self.policy_is_ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("setup: {POLICY} could not be removed: {error}; remove it by hand");
        }
    }
}

/// Refuses actions on these services for as long as this process lives, and nothing else: 101 is "forbidden by policy".
fn policy(process: u32, services: &[&str]) -> String {
    let named: Vec<String> = services.iter().map(|service| format!("*{service}*")).collect();
    let named = named.join(" | ");
    format!(
        "#!/bin/sh\n{POLICY_MARK}\ncase \"$*\" in\n  {named}) kill -0 {process} 2>/dev/null && exit 101 ;;\nesac\nexit 0\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::needs::PROGRAMS;

    #[test]
    fn a_package_that_brings_several_programs_is_installed_once() {
        let steps: Vec<Step> =
            PROGRAMS.iter().filter(|p| p.package.debian == "iproute2").map(Step::Apt).collect();
        assert!(steps.len() > 1);
        assert_eq!(packages(&steps), ["iproute2"]);
    }

    #[test]
    fn only_packages_are_asked_of_the_distribution() {
        let steps =
            [Step::MountBpffs, Step::RustSourceByRustup { tool_chain: "stable".into(), else_by_apt: true }];
        assert_eq!(packages(&steps), Vec::<&str>::new());
    }

    fn answer(policy: &str, service: &str) -> Option<i32> {
        let mut shell = Command::new("sh");
        shell.args(["-c", policy, "policy-rc.d", service, "start"]).status().unwrap().code()
    }

    #[test]
    fn the_policy_forbids_the_services_and_nothing_else() {
        let services = needs::SERVICES.map(|(_, service)| service);
        let policy = policy(std::process::id(), &services);
        for service in services {
            assert_eq!(answer(&policy, service), Some(101));
            assert_eq!(answer(&policy, &format!("{service}.service")), Some(101));
        }
        assert_eq!(answer(&policy, "cron"), Some(0));
    }

    #[test]
    fn the_policy_of_a_dead_setup_forbids_nothing() {
        // A process number beyond the kernel's largest.
        assert_eq!(answer(&policy(u32::MAX >> 1, &["nginx"]), "nginx"), Some(0));
    }
}
