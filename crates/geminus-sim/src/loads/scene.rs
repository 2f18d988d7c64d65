//! What a site of content hosts is like, and how it is balanced.

use geminus_core::model;

use super::Figures;
use super::story::Story;

/// How new flows find their server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By the hash, all weights equal.
    Equal,
    /// By the hash, weights by what each host can do.
    Right,
    /// The lighter of two candidates, all weights equal.
    Least,
    /// By the hash, weights by the manager.
    Managed,
    /// The lighter of two candidates, weights by the manager.
    ManagedLeast,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Equal, Self::Right, Self::Least, Self::Managed, Self::ManagedLeast];

    /// What a table calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal weights",
            Self::Right => "right weights",
            Self::Least => "least connections",
            Self::Managed => "manager",
            Self::ManagedLeast => "manager, least connections",
        }
    }

    /// Whether the manager sets the weights.
    pub const fn is_managed(self) -> bool {
        matches!(self, Self::Managed | Self::ManagedLeast)
    }

    /// Whether the lighter of two is taken.
    pub const fn is_least(self) -> bool {
        matches!(self, Self::Least | Self::ManagedLeast)
    }
}

/// What a content host can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Power {
    /// Requests it works on at once.
    pub workers: u32,
    /// How many times longer than usual it takes for each.
    pub slowness: u32,
}

impl Power {
    /// Requests a second that keep all its workers busy, in thousandths of what one usual worker does.
    pub const fn thousandths(self) -> u32 {
        self.workers * 1000 / self.slowness
    }
}

/// How agents' reports come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Road {
    /// How many cycles of the manager they are late.
    pub late: u32,
    /// How many of a hundred are lost.
    pub lost: u32,
    /// How many of the hosts, the first ones, have no agent.
    pub mute: usize,
}

impl Road {
    /// All come at once.
    pub const CLEAR: Self = Self { late: 0, lost: 0, mute: 0 };
}

/// A host whose agent says the same whatever is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liar {
    /// Which.
    pub host: usize,
    /// What it says.
    pub load: u16,
}

/// A host that becomes slower while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Which.
    pub host: usize,
    /// Seconds after the beginning.
    pub at: u64,
    /// How many times longer than usual it takes from then on.
    pub slowness: u32,
}

/// A site and those who come to it.
#[derive(Debug, Clone)]
pub struct Scene {
    /// What a table calls it.
    pub name: &'static str,
    /// The content hosts.
    pub hosts: Vec<Power>,
    /// Requests that come, in percent of what all hosts together can do.
    pub asked: u32,
    /// How agents' reports come.
    pub road: Road,
    /// Who lies, if anybody does.
    pub liar: Option<Liar>,
    /// Who becomes slower, if anybody does.
    pub turn: Option<Turn>,
    /// What the manager goes by.
    pub manager: model::Manager,
    /// Seconds before anything is counted.
    pub settling: u64,
    /// Seconds that are counted.
    pub counted: u64,
}

/// A host like most.
pub const USUAL: Power = Power { workers: 4, slowness: 1 };
/// One that takes three times as long.
pub const SLOW: Power = Power { workers: 4, slowness: 3 };

impl Scene {
    /// These hosts at so many percent of what they can do, reports as they should be.
    pub fn new(name: &'static str, hosts: &[Power], asked: u32) -> Self {
        Self {
            name,
            hosts: hosts.to_vec(),
            asked,
            road: Road::CLEAR,
            liar: None,
            turn: None,
            manager: model::Manager::default(),
            settling: 120,
            counted: 180,
        }
    }

    /// Three usual hosts and a slow one. With equal weights the slow one is about nine tenths busy at 36 percent of what all
    /// can do, and cannot keep up from 40 on.
    pub fn one_slow(asked: u32) -> Self {
        Self::new("one of four three times slower", &[USUAL, USUAL, USUAL, SLOW], asked)
    }

    /// What comes of one way to balance.
    pub fn play(&self, way: Way, seed: u64) -> Figures {
        Story::new(self, way, seed).tell()
    }
}

/// The scenes of the table on record.
pub fn scenes() -> Vec<Scene> {
    let of_workers = |workers: &[u32]| -> Vec<Power> {
        workers.iter().map(|&workers| Power { workers, slowness: 1 }).collect()
    };
    let mixed = of_workers(&[2, 4, 8, 16]);
    vec![
        Scene::new("five alike", &[USUAL; 5], 70),
        Scene::one_slow(20),
        Scene::one_slow(36),
        Scene::one_slow(70),
        Scene::one_slow(85),
        Scene::new("2, 4, 8 and 16 workers", &mixed, 25),
        Scene::new("2, 4, 8 and 16 workers", &mixed, 70),
    ]
}
