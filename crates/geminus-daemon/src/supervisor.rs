//! What the service manager is told (`sd_notify(3)`); without one, nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// Tells the service manager about the daemon.
#[derive(Debug)]
pub(crate) struct Supervisor {
    /// How often it wants a sign of life, if at all.
    watchdog: Option<Duration>,
    status: String,
    listens: bool,
}

impl Supervisor {
    pub(crate) fn new() -> Self {
        // Twice in the interval, as sd_watchdog_enabled(3) advises.
        let watchdog = sd_notify::watchdog_enabled().map(|interval| interval / 2);
        Self { watchdog, status: String::new(), listens: std::env::var_os("NOTIFY_SOCKET").is_some() }
    }

    pub(crate) const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    pub(crate) fn alive(&self) {
        send(&[NotifyState::Watchdog]);
    }

    pub(crate) fn ready(&mut self, status: String) {
        send(&[NotifyState::Ready, NotifyState::Status(&status)]);
        self.status = status;
    }

    /// Only asked for where somebody listens: it takes a look at every server.
    pub(crate) fn status(&mut self, status: impl FnOnce() -> String) {
        if !self.listens {
            return;
        }
        let status = status();
        if status != self.status {
            send(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    pub(crate) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => send(&[NotifyState::Reloading, now]),
            Err(_) => send(&[NotifyState::Reloading]),
        }
    }

    pub(crate) fn stopping(&self, status: &str) {
        send(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}
