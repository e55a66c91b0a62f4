//! The dispatcher of one subscription: the pure state machine between reading and committing.
//!
//! It is told what happened (partitions assigned and revoked, events read, calls ended, effects confirmed) and
//! asked what to do (calls to make, messages to publish, offsets to commit, polling to pause). It does no I/O and
//! has no clock and no randomness of its own, so a simulation can drive it through every order of events.

mod breaker;
pub(crate) mod effects;
pub(crate) mod pace;
pub(crate) mod partitions;
mod pauses;
pub(crate) mod queues;
mod trust;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use self::breaker::{Change, Passage, Tally};
use self::effects::{EffectId, Effects, PublishJob};
use self::pace::Pace;
use self::partitions::{AssignmentId, Commit, Due, PartitionKey, Partitions, Polling, Ticket};
use self::pauses::{Pauses, Purpose, Whose};
use self::queues::{Batch, Company, Delivery, LaneId, Queues, Rest, Turn};
use crate::codec::DecodeError;
use crate::counters::{Counters, HandlerCounters, HandlerState};
use crate::crash_journal::Suspects;
use crate::dead_letter::Failure;
use crate::event::{Event, Message, Tenant};
use crate::handler::{FailurePolicy, HandlerConfig};
use crate::lane::QueueKey;
use crate::ledger::{Entering, Settled};
use crate::outcome::{Emit, Outcome};
use crate::route::{HandlerIndex, Routes};
use crate::sandbox::{Answer, CallEvent, CallId, CallReport, CallResult, Isolation, PerPool, Pool};
use crate::verdict::{History, Verdict, judge};

pub use self::breaker::{BreakerPolicy, OnFailing};
pub use self::partitions::DispatchSettings;

/// What a subscription read: an event, or a message that no codec could read.
pub(crate) type Decoded = Result<Arc<Event>, Box<(Message, DecodeError)>>;

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

/// A handler with what the dispatcher learns about it.
#[derive(Debug)]
struct Plan {
    config: Arc<HandlerConfig>,
    pool: Pool,
    pace: Pace,
    pauses: Pauses,
}

/// A call that has not ended.
#[derive(Debug)]
struct InFlight {
    key: QueueKey,
    pool: Pool,
    purpose: Purpose,
    items: Vec<(LaneId, Delivery)>,
}

/// What an ended call tells about each of its deliveries.
#[derive(Debug, Clone, Copy)]
struct CallFacts {
    duration: Duration,
    memory_peak_bytes: u64,
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
    jobs: VecDeque<PublishJob>,
    suspects: Arc<Suspects>,
    counters: Counters,
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
        let routes =
            Routes::new(handlers.iter().map(|(h, _)| (h.tenants.clone(), h.events.clone())).collect());
        Self {
            plans: handlers.into_iter().map(|(config, pool)| Plan::new(config, pool)).collect(),
            routes,
            partitions: Partitions::new(settings),
            queues: Queues::default(),
            calls: HashMap::new(),
            calls_made: 0,
            calls_under_way: PerPool::default(),
            busy: HashSet::new(),
            pauses_end: BinaryHeap::new(),
            effects,
            open_effects: HashMap::new(),
            jobs: VecDeque::new(),
            suspects: Arc::default(),
            counters: Counters::default(),
            random: SmallRng::seed_from_u64(seed),
            found: Vec::new(),
        }
    }

    /// With events that may have killed earlier hosts: each runs alone, or no more.
    pub(crate) fn with_suspects(self, suspects: Arc<Suspects>) -> Self {
        Self { suspects, ..self }
    }

    /// A partition is this host's from now on.
    pub(crate) fn assigned(&mut self, partition: PartitionKey, assignment: AssignmentId, now: Now) {
        self.partitions.assign(partition, assignment, now.instant);
        self.queues.unblock(|ticket| self.partitions.is_current(ticket));
    }

    /// A partition is no longer this host's: what is not settled is given back, unsettled.
    pub(crate) fn revoked(&mut self, partition: PartitionKey) {
        let given_back = self.partitions.revoke(partition);
        self.counters.given_back += given_back as u64;
        self.queues.resume_all();
        self.queues.unblock(|ticket| self.partitions.is_current(ticket));
    }

    /// Messages expired before they were read.
    pub(crate) fn messages_expired(&mut self, messages: u64) {
        self.counters.lost_to_retention += messages;
    }

    /// The offsets of a partition went back.
    pub(crate) fn log_went_back(&mut self) {
        self.counters.log_went_back += 1;
    }

    /// Messages of a partition were read, in the order of their offsets.
    pub(crate) fn read(&mut self, partition: PartitionKey, messages: Vec<Decoded>, now: Now) {
        for decoded in messages {
            match decoded {
                Ok(event) => self.route(partition, &event),
                Err(undecodable) => self.bury(partition, &undecodable, now),
            }
        }
    }

    /// The next guest call in a pool, if any is ready whose tenant has room there. The caller bounds how many are
    /// under way.
    pub(crate) fn next_call(
        &mut self,
        pool: Pool,
        has_room: impl Fn(&Tenant) -> bool,
        now: Now,
    ) -> Option<Call> {
        loop {
            let batch = self.next_batch(pool, &has_room)?;
            let is_condemned = |(_, delivery): &(LaneId, Delivery)| self.suspects.condemn(delivery.deaths);
            if batch.items.iter().any(is_condemned) {
                self.condemn(batch, now);
                continue;
            }
            *self.calls_under_way.of_mut(pool) += 1;
            return Some(self.open_call(pool, batch));
        }
    }

    fn next_batch(&mut self, pool: Pool, has_room: impl Fn(&Tenant) -> bool) -> Option<Batch> {
        let (plans, partitions, busy) = (&self.plans, &self.partitions, &self.busy);
        let turn = |key: &QueueKey| match plans.get(key.handler.0) {
            Some(plan) if !plan.may_call(&key.tenant) => Turn::Hold,
            Some(plan) if has_room(&key.tenant) && !busy.contains(key) => {
                Turn::Call(plan.batch_size(&key.tenant))
            }
            _ => Turn::Later,
        };
        self.queues.take_batch(pool, turn, |ticket| partitions.is_current(ticket))
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
        self.give_back(untouched);
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
        if let Some(Some(ticket)) = self.open_effects.remove(&effect) {
            self.settle_part(ticket, now);
        }
    }

    /// Whether something must be published.
    pub(crate) fn has_job(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Messages to publish, oldest first. Each must be reported by [`Self::published`] once it is confirmed.
    pub(crate) fn next_job(&mut self) -> Option<PublishJob> {
        self.jobs.pop_front()
    }

    /// Offsets to commit now.
    pub(crate) fn take_commits(&mut self, due: Due, now: Now) -> Vec<Commit> {
        self.partitions.take_commits(due, now.instant)
    }

    /// Partitions whose polling must pause or go on.
    pub(crate) fn take_polling_changes(&mut self) -> Vec<(PartitionKey, Polling)> {
        self.partitions.take_polling_changes()
    }

    /// Lets lanes and handlers go on whose rest is over.
    pub(crate) fn wake(&mut self, now: Now) {
        self.queues.wake(now.instant);
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
        self.calls.is_empty() && self.open_effects.is_empty() && !self.queues.has_ready()
    }

    /// What was counted so far.
    pub(crate) fn counters(&self) -> Counters {
        let mut counters = self.counters.clone();
        counters.unsettled = self.partitions.unsettled_events() as u64;
        counters.partitions = self.partitions.count() as u64;
        let blocked = self.queues.blocked_lanes();
        for (at, plan) in self.plans.iter().enumerate() {
            let blocked_lanes = blocked.get(&HandlerIndex(at)).copied().unwrap_or_default();
            let handler = HandlerCounters { blocked_lanes, ..plan.counters() };
            counters.handlers.insert(plan.config.name.as_str().to_owned(), handler);
        }
        counters
    }

    fn route(&mut self, partition: PartitionKey, event: &Arc<Event>) {
        let mut found = std::mem::take(&mut self.found);
        self.routes.find(&event.tenant, &event.event_type, &mut found);
        let parts = u32::try_from(found.len()).unwrap_or(u32::MAX);
        if let Some(ticket) = self.partitions.enter(partition, entering(&event.message, parts)) {
            self.counters.received(&event.tenant, found.len());
            for handler in &found {
                self.deliver(*handler, event, ticket);
            }
        }
        self.found = found;
    }

    fn deliver(&mut self, handler: HandlerIndex, event: &Arc<Event>, ticket: Ticket) {
        let Some(plan) = self.plans.get(handler.0) else { return };
        let deaths = self.suspects.deaths(&plan.config.name, &event.message);
        let order = plan.config.order_by.key_of(event);
        let key = QueueKey { handler, tenant: event.tenant.clone() };
        let delivery = Delivery {
            event: Arc::clone(event),
            ticket,
            attempts: 0,
            first_failure: None,
            company: if deaths == 0 { Company::Shared } else { Company::Alone },
            deaths,
        };
        self.queues.push(&key, plan.pool, order, delivery);
    }

    /// Gives up an event without running it, for it has killed hosts enough. It comes alone, as every suspect.
    fn condemn(&mut self, batch: Batch, now: Now) {
        let Some(plan) = self.plans.get(batch.key.handler.0) else { return };
        let config = Arc::clone(&plan.config);
        let mut back = Vec::with_capacity(batch.items.len());
        for (lane, delivery) in batch.items {
            let outcome = Outcome::HostCrash { deaths: delivery.deaths };
            let id = &delivery.event.id;
            tracing::error!(handler = %config.name, %id, %outcome, "an event is given up without running it");
            let failure = Failure {
                outcome: &outcome,
                attempts: delivery.deaths,
                first_failed_micros: now.unix_micros,
                failed_micros: now.unix_micros,
                duration: Duration::ZERO,
                memory_peak_bytes: 0,
            };
            let kept = self.give_up(delivery, &config, &failure);
            let (delivery, rest) = kept.map_or((None, Rest::Over), |(delivery, rest)| (Some(delivery), rest));
            back.push((lane, delivery, rest));
        }
        self.give_back_kept(back);
    }

    fn bury(&mut self, at: PartitionKey, (message, error): &(Message, DecodeError), now: Now) {
        let Some(ticket) = self.partitions.enter(at, entering(message, 1)) else { return };
        self.counters.undecodable();
        let outcome = Outcome::Undecodable { code: error.code(), reason: error.to_string() };
        let job = self.effects.undecodable(message, &outcome, now);
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
            let event = Arc::clone(&delivery.event);
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

    fn answered(&mut self, call: InFlight, answers: Vec<(usize, Answer)>, facts: CallFacts, now: Now) {
        let mut answers = answers.into_iter().peekable();
        let (mut back, mut tally) = (Vec::new(), Tally::default());
        for (at, (lane, delivery)) in call.items.into_iter().enumerate() {
            let answer = answers.next_if(|(index, _)| *index == at).map(|(_, answer)| answer);
            if !self.partitions.is_current(delivery.ticket) {
                back.push((lane, None, Rest::Over));
                continue;
            }
            tally.add(answer.as_ref());
            let kept = match answer {
                None => self.done(call.key.handler, delivery, &[], (facts, now)),
                Some(Answer::Ended(Outcome::Done(emits))) => {
                    self.done(call.key.handler, delivery, &emits, (facts, now))
                }
                Some(Answer::Ended(outcome)) => {
                    self.failed(call.key.handler, delivery, &outcome, (facts, now))
                }
                Some(Answer::NotRun) => Some((delivery, Rest::Over)),
            };
            let (delivery, rest) = kept.map_or((None, Rest::Over), |(delivery, rest)| (Some(delivery), rest));
            back.push((lane, delivery, rest));
        }
        self.give_back_kept(back);
        self.learn(&call.key, call.purpose, tally, now);
    }

    /// Takes note of what a call tells about its handler.
    fn learn(&mut self, key: &QueueKey, purpose: Purpose, tally: Tally, now: Now) {
        let Some(plan) = self.plans.get_mut(key.handler.0) else { return };
        let changes = plan.pauses.call_ended(&key.tenant, purpose, tally, now.instant);
        self.take_changes(key.handler, changes);
    }

    fn take_changes(&mut self, handler: HandlerIndex, changes: Vec<(Whose, Change)>) {
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

    /// A call of several events failed as a whole. Nothing of it counts: if it was a guest's fault each event
    /// runs again alone, so that only the guilty one is charged.
    fn call_failed(&mut self, call: InFlight, outcome: &Outcome, now: Now) {
        let policy =
            self.plans.get(call.key.handler.0).map(|plan| plan.config.retry.clone()).unwrap_or_default();
        let history = History { attempts: 1, age: Duration::ZERO };
        let rest = match judge(outcome, history, &policy, 1.0) {
            Verdict::GiveBackFor(wait) => Rest::Until(now.instant + wait),
            Verdict::RetryAfter(_) | Verdict::DeadLetter => Rest::Over,
        };
        self.counters.batches_split += u64::from(rest == Rest::Over);
        let company = if rest == Rest::Over { Company::Alone } else { Company::Shared };
        let again = |(lane, delivery)| (lane, Delivery { company, ..delivery }, rest);
        self.give_back(call.items.into_iter().map(again).collect());
        self.learn(&call.key, call.purpose, Tally::default(), now);
    }

    fn done(
        &mut self,
        handler: HandlerIndex,
        delivery: Delivery,
        emits: &[Emit],
        (facts, now): (CallFacts, Now),
    ) -> Option<(Delivery, Rest)> {
        let plan = self.plans.get(handler.0)?;
        if emits.is_empty() {
            self.counters.handled(&delivery.event.tenant, 0);
            self.settle_part(delivery.ticket, now);
            return None;
        }
        match self.effects.emits(&plan.config, &delivery.event, emits, now) {
            Ok(job) => {
                self.counters.handled(&delivery.event.tenant, emits.len());
                self.start_effect(job, Some(delivery.ticket));
                None
            }
            Err(error) => {
                // The error quotes the guest's own words.
                let reason = plan.config.grants.redactor().redact(&error.to_string()).into_owned();
                let outcome = Outcome::Reject { reason };
                self.failed(handler, delivery, &outcome, (facts, now))
            }
        }
    }

    /// Judges a failed attempt. What comes back is to run again, after the time it names.
    fn failed(
        &mut self,
        handler: HandlerIndex,
        mut delivery: Delivery,
        outcome: &Outcome,
        (facts, now): (CallFacts, Now),
    ) -> Option<(Delivery, Rest)> {
        let plan = self.plans.get(handler.0)?;
        let config = Arc::clone(&plan.config);
        let first = *delivery.first_failure.get_or_insert((now.instant, now.unix_micros));
        // What it waited for a pause to end does not make it older.
        let since = plan.pauses.resumed(&delivery.event.tenant).max(Some(first.0)).unwrap_or(first.0);
        let age = now.instant.saturating_duration_since(since);
        let history = History { attempts: delivery.attempts + 1, age };
        match judge(outcome, history, &config.retry, self.random.random()) {
            Verdict::GiveBackFor(wait) => {
                tracing::error!(handler = %config.name, %outcome, "the host could not run a guest");
                Some((delivery, Rest::Until(now.instant + wait)))
            }
            Verdict::RetryAfter(wait) => {
                delivery.attempts += 1;
                self.counters.retried(&delivery.event.tenant);
                Some((delivery, Rest::Until(now.instant + wait)))
            }
            Verdict::DeadLetter => {
                let failure = Failure {
                    outcome,
                    attempts: delivery.attempts + 1,
                    first_failed_micros: first.1,
                    failed_micros: now.unix_micros,
                    duration: facts.duration,
                    memory_peak_bytes: facts.memory_peak_bytes,
                };
                self.give_up(delivery, &config, &failure)
            }
        }
    }

    /// Gives an event up. What comes back stops its lane.
    fn give_up(
        &mut self,
        delivery: Delivery,
        config: &HandlerConfig,
        failure: &Failure<'_>,
    ) -> Option<(Delivery, Rest)> {
        let job = self.effects.dead_letter(&delivery.event, config, failure);
        self.counters.dead(&delivery.event.tenant, &config.name, failure.outcome.kind());
        match config.on_failure {
            FailurePolicy::Skip => {
                self.start_effect(job, Some(delivery.ticket));
                None
            }
            FailurePolicy::Block => {
                let (handler, event) = (&config.name, &delivery.event);
                tracing::error!(%handler, tenant = %event.tenant, id = %event.id, "a lane is blocked by a dead event");
                self.start_effect(job, None);
                Some((delivery, Rest::Blocked))
            }
        }
    }

    fn give_back(&mut self, items: Vec<(LaneId, Delivery, Rest)>) {
        let kept = |(lane, delivery, rest)| (lane, Some(delivery), rest);
        self.give_back_kept(items.into_iter().map(kept).collect());
    }

    /// Puts what must run again back at the head of its lane, in order, and lets the lanes of the call go on.
    fn give_back_kept(&mut self, items: Vec<(LaneId, Option<Delivery>, Rest)>) {
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
            self.queues.release(lane, rest);
        }
    }

    /// Publishes something; once it is confirmed, a part of the event of the ticket is settled.
    fn start_effect(&mut self, job: PublishJob, settles: Option<Ticket>) {
        self.open_effects.insert(job.effect, settles);
        self.jobs.push_back(job);
    }

    fn settle_part(&mut self, ticket: Ticket, now: Now) {
        if let Some(Settled::Whole { origin_micros }) = self.partitions.settle_part(ticket) {
            self.counters.settled(now.unix_micros.saturating_sub(origin_micros));
        }
    }
}

/// Logs that a handler pauses or goes on.
fn tell(config: &HandlerConfig, whose: &Whose, change: Change) {
    let handler = &config.name;
    let tenant = match whose {
        Whose::Handler => "all",
        Whose::Tenant(tenant) => tenant.as_str(),
    };
    match change {
        Change::Paused { pause, .. } => {
            tracing::error!(%handler, tenant, ?pause, "most attempts fail: the handler is paused, its events wait");
        }
        Change::Probing => {
            tracing::info!(%handler, tenant, "the paused handler is tried with one event");
        }
        Change::Running => tracing::info!(%handler, tenant, "the paused handler goes on"),
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

impl Plan {
    fn new(config: Arc<HandlerConfig>, pool: Pool) -> Self {
        let pace = match pool {
            Pool::Computing => Pace::new(config.batch_max, config.batch_time_target),
            Pool::Waiting => Pace::cautious(config.batch_max, config.batch_time_target),
        };
        let pauses = Pauses::new(config.breaker.clone());
        Self { config, pool, pace, pauses }
    }

    /// Whether a tenant's calls are made one at a time: those that change the same state would only be in each
    /// other's way.
    fn calls_alone(&self) -> bool {
        self.config.grants.state
    }

    fn may_call(&self, tenant: &Tenant) -> bool {
        self.pauses.passage(tenant) != Passage::Closed
    }

    fn batch_size(&self, tenant: &Tenant) -> usize {
        match self.config.isolation {
            Isolation::Reuse if self.pauses.passage(tenant) == Passage::Open => self.pace.batch_size(),
            Isolation::Reuse | Isolation::Fresh => 1,
        }
    }

    fn counters(&self) -> HandlerCounters {
        HandlerCounters {
            state: if self.pauses.is_paused() { HandlerState::Paused } else { HandlerState::Running },
            pauses: self.pauses.pauses(),
            paused_tenants: self.pauses.paused_tenants() as u64,
            blocked_lanes: 0,
        }
    }
}
