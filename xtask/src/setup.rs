//! Finds what the project needs and installs what is missing, saying so first.
//!
//! [`survey`] looks at the machine, [`plan`] decides from that alone, [`install`] does it. The decision is pure, so
//! its tests need no machine in any particular state.

mod distribution;
mod install;
mod needs;
mod plan;
mod survey;

use std::path::Path;

use anyhow::{Result, bail};

use crate::setup::plan::{Facts, Plan, RustSource};
use crate::workspace::Workspace;

/// How much of the machine a task needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// What compiling the workspace takes: the BPF tool chain.
    BpfToolChain,
    /// The tool chain, the programs that the lab starts, and bpffs.
    Everything,
}

/// Tells what is missing and what would be done about it; an error when anything is.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let facts = survey::facts(workspace)?;
    let plan = Plan::new(&facts, Scope::Everything);
    if plan.is_empty() {
        println!("{}", all_there(&facts, Scope::Everything));
        return Ok(());
    }
    for step in &plan.steps {
        println!("missing: {}", step.announcement());
    }
    print_obstacles(&plan);
    bail!(
        "{} missing: `cargo xtask setup` installs what it can",
        things(plan.steps.len() + plan.obstacles.len())
    )
}

/// Makes sure that everything in the scope is there. Quick when nothing is missing.
pub(crate) fn ensure(workspace: &mut Workspace, scope: Scope) -> Result<()> {
    let facts = survey::facts(workspace)?;
    let plan = Plan::new(&facts, scope);
    if plan.is_empty() {
        println!("{}", all_there(&facts, scope));
        return adopt(workspace, &facts);
    }
    if !plan.obstacles.is_empty() {
        print_obstacles(&plan);
        bail!("{} missing that cannot be installed from here", things(plan.obstacles.len()));
    }
    for step in &plan.steps {
        println!("setup: will bring {}", step.announcement());
    }
    install::perform(workspace, &plan.steps)?;

    let facts = survey::facts(workspace)?;
    let left = Plan::new(&facts, scope);
    if !left.is_empty() {
        for step in &left.steps {
            eprintln!("setup: still missing after the installation: {}", step.announcement());
        }
        print_obstacles(&left);
        bail!(
            "the installation ended without an error, but {} missing",
            things(left.steps.len() + left.obstacles.len())
        );
    }
    println!("{}", all_there(&facts, scope));
    adopt(workspace, &facts)
}

/// One line when the process lacks what namespaces and BPF take; `who` is plural.
pub(crate) fn require_privileges(who: &str) -> Result<()> {
    let privileges = survey::privileges()?;
    let missing = privileges.missing_capabilities();
    match (privileges.root, missing.is_empty()) {
        (false, _) => bail!("{who} need root: run this as root"),
        (true, false) => bail!(
            "{who} need {}, which this root has not: run this outside the container, or grant them",
            missing.join(" and ")
        ),
        (true, true) => Ok(()),
    }
}

/// Lets cargo use what was found where it is not the default.
fn adopt(workspace: &mut Workspace, facts: &Facts) -> Result<()> {
    if let RustSource::BesideAnother(compiler) = &facts.rust_source {
        workspace.bpf_compiler = Some(compiler.clone());
    }
    Ok(())
}

fn all_there(facts: &Facts, scope: Scope) -> String {
    let tool_chain = match &facts.bpf_object {
        Some(object) => format!("the BPF object given ({})", object.path.display()),
        None => format!("bpf-linker ({}) and rust-src", parent(facts.linker.as_deref())),
    };
    match scope {
        Scope::BpfToolChain => format!("setup: nothing missing: {tool_chain}"),
        Scope::Everything => {
            format!("setup: nothing missing: {tool_chain}, {} programs, bpffs", needs::PROGRAMS.len())
        }
    }
}

fn parent(path: Option<&Path>) -> String {
    path.and_then(Path::parent)
        .map_or_else(|| "found".to_owned(), |directory| directory.display().to_string())
}

fn print_obstacles(plan: &Plan) {
    for obstacle in &plan.obstacles {
        eprintln!("setup: {obstacle}");
    }
}

fn things(count: usize) -> String {
    if count == 1 { "1 thing is".to_owned() } else { format!("{count} things are") }
}
