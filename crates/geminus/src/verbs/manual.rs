//! `geminus completions` and `geminus man`: what a package installs beside the binary.

use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::Cli;
use crate::failure::{Exit, Failure};
use crate::verbs::print;

/// Prints the completion script of a shell.
pub(crate) fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "geminus", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Prints the manual page, or writes all of them.
pub(crate) fn man(dir: Option<&Path>) -> Result<Exit, Failure> {
    match dir {
        None => {
            print(&whole(Cli::command()).map_err(|error| Failure::no(format!("cannot render: {error}")))?)
        }
        Some(dir) => {
            write(dir).map_err(|error| Failure::no(format!("cannot write to {}: {error}", dir.display())))
        }
    }
}

/// A page for `geminus` and one for each verb, each referring to the others by name.
fn write(dir: &Path) -> io::Result<Exit> {
    std::fs::create_dir_all(dir)?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    write_page(&command, dir)?;
    Ok(Exit::Done)
}

fn write_page(command: &Command, dir: &Path) -> io::Result<()> {
    let man = Man::new(command.clone());
    let name = man.get_filename();
    let mut page = Vec::new();
    man.render(&mut page)?;
    std::fs::write(dir.join(name), line_by_line(&String::from_utf8_lossy(&page)))?;
    command.get_subcommands().try_for_each(|verb| write_page(verb, dir))
}

/// One page with every verb: its own section each after those of `geminus` itself.
fn whole(command: Command) -> io::Result<String> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    let mut text = line_by_line(&String::from_utf8_lossy(&page));
    for verb in command.get_subcommands() {
        append(verb, "geminus", &mut text)?;
    }
    Ok(text)
}

fn append(verb: &Command, parent: &str, text: &mut String) -> io::Result<()> {
    let name = format!("{parent} {}", verb.get_name());
    let man = Man::new(verb.clone());
    let mut section = Vec::new();
    man.render_synopsis_section(&mut section)?;
    man.render_description_section(&mut section)?;
    man.render_options_section(&mut section)?;
    if verb.get_after_help().is_some() || verb.get_after_long_help().is_some() {
        man.render_extra_section(&mut section)?;
    }
    text.push_str(&format!(".SH \"{}\"\n", name.to_uppercase()));
    // Inside the section of the verb, the parts are subsections.
    text.push_str(&line_by_line(&String::from_utf8_lossy(&section)).replace(".SH ", ".SS "));
    verb.get_subcommands().try_for_each(|inner| append(inner, &name, text))
}

/// The examples as they were written: without filling, a command line keeps its line (groff_man(7)).
fn line_by_line(page: &str) -> String {
    let Some((before, extra)) = page.split_once(".SH EXTRA\n") else { return page.to_owned() };
    let (examples, after) = extra.split_at(extra.find("\n.SH ").map_or(extra.len(), |end| end + 1));
    format!("{before}.SH EXAMPLES\n.nf\n{}\n.fi\n{after}", examples.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_keep_their_lines() {
        let page = ".SH A\nx\n.SH EXTRA\nExample:\n  geminus\n.SH VERSION\nv1\n";
        let expected = ".SH A\nx\n.SH EXAMPLES\n.nf\nExample:\n  geminus\n.fi\n.SH VERSION\nv1\n";
        assert_eq!(line_by_line(page), expected);
        assert_eq!(line_by_line(".SH A\n"), ".SH A\n");
    }

    #[test]
    fn the_manual_has_a_section_for_every_verb() {
        let page = whole(Cli::command()).expect("a page");
        for verb in ["GEMINUS RUN", "GEMINUS EXPLAIN", "GEMINUS HOST SETUP", "GEMINUS HOST CHECK"] {
            assert!(page.contains(&format!(".SH \"{verb}\"")), "{verb}");
        }
    }
}
