//! Whole lives of a dispatcher at random, with what must hold at every step.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;

use super::*;

/// Plays a whole life with random answers, losses and delays, and checks at every step what must always hold.
/// Tells how often the handler was paused.
fn simulate(seed: u64) -> u64 {
    let order =
        [OrderBy::Tenant, OrderBy::Partition, OrderBy::None][usize::try_from(seed % 3).unwrap()].clone();
    let ordered = order != OrderBy::None;
    let mut random = SmallRng::seed_from_u64(seed);
    let pool = Pool::ALL[usize::try_from(seed % 2).unwrap()];
    let breaker = BreakerPolicy { attempts_min: random.random_range(2..30), ..BreakerPolicy::default() };
    let blocks = ordered && seed.is_multiple_of(5);
    let on_failure = if blocks { FailurePolicy::Block } else { FailurePolicy::Skip };
    let config = HandlerConfig { breaker, on_failure, ..handler(order, random.random_range(1..20)) };
    let mut stage = Stage::with(vec![(config, pool)]);
    let deaths_end = if blocks { DEATHS_MAX } else { 5 };
    let mut suspect = || (random.random_range(0..200), random.random_range(1..deaths_end));
    let suspects: Vec<_> = (0..20).map(|_| suspect()).collect();
    stage.suspect(&suspects);
    let mut life = Life { suspects: suspects.into_iter().collect(), blocks, ..Life::default() };
    for step in 0..400u32 {
        match random.random_range(0..10) {
            0..=2 if stage.next_offset < 200 => stage.read(&[["a", "b", "c"][(step % 3) as usize]; 3]),
            3 => stage.pass(Duration::from_millis(random.random_range(0..2_000))),
            4 => life.confirm(&mut stage),
            5 if random.random_ratio(1, 20) => life.lose_partition(&mut stage),
            6 if random.random_ratio(1, 10) => life.is_failing = !life.is_failing,
            _ => life.make_and_end_a_call(&mut stage, &mut random, ordered),
        }
        life.check_commits(&mut stage);
    }
    life.is_failing = false;
    for step in 0..2_000 {
        stage.pass(HOUR);
        if blocks && step % 200 == 0 {
            life.lose_partition(&mut stage);
        }
        while life.running.len() < 2 && life.start(&mut stage) {}
        life.end_one(&mut stage, &mut random, ordered);
        life.confirm(&mut stage);
        life.check_commits(&mut stage);
    }
    assert_eq!(life.committed, stage.next_offset, "seed {seed}: everything is settled in the end");
    stage.dispatcher.counters().handlers["everything"].pauses
}

/// What the simulation knows of the truth.
#[derive(Default)]
struct Life {
    /// Calls under way, with the number of the assignment they began under.
    running: Vec<(u64, Call)>,
    /// Offsets that a guest handled or that were given up, under the present assignment.
    finished: BTreeSet<u64>,
    /// Per tenant the offset handled last.
    last: BTreeMap<String, u64>,
    committed: u64,
    assignments: u64,
    /// Deaths of hosts by offset.
    suspects: BTreeMap<u64, u32>,
    /// Whether a dead event stops its lane.
    blocks: bool,
    /// Tenants with a stopped lane.
    blocked: BTreeSet<String>,
    /// Whether guests fail at all they are given.
    is_failing: bool,
}

impl Life {
    fn start(&mut self, stage: &mut Stage) -> bool {
        let call = Pool::ALL.into_iter().find_map(|pool| stage.next_call(pool));
        let started = call.is_some();
        self.running.extend(call.map(|call| (self.assignments, call)));
        started
    }

    fn make_and_end_a_call(&mut self, stage: &mut Stage, random: &mut SmallRng, ordered: bool) {
        if self.running.len() < 3 {
            self.start(stage);
        }
        if random.random_bool(0.6) {
            self.end_one(stage, random, ordered);
        }
    }

    fn end_one(&mut self, stage: &mut Stage, random: &mut SmallRng, ordered: bool) {
        if self.running.is_empty() {
            return;
        }
        let (assignment, call) = self.running.swap_remove(random.random_range(0..self.running.len()));
        if assignment != self.assignments {
            stage.end(&call, CallResult::Answered(Vec::new()));
            return;
        }
        if call.events.len() > 1 && random.random_ratio(1, 6) {
            stage.end(&call, CallResult::Failed(trapped()));
            return;
        }
        let mut failed_lanes = BTreeSet::new();
        let mut answers = Vec::new();
        let mut done = Vec::new();
        for (at, event) in call.events.iter().enumerate() {
            let offset = event.event.message.source.offset.0;
            let deaths = self.suspects.get(&offset).copied().unwrap_or_default();
            assert!(!self.blocked.contains(event.event.tenant.as_str()), "{offset} runs behind a dead event");
            assert!(deaths == 0 || (deaths < DEATHS_MAX && call.events.len() == 1), "{offset} is a suspect");
            if failed_lanes.contains(&event.lane) {
                answers.push((at, Answer::NotRun));
            } else if self.is_failing || random.random_ratio(1, 5) {
                failed_lanes.insert(event.lane);
                let answers_at_all = !self.is_failing && random.random();
                answers.push((at, Answer::Ended(if answers_at_all { retry() } else { trapped() })));
            } else {
                if random.random_ratio(1, 4) {
                    answers.push((at, Answer::Ended(Outcome::Done(vec![emit()]))));
                } else {
                    done.push(offset);
                }
                if ordered {
                    let last = self.last.insert(event.event.tenant.to_string(), offset);
                    assert!(last < Some(offset), "a lane went back from {last:?} to {offset}");
                }
            }
        }
        stage.end(&call, CallResult::Answered(answers));
        self.finished.extend(done);
    }

    /// Confirms every effect that waits; what it belongs to counts as finished from then on.
    fn confirm(&mut self, stage: &mut Stage) {
        while let Some(job) = stage.dispatcher.next_job() {
            let before = stage.dispatcher.counters().settled;
            stage.dispatcher.published(job.effect, stage.now);
            assert!(stage.dispatcher.counters().settled <= before + 1);
            if self.blocks && job.messages[0].0 == "dlq" {
                self.blocked.insert(job.messages[0].1.headers.get("gh-tenant").unwrap().to_string());
            } else {
                self.finished.insert(offset_of(&job));
            }
        }
    }

    fn lose_partition(&mut self, stage: &mut Stage) {
        stage.dispatcher.revoked(PARTITION);
        // The effects of the old assignment were never confirmed.
        while stage.dispatcher.next_job().is_some() {}
        self.assignments += 1;
        stage.dispatcher.assigned(PARTITION, AssignmentId(1 + self.assignments), stage.now);
        self.finished.clear();
        self.last.clear();
        self.blocked.clear();
        let again = self.committed..stage.next_offset;
        stage.next_offset = self.committed;
        // What runs now still runs, as it would in life; its outcome must not count.
        for offset in again {
            stage.read(&[["a", "b", "c"][usize::try_from(offset / 3 % 3).unwrap()]]);
        }
    }

    fn check_commits(&mut self, stage: &mut Stage) {
        if let Some(offset) = stage.commit() {
            for settled in self.committed..=offset {
                assert!(self.finished.contains(&settled), "committed {offset}, but {settled} is not settled");
            }
            self.committed = offset + 1;
        }
    }
}

/// The offset an effect belongs to: dead letters say it in a header, emits carry their cause's id.
fn offset_of(job: &PublishJob) -> u64 {
    let (topic, message) = &job.messages[0];
    if topic == "dlq" {
        return message.headers.get("gh-offset").unwrap().to_string().parse().unwrap();
    }
    let envelope: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
    let cause = envelope["causation_id"].as_str().unwrap();
    cause.rsplit('-').next().unwrap().parse::<u64>().unwrap() - 1
}

#[test]
fn a_life_of_random_events_keeps_every_promise() {
    let pauses: u64 = (0..300).map(simulate).sum();
    assert!(pauses > 100, "the handlers were paused {pauses} times only");
}
