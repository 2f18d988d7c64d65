//! A switch that dies silences every server behind it at once; that is one story, not ten thousand.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Instant;
use crate::journal::EventKind;

/// Events of one kind told in each [`WINDOW`]; the rest is counted and told in one line at its end.
pub(super) const TOLD: u32 = 20;

/// See [`TOLD`].
pub(super) const WINDOW: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Window {
    began: Instant,
    told: u32,
    untold: u32,
}

/// Bounds how many events of one kind are told.
#[derive(Debug, Default)]
pub(super) struct Flood {
    windows: BTreeMap<EventKind, Window>,
}

impl Flood {
    /// Whether one more event of this kind is told; if not, it is counted.
    pub(super) fn admits(&mut self, kind: EventKind, now: Instant) -> bool {
        let window = self.windows.entry(kind).or_insert(Window { began: now, told: 0, untold: 0 });
        let told = window.told < TOLD;
        if told {
            window.told += 1;
        } else {
            window.untold += 1;
        }
        told
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.windows.values().map(|window| window.began + WINDOW).min()
    }

    /// Ends the windows that are over; returns the kinds with how many of them were not told.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<(EventKind, u32)> {
        let mut untold = Vec::new();
        self.windows.retain(|&kind, window| {
            let over = now.since(window.began) >= WINDOW;
            if over && window.untold > 0 {
                untold.push((kind, window.untold));
            }
            !over
        });
        untold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_in_one_line_at_its_end() {
        let mut flood = Flood::default();
        let told = (0..500).filter(|_| flood.admits(EventKind::ServerSilent, Instant::START)).count();
        assert_eq!(told, TOLD as usize);
        let end = flood.poll_timeout().expect("a window is open");
        assert_eq!(flood.handle_timeout(end), [(EventKind::ServerSilent, 500 - TOLD)]);
        assert_eq!(flood.poll_timeout(), None);
        assert!(flood.admits(EventKind::ServerSilent, end));
    }

    #[test]
    fn one_kind_does_not_hide_another() {
        let mut flood = Flood::default();
        (0..500).for_each(|_| {
            flood.admits(EventKind::ServerSilent, Instant::START);
        });
        assert!(flood.admits(EventKind::ServerMoved, Instant::START));
    }
}
