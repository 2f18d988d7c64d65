//! The machine under test, as the simulator drives it.

use geminus_core::ha::{Adopted, Config, Effect, Ha, Input, Instant};

/// A machine that decides. The real one is [`Ha`]; the tests of the laws drive machines that break them.
pub trait Machine {
    /// Starts; `adopted` are the words that the data plane has from a daemon before.
    fn start(config: Config, adopted: &[Adopted], now: Instant) -> Self;
    /// Hears.
    fn handle(&mut self, input: Input, now: Instant);
    /// It is time.
    fn handle_timeout(&mut self, now: Instant);
    /// When it wants to be woken.
    fn poll_timeout(&self) -> Option<Instant>;
    /// What is to be done.
    fn poll_effect(&mut self) -> Option<Effect>;
}

impl Machine for Ha {
    fn start(config: Config, adopted: &[Adopted], now: Instant) -> Self {
        Self::new(config, adopted, now)
    }

    fn handle(&mut self, input: Input, now: Instant) {
        self.handle(input, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.poll_timeout()
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        self.poll_effect()
    }
}
