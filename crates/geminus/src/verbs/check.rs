//! `geminus check`: everything that is wrong with a configuration, or what it would do.

mod keys;
mod machine;
mod outlook;
mod page;
mod partners;

#[cfg(test)]
mod tests;

use std::path::Path;

use geminus_core::config::{self, ConfigErrors, Finding, Parsed};
use serde::Serialize;

use crate::args::CheckArgs;
use crate::failure::{Exit, Failure, cannot_print};
use crate::screen::{Look, show};
use crate::verbs::check::machine::{Interface, Meant, look as look_at, meant};
use crate::verbs::check::outlook::{Outlook, outlook, possible_cpus};
use crate::verbs::{json_text, print};

/// The answer for programs.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    /// Whether `geminus run` would take it, as far as can be told beforehand.
    ok: bool,
    file: String,
    errors: Vec<Place<'a>>,
    warnings: Vec<Place<'a>>,
    #[serde(flatten)]
    outlook: Option<&'a Outlook>,
    interface: Option<&'a Interface>,
}

/// One finding in the file.
#[derive(Debug, Serialize)]
struct Place<'a> {
    line: usize,
    column: usize,
    message: &'a str,
    hint: Option<&'a str>,
}

/// What a sound configuration comes to on this machine.
#[derive(Debug)]
struct Sound {
    file: String,
    warnings: Vec<Finding>,
    outlook: Outlook,
    interface: Option<Interface>,
}

/// Checks and prints.
pub(crate) fn run(args: &CheckArgs, look: Look) -> Result<Exit, Failure> {
    let Some(path) = &args.file else { return print(&config::schema_json()) };
    let file = path.display().to_string();
    match config::parse_bytes(&read(path)?, &file) {
        Ok(parsed) => sound(args, file, parsed, look),
        Err(errors) => Err(unsound(args.json, &file, &errors)?),
    }
}

/// The configuration, at most one byte more than the parser takes: it says so itself.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read;

    let bound = geminus_core::limits::CONFIG_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(bound).read_to_end(&mut bytes));
    read.map_err(|error| {
        Failure::no(format!("cannot read {}: {error}", path.display()))
            .hint("name the configuration of the site")
    })?;
    Ok(bytes)
}

fn sound(args: &CheckArgs, file: String, parsed: Parsed, look: Look) -> Result<Exit, Failure> {
    let host = host_name();
    let interface = match meant(&parsed.site, args.node.as_deref(), &host)? {
        Meant::Here(node) => {
            let mut interface = look_at(&parsed.site, node, None)?;
            interface.remarks.extend(keys::remarks(&parsed.site));
            Some(interface)
        }
        Meant::Perhaps(node) => Some(look_at(&parsed.site, node, Some(&host))?),
        Meant::Unknown => None,
    };
    let outlook = outlook(&parsed.site, cpus());
    let sound = Sound { file, warnings: parsed.warnings, outlook, interface };
    let ok = sound.interface.iter().flat_map(|interface| &interface.remarks).all(|remark| !remark.wrong);
    print(&if args.json { json(&sound, ok) } else { page::render(&sound, look) })?;
    Ok(if ok { Exit::Done } else { Exit::No })
}

fn json(sound: &Sound, ok: bool) -> String {
    json_text(&Answer {
        ok,
        file: sound.file.clone(),
        errors: Vec::new(),
        warnings: places(&sound.warnings),
        outlook: Some(&sound.outlook),
        interface: sound.interface.as_ref(),
    })
}

/// The failure for standard error; for programs, the errors on standard output as well.
fn unsound(json: bool, file: &str, errors: &ConfigErrors) -> Result<Failure, Failure> {
    if json {
        let answer = Answer {
            ok: false,
            file: file.to_owned(),
            errors: places(errors.errors()),
            warnings: places(errors.warnings()),
            outlook: None,
            interface: None,
        };
        show(&json_text(&answer)).map_err(|error| cannot_print(&error))?;
    }
    let count = errors.errors().len() + errors.omitted();
    let plural = if count == 1 { "error" } else { "errors" };
    let lines = errors.to_string().lines().map(str::to_owned).collect();
    Ok(Failure::no(format!("{file} has {count} {plural}")).details(lines))
}

fn places(findings: &[Finding]) -> Vec<Place<'_>> {
    let place = |finding: &'_ Finding| (finding.line, finding.column);
    findings
        .iter()
        .map(|finding| Place {
            line: place(finding).0,
            column: place(finding).1,
            message: &finding.message,
            hint: finding.hint.as_deref(),
        })
        .collect()
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn cpus() -> u32 {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let running = || std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
    possible_cpus(&list).unwrap_or_else(running)
}
