//! One host of a life: its dispatcher, and around that a poller, guests and a publisher that do what the seed says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::broker::{Broker, Letter, Ownership, Partition};
use super::oracle::{Errand, Oracle, Subject};
use super::watch::place_of;
use super::*;
use crate::poller::Input;

/// A partition that a poller reads.
#[derive(Debug, Clone, Copy)]
struct Holding {
    ownership: Ownership,
    assignment: AssignmentId,
    next: u64,
}

/// A guest call under way, with the assignments its events came under.
#[derive(Debug)]
struct Running {
    call: Call,
    assignments: Vec<Option<AssignmentId>>,
}

/// A request to publish that waits for its answer.
#[derive(Debug)]
struct Request {
    letters: Vec<Letter>,
    /// How many of them the broker has taken.
    taken: usize,
}

/// Whether a host goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Works,
    /// It reads nothing more and ends what it has.
    Drains,
}

/// A host.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) seat: usize,
    pub(super) phase: Phase,
    /// Nothing of it moves until then, as far as the world is concerned.
    pub(super) frozen_until: u64,
    pub(super) watch: Watch,
    setting: Arc<Setting>,
    dispatcher: Dispatcher,
    held: BTreeMap<usize, Holding>,
    /// Partitions that were taken away, and whose offsets the broker may still take.
    leaving: BTreeMap<usize, Holding>,
    assignments: u64,
    paused: BTreeSet<usize>,
    /// What the poller is asked to store.
    board: BTreeMap<usize, (AssignmentId, u64)>,
    /// What the dispatcher has not been told yet.
    inbox: VecDeque<Input>,
    /// The assignments as the dispatcher knows them.
    known: BTreeMap<usize, AssignmentId>,
    /// Those among them that the dispatcher hands over.
    handing_over: BTreeSet<usize>,
    calls: Vec<Running>,
    outbox: BTreeMap<String, VecDeque<Letter>>,
    requests: BTreeMap<String, Request>,
    /// Messages that each effect still waits for.
    unconfirmed: BTreeMap<EffectId, usize>,
    /// What ended in a guest without the host's death.
    outlived: BTreeSet<Errand>,
}

impl Member {
    pub(super) fn new(
        seat: usize,
        setting: &Arc<Setting>,
        deaths: BTreeMap<Errand, u32>,
        marks: Suspects,
        seed: u64,
    ) -> Self {
        let effects =
            Effects::new(Arc::new(Codec::default()), "group".to_owned(), "dlq".to_owned(), BTreeMap::new());
        let handlers =
            setting.handlers.iter().map(|(config, pool)| (Arc::new(config.clone()), *pool)).collect();
        let dispatcher = Dispatcher::new(handlers, effects, setting.dispatch.clone(), seed);
        Self {
            seat,
            phase: Phase::Works,
            frozen_until: 0,
            watch: Watch::new(Arc::clone(setting), deaths),
            setting: Arc::clone(setting),
            dispatcher: dispatcher.with_suspects(Arc::new(marks)),
            held: BTreeMap::new(),
            leaving: BTreeMap::new(),
            assignments: 0,
            paused: BTreeSet::new(),
            board: BTreeMap::new(),
            inbox: VecDeque::new(),
            known: BTreeMap::new(),
            handing_over: BTreeSet::new(),
            calls: Vec::new(),
            outbox: BTreeMap::new(),
            requests: BTreeMap::new(),
            unconfirmed: BTreeMap::new(),
            outlived: BTreeSet::new(),
        }
    }

    /// The poller takes note of what it owns now. That another host has begun may stay unseen until an offset is
    /// refused.
    pub(super) fn join(&mut self, broker: &Broker, oracle: &mut Oracle, sudden_is_unseen: bool) {
        for (at, partition) in broker.partitions.iter().enumerate() {
            let is_mine = |owner: &Ownership| owner.seat == self.seat;
            let ownership = partition.owner.filter(is_mine).filter(|_| partition.successor.is_none());
            if self.held.get(&at).map(|holding| holding.ownership) == ownership {
                continue;
            }
            if let Some(holding) = self.held.remove(&at) {
                oracle.tally.revocations += 1;
                oracle.tally.repeats_max += self.exposed(holding, partition.stored);
                let may_store =
                    partition.owner.is_some_and(|owner| owner == holding.ownership) || sudden_is_unseen;
                self.inbox.push_back(if may_store {
                    self.leaving.insert(at, holding);
                    Input::TakenAway(self.setting.key(at))
                } else {
                    Input::Revoked(self.setting.key(at))
                });
            }
            if let Some(ownership) = ownership {
                self.assignments += 1;
                self.leaving.remove(&at);
                let assignment = AssignmentId(self.assignments);
                self.held.insert(at, Holding { ownership, assignment, next: partition.stored });
                self.inbox.push_back(Input::Assigned(self.setting.key(at), assignment));
            }
        }
    }

    /// Whether a partition that was taken away has stored all that was read of it.
    pub(super) fn has_ended(&self, at: usize, partition: &Partition) -> bool {
        !self.held.contains_key(&at)
            && self.leaving.get(&at).is_none_or(|holding| holding.next == partition.stored)
    }

    /// What may run again when a partition is lost: all that was read and is not stored, for each handler.
    fn exposed(&self, holding: Holding, stored: u64) -> u64 {
        holding.next.saturating_sub(stored) * self.setting.handlers.len() as u64
    }

    /// The same for all partitions.
    pub(super) fn exposed_by_death(&self, broker: &Broker) -> u64 {
        self.held.iter().map(|(at, holding)| self.exposed(*holding, broker.partitions[*at].stored)).sum()
    }

    /// The poller reads a partition.
    pub(super) fn poll(&mut self, broker: &Broker, partition: usize) -> usize {
        let Some(holding) = self.held.get_mut(&partition) else { return 0 };
        if !broker.is_up || self.phase == Phase::Drains || self.paused.contains(&partition) {
            return 0;
        }
        let from = usize::try_from(holding.next).unwrap();
        let log = &broker.partitions[partition].log;
        let most = self.setting.dispatch.poll_events_max as usize;
        let read: Vec<Decoded> =
            log.iter().skip(from).take(most).map(|record| record.decoded.clone()).collect();
        holding.next += read.len() as u64;
        let count = read.len();
        if count > 0 {
            self.inbox.push_back(Input::Read(self.setting.key(partition), read));
        }
        count
    }

    /// The poller stores what stands on its board.
    pub(super) fn store(&mut self, broker: &mut Broker, oracle: &mut Oracle) -> Vec<(usize, u64)> {
        let mut stored = Vec::new();
        for (partition, (assignment, offset)) in std::mem::take(&mut self.board) {
            let is_meant = |holding: &&Holding| holding.assignment == assignment;
            let held = self.held.get(&partition).filter(is_meant);
            let Some(holding) = held.or_else(|| self.leaving.get(&partition).filter(is_meant)) else {
                continue;
            };
            if !broker.is_up {
                continue;
            }
            if broker.store(partition, holding.ownership, offset) {
                oracle.tally.commits += 1;
                stored.push((partition, offset));
            } else {
                oracle.tally.refused_commits += 1;
                self.inbox.push_back(Input::Overtaken(self.setting.key(partition), assignment));
            }
        }
        stored
    }

    /// The dispatcher is told what came next.
    pub(super) fn hear(&mut self, oracle: &mut Oracle, now: Now) -> bool {
        let Some(input) = self.inbox.pop_front() else { return false };
        match input {
            Input::Assigned(key, assignment) => {
                // It may come back before it was handed over.
                self.watch.revoked(self.setting.number(key));
                self.known.insert(self.setting.number(key), assignment);
                self.handing_over.remove(&self.setting.number(key));
                self.dispatcher.assigned(key, assignment, now);
                self.paused.remove(&self.setting.number(key));
            }
            Input::TakenAway(key) => {
                self.handing_over.insert(self.setting.number(key));
                self.dispatcher.hand_over(key, now);
            }
            Input::Overtaken(key, assignment) => self.dispatcher.overtaken(key, assignment),
            Input::Revoked(key) => {
                self.handing_over.remove(&self.setting.number(key));
                self.known.remove(&self.setting.number(key));
                self.watch.revoked(self.setting.number(key));
                self.dispatcher.revoked(key);
            }
            Input::Read(key, messages) => {
                for message in &messages {
                    self.watch.read(self.setting.number(key), message);
                }
                self.dispatcher.read(key, messages, now);
            }
            Input::Published(effects) => {
                for effect in effects {
                    self.dispatcher.published(effect, now);
                }
            }
            Input::Expired(_) | Input::WentBack | Input::Refused(..) => {
                unreachable!("this broker forgets and refuses nothing")
            }
            Input::ReadBack(_) | Input::Fetched(_) => unreachable!("nothing is parked here"),
        }
        self.notice_what_is_given_up();
        self.take_jobs(oracle, now);
        self.watch.nothing_is_owed();
        true
    }

    /// A partition that is handed over is given up by the dispatcher itself.
    fn notice_what_is_given_up(&mut self) {
        let (known, setting, partitions) = (&mut self.known, &self.setting, &self.dispatcher.partitions);
        let watch = &mut self.watch;
        self.handing_over.retain(|at| {
            let is_held =
                known.get(at).is_some_and(|known| partitions.is_handing_over(setting.key(*at), *known));
            if !is_held {
                known.remove(at);
                watch.revoked(*at);
            }
            is_held
        });
    }

    /// Does what the dispatcher wants done to commits and polling.
    pub(super) fn act(&mut self, oracle: &mut Oracle, due: Due, now: Now) {
        self.dispatcher.wake(now);
        for Commit { partition, assignment, offset } in self.dispatcher.take_commits(due, now) {
            let number = self.setting.number(partition);
            assert_eq!(self.known.get(&number), Some(&assignment), "only what is held is committed");
            assert!(
                oracle.is_settled_up_to((number, offset.0)),
                "I-6: {offset} of {number} is committed too soon"
            );
            self.watch.commits((number, offset.0));
            self.board.insert(number, (assignment, offset.0));
        }
        self.notice_what_is_given_up();
        for (partition, polling) in self.dispatcher.take_polling_changes() {
            let number = self.setting.number(partition);
            match polling {
                Polling::Pause => self.paused.insert(number),
                Polling::Go => self.paused.remove(&number),
            };
        }
    }

    /// Makes calls while there is room for them; tells the events of each.
    pub(super) fn start(&mut self, oracle: &mut Oracle, tired: Option<&str>, now: Now) -> Vec<Errand> {
        self.dispatcher.wake(now);
        let mut started = Vec::new();
        let mut is_idle = tired.is_none();
        for pool in Pool::ALL {
            while self.dispatcher.calls_under_way(pool) < self.setting.slots {
                let has_room = |tenant: &Tenant| Some(tenant.as_str()) != tired;
                let call = self.dispatcher.next_call(pool, has_room, now);
                self.take_jobs(oracle, now);
                let Some(call) = call else { break };
                self.watch.call_began(&call, now.instant);
                started.extend(self.errands(&call));
                let known = |e: &CallEvent| self.known.get(&self.watch.place(&e.event).0).copied();
                let assignments = call.events.iter().map(known).collect();
                self.calls.push(Running { call, assignments });
            }
            is_idle &= self.dispatcher.calls_under_way(pool) < self.setting.slots;
        }
        if is_idle {
            self.watch.all_wait_for_a_reason(&self.dispatcher, now.instant);
        }
        started
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.len()
    }

    /// What is in guests now.
    pub(super) fn in_guests(&self) -> Vec<Errand> {
        self.calls.iter().flat_map(|running| self.errands(&running.call)).collect()
    }

    /// What has ended in a guest since the last time, and the host lives.
    pub(super) fn take_outlived(&mut self) -> BTreeSet<Errand> {
        std::mem::take(&mut self.outlived)
    }

    fn errands(&self, call: &Call) -> Vec<Errand> {
        let handler = call.handler.0;
        call.events.iter().map(|e| (place_of(&self.setting, &e.event.message), Some(handler))).collect()
    }

    fn take_call(&mut self, at: usize) -> Running {
        let running = self.calls.swap_remove(at);
        self.watch.call_ended(&running.call);
        let outlived = self.errands(&running.call);
        self.outlived.extend(outlived);
        running
    }

    /// A call could not be started after all.
    pub(super) fn refuse(&mut self, at: usize, now: Now) {
        let Running { call, .. } = self.calls.swap_remove(at);
        self.watch.call_ended(&call);
        self.dispatcher.call_refused(call.id, now);
    }

    /// A call fails as a whole.
    pub(super) fn fail(&mut self, at: usize, outcome: Outcome, world: (&mut Oracle, Now)) {
        let (oracle, now) = world;
        let running = self.take_call(at);
        let (handler, is_single) = (running.call.handler.0, running.call.events.len() == 1);
        for (index, CallEvent { event, .. }) in running.call.events.iter().enumerate() {
            if !self.is_current(&running, index) {
                continue;
            }
            if is_single {
                self.watch.failed(handler, event, &outcome, now.instant);
            } else {
                self.watch.company_failed(handler, event, &outcome, now.instant);
            }
        }
        self.report(running.call.id, CallResult::Failed(outcome), oracle, now);
    }

    /// A call is answered: each event as its nature says, and what follows a failed one in its lane is not run.
    pub(super) fn answer(&mut self, at: usize, natures: &[Nature], world: (&mut Oracle, Now)) {
        let (oracle, now) = world;
        let running = self.take_call(at);
        let handler = running.call.handler.0;
        let (mut answers, mut failed_lanes) = (Vec::new(), BTreeSet::new());
        for (index, (call_event, nature)) in running.call.events.iter().zip(natures).enumerate() {
            let CallEvent { event, attempt, lane } = call_event;
            if failed_lanes.contains(lane) {
                answers.push((index, Answer::NotRun));
                continue;
            }
            let outcome = nature.outcome(*attempt);
            let is_current = self.is_current(&running, index);
            if let Outcome::Done(emits) = &outcome {
                let emits = u32::try_from(emits.len()).unwrap();
                if is_current {
                    self.watch.handled(handler, event, emits);
                    oracle.handled((self.watch.place(event), Some(handler)), emits);
                }
                if emits == 0 {
                    continue;
                }
            } else {
                failed_lanes.insert(*lane);
                if is_current {
                    self.watch.failed(handler, event, &outcome, now.instant);
                }
            }
            answers.push((index, Answer::Ended(outcome)));
        }
        self.report(running.call.id, CallResult::Answered(answers), oracle, now);
    }

    /// The natures of the events of a call, by what the seed wrote.
    pub(super) fn script(&self, at: usize, broker: &Broker) -> Vec<(Nature, u32)> {
        let Running { call, .. } = &self.calls[at];
        let nature = |e: &CallEvent| {
            let (partition, offset) = self.watch.place(&e.event);
            let record = &broker.partitions[partition].log[usize::try_from(offset).unwrap()];
            (record.natures[&call.handler.0], e.attempt)
        };
        call.events.iter().map(nature).collect()
    }

    pub(super) fn handler_of(&self, at: usize) -> usize {
        self.calls[at].call.handler.0
    }

    pub(super) fn tenant_of(&self, at: usize) -> &str {
        self.calls[at].call.tenant.as_str()
    }

    fn is_current(&self, running: &Running, index: usize) -> bool {
        let (partition, _) = self.watch.place(&running.call.events[index].event);
        let known = self.known.get(&partition).copied();
        known.is_some() && known == running.assignments[index]
    }

    fn report(&mut self, id: CallId, result: CallResult, oracle: &mut Oracle, now: Now) {
        let report =
            CallReport { id, result, duration: Duration::from_micros(id.0 % 100_000), memory_peak_bytes: 0 };
        self.dispatcher.call_ended(report, now);
        self.take_jobs(oracle, now);
        self.watch.nothing_is_owed();
    }

    fn take_jobs(&mut self, oracle: &mut Oracle, now: Now) {
        while let Some(job) = self.dispatcher.next_job() {
            self.unconfirmed.insert(job.effect, job.messages.len());
            for (topic, message) in job.messages {
                let subject = oracle.subject(message.id);
                assert_eq!(
                    topic == "dlq",
                    matches!(subject, Subject::Letter(_)),
                    "{subject:?} goes to {topic}"
                );
                self.watch.publishes(subject, oracle, now.instant);
                let letter = Letter { effect: job.effect, message };
                self.outbox.entry(topic).or_default().push_back(letter);
            }
        }
    }

    /// The publisher sends what waits for a topic, at most so many messages.
    pub(super) fn send(
        &mut self,
        broker: &Broker,
        oracle: &mut Oracle,
        (topic, most, taken): (&str, usize, usize),
    ) {
        let Some(waiting) = self.outbox.get_mut(topic).filter(|waiting| !waiting.is_empty()) else { return };
        if self.requests.contains_key(topic) {
            return;
        }
        let letters: Vec<Letter> = waiting.drain(..most.min(waiting.len())).collect();
        let taken = if broker.takes(topic) { taken.min(letters.len()) } else { 0 };
        for letter in &letters[..taken] {
            oracle.stored(letter.message.id);
        }
        self.requests.insert(topic.to_owned(), Request { letters, taken });
    }

    /// The answer to a request comes, or is known never to come.
    pub(super) fn be_answered(&mut self, topic: &str, is_lost: bool) {
        let Some(Request { mut letters, taken }) = self.requests.remove(topic) else { return };
        let left = letters.split_off(if is_lost { 0 } else { taken });
        let waiting = self.outbox.entry(topic.to_owned()).or_default();
        for letter in left.into_iter().rev() {
            waiting.push_front(letter);
        }
        let mut confirmed = Vec::new();
        for Letter { effect, .. } in letters {
            let open = self.unconfirmed.get_mut(&effect).unwrap();
            *open -= 1;
            if *open == 0 {
                self.unconfirmed.remove(&effect);
                confirmed.push(effect);
            }
        }
        if !confirmed.is_empty() {
            self.inbox.push_back(Input::Published(confirmed));
        }
    }

    /// Topics with something to publish.
    pub(super) fn topics(&self) -> Vec<String> {
        self.outbox.keys().cloned().collect()
    }

    /// Whether a draining host has ended what it had.
    pub(super) fn is_at_rest(&self) -> bool {
        self.inbox.is_empty() && self.dispatcher.is_at_rest()
    }

    /// Whether the publisher has confirmed all.
    pub(super) fn owes_nothing(&self) -> bool {
        self.unconfirmed.is_empty() && self.inbox.is_empty()
    }

    pub(super) fn pauses(&self) -> u64 {
        self.dispatcher.counters().handlers.values().map(|handler| handler.pauses).sum()
    }
}
