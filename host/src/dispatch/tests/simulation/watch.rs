//! The watch over one life of a host: what it was given, in which order, and what it may do next.
//!
//! Of a handler that never parks it knows where each event waits. Lanes of the others leave the memory of the host and
//! come back; of those it knows what runs, and the oracle knows in which order it must.

mod parked;

use std::collections::{BTreeMap, VecDeque};

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
    /// Which time it was released, if it was.
    run: Option<u64>,
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
    /// What must be published next, and no later than now, and how often.
    expected: BTreeMap<Errand, u32>,
    /// Deaths that earlier hosts left on record.
    deaths: BTreeMap<Errand, u32>,
    /// Calls under way by handler and tenant.
    busy: BTreeMap<(usize, String), usize>,
    /// How far the host knows its parked partitions.
    heard: BTreeMap<usize, u64>,
}

impl Watch {
    pub(super) fn new(setting: Arc<Setting>, deaths: BTreeMap<Errand, u32>) -> Self {
        Self {
            setting,
            lanes: BTreeMap::new(),
            cases: BTreeMap::new(),
            expected: BTreeMap::new(),
            deaths,
            busy: BTreeMap::new(),
            heard: BTreeMap::new(),
        }
    }

    fn config(&self, handler: usize) -> &HandlerConfig {
        &self.setting.handlers[handler].0
    }

    fn expect(&mut self, errand: Errand) {
        *self.expected.entry(errand).or_default() += 1;
    }

    /// Whether something was expected; once less from now on.
    fn was_expected(&mut self, errand: Errand) -> bool {
        let Some(times) = self.expected.get_mut(&errand) else { return false };
        *times -= 1;
        if *times == 0 {
            self.expected.remove(&errand);
        }
        true
    }

    /// A message of a partition that the host holds came to its dispatcher.
    pub(super) fn read(&mut self, partition: usize, decoded: &Decoded) {
        let event = match decoded {
            Ok(event) => event,
            Err(undecodable) => return self.expect(((partition, undecodable.0.source.offset.0), None)),
        };
        let place = (partition, event.message.source.offset.0);
        for handler in self.setting.wanting(event) {
            let errand = (place, Some(handler));
            if self.cases.get(&errand).is_some_and(|case| case.run.is_some()) {
                continue; // It runs as one that was released.
            }
            let deaths = self.deaths.get(&errand).copied().unwrap_or_default();
            self.cases.insert(errand, Case { deaths, ..Case::default() });
            if self.setting.is_simple(handler) {
                let lane = self.setting.lane(handler, event);
                self.lanes.entry(lane).or_default().open.push_back(place);
            }
        }
    }

    /// A partition went away: what was read of it is no longer the host's affair.
    pub(super) fn revoked(&mut self, partition: usize) {
        self.heard.remove(&partition);
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
        self.lanes.retain(|_, lane| {
            let is_known = lane.blocked_at.is_some() || lane.rests_until.is_some();
            !lane.open.is_empty() || lane.running > 0 || is_known
        });
    }

    /// I-5, I-10: a call is made of what comes next in its lanes, at the right attempt and not too early.
    pub(super) fn call_began(&mut self, call: &Call, stands: &[Stand], oracle: &mut Oracle, now: Instant) {
        let handler = call.handler.0;
        let config = self.config(handler).clone();
        let queue = (handler, call.tenant.as_str().to_owned());
        let under_way = *self.busy.get(&queue).unwrap_or(&0);
        assert!(!config.keeps_marks() || under_way == 0, "two calls that write marks at the same time");
        *self.busy.entry(queue).or_default() += 1;
        let most = if config.isolation == Isolation::Fresh { 1 } else { config.batch_max.max(1) as usize };
        assert!((1..=most).contains(&call.events.len()), "a call of {} events", call.events.len());
        let places: Vec<Place> = call.events.iter().map(|e| self.place(&e.event)).collect();
        let mut before: Option<(Lane, u32)> = None;
        let mut within = 0;
        for (at, CallEvent { event, attempt, lane: number }) in call.events.iter().enumerate() {
            assert_eq!(event.tenant, call.tenant);
            let lane = self.setting.lane(handler, event);
            within = if before.as_ref().is_some_and(|(last, _)| *last == lane) { within + 1 } else { 0 };
            self.lane_runs(&lane, (places[at], within), now);
            oracle.begins((places[at], Some(handler)), &places[..at]);
            let is_new_lane = before.as_ref().is_none_or(|(_, last)| last != number);
            assert_eq!(is_new_lane, within == 0, "lanes of a call are told apart by their numbers");
            before = Some((lane, *number));
            self.case_runs((places[at], Some(handler)), (*attempt, stands[at]), oracle);
            let case = &self.cases[&(places[at], Some(handler))];
            let is_alone = case.is_alone || case.deaths > 0;
            assert!(!is_alone || call.events.len() == 1, "{:?} must run alone", places[at]);
            assert!(case.deaths < self.setting.deaths_max, "{:?} has killed enough", places[at]);
        }
    }

    /// An event of a lane goes into a guest, behind so many others of the lane in its call.
    fn lane_runs(&mut self, lane: &Lane, (place, within): (Place, usize), now: Instant) {
        let handler = lane.0;
        let is_ordered = self.config(handler).order_by != OrderBy::None;
        if !self.setting.is_simple(handler) {
            self.lanes.entry(lane.clone()).or_default();
        }
        let is_simple = self.setting.is_simple(handler);
        let Some(state) = self.lanes.get_mut(lane) else {
            panic!("{place:?} of {lane:?} runs and was not read")
        };
        let may_run = state.running == 0 || !is_ordered;
        assert!(within > 0 || may_run, "I-5: {lane:?} runs twice at the same time");
        assert!(
            !is_simple || state.open.get(within) == Some(&place),
            "I-5: {lane:?} is out of order at {place:?}"
        );
        assert_eq!(state.blocked_at, None, "I-5: {lane:?} is stopped");
        assert!(state.not_before.is_none_or(|from| from <= now), "{lane:?} must rest longer");
        state.running += 1;
        state.rest(None);
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
            let rest = (now + HOST_FAULT_WAIT, now + HOST_FAULT_WAIT);
            self.lanes.entry(lane).or_default().rest(Some(rest));
        }
    }

    /// An event is handled: in a guest, or earlier as `of`, whose emits are owed again. They must be published now.
    pub(super) fn handled(&mut self, handler: usize, event: &Event, (of, emits): (Errand, u32)) {
        let place = self.place(event);
        self.cases.remove(&(place, Some(handler)));
        if self.setting.is_simple(handler) {
            let lane = self.setting.lane(handler, event);
            let state = self.lanes.get_mut(&lane).unwrap();
            assert_eq!(state.open.pop_front(), Some(place), "I-5: {lane:?} ends out of order");
        }
        self.forget_empty_lanes();
        if emits > 0 {
            self.expect(of);
        }
    }

    /// An attempt failed: the event rests or is given up, as the policy says.
    pub(super) fn failed(&mut self, handler: usize, event: &Event, outcome: &Outcome, now: Instant) {
        let place = self.place(event);
        let retry = self.config(handler).retry.clone();
        let case = self.cases.get_mut(&(place, Some(handler))).expect("it was read");
        let lane = self.setting.lane(handler, event);
        if matches!(outcome, Outcome::HostFault { .. }) {
            let rest = (now + HOST_FAULT_WAIT, now + HOST_FAULT_WAIT);
            self.lanes.entry(lane).or_default().rest(Some(rest));
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
            self.expect((place, Some(handler)));
        } else {
            let floor = (retry.backoff_min / 10).max(Duration::from_millis(1));
            let rest = (now + floor, now + retry.backoff_max.max(floor));
            self.lanes.entry(lane).or_default().rest(Some(rest));
        }
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
