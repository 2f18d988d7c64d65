use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::super::frame::{self, Head, LONGEST};
use super::super::{EPOCH, Heard, Hearing, Refused, Report, Speaker};
use crate::director::Instant;
use crate::key::AgentsKey;

const WEB1: &str = "198.51.100.21";
const WEB2: &str = "2001:db8:1::22";

/// After which a dispatcher takes an agent for lost.
const TIMEOUT: Duration = Duration::from_secs(5);

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn at(ms: u64) -> Instant {
    Instant::from_start(Duration::from_millis(ms))
}

fn key() -> AgentsKey {
    AgentsKey::from_secret(&[7; 32])
}

fn hearing(start: u8) -> Hearing {
    let mut hearing = Hearing::new([start; 32]);
    hearing.configure(&[key()], &BTreeSet::from([ip(WEB1), ip(WEB2)]), TIMEOUT);
    hearing
}

fn speaker(host: &str, session: u64) -> Speaker {
    Speaker::new(&key().of_host(ip(host)), ip(host), session)
}

fn report(load: u16) -> Report {
    Report {
        host: ip(WEB1),
        load,
        leaving: load % 2 == 1,
        every: Some(Duration::from_secs(1)),
        parts: vec![("cpu".to_owned(), u32::from(load)), ("queue-of-jobs".to_owned(), 3)],
        findings: vec!["198.51.100.80 is not on lo: packets for it are not taken".to_owned()],
    }
}

/// Says one thing and takes the answer in.
fn say(hearing: &mut Hearing, speaker: &mut Speaker, host: &str, load: u16, ms: u64) -> Heard {
    let (_, frame) = speaker.seal(&report(load));
    let heard = hearing.hear(ip(host), &frame, at(ms));
    if let Heard::Report { answer, .. } | Heard::Challenged { answer } = &heard {
        speaker.open(answer).expect("the answer is for this agent");
    }
    heard
}

fn refused(heard: &Heard) -> Option<Refused> {
    match heard {
        Heard::Refused(refused) => Some(*refused),
        _ => None,
    }
}

fn is_accepted(heard: &Heard) -> bool {
    matches!(heard, Heard::Report { .. })
}

#[test]
fn an_agent_is_asked_once_and_then_believed() {
    let (mut hearing, mut speaker) = (hearing(1), speaker(WEB1, 11));
    assert!(matches!(say(&mut hearing, &mut speaker, WEB1, 4, 0), Heard::Challenged { .. }));
    let Heard::Report { report: heard, .. } = say(&mut hearing, &mut speaker, WEB1, 5, 1000) else {
        panic!("not believed");
    };
    assert_eq!(heard, report(5));
    for second in 2..100 {
        assert!(is_accepted(&say(&mut hearing, &mut speaker, WEB1, 6, second * 1000)), "second {second}");
    }
    let counts = hearing.counts();
    assert_eq!((counts.challenged, counts.accepted), (1, 99));
}

#[test]
fn an_ipv6_host_is_heard_and_an_ipv4_host_by_its_mapped_address_too() {
    let mut hearing = hearing(1);
    let mut six = speaker(WEB2, 12);
    say(&mut hearing, &mut six, WEB2, 1, 0);
    assert!(is_accepted(&say(&mut hearing, &mut six, WEB2, 1, 1)));
    let mut four = speaker(WEB1, 12);
    say(&mut hearing, &mut four, "::ffff:198.51.100.21", 1, 0);
    assert!(is_accepted(&say(&mut hearing, &mut four, WEB1, 1, 1)));
}

#[test]
fn no_frame_counts_twice_nor_after_a_newer_one() {
    let (mut hearing, mut speaker) = (hearing(1), speaker(WEB1, 11));
    say(&mut hearing, &mut speaker, WEB1, 1, 0);
    let frames: Vec<_> = (0..5).map(|load| speaker.seal(&report(load)).1).collect();
    assert!(is_accepted(&hearing.hear(ip(WEB1), &frames[2], at(10))));
    for frame in &frames[..=2] {
        assert_eq!(refused(&hearing.hear(ip(WEB1), frame, at(20))), Some(Refused::Replayed));
    }
    assert!(is_accepted(&hearing.hear(ip(WEB1), &frames[4], at(30))));
    assert_eq!(refused(&hearing.hear(ip(WEB1), &frames[3], at(40))), Some(Refused::Replayed));
}

#[test]
fn what_was_held_back_is_not_believed() {
    let (mut hearing, mut speaker) = (hearing(1), speaker(WEB1, 11));
    say(&mut hearing, &mut speaker, WEB1, 1, 0);
    let (_, held) = speaker.seal(&report(2));
    let late = at(2 * EPOCH.as_millis() as u64);
    assert!(matches!(hearing.hear(ip(WEB1), &held, late), Heard::Challenged { .. }));
    // Nor is a session that is adopted already.
    say(&mut hearing, &mut speaker, WEB1, 3, 20_000);
    assert!(is_accepted(&say(&mut hearing, &mut speaker, WEB1, 4, 21_000)));
    let (_, held) = speaker.seal(&report(5));
    assert!(matches!(hearing.hear(ip(WEB1), &held, at(50_000)), Heard::Challenged { .. }));
}

#[test]
fn a_session_that_is_over_stays_over() {
    let mut hearing = hearing(1);
    let (mut old, mut new) = (speaker(WEB1, 11), speaker(WEB1, 12));
    say(&mut hearing, &mut old, WEB1, 1, 0);
    assert!(is_accepted(&say(&mut hearing, &mut old, WEB1, 1, 1)));
    let recorded: Vec<_> = (0..10).map(|_| old.seal(&report(1)).1).collect();
    say(&mut hearing, &mut new, WEB1, 2, 2);
    assert!(is_accepted(&say(&mut hearing, &mut new, WEB1, 2, 3)));
    for (after, frame) in recorded.iter().enumerate() {
        let heard = hearing.hear(ip(WEB1), frame, at(4 + after as u64));
        assert!(!is_accepted(&heard), "{heard:?}");
    }
    assert!(is_accepted(&say(&mut hearing, &mut new, WEB1, 3, 100)), "and the new one goes on");
}

#[test]
fn what_one_dispatcher_was_told_means_nothing_to_another_nor_to_the_next_start() {
    let (mut alpha, mut to_alpha) = (hearing(1), speaker(WEB1, 11));
    say(&mut alpha, &mut to_alpha, WEB1, 1, 0);
    for _ in 0..5 {
        let (_, frame) = to_alpha.seal(&report(1));
        assert!(is_accepted(&alpha.hear(ip(WEB1), &frame, at(10))));
        for other in 2..10 {
            assert!(!is_accepted(&hearing(other).hear(ip(WEB1), &frame, at(10))));
        }
    }
}

#[test]
fn a_started_dispatcher_believes_a_running_agent_with_its_second_report() {
    let (mut before, mut speaker) = (hearing(1), speaker(WEB1, 11));
    for second in 0..10 {
        say(&mut before, &mut speaker, WEB1, 1, second * 1000);
    }
    let mut started = hearing(2);
    assert!(matches!(say(&mut started, &mut speaker, WEB1, 1, 0), Heard::Challenged { .. }));
    assert!(is_accepted(&say(&mut started, &mut speaker, WEB1, 1, 1000)));
}

#[test]
fn who_reports_is_where_it_comes_from_and_is_a_server() {
    let mut hearing = hearing(1);
    let (_, frame) = speaker(WEB1, 11).seal(&report(1));
    assert_eq!(refused(&hearing.hear(ip(WEB2), &frame, at(0))), Some(Refused::OtherHost(ip(WEB1))));
    assert_eq!(refused(&hearing.hear(ip("198.51.100.99"), &frame, at(0))), Some(Refused::Unknown));
    let counts = hearing.counts();
    assert_eq!((counts.malformed, counts.unknown, counts.accepted + counts.challenged), (1, 1, 0));
}

#[test]
fn whoever_has_a_key_and_no_server_is_named_whoever_has_none_is_not_and_neither_is_answered() {
    let mut hearing = hearing(1);
    let stranger = "198.51.100.99";
    let (_, frame) = speaker(stranger, 11).seal(&report(1));
    let Heard::Stranger { report: said } = hearing.hear(ip(stranger), &frame, at(0)) else {
        panic!("missed")
    };
    assert_eq!((said.host, said.load), (ip(stranger), 1));
    let other = AgentsKey::from_secret(&[8; 32]).of_host(ip(stranger));
    let (_, forged) = Speaker::new(&other, ip(stranger), 11).seal(&report(1));
    assert_eq!(refused(&hearing.hear(ip(stranger), &forged, at(1))), Some(Refused::Unknown));
    // The key of another host is none of this one.
    let (_, of_web1) = Speaker::new(&key().of_host(ip(WEB1)), ip(stranger), 11).seal(&report(1));
    assert_eq!(refused(&hearing.hear(ip(stranger), &of_web1, at(2))), Some(Refused::Unknown));
    let heard =
        |hearing: &mut Hearing| matches!(hearing.hear(ip(stranger), &frame, at(3)), Heard::Stranger { .. });
    let named = (0..1000).filter(|_| heard(&mut hearing)).count();
    assert!((1..=16).contains(&named), "a flood costs few hashes: {named}");
    assert_eq!(hearing.counts().unknown, 1003);
    assert!(is_known_in_time(&mut hearing), "and takes nothing from who is known");
}

fn is_known_in_time(hearing: &mut Hearing) -> bool {
    let mut known = speaker(WEB1, 12);
    say(hearing, &mut known, WEB1, 1, 4);
    is_accepted(&say(hearing, &mut known, WEB1, 1, 5))
}

#[test]
fn an_agent_hears_that_its_reports_are_too_far_apart() {
    let mut hearing = hearing(1);
    let mut speaker = speaker(WEB1, 11);
    let mut told = |every| {
        let (_, frame) = speaker.seal(&Report { every, ..report(1) });
        let (Heard::Challenged { answer } | Heard::Report { answer, .. }) =
            hearing.hear(ip(WEB1), &frame, at(0))
        else {
            panic!("refused")
        };
        speaker.open(&answer).expect("an answer").seldom
    };
    let every = |ms| Some(Duration::from_millis(ms));
    assert!(![None, every(100), every(1_000), every(2_500)].map(&mut told).contains(&true));
    assert_eq!([every(2_501), every(5_000), every(60_000)].map(&mut told), [true; 3]);
}

#[test]
fn another_key_is_refused_by_its_name_and_no_key_without_one() {
    let mut hearing = hearing(1);
    let other = AgentsKey::from_secret(&[8; 32]).of_host(ip(WEB1));
    let (_, frame) = Speaker::new(&other, ip(WEB1), 11).seal(&report(1));
    assert_eq!(refused(&hearing.hear(ip(WEB1), &frame, at(0))), Some(Refused::OtherKey(other.id())));
    // The key of another host of the same site, under the name of the right one.
    let (_, frame) = speaker(WEB1, 11).seal(&report(1));
    let head = Head::read(&frame).expect("a frame");
    let forged = frame::report(&head, &report(1), &key().of_host(ip(WEB2)).tag_key());
    assert_eq!(refused(&hearing.hear(ip(WEB1), &forged, at(0))), Some(Refused::Forged));
    assert_eq!(hearing.counts().wrong_key, 2);
}

#[test]
fn while_keys_are_changed_both_are_believed_and_then_the_new_alone() {
    let (mut hearing, mut speaker) = (hearing(1), speaker(WEB1, 11));
    let hosts = BTreeSet::from([ip(WEB1)]);
    let next = AgentsKey::from_secret(&[8; 32]);
    say(&mut hearing, &mut speaker, WEB1, 1, 0);
    hearing.configure(&[next.clone(), key()], &hosts, TIMEOUT);
    assert!(is_accepted(&say(&mut hearing, &mut speaker, WEB1, 1, 1)), "the old, and its session goes on");
    let mut renewed = Speaker::new(&next.of_host(ip(WEB1)), ip(WEB1), 12);
    say(&mut hearing, &mut renewed, WEB1, 1, 2);
    assert!(is_accepted(&say(&mut hearing, &mut renewed, WEB1, 1, 3)));
    hearing.configure(&[next], &hosts, TIMEOUT);
    assert!(matches!(say(&mut hearing, &mut speaker, WEB1, 1, 4), Heard::Refused(Refused::OtherKey(_))));
    assert!(is_accepted(&say(&mut hearing, &mut renewed, WEB1, 1, 5)));
}

#[test]
fn a_host_that_leaves_the_site_is_forgotten() {
    let (mut hearing, mut speaker) = (hearing(1), speaker(WEB1, 11));
    say(&mut hearing, &mut speaker, WEB1, 1, 0);
    hearing.configure(&[key()], &BTreeSet::new(), TIMEOUT);
    assert!(matches!(say(&mut hearing, &mut speaker, WEB1, 1, 1), Heard::Stranger { .. }));
    hearing.configure(&[key()], &BTreeSet::from([ip(WEB1)]), TIMEOUT);
    say(&mut hearing, &mut speaker, WEB1, 1, 2);
    assert!(is_accepted(&say(&mut hearing, &mut speaker, WEB1, 1, 3)));
}

#[test]
fn two_agents_of_one_host_are_told_of_each_other() {
    let mut hearing = hearing(1);
    let (mut one, mut two) = (speaker(WEB1, 11), speaker(WEB1, 12));
    say(&mut hearing, &mut one, WEB1, 1, 0);
    say(&mut hearing, &mut one, WEB1, 1, 1);
    let (counter, frame) = two.seal(&report(2));
    let Heard::Challenged { answer } = hearing.hear(ip(WEB1), &frame, at(2)) else { panic!("not asked") };
    let answer = two.open(&answer).expect("an answer");
    assert_eq!((answer.counter, answer.accepted, answer.other), (counter, false, true));
    // One that was silent for long is no rival.
    let (_, frame) = two.seal(&report(2));
    let Heard::Report { answer, .. } = hearing.hear(ip(WEB1), &frame, at(9000)) else { panic!("refused") };
    assert!(!two.open(&answer).expect("an answer").other);
}

#[test]
fn a_flood_from_outside_takes_nothing_from_an_agent_that_is_known() {
    let (mut hearing, mut speaker) = (hearing(1), speaker(WEB1, 11));
    say(&mut hearing, &mut speaker, WEB1, 1, 0);
    let stranger = Speaker::new(&AgentsKey::from_secret(&[9; 32]).of_host(ip(WEB1)), ip(WEB1), 99);
    let (_, noise) = stranger.clone().seal(&report(1));
    for second in 1..10 {
        for step in 0..1000 {
            hearing.hear(ip(WEB1), &noise, at(second * 1000 + step));
        }
        assert!(is_accepted(&say(&mut hearing, &mut speaker, WEB1, 1, second * 1000 + 999)));
    }
    let counts = hearing.counts();
    assert_eq!(counts.accepted, 9);
    assert!(counts.flood > 8000 && counts.wrong_key < 100, "{counts:?}");
}

#[test]
fn an_agent_takes_only_answers_to_itself_and_each_once() {
    let (mut hearing, mut speaker) = (hearing(1), speaker(WEB1, 11));
    let (_, first) = speaker.seal(&report(1));
    let Heard::Challenged { answer } = hearing.hear(ip(WEB1), &first, at(0)) else { panic!("not asked") };
    let another = self::speaker(WEB1, 12).open(&answer);
    assert_eq!(another, None, "of another session");
    assert_eq!(speaker.clone().open(&first), None, "its own frame, sent back");
    for at in 0..answer.len() {
        let mut garbled = answer.clone();
        garbled[at] ^= 1;
        assert_eq!(speaker.clone().open(&garbled), None, "bit at {at}");
    }
    assert!(speaker.open(&answer).is_some());
    assert_eq!(speaker.open(&answer), None, "again");
    assert!(!is_accepted(&hearing.hear(ip(WEB1), &answer, at(1))), "sent back to the dispatcher");
}

#[test]
fn the_longest_report_is_one_packet_and_says_what_fits() {
    let (mut hearing, mut speaker) = (hearing(1), speaker(WEB1, 11));
    let parts = (0..100).map(|at| (format!("a-name-as-long-as-any-{at:02}"), at)).collect();
    let findings = (0..20).map(|at| format!("{at} é\u{1b}[2J\n{}", "ä".repeat(300))).collect();
    let full = Report {
        host: ip(WEB1),
        load: u16::MAX,
        leaving: true,
        every: Some(Duration::from_millis(900)),
        parts,
        findings,
    };
    let (_, frame) = speaker.seal(&full);
    assert!(frame.len() <= LONGEST, "{}", frame.len());
    let Heard::Challenged { answer } = hearing.hear(ip(WEB1), &frame, at(0)) else { panic!("not asked") };
    assert!(answer.len() < speaker.seal(&Report { parts: vec![], findings: vec![], ..report(0) }).1.len());
    speaker.open(&answer);
    let Heard::Report { report, .. } = hearing.hear(ip(WEB1), &speaker.seal(&full).1, at(1)) else {
        panic!("refused");
    };
    assert_eq!((report.load, report.leaving, report.parts.len()), (u16::MAX, true, frame::PARTS));
    assert!(!report.findings.is_empty() && report.findings.len() <= frame::FINDINGS);
    assert!(report.findings.iter().all(|line| line.ends_with('…') && !line.contains(char::is_control)));
}

#[test]
fn of_a_million_random_frames_none_is_believed() {
    let mut hearing = hearing(1);
    let (_, real) = speaker(WEB1, 11).seal(&report(1));
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut frame = real.clone();
    for round in 0..1_000_000_u64 {
        // Nearly right: a whole good frame with other bytes in up to four places, a tag of noise among them.
        frame.clone_from(&real);
        for _ in 0..=random() % 4 {
            let place = random() as usize % frame.len();
            frame[place] = random() as u8;
        }
        if frame == real {
            continue;
        }
        // An hour between two keeps the bounds of a flood out of it.
        let heard = hearing.hear(ip(WEB1), &frame, at(round * 1000));
        assert!(matches!(heard, Heard::Refused(_)), "{heard:?}");
    }
    let counts = hearing.counts();
    assert_eq!((counts.accepted, counts.challenged, counts.flood), (0, 0, 0), "{counts:?}");
    assert!(counts.wrong_key > 500_000, "most were good but for the tag: {counts:?}");
}

proptest! {
    #[test]
    fn any_bytes_are_refused_and_never_more(
        bytes in proptest::collection::vec(any::<u8>(), 0..1400),
        head in any::<bool>(),
        web1 in any::<bool>(),
    ) {
        let (mut hearing, mut speaker) = (hearing(1), speaker(WEB1, 11));
        let mut frame = bytes;
        if head {
            let (_, real) = speaker.seal(&report(1));
            let known = real.len().min(52).min(frame.len());
            frame[..known].copy_from_slice(&real[..known]);
        }
        let heard = hearing.hear(ip(if web1 { WEB1 } else { WEB2 }), &frame, at(0));
        prop_assert!(refused(&heard).is_some());
        prop_assert_eq!(speaker.open(&frame), None);
    }

    #[test]
    fn a_sealed_body_of_any_bytes_never_panics_and_is_bounded(
        body in proptest::collection::vec(any::<u8>(), 0..1130),
    ) {
        let (_, real) = speaker(WEB1, 11).seal(&report(1));
        let tag_key = key().of_host(ip(WEB1)).tag_key();
        let mut frame = real[..52].to_vec();
        frame.extend(body);
        let tag = blake3::keyed_hash(&tag_key, &frame);
        frame.extend(&tag.as_bytes()[..16]);
        match hearing(1).hear(ip(WEB1), &frame, at(0)) {
            Heard::Refused(refused) => prop_assert_eq!(refused, Refused::Malformed),
            Heard::Challenged { .. } => {}
            Heard::Report { .. } | Heard::Stranger { .. } => prop_assert!(false, "nothing was proved"),
        }
    }

    #[test]
    fn one_changed_bit_is_enough(place in 0_usize..10_000, bit in 0_u8..8) {
        let (mut hearing, mut speaker) = (hearing(1), speaker(WEB1, 11));
        say(&mut hearing, &mut speaker, WEB1, 1, 0);
        let (_, mut frame) = speaker.seal(&report(1));
        let place = place % frame.len();
        frame[place] ^= 1 << bit;
        prop_assert!(refused(&hearing.hear(ip(WEB1), &frame, at(1))).is_some());
    }

    #[test]
    fn in_whatever_order_recorded_frames_come_each_counts_once_and_none_after_a_newer(
        order in proptest::collection::vec((0_usize..40, 0_u64..400), 1..80),
    ) {
        let (mut hearing, mut speaker) = (hearing(1), speaker(WEB1, 11));
        say(&mut hearing, &mut speaker, WEB1, 0, 0);
        let frames: Vec<_> = (0..40).map(|load| speaker.seal(&report(load)).1).collect();
        let (mut newest, mut now) = (None, 1);
        for (which, passed) in order {
            now += passed;
            let accepted = is_accepted(&hearing.hear(ip(WEB1), &frames[which], at(now)));
            prop_assert!(!accepted || newest.is_none_or(|newest| which > newest));
            newest = if accepted { Some(which) } else { newest };
        }
    }
}
