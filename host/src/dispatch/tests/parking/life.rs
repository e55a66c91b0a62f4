//! Whole lives of parked lanes at random: deaths, commands, crashes, hosts that write too late, with what must hold at
//! every step. `GUESTHOUSE_TEST_SEEDS=N` lives through so many, `GUESTHOUSE_TEST_SEED=N` through that one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::RngExt;

use super::*;
use crate::dispatch::effects::EffectId;
use crate::dispatch::tests::simulation::number;

/// What is on its way to the broker, topic by topic, and how many messages each effect still waits for.
#[derive(Default)]
struct Outbox {
    queues: BTreeMap<String, VecDeque<(EffectId, OutgoingMessage)>>,
    open: BTreeMap<EffectId, usize>,
}

/// What a life knows of the truth.
struct Life {
    stall: Stall,
    outbox: Outbox,
    /// Calls under way, with the assignment they began under.
    running: Vec<(AssignmentId, Call)>,
    /// Offsets handled, with the assignment.
    handled: BTreeMap<u64, AssignmentId>,
    /// Offsets handled of each tenant for the first time, last one.
    last: BTreeMap<String, u64>,
    /// Offsets of which an attempt failed.
    failed: BTreeSet<u64>,
    /// Offsets that an operator gave up.
    dropped: BTreeSet<u64>,
    /// Share of attempts that fail.
    failing: f64,
    /// Things that happened, so that it is seen that they do.
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    deaths: u64,
    releases: u64,
    drops: u64,
    crashes: u64,
    losses: u64,
    parked: usize,
}

/// Lives of an ordinary test run.
const SEEDS: u64 = 30;

const TENANTS: [&str; 3] = ["a", "b", "c"];
const EVENTS: usize = 150;

impl Life {
    fn new(seed: u64) -> Self {
        let config = if seed.is_multiple_of(3) { patient() } else { parking() };
        let batch_max = u32::try_from(seed % 7 + 1).unwrap();
        let config = HandlerConfig { batch_max, ..config };
        Self {
            stall: Stall::new(config),
            outbox: Outbox::default(),
            running: Vec::new(),
            handled: BTreeMap::new(),
            last: BTreeMap::new(),
            failed: BTreeSet::new(),
            dropped: BTreeSet::new(),
            failing: 0.2,
            seen: Seen::default(),
        }
    }

    fn step(&mut self, random: &mut SmallRng) {
        match random.random_range(0..24) {
            0..=2 if self.stall.source.len() < EVENTS => {
                let tenant = TENANTS[random.random_range(0..TENANTS.len())];
                self.stall.publish(&[tenant; 3][..random.random_range(1..=3)]);
            }
            3 | 4 => self.stall.read(),
            5..=7 => self.deliver(random),
            8 | 9 => self.stall.tail(),
            10 | 11 => drop(self.stall.fetch()),
            12..=14 => self.start(),
            15..=17 => self.end_one(random),
            18 => self.stall.stage.pass(Duration::from_secs(random.random_range(0..600))),
            19 => self.command(random),
            20 if random.random_ratio(1, 8) => self.crash(random),
            21 if random.random_ratio(1, 8) => self.lose_partition(),
            _ => {}
        }
        self.check_commits();
    }

    fn collect_jobs(&mut self) {
        while let Some(job) = self.stall.stage.dispatcher.next_job() {
            self.outbox.open.insert(job.effect, job.messages.len());
            for (topic, message) in job.messages {
                self.outbox.queues.entry(topic).or_default().push_back((job.effect, message));
            }
        }
    }

    /// Brings the first messages of some topic to the broker; most are confirmed.
    fn deliver(&mut self, random: &mut SmallRng) {
        self.collect_jobs();
        let topics = self.outbox.queues.len();
        if topics == 0 {
            return;
        }
        let topic = self.outbox.queues.keys().nth(random.random_range(0..topics)).unwrap().clone();
        for _ in 0..random.random_range(0..4) {
            let queue = self.outbox.queues.get_mut(&topic).unwrap();
            let Some((effect, message)) = queue.front().cloned() else { return };
            self.stall.keep(vec![(topic.clone(), message)]);
            if random.random_ratio(1, 10) {
                return; // The confirmation is lost, and it is sent again.
            }
            self.outbox.queues.get_mut(&topic).unwrap().pop_front();
            self.confirm(effect);
        }
    }

    fn confirm(&mut self, effect: EffectId) {
        let left = self.outbox.open.get_mut(&effect).unwrap();
        *left -= 1;
        if *left == 0 {
            self.stall.stage.dispatcher.published(effect, self.stall.stage.now);
        }
    }

    fn start(&mut self) {
        if self.running.len() < 3
            && let Some(call) = self.stall.stage.any_call()
        {
            self.running.push((self.stall.assignment, call));
        }
    }

    fn end_one(&mut self, random: &mut SmallRng) {
        if self.running.is_empty() {
            return;
        }
        let (assignment, call) = self.running.swap_remove(random.random_range(0..self.running.len()));
        if call.events.len() > 1 && random.random_ratio(1, 10) {
            return self.stall.stage.end(&call, CallResult::Failed(trapped()));
        }
        let is_current = assignment == self.stall.assignment;
        let mut answers = Vec::new();
        for (at, event) in call.events.iter().enumerate() {
            if !answers.is_empty() {
                answers.push((at, Answer::NotRun));
            } else if random.random_bool(self.failing) {
                let outcome = match random.random_range(0..4) {
                    0 => later(),
                    1 => retry(),
                    _ => rejected(),
                };
                self.failed.insert(event.event.message.source.offset.0);
                self.seen.deaths += u64::from(matches!(outcome, Outcome::Reject { .. }));
                answers.push((at, Answer::Ended(outcome)));
            } else if is_current {
                self.handle(&event.event);
            }
        }
        self.stall.stage.end(&call, CallResult::Answered(answers));
    }

    fn handle(&mut self, event: &Event) {
        let offset = event.message.source.offset.0;
        assert!(!self.dropped.contains(&offset), "{offset} runs and was dropped");
        let before = self.handled.insert(offset, self.stall.assignment);
        assert_ne!(before, Some(self.stall.assignment), "{offset} is handled twice by one owner");
        // With `skip` what was given up may still succeed after a crash, behind others.
        let may_be_late =
            self.stall.config.on_failure == FailurePolicy::Skip && self.failed.contains(&offset);
        if before.is_none() && !may_be_late {
            let last = self.last.insert(event.tenant.to_string(), offset);
            assert!(last < Some(offset), "{} went back from {last:?} to {offset}", event.tenant);
        }
    }

    /// An operator does something about some lane.
    fn command(&mut self, random: &mut SmallRng) {
        let lanes = &self.stall.lanes;
        let count = lanes.held().count();
        if count == 0 {
            return;
        }
        let (name, lane) = lanes.held().nth(random.random_range(0..count)).unwrap();
        let head = lane.head().unwrap();
        let action = match random.random_range(0..6) {
            0 => Action::Release(Head::Skip),
            1 => Action::Drop(Dropped::First),
            2 => Action::Drop(Dropped::All),
            _ => Action::Release(Head::Retry),
        };
        self.seen.releases += u64::from(matches!(action, Action::Release(_)));
        self.seen.drops += u64::from(matches!(action, Action::Drop(_)));
        let gone = match action {
            Action::Release(Head::Retry) => 0,
            Action::Release(Head::Skip) | Action::Drop(Dropped::First) => 1,
            Action::Drop(Dropped::All) => lane.len(),
        };
        // What is in a guest when its lane is dropped may be handled still; it is not run again.
        let gone: Vec<u64> = lane.events().take(gone).map(|(source, _)| source.0).collect();
        let control = Control::Command(Command { head, action });
        self.stall.append(control.message(GROUP, name, PARTITION.partition, random.random()));
        self.stall.tail();
        self.running.retain(|(_, call)| {
            let keeps = !call.events.iter().any(|event| gone.contains(&event.event.message.source.offset.0));
            if !keeps {
                let not_run = (0..call.events.len()).map(|at| (at, Answer::NotRun)).collect();
                self.stall.stage.end(call, CallResult::Answered(not_run));
            }
            keeps
        });
        self.dropped.extend(gone.into_iter().filter(|offset| !self.handled.contains_key(offset)));
    }

    /// The host dies. Of what was on its way the first may have arrived, and some arrives after the next host has begun.
    fn crash(&mut self, random: &mut SmallRng) {
        self.seen.crashes += 1;
        self.collect_jobs();
        let outbox = std::mem::take(&mut self.outbox);
        let mut late = Vec::new();
        for (topic, queue) in outbox.queues {
            let arrived = random.random_range(0..=queue.len());
            let arriving = random.random_range(arrived..=queue.len());
            for (at, (_, message)) in queue.into_iter().enumerate() {
                if at < arrived {
                    self.stall.keep(vec![(topic.clone(), message)]);
                } else if at < arriving {
                    late.push((topic.clone(), message));
                }
            }
        }
        self.running.clear();
        self.stall.restart();
        self.stall.keep(late);
    }

    /// The partition goes and comes back, while what was on its way goes on.
    fn lose_partition(&mut self) {
        self.seen.losses += 1;
        self.stall.stage.dispatcher.revoked(PARTITION);
        self.stall.assign();
    }

    fn check_commits(&mut self) {
        self.seen.parked = self.seen.parked.max(self.stall.lanes.events());
        let Some(offset) = self.stall.stage.commit() else { return };
        let lanes = &self.stall.lanes;
        let letters: BTreeSet<u64> = self.stall.letters.iter().map(offset_of).collect();
        for settled in self.stall.committed..=offset {
            let is_parked = lanes.held().any(|(_, lane)| lane.holds(Offset(settled)));
            let is_known = self.handled.contains_key(&settled)
                || self.dropped.contains(&settled)
                || letters.contains(&settled);
            assert!(is_parked || is_known, "committed {offset}, but {settled} is nowhere");
        }
        self.stall.committed = self.stall.committed.max(offset + 1);
    }

    /// Releases everything and lets it succeed.
    fn come_to_rest(&mut self, random: &mut SmallRng) {
        self.failing = 0.0;
        for step in 0..2_500 {
            self.stall.read();
            self.stall.tail();
            self.stall.fetch();
            self.deliver(random);
            self.start();
            self.end_one(random);
            self.check_commits();
            if step % 10 == 0 {
                self.stall.stage.pass(HOUR);
                let lanes = self.stall.lanes.clone();
                for (name, lane) in lanes.held().filter(|(_, lane)| lane.standing != Standing::Released) {
                    let action = Action::Release(Head::Retry);
                    let control = Control::Command(Command { head: lane.head().unwrap(), action });
                    self.stall.append(control.message(GROUP, name, PARTITION.partition, random.random()));
                }
            }
        }
    }
}

fn offset_of(letter: &OutgoingMessage) -> u64 {
    letter.headers.get("gh-offset").unwrap().to_string().parse().unwrap()
}

fn live(seed: u64) -> Seen {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut life = Life::new(seed);
    for _ in 0..1_500 {
        life.step(&mut random);
    }
    life.come_to_rest(&mut random);
    let stall = &life.stall;
    assert_eq!(stall.committed, stall.source.len() as u64, "seed {seed}: all is settled");
    assert_eq!(stall.lanes.events(), 0, "seed {seed}: nothing is parked");
    let letters: BTreeSet<u64> = stall.letters.iter().map(offset_of).collect();
    for offset in 0..stall.source.len() as u64 {
        let is_known = life.handled.contains_key(&offset) || life.dropped.contains(&offset);
        assert!(is_known || letters.contains(&offset), "seed {seed}: {offset} is lost");
    }
    life.stall.publish(&["a"]);
    life.stall.read();
    let parking = &life.stall.stage.dispatcher.shelving.parking;
    assert!(parking.is_clear(PARTITION), "seed {seed}: nothing is remembered");
    life.seen
}

#[test]
fn a_life_of_parked_lanes_keeps_every_promise() {
    if let Some(seed) = number("GUESTHOUSE_TEST_SEED") {
        live(seed);
        return;
    }
    let mut all = Seen::default();
    let seeds = number("GUESTHOUSE_TEST_SEEDS").unwrap_or(SEEDS);
    for seed in 0..seeds {
        let seen = std::panic::catch_unwind(|| live(seed)).unwrap_or_else(|_| panic!("seed {seed}"));
        all.deaths += seen.deaths;
        all.releases += seen.releases;
        all.drops += seen.drops;
        all.crashes += seen.crashes;
        all.losses += seen.losses;
        all.parked += seen.parked;
    }
    let least = [all.deaths, all.releases, all.drops, all.crashes, all.losses].into_iter().min();
    assert!(least > Some(seeds) && all.parked > 1_000, "{all:?}");
}
