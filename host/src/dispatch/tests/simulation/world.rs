//! The world of a life: it makes one step after the other as the seed says, and in the end lets everything come to rest.

use std::collections::BTreeMap;

use rand::seq::IndexedRandom;

use super::broker::{Broker, Deal, Partition};
use super::member::{Doing, Member, Phase};
use super::memory::Memory;
use super::oracle::{Errand, Oracle};
use super::shelf::SUFFIX;
use super::tallies::Tallies;
use super::trace::Trace;
use super::*;

/// Steps of a life in which things go wrong.
const STEPS: u64 = 2_000;

/// Rounds that all may take to be settled once nothing goes wrong any more.
const ROUNDS_MAX: u64 = 5_000;

/// Longest time that a host is frozen, in steps.
const FROZEN_STEPS_MAX: u64 = 100;

/// How far a wall clock may jump.
const JUMP_MICROS_MAX: u64 = 1_000_000_000_000;

/// A life.
#[derive(Debug)]
pub(super) struct World {
    pub(super) random: SmallRng,
    pub(super) setting: Arc<Setting>,
    now: Now,
    pub(super) broker: Broker,
    members: Vec<Member>,
    memory: Memory,
    /// What the journals of each seat say about deaths.
    journals: BTreeMap<usize, BTreeMap<Errand, u32>>,
    /// A tenant and handler at which all attempts fail.
    mood: Option<(usize, &'static str)>,
    is_healthy: bool,
    pub(super) oracle: Oracle,
    pub(super) trace: Trace,
}

/// What fails as a whole when a call ends.
#[derive(Debug)]
enum Failing {
    Host,
    Call(Outcome),
}

/// Lives the life of a seed, and tells what happened in it and the hash of all that did.
pub(super) fn live(seed: u64, is_told: bool) -> (Tallies, String) {
    let mut random = SmallRng::seed_from_u64(seed);
    let setting = Arc::new(Setting::draw(&mut random));
    let mut world = World {
        random,
        now: Now { instant: Instant::now(), unix_micros: 1_700_000_000_000_000 },
        broker: Broker::new(setting.partitions),
        oracle: Oracle::new(&setting),
        setting,
        members: Vec::new(),
        memory: Memory::default(),
        journals: BTreeMap::new(),
        mood: None,
        is_healthy: false,
        trace: Trace::new(is_told),
    };
    if is_told {
        println!("{:#?}", world.setting);
    }
    for _ in 0..STEPS {
        world.step();
    }
    world.come_to_rest();
    world.oracle.at_the_end();
    world.oracle.tally.steps = world.trace.steps();
    (world.oracle.tally, world.trace.hash())
}

impl World {
    fn step(&mut self) {
        self.trace.step();
        self.hand_over();
        match self.random.random_range(0..1_000) {
            960.. if self.random.random_ratio(self.setting.calm, 4) => {}
            0..80 => self.produce(),
            80..130 => self.pass(),
            130..948 => self.let_one_work(),
            948..960 => self.command(),
            960..964 => self.start_member(),
            964..970 => self.crash_one(),
            970..973 => self.drain_one(),
            973..978 => self.freeze_one(),
            978..983 => self.rebalance(),
            983..988 => self.broker.is_up = !self.broker.is_up,
            988..992 => self.refuse_a_topic(),
            992..996 => self.change_mood(),
            _ => self.jump(),
        }
        if self.members.is_empty() {
            self.start_member();
        }
    }

    fn produce(&mut self) {
        let written: usize = self.broker.partitions.iter().map(|partition| partition.log.len()).sum();
        for _ in 0..self.random.random_range(1..8) {
            if written >= self.setting.events {
                return;
            }
            let at = self.random.random_range(0..self.setting.partitions);
            let offset = self.broker.partitions[at].log.len() as u64;
            let mut decoded = self.setting.draw_event(at, offset, &mut self.random);
            if self.setting.repeats && self.random.random_ratio(1, 6) {
                self.make_copy(&mut decoded);
            }
            let wanting = decoded.as_ref().map_or_else(|_| Vec::new(), |event| self.setting.wanting(event));
            let natures =
                wanting.into_iter().map(|handler| (handler, Nature::draw(&mut self.random))).collect();
            let record = Record { decoded, natures };
            self.oracle.produced((at, offset), &record, &self.setting);
            self.broker.partitions[at].log.push(record);
        }
    }

    /// Lets an event be another copy of one that was written before.
    fn make_copy(&mut self, decoded: &mut Decoded) {
        let logs = self.broker.partitions.iter().flat_map(|partition| partition.log.iter().rev().take(20));
        let events: Vec<&SharedEvent> = logs.filter_map(|record| record.decoded.as_ref().ok()).collect();
        if let (Ok(event), Some(first)) = (decoded, events.choose(&mut self.random)) {
            let (id, tenant) = (first.id.clone(), first.tenant.clone());
            *event = SharedEvent::from(Event { id, tenant, ..Event::clone(event) });
        }
    }

    fn pass(&mut self) {
        let longest = if self.random.random_ratio(1, 20) { 60_000 } else { 300 };
        let time = Duration::from_millis(self.random.random_range(0..longest));
        self.pass_by(time);
    }

    fn pass_by(&mut self, time: Duration) {
        self.trace.note(format_args!("pass {time:?}"));
        self.now.instant += time;
        self.now.unix_micros += u64::try_from(time.as_micros()).unwrap();
    }

    /// The clock that people read is set; the other one goes on.
    fn jump(&mut self) {
        let by = self.random.random_range(0..JUMP_MICROS_MAX);
        let micros = &mut self.now.unix_micros;
        *micros = if self.random.random() { *micros + by } else { micros.saturating_sub(by) };
        self.trace.note(format_args!("jump {micros}"));
    }

    fn let_one_work(&mut self) {
        let steps = self.trace.steps();
        let Some(at) = self.one_of(|member| member.frozen_until <= steps) else { return };
        match self.random.random_range(0..100) {
            0..12 => self.poll(at),
            12..30 => self.hear(at),
            30..48 => self.start_calls(at),
            48..66 => self.end_a_call(at),
            66..79 => self.publish(at),
            79..86 => self.keep(at),
            86..93 => self.act(at, Due::Now),
            93..97 => self.store(at),
            _ => self.members[at].join(&self.broker, &mut self.oracle, self.random.random_ratio(1, 4)),
        }
    }

    fn one_of(&mut self, is_wanted: impl Fn(&Member) -> bool) -> Option<usize> {
        let wanted: Vec<usize> = (0..self.members.len()).filter(|at| is_wanted(&self.members[*at])).collect();
        wanted.choose(&mut self.random).copied()
    }

    fn poll(&mut self, at: usize) {
        let partition = self.random.random_range(0..self.setting.partitions);
        let read = self.members[at].poll(&self.broker, partition);
        self.trace.note(format_args!("{} polls {partition}: {read}", self.members[at].seat));
    }

    fn hear(&mut self, at: usize) {
        for _ in 0..self.random.random_range(1..4) {
            let heard = self.members[at].hear(&mut self.oracle, self.now);
            self.trace.note(format_args!("{} hears: {heard:?}", self.members[at].seat));
        }
    }

    fn start_calls(&mut self, at: usize) {
        let tired = self.random.random_ratio(1, 8).then_some("a").filter(|_| !self.is_healthy);
        let started = self.members[at].start(&mut self.oracle, tired, self.now);
        self.trace.note(format_args!("{} starts {started:?}", self.members[at].seat));
    }

    fn end_a_call(&mut self, at: usize) {
        let calls = self.members[at].calls();
        if calls == 0 {
            return;
        }
        let call = self.random.random_range(0..calls);
        let script = self.members[at].script(call, &self.broker, &self.memory);
        let seat = self.members[at].seat;
        if self.is_healthy {
            let good = |doing: &Doing| match *doing {
                Doing::Runs(nature, attempt) => Doing::Runs(Nature::Good(nature.emits()), attempt),
                other => other,
            };
            let script: Vec<Doing> = script.iter().map(good).collect();
            return self.answer((at, call), &script);
        }
        let fate = self.random.random_range(0..100);
        self.trace.note(format_args!("{seat} ends {script:?} by {fate}"));
        match (fate, self.what_fails((at, call), &script)) {
            (0..3, _) => self.members[at].refuse(call, self.now),
            (3..6, _) => self.fail((at, call), Outcome::HostFault { reason: "no thread".to_owned() }),
            (_, Some(Failing::Host)) => self.crash(at),
            (_, Some(Failing::Call(outcome))) => self.fail((at, call), outcome),
            (_, None) => self.answer((at, call), &script),
        }
        self.clear_suspects(seat);
    }

    /// What a call takes with it, if it does.
    fn what_fails(&self, (at, call): (usize, usize), script: &[Doing]) -> Option<Failing> {
        let is_struck = self.mood.is_some_and(|(handler, tenant)| {
            self.members[at].handler_of(call) == handler && self.members[at].tenant_of(call) == tenant
        });
        // A twin ends the call.
        let ran = script.iter().take_while(|doing| **doing != Doing::IsTwin);
        let running: Vec<(Nature, u32)> = ran.filter_map(|doing| doing.running()).collect();
        if running.iter().any(|(nature, _)| *nature == Nature::Kills) {
            return Some(Failing::Host);
        }
        let failing = running.iter().find(|(nature, attempt)| !nature.answers(*attempt));
        let outcome = failing.map(|(nature, attempt)| nature.outcome(*attempt));
        let struck = (is_struck && !running.is_empty()).then(trapped);
        struck.or(outcome).map(Failing::Call)
    }

    fn answer(&mut self, (at, call): (usize, usize), script: &[Doing]) {
        let (store, world) = ((&self.broker, &mut self.memory), (&mut self.oracle, self.now));
        self.members[at].answer(call, script, store, world);
    }

    fn fail(&mut self, (at, call): (usize, usize), outcome: Outcome) {
        self.members[at].fail(call, outcome, (&mut self.oracle, self.now));
    }

    /// What a host has outlived is no longer suspected.
    fn clear_suspects(&mut self, seat: usize) {
        let Some(member) = self.members.iter_mut().find(|member| member.seat == seat) else { return };
        let ended = member.take_outlived();
        if let Some(journal) = self.journals.get_mut(&seat) {
            journal.retain(|errand, _| !ended.contains(errand));
        }
    }

    fn publish(&mut self, at: usize) {
        let topics = self.members[at].topics();
        let Some(topic) = topics.choose(&mut self.random) else { return };
        let (is_sent, is_lost) = (self.random.random_bool(0.5), self.random.random_ratio(1, 10));
        self.trace.note(format_args!("{} publishes {topic} {is_sent} {is_lost}", self.members[at].seat));
        if is_sent {
            let most = self.random.random_range(1..10);
            let taken = if self.random.random_ratio(1, 8) { self.random.random_range(0..most) } else { most };
            self.members[at].send(&mut self.broker, &mut self.oracle, (topic, most, taken));
        } else if self.broker.is_up {
            self.members[at].be_answered(topic, is_lost);
        }
    }

    /// A keeper of a host claims a parked partition, reads on, or fetches what is released.
    fn keep(&mut self, at: usize) {
        let world = (&mut self.oracle, &mut self.random);
        let kept = self.members[at].keep(&mut self.broker, world);
        self.trace.note(format_args!("{} keeps {kept:?}", self.members[at].seat));
    }

    fn act(&mut self, at: usize, due: Due) {
        self.members[at].act(&mut self.oracle, due, self.now);
        if std::mem::take(&mut self.members[at].wants_to_rejoin) {
            self.trace.note(format_args!("{} joins anew", self.members[at].seat));
            self.deal(Deal::Anew);
        }
    }

    fn store(&mut self, at: usize) {
        let stored = self.members[at].store(&mut self.broker, &mut self.oracle);
        for (partition, offset) in &stored {
            if self.random.random_ratio(1, 4) {
                self.memory.forget(*partition, *offset, |errand| self.oracle.is_parked(errand));
            }
        }
        self.trace.note(format_args!("{} stores {stored:?}", self.members[at].seat));
    }

    fn start_member(&mut self) {
        let Some(seat) = (0..self.setting.seats).find(|seat| self.members.iter().all(|m| m.seat != *seat))
        else {
            return;
        };
        let deaths = self.journals.entry(seat).or_default().clone();
        let mark = |((partition, offset), handler): &Errand| {
            let event = self.broker.record((*partition, *offset)).decoded.as_ref().ok()?;
            Some(EventMark::of(&self.setting.handlers[(*handler)?].0.name, &event.message))
        };
        let marks = deaths.iter().filter_map(|(errand, deaths)| Some((mark(errand)?, *deaths))).collect();
        let suspects = Suspects::new(marks, self.setting.deaths_max);
        let seed = self.random.random();
        self.trace.note(format_args!("{seat} begins with {deaths:?}"));
        self.members.push(Member::new(seat, &self.setting, deaths, suspects, seed));
        self.deal(Deal::Sudden);
    }

    fn crash_one(&mut self) {
        if let Some(at) = self.one_of(|_| true) {
            self.crash(at);
        }
    }

    /// A host dies with all that it had in hand. The broker may notice at once or later.
    fn crash(&mut self, at: usize) {
        let mut member = self.members.swap_remove(at);
        self.trace.note(format_args!("{} dies", member.seat));
        self.oracle.tally.crashes += 1;
        self.oracle.tally.pauses += member.pauses();
        self.oracle.tally.repeats_max += member.exposed_by_death(&self.broker);
        let journal = self.journals.entry(member.seat).or_default();
        for errand in member.in_guests() {
            *journal.entry(errand).or_default() += 1;
        }
        self.deal(Deal::Sudden);
    }

    fn drain_one(&mut self) {
        if let Some(at) = self.one_of(|member| member.phase == Phase::Works) {
            self.trace.note(format_args!("{} drains", self.members[at].seat));
            self.members[at].drain();
        }
        let Some(at) = self.one_of(|member| member.phase == Phase::Drains && member.is_at_rest()) else {
            return;
        };
        self.act(at, Due::All);
        self.store(at);
        let mut member = self.members.swap_remove(at);
        self.trace.note(format_args!("{} leaves", member.seat));
        self.oracle.tally.pauses += member.pauses();
        self.oracle.tally.repeats_max += member.exposed_by_death(&self.broker);
        self.deal(Deal::Sudden);
    }

    /// A frozen host learns of nothing, and others may get what it had.
    fn freeze_one(&mut self) {
        let until = self.trace.steps() + self.random.random_range(1..FROZEN_STEPS_MAX);
        let Some(at) = self.one_of(|_| true) else { return };
        self.trace.note(format_args!("{} freezes", self.members[at].seat));
        self.members[at].frozen_until = until;
        self.deal(Deal::Sudden);
    }

    /// Partitions change hands, or are lost and come back to the same.
    fn rebalance(&mut self) {
        let patient =
            Deal::Patient { until: self.trace.steps() + self.random.random_range(1..FROZEN_STEPS_MAX) };
        let deal = *[Deal::Sudden, Deal::Anew, patient].choose(&mut self.random).unwrap();
        self.deal(deal);
    }

    fn deal(&mut self, deal: Deal) {
        let steps = self.trace.steps();
        let seats: Vec<usize> =
            self.members.iter().filter(|m| m.frozen_until <= steps).map(|member| member.seat).collect();
        let first = self.random.random_range(0..4);
        self.broker.deal(&seats, first, deal);
        self.trace.note(format_args!("{seats:?} share from {first} on: {deal:?}"));
    }

    fn hand_over(&mut self) {
        let members = &self.members;
        self.broker.hand_over(self.trace.steps(), |at, partition| {
            let seat = partition.owner.map(|owner| owner.seat);
            members.iter().find(|member| Some(member.seat) == seat).is_none_or(|m| m.has_ended(at, partition))
        });
    }

    fn refuse_a_topic(&mut self) {
        let parked = self.setting.sources().into_iter().map(|source| format!("{}{SUFFIX}", source.topic));
        let mut topics = vec![None, Some("dlq".to_owned()), Some("domain".to_owned())];
        topics.extend(parked.map(Some));
        self.broker.refused = topics.choose(&mut self.random).unwrap().clone();
    }

    fn change_mood(&mut self) {
        let handler = self.random.random_range(0..self.setting.handlers.len());
        let moods = [None, Some((handler, "a")), Some((handler, "b"))];
        self.mood = *moods.choose(&mut self.random).unwrap();
        self.trace.note(format_args!("mood {:?}", self.mood));
    }

    /// I-9: nothing goes wrong any more, so all is settled and stored in the end. Only lanes that a dead event stops
    /// wait for a host that knows nothing of it.
    fn come_to_rest(&mut self) {
        (self.is_healthy, self.mood) = (true, None);
        (self.broker.is_up, self.broker.refused) = (true, None);
        while let Some(at) = self.members.iter().position(|member| member.phase == Phase::Drains) {
            self.crash(at);
        }
        for member in &mut self.members {
            member.frozen_until = 0;
        }
        self.start_member();
        self.deal(Deal::Sudden);
        self.settle(|world| world.members.iter().any(|member| member.watch.has_blocked_lanes()));
        while !self.members.is_empty() {
            self.crash(0);
        }
        self.journals.clear();
        self.start_member();
        self.settle(|_| false);
        let counters = self.members.iter_mut().map(|member| member.pauses()).sum::<u64>();
        self.oracle.tally.pauses += counters;
        assert!(
            self.members.iter().all(|m| m.is_at_rest() && m.owes_nothing()),
            "I-9: something is still under way"
        );
    }

    fn settle(&mut self, may_wait: impl Fn(&Self) -> bool) {
        for _ in 0..ROUNDS_MAX {
            self.trace.step();
            self.hand_over();
            if self.all_is_stored() && self.members.iter().all(Member::owes_nothing) {
                return;
            }
            self.release_all();
            self.pass_by(Duration::from_secs(60));
            for at in 0..self.members.len() {
                self.work_on(at);
            }
        }
        assert!(may_wait(self), "I-9: not everything is settled");
    }

    fn work_on(&mut self, at: usize) {
        self.members[at].join(&self.broker, &mut self.oracle, false);
        for partition in 0..self.setting.partitions {
            self.members[at].poll(&self.broker, partition);
        }
        self.keep(at);
        while self.members[at].hear(&mut self.oracle, self.now).is_some() {}
        self.start_calls(at);
        while self.members[at].calls() > 0 {
            self.end_a_call(at);
        }
        for topic in self.members[at].topics() {
            self.members[at].send(&mut self.broker, &mut self.oracle, (&topic, usize::MAX, usize::MAX));
            self.members[at].be_answered(&topic, false);
        }
        self.act(at, Due::Now);
        self.store(at);
    }

    fn all_is_stored(&self) -> bool {
        let is_done = |partition: &Partition| {
            partition.stored == partition.log.len() as u64 && partition.shelf.truth.events() == 0
        };
        self.broker.partitions.iter().all(is_done)
    }
}
