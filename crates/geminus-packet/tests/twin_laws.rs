//! Laws of what partners tell each other, of handing over, and of what partners forward.

use geminus_fixtures::fixture::Step;
use geminus_fixtures::random::Random;
use geminus_fixtures::stage::{Action, HostHome, Ran, Seen, Stage};
use geminus_fixtures::twin::{
    self, COLLOCATED, FLOOR, GROUPS, KEY, NEXT_KEY, NEXT_KEY_ID, OWN_SESSION, PAST_SESSION, Payload, QUIET,
    SESSION, STAMP, answer4, answer6, frame4, frame6,
};
use geminus_fixtures::{ground, list};
use geminus_packet::dispatch_twin;
use geminus_packet::frame::SliceFrame;
use geminus_packet::journal::Slot;
use geminus_packet::tables::{GroupState, PathFacts, Tables as _, Ticks};
use geminus_packet::twin::{BODY_AT, First, GroupTold, Head, Kind};
use geminus_packet::verdict::{Class, reasons};

const NOW: Ticks = Ticks(5 << 32 | 0x1234_5678);
const SECOND: u64 = 1_000_000_000;

fn stage() -> Stage<HostHome> {
    let sizes = ground::sizes(&ground::site(), 1, 1);
    Stage::new(HostHome::new(&sizes, NOW), &sizes)
}

/// The frame of a fixture.
#[track_caller]
fn fixture(name: &str) -> Vec<u8> {
    list::all().into_iter().find(|fixture| fixture.name == name).expect("the fixture is there").frame
}

/// Why a frame was treated as it was; notes are left out.
fn reason(seen: &Seen) -> &'static str {
    let is_verdict = |name: &str| reasons().any(|reason| reason.name == name && reason.class != Class::Note);
    seen.moved.iter().map(|(name, _)| *name).find(|name| is_verdict(name)).expect("every frame is counted")
}

#[test]
fn a_probe_is_answered_with_what_the_groups_say() {
    let mut random = Random::new(3);
    let mut stage = stage();
    for _ in 0..2000 {
        let mut told = Vec::new();
        // One tick is four milliseconds.
        for number in GROUPS {
            let left = random.one(&[0, 1, 2, 250, 1250, 75_000, u64::from(u32::MAX), 1 << 40]);
            let state = GroupState {
                epoch: random.next() & GroupState::EPOCH_BITS,
                standing: random.below(6) as u8,
                quiet: random.below(2) == 0,
            };
            let group = stage.home.tables.group(number.into()).expect("there is this group");
            group.state.store(state.word());
            let lapsed = random.below(4) == 0;
            group.deadline.store(if lapsed { NOW.0.saturating_sub(left) } else { NOW.0 + left });
            let lease = if lapsed { 0 } else { left.min(u32::MAX.into()) * 4 };
            told.extend(GroupTold { number, standing: state.standing, epoch: state.epoch, lease }.words());
        }
        let body = <[u64; 4]>::try_from(told).expect("two words a group");
        let asked = Payload { session: random.next() | 1, counter: random.next(), ..Payload::probe() };
        let answered = |bytes| Ran { action: Action::Transmit, bytes };
        let of = Payload::answer(&asked, body);
        assert_eq!(stage.run(&frame4(&asked)).ran, answered(answer4(&of)));
        let in_v6 = stage.run(&frame6(&asked)).ran;
        assert!(twin::has_right_checksum6(&in_v6.bytes[14..]));
        assert_eq!(in_v6, answered(answer6(&of)));
        let head = Head::from_bytes(&in_v6.bytes[62..]).expect("a whole head");
        assert_eq!(head.first, First::new(Kind::Answer, 0, twin::KEY_ID));
        let word = |at| u64::from_le_bytes(in_v6.bytes[at..at + 8].try_into().expect("eight bytes"));
        let group = GroupTold::from_words([word(62 + BODY_AT), word(62 + BODY_AT + 8)]);
        assert_eq!((group.number, group.words()), (GROUPS[0], [body[0], body[1]]));
    }
}

#[test]
fn of_groups_that_are_not_shared_nothing_is_told() {
    for groups in [[0, 0], [2, 0], [0, 1]] {
        let mut stage = stage();
        stage.home.tables.group(0).expect("there is a group").state.store(u64::MAX);
        let path = stage.home.tables.path(0).expect("there is a path");
        path.facts.store(PathFacts::new(twin::PORT, 0, [twin::KEY_ID; 2], groups).0);
        let [a, b, c, d] = twin::TOLD;
        let words = |group| match group {
            1 => [a, b],
            2 => [c, d],
            _ => [0, 0],
        };
        let [one, two] = groups.map(words);
        let told = Payload::answer(&Payload::probe(), [one[0], one[1], two[0], two[1]]);
        assert_eq!(stage.run(&frame4(&Payload::probe())).ran.bytes, answer4(&told));
    }
}

#[test]
fn a_lease_is_never_told_shorter_than_it_is() {
    let mut stage = stage();
    // Ticks of every rate that Linux has: a partner that waits it out is not too early.
    for rate in [100_u32, 250, 300, 512, 1000] {
        for left in [1_u64, 2, 3, 299, 301, 1500, 5 * u64::from(rate), 60 * u64::from(rate)] {
            let tables = &stage.home.tables;
            tables
                .globals()
                .expect("tables have settings")
                .tick
                .store((1000_u64 << 16).div_ceil(rate.into()));
            tables.group(1).expect("there is this group").deadline.store(NOW.0 + left);
            let bytes = stage.run(&frame4(&Payload::probe())).ran.bytes;
            let told = u64::from_le_bytes(bytes[90..98].try_into().expect("eight bytes"));
            let exact = left as f64 * 1000.0 / f64::from(rate);
            assert!(told as f64 >= exact && (told as f64) < exact + 2.0, "{told} ms of {exact}");
        }
    }
}

#[test]
fn a_forged_beat_never_passes() {
    let mut stage = stage();
    let mut random = Random::new(4);
    for _ in 0..20_000 {
        let mut beat = Payload::beat();
        beat.counter = beat.counter.wrapping_add(random.below(1000) as u64);
        let mut frame = if random.below(2) == 0 { frame4(&beat) } else { frame6(&beat) };
        let head = if frame[12] == 8 { 42 } else { 62 };
        match random.below(4) {
            // Any of what the gate is for, or the gate.
            0 => frame[head + random.below(32)] ^= 1 << random.below(8),
            1 => frame[head + 24..head + 32].copy_from_slice(&random.next().to_le_bytes()),
            2 => frame[head + 8..head + 16].copy_from_slice(&random.next().to_le_bytes()),
            _ => frame[head + 16..head + 24].copy_from_slice(&random.next().to_le_bytes()),
        }
        let before = frame.clone();
        let seen = stage.run(&frame);
        assert_eq!(seen.ran, Ran { action: Action::Drop, bytes: before });
        let why = reason(&seen);
        assert!(["twin-forged", "twin-shape", "twin-version", "twin-key"].contains(&why), "{why}");
    }
    let true_one = stage.run(&frame4(&Payload::beat()));
    assert_eq!(reason(&true_one), "twin-beat", "the flood took nothing from the true ones");
}

#[test]
fn a_replayed_beat_never_passes() {
    let mut stage = stage();
    for counter in (0..=FLOOR).step_by(7).chain([FLOOR]) {
        assert_eq!(reason(&stage.run(&frame4(&Payload { counter, ..Payload::beat() }))), "twin-replayed");
    }
    let past = Payload { session: PAST_SESSION, counter: u64::MAX, ..Payload::beat() };
    assert_eq!(reason(&stage.run(&frame6(&past))), "twin-replayed");
    let next = Payload { counter: FLOOR + 1, ..Payload::beat() };
    assert_eq!(reason(&stage.run(&frame4(&next))), "twin-beat");
    stage.home.tables.path(0).expect("there is a path").floor.store(FLOOR + 1);
    assert_eq!(reason(&stage.run(&frame4(&next))), "twin-replayed");
    // By the other path it has not come yet.
    assert_eq!(reason(&stage.run(&frame6(&next))), "twin-beat");
}

#[test]
fn of_sessions_nobody_knows_twenty_beats_a_second_pass_and_the_known_one_goes_on() {
    let mut stage = stage();
    let mut passed = 0;
    // A thousand a second for ten seconds.
    for at in 0..10_000_u64 {
        stage.home.tables.stamp.store(STAMP + at * SECOND / 1000);
        let unknown = Payload { session: 1 << 40 | at, counter: 0, ..Payload::beat() };
        let seen = stage.run(&frame4(&unknown));
        assert!(["twin-beat", "twin-flood"].contains(&reason(&seen)), "{seen:?}");
        passed += u64::from(reason(&seen) == "twin-beat");
        if at % 50 == 0 {
            assert_eq!(reason(&stage.run(&frame4(&Payload::beat()))), "twin-beat");
        }
    }
    // A second's worth at once, and then what comes in.
    assert!((200..=221).contains(&passed), "{passed} passed");
    // By the other path none came.
    assert_eq!(reason(&stage.run(&frame6(&Payload { session: 3, ..Payload::beat() }))), "twin-beat");
}

#[test]
fn a_frame_that_is_passed_says_when_it_came_and_nothing_else_of_it_changes() {
    let mut stage = stage();
    for payload in [Payload::beat(), Payload::awaited()] {
        for frame in [frame4(&payload), frame6(&payload)] {
            let ran = stage.run(&frame).ran;
            let at = if frame[12] == 8 { 42 } else { 62 };
            assert_eq!(Head::from_bytes(&ran.bytes[at..]).map(|head| head.stamp), Some(STAMP));
            let mut before = ran.bytes.clone();
            before[at + 32..at + 40].fill(0);
            assert_eq!((ran.action, before), (Action::Pass, frame));
        }
    }
}

#[test]
fn while_keys_change_both_are_accepted_and_probes_are_answered_under_their_own() {
    let mut stage = stage();
    let next = |payload: Payload| Payload { key: NEXT_KEY, key_id: NEXT_KEY_ID, ..payload };
    for payload in [Payload::probe(), next(Payload::probe())] {
        let told = Payload::answer(&payload, twin::TOLD);
        assert_eq!(stage.run(&frame6(&payload)).ran.bytes, answer6(&told));
    }
    // Once there is one key only, the other is nobody's.
    let path = stage.home.tables.path(1).expect("there is a path");
    path.facts.store(PathFacts::new(twin::PORT, 1, [twin::KEY_ID; 2], GROUPS).0);
    for (word, key) in path.gates[1].iter().zip(KEY) {
        word.store(key);
    }
    assert_eq!(reason(&stage.run(&frame6(&next(Payload::beat())))), "twin-key");
    assert_eq!(reason(&stage.run(&frame6(&Payload::beat()))), "twin-beat");
}

#[test]
fn what_comes_back_to_its_sender_is_never_taken_for_the_partners() {
    let mut stage = stage();
    // As an attacker would send them: with the partner's addresses.
    let own_beat = Payload { session: OWN_SESSION, counter: u64::MAX, ..Payload::beat() };
    let own_probe = Payload { session: OWN_SESSION, counter: u64::MAX, ..Payload::probe() };
    let own_answer = Payload::answer(&Payload { session: SESSION, ..Payload::probe() }, twin::TOLD);
    for (payload, why) in
        [(own_beat, "twin-reflected"), (own_probe, "twin-reflected"), (own_answer, "twin-unasked")]
    {
        assert_eq!(reason(&stage.run(&frame4(&payload))), why);
        assert_eq!(reason(&stage.run(&frame6(&payload))), why);
    }
}

#[test]
fn a_quiet_node_forwards_and_does_not_answer_arp() {
    let (syn, arp) =
        (fixture("IPv4: a SYN goes by the ring"), fixture("who-has for a cluster address is answered"));
    let solicitation = fixture("a solicitation is answered");
    let answers = [&arp, &solicitation];
    let mut stage = stage();
    for asked in answers {
        assert_eq!(stage.run(asked).ran.action, Action::Transmit);
    }
    stage.take(&Step::Write(QUIET));
    for asked in answers {
        let seen = stage.run(asked);
        assert_eq!((reason(&seen), seen.ran), ("quiet", Ran { action: Action::Pass, bytes: asked.clone() }));
    }
    assert_eq!(reason(&stage.run(&syn)), "ring");
    // Its lease still ends with its tick.
    stage.take(&Step::Lapse);
    assert_eq!(reason(&stage.run(&arp)), "not-active");
    assert_eq!(reason(&stage.run(&syn)), "not-active");
}

#[test]
fn a_frame_of_the_partner_is_never_balanced() {
    let mut stage = stage();
    stage.take(&Step::Write(COLLOCATED));
    for fixture in list::all() {
        let mut frame = fixture.frame.clone();
        if frame.len() < 14 {
            continue;
        }
        frame[6..12].copy_from_slice(&ground::PARTNER_MAC);
        let seen = stage.run(&frame);
        let class = reasons().find(|one| one.name == reason(&seen)).map(|one| one.class);
        assert!(class != Some(Class::Forward) && seen.sent.is_empty(), "{}: {seen:?}", fixture.name);
    }
}

#[test]
fn a_promotion_is_in_the_journal() {
    let sizes = ground::sizes(&ground::site(), 16, 1);
    let mut stage = Stage::new(HostHome::new(&sizes, NOW), &sizes);
    let journal = |stage: &Stage<HostHome>, since| {
        let mut slots = Vec::new();
        let reading = stage.home.tables.journals().map(|one| one.read(since, |slot| slots.push(slot)));
        (reading.last().map_or(0, |reading| reading.next), slots)
    };
    let mut next = 0;
    // The second port's clients are remembered too.
    for (port, entries) in [(80_u16, 1), (1032, 2)] {
        let mut syn = fixture("IPv4: a SYN goes by the ring");
        syn[36..38].copy_from_slice(&port.to_be_bytes());
        let mut ack = syn.clone();
        ack[47] = 0x10;
        stage.run(&syn);
        assert_eq!(journal(&stage, next), (next, vec![]), "a first packet is no flow yet");
        assert_eq!(reason(&stage.run(&ack)), "promoted");
        let (now, slots) = journal(&stage, next);
        next = now;
        assert_eq!(slots.len(), entries, "{slots:?}");
        for slot in slots {
            let (slot, bucket) = match slot {
                Slot::Flow(slot) => (slot, stage.home.tables.flows(slot >> 3)),
                Slot::Client(slot) => (slot, stage.home.tables.affinity(slot >> 3)),
            };
            let found = bucket.and_then(|bucket| bucket.way(slot as usize & 7)).expect("the slot is taken");
            assert_eq!(found.note.age(NOW.0 as u32), 0);
        }
        stage.run(&ack);
        assert_eq!(journal(&stage, next), (next, vec![]), "a flow is told once");
    }
    stage.home.tables.dry = true;
    assert!(stage.home.tables.journal().is_none(), "what is only asked about is not told");
}

#[test]
fn where_only_partners_are_their_frames_are_treated_as_everywhere_and_nothing_else_is_touched() {
    for fixture in list::all() {
        let (mut everywhere, mut apart) = (stage(), stage());
        for step in &fixture.before {
            everywhere.take(step);
            apart.take(step);
        }
        let seen = everywhere.run(&fixture.frame);
        let mut frame = SliceFrame::new(fixture.frame.clone());
        let verdict = dispatch_twin(&mut frame, &apart.home.tables, NOW);
        let why = verdict.and_then(|verdict| verdict.reason()).map(|reason| reason.name);
        if reason(&seen).starts_with("twin-") {
            assert_eq!((why, frame.bytes()), (Some(reason(&seen)), &seen.ran.bytes[..]), "{}", fixture.name);
        } else {
            assert_eq!((why, frame.bytes()), (None, &fixture.frame[..]), "{}", fixture.name);
        }
    }
}
