//! What must hold for every run, whatever happened in it, checked over its ledgers.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::ledgers::{Deed, Disruption, Ledgers, Line, Record};
use super::proxy::{Answer, Commit};
use super::publisher::Fate;
use super::stage::{ATTEMPTS_MAX, IN_FLIGHT_EVENTS_MAX};
use crate::house::PARTITIONS;

/// Emits of an event that was handled.
const EMITS: usize = 2;

/// How an event ends that was in a guest each time when its host died.
const CONDEMNED: &str = "host-crash";

/// Deaths of the host that condemn an event.
const DEATHS_MIN: u64 = 3;

/// Longest time until what a guest has done is written down: the deadline of an event, some more in its call, and
/// the patience with the store.
const UNWRITTEN_MAX_MICROS: u64 = 20_000_000;

/// Longest time that a line of a guest is under way to the log.
const LINE_TRAVELS_MICROS: u64 = 5_000_000;

/// Violations of one kind that are told.
const TOLD_MAX: usize = 5;

/// What the ledgers add up to.
#[derive(Debug, Default, Serialize)]
pub struct Totals {
    /// Events that were published and confirmed.
    pub sent: usize,
    /// Events among them that were sent again, since the answer was lost.
    pub unknown: usize,
    /// Events that a guest handled.
    pub handled: usize,
    /// Times that a guest handled an event again.
    pub repeated: usize,
    /// The same, of handlers that remember what they have handled.
    pub with_dedup: Runs,
    /// And of those that do not.
    pub without_dedup: Runs,
    /// Those among them that shared a call with an event that trapped, and so ran again without any fault of the host.
    pub split: usize,
    /// Events that were given up on.
    pub dead: usize,
    /// Events among them that were in a guest whenever their host was killed, and are taken for the cause.
    pub condemned: usize,
    /// Emits and dead letters that lie on their topic more than once.
    pub duplicates: usize,
    /// Commits that the broker took.
    pub commits: usize,
    /// How often a lane went back to an earlier event.
    pub steps_back: usize,
}

/// How often guests handled events.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Runs {
    /// Events that they handled.
    pub handled: usize,
    /// Times that they handled one of them again.
    pub repeated: usize,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// What the ledgers add up to.
    pub totals: Totals,
    /// What must not be, each with its place.
    pub violations: Vec<String>,
}

/// Checks them all.
pub fn check(ledgers: &Ledgers) -> Findings {
    let disruptions = ledgers.disruptions.len() as u64;
    let lanes = ledgers.published.events.iter().filter_map(|sent| Some((sent.id, sent.lane?.0))).collect();
    let findings = Findings::default();
    let mut check = Check { ledgers, disruptions, handlers: lanes, told: BTreeMap::new(), findings };
    check.count();
    check.fates();
    check.nothing_is_invented();
    check.ids_are_stable();
    check.lanes_keep_their_order();
    check.commits_stay_behind();
    check.commits_never_fall();
    check.repeats_are_bounded();
    check.repeats_are_explained();
    check.nothing_committed_is_repeated();
    check.findings
}

/// Whether a handler remembers what it has handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dedup {
    On,
    Off,
}

struct Check<'a> {
    ledgers: &'a Ledgers,
    /// How often a host lost what it had in hand, with or without its life.
    disruptions: u64,
    /// Whose each event is.
    handlers: HashMap<u128, &'static str>,
    told: BTreeMap<&'static str, usize>,
    findings: Findings,
}

impl<'a> Check<'a> {
    fn tell(&mut self, invariant: &'static str, what: impl FnOnce() -> String) {
        let told = self.told.entry(invariant).or_default();
        *told += 1;
        if *told <= TOLD_MAX {
            self.findings.violations.push(format!("{invariant}: {}", what()));
        }
    }

    fn emits(&self, event: u128) -> &'a [Record] {
        self.ledgers.emits.get(&event).map_or(&[], Vec::as_slice)
    }

    fn letters(&self, event: u128) -> &'a [Record] {
        self.ledgers.letters.get(&event).map_or(&[], Vec::as_slice)
    }

    fn is_condemned(&self, event: u128) -> bool {
        self.letters(event).iter().any(|letter| letter.outcome == CONDEMNED)
    }

    fn dedup(&self, event: u128) -> Dedup {
        let is_on = self.handlers.get(&event).is_some_and(|handler| self.ledgers.dedup.contains(handler));
        if is_on { Dedup::On } else { Dedup::Off }
    }

    /// Whether it may share a call with an event that traps.
    fn may_trap(&self, event: u128) -> bool {
        self.handlers.get(&event).is_some_and(|handler| *handler != "steady")
    }

    fn count(&mut self) {
        let ledgers = self.ledgers;
        let copies = |records: &HashMap<u128, Vec<Record>>| -> usize {
            let ids: Vec<u128> = records.values().flatten().map(|record| record.id).collect();
            ids.len() - ids.iter().collect::<HashSet<_>>().len()
        };
        let handled: Vec<u128> =
            ledgers.lines.iter().filter(|l| l.deed == Deed::Handled).map(|line| line.event).collect();
        let distinct = handled.iter().collect::<HashSet<_>>().len();
        let runs = |dedup| {
            let of: Vec<u128> =
                handled.iter().filter(|event| self.dedup(**event) == dedup).copied().collect();
            let handled = of.iter().collect::<HashSet<_>>().len();
            Runs { handled, repeated: of.len() - handled }
        };
        let (with_dedup, without_dedup) = (runs(Dedup::On), runs(Dedup::Off));
        let beside_traps = ledgers.lines.iter().filter(|l| l.deed == Deed::Handled && self.may_trap(l.event));
        let (mut in_lives, mut split) = (HashSet::new(), 0);
        for line in beside_traps {
            split += usize::from(!in_lives.insert((line.event, line.life)));
        }
        self.findings.totals = Totals {
            sent: ledgers.published.events.len(),
            unknown: ledgers.published.unknown,
            handled: distinct,
            repeated: handled.len() - distinct,
            with_dedup,
            without_dedup,
            split,
            dead: ledgers.letters.len(),
            condemned: ledgers.letters.keys().filter(|event| self.is_condemned(**event)).count(),
            duplicates: copies(&ledgers.emits) + copies(&ledgers.letters),
            commits: ledgers.commits.iter().filter(|c| c.answer == Some(Answer::Stored)).count(),
            steps_back: 0,
        };
    }

    /// I-1, I-4 and I-11: every event ended as it must, with all its emits or its dead letter, and not with both.
    fn fates(&mut self) {
        for sent in &self.ledgers.published.events {
            let (emits, letters) = (self.emits(sent.id), self.letters(sent.id));
            let kinds = emits.iter().map(|emit| &emit.kind).collect::<HashSet<_>>().len();
            let outcomes: HashSet<&str> = letters.iter().map(|letter| letter.outcome.as_str()).collect();
            let is_right = match sent.fate {
                // It may have been handled before the death that was one too many.
                _ if self.is_condemned(sent.id) => self.disruptions >= DEATHS_MIN,
                Fate::Handled => kinds == EMITS && letters.is_empty(),
                Fate::Dead(outcome) => emits.is_empty() && outcomes == HashSet::from([outcome]),
            };
            if !is_right {
                let is_lost = emits.is_empty() && letters.is_empty();
                let invariant = if is_lost { "I-1 lost" } else { "I-4 wrong end" };
                self.tell(invariant, || {
                    format!("{:032x} {sent:?}: {kinds} kinds of emits, dead letters {outcomes:?}", sent.id)
                });
            }
        }
    }

    /// I-2.
    fn nothing_is_invented(&mut self) {
        let ledgers = self.ledgers;
        let sent: HashSet<u128> = ledgers.published.events.iter().map(|sent| sent.id).collect();
        for cause in ledgers.emits.keys().chain(ledgers.letters.keys()).filter(|id| !sent.contains(id)) {
            self.tell("I-2 invented", || format!("an emit or dead letter about {cause:032x}"));
        }
    }

    /// I-3 and I-11: what is published about an event has one id however often it is published, and its own one.
    fn ids_are_stable(&mut self) {
        let mut owners: HashMap<u128, (u128, &str)> = HashMap::new();
        let mut ids: HashMap<(u128, &str), u128> = HashMap::new();
        for (cause, record) in self
            .ledgers
            .emits
            .iter()
            .chain(&self.ledgers.letters)
            .flat_map(|(cause, records)| records.iter().map(|record| (*cause, record)))
        {
            let about = (cause, record.kind.as_str());
            // A message that lies on its topic twice is two events, each with its own place.
            let places = self.ledgers.places.get(&cause).map_or(1, Vec::len);
            let id = *ids.entry(about).or_insert(record.id);
            if id != record.id && places < 2 {
                self.tell("I-3 two ids", || format!("{about:x?} has {id:x} and {:x}", record.id));
            }
            let owner = *owners.entry(record.id).or_insert(about);
            if owner != about {
                self.tell("I-3 one id", || format!("{:x} stands for {owner:x?} and {about:x?}", record.id));
            }
        }
    }

    /// I-5: in each lane no event is run for the first time after a later one was.
    fn lanes_keep_their_order(&mut self) {
        let lanes: HashMap<u128, _> = self
            .ledgers
            .published
            .events
            .iter()
            .filter_map(|sent| Some((sent.id, (sent.lane?, sent.sequence))))
            .collect();
        // What was condemned may have died before it came to a word.
        let condemned: HashSet<_> =
            lanes.iter().filter(|(event, _)| self.is_condemned(**event)).map(|(_, place)| *place).collect();
        let events: HashMap<_, u128> = lanes.iter().map(|(event, place)| (*place, *event)).collect();
        let mut reached: HashMap<_, (u64, u64)> = HashMap::new();
        for line in &self.ledgers.lines {
            let Some((lane, sequence)) = lanes.get(&line.event).copied() else { continue };
            let (furthest, last) = reached.get(&lane).copied().unwrap_or_default();
            let is_missed = |place| {
                !condemned.contains(&place) && events.get(&place).is_none_or(|id| !self.may_lack_a_line(*id))
            };
            if (furthest + 1..sequence).any(|left_out| is_missed((lane, left_out))) {
                self.tell("I-5 order", || {
                    format!("{lane:?}: {sequence} was run for the first time after {furthest}")
                });
            }
            self.findings.totals.steps_back += usize::from(sequence < last);
            reached.insert(lane, (furthest.max(sequence), sequence));
        }
    }

    /// Whether an event ended while its line was lost: when nobody read the log, or in the last moments of a host.
    fn may_lack_a_line(&self, event: u128) -> bool {
        let mut ends = self.emits(event).iter().chain(self.letters(event)).map(|record| record.stored_micros);
        let gaps = self.ledgers.log_gaps.iter().chain(&self.ledgers.disruptions);
        ends.any(|end| {
            gaps.clone().any(|gap| {
                let from_micros = gap.from_micros.saturating_sub(LINE_TRAVELS_MICROS);
                (from_micros..=gap.until_micros.saturating_add(LINE_TRAVELS_MICROS)).contains(&end)
            })
        })
    }

    /// I-6: whenever an offset was committed, all events up to it had ended before.
    fn commits_stay_behind(&mut self) {
        let mut partitions: HashMap<u32, Vec<(u64, u64, u128)>> = HashMap::new();
        for sent in &self.ledgers.published.events {
            let ended = self.ended_micros(sent.id, sent.fate);
            for (partition, offset) in self.ledgers.places.get(&sent.id).into_iter().flatten() {
                partitions.entry(*partition).or_default().push((*offset, ended, sent.id));
            }
        }
        // The latest end of all events up to each offset.
        for events in partitions.values_mut() {
            events.sort_unstable();
            let mut latest = 0;
            for (_, ended, _) in events {
                latest = latest.max(*ended);
                *ended = latest;
            }
        }
        for commit in &self.ledgers.commits {
            let events = partitions.get(&commit.partition).map_or(&[][..], Vec::as_slice);
            let below = events.partition_point(|(offset, ..)| *offset <= commit.offset);
            let ended = events[..below].last().map_or(0, |(_, ended, _)| *ended);
            if ended > commit.asked_micros {
                self.tell("I-6 commit ahead", || format!("{commit:?}, but an event ended at {ended}"));
            }
        }
    }

    /// When the broker had everything that an event led to; never, if it still has not.
    fn ended_micros(&self, event: u128, fate: Fate) -> u64 {
        let first = |records: &[Record], kind: Option<&str>| {
            let of_kind = records.iter().filter(|record| kind.is_none_or(|kind| record.kind == kind));
            of_kind.map(|record| record.stored_micros).min().unwrap_or(u64::MAX)
        };
        let buried = first(self.letters(event), None);
        match fate {
            Fate::Dead(_) => buried,
            Fate::Handled => {
                let kinds = ["torture.witnessed", "torture.witnessed-there"];
                let emitted = kinds.map(|kind| first(self.emits(event), Some(kind)));
                emitted.into_iter().max().unwrap_or(u64::MAX).min(buried)
            }
        }
    }

    /// I-7.
    fn commits_never_fall(&mut self) {
        let mut last: HashMap<u32, u64> = HashMap::new();
        for commit in self.ledgers.commits.iter().filter(|c| c.answer == Some(Answer::Stored)) {
            let before = last.insert(commit.partition, commit.offset);
            if before.is_some_and(|before| before > commit.offset) {
                self.tell("I-7 commit fell", || format!("{commit:?} after {before:?}"));
            }
        }
    }

    /// I-8 and I-10: nothing is repeated without a reason, and nothing fails more often than it may.
    fn repeats_are_bounded(&mut self) {
        let window = PARTITIONS * IN_FLIGHT_EVENTS_MAX;
        // What shares a call with an event that traps is run again alone, once for each attempt of that.
        let traps = self.ledgers.lines.iter().filter(|line| line.deed == Deed::Failed).count() as u64;
        let allowed = self.disruptions * window + traps * IN_FLIGHT_EVENTS_MAX;
        let (repeated, disruptions) = (self.findings.totals.repeated as u64, self.disruptions);
        if repeated > allowed {
            self.tell("I-8 repeats", || format!("{repeated} repeats after {disruptions} disruptions"));
        }
        let attempts_max = u64::from(ATTEMPTS_MAX + 1) * (1 + self.disruptions);
        let mut failed: HashMap<u128, u64> = HashMap::new();
        for line in self.ledgers.lines.iter().filter(|line| line.deed == Deed::Failed) {
            *failed.entry(line.event).or_default() += 1;
        }
        for (event, attempts) in failed {
            if attempts > attempts_max {
                self.tell("I-10 attempts", || format!("{event:032x} was tried {attempts} times"));
            }
        }
    }

    /// I-8: between an event's run and the next one a host lost what it had in hand. Where that is remembered, it did so
    /// while the event was in a guest or soon after: what is written down is not run again.
    fn repeats_are_explained(&mut self) {
        let mut last: HashMap<u128, &Line> = HashMap::new();
        for line in self.ledgers.lines.iter().filter(|line| line.deed == Deed::Handled) {
            let Some(before) = last.insert(line.event, line) else { continue };
            let is_split = before.life == line.life && self.may_trap(line.event);
            let unwritten_max = match self.dedup(line.event) {
                Dedup::On => UNWRITTEN_MAX_MICROS,
                Dedup::Off => u64::MAX,
            };
            let explains = |disruption: &Disruption| {
                before.at_micros <= disruption.until_micros
                    && before.at_micros.saturating_add(unwritten_max) >= disruption.from_micros
                    && line.at_micros >= disruption.from_micros
            };
            if !is_split && !self.ledgers.disruptions.iter().any(explains) {
                self.tell("I-8 unexplained", || format!("{before:?} was followed by {line:?}"));
            }
        }
    }

    /// I-8: what was committed before a host began is not run by it.
    fn nothing_committed_is_repeated(&mut self) {
        let stored = |commit: &&Commit| commit.answer == Some(Answer::Stored);
        let mut before: HashMap<(usize, u32), u64> = HashMap::new();
        for (life, began) in self.ledgers.lives.iter().enumerate() {
            for commit in self.ledgers.commits.iter().filter(stored).filter(|c| c.answered_micros <= *began) {
                let offset = before.entry((life, commit.partition)).or_default();
                *offset = commit.offset.max(*offset);
            }
        }
        for line in &self.ledgers.lines {
            let Some(places) = self.ledgers.places.get(&line.event) else { continue };
            let is_new = |(partition, offset): &(u32, u64)| {
                before.get(&(line.life, *partition)).is_none_or(|committed| offset > committed)
            };
            if !places.iter().any(is_new) {
                self.tell("I-8 committed", || {
                    format!("{:032x} was run again by life {}", line.event, line.life)
                });
            }
        }
    }
}
