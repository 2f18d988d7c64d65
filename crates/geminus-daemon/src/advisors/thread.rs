//! The thread itself: takes orders, has each done beside the others, gives signs of life.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use geminus_core::director::Input;
use geminus_core::health::{Probe, Question, Reading};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval};

use super::bounds::{BEAT, CHECKS, DESCRIPTORS, LOOKS};
use super::check::check;
use super::look::look;
use super::road::Means;
use super::{Order, Way};

pub(super) struct Thread {
    orders: mpsc::Receiver<Order>,
    news: mpsc::Sender<Input>,
    beat: Arc<AtomicU64>,
}

/// What orders are carried out with.
struct Hands {
    means: Means,
    news: mpsc::Sender<Input>,
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
            news: self.news,
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
    let Ok(_turn) = hands.checks.acquire().await else { return };
    let begun = Instant::now();
    let outcome = check(&hands.means, &probe, &way).await;
    let reading = Reading { number: probe.number, took: begun.elapsed(), outcome };
    // Nobody hears it: the daemon ends.
    drop(hands.news.send(Input::Probed(reading)).await);
}

async fn looked(hands: Rc<Hands>, question: Question, way: Way) {
    // Whoever only listens for a claim is no burden, and there are as many of them as servers.
    let _turn = match question.failed {
        true => hands.looks.acquire().await.ok(),
        false => None,
    };
    let found = look(&hands.means, &question, &way).await;
    let (server, by) = (question.target.server, question.by);
    drop(hands.news.send(Input::Diagnosed { server, by, found }).await);
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
