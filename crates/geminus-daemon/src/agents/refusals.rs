//! Agents' frames that were refused: told once a minute of a kind and host, with what to do about it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use geminus_core::agent::Refused;
use geminus_core::director::Instant;

/// How long nothing more is told of a kind and host.
const QUIET: Duration = Duration::from_secs(60);

/// Kinds and hosts that are kept apart; beyond it a kind is told for all its hosts together. The director tells fewer.
const APART: usize = 1024;

/// A kind of refusal, and the host where that is bounded.
type Kind = (u8, Option<IpAddr>);

#[derive(Debug)]
struct Noted {
    refused: Refused,
    last: IpAddr,
    count: u64,
    told: Option<Instant>,
}

/// What was refused and not told yet.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    kinds: BTreeMap<Kind, Noted>,
}

impl Refusals {
    pub(super) fn note(&mut self, refused: Refused, from: IpAddr) {
        let apart = (rank(refused), Some(from).filter(|_| refused != Refused::Unknown));
        let room = self.kinds.len() < APART || self.kinds.contains_key(&apart);
        let kind = if room { apart } else { (apart.0, None) };
        let noted = self.kinds.entry(kind).or_insert(Noted { refused, last: from, count: 0, told: None });
        noted.count += 1;
        noted.refused = refused;
        noted.last = from;
    }

    /// What is to be told now, a line each. To be asked once a second: some kinds are worth a word only in numbers that no
    /// sound network makes by itself.
    pub(super) fn tell(&mut self, now: Instant) -> Vec<String> {
        let mut told = Vec::new();
        self.kinds.retain(|_, noted| {
            let rested = noted.told.is_none_or(|last| now.since(last) >= QUIET);
            if noted.count < usual(noted.refused) {
                noted.count = 0;
            } else if rested {
                told.push(line(noted));
                noted.count = 0;
                noted.told = Some(now);
            }
            noted.count > 0 || noted.told.is_some_and(|last| now.since(last) < QUIET)
        });
        told
    }
}

fn line(noted: &Noted) -> String {
    let Noted { refused, last, count, .. } = noted;
    let reports = if *count == 1 { "a report".to_owned() } else { format!("{count} reports") };
    let out = match refused {
        Refused::Unknown => "name it as a server, or stop its agent".to_owned(),
        Refused::OtherKey(_) | Refused::Forged => {
            "give its agent what geminus key agent prints on a dispatcher".to_owned()
        }
        Refused::OtherHost(_) => format!("start its agent with --address {last}"),
        Refused::OtherVersion(_) => "install the same release on it".to_owned(),
        Refused::Malformed | Refused::Flood | Refused::Replayed => "look who sends them".to_owned(),
    };
    format!("{reports} from {last} refused, {refused}: {out}")
}

const fn rank(refused: Refused) -> u8 {
    match refused {
        Refused::Unknown => 0,
        Refused::Malformed => 1,
        Refused::OtherVersion(_) => 2,
        Refused::OtherHost(_) => 3,
        Refused::Flood => 4,
        Refused::OtherKey(_) => 5,
        Refused::Forged => 6,
        Refused::Replayed => 7,
    }
}

/// So many in a second are nobody's attack: networks repeat frames and change their order.
const fn usual(refused: Refused) -> u64 {
    match refused {
        Refused::Replayed | Refused::Flood => 20,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([198, 51, 100, last])
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_host_with_another_key_is_named_at_once_and_then_once_a_minute_with_the_way_out() {
        let mut refusals = Refusals::default();
        refusals.note(Refused::OtherKey(0x1a2b_3c4d), ip(21));
        let first = refusals.tell(at(1));
        assert_eq!(
            first,
            [
                "a report from 198.51.100.21 refused, made with key 1a2b3c4d, which this dispatcher does not have: \
              give its agent what geminus key agent prints on a dispatcher"
            ]
        );
        for second in 2..61 {
            refusals.note(Refused::OtherKey(0x1a2b_3c4d), ip(21));
            assert!(refusals.tell(at(second)).is_empty(), "second {second}");
        }
        assert!(refusals.tell(at(61))[0].starts_with("59 reports from 198.51.100.21"));
        assert!(refusals.tell(at(200)).is_empty() && refusals.kinds.is_empty(), "nothing more came");
    }

    #[test]
    fn hosts_do_not_hide_each_other_and_strangers_are_one_line() {
        let mut refusals = Refusals::default();
        refusals.note(Refused::Forged, ip(21));
        refusals.note(Refused::Forged, ip(22));
        (100..200).for_each(|last| refusals.note(Refused::Unknown, ip(last)));
        let told = refusals.tell(at(1));
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told[0].starts_with("100 reports from 198.51.100.199 refused, from an address that is no server")
        );
    }

    #[test]
    fn frames_that_a_network_repeats_are_no_attack_and_a_flood_of_them_is() {
        let mut refusals = Refusals::default();
        for second in 1..100 {
            (0..3).for_each(|_| refusals.note(Refused::Replayed, ip(21)));
            assert!(refusals.tell(at(second)).is_empty());
        }
        (0..1000).for_each(|_| refusals.note(Refused::Replayed, ip(21)));
        assert_eq!(refusals.tell(at(100)).len(), 1);
    }

    #[test]
    fn however_many_are_refused_what_is_kept_of_them_is_bounded() {
        let mut refusals = Refusals::default();
        for host in 0..100_000_u32 {
            refusals.note(Refused::Forged, IpAddr::from(host.to_be_bytes()));
        }
        assert!(refusals.kinds.len() <= APART + 8, "{}", refusals.kinds.len());
    }
}
