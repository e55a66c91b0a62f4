//! The dispatcher of one subscription: the pure state machine between reading and committing.
//!
//! It is told what happened (partitions assigned and revoked, events read, calls ended, effects confirmed) and
//! asked what to do (calls to make, messages to publish, offsets to commit, polling to pause). It does no I/O and
//! has no clock and no randomness of its own, so a simulation can drive it through every order of events.

mod agenda;
mod attempts;
mod blocking;
pub(crate) mod bounds;
mod breaker;
pub(crate) mod effects;
mod gates;
mod notices;
pub(crate) mod pace;
mod parking;
pub(crate) mod partitions;
mod pauses;
mod plan;
pub(crate) mod queues;
mod reads;
mod refusal;
mod settings;
mod shelving;
mod showing;
mod tenants;
mod trust;
mod turns;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use self::attempts::CallFacts;
use self::bounds::HostLoad;
use self::breaker::{Change, Tally};
use self::effects::{EffectId, Effects, PublishJob};
use self::notices::Notices;
use self::parking::Parking;
use self::partitions::{AssignmentId, Commit, Due, PartitionKey, Partitions, Polling, Stand, Ticket};
use self::pauses::{Purpose, Whose};
use self::plan::{Plan, tell};
use self::queues::{Batch, Company, Delivery, LaneId, Queues, Rest, Turn};
use self::refusal::Emitter;
use self::shelving::Shelving;
use self::showing::Showing;
use crate::codec::DecodeError;
use crate::counters::{Arrivals, Counting};
use crate::crash_journal::Suspects;
use crate::event::{Message, SharedEvent, Tenant};
use crate::handler::HandlerConfig;
use crate::lane::QueueKey;
use crate::ledger::{Entering, Settled};
use crate::outcome::Outcome;
use crate::route::{HandlerIndex, Routes};
use crate::sandbox::{Answer, CallEvent, CallId, CallReport, CallResult, PerPool, Pool};

pub(crate) use self::attempts::Handled;
pub use self::bounds::Bound;
pub use self::breaker::{BreakerPolicy, OnFailing};
pub use self::settings::DispatchSettings;

/// What a subscription read: an event, or a message that no codec could read.
pub(crate) type Decoded = Result<SharedEvent, Box<(Message, DecodeError)>>;

/// A moment, on the clock that only goes forward and on the one people read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) unix_micros: u64,
}

/// A guest call to make.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) handler: HandlerIndex,
    pub(crate) tenant: Tenant,
    pub(crate) pool: Pool,
    pub(crate) events: Vec<CallEvent>,
}

/// A call that has not ended.
#[derive(Debug)]
struct InFlight {
    key: QueueKey,
    pool: Pool,
    purpose: Purpose,
    items: Vec<(LaneId, Delivery)>,
}

/// The dispatcher of one subscription.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    plans: Vec<Plan>,
    routes: Routes,
    partitions: Partitions,
    queues: Queues,
    calls: HashMap<CallId, InFlight>,
    calls_made: u64,
    calls_under_way: PerPool<usize>,
    /// Queues that make one call at a time and are in one.
    busy: HashSet<QueueKey>,
    /// When pauses of handlers end.
    pauses_end: BinaryHeap<Reverse<(Instant, HandlerIndex)>>,
    effects: Effects,
    /// What is settled by each effect, if anything is.
    open_effects: HashMap<EffectId, Option<Ticket>>,
    /// Who asked for the emits of open effects.
    emitters: HashMap<EffectId, Emitter>,
    jobs: VecDeque<PublishJob>,
    suspects: Arc<Suspects>,
    shelving: Shelving,
    counters: Counting,
    showing: Showing,
    /// Of messages that no codec can read.
    undecodable_notices: Notices,
    random: SmallRng,
    /// Scratch space of [`Self::read`].
    found: Vec<HandlerIndex>,
}

impl Dispatcher {
    /// A dispatcher for these handlers, each with the pool its guests run in. `seed` feeds the jitter of retries.
    pub(crate) fn new(
        handlers: Vec<(Arc<HandlerConfig>, Pool)>,
        effects: Effects,
        settings: DispatchSettings,
        seed: u64,
    ) -> Self {
        let routes = Routes::new(handlers.iter().map(|(h, _)| (h.tenants.clone(), h.events.clone())));
        let showing = Showing::new(handlers.iter().map(|(h, _)| &h.name));
        Self {
            plans: handlers.into_iter().map(|(config, pool)| Plan::new(config, pool)).collect(),
            routes,
            queues: Queues::new(&settings),
            partitions: Partitions::new(settings),
            calls: HashMap::new(),
            calls_made: 0,
            calls_under_way: PerPool::default(),
            busy: HashSet::new(),
            pauses_end: BinaryHeap::new(),
            effects,
            open_effects: HashMap::new(),
            emitters: HashMap::new(),
            jobs: VecDeque::new(),
            suspects: Arc::default(),
            shelving: Shelving::default(),
            counters: Counting::default(),
            showing,
            undecodable_notices: Notices::default(),
            random: SmallRng::seed_from_u64(seed),
            found: Vec::new(),
        }
    }

    /// With events that may have killed earlier hosts: each runs alone, or no more.
    pub(crate) fn with_suspects(self, suspects: Arc<Suspects>) -> Self {
        Self { suspects, ..self }
    }

    /// Counts events that were in guests when the last host was killed for want of memory.
    pub(crate) fn killed_for_memory(&mut self, events: u64) {
        self.counters.sums.killed_for_memory += events;
    }

    /// Sharing the bounds of its host with other subscriptions.
    pub(crate) fn with_host_load(mut self, host: Arc<HostLoad>) -> Self {
        self.partitions.share(host);
        self
    }

    /// A partition is this host's from now on.
    pub(crate) fn assigned(&mut self, partition: PartitionKey, assignment: AssignmentId, now: Now) {
        // It may come back before it was handed over.
        self.counters.sums.given_back += self.partitions.revoke(partition) as u64;
        self.partitions.assign(partition, assignment, now.instant);
        self.unshelve(partition);
        self.shelve(partition, assignment);
        self.unblock();
    }

    /// A partition was taken away, and the broker may still take offsets of it: what was read is finished, for a
    /// bounded time, and then the partition is given up.
    pub(crate) fn hand_over(&mut self, partition: PartitionKey, now: Now) {
        self.partitions.hand_over(partition, now.instant);
        self.shelving.parking.leave(partition);
    }

    /// The broker refused an offset, for another member reads the partition: its hand-over ends.
    pub(crate) fn overtaken(&mut self, partition: PartitionKey, assignment: AssignmentId) {
        if self.partitions.is_handing_over(partition, assignment) {
            self.revoked(partition);
        }
    }

    /// A partition is no longer this host's: what is not settled is given back, unsettled.
    pub(crate) fn revoked(&mut self, partition: PartitionKey) {
        let given_back = self.partitions.revoke(partition);
        self.counters.sums.given_back += given_back as u64;
        self.unshelve(partition);
        self.queues.resume_all();
        self.unblock();
    }

    /// Messages are handled again, for the stored offset of their partition went back.
    pub(crate) fn messages_repeated(&mut self, messages: u64) {
        self.counters.sums.handled_again += messages;
    }

    /// Messages expired before they were read.
    pub(crate) fn messages_expired(&mut self, messages: u64) {
        self.counters.sums.lost_to_retention += messages;
    }

    /// The offsets of a partition went back.
    pub(crate) fn log_went_back(&mut self) {
        self.counters.sums.log_went_back += 1;
    }

    /// Messages of a partition were read, in the order of their offsets.
    pub(crate) fn read(&mut self, partition: PartitionKey, messages: Vec<Decoded>, now: Now) {
        self.partitions.note_read(partition, now.unix_micros);
        let messages = self.shelving.keep_unread(partition, messages);
        let (mut next, mut arrivals) = (None, Arrivals::default());
        for decoded in messages {
            match decoded {
                Ok(event) => {
                    next = Some(event.message.source.offset.next());
                    self.route(partition, &event, &mut arrivals, now);
                }
                Err(undecodable) => self.bury(partition, &undecodable, now),
            }
        }
        arrivals.count_in(&mut self.counters);
        if let Some(next) = next {
            self.shelving.parking.source_read(partition, next);
        }
    }

    /// The next guest call in a pool, if any is ready whose tenant has room there. The caller bounds how many are
    /// under way.
    pub(crate) fn next_call(
        &mut self,
        pool: Pool,
        mut has_room: impl FnMut(&Tenant) -> bool,
        now: Now,
    ) -> Option<Call> {
        loop {
            let batch = self.next_batch(pool, &mut has_room)?;
            let is_condemned = |(_, delivery): &(LaneId, Delivery)| self.suspects.condemn(delivery.deaths);
            if batch.items.iter().any(is_condemned) {
                self.condemn(batch, now);
                continue;
            }
            *self.calls_under_way.of_mut(pool) += 1;
            return Some(self.open_call(pool, batch));
        }
    }

    fn next_batch(&mut self, pool: Pool, mut has_room: impl FnMut(&Tenant) -> bool) -> Option<Batch> {
        let (plans, partitions, busy) = (&self.plans, &self.partitions, &self.busy);
        let parking = &self.shelving.parking;
        let turn = |key: &QueueKey| match plans.get(key.handler.0) {
            Some(plan) if !plan.may_call(&key.tenant) => Turn::Hold,
            Some(_) if !has_room(&key.tenant) => Turn::NextTenant,
            Some(plan) if !busy.contains(key) => Turn::Call(plan.batch_size(&key.tenant)),
            _ => Turn::Later,
        };
        self.queues.take_batch(pool, turn, |ticket| is_current(partitions, parking, ticket))
    }

    /// Calls in a pool that were made and have not ended.
    pub(crate) fn calls_under_way(&self, pool: Pool) -> usize {
        *self.calls_under_way.of(pool)
    }

    /// A call could not be started: its deliveries go back to where they were.
    pub(crate) fn call_refused(&mut self, id: CallId, now: Now) {
        let Some(call) = self.close_call(id) else { return };
        self.learn(&call.key, call.purpose, Tally::default(), now);
        let untouched = call.items.into_iter().map(|(lane, delivery)| (lane, delivery, Rest::Over)).collect();
        self.give_back(call.key.handler, untouched, now);
    }

    /// A guest call ended.
    pub(crate) fn call_ended(&mut self, report: CallReport, now: Now) {
        let Some(call) = self.close_call(report.id) else { return };
        let facts = CallFacts { duration: report.duration, memory_peak_bytes: report.memory_peak_bytes };
        let handler = call.key.handler;
        self.queues.learn(&call.key, report.duration);
        match report.result {
            CallResult::Answered(answers) => {
                if let Some(plan) = self.plans.get_mut(handler.0) {
                    plan.pace.learn(report.duration, call.items.len());
                }
                self.answered(call, answers, facts, now);
            }
            CallResult::Failed(outcome) if call.items.len() == 1 => {
                self.answered(call, vec![(0, Answer::Ended(outcome))], facts, now);
            }
            CallResult::Failed(outcome) => self.call_failed(call, &outcome, now),
        }
    }

    /// The broker confirmed every message of an effect.
    pub(crate) fn published(&mut self, effect: EffectId, now: Now) {
        self.emitters.remove(&effect);
        if let Some(Some(ticket)) = self.open_effects.remove(&effect) {
            self.settle_part(ticket, now);
        }
        self.jobs.extend(self.shelving.gates.confirmed(effect));
        self.parked();
    }

    /// Whether something must be published.
    pub(crate) fn has_job(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Messages to publish, oldest first. Each must be reported by [`Self::published`] once it is confirmed.
    pub(crate) fn next_job(&mut self) -> Option<PublishJob> {
        self.jobs.pop_front()
    }

    /// Offsets to commit now. Partitions that are handed over with it are given up.
    pub(crate) fn take_commits(&mut self, due: Due, now: Now) -> Vec<Commit> {
        let commits = self.partitions.take_commits(due, now.instant);
        for commit in &commits {
            self.shelving.parking.source_committed(commit.partition, commit.offset);
        }
        for partition in self.partitions.handed_over(now.instant) {
            self.revoked(partition);
        }
        commits
    }

    /// Partitions whose polling must pause or go on.
    pub(crate) fn take_polling_changes(&mut self) -> Vec<(PartitionKey, Polling)> {
        for (place, polling) in self.queues.take_fillings() {
            self.partitions.lane_filled(place, polling);
        }
        self.partitions.take_polling_changes()
    }

    /// Lets lanes and handlers go on whose rest is over.
    pub(crate) fn wake(&mut self, now: Now) {
        self.queues.wake(now.instant);
        self.shelving.parking.wake(now.unix_micros);
        self.admit_overflow(now);
        while let Some(Reverse((_, handler))) =
            self.pauses_end.peek().copied().filter(|Reverse((at, _))| *at <= now.instant)
        {
            self.pauses_end.pop();
            let changes = self.plans.get_mut(handler.0).map(|plan| plan.pauses.wake(now.instant));
            self.take_changes(handler, changes.unwrap_or_default());
        }
    }

    /// When [`Self::wake`] is due.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let pause_end = self.pauses_end.peek().map(|Reverse((at, _))| *at);
        [self.queues.next_wake(), pause_end].into_iter().flatten().min()
    }

    /// Whether nothing is under way and nothing can start: all is settled, or waits for a retry or the end of a pause.
    pub(crate) fn is_at_rest(&self) -> bool {
        let is_confirmed = self.open_effects.is_empty() && self.shelving.is_known();
        self.calls.is_empty() && is_confirmed && !self.queues.has_ready()
    }

    fn route(&mut self, partition: PartitionKey, event: &SharedEvent, arrivals: &mut Arrivals, now: Now) {
        let mut found = std::mem::take(&mut self.found);
        self.routes.find(&event.tenant, &event.event_type, &mut found);
        if let Some(only) = &event.for_handler {
            let meant = self.showing.handler(only);
            found.retain(|handler| Some(*handler) == meant);
        }
        let parts = u32::try_from(found.len()).unwrap_or(u32::MAX);
        if let Some(ticket) =
            self.partitions.enter(partition, entering(&event.message, parts), Some(&event.tenant))
        {
            arrivals.add(&event.tenant, found.len(), &mut self.counters);
            for handler in &found {
                self.deliver(*handler, event, ticket, now);
            }
        }
        self.found = found;
    }

    fn deliver(&mut self, handler: HandlerIndex, event: &SharedEvent, ticket: Ticket, now: Now) {
        let Some(plan) = self.plans.get(handler.0) else { return };
        let deaths = self.suspects.deaths(&plan.config.name, &event.message);
        let order = plan.config.order_by.key_of(event);
        let delivery = Delivery {
            event: event.clone(),
            ticket,
            attempts: 0,
            first_failure: None,
            company: if deaths == 0 { Company::Shared } else { Company::Alone },
            deaths,
        };
        self.admit(handler, order, delivery, now);
    }

    fn bury(&mut self, at: PartitionKey, (message, error): &(Message, DecodeError), now: Now) {
        let Some(ticket) = self.partitions.enter(at, entering(message, 1), None) else { return };
        self.counters.undecodable();
        let outcome = Outcome::Undecodable { code: error.code(), reason: error.to_string() };
        let job = self.effects.undecodable(message, &outcome, now);
        if let Some(left_out) = self.undecodable_notices.note(now.instant) {
            let (letter, offset) = (job.letter_id(), message.source.offset);
            tracing::warn!(partition = ?at.partition, %offset, letter, %outcome, left_out, "a message is given up");
        }
        self.start_effect(job, Some(ticket));
    }

    fn open_call(&mut self, pool: Pool, batch: Batch) -> Call {
        self.calls_made += 1;
        let id = CallId(self.calls_made);
        let mut lane_before = None;
        let mut lane_number = 0;
        let mut events = Vec::with_capacity(batch.items.len());
        for (lane, delivery) in &batch.items {
            if lane_before.replace(*lane).is_some_and(|before| before != *lane) {
                lane_number += 1;
            }
            let event = delivery.event.clone();
            events.push(CallEvent { event, attempt: delivery.attempts + 1, lane: lane_number });
        }
        let QueueKey { handler, tenant } = batch.key.clone();
        if self.plans.get(handler.0).is_some_and(Plan::calls_alone) {
            self.busy.insert(batch.key.clone());
        }
        let plan = self.plans.get_mut(handler.0);
        let purpose = plan.map_or(Purpose::Usual, |plan| plan.pauses.call_began(&tenant));
        self.calls.insert(id, InFlight { key: batch.key, pool, purpose, items: batch.items });
        Call { id, handler, tenant, pool, events }
    }

    fn close_call(&mut self, id: CallId) -> Option<InFlight> {
        let call = self.calls.remove(&id)?;
        *self.calls_under_way.of_mut(call.pool) -= 1;
        self.busy.remove(&call.key);
        Some(call)
    }

    /// Takes note of what a call tells about its handler.
    fn learn(&mut self, key: &QueueKey, purpose: Purpose, tally: Tally, now: Now) {
        let Some(plan) = self.plans.get_mut(key.handler.0) else { return };
        let changes = plan.pauses.call_ended(&key.tenant, purpose, tally, now.instant);
        self.showing.note(key.handler);
        self.take_changes(key.handler, changes);
    }

    fn take_changes(&mut self, handler: HandlerIndex, changes: Vec<(Whose, Change)>) {
        self.showing.note(handler);
        for (whose, change) in changes {
            if let Some(plan) = self.plans.get(handler.0) {
                tell(&plan.config, &whose, change);
            }
            match change {
                Change::Paused { until, .. } => self.pauses_end.push(Reverse((until, handler))),
                Change::Probing | Change::Running => self.queues.resume(handler),
            }
        }
    }

    fn give_back(&mut self, handler: HandlerIndex, items: Vec<(LaneId, Delivery, Rest)>, now: Now) {
        let kept = |(lane, delivery, rest)| (lane, Some(delivery), rest);
        self.give_back_kept(handler, items.into_iter().map(kept).collect(), now);
    }

    /// Puts what must run again back at the head of its lane, in order, and lets the lanes of the call go on.
    fn give_back_kept(
        &mut self,
        handler: HandlerIndex,
        items: Vec<(LaneId, Option<Delivery>, Rest)>,
        now: Now,
    ) {
        let mut lanes: Vec<(LaneId, Rest)> = Vec::new();
        for (lane, delivery, rest) in items.into_iter().rev() {
            if let Some(delivery) = delivery {
                self.queues.give_back(lane, delivery);
            }
            match lanes.last_mut() {
                Some((last, until)) if *last == lane => *until = (*until).max(rest),
                _ => lanes.push((lane, rest)),
            }
        }
        for (lane, rest) in lanes {
            if rest == Rest::Parked {
                self.park_followers(handler, lane, now);
            }
            self.queues.release(lane, rest);
        }
    }

    /// Publishes something; once it is confirmed, a part of the event of the ticket is settled.
    fn start_effect(&mut self, job: PublishJob, settles: Option<Ticket>) {
        self.open_effects.insert(job.effect, settles);
        self.jobs.push_back(job);
    }

    fn is_current(&self, ticket: Ticket) -> bool {
        is_current(&self.partitions, &self.shelving.parking, ticket)
    }

    fn unblock(&mut self) {
        let (partitions, parking) = (&self.partitions, &self.shelving.parking);
        self.queues.unblock(|ticket| is_current(partitions, parking, ticket));
    }

    fn settle_part(&mut self, ticket: Ticket, now: Now) {
        if let Stand::Parked(place) = ticket.stand()
            && self.partitions.is_current(ticket)
        {
            self.shelving.parking.settled(ticket.place().partition, place);
        }
        if let Some(Settled::Whole { origin_micros, .. }) = self.partitions.settle_part(ticket) {
            self.counters.sums.settled(now.unix_micros, origin_micros);
        }
    }
}

/// Whether the event of a ticket is still this host's to handle, and in the run that the ticket was made for.
fn is_current(partitions: &Partitions, parking: &Parking, ticket: Ticket) -> bool {
    partitions.is_current(ticket)
        && match ticket.stand() {
            Stand::Ledger(_) => true,
            Stand::Parked(place) => parking.is_current(ticket.place().partition, place),
        }
}

fn entering(message: &Message, parts: u32) -> Entering {
    Entering {
        offset: message.source.offset,
        parts,
        bytes: message.payload.len(),
        origin_micros: message.source.origin_timestamp_micros,
    }
}
