//! Laws of the second look where very much fails at once.

use super::*;

const MANY: usize = 1_000;

/// What a look at each server comes to, and after how long; none: nobody ever answers.
type Found = fn(IpAddr) -> Option<(u64, Diagnosis)>;

/// Second looks as the thread has them.
struct Thread {
    found: Found,
    /// Until when, where, and whether about what fails.
    under_way: BTreeSet<(u64, Spot, bool)>,
    heard: usize,
    most: usize,
    unanswered: usize,
}

impl Thread {
    fn new(found: Found) -> Self {
        Self { found, under_way: BTreeSet::new(), heard: 0, most: 0, unanswered: 0 }
    }

    /// Runs the world with answers to its questions, in steps of 10 ms.
    fn run(&mut self, world: &mut World, until: u64) {
        for ms in (world.now.elapsed().as_millis() as u64..=until).step_by(10) {
            world.run(ms);
            for (ms, question) in
                &world.questions[std::mem::replace(&mut self.heard, world.questions.len())..]
            {
                let spot = Spot { server: question.target.server, by: question.by };
                match (question.failed, (self.found)(spot.server)) {
                    (false, _) => drop(self.under_way.insert((ms + 100, spot, false))),
                    (true, Some((took, _))) => drop(self.under_way.insert((ms + took, spot, true))),
                    (true, None) => self.unanswered += 1,
                }
            }
            let waiting = self.under_way.iter().filter(|(_, _, failed)| *failed).count();
            self.most = self.most.max(waiting + self.unanswered);
            while let Some((_, spot, _)) = self.under_way.first().copied().filter(|(when, ..)| *when <= ms) {
                self.under_way.pop_first();
                let found = (self.found)(spot.server).map_or(Diagnosis::Nothing, |(_, found)| found);
                world.health.diagnosed(spot, found, world.now);
            }
            world.act();
        }
    }
}

impl World {
    /// Servers about which it was asked why they fail, in this order.
    fn looked_at(&self) -> Vec<(u64, IpAddr)> {
        let failed = self.questions.iter().filter(|(_, question)| question.failed);
        failed.map(|(ms, question)| (*ms, question.target.server)).collect()
    }
}

/// So many servers and one more, which alone does not die.
fn dead(many: usize, thread: &mut Thread, until: u64) -> World {
    let mut world = World::new(&shop(many + 1));
    thread.run(&mut world, 3_000);
    for server in 1..=many {
        world.set(server, |_| silent());
    }
    thread.run(&mut world, until);
    world
}

#[test]
fn questions_that_nobody_answers_are_few_however_much_fails() {
    let mut thread = Thread::new(|_| None);
    let world = dead(MANY, &mut thread, 12_500);
    let first = world.looked_at().len();
    assert_eq!(first, LOOKS, "each of them once, and none beside it");
    let mut thread = Thread::new(|_| Some((1_000, Diagnosis::HostDown)));
    let world = dead(MANY, &mut thread, 24_000);
    assert!(thread.most <= LOOKS, "{}", thread.most);
    let looked_at = world.looked_at().len();
    assert!(looked_at >= 19 * 12, "the places are used: {looked_at}");
}

#[test]
fn a_question_that_nobody_answers_keeps_nobody_from_being_asked_about() {
    let mut thread = Thread::new(|_| None);
    let world = dead(200, &mut thread, 120_000);
    let mut of_each = BTreeMap::<_, usize>::new();
    let mut latest = Vec::<(u64, IpAddr)>::new();
    for (ms, server) in world.looked_at() {
        *of_each.entry(server).or_default() += 1;
        latest.retain(|(then, _)| ms - then < 9_900);
        assert!(latest.iter().all(|(_, other)| *other != server), "one question about {server} at a time");
        latest.push((ms, server));
        assert!(latest.len() <= LOOKS, "{} at {ms}", latest.len());
    }
    // Twelve in ten seconds, besides those of the first moment.
    assert_eq!(of_each.values().max(), Some(&1), "nobody twice before everybody once");
    assert!(of_each.len() >= 130, "{}", of_each.len());
}

#[test]
fn every_server_that_fails_is_asked_about_in_turn() {
    let mut thread = Thread::new(|_| Some((1_000, Diagnosis::HostDown)));
    let world = dead(300, &mut thread, 80_000);
    let mut times = BTreeMap::<_, Vec<u64>>::new();
    for (ms, server) in world.looked_at() {
        times.entry(server).or_default().push(ms);
    }
    assert_eq!(times.len(), 300);
    for (server, times) in times {
        // Twelve of three hundred each second, and room for the steps of this clock.
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        assert!(times.len() >= 2 && longest <= 30_000, "{server}: {times:?}");
    }
}

#[test]
fn what_begins_to_fail_while_a_thousand_are_dead_is_asked_about_at_once() {
    let answers: [(Found, u64); 2] = [(|_| None, 100), (|_| Some((1_000, Diagnosis::HostDown)), 100)];
    for (found, most) in answers {
        for begins in [24_000, 24_370] {
            let mut thread = Thread::new(found);
            let mut world = dead(MANY, &mut thread, begins);
            let news = MANY + 1;
            world.set(news, |_| refused());
            thread.run(&mut world, begins + 2_000);
            let &(failed, _) = world
                .probes
                .iter()
                .find(|(ms, probe)| *ms >= begins && probe.target.server == host(news))
                .expect("it is checked");
            let asked = world.looked_at().into_iter().find(|(_, server)| *server == host(news));
            let Some((asked, _)) = asked else { panic!("it is not asked about") };
            assert!(asked - failed <= most, "{} ms", asked - failed);
        }
    }
}

#[test]
fn a_mistake_is_named_within_five_seconds_also_among_a_thousand_that_die_with_it() {
    let found: Found = |server| {
        Some(if server == host(MANY + 1) { (300, Diagnosis::NotBound) } else { (1_000, Diagnosis::HostDown) })
    };
    for after in [700, 1_500, 3_000] {
        let mut thread = Thread::new(found);
        let mut world = dead(MANY, &mut thread, 3_000 + after);
        world.set(MANY + 1, |_| refused());
        thread.run(&mut world, 8_000 + after);
        assert!(world.findings().contains(&Some(Diagnosis::NotBound)), "{after} ms after the others");
    }
}

#[test]
fn what_is_new_or_well_again_is_looked_at_for_silence_within_five_seconds_however_many_there_are() {
    let mut thread = Thread::new(|_| Some((100, Diagnosis::ServiceDown)));
    let mut world = World::new(&shop(2_000));
    thread.run(&mut world, 20_000);
    world.health.configure(&shop(2_001), NODE, |_| false, world.now);
    world.set(7, |_| refused());
    thread.run(&mut world, 23_000);
    world.set(7, |_| well());
    thread.run(&mut world, 28_000);
    let silence = |server, from| {
        let mut asked = world.questions.iter().filter(|(ms, one)| !one.failed && *ms >= from);
        asked.any(|(_, one)| one.target.server == host(server))
    };
    assert!(silence(2_001, 20_000), "the new one");
    assert!(silence(7, 23_000), "the one that is well again");
}
