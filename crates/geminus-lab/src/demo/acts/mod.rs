//! The acts: a dispatcher dies and comes back, in each of the ways in which two can be each other's twin.

mod meter;
mod play;

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Options;
use super::promise::Promise;
use super::story::Takeover;
use crate::pair::{MAIL_NAME, SHOP, SiteFile, Topology};
use crate::twins::Twin;

use play::{Play, tell_crowd, tell_gaps};

/// What a client may feel of a death in the demonstration, on a machine whose processors `wrk` keeps busy.
const FELT: Duration = Duration::from_millis(600);
/// What it may feel of a hand-back, which loses nothing but may meet the announcements of a moment.
const HANDED: Duration = Duration::from_millis(50);
/// Connections that wait, in each family.
const IDLE: usize = 1000;

/// How long `wrk` asks: about as long as an act takes.
const LOADED: Duration = Duration::from_secs(10);
/// In which they are used again, one after the other.
const USE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Figure 10.
    Backup,
    /// Figure 11.
    ContentHost,
    /// Each for the other.
    Mutual,
}

impl Act {
    pub(super) const ALL: [Self; 3] = [Self::Backup, Self::ContentHost, Self::Mutual];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Backup => "The active is cut off: the backup takes over and no connection is lost",
            Self::ContentHost => "The backup may be one of the content hosts",
            Self::Mutual => "Two that stand by for each other: one dies, the other carries both",
        }
    }

    const fn figure(self) -> &'static str {
        match self {
            Self::Backup => "Figure 10: primary and backup",
            Self::ContentHost => "Figure 11: the backup on a content host",
            Self::Mutual => "Mutual: each primary of its own cluster, and backup of the other's",
        }
    }

    const fn lead(self) -> &'static str {
        match self {
            Self::Backup => {
                "Every port of the active falls silent under load. The backup asks, gets no answer, takes the addresses, and carries on with the same choice for every connection. When the primary is well again, the two hand over without losing a packet."
            }
            Self::ContentHost => {
                "The backup is one of the servers it balances for. The addresses have been on its loopback interface all along; connections to its own server stay there while the balancer beside it goes active and standby again."
            }
            Self::Mutual => {
                "Two clusters, two dispatchers, both at work. When one dies, only its cluster moves; the other's clients notice nothing. When it is back, it gets its own cluster back."
            }
        }
    }

    /// Plays it; what goes wrong on the way breaks the promise and not the demonstration.
    pub(super) fn play(self, options: &Options) -> (Promise, Option<Takeover>) {
        let begun = Instant::now();
        let mut promise = Promise::new(self.title());
        let result = match self {
            Self::Backup => backup(options, &mut promise),
            Self::ContentHost => content_host(options, &mut promise),
            Self::Mutual => mutual(options, &mut promise),
        };
        let takeover = result.map_err(|error| promise.must(false, || format!("{error:#}"))).ok();
        let takeover = takeover.map(|seen| Takeover { figure: self.figure(), lead: self.lead(), ..seen });
        promise.took = begun.elapsed();
        (promise, takeover)
    }
}

/// So many, a quarter where it must be quick.
const fn idle(options: &Options, count: usize) -> usize {
    if options.fast { count / 4 } else { count }
}

/// The primary takes over again by itself, and soon: a demonstration is short.
fn soon_back(file: &mut SiteFile) {
    file.set("recovery", "\"auto\"");
    file.set("stable", "\"1s\"");
}

fn backup(options: &Options, promise: &mut Promise) -> Result<Takeover> {
    let mut play = Play::begin(options, Topology::Pair, soon_back)?;
    let mut crowd = play.open_crowd(idle(options, IDLE))?;
    play.load(4, LOADED);
    std::thread::sleep(Duration::from_millis(1500));
    play.cut(Twin::Alpha, "alpha is cut off")?;
    play.wait_active(Twin::Beta, SHOP)?;
    play.mark_claim("beta is active", Twin::Beta, SHOP);
    let after_takeover = crowd.use_all(USE);
    play.rejoin(Twin::Alpha, "alpha is back")?;
    play.wait_home()?;
    play.mark_claim("alpha is active again", Twin::Alpha, SHOP);
    let after_return = crowd.use_all(USE);
    let takeover = play.end(promise)?.with(&after_return);
    tell_gaps(promise, &takeover, "takeover", SHOP, FELT);
    tell_crowd(promise, &after_takeover, "by then")?;
    tell_gaps(promise, &takeover, "hand-back", SHOP, HANDED);
    tell_crowd(promise, &after_return, "after the primary's return")?;
    Ok(takeover)
}

fn content_host(options: &Options, promise: &mut Promise) -> Result<Takeover> {
    let mut play = Play::begin(options, Topology::Collocated, soon_back)?;
    let mut crowd = play.open_crowd(idle(options, IDLE / 4))?;
    let own = crowd.servers().get("beta").copied().unwrap_or(0);
    promise.must(own > 0, || "the backup's own server has no connection".to_owned());
    play.load(2, LOADED);
    std::thread::sleep(Duration::from_millis(1500));
    play.cut(Twin::Alpha, "alpha is cut off")?;
    play.wait_active(Twin::Beta, SHOP)?;
    play.mark_claim("beta balances and serves", Twin::Beta, SHOP);
    let after_takeover = crowd.use_all(USE);
    play.rejoin(Twin::Alpha, "alpha is back")?;
    play.wait_home()?;
    play.mark_claim("alpha balances again", Twin::Alpha, SHOP);
    let after_return = crowd.use_all(USE);
    let takeover = play.end(promise)?.with(&after_return);
    tell_gaps(promise, &takeover, "takeover", SHOP, FELT);
    tell_crowd(promise, &after_takeover, "by then")?;
    promise.say(format!("{own} of them are on the server that became the dispatcher"));
    tell_gaps(promise, &takeover, "hand-back", SHOP, HANDED);
    tell_crowd(promise, &after_return, "after the primary's return")?;
    Ok(takeover)
}

fn mutual(options: &Options, promise: &mut Promise) -> Result<Takeover> {
    let mut play = Play::begin(options, Topology::Mutual, soon_back)?;
    let mut crowd = play.open_crowd(idle(options, IDLE / 4))?;
    play.load(1, LOADED);
    std::thread::sleep(Duration::from_millis(1500));
    play.cut(Twin::Beta, "beta is cut off")?;
    play.wait_active(Twin::Alpha, MAIL_NAME)?;
    play.mark_claim("alpha carries both", Twin::Alpha, MAIL_NAME);
    let after_takeover = crowd.use_all(USE);
    play.rejoin(Twin::Beta, "beta is back")?;
    play.wait_home()?;
    play.mark_claim("each its own again", Twin::Beta, MAIL_NAME);
    let after_return = crowd.use_all(USE);
    let takeover = play.end(promise)?.with(&after_return);
    tell_gaps(promise, &takeover, "takeover", MAIL_NAME, FELT);
    // The dead node was nobody's active there.
    tell_gaps(promise, &takeover, "takeover", SHOP, HANDED);
    tell_crowd(promise, &after_takeover, "by then")?;
    tell_gaps(promise, &takeover, "hand-back", MAIL_NAME, HANDED);
    tell_crowd(promise, &after_return, "after each had its own again")?;
    Ok(takeover)
}
