//! Users that programs run as: one for each program that runs, so that what one forks is counted against no other, and
//! whatever it left behind is known by its user.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;

use geminus_core::health::Fault;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::confine::{end_all, is_root};
use crate::advisors::bounds::PROGRAMS;
use crate::advisors::words::own;

/// First of the numbers: above everything that systemd (to 1 879 048 191) and the default ranges of SSSD and FreeIPA (to
/// 2 000 200 000) give away, and the last of them, 2 139 095 039, below what systemd keeps for images (2 147 352 576).
const FIRST: u32 = 0x7780_0000;

/// Numbers of one daemon: its programs' and, the first, of who ends them.
const NUMBERS: u32 = PROGRAMS as u32 + 1;

/// Daemons of one machine have other numbers: by their process numbers, of which so many are told apart.
const DAEMONS: u32 = 1 << 21;

/// The users of one daemon.
pub(in crate::advisors) struct Users {
    turns: Semaphore,
    /// Whose turn is next. Who was first is last again, so that what was killed has time to be gone.
    idle: RefCell<VecDeque<Number>>,
    /// Of who ends programs; none: this process is not root, and programs run as it does.
    ender: Option<u32>,
}

struct Number {
    number: u32,
    /// Whether what ran last could be ended.
    is_ended: bool,
}

/// One of them, while a program runs. Everything of it is ended when this is dropped.
pub(super) struct User<'a> {
    users: &'a Users,
    number: u32,
    /// Whether there is, or was, anything to end.
    has_run: Cell<bool>,
    group: Cell<Option<Pid>>,
    _turn: SemaphorePermit<'a>,
}

impl Users {
    pub(in crate::advisors) fn new() -> Self {
        let ender = FIRST + std::process::id() % DAEMONS * NUMBERS;
        let idle = (ender + 1..ender + NUMBERS).map(|number| Number { number, is_ended: true }).collect();
        Self { turns: Semaphore::new(PROGRAMS), idle: RefCell::new(idle), ender: is_root().then_some(ender) }
    }

    /// A user whom nobody has, as soon as there is one.
    pub(super) async fn take(&self, until: Instant) -> Result<User<'_>, Fault> {
        let Ok(turn) = timeout_at(until, self.turns.acquire()).await else {
            return Err(own(format!(
                "{PROGRAMS} programs run, and none ends in time: a shorter `timeout`, or less of them"
            )));
        };
        let turn = turn.map_err(own)?;
        let next = self.idle.borrow_mut().pop_front();
        let Number { number, is_ended } = next.ok_or_else(|| own("no user is left for its program"))?;
        let has_run = Cell::new(!is_ended);
        let user = User { users: self, number, has_run, group: Cell::new(None), _turn: turn };
        // Where it still cannot be ended, dropping the user tries once more, and remembers.
        user.end().map_err(|error| own(format!("an earlier program could not be ended: {error}")))?;
        Ok(user)
    }
}

impl User<'_> {
    /// Whom its program becomes; none: who we are.
    pub(super) fn number(&self) -> Option<u32> {
        self.users.ender.map(|_| self.number)
    }

    /// Its program leads this group of processes.
    pub(super) fn leads(&self, group: Option<Pid>) {
        self.has_run.set(true);
        self.group.set(group);
    }

    fn end(&self) -> io::Result<()> {
        if !self.has_run.get() {
            return Ok(());
        }
        match (self.users.ender, self.group.get()) {
            (Some(ender), _) => end_all(self.number, ender)?,
            (None, Some(group)) => match kill_process_group(group, Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            },
            (None, None) => {}
        }
        self.has_run.set(false);
        Ok(())
    }
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        let ended = self.end();
        if let Err(error) = &ended {
            tracing::debug!(%error, user = self.number, "a check's program could not be ended yet");
        }
        let number = Number { number: self.number, is_ended: ended.is_ok() };
        self.users.idle.borrow_mut().push_back(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_daemons_are_nobody_s() {
        let last = FIRST + (DAEMONS - 1) * NUMBERS + NUMBERS - 1;
        assert!(FIRST > 2_000_200_000 && last == 2_139_095_039 && last < 2_147_352_576);
        assert_eq!(Users::new().idle.borrow().len(), PROGRAMS);
    }
}
