//! The world of a life: it makes one step after the other as the seed says, and in the end lets everything come to rest.

use std::collections::BTreeMap;

use rand::seq::IndexedRandom;

use super::broker::{Broker, Deal};
use super::member::{Member, Phase};
use super::oracle::{Errand, Oracle, Tallies};
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
    random: SmallRng,
    setting: Arc<Setting>,
    names: Vec<HandlerName>,
    now: Now,
    broker: Broker,
    members: Vec<Member>,
    /// What the journals of each seat say about deaths.
    journals: BTreeMap<usize, BTreeMap<Errand, u32>>,
    /// A tenant and handler at which all attempts fail.
    mood: Option<(usize, &'static str)>,
    is_healthy: bool,
    oracle: Oracle,
    trace: Trace,
}

/// Lives the life of a seed, and tells what happened in it and the hash of all that did.
pub(super) fn live(seed: u64, is_told: bool) -> (Tallies, String) {
    let mut random = SmallRng::seed_from_u64(seed);
    let setting = Arc::new(Setting::draw(&mut random));
    let names = setting.handlers.iter().map(|(config, _)| config.name.clone()).collect();
    let mut world = World {
        random,
        names,
        now: Now { instant: Instant::now(), unix_micros: 1_700_000_000_000_000 },
        broker: Broker::new(setting.partitions),
        setting,
        members: Vec::new(),
        journals: BTreeMap::new(),
        mood: None,
        is_healthy: false,
        oracle: Oracle::default(),
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
            0..80 => self.produce(),
            80..130 => self.pass(),
            130..960 => self.let_one_work(),
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
            let decoded = self.setting.draw_event(at, offset, &mut self.random);
            let wanting = decoded.as_ref().map_or_else(|_| Vec::new(), |event| self.setting.wanting(event));
            let natures =
                wanting.into_iter().map(|handler| (handler, Nature::draw(&mut self.random))).collect();
            let record = Record { decoded, natures };
            self.oracle.produced((at, offset), &record, &self.names);
            self.broker.partitions[at].log.push(record);
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
            12..32 => self.hear(at),
            32..52 => self.start_calls(at),
            52..72 => self.end_a_call(at),
            72..86 => self.publish(at),
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
        let heard = self.members[at].hear(&mut self.oracle, self.now);
        self.trace.note(format_args!("{} hears: {heard}", self.members[at].seat));
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
        let script = self.members[at].script(call, &self.broker);
        let seat = self.members[at].seat;
        let world = (&mut self.oracle, self.now);
        if self.is_healthy {
            let natures: Vec<_> = script.iter().map(|(nature, _)| Nature::Good(nature.emits())).collect();
            self.members[at].answer(call, &natures, world);
            return;
        }
        let is_struck = self.mood.is_some_and(|(handler, tenant)| {
            self.members[at].handler_of(call) == handler && self.members[at].tenant_of(call) == tenant
        });
        let fate = self.random.random_range(0..100);
        self.trace.note(format_args!("{seat} ends {script:?} by {fate}"));
        match fate {
            0..3 => self.members[at].refuse(call, self.now),
            3..6 => self.members[at].fail(call, Outcome::HostFault { reason: "no thread".to_owned() }, world),
            _ if script.iter().any(|(nature, _)| *nature == Nature::Kills) => self.crash(at),
            _ if is_struck => self.members[at].fail(call, trapped(), world),
            _ => match script.iter().find(|(nature, attempt)| !nature.answers(*attempt)) {
                Some((nature, attempt)) => self.members[at].fail(call, nature.outcome(*attempt), world),
                None => {
                    let natures: Vec<_> = script.iter().map(|(nature, _)| *nature).collect();
                    self.members[at].answer(call, &natures, world);
                }
            },
        }
        self.clear_suspects(seat);
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
            self.members[at].send(&self.broker, &mut self.oracle, (topic, most, taken));
        } else if self.broker.is_up {
            self.members[at].be_answered(topic, is_lost);
        }
    }

    fn act(&mut self, at: usize, due: Due) {
        self.members[at].act(&mut self.oracle, due, self.now);
    }

    fn store(&mut self, at: usize) {
        let stored = self.members[at].store(&mut self.broker, &mut self.oracle);
        self.trace.note(format_args!("{} stores {stored:?}", self.members[at].seat));
    }

    fn start_member(&mut self) {
        let Some(seat) = (0..self.setting.seats).find(|seat| self.members.iter().all(|m| m.seat != *seat))
        else {
            return;
        };
        let deaths = self.journals.entry(seat).or_default().clone();
        let mark = |((partition, offset), handler): &Errand| {
            let record = &self.broker.partitions[*partition].log[usize::try_from(*offset).unwrap()];
            let event = record.decoded.as_ref().ok()?;
            Some(EventMark::of(&self.names[(*handler)?], &event.message))
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
        let member = self.members.swap_remove(at);
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
            self.members[at].phase = Phase::Drains;
        }
        let Some(at) = self.one_of(|member| member.phase == Phase::Drains && member.is_at_rest()) else {
            return;
        };
        self.act(at, Due::All);
        self.store(at);
        let member = self.members.swap_remove(at);
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
        let topics = [None, Some("dlq"), Some("domain")];
        self.broker.refused = *topics.choose(&mut self.random).unwrap();
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
        for member in &mut self.members {
            (member.frozen_until, member.phase) = (0, Phase::Works);
        }
        self.deal(Deal::Sudden);
        self.settle(|world| world.members.iter().any(|member| member.watch.has_blocked_lanes()));
        while !self.members.is_empty() {
            self.crash(0);
        }
        self.journals.clear();
        self.start_member();
        self.settle(|_| false);
        let counters = self.members.iter().map(|member| member.pauses()).sum::<u64>();
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
        while self.members[at].hear(&mut self.oracle, self.now) {}
        self.start_calls(at);
        while self.members[at].calls() > 0 {
            self.end_a_call(at);
        }
        for topic in self.members[at].topics() {
            self.members[at].send(&self.broker, &mut self.oracle, (&topic, usize::MAX, usize::MAX));
            self.members[at].be_answered(&topic, false);
        }
        self.act(at, Due::Now);
        self.store(at);
    }

    fn all_is_stored(&self) -> bool {
        self.broker.partitions.iter().all(|partition| partition.stored == partition.log.len() as u64)
    }
}
