//! The queues: every delivery that waits for a guest, by handler and tenant, and inside by lane.
//!
//! Queues with something to run take turns in their pool, so a tenant with a long queue does not hold up the others. Inside a queue, ready lanes take turns too. A lane runs in one call at a time.

mod pending;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt};
use slab::Slab;

use self::pending::Pending;
use super::bounds::Bound;
use super::partitions::{Place, Polling, Ticket};
use super::settings::DispatchSettings;
use super::trust::Trust;
use super::turns::Turns;
use crate::event::{SharedEvent, Tenant};
use crate::lane::{OrderKey, QueueKey};
use crate::route::HandlerIndex;
use crate::sandbox::{PerPool, Pool};

/// What a queue takes that waits empty for its tenant's next event, about.
const QUEUE_BYTES: usize = 512;
/// Queues that wait empty may take one part in so many of the bytes that may be under way.
const IDLE_SHARE: usize = 8;
/// Queues that may wait empty, however little may be under way.
const IDLE_QUEUES_MIN: usize = 4_096;

/// One event on its way to one handler.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) event: SharedEvent,
    pub(crate) ticket: Ticket,
    /// Failed attempts that count.
    pub(crate) attempts: u32,
    /// When the first attempt failed: for the age, and in microseconds since 1970 for the record.
    pub(crate) first_failure: Option<(Instant, u64)>,
    /// Whether it must have a guest call of its own, because a call that it was part of failed, or killed the host.
    pub(crate) company: Company,
    /// Deaths of the host that it has seen from inside a guest.
    pub(crate) deaths: u32,
}

impl Delivery {
    /// Bytes of what it brings.
    fn bytes(&self) -> usize {
        self.event.message.payload.len()
    }
}

/// With whom a delivery may share a guest call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Company {
    Shared,
    Alone,
}

/// How long a lane waits before its first delivery runs again; what waits longer is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rest {
    /// Not at all.
    Over,
    /// Until then.
    Until(Instant),
    /// For as long as that delivery is current.
    Blocked,
    /// Not at all, but what stands behind the delivery is parked.
    Parked,
}

/// What a queue may do when its turn comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Make a call of at most so many deliveries.
    Call(usize),
    /// Let the others go first.
    Later,
    /// Let the other tenants go first, for no queue of this one can use its turn.
    NextTenant,
    /// Wait until [`Queues::resume`].
    Hold,
}

/// Names a lane while it has something to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LaneId(usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LaneState {
    /// Stands in its queue's list of ready lanes.
    Ready,
    /// Some of its deliveries are in a guest call.
    Running,
    /// Waits for a time before its first delivery runs again.
    Resting,
    /// Is stopped at its first delivery, which was given up, for as long as that is current.
    Blocked,
}

#[derive(Debug)]
struct Lane {
    queue: usize,
    key: OrderKey,
    state: LaneState,
    pending: Pending,
}

#[derive(Debug)]
struct Queue {
    key: QueueKey,
    trust: Trust,
    /// Lanes by key; those of [`OrderKey::Alone`] are not listed.
    lanes: HashMap<OrderKey, LaneId>,
    lanes_open: usize,
    ready: VecDeque<LaneId>,
    in_ring: bool,
    /// Whether it waits for [`Queues::resume`] outside of the ring.
    held: bool,
    /// Whether it stands among those that are looked at when there are too many.
    is_listed: bool,
    /// Whether it had something to run since it was last looked at.
    is_used: bool,
}

/// Deliveries taken for one guest call, all of one queue, lane by lane.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) key: QueueKey,
    pub(crate) items: Vec<(LaneId, Delivery)>,
}

/// All deliveries that wait, of one subscription.
#[derive(Debug)]
pub(crate) struct Queues {
    queues: Slab<Queue>,
    /// Of each handler, by tenant: an event that has come finds its queue without a copy of its tenant's name.
    by_handler: Vec<HashMap<Tenant, usize>>,
    lanes: Slab<Lane>,
    turns: PerPool<Turns>,
    weights: BTreeMap<Tenant, u32>,
    rests: BinaryHeap<Reverse<(Instant, LaneId)>>,
    /// Queues that wait for [`Self::resume`].
    held: HashMap<HandlerIndex, Vec<usize>>,
    /// Queues that were empty once, in the order in which they are looked at when there are too many.
    idle: VecDeque<usize>,
    queues_max: usize,
    /// Lanes that are stopped.
    blocked: Vec<LaneId>,
    lane_bound: Bound,
    /// Places that wait for a full lane since the last time, and those that no longer do.
    fillings: Vec<(Place, Polling)>,
}

impl Queues {
    /// Nothing waits.
    pub(crate) fn new(settings: &DispatchSettings) -> Self {
        Self {
            queues: Slab::new(),
            by_handler: Vec::new(),
            lanes: Slab::new(),
            turns: PerPool::default(),
            weights: settings.tenant_weights.clone(),
            rests: BinaryHeap::new(),
            held: HashMap::new(),
            idle: VecDeque::new(),
            queues_max: (settings.host.bytes_max / IDLE_SHARE / QUEUE_BYTES).max(IDLE_QUEUES_MIN),
            blocked: Vec::new(),
            lane_bound: settings.lane,
            fillings: Vec::new(),
        }
    }

    /// Places that must wait from now on because a lane is full, and those that need not any more, in order.
    pub(crate) fn take_fillings(&mut self) -> Vec<(Place, Polling)> {
        std::mem::take(&mut self.fillings)
    }

    /// Puts a delivery at the end of its lane. The queue's guests run in `best` once they are trusted.
    pub(crate) fn push(&mut self, handler: HandlerIndex, best: Pool, order: OrderKey, delivery: Delivery) {
        let queue_at = self.queue_of(handler, &delivery.event.tenant, best);
        let lane_id = self.lane_of(queue_at, order);
        if let Some(lane) = self.lanes.get_mut(lane_id.0) {
            lane.pending.push_back(delivery, self.lane_bound, &mut self.fillings);
        }
    }

    /// Takes the deliveries of the next guest call in a pool: of the queue whose turn it is, as `turn(key)` says.
    /// Deliveries that `is_current` denies are dropped on the way.
    pub(crate) fn take_batch(
        &mut self,
        pool: Pool,
        mut turn: impl FnMut(&QueueKey) -> Turn,
        is_current: impl Fn(Ticket) -> bool,
    ) -> Option<Batch> {
        let mut passed_over = 0;
        self.turns.of_mut(pool).begin();
        while passed_over < self.turns.of(pool).queues() {
            let queue_at = self.turns.of_mut(pool).take()?;
            let Some(queue) = self.queues.get_mut(queue_at) else {
                self.turns.of_mut(pool).dropped();
                continue;
            };
            let room = match turn(&queue.key) {
                Turn::Call(room) => room,
                Turn::Later => {
                    self.turns.of_mut(pool).passed_over(queue_at);
                    passed_over += 1;
                    continue;
                }
                Turn::NextTenant => {
                    passed_over += self.turns.of_mut(pool).tenant_passed_over(queue_at);
                    continue;
                }
                Turn::Hold => {
                    self.hold(queue_at, &is_current);
                    self.turns.of_mut(pool).dropped();
                    continue;
                }
            };
            queue.in_ring = false;
            let mut batch = Batch { key: queue.key.clone(), items: Vec::new() };
            let room = room.max(1);
            self.fill(queue_at, room, &is_current, &mut batch.items);
            self.enter_ring(queue_at);
            self.forget_if_idle(queue_at);
            if batch.items.is_empty() {
                self.turns.of_mut(pool).dropped();
                continue;
            }
            let weight = self.weights.get(&batch.key.tenant).copied().unwrap_or(1);
            self.turns.of_mut(pool).called(weight);
            return Some(batch);
        }
        None
    }

    /// Puts a delivery back at the head of its lane. Give them back in reverse order.
    pub(crate) fn give_back(&mut self, lane: LaneId, delivery: Delivery) {
        if let Some(lane) = self.lanes.get_mut(lane.0) {
            lane.pending.push_front(delivery, self.lane_bound, &mut self.fillings);
        }
    }

    /// Takes all that waits in a lane, oldest first, with the lane's order key.
    pub(crate) fn take_pending(&mut self, lane: LaneId) -> Option<(OrderKey, Vec<Delivery>)> {
        let lane = self.lanes.get_mut(lane.0)?;
        let (bound, fillings) = (self.lane_bound, &mut self.fillings);
        let next = || lane.pending.pop_front_if(|_| true, bound, fillings);
        Some((lane.key.clone(), std::iter::from_fn(next).collect()))
    }

    /// Ends the call a lane was running in. It goes on when something is pending, after its rest.
    pub(crate) fn release(&mut self, id: LaneId, rest: Rest) {
        let Some(lane) = self.lanes.get_mut(id.0) else { return };
        match rest {
            _ if lane.pending.is_empty() => self.close_lane(id),
            Rest::Until(until) => {
                lane.state = LaneState::Resting;
                self.rests.push(Reverse((until, id)));
            }
            Rest::Blocked => {
                lane.state = LaneState::Blocked;
                self.blocked.push(id);
            }
            Rest::Over | Rest::Parked => self.make_ready(id),
        }
    }

    /// Lets lanes go on that were stopped at a delivery which is no longer current.
    pub(crate) fn unblock(&mut self, is_current: impl Fn(Ticket) -> bool) {
        for id in std::mem::take(&mut self.blocked) {
            let head = self.lanes.get(id.0).and_then(|lane| lane.pending.front());
            if head.is_some_and(|delivery| is_current(delivery.ticket)) {
                self.blocked.push(id);
            } else {
                self.make_ready(id);
            }
        }
    }

    /// Takes the delivery at which a lane of a handler is stopped. The lane is the caller's until [`Self::release`].
    pub(crate) fn take_blocked(
        &mut self,
        handler: HandlerIndex,
        ticket: Ticket,
    ) -> Option<(LaneId, Delivery)> {
        let is_it = |id: &LaneId| {
            let lane = self.lanes.get(id.0)?;
            let is_of_handler = self.queues.get(lane.queue)?.key.handler == handler;
            Some(is_of_handler && lane.pending.front()?.ticket == ticket)
        };
        let at = self.blocked.iter().position(|id| is_it(id) == Some(true))?;
        let id = self.blocked.swap_remove(at);
        let lane = self.lanes.get_mut(id.0)?;
        let delivery = lane.pending.pop_front_if(|_| true, self.lane_bound, &mut self.fillings)?;
        Some((id, delivery))
    }

    /// How many lanes of each handler are stopped, where there are any.
    pub(crate) fn blocked_lanes(&self) -> HashMap<HandlerIndex, u64> {
        let mut blocked = HashMap::new();
        let queue_of = |id: &LaneId| self.queues.get(self.lanes.get(id.0)?.queue);
        for queue in self.blocked.iter().filter_map(queue_of) {
            *blocked.entry(queue.key.handler).or_default() += 1;
        }
        blocked
    }

    /// Lets the queues of a handler take turns again.
    pub(crate) fn resume(&mut self, handler: HandlerIndex) {
        for queue_at in self.held.remove(&handler).unwrap_or_default() {
            if let Some(queue) = self.queues.get_mut(queue_at) {
                queue.held = false;
                self.enter_ring(queue_at);
            }
        }
    }

    /// Lets all queues take turns again, so that those that must wait drop what is no longer current.
    pub(crate) fn resume_all(&mut self) {
        let handlers: Vec<HandlerIndex> = self.held.keys().copied().collect();
        for handler in handlers {
            self.resume(handler);
        }
    }

    /// Makes lanes ready whose rest is over.
    pub(crate) fn wake(&mut self, now: Instant) {
        while let Some(Reverse((_, id))) = self.rests.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.rests.pop();
            if self.lanes.get(id.0).is_some_and(|lane| lane.state == LaneState::Resting) {
                self.make_ready(id);
            }
        }
    }

    /// Takes note of how long a call took: its queue may go to the other pool.
    pub(crate) fn learn(&mut self, key: &QueueKey, took: Duration) {
        let Some(queue_at) = self.queue_known(key.handler, &key.tenant) else { return };
        let Some(queue) = self.queues.get_mut(queue_at) else { return };
        let before = queue.trust.pool();
        queue.trust.learn(took);
        if queue.in_ring && queue.trust.pool() != before {
            queue.in_ring = false;
            self.turns.of_mut(before).remove(&queue.key.tenant, queue_at);
            self.enter_ring(queue_at);
        }
    }

    /// When the next lane has rested.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.rests.peek().map(|Reverse((until, _))| *until)
    }

    /// Whether some queue has something to run.
    pub(crate) fn has_ready(&self) -> bool {
        Pool::ALL.into_iter().any(|pool| self.turns.of(pool).queues() > 0)
    }

    fn fill(
        &mut self,
        queue_at: usize,
        room: usize,
        is_current: &impl Fn(Ticket) -> bool,
        items: &mut Vec<(LaneId, Delivery)>,
    ) {
        while items.len() < room {
            let Some(id) = self.queues.get(queue_at).and_then(|queue| queue.ready.front().copied()) else {
                return;
            };
            let Some(lane) = self.lanes.get_mut(id.0) else { return };
            let (bound, fillings) = (self.lane_bound, &mut self.fillings);
            let is_stale = |delivery: &Delivery| !is_current(delivery.ticket);
            while lane.pending.pop_front_if(is_stale, bound, fillings).is_some() {}
            let before = items.len();
            let joins = |delivery: &Delivery, taken: usize| {
                taken == 0 || (taken < room && delivery.company == Company::Shared)
            };
            while let Some(delivery) = lane.pending.pop_front_if(
                |delivery| is_stale(delivery) || joins(delivery, items.len()),
                bound,
                fillings,
            ) {
                if !is_current(delivery.ticket) {
                    continue;
                }
                let company = delivery.company;
                items.push((id, delivery));
                if company == Company::Alone {
                    break;
                }
            }
            let closed = items.len() == 1 && items.first().is_some_and(|(_, d)| d.company == Company::Alone);
            if items.len() == before && !lane.pending.is_empty() {
                return; // The head of this lane wants a call of its own: the next one.
            }
            self.leave_ready(queue_at);
            if items.len() == before {
                self.close_lane(id);
            } else if let Some(lane) = self.lanes.get_mut(id.0) {
                lane.state = LaneState::Running;
            }
            if closed {
                return;
            }
        }
    }

    /// Takes a queue out of its ring.
    fn hold(&mut self, queue_at: usize, is_current: &impl Fn(Ticket) -> bool) {
        let Some(queue) = self.queues.get_mut(queue_at) else { return };
        queue.in_ring = false;
        queue.held = true;
        self.held.entry(queue.key.handler).or_default().push(queue_at);
        let ready = std::mem::take(&mut queue.ready);
        for id in ready {
            let Some(lane) = self.lanes.get_mut(id.0) else { continue };
            let is_current = |delivery: &Delivery| is_current(delivery.ticket);
            lane.pending.retain(is_current, self.lane_bound, &mut self.fillings);
            if lane.pending.is_empty() {
                self.close_lane(id);
            } else if let Some(queue) = self.queues.get_mut(queue_at) {
                queue.ready.push_back(id);
            }
        }
    }

    fn leave_ready(&mut self, queue_at: usize) {
        if let Some(queue) = self.queues.get_mut(queue_at) {
            queue.ready.pop_front();
        }
    }

    fn queue_known(&self, handler: HandlerIndex, tenant: &Tenant) -> Option<usize> {
        self.by_handler.get(handler.0)?.get(tenant).copied()
    }

    fn queue_of(&mut self, handler: HandlerIndex, tenant: &Tenant, best: Pool) -> usize {
        if let Some(at) = self.queue_known(handler, tenant) {
            return at;
        }
        let tenant = tenant.detached();
        let queue = Queue {
            key: QueueKey { handler, tenant: tenant.clone() },
            trust: Trust::of_newcomer(best),
            lanes: HashMap::new(),
            lanes_open: 0,
            ready: VecDeque::new(),
            in_ring: false,
            held: false,
            is_listed: false,
            is_used: true,
        };
        let at = self.queues.insert(queue);
        if self.by_handler.len() <= handler.0 {
            self.by_handler.resize_with(handler.0 + 1, HashMap::new);
        }
        if let Some(by_tenant) = self.by_handler.get_mut(handler.0) {
            by_tenant.insert(tenant, at);
        }
        at
    }

    fn lane_of(&mut self, queue_at: usize, key: OrderKey) -> LaneId {
        let known = self.queues.get(queue_at).and_then(|queue| queue.lanes.get(&key).copied());
        if let Some(id) = known {
            return id;
        }
        let lane =
            Lane { queue: queue_at, key: key.clone(), state: LaneState::Ready, pending: Pending::default() };
        let id = LaneId(self.lanes.insert(lane));
        if let Some(queue) = self.queues.get_mut(queue_at) {
            queue.lanes_open += 1;
            queue.ready.push_back(id);
            if key != OrderKey::Alone {
                queue.lanes.insert(key, id);
            }
        }
        self.enter_ring(queue_at);
        id
    }

    fn make_ready(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(id.0) else { return };
        lane.state = LaneState::Ready;
        let queue_at = lane.queue;
        if let Some(queue) = self.queues.get_mut(queue_at) {
            queue.ready.push_back(id);
        }
        self.enter_ring(queue_at);
    }

    fn enter_ring(&mut self, queue_at: usize) {
        let Some(queue) = self.queues.get_mut(queue_at) else { return };
        if !queue.in_ring && !queue.held && !queue.ready.is_empty() {
            queue.in_ring = true;
            self.turns.of_mut(queue.trust.pool()).enter(&queue.key.tenant, queue_at);
        }
    }

    fn close_lane(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.try_remove(id.0) else { return };
        if let Some(queue) = self.queues.get_mut(lane.queue) {
            queue.lanes_open -= 1;
            queue.lanes.remove(&lane.key);
        }
        self.forget_if_idle(lane.queue);
    }

    /// Keeps a queue that has nothing to run for its tenant's next event, and forgets the one that was not used for
    /// longest when there are too many.
    fn forget_if_idle(&mut self, queue_at: usize) {
        let Some(queue) = self.queues.get_mut(queue_at).filter(|queue| queue.is_idle()) else { return };
        queue.is_used = true;
        if !queue.is_listed {
            queue.is_listed = true;
            self.idle.push_back(queue_at);
        }
        while self.queues.len() > self.queues_max
            && let Some(at) = self.idle.pop_front()
        {
            self.forget_unless_used(at);
        }
    }

    /// One that was used since the last look comes again after all others.
    fn forget_unless_used(&mut self, queue_at: usize) {
        let Some(queue) = self.queues.get_mut(queue_at) else { return };
        if std::mem::take(&mut queue.is_used) {
            self.idle.push_back(queue_at);
            return;
        }
        queue.is_listed = false;
        if queue.is_idle()
            && let Some(queue) = self.queues.try_remove(queue_at)
            && let Some(by_tenant) = self.by_handler.get_mut(queue.key.handler.0)
        {
            by_tenant.remove(&queue.key.tenant);
        }
    }
}

impl Queue {
    /// Whether it has nothing to run.
    fn is_idle(&self) -> bool {
        self.lanes_open == 0 && !self.in_ring && !self.held
    }
}

#[cfg(test)]
mod tests {
    use guesthouse_connector::{Offset, PartitionId};

    use super::*;
    use crate::dispatch::partitions::{AssignmentId, PartitionKey, Partitions, TopicIndex};
    use crate::ledger::Entering;
    use crate::sandbox::fixtures::event;

    /// The queues that have handled one event of each tenant, in this order, and may remember two.
    fn after(tenants: &[&str]) -> Queues {
        let settings = DispatchSettings::default();
        let mut queues = Queues { queues_max: 2, ..Queues::new(&settings) };
        let key = PartitionKey { topic: TopicIndex(0), partition: PartitionId(0) };
        let mut partitions = Partitions::new(settings);
        partitions.assign(key, AssignmentId(1), Instant::now());
        let entering = Entering { offset: Offset(0), parts: 1, bytes: 1, origin_micros: 0 };
        for tenant in tenants {
            let delivery = Delivery {
                event: event("e", tenant).into(),
                ticket: partitions.enter(key, entering, None).unwrap(),
                attempts: 0,
                first_failure: None,
                company: Company::Shared,
                deaths: 0,
            };
            queues.push(HandlerIndex(0), Pool::Waiting, OrderKey::Whole, delivery);
            let batch = queues.take_batch(Pool::Waiting, |_| Turn::Call(1), |_| true).unwrap();
            batch.items.iter().for_each(|(lane, _)| queues.release(*lane, Rest::Over));
        }
        queues
    }

    #[test]
    fn of_the_queues_that_wait_empty_those_in_use_are_remembered() {
        let queues = after(&["a", "b", "a", "c", "a", "d", "a", "e"]);
        assert_eq!(queues.queues.len(), 2);
        assert!(queues.queue_known(HandlerIndex(0), &Tenant::Named("e".into())).is_some());
        assert!(queues.queue_known(HandlerIndex(0), &Tenant::Named("b".into())).is_none());
        assert!(after(&["a", "b"]).queue_known(HandlerIndex(0), &Tenant::Named("a".into())).is_some());
    }
}
