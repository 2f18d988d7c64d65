//! One schedule: a seed, what it makes happen, how it ends.

use crate::clients::Clients;
use crate::laws::Violation;
use crate::machine::Machine;
use crate::nemesis::{self, Fault, Manner};
use crate::random::Random;
use crate::shape::Shape;
use crate::time::Nanos;
use crate::world::World;

/// Purposes of a seed's sequences, so that a fault less changes nothing else of the schedule.
const SHAPE: u64 = 1;
const FAULTS: u64 = 2;
const WIRES: u64 = 3;

/// A schedule: everything that a seed says.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The seed.
    pub seed: u64,
    /// How faults follow each other.
    pub manner: Manner,
    /// The site.
    pub shape: Shape,
    /// What goes wrong, in the order of beginning.
    pub faults: Vec<Fault>,
    /// When the last fault is over.
    pub peace: Nanos,
}

/// How a schedule ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The law that it broke.
    pub broken: Option<Violation>,
    /// Events.
    pub events: u64,
    /// Virtual time.
    pub lasted: Nanos,
    /// Changes of hands.
    pub changes: u64,
    /// Clients' packets that reached a server.
    pub forwarded: u64,
    /// What happened, if that was asked for.
    pub trace: Vec<String>,
}

impl Schedule {
    /// The schedule of a seed.
    pub fn of(seed: u64) -> Self {
        let random = Random::new(seed);
        let mut faults = random.fork(FAULTS);
        let manner = match faults.below(16) {
            0 => Manner::Calm,
            1..6 => Manner::Sparse,
            _ => Manner::Dense,
        };
        let shape = Shape::random(&mut random.fork(SHAPE));
        let (faults, peace) = nemesis::plan(&shape, manner, &mut faults);
        Self { seed, manner, shape, faults, peace }
    }

    /// Plays it.
    pub fn play<M: Machine>(&self, clients: &mut Clients, traced: bool) -> Outcome {
        let random = Random::new(self.seed).fork(WIRES);
        clients.begin(self.shape.groups.len());
        let (shape, faults) = (self.shape.clone(), self.faults.clone());
        let playing = std::mem::take(clients);
        let mut world = World::<M>::new(shape, faults, self.peace, playing, random, traced);
        let until = self.peace + World::<M>::settling(&self.shape);
        world.run(until);
        *clients = std::mem::take(&mut world.clients);
        Outcome {
            forwarded: clients.forwarded,
            broken: world.laws.broken.take(),
            events: world.events(),
            lasted: world.now,
            changes: world.laws.changes,
            trace: world.take_trace(),
        }
    }

    /// The same schedule with as few of its faults as still break the same law.
    pub fn shrunk<M: Machine>(&self, clients: &mut Clients) -> Self {
        let Some(broken) = self.play::<M>(clients, false).broken else { return self.clone() };
        let mut best = self.clone();
        let mut chunk = best.faults.len().max(1);
        while chunk > 0 {
            let mut at = 0;
            while at < best.faults.len() {
                let mut fewer = best.clone();
                fewer.faults.drain(at..(at + chunk).min(best.faults.len()));
                let same =
                    fewer.play::<M>(clients, false).broken.is_some_and(|other| other.law == broken.law);
                if same { best = fewer } else { at += chunk }
            }
            chunk /= 2;
        }
        best
    }
}
