//! One finding of everything that was seen.

use geminus_core::health::Diagnosis;

/// What somebody at a port said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// The service is there.
    Service,
    /// Somebody, but not as it should be; of datagrams, also somebody in another name.
    Other,
    /// The port is closed.
    Refusal,
    /// Nothing.
    Nothing,
}

/// Everything that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// The host claims the cluster address when it is asked for it.
    pub(super) answers_arp: bool,
    /// The host claims its own address.
    pub(super) is_there: bool,
    /// The cluster address answers echo by the clients' road.
    pub(super) echo_by_road: bool,
    /// The host's own address answers echo.
    pub(super) echo_plain: bool,
    /// The service by the clients' road.
    pub(super) by_road: Heard,
    /// The service at the host's own address.
    pub(super) plain: Heard,
}

/// What is wrong. What keeps the service from its clients comes before what is wrong beside it.
pub(super) fn judge(seen: &Seen) -> Diagnosis {
    let host_lives = seen.is_there || seen.echo_plain || seen.plain != Heard::Nothing;
    // Whoever answers ARP for it has it.
    let takes_address = seen.echo_by_road || seen.by_road != Heard::Nothing || seen.answers_arp;
    let beside = if seen.answers_arp { Diagnosis::AnswersArp } else { Diagnosis::Nothing };
    match (seen.by_road, seen.plain) {
        (Heard::Service, _) => beside,
        (Heard::Refusal | Heard::Other, Heard::Service) => Diagnosis::NotBound,
        (Heard::Other, _) => beside,
        (Heard::Refusal, _) => Diagnosis::ServiceDown,
        (Heard::Nothing, Heard::Service | Heard::Other) if takes_address => Diagnosis::Filtered,
        (Heard::Nothing, Heard::Service | Heard::Other) => Diagnosis::NoAddress,
        // A host that had the address would refuse by the clients' road as well.
        (Heard::Nothing, Heard::Refusal) if takes_address => Diagnosis::Filtered,
        (Heard::Nothing, Heard::Refusal) => Diagnosis::NoAddress,
        (Heard::Nothing, Heard::Nothing) if host_lives && !takes_address && seen.echo_plain => {
            Diagnosis::NoAddress
        }
        (Heard::Nothing, Heard::Nothing) if host_lives => Diagnosis::ServiceDown,
        (Heard::Nothing, Heard::Nothing) => Diagnosis::HostDown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Seen = Seen {
        answers_arp: false,
        is_there: true,
        echo_by_road: true,
        echo_plain: true,
        by_road: Heard::Service,
        plain: Heard::Service,
    };

    #[test]
    fn each_way_of_setting_a_host_up_wrong_has_its_name() {
        let none_by_road = Seen { by_road: Heard::Nothing, ..WELL };
        for (what, seen, found) in [
            ("all is well", WELL, Diagnosis::Nothing),
            ("arp_ignore is 0", Seen { answers_arp: true, ..WELL }, Diagnosis::AnswersArp),
            ("not on lo", Seen { echo_by_road: false, ..none_by_road }, Diagnosis::NoAddress),
            (
                "not on lo, and the service was never started for it",
                Seen { echo_by_road: false, plain: Heard::Refusal, ..none_by_road },
                Diagnosis::NoAddress,
            ),
            ("a filter on the port", none_by_road, Diagnosis::Filtered),
            ("bound elsewhere", Seen { by_road: Heard::Refusal, ..WELL }, Diagnosis::NotBound),
            (
                "bound elsewhere, echo is filtered",
                Seen { by_road: Heard::Refusal, echo_by_road: false, ..WELL },
                Diagnosis::NotBound,
            ),
            ("datagrams in its own name", Seen { by_road: Heard::Other, ..WELL }, Diagnosis::NotBound),
            (
                "the service is not running",
                Seen { by_road: Heard::Refusal, plain: Heard::Refusal, ..WELL },
                Diagnosis::ServiceDown,
            ),
            (
                "the service is deaf",
                Seen { by_road: Heard::Nothing, plain: Heard::Nothing, ..WELL },
                Diagnosis::ServiceDown,
            ),
            (
                "the service talks nonsense to everybody",
                Seen { by_road: Heard::Other, plain: Heard::Other, ..WELL },
                Diagnosis::Nothing,
            ),
            (
                "the host filters all but ARP",
                Seen {
                    by_road: Heard::Nothing,
                    plain: Heard::Nothing,
                    echo_by_road: false,
                    echo_plain: false,
                    ..WELL
                },
                Diagnosis::ServiceDown,
            ),
            (
                "the host is gone",
                Seen {
                    answers_arp: false,
                    is_there: false,
                    echo_by_road: false,
                    echo_plain: false,
                    by_road: Heard::Nothing,
                    plain: Heard::Nothing,
                },
                Diagnosis::HostDown,
            ),
        ] {
            assert_eq!(judge(&seen), found, "{what}");
        }
    }
}
