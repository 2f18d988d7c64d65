//! What happens to the active node, the same for everybody: cables and ports in the switch, signals to its processes.

use anyhow::Result;

use super::contender::Contender;
use super::ground::Ground;
use crate::twins::Twin;

/// One thing that happens to the active node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fault {
    /// Its ports forward nothing any more; it does not notice.
    Silence,
    /// The cable to its LAN is pulled; it notices.
    Carrier,
    /// It is stopped as an operator does, by SIGTERM.
    Goodbye,
    /// All its processes are killed, its kernel lives on.
    Kill,
    /// All its processes are stopped by SIGSTOP and go on later.
    Freeze,
    /// The backup hears nothing from it, it hears the backup.
    OneWay,
}

const ACTIVE: Twin = Twin::Alpha;

impl Fault {
    pub(super) const ALL: [Self; 6] =
        [Self::Silence, Self::Carrier, Self::Goodbye, Self::Kill, Self::Freeze, Self::OneWay];

    /// What it is called in the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Silence => "silent death (its ports block)",
            Self::Carrier => "carrier loss (its LAN cable is pulled)",
            Self::Goodbye => "planned stop (SIGTERM)",
            Self::Kill => "kill -9 of all its processes",
            Self::Freeze => "SIGSTOP of all its processes, SIGCONT later",
            Self::OneWay => "one-way cut (the backup no longer hears it)",
        }
    }

    /// Whether the node's kernel goes on without its daemon, so that what it has handed to the kernel goes on too.
    pub(super) const fn leaves_the_kernel(self) -> bool {
        matches!(self, Self::Kill | Self::Freeze)
    }

    /// Whether it passes, and everything is as before but for what the nodes made of it.
    pub(super) const fn passes(self) -> bool {
        !matches!(self, Self::Goodbye | Self::Kill)
    }

    pub(super) fn happen(self, ground: &Ground, contender: &mut dyn Contender) -> Result<()> {
        match self {
            Self::Silence => ground.block(ACTIVE),
            Self::Carrier => ground.pull(ACTIVE),
            Self::Goodbye => contender.leave(ACTIVE),
            Self::Kill => contender.kill(ACTIVE),
            Self::Freeze => contender.freeze(ACTIVE),
            Self::OneWay => ground.cut_one_way(ACTIVE),
        }
    }

    /// Undoes what can be undone; the dead stay dead.
    pub(super) fn pass(self, ground: &Ground, contender: &mut dyn Contender) -> Result<()> {
        match self {
            Self::Silence => ground.unblock(ACTIVE),
            Self::Carrier => ground.plug(ACTIVE),
            Self::Goodbye | Self::Kill => Ok(()),
            Self::Freeze => contender.thaw(ACTIVE),
            Self::OneWay => ground.mend(),
        }
    }
}
