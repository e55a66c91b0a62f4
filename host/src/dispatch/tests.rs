//! The dispatcher under a test that plays broker, guests and clock.

mod bounds;
mod done_before;
mod fairness;
mod hand_over;
mod parking;
mod simulation;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use guesthouse_connector::{Offset, PartitionId, RawHeaders};

use super::*;
use crate::codec::Codec;
use crate::counters::HandlerState;
use crate::crash_journal::{DEATHS_MAX, EventMark};
use crate::event::{Event, SharedEvent, Source, SourceTopic};
use crate::handler::{FailurePolicy, HandlerName};
use crate::lane::OrderBy;
use crate::outcome::{Emit, TrapCode};
use crate::retry::RetryPolicy;
use crate::route::{Pattern, TenantScope};
use crate::sandbox::{Grants, GuestLimits, Isolation, Pool};

const PARTITION: PartitionKey = PartitionKey { topic: partitions::TopicIndex(0), partition: PartitionId(0) };

/// A dispatcher with one handler for everything, and the clock it lives by.
struct Stage {
    dispatcher: Dispatcher,
    now: Now,
    next_offset: u64,
}

fn handler(order_by: OrderBy, batch_max: u32) -> HandlerConfig {
    HandlerConfig {
        name: HandlerName::new("everything").unwrap(),
        component: "unused.wasm".into(),
        version: None,
        subscription: "default".to_owned(),
        tenants: TenantScope::All,
        events: vec![Pattern::Any],
        order_by,
        grants: Grants::default(),
        limits: GuestLimits::default(),
        isolation: Isolation::Reuse,
        retry: RetryPolicy { attempts_max: 3, ..RetryPolicy::default() },
        breaker: BreakerPolicy::default(),
        on_failure: FailurePolicy::Skip,
        emit_topics: Vec::new(),
        dedup: None,
        batch_max,
        batch_time_target: Duration::from_secs(1),
    }
}

impl Stage {
    fn new(config: HandlerConfig) -> Self {
        Self::with(vec![(config, Pool::Computing)])
    }

    /// With handlers of these pools.
    fn with(handlers: Vec<(HandlerConfig, Pool)>) -> Self {
        Self::bounded(handlers, DispatchSettings::default())
    }

    /// With handlers of these pools, and these settings.
    fn bounded(handlers: Vec<(HandlerConfig, Pool)>, settings: DispatchSettings) -> Self {
        let effects =
            Effects::new(Arc::new(Codec::default()), "group".to_owned(), "dlq".to_owned(), BTreeMap::new());
        let handlers = handlers.into_iter().map(|(config, pool)| (Arc::new(config), pool)).collect();
        let mut dispatcher = Dispatcher::new(handlers, effects, settings, 7);
        let now = Now { instant: Instant::now(), unix_micros: 1_000_000 };
        dispatcher.assigned(PARTITION, AssignmentId(1), now);
        Self { dispatcher, now, next_offset: 0 }
    }

    /// Reads one event for each tenant named.
    fn read(&mut self, tenants: &[&str]) {
        let events = tenants.iter().map(|tenant| Ok(SharedEvent::from(self.event(tenant)))).collect();
        self.dispatcher.read(PARTITION, events, self.now);
    }

    fn event(&mut self, tenant: &str) -> Event {
        let offset = self.next_offset;
        self.next_offset += 1;
        let source = Source {
            topic: Arc::new(SourceTopic { stream: "s".to_owned(), topic: "t".to_owned() }),
            partition: PARTITION.partition,
            offset: Offset(offset),
            message_id: u128::from(offset) + 1,
            timestamp_micros: 0,
            origin_timestamp_micros: 0,
        };
        let payload = Bytes::from(format!("{{\"offset\":{offset}}}"));
        Event {
            message: Message { source, headers: RawHeaders::default(), payload: payload.clone() },
            id: ByteString::from(format!("00000000-0000-0000-0000-{:012}", offset + 1)),
            event_type: "order.placed".into(),
            schema_version: 1,
            tenant: Tenant::Named(tenant.into()),
            key: None,
            correlation_id: None,
            causation_id: None,
            actor: None,
            for_handler: None,
            traceparent: None,
            timestamp_micros: 0,
            content_type: "application/json".into(),
            payload,
        }
    }

    /// Makes suspects of the events at these offsets, each with the deaths it has seen.
    fn suspect(&mut self, deaths: &[(u64, u32)]) {
        let next_offset = self.next_offset;
        let name = HandlerName::new("everything").unwrap();
        let mark = |(offset, deaths): &(u64, u32)| {
            self.next_offset = *offset;
            (EventMark::of(&name, &self.event("a").message), *deaths)
        };
        self.dispatcher.suspects = Arc::new(Suspects::new(deaths.iter().map(mark).collect(), DEATHS_MAX));
        self.next_offset = next_offset;
    }

    fn call(&mut self) -> Call {
        self.any_call().expect("a call is ready")
    }

    /// The next call, whichever threads it is for.
    fn any_call(&mut self) -> Option<Call> {
        Pool::ALL.into_iter().find_map(|pool| self.next_call(pool))
    }

    fn next_call(&mut self, pool: Pool) -> Option<Call> {
        self.dispatcher.next_call(pool, |_| true, self.now)
    }

    fn end(&mut self, call: &Call, result: CallResult) {
        self.end_after(Duration::from_micros(1), call, result);
    }

    fn end_after(&mut self, duration: Duration, call: &Call, result: CallResult) {
        let report = CallReport { id: call.id, result, duration, memory_peak_bytes: 0 };
        self.dispatcher.call_ended(report, self.now);
    }

    /// Lets every handler of these tenants answer some calls quickly.
    fn earn_trust(&mut self, tenants: &[&str]) {
        for _ in 0..10 {
            self.read(tenants);
            while let Some(call) = self.any_call() {
                self.end(&call, CallResult::Answered(Vec::new()));
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.unix_micros += u64::try_from(time.as_micros()).unwrap();
        self.dispatcher.wake(self.now);
    }

    /// The offset that may be committed, if any.
    fn commit(&mut self) -> Option<u64> {
        let commits = self.dispatcher.take_commits(Due::All, self.now);
        commits.first().map(|commit| commit.offset.0)
    }
}

fn offsets(call: &Call) -> Vec<u64> {
    call.events.iter().map(|event| event.event.message.source.offset.0).collect()
}

fn retry() -> Outcome {
    Outcome::Retry { after: None, reason: "not yet".to_owned() }
}

fn trapped() -> Outcome {
    Outcome::Trapped { code: TrapCode::Unreachable, reason: "panicked".to_owned() }
}

fn emit() -> Emit {
    Emit {
        event_type: "order.total-computed".into(),
        schema_version: 1,
        topic: None,
        key: None,
        headers: Vec::new(),
        payload: Bytes::from_static(b"{}"),
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_lane_waits_for_its_retry_while_others_go_on() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 64));
    stage.read(&["a", "a", "b"]);
    let first = stage.call();
    assert_eq!(offsets(&first), [0, 1]);
    stage.end(&first, CallResult::Answered(vec![(0, Answer::Ended(retry())), (1, Answer::NotRun)]));
    let other = stage.call();
    assert_eq!(offsets(&other), [2]);
    stage.end(&other, CallResult::Answered(Vec::new()));
    assert!(stage.any_call().is_none());
    assert_eq!(stage.commit(), None);
    stage.pass(HOUR);
    let again = stage.call();
    assert_eq!(offsets(&again), [0, 1]);
    assert_eq!(again.events.iter().map(|event| event.attempt).collect::<Vec<_>>(), [2, 1]);
    stage.end(&again, CallResult::Answered(Vec::new()));
    assert_eq!(stage.commit(), Some(2));
}

#[test]
fn a_failed_batch_runs_again_one_by_one_and_charges_the_guilty_alone() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 64));
    stage.read(&["a", "a", "a"]);
    let batch = stage.call();
    stage.end(&batch, CallResult::Failed(trapped()));
    let innocent = stage.call();
    assert_eq!((offsets(&innocent), innocent.events[0].attempt), (vec![0], 1));
    stage.end(&innocent, CallResult::Answered(Vec::new()));
    let guilty = stage.call();
    assert_eq!((offsets(&guilty), guilty.events[0].attempt), (vec![1], 1));
    stage.end(&guilty, CallResult::Failed(trapped()));
    assert!(stage.any_call().is_none(), "the lane rests before the guilty event runs again");
    stage.pass(HOUR);
    let again = stage.call();
    assert_eq!((offsets(&again), again.events[0].attempt), (vec![1], 2));
}

#[test]
fn nothing_is_committed_before_its_dead_letter_is_confirmed() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 64));
    stage.read(&["a"]);
    let call = stage.call();
    stage.end(&call, CallResult::Failed(Outcome::Reject { reason: "bad".to_owned() }));
    let job = stage.dispatcher.next_job().expect("a dead letter is to be published");
    assert_eq!(job.messages[0].0, "dlq");
    assert_eq!(stage.commit(), None);
    assert!(!stage.dispatcher.is_at_rest());
    stage.dispatcher.published(job.effect, stage.now);
    assert_eq!(stage.commit(), Some(0));
    assert!(stage.dispatcher.is_at_rest());
}

#[test]
fn nothing_is_committed_before_its_emits_are_confirmed() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 64));
    stage.read(&["a", "a"]);
    let call = stage.call();
    stage.end(&call, CallResult::Answered(vec![(0, Answer::Ended(Outcome::Done(vec![emit()])))]));
    assert_eq!(stage.commit(), None);
    let job = stage.dispatcher.next_job().expect("an emit is to be published");
    stage.dispatcher.published(job.effect, stage.now);
    assert_eq!(stage.commit(), Some(1));
}

#[test]
fn attempts_end_in_a_dead_letter() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 64));
    stage.read(&["a"]);
    for attempt in 1..=3 {
        let call = stage.call();
        assert_eq!(call.events[0].attempt, attempt);
        stage.end(&call, CallResult::Failed(retry()));
        stage.pass(HOUR);
    }
    assert!(stage.any_call().is_none());
    assert!(stage.dispatcher.has_job());
}

#[test]
fn a_fault_of_the_host_is_nobodys_attempt() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 64));
    stage.read(&["a", "a"]);
    for _ in 0..10 {
        let call = stage.call();
        assert_eq!(call.events[0].attempt, 1);
        stage.end(&call, CallResult::Failed(Outcome::HostFault { reason: "no thread".to_owned() }));
        stage.pass(HOUR);
    }
    assert!(!stage.dispatcher.has_job());
}

#[test]
fn a_fault_of_the_host_makes_no_event_older() {
    let retry = RetryPolicy { age_max: Some(Duration::from_secs(60)), ..RetryPolicy::default() };
    let mut stage = Stage::new(HandlerConfig { retry, ..handler(OrderBy::Tenant, 64) });
    stage.read(&["a"]);
    let call = stage.call();
    stage.end(&call, CallResult::Failed(Outcome::HostFault { reason: "no thread".to_owned() }));
    stage.pass(HOUR);
    let call = stage.call();
    stage.end(&call, CallResult::Failed(self::retry()));
    assert!(!stage.dispatcher.has_job(), "it was tried once");
}

#[test]
fn a_revoked_partition_leaves_nothing_to_publish_or_commit() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 1));
    stage.read(&["a", "a", "b"]);
    let call = stage.call();
    stage.dispatcher.revoked(PARTITION);
    stage.end(&call, CallResult::Answered(vec![(0, Answer::Ended(Outcome::Done(vec![emit()])))]));
    assert!(stage.any_call().is_none());
    assert!(!stage.dispatcher.has_job());
    stage.dispatcher.assigned(PARTITION, AssignmentId(2), stage.now);
    assert_eq!(stage.commit(), None);
    assert_eq!(stage.dispatcher.counters().given_back, 3);
}

#[test]
fn tenants_take_turns() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 2));
    stage.read(&["a", "a", "a", "a", "b"]);
    let turns: Vec<_> = (0..2).map(|_| stage.call()).collect();
    assert_eq!(turns.iter().map(|call| call.tenant.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn pools_do_not_wait_for_each_other() {
    let order = || handler(OrderBy::Tenant, 64);
    let mut stage = Stage::with(vec![(order(), Pool::Waiting), (order(), Pool::Computing)]);
    stage.earn_trust(&["a", "b"]);
    stage.read(&["a"]);
    let waiting = stage.next_call(Pool::Waiting).expect("the waiting handler has a call");
    stage.read(&["a", "b"]);
    let computing = stage.next_call(Pool::Computing).expect("the computing handler has a call");
    assert_eq!((waiting.handler, computing.handler), (HandlerIndex(0), HandlerIndex(1)));
    assert_eq!(computing.events.len(), 2, "the other handler's call holds up nothing");
    stage.end(&computing, CallResult::Answered(Vec::new()));
    let next = stage.next_call(Pool::Computing).expect("a call is ready");
    assert_eq!(next.tenant.as_str(), "b");
    let under_way = Pool::ALL.map(|pool| stage.dispatcher.calls_under_way(pool));
    assert_eq!(under_way, [1, 1]);
}

#[test]
fn a_slow_call_costs_its_tenant_the_place_among_the_quick() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 64));
    stage.read(&["a"]);
    assert!(stage.next_call(Pool::Computing).is_none(), "newcomers have no place there yet");
    stage.earn_trust(&["a", "b"]);
    stage.read(&["a"]);
    let slow = stage.next_call(Pool::Computing).expect("the tenant has earned its place");
    // The queue has more to run while its place changes.
    stage.read(&["a", "b"]);
    stage.end_after(Duration::from_millis(250), &slow, CallResult::Answered(Vec::new()));
    let quick = stage.next_call(Pool::Computing).expect("the other tenant has a call");
    assert_eq!(quick.tenant.as_str(), "b");
    assert!(stage.next_call(Pool::Computing).is_none());
    assert_eq!(stage.next_call(Pool::Waiting).expect("the slow one goes on").tenant.as_str(), "a");
}

#[test]
fn a_tenant_without_room_is_passed_over_and_keeps_its_turn() {
    let mut stage = Stage::with(vec![(handler(OrderBy::Tenant, 64), Pool::Waiting)]);
    stage.read(&["a", "b", "c"]);
    let mut others = Vec::new();
    let is_other = |tenant: &Tenant| tenant.as_str() != "a";
    while let Some(call) = stage.dispatcher.next_call(Pool::Waiting, is_other, stage.now) {
        others.push(call.tenant.as_str().to_owned());
    }
    assert_eq!(others, ["b", "c"]);
    assert!(!stage.dispatcher.is_at_rest());
    assert_eq!(stage.next_call(Pool::Waiting).expect("there is room now").tenant.as_str(), "a");
}

#[test]
fn a_refused_call_changes_nothing() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 64));
    stage.read(&["a", "a"]);
    let refused = stage.call();
    stage.dispatcher.call_refused(refused.id, stage.now);
    assert_eq!(offsets(&stage.call()), [0, 1]);
}

#[test]
fn an_emit_that_cannot_be_published_kills_its_event() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 64));
    stage.read(&["a"]);
    let call = stage.call();
    let broken = Emit { payload: Bytes::from_static(b"not json"), ..emit() };
    stage.end(&call, CallResult::Answered(vec![(0, Answer::Ended(Outcome::Done(vec![broken])))]));
    let job = stage.dispatcher.next_job().expect("a dead letter is to be published");
    assert_eq!(job.messages[0].0, "dlq");
}

#[test]
fn an_emit_that_the_broker_refuses_kills_its_event() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 64));
    stage.read(&["a", "a"]);
    let call = stage.call();
    stage.end(&call, CallResult::Answered(vec![(0, Answer::Ended(Outcome::Done(vec![emit()])))]));
    let emits = stage.dispatcher.next_job().expect("an emit is to be published");
    stage.dispatcher.refused(emits.effect, "topic `t`: too large".to_owned(), stage.now);
    assert_eq!(stage.commit(), None, "its dead letter is not confirmed");
    let letter = stage.dispatcher.next_job().expect("a dead letter is to be published");
    let header = |name| letter.messages[0].1.headers.get(name).unwrap().to_string();
    assert_eq!(
        (header("gh-outcome"), header("gh-reason")),
        ("emit-refused".into(), "topic `t`: too large".into())
    );
    stage.dispatcher.published(letter.effect, stage.now);
    assert_eq!(stage.commit(), Some(1));
    let counters = stage.dispatcher.counters();
    assert_eq!((counters.tenants["a"].handled, counters.dead_letters["everything"]["emit-refused"]), (1, 1));
}

#[test]
fn what_may_have_killed_a_host_runs_alone() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 64));
    stage.suspect(&[(1, 1), (2, 2)]);
    stage.read(&["a"; 5]);
    for expected in [vec![0], vec![1], vec![2], vec![3, 4]] {
        let call = stage.call();
        assert_eq!(offsets(&call), expected);
        stage.end(&call, CallResult::Answered(Vec::new()));
    }
    assert_eq!(stage.commit(), Some(4));
}

#[test]
fn what_killed_three_hosts_becomes_a_dead_letter_without_running() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 64));
    stage.suspect(&[(0, 3)]);
    stage.read(&["a", "a"]);
    let call = stage.call();
    assert_eq!(offsets(&call), [1]);
    stage.end(&call, CallResult::Answered(Vec::new()));
    assert_eq!(stage.commit(), None, "its dead letter is not confirmed");
    let job = stage.dispatcher.next_job().expect("a dead letter is to be published");
    assert_eq!(job.messages[0].1.headers.get("gh-outcome").unwrap().to_string(), "host-crash");
    stage.dispatcher.published(job.effect, stage.now);
    assert_eq!(stage.commit(), Some(1));
    assert_eq!(stage.dispatcher.counters().dead_letters["everything"]["host-crash"], 1);
}

#[test]
fn a_dead_event_blocks_its_lane_until_the_partition_is_assigned_anew() {
    let config = HandlerConfig { on_failure: FailurePolicy::Block, ..handler(OrderBy::Tenant, 1) };
    let mut stage = Stage::new(config);
    stage.read(&["a", "a", "b"]);
    let dead = stage.call();
    stage.end(&dead, CallResult::Failed(Outcome::Reject { reason: "bad".to_owned() }));
    let other = stage.call();
    assert_eq!(offsets(&other), [2]);
    stage.end(&other, CallResult::Answered(Vec::new()));
    assert!(!stage.dispatcher.is_at_rest(), "its dead letter is not confirmed");
    let letter = stage.dispatcher.next_job().expect("a dead letter is to be published");
    stage.dispatcher.published(letter.effect, stage.now);
    stage.pass(HOUR);
    assert!(stage.any_call().is_none() && stage.dispatcher.is_at_rest());
    assert_eq!((stage.commit(), stage.dispatcher.counters().handlers["everything"].blocked_lanes), (None, 1));
    stage.dispatcher.revoked(PARTITION);
    stage.dispatcher.assigned(PARTITION, AssignmentId(2), stage.now);
    stage.next_offset = 0;
    stage.read(&["a", "a"]);
    assert_eq!(stage.dispatcher.counters().handlers["everything"].blocked_lanes, 0);
    for offset in [0, 1] {
        let call = stage.call();
        assert_eq!(offsets(&call), [offset]);
        stage.end(&call, CallResult::Answered(Vec::new()));
    }
    assert_eq!(stage.commit(), Some(1));
}

#[test]
fn what_killed_three_hosts_blocks_its_lane_too() {
    let config = HandlerConfig { on_failure: FailurePolicy::Block, ..handler(OrderBy::Tenant, 64) };
    let mut stage = Stage::new(config);
    stage.suspect(&[(1, 3)]);
    stage.read(&["a", "a", "a"]);
    let call = stage.call();
    assert_eq!(offsets(&call), [0]);
    stage.end(&call, CallResult::Answered(Vec::new()));
    assert!(stage.any_call().is_none() && stage.dispatcher.has_job());
    assert_eq!(stage.commit(), Some(0));
}

/// A handler that pauses soon.
fn touchy() -> HandlerConfig {
    let breaker = BreakerPolicy { attempts_min: 4, ..BreakerPolicy::default() };
    HandlerConfig { breaker, ..handler(OrderBy::None, 1) }
}

/// Lets the next calls trap, as many as there are, at most so many. Tells how many there were.
fn trap(stage: &mut Stage, most: usize) -> usize {
    let trap_one = |_: &usize| match stage.any_call() {
        Some(call) => {
            assert_eq!(call.events.len(), 1);
            stage.end(&call, CallResult::Failed(trapped()));
            true
        }
        None => false,
    };
    (0..most).take_while(trap_one).count()
}

#[test]
fn a_failing_handler_is_paused_and_its_events_wait_for_a_probe() {
    let mut stage = Stage::new(touchy());
    stage.read(&["a", "b", "a", "b", "a", "b", "c"]);
    assert_eq!(trap(&mut stage, 100), 4, "two failures of each tenant are enough");
    assert!(stage.dispatcher.is_at_rest() && !stage.dispatcher.has_job());
    let counters = stage.dispatcher.counters();
    let everything = &counters.handlers["everything"];
    assert_eq!((everything.state, everything.pauses, counters.unsettled), (HandlerState::Paused, 1, 7));
    let cool_down = stage.dispatcher.next_wake().expect("retries and the end of the pause are due");
    assert!(cool_down <= stage.now.instant + Duration::from_secs(10));
    stage.pass(Duration::from_secs(10));
    assert_eq!(trap(&mut stage, 100), 1, "a probe is a single event");
    stage.pass(Duration::from_secs(20));
    let probe = stage.call();
    assert!(stage.any_call().is_none());
    stage.end(&probe, CallResult::Answered(Vec::new()));
    while let Some(call) = stage.any_call() {
        stage.end(&call, CallResult::Answered(Vec::new()));
    }
    assert_eq!(stage.commit(), Some(6));
    assert_eq!(stage.dispatcher.counters().handlers["everything"].state, HandlerState::Running);
}

#[test]
fn a_failing_tenant_is_paused_alone() {
    let mut stage = Stage::new(touchy());
    stage.read(&["a"; 10]);
    assert_eq!(trap(&mut stage, 100), 4);
    stage.read(&["b"]);
    assert_eq!(stage.call().tenant.as_str(), "b");
    assert!(stage.any_call().is_none());
    let everything = stage.dispatcher.counters().handlers["everything"].clone();
    assert_eq!((everything.state, everything.paused_tenants), (HandlerState::Running, 1));
}

#[test]
fn a_probe_that_proves_nothing_is_followed_by_another() {
    let mut stage = Stage::new(touchy());
    stage.read(&["a"; 6]);
    trap(&mut stage, 100);
    stage.pass(Duration::from_secs(10));
    let refused = stage.call();
    stage.dispatcher.call_refused(refused.id, stage.now);
    let fault = stage.call();
    stage.end(&fault, CallResult::Failed(Outcome::HostFault { reason: "no thread".to_owned() }));
    let revoked = stage.call();
    stage.dispatcher.revoked(PARTITION);
    stage.end(&revoked, CallResult::Answered(Vec::new()));
    stage.dispatcher.assigned(PARTITION, AssignmentId(2), stage.now);
    stage.read(&["a", "a"]);
    assert_eq!(offsets(&stage.call()), [6], "what was revoked is gone from the paused queue");
    assert!(stage.any_call().is_none());
}

#[test]
fn a_tenants_calls_of_a_handler_with_state_are_made_one_at_a_time() {
    let grants = Grants { state: true, ..Grants::default() };
    let mut stage = Stage::new(HandlerConfig { grants, ..handler(OrderBy::None, 1) });
    stage.read(&["a", "a", "b", "a"]);
    let first = stage.call();
    let other = stage.call();
    assert_eq!((offsets(&first), offsets(&other)), (vec![0], vec![2]));
    assert!(stage.next_call(Pool::Computing).is_none());
    stage.end(&first, CallResult::Failed(Outcome::HostFault { reason: "no store".to_owned() }));
    let second = stage.call();
    assert_eq!(offsets(&second), [1]);
    stage.dispatcher.call_refused(second.id, stage.now);
    assert_eq!(offsets(&stage.call()).len(), 1);
    assert!(stage.next_call(Pool::Computing).is_none());
}
