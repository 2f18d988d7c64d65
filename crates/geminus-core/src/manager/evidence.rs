//! Whether a weight is off, or its readings only scatter.
//!
//! Clients come by chance, so servers that are alike never read alike. How much a server's readings scatter is not
//! computed from counts - latency and load have none - but watched while its weight rests. A weight leaves its rest in two
//! ways. What is off by more than the scatter is summed up until chance does not make such a sum (Page's cumulative sum,
//! 1954): five cycles are enough for a large difference. What is off by less is believed when eight successive means agree
//! on it (Student's t over the means of batches, which asks nothing of how much one cycle has to do with the next).

/// The part of each reading that is put down to chance, in scatters.
const SLACK: f64 = 1.25;

/// The most that one cycle may say, in scatters: no single reading moves a weight.
const LOUDEST: f64 = 4.0;

/// What the sum has to reach for a pool of one server, in scatters. Chance grows with the number of servers, and falls with e
/// to the sum.
const ENOUGH: f64 = 13.0;

/// So many scatters are hardly chance: a weight on its way goes on.
const PLAIN: f64 = 3.0;

/// The scatter is never taken for less than this, as the logarithm of a factor; and less is not worth a long look.
const LEAST: f64 = 0.05;

/// The scatter expected of a server of which nothing has been read.
const EXPECTED: f64 = 0.1;

/// Cycles that the expectation counts as.
const EXPECTATION: f64 = 4.0;

/// Cycles that the scatter is a mean of, in the end.
const MEMORY: f64 = 64.0;

/// Cycles of a batch: longer than one has to do with the next.
const BATCH: f64 = 16.0;

/// Batches that are looked at together.
const BATCHES: f64 = 8.0;

/// How many of its standard errors the mean of the batches has to be off for a pool of one server. For eight batches chance
/// falls with the seventh power.
const SURE: f64 = 5.5;

/// What one server's readings say of its weight while it rests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence {
    more: Sum,
    less: Sum,
    /// Around which readings scatter since the weight rests, and the cycles that it is a mean of.
    mean: f64,
    rested: f64,
    /// The scatter, squared, and the cycles that it is a mean of.
    variance: f64,
    cycles: f64,
    long: Long,
}

/// What speaks for one direction.
#[derive(Debug, Clone, Copy)]
struct Sum {
    /// In scatters, beyond the slack.
    loudness: f64,
    /// By how much the weight was off in the cycles that made it, together.
    far: f64,
    /// How many these are.
    cycles: f64,
}

/// The long look.
#[derive(Debug, Clone, Copy)]
struct Long {
    /// Of the batch under way: by how much the weight was off, together, and in how many cycles.
    far: f64,
    cycles: f64,
    /// Of the batches before it: their means, these squared, and how many they are.
    means: f64,
    squares: f64,
    batches: f64,
}

impl Evidence {
    /// Of a server of which nothing has been read.
    pub(super) const NONE: Self = Self {
        more: Sum::NONE,
        less: Sum::NONE,
        mean: 0.0,
        rested: 0.0,
        variance: EXPECTED * EXPECTED,
        cycles: EXPECTATION,
        long: Long::NONE,
    };

    /// One more cycle at rest: by how much the weight is off, as the logarithm of a factor. By how much it is off after all,
    /// if there is evidence enough in a pool of so many servers; then it begins anew.
    pub(super) fn hear(&mut self, far: f64, servers: usize) -> Option<f64> {
        let servers = servers.max(1) as f64;
        let scatter = self.scatter();
        let loudness = (far / scatter).clamp(-LOUDEST, LOUDEST);
        let far = loudness * scatter;
        self.more.add(loudness - SLACK, far);
        self.less.add(-loudness - SLACK, far);
        self.scatter_by(far);
        let enough = ENOUGH + servers.ln();
        let loud = [self.more, self.less].into_iter().find(|sum| sum.loudness >= enough);
        let found = self.long.add(far, servers).or(loud.map(|sum| sum.far / sum.cycles));
        if found.is_some() {
            *self = Self { variance: self.variance, cycles: self.cycles, ..Self::NONE };
        }
        found
    }

    /// Whether a single reading says it, beyond what chance does.
    pub(super) fn is_plain(&self, far: f64) -> bool {
        far.abs() > self.scatter() * PLAIN
    }

    /// Welford's way, with a memory: what is off for long is no scatter.
    fn scatter_by(&mut self, far: f64) {
        self.rested = (self.rested + 1.0).min(MEMORY);
        self.cycles = (self.cycles + 1.0).min(MEMORY);
        let before = far - self.mean;
        self.mean += before / self.rested;
        self.variance += (before * (far - self.mean) - self.variance) / self.cycles;
    }

    fn scatter(&self) -> f64 {
        self.variance.sqrt().max(LEAST)
    }
}

impl Sum {
    const NONE: Self = Self { loudness: 0.0, far: 0.0, cycles: 0.0 };

    fn add(&mut self, loudness: f64, far: f64) {
        self.loudness += loudness;
        self.far += far;
        self.cycles += 1.0;
        if self.loudness <= 0.0 {
            *self = Self::NONE;
        }
    }
}

impl Long {
    const NONE: Self = Self { far: 0.0, cycles: 0.0, means: 0.0, squares: 0.0, batches: 0.0 };

    /// By how much the weight is off, once the batches are full and agree.
    fn add(&mut self, far: f64, servers: f64) -> Option<f64> {
        self.far += far;
        self.cycles += 1.0;
        if self.cycles < BATCH {
            return None;
        }
        let mean = self.far / BATCH;
        (self.far, self.cycles) = (0.0, 0.0);
        self.means += mean;
        self.squares += mean * mean;
        self.batches += 1.0;
        if self.batches < BATCHES {
            return None;
        }
        let mean = self.means / BATCHES;
        let variance = (self.squares / BATCHES - mean * mean).max(0.0) / (BATCHES - 1.0);
        *self = Self::NONE;
        let sure = SURE * servers.powf(1.0 / (BATCHES - 1.0));
        (mean.abs() > LEAST && mean.abs() >= sure * variance.sqrt()).then_some(mean)
    }
}
