//! The guide for new users, done by the letter.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and figures are told"
)]

use std::time::Instant;

use geminus_lab::guide::{Stage, steps};

const GUIDE: &str = include_str!("../../../docs/getting-started.md");

#[test]
fn every_command_of_the_guide_does_what_the_guide_says() {
    let steps = steps(GUIDE).unwrap();
    assert!(steps.len() > 10, "{steps:?}");
    let mut stage = Stage::build(&geminus_lab::balanced::binary_under_test().unwrap()).unwrap();
    for step in &steps {
        let begun = Instant::now();
        match stage.perform(step) {
            Ok(said) => println!("line {} on {}, {:?}\n{said}", step.line, step.machine, begun.elapsed()),
            Err(error) => panic!("{error:?}\n\nwhat stays has said:\n{}", stage.said()),
        }
    }
}
