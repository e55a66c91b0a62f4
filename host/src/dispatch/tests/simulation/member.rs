//! One host of a life: its dispatcher, and around that a poller, guests and a publisher that do what the seed says.

mod keeping;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::broker::{Broker, Letter, Ownership, Partition};
use super::memory::{Known, Memory};
use super::oracle::{Errand, Oracle, Subject};
use super::shelf::{self, GROUP, SUFFIX};
use super::watch::place_of;
use super::*;
use crate::dispatch::parking::Parking;
use crate::identity::EventIdentity;
use crate::parked::Fetch;
use crate::poller::Input;
use crate::sandbox::DoneBefore;

use self::keeping::Keeping;

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

/// What becomes of an event of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// It runs, at this attempt.
    Runs(Nature, u32),
    /// It was handled before, as this copy, with so many emits.
    IsDone(Errand, u32),
    /// Another copy of it comes before it in the call.
    IsTwin,
}

impl Doing {
    /// The nature of an event that runs.
    pub(super) fn running(self) -> Option<(Nature, u32)> {
        if let Self::Runs(nature, attempt) = self { Some((nature, attempt)) } else { None }
    }
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
    /// What the poller is asked to store, and whether all up to there was settled in truth when it was.
    board: BTreeMap<usize, (AssignmentId, u64, bool)>,
    /// What the dispatcher has not been told yet.
    inbox: VecDeque<Input>,
    /// The assignments as the dispatcher knows them.
    known: BTreeMap<usize, AssignmentId>,
    /// Those among them that the dispatcher hands over.
    handing_over: BTreeSet<usize>,
    calls: Vec<Running>,
    /// What its keepers know of parked partitions.
    keeping: BTreeMap<usize, Keeping>,
    fetches: VecDeque<Fetch>,
    /// What was read of partitions of which the dispatcher does not know yet what is parked.
    unread: BTreeMap<usize, Vec<Decoded>>,
    outbox: BTreeMap<String, VecDeque<Letter>>,
    requests: BTreeMap<String, Request>,
    /// Messages that each effect still waits for.
    unconfirmed: BTreeMap<EffectId, usize>,
    /// What ended in a guest without the host's death.
    outlived: BTreeSet<Errand>,
    pub(super) wants_to_rejoin: bool,
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
            Effects::new(Arc::new(Codec::default()), GROUP.to_owned(), "dlq".to_owned(), BTreeMap::new());
        let handlers =
            setting.handlers.iter().map(|(config, pool)| (Arc::new(config.clone()), *pool)).collect();
        let mut dispatcher = Dispatcher::new(handlers, effects, setting.dispatch.clone(), seed);
        if setting.parks {
            dispatcher = dispatcher.with_parking(setting.sources(), SUFFIX.to_owned());
            dispatcher.shelving.parking = Parking::new(setting.parked_max);
        }
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
            keeping: BTreeMap::new(),
            fetches: VecDeque::new(),
            unread: BTreeMap::new(),
            outbox: BTreeMap::new(),
            requests: BTreeMap::new(),
            unconfirmed: BTreeMap::new(),
            outlived: BTreeSet::new(),
            wants_to_rejoin: false,
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
                oracle.tally.repeats_max += self.exposed(holding, partition);
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

    /// What may run again when a partition is lost: all that was read and is not stored, for each handler, and what may
    /// have been parked of it.
    fn exposed(&self, holding: Holding, partition: &Partition) -> u64 {
        let unstored = holding.next.saturating_sub(partition.stored) * self.setting.handlers.len() as u64;
        unstored + partition.shelf.records.len() as u64
    }

    /// The same for all partitions.
    pub(super) fn exposed_by_death(&self, broker: &Broker) -> u64 {
        self.held.iter().map(|(at, holding)| self.exposed(*holding, &broker.partitions[*at])).sum()
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
            self.inbox.push_back(Input::Read(self.setting.key(partition), read, None));
        }
        count
    }

    /// The poller stores what stands on its board.
    pub(super) fn store(&mut self, broker: &mut Broker, oracle: &mut Oracle) -> Vec<(usize, u64)> {
        let mut stored = Vec::new();
        for (partition, (assignment, offset, is_settled)) in std::mem::take(&mut self.board) {
            let is_meant = |holding: &&Holding| holding.assignment == assignment;
            let held = self.held.get(&partition).filter(is_meant);
            let Some(holding) = held.or_else(|| self.leaving.get(&partition).filter(is_meant)) else {
                continue;
            };
            if !broker.is_up {
                continue;
            }
            if broker.store(partition, holding.ownership, offset) {
                assert!(is_settled, "I-6: {offset} of {partition} is committed too soon");
                oracle.tally.commits += 1;
                stored.push((partition, offset));
            } else {
                oracle.tally.refused_commits += 1;
                self.inbox.push_back(Input::Overtaken(self.setting.key(partition), assignment));
            }
        }
        stored
    }

    /// The dispatcher is told what came next; none when nothing did.
    pub(super) fn hear(&mut self, oracle: &mut Oracle, now: Now) -> Option<String> {
        let input = self.inbox.pop_front()?;
        let heard = self.describe(&input);
        match input {
            Input::Assigned(key, assignment) => self.is_assigned(key, assignment, now),
            Input::TakenAway(key) => {
                self.handing_over.insert(self.setting.number(key));
                self.dispatcher.hand_over(key, now);
            }
            Input::Overtaken(key, assignment) => self.dispatcher.overtaken(key, assignment),
            Input::Revoked(key) => {
                self.handing_over.remove(&self.setting.number(key));
                self.known.remove(&self.setting.number(key));
                self.forget(self.setting.number(key));
                self.dispatcher.revoked(key);
            }
            Input::Read(key, messages, _) => self.is_read(key, messages, now),
            Input::Published(effects) => {
                for effect in effects {
                    self.dispatcher.published(effect, now);
                }
            }
            Input::ReadBack(read) => self.is_read_back(read, oracle, now),
            Input::Fetched(fetched) => self.dispatcher.fetched(fetched, now),
            Input::Expired(_) | Input::Repeated(_) | Input::WentBack | Input::Refused(..) => {
                unreachable!("this broker forgets and refuses nothing")
            }
        }
        self.notice_what_is_given_up();
        self.take_jobs(oracle, now);
        self.watch.nothing_is_owed();
        Some(heard)
    }

    fn describe(&self, input: &Input) -> String {
        let number = |key: &PartitionKey| self.setting.number(*key);
        match input {
            Input::Assigned(key, assignment) => format!("{} is assigned as {}", number(key), assignment.0),
            Input::TakenAway(key) => format!("{} is taken away", number(key)),
            Input::Overtaken(key, assignment) => format!("{} is overtaken as {}", number(key), assignment.0),
            Input::Revoked(key) => format!("{} is revoked", number(key)),
            Input::Read(key, messages, _) => format!("{} of {}", messages.len(), number(key)),
            Input::ReadBack(read) => format!("{} parked of {}", read.records.len(), number(&read.partition)),
            Input::Fetched(fetched) => format!("{} fetched of {}", fetched.events.len(), fetched.lane),
            other => format!("{other:?}"),
        }
    }

    fn is_assigned(&mut self, key: PartitionKey, assignment: AssignmentId, now: Now) {
        let at = self.setting.number(key);
        // It may come back before it was handed over.
        self.forget(at);
        self.known.insert(at, assignment);
        self.handing_over.remove(&at);
        self.dispatcher.assigned(key, assignment, now);
        if self.dispatcher.is_open(key) {
            self.paused.remove(&at);
        } else {
            self.paused.insert(at);
        }
        if let Some(owner) = self.dispatcher.owner_of(key) {
            self.keeping.insert(at, Keeping::new(assignment, owner));
        }
    }

    fn is_read(&mut self, key: PartitionKey, messages: Vec<Decoded>, now: Now) {
        let at = self.setting.number(key);
        if self.dispatcher.is_open(key) {
            messages.iter().for_each(|message| self.watch.read(at, message));
        } else {
            self.unread.entry(at).or_default().extend(messages.iter().cloned());
        }
        self.dispatcher.read(key, messages, now);
    }

    /// What was read of a partition is no longer this host's affair.
    fn forget(&mut self, at: usize) {
        self.watch.revoked(at);
        self.unread.remove(&at);
    }

    /// A partition that is handed over is given up by the dispatcher itself.
    fn notice_what_is_given_up(&mut self) {
        let is_held = |known: &AssignmentId, at: usize| {
            self.dispatcher.partitions.is_handing_over(self.setting.key(at), *known)
        };
        let is_given_up = |at: &usize| !self.known.get(at).is_some_and(|known| is_held(known, *at));
        for at in self.handing_over.extract_if(.., is_given_up).collect::<Vec<_>>() {
            self.known.remove(&at);
            self.forget(at);
        }
    }

    /// Does what the dispatcher wants done to commits and polling.
    pub(super) fn act(&mut self, oracle: &mut Oracle, due: Due, now: Now) {
        self.dispatcher.wake(now);
        for Commit { partition, assignment, offset } in self.dispatcher.take_commits(due, now) {
            let number = self.setting.number(partition);
            assert_eq!(self.known.get(&number), Some(&assignment), "only what is held is committed");
            // What is parked by a host that has lost the partition does not count, and neither does its commit.
            let is_settled = oracle.is_settled_up_to((number, offset.0));
            assert!(is_settled || self.setting.parks, "I-6: {offset} of {number} is committed too soon");
            self.watch.commits((number, offset.0));
            self.board.insert(number, (assignment, offset.0, is_settled));
        }
        self.notice_what_is_given_up();
        self.tend_parked();
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
                let stands: Vec<Stand> = self.tickets(call.id).map(Ticket::stand).collect();
                self.watch.call_began(&call, &stands, oracle, now.instant);
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
        let are_current = self.are_current(at);
        let running = self.take_call(at);
        let (handler, is_single) = (running.call.handler.0, running.call.events.len() == 1);
        for (CallEvent { event, .. }, is_current) in running.call.events.iter().zip(are_current) {
            if !is_current {
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

    /// A call is answered: each event as its nature says. What follows a failed one in its lane is not run, and nothing
    /// behind a twin.
    pub(super) fn answer(
        &mut self,
        at: usize,
        script: &[Doing],
        (broker, memory): (&Broker, &mut Memory),
        world: (&mut Oracle, Now),
    ) {
        let (oracle, now) = world;
        let are_current = self.are_current(at);
        let running = self.take_call(at);
        let handler = running.call.handler.0;
        let (mut answers, mut failed_lanes, mut is_stopped) = (Vec::new(), BTreeSet::new(), false);
        for (index, (call_event, doing)) in running.call.events.iter().zip(script).enumerate() {
            let CallEvent { event, lane, .. } = call_event;
            let errand = (self.watch.place(event), Some(handler));
            is_stopped |= *doing == Doing::IsTwin;
            if is_stopped || failed_lanes.contains(lane) {
                answers.push((index, Answer::NotRun));
                continue;
            }
            let (outcome, of) = match *doing {
                Doing::Runs(nature, attempt) => (nature.outcome(attempt), errand),
                Doing::IsDone(of, emits) => {
                    answers.push((index, Answer::DoneBefore(done_before(of, emits, broker))));
                    if are_current[index] {
                        self.watch.handled(handler, event, (of, emits));
                        oracle.recognised(errand, of, emits);
                    }
                    continue;
                }
                Doing::IsTwin => continue,
            };
            let Outcome::Done(emits) = &outcome else {
                failed_lanes.insert(*lane);
                if are_current[index] {
                    self.watch.failed(handler, event, &outcome, now.instant);
                }
                answers.push((index, Answer::Ended(outcome)));
                continue;
            };
            let emits = u32::try_from(emits.len()).unwrap();
            memory.done(&self.setting.handlers[handler].0, errand, (event, emits));
            if are_current[index] {
                self.watch.handled(handler, event, (of, emits));
                oracle.handled(errand, emits);
            }
            if emits > 0 {
                answers.push((index, Answer::Ended(outcome)));
            }
        }
        self.report(running.call.id, CallResult::Answered(answers), oracle, now);
    }

    /// What becomes of the events of a call, by what the seed wrote and what the handler remembers.
    pub(super) fn script(&self, at: usize, broker: &Broker, memory: &Memory) -> Vec<Doing> {
        let Running { call, .. } = &self.calls[at];
        let (handler, mut new) = (call.handler.0, BTreeSet::new());
        let config = &self.setting.handlers[handler].0;
        let doing = |e: &CallEvent| {
            let place = self.watch.place(&e.event);
            match memory.know(config, (place, Some(handler)), &e.event) {
                Known::Done(of, emits) => Doing::IsDone(of, emits),
                Known::New if config.dedup.is_some() && !new.insert(e.event.id.clone()) => Doing::IsTwin,
                Known::New => Doing::Runs(broker.record(place).natures[&handler], e.attempt),
            }
        };
        call.events.iter().map(doing).collect()
    }

    pub(super) fn handler_of(&self, at: usize) -> usize {
        self.calls[at].call.handler.0
    }

    pub(super) fn tenant_of(&self, at: usize) -> &str {
        self.calls[at].call.tenant.as_str()
    }

    /// The tickets of the events of a call.
    fn tickets(&self, id: CallId) -> impl Iterator<Item = Ticket> {
        self.dispatcher.calls[&id].items.iter().map(|(_, delivery)| delivery.ticket)
    }

    /// Whether the answers about the events of a call count. A lane that was released may have been dropped meanwhile.
    fn are_current(&self, at: usize) -> Vec<bool> {
        let running = &self.calls[at];
        let is_current = |((event, assignment), ticket): ((&CallEvent, &Option<AssignmentId>), Ticket)| {
            let known = self.known.get(&self.watch.place(&event.event).0);
            let is_held = known.is_some() && known == assignment.as_ref();
            match ticket.stand() {
                Stand::Ledger(_) => is_held,
                Stand::Parked(_) => is_held && self.dispatcher.is_current(ticket),
            }
        };
        let events = running.call.events.iter().zip(&running.assignments);
        events.zip(self.tickets(running.call.id)).map(is_current).collect()
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
            let (mut subjects, mut records) = (Vec::new(), Vec::new());
            for (topic, message) in &job.messages {
                if topic.ends_with(SUFFIX) {
                    let at = shelf::partition_of(&self.setting, topic, message);
                    records.push((at, shelf::read(message, Offset(0)).content));
                } else {
                    let subject = oracle.subject(message.id);
                    let is_letter = matches!(subject, Subject::Letter(_));
                    assert_eq!(topic == "dlq", is_letter, "{subject:?} goes to {topic}");
                    subjects.push(subject);
                }
            }
            self.watch.publishes(&subjects, &records, (oracle, now.instant));
            for (topic, message) in job.messages {
                let letter = Letter { effect: job.effect, message };
                self.outbox.entry(topic).or_default().push_back(letter);
            }
        }
    }

    /// The publisher sends what waits for a topic, at most so many messages.
    pub(super) fn send(
        &mut self,
        broker: &mut Broker,
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
            broker.take(&self.setting, oracle, (topic, &letter.message));
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
        self.unconfirmed.is_empty() && self.inbox.is_empty() && self.fetches.is_empty()
    }

    pub(super) fn pauses(&mut self) -> u64 {
        self.dispatcher.counters().handlers.values().map(|handler| handler.pauses).sum()
    }
}

/// The answer about an event that was handled before, as this copy of it.
fn done_before((place, _): Errand, emits: u32, broker: &Broker) -> DoneBefore {
    let handled = broker.record(place).decoded.as_ref().expect("it was handled");
    let identity = EventIdentity::of(&handled.message);
    DoneBefore { identity, emits: (0..emits).map(|_| emit()).collect() }
}
