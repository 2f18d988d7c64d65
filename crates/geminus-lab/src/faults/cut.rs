//! Cuts: ports that go dead, cables that are pulled, heartbeats that are lost on the way.
//!
//! An XDP program and a packet socket see a frame before any filter of their own machine does, so everything is cut
//! between the machines: in the switch, in the middle of the cable, in the router.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use crate::namespace::Namespace;
use crate::pair::Topology;
use crate::twins::{Twin, Twins};

/// Port of heartbeats and probes.
pub const HEARTBEATS: u16 = 4870;

/// One of the two ways between the dispatchers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// The LAN.
    Lan,
    /// The cable, or the networks behind the router.
    Second,
}

impl Way {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Lan, Self::Second];

    /// The interface of a dispatcher on this way.
    pub const fn device(self) -> &'static str {
        match self {
            Self::Lan => "eth0",
            Self::Second => "eth1",
        }
    }
}

/// Which heartbeats are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// On which way.
    pub way: Way,
    /// Whose.
    pub from: Twin,
    /// How many of a hundred.
    pub percent: u8,
}

impl Loss {
    /// Every heartbeat on these ways, in both directions.
    pub fn all(ways: &[Way]) -> Vec<Self> {
        Self::random(ways, 100)
    }

    /// So many of a hundred on these ways, in both directions.
    pub fn random(ways: &[Way], percent: u8) -> Vec<Self> {
        let both = |&way: &Way| Twin::BOTH.map(|from| Self { way, from, percent });
        ways.iter().flat_map(both).collect()
    }

    /// Every heartbeat of one on these ways.
    pub fn one_way(ways: &[Way], from: Twin) -> Vec<Self> {
        ways.iter().map(|&way| Self { way, from, percent: 100 }).collect()
    }
}

/// What stands between the machines of a pair.
#[derive(Debug, Clone)]
pub struct Cuts {
    switch: Namespace,
    second: Namespace,
    second_is_bridge: bool,
}

impl Cuts {
    /// Those of a site.
    ///
    /// # Errors
    /// When the site has no second way.
    pub fn of(twins: &Twins) -> Result<Self> {
        let across_router = twins.topology == Topology::PairAcrossRouter;
        let second = if across_router { Some(&twins.site.router) } else { twins.site.cable.as_ref() };
        let second = second.context("the site has no second way")?.clone();
        Ok(Self { switch: twins.site.switch.clone(), second, second_is_bridge: !across_router })
    }

    /// A dispatcher's port goes dead: nothing passes in either direction, and the carrier stays.
    ///
    /// # Errors
    /// When the bridge refuses.
    pub fn mute(&self, twin: Twin, way: Way) -> Result<()> {
        self.port_state(twin, way, "0")
    }

    /// The port passes frames again.
    ///
    /// # Errors
    /// When the bridge refuses.
    pub fn unmute(&self, twin: Twin, way: Way) -> Result<()> {
        self.port_state(twin, way, "3")
    }

    /// All ports of a dispatcher go dead: the silent death of a machine.
    ///
    /// # Errors
    /// When a bridge refuses.
    pub fn isolate(&self, twin: Twin) -> Result<()> {
        // The LAN last: what the client feels begins when all that a partner could hear is over.
        Way::BOTH.into_iter().rev().try_for_each(|way| self.mute(twin, way))
    }

    /// The opposite of [`Self::isolate`].
    ///
    /// # Errors
    /// When a bridge refuses.
    pub fn rejoin(&self, twin: Twin) -> Result<()> {
        Way::BOTH.into_iter().try_for_each(|way| self.unmute(twin, way))
    }

    /// The switch's end of a dispatcher's cable goes down: the dispatcher loses its carrier.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn pull(&self, twin: Twin, way: Way) -> Result<()> {
        self.place(way).ip(&format!("link set {} down\n", twin.name()))
    }

    /// The cable is back.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn plug(&self, twin: Twin, way: Way) -> Result<()> {
        let place = self.place(way);
        place.ip(&format!("link set {} up\n", twin.name()))
    }

    /// Loses these heartbeats, and only these, from now on; none: nothing is lost any more.
    ///
    /// # Errors
    /// When nftables refuses.
    pub fn lose(&self, losses: &[Loss]) -> Result<()> {
        for way in Way::BOTH {
            let on_way: Vec<Loss> = losses.iter().copied().filter(|loss| loss.way == way).collect();
            let bridge = way == Way::Lan || self.second_is_bridge;
            self.place(way).feed("nft", &["-f", "-"], &rules(bridge, &on_way))?;
        }
        Ok(())
    }

    /// Loses ARP claims and unsolicited advertisements of both dispatchers on the LAN; every one beyond `per_second`
    /// if that is given, else so many of a hundred.
    ///
    /// # Errors
    /// When nftables refuses.
    pub fn lose_announcements(&self, percent: u8, per_second: Option<u32>) -> Result<()> {
        let verdict = match per_second {
            Some(rate) => format!("limit rate over {rate}/second drop"),
            None => format!("{}drop", chance(percent)),
        };
        let mut text = fresh("bridge", "announcements");
        text.push_str("table bridge announcements {\n  chain claims {\n");
        text.push_str("    type filter hook prerouting priority -300; policy accept;\n");
        for twin in Twin::BOTH {
            let name = twin.name();
            // A claim goes to everybody; the answer to a question does not.
            let _ = writeln!(
                text,
                "    iifname \"{name}\" ether type arp ether daddr ff:ff:ff:ff:ff:ff {verdict}"
            );
            let _ = writeln!(
                text,
                "    iifname \"{name}\" icmpv6 type nd-neighbor-advert ip6 daddr ff02::1 {verdict}"
            );
        }
        text.push_str("  }\n}\n");
        self.switch.feed("nft", &["-f", "-"], &text).map(drop)
    }

    /// Loses so many of a hundred packets of replication, on both ways.
    ///
    /// # Errors
    /// When nftables refuses.
    pub fn lose_replication(&self, percent: u8) -> Result<()> {
        for way in Way::BOTH {
            let family = if way == Way::Lan || self.second_is_bridge { "bridge" } else { "inet" };
            let mut text = fresh(family, "replication");
            let _ = writeln!(text, "table {family} replication {{\n  chain lost {{");
            text.push_str("    type filter hook prerouting priority -280; policy accept;\n");
            for side in ["sport", "dport"] {
                let _ = writeln!(text, "    tcp {side} {HEARTBEATS} {}drop", chance(percent));
            }
            text.push_str("  }\n}\n");
            self.place(way).feed("nft", &["-f", "-"], &text)?;
        }
        Ok(())
    }

    /// Loses everything that a filter names, in the switch, from now on.
    ///
    /// # Errors
    /// When nftables refuses.
    pub fn lose_in_switch(&self, filters: &[String]) -> Result<()> {
        lose_in_switch(&self.switch, filters)
    }

    /// Where a way can be listened to between the dispatchers.
    pub fn place(&self, way: Way) -> &Namespace {
        match way {
            Way::Lan => &self.switch,
            Way::Second => &self.second,
        }
    }

    fn port_state(&self, twin: Twin, way: Way, state: &str) -> Result<()> {
        if way == Way::Second && !self.second_is_bridge {
            // A router has no bridge port: everything from and to the interface is lost instead.
            let mut text = fresh("inet", "mute");
            if state == "0" {
                let name = twin.name();
                let _ = write!(
                    text,
                    "table inet mute {{\n  chain in {{\n    type filter hook prerouting priority -300;\n    \
                     iifname \"{name}\" drop\n  }}\n  chain out {{\n    type filter hook postrouting priority \
                     -300;\n    oifname \"{name}\" drop\n  }}\n}}\n"
                );
            }
            return self.second.feed("nft", &["-f", "-"], &text).map(drop);
        }
        let arguments = ["link", "set", "dev", twin.name(), "state", state];
        self.place(way).run("bridge", &arguments).map(drop)
    }
}

/// Loses everything that a filter names, in a switch, from now on; no filter: nothing is lost any more.
///
/// # Errors
/// When nftables refuses.
pub fn lose_in_switch(switch: &Namespace, filters: &[String]) -> Result<()> {
    let mut text = fresh("bridge", "named");
    text.push_str("table bridge named {\n  chain frames {\n");
    text.push_str("    type filter hook prerouting priority -290; policy accept;\n");
    for filter in filters {
        let _ = writeln!(text, "    {filter} drop");
    }
    text.push_str("  }\n}\n");
    switch.feed("nft", &["-f", "-"], &text).map(drop)
}

fn rules(bridge: bool, losses: &[Loss]) -> String {
    let family = if bridge { "bridge" } else { "inet" };
    let mut text = fresh(family, "heartbeats");
    let _ = writeln!(text, "table {family} heartbeats {{\n  chain lost {{");
    text.push_str("    type filter hook prerouting priority -300; policy accept;\n");
    for Loss { from, percent, .. } in losses {
        let chance = chance(*percent);
        // Probes and their answers have the same port as heartbeats; replication, over TCP, is not touched.
        let _ = writeln!(text, "    iifname \"{}\" udp dport {HEARTBEATS} {chance}drop", from.name());
    }
    text.push_str("  }\n}\n");
    text
}

/// A filter that so many of a hundred frames meet.
fn chance(percent: u8) -> String {
    match percent {
        100.. => String::new(),
        _ => format!("numgen random mod 100 < {percent} "),
    }
}

/// Forgets what an earlier call said; declared first, so that there is something to forget.
fn fresh(family: &str, table: &str) -> String {
    format!("table {family} {table} {{}}\ndelete table {family} {table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_of_one_sender_on_one_way() {
        let losses = Loss::one_way(&[Way::Lan], Twin::Alpha);
        let text = rules(true, &losses);
        assert!(text.contains("iifname \"alpha\" udp dport 4870 drop"), "{text}");
        assert!(!text.contains("beta") && !text.contains("numgen"), "{text}");
        assert_eq!(Loss::random(&Way::BOTH, 30).len(), 4);
        assert!(rules(false, &Loss::random(&[Way::Second], 30)).contains("mod 100 < 30"));
    }
}
