//! `geminus host`: a content host for direct return.
//!
//! [`seen`] and [`sockets`] read the machine, [`findings`] and [`steps`] judge what was read and touch nothing,
//! [`setup`] and [`undo`] act, [`record`] remembers what was done.

pub(crate) mod agent;
pub(crate) mod args;
mod check;
mod findings;
mod obstacles;
mod permanent;
mod record;
mod seen;
mod setup;
mod sockets;
mod steps;
mod sysctl;
mod undo;
mod wanted;

use crate::failure::{Exit, Failure};
use crate::host::args::{HostArgs, HostVerb};
use crate::screen::Look;

/// Does what the arguments say.
pub(crate) fn run(args: &HostArgs, look: Look) -> Result<Exit, Failure> {
    match &args.verb {
        HostVerb::Setup(args) => setup::run(args, look),
        HostVerb::Undo(args) => undo::run(args, look),
        HostVerb::Check(args) => check::run(args, look),
        HostVerb::Agent(args) => agent::run(args),
    }
}
