//! The thread itself: takes orders, has each done beside the others, gives signs of life.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use geminus_core::director::Input;
use geminus_core::health::{Fault, Probe, Question, Reading};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::bounds::{BEAT, CHECKS, COLLECTED, DESCRIPTORS, LOOKS, TURN};
use super::check::check;
use super::look::look;
use super::road::Means;
use super::words::own;
use super::{Order, Way};

pub(super) struct Thread {
    orders: mpsc::Receiver<Order>,
    news: mpsc::Sender<Input>,
    beat: Arc<AtomicU64>,
}

/// What orders are carried out with.
struct Hands {
    means: Means,
    news: News,
    checks: Semaphore,
    looks: Semaphore,
}

impl Thread {
    pub(super) const fn new(
        orders: mpsc::Receiver<Order>,
        news: mpsc::Sender<Input>,
        beat: Arc<AtomicU64>,
    ) -> Self {
        Self { orders, news, beat }
    }

    /// Runs until nobody orders any more.
    pub(super) fn run(self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => LocalSet::new().block_on(&runtime, self.serve()),
            Err(error) => tracing::warn!(%error, "the advisors have no event loop"),
        }
    }

    async fn serve(mut self) {
        let checks = CHECKS.min(descriptors());
        let hands = Rc::new(Hands {
            means: Means::new(),
            news: News { driver: self.news, collected: RefCell::default() },
            checks: Semaphore::new(checks),
            looks: Semaphore::new(LOOKS),
        });
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(Order::Probe(probe, way)) => drop(spawn_local(probed(Rc::clone(&hands), probe, way))),
                    Some(Order::Look(question, way)) => {
                        drop(spawn_local(looked(Rc::clone(&hands), question, way)));
                    }
                    None => return,
                },
                _ = beat.tick() => drop(self.beat.fetch_add(1, Ordering::Relaxed)),
            }
        }
    }
}

async fn probed(hands: Rc<Hands>, probe: Probe, way: Way) {
    let turn = turn(&hands.checks).await;
    // The check's time begins now: what it waited for is no server's fault.
    let begun = Instant::now();
    let outcome = match &turn {
        Ok(_) => check(&hands.means, &probe, &way).await,
        Err(crowd) => Err(crowd.clone()),
    };
    drop(turn);
    let reading = Reading { number: probe.number, took: begun.elapsed(), outcome };
    hands.news.tell(Input::Probed(reading)).await;
}

/// The turn of a check, at once or a little later.
async fn turn(checks: &Semaphore) -> Result<SemaphorePermit<'_>, Fault> {
    if let Ok(turn) = checks.try_acquire() {
        return Ok(turn);
    }
    let turn = timeout(TURN, checks.acquire()).await;
    turn.map_err(|_| {
        own("as many checks hang as this process may have open files: raise its limit (LimitNOFILE)")
    })?
    .map_err(own)
}

async fn looked(hands: Rc<Hands>, question: Question, way: Way) {
    // Whoever only listens for a claim is no burden, and there are as many of them as servers.
    let turn = match question.failed {
        true => hands.looks.acquire().await.ok(),
        false => None,
    };
    let found = look(&hands.means, &question, &way).await;
    drop(turn);
    let (server, by) = (question.target.server, question.by);
    hands.news.tell(Input::Diagnosed { server, by, found }).await;
}

/// What came of checks and looks, on its way to the driver: what comes about the same time wakes it once.
struct News {
    driver: mpsc::Sender<Input>,
    collected: RefCell<Vec<Input>>,
}

impl News {
    async fn tell(&self, input: Input) {
        let is_first = {
            let mut collected = self.collected.borrow_mut();
            collected.push(input);
            collected.len() == 1
        };
        if !is_first {
            return;
        }
        sleep(COLLECTED).await;
        for input in self.collected.take() {
            // Nobody hears it: the daemon ends.
            drop(self.driver.send(input).await);
        }
    }
}

/// How many checks may have a descriptor at once: as many as the machine lets this process have, which it is asked to.
fn descriptors() -> usize {
    let wanted = CHECKS as u64 + DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let now = limit.current.unwrap_or(u64::MAX);
    if now < wanted && now < most {
        let current = Some(wanted.min(most));
        // Refused: what there is has to do.
        let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum });
    }
    let now = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(now.saturating_sub(DESCRIPTORS)).unwrap_or(usize::MAX).max(16)
}

#[cfg(test)]
mod tests {
    use geminus_core::health::FaultKind;

    use super::*;

    #[test]
    fn a_check_that_gets_no_turn_says_what_to_raise_and_one_that_waits_a_moment_is_made() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let checks = Semaphore::new(1);
            let first = turn(&checks).await.unwrap();
            let crowd = turn(&checks).await.unwrap_err();
            assert_eq!(crowd.kind, FaultKind::Own);
            assert!(crowd.words.contains("LimitNOFILE"), "{}", crowd.words);
            let ends = async {
                sleep(TURN / 10).await;
                drop(first);
            };
            let (second, ()) = tokio::join!(turn(&checks), ends);
            assert!(second.is_ok());
        });
    }
}
