//! The watch over one life of a host: what it was given, in which order, and what it may do next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::oracle::{Errand, Oracle, Place, Subject};
use super::*;
use crate::retry::OnFault;
use crate::verdict::HOST_FAULT_WAIT;

/// A handler, a tenant and what the events of the lane have in common.
pub(super) type Lane = (usize, String, String);

/// What a host must keep in mind about one event and handler.
#[derive(Debug, Default)]
struct Case {
    failures: u32,
    first_failed: Option<Instant>,
    /// Attempts of it fail whole calls.
    is_alone: bool,
    deaths: u32,
}

/// What is known about a lane.
#[derive(Debug, Default)]
struct LaneState {
    /// Events that have not ended, in the order in which they were read.
    open: VecDeque<Place>,
    /// Calls it is in: never more than one, where there is an order to keep.
    running: u32,
    /// The dead event that stops it.
    blocked_at: Option<Place>,
    /// It must not run before this,
    not_before: Option<Instant>,
    /// and not rest beyond that.
    rests_until: Option<Instant>,
}

impl LaneState {
    fn rest(&mut self, rest: Option<(Instant, Instant)>) {
        (self.not_before, self.rests_until) = rest.unzip();
    }
}

/// Watches one host.
#[derive(Debug)]
pub(super) struct Watch {
    setting: Arc<Setting>,
    lanes: BTreeMap<Lane, LaneState>,
    cases: BTreeMap<Errand, Case>,
    /// What must be published next, and no later than now.
    expected: BTreeSet<Errand>,
    /// Deaths that earlier hosts left on record.
    deaths: BTreeMap<Errand, u32>,
    /// Calls under way by handler and tenant.
    busy: BTreeMap<(usize, String), usize>,
}

impl Watch {
    pub(super) fn new(setting: Arc<Setting>, deaths: BTreeMap<Errand, u32>) -> Self {
        Self {
            setting,
            lanes: BTreeMap::new(),
            cases: BTreeMap::new(),
            expected: BTreeSet::new(),
            deaths,
            busy: BTreeMap::new(),
        }
    }

    fn config(&self, handler: usize) -> &HandlerConfig {
        &self.setting.handlers[handler].0
    }

    /// A message of a partition that the host holds came to its dispatcher.
    pub(super) fn read(&mut self, partition: usize, decoded: &Decoded) {
        let event = match decoded {
            Ok(event) => event,
            Err(undecodable) => {
                self.expected.insert(((partition, undecodable.0.source.offset.0), None));
                return;
            }
        };
        let place = (partition, event.message.source.offset.0);
        for handler in self.setting.wanting(event) {
            let errand = (place, Some(handler));
            let deaths = self.deaths.get(&errand).copied().unwrap_or_default();
            self.cases.insert(errand, Case { deaths, ..Case::default() });
            let lane = self.setting.lane(handler, event);
            self.lanes.entry(lane).or_default().open.push_back(place);
        }
    }

    /// A partition went away: what was read of it is no longer the host's affair.
    pub(super) fn revoked(&mut self, partition: usize) {
        self.cases.retain(|((of, _), _), _| *of != partition);
        for lane in self.lanes.values_mut() {
            lane.open.retain(|(of, _)| *of != partition);
            lane.blocked_at = lane.blocked_at.filter(|(of, _)| *of != partition);
            // It may rest on for what is gone, for that comes back to somebody.
            lane.not_before = None;
        }
        self.forget_empty_lanes();
    }

    fn forget_empty_lanes(&mut self) {
        self.lanes.retain(|_, lane| !lane.open.is_empty() || lane.running > 0 || lane.rests_until.is_some());
    }

    /// I-5, I-10: a call is made of what comes next in its lanes, at the right attempt and not too early.
    pub(super) fn call_began(&mut self, call: &Call, now: Instant) {
        let handler = call.handler.0;
        let config = self.config(handler).clone();
        let queue = (handler, call.tenant.as_str().to_owned());
        let under_way = *self.busy.get(&queue).unwrap_or(&0);
        assert!(!config.grants.state || under_way == 0, "two calls of a handler with state at the same time");
        *self.busy.entry(queue).or_default() += 1;
        let most = if config.isolation == Isolation::Fresh { 1 } else { config.batch_max.max(1) as usize };
        assert!((1..=most).contains(&call.events.len()), "a call of {} events", call.events.len());
        let mut before: Option<(Lane, u32)> = None;
        let mut within = 0;
        for CallEvent { event, attempt, lane: number } in &call.events {
            assert_eq!(event.tenant, call.tenant);
            let place = self.place(event);
            let lane = self.setting.lane(handler, event);
            within = if before.as_ref().is_some_and(|(last, _)| *last == lane) { within + 1 } else { 0 };
            let state = self.lanes.get_mut(&lane).expect("only what was read can run");
            let may_run = state.running == 0 || config.order_by == OrderBy::None;
            assert!(within > 0 || may_run, "I-5: {lane:?} runs twice at the same time");
            assert_eq!(state.open.get(within), Some(&place), "I-5: {lane:?} is out of order");
            assert_eq!(state.blocked_at, None, "I-5: {lane:?} is stopped");
            assert!(state.not_before.is_none_or(|from| from <= now), "{lane:?} must rest longer");
            state.running += 1;
            state.rest(None);
            let is_new_lane = before.as_ref().is_none_or(|(_, last)| last != number);
            assert_eq!(is_new_lane, within == 0, "lanes of a call are told apart by their numbers");
            before = Some((lane, *number));
            let case = &self.cases[&(place, Some(handler))];
            assert_eq!(*attempt, case.failures + 1, "I-10: {place:?}");
            assert!(*attempt <= config.retry.attempts_max, "I-10: {place:?} at attempt {attempt}");
            let is_alone = case.is_alone || case.deaths > 0;
            assert!(!is_alone || call.events.len() == 1, "{place:?} must run alone");
            assert!(case.deaths < self.setting.deaths_max, "{place:?} has killed enough");
        }
    }

    /// A call is over, whatever came of it.
    pub(super) fn call_ended(&mut self, call: &Call) {
        let handler = call.handler.0;
        if let Some(calls) = self.busy.get_mut(&(handler, call.tenant.as_str().to_owned())) {
            *calls -= 1;
        }
        for CallEvent { event, .. } in &call.events {
            let lane = self.setting.lane(handler, event);
            if let Some(state) = self.lanes.get_mut(&lane) {
                state.running -= 1;
            }
        }
        self.forget_empty_lanes();
    }

    /// A call failed that this event was in with others: it runs alone from now on, or with others after a rest.
    pub(super) fn company_failed(&mut self, handler: usize, event: &Event, outcome: &Outcome, now: Instant) {
        let is_our_fault = matches!(outcome, Outcome::HostFault { .. });
        let case = self.cases.get_mut(&(place_of(&self.setting, &event.message), Some(handler)));
        case.expect("it was read").is_alone = !is_our_fault;
        if is_our_fault {
            let lane = self.setting.lane(handler, event);
            self.lanes.get_mut(&lane).unwrap().rest(Some((now + HOST_FAULT_WAIT, now + HOST_FAULT_WAIT)));
        }
    }

    /// A guest handled an event; with emits, those must be published now.
    pub(super) fn handled(&mut self, handler: usize, event: &Event, emits: u32) {
        let errand = (self.place(event), Some(handler));
        self.close(handler, event);
        if emits > 0 {
            self.expected.insert(errand);
        }
    }

    /// An attempt failed: the event rests or is given up, as the policy says.
    pub(super) fn failed(&mut self, handler: usize, event: &Event, outcome: &Outcome, now: Instant) {
        let place = self.place(event);
        let config = self.config(handler).clone();
        let retry = &config.retry;
        let case = self.cases.get_mut(&(place, Some(handler))).expect("it was read");
        let lane = self.setting.lane(handler, event);
        if matches!(outcome, Outcome::HostFault { .. }) {
            let rest = (now + HOST_FAULT_WAIT, now + HOST_FAULT_WAIT);
            self.lanes.get_mut(&lane).unwrap().rest(Some(rest));
            return;
        }
        case.failures += 1;
        let may_retry = match outcome {
            Outcome::Retry { .. } => true,
            Outcome::Trapped { .. } => retry.on_trap == OnFault::Retry,
            Outcome::TimedOut { .. } => retry.on_timeout == OnFault::Retry,
            Outcome::LimitExceeded { .. } => retry.on_limit == OnFault::Retry,
            _ => false,
        };
        case.first_failed.get_or_insert(now);
        if !may_retry || case.failures >= retry.attempts_max {
            self.expected.insert((place, Some(handler)));
        } else {
            let floor = (retry.backoff_min / 10).max(Duration::from_millis(1));
            let rest = (now + floor, now + retry.backoff_max.max(floor));
            self.lanes.get_mut(&lane).unwrap().rest(Some(rest));
        }
    }

    /// Something is to be published: it was called for.
    pub(super) fn publishes(&mut self, subject: Subject, oracle: &mut Oracle, now: Instant) {
        let errand = match subject {
            Subject::Emit(errand, index) => {
                assert!(index > 0 || self.expected.remove(&errand), "I-11: emits of {errand:?} come unasked");
                return;
            }
            Subject::Letter(errand) => errand,
        };
        let (place, Some(handler)) = errand else {
            assert!(self.expected.remove(&errand), "I-4: a letter of {errand:?} comes unasked");
            return;
        };
        let case = &self.cases[&errand];
        let is_condemned = case.deaths > 0 && case.deaths >= self.setting.deaths_max;
        let age_max = self.config(handler).retry.age_max;
        let is_old = case.first_failed.zip(age_max).is_some_and(|(since, max)| now - since >= max);
        assert!(
            self.expected.remove(&errand) || is_condemned || is_old,
            "I-4: {errand:?} is given up without a reason: {case:?}"
        );
        oracle.tally.dead += 1;
        oracle.tally.condemned += u64::from(is_condemned);
        let (lane, state) = self
            .lanes
            .iter_mut()
            .find(|((of, ..), state)| *of == handler && state.open.contains(&place))
            .unwrap();
        if self.setting.handlers[handler].0.on_failure == FailurePolicy::Block {
            assert_eq!(state.open.front(), Some(&place), "I-5: {lane:?} is stopped at its head");
            state.blocked_at = Some(place);
            oracle.tally.blocked += 1;
            return;
        }
        assert_eq!(state.open.pop_front(), Some(place), "I-5: {lane:?} loses its head alone");
        state.rest(None);
        self.cases.remove(&errand);
        self.forget_empty_lanes();
    }

    /// Everything that had to be published by now was.
    pub(super) fn nothing_is_owed(&self) {
        assert!(self.expected.is_empty(), "I-1, I-4: not published: {:?}", self.expected);
    }

    /// I-6: nothing that a stopped lane stands at is committed.
    pub(super) fn commits(&self, (partition, offset): Place) {
        let stopped =
            |state: &LaneState| state.blocked_at.is_some_and(|at| at.0 == partition && at.1 <= offset);
        assert!(!self.lanes.values().any(stopped), "I-6: {offset} is committed beyond a stopped lane");
    }

    /// I-9, I-12: when no call is ready, every lane has its reason to wait.
    pub(super) fn all_wait_for_a_reason(&self, dispatcher: &Dispatcher, now: Instant) {
        for ((handler, tenant, order), state) in &self.lanes {
            let plan = &dispatcher.plans[*handler];
            let name = Tenant::from_name(ByteString::from(tenant.as_str()));
            let is_busy = self.busy.get(&(*handler, tenant.clone())).is_some_and(|calls| *calls > 0);
            let waits = state.running > 0
                || state.open.is_empty()
                || state.blocked_at.is_some()
                || state.rests_until.is_some_and(|until| until > now)
                || !plan.may_call(&name)
                || (plan.calls_alone() && is_busy);
            assert!(waits, "I-9: {handler} {tenant} {order:?} could run: {state:?}");
        }
    }

    /// Whether a dead event stops a lane.
    pub(super) fn has_blocked_lanes(&self) -> bool {
        self.lanes.values().any(|lane| lane.blocked_at.is_some())
    }

    fn close(&mut self, handler: usize, event: &Event) {
        let place = self.place(event);
        let lane = self.setting.lane(handler, event);
        let state = self.lanes.get_mut(&lane).unwrap();
        assert_eq!(state.open.pop_front(), Some(place), "I-5: {lane:?} ends out of order");
        self.cases.remove(&(place, Some(handler)));
        self.forget_empty_lanes();
    }

    pub(super) fn place(&self, event: &Event) -> Place {
        place_of(&self.setting, &event.message)
    }
}

/// Where a message stands.
pub(super) fn place_of(setting: &Setting, message: &Message) -> Place {
    let topic = message.source.topic.topic.trim_start_matches('t').parse().unwrap();
    let key = PartitionKey { topic: partitions::TopicIndex(topic), partition: message.source.partition };
    (setting.number(key), message.source.offset.0)
}
